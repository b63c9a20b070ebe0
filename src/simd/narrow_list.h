/* narrow_list.h: the table of the kernels that narrow_body.h made.
 *
 * What it is: a body, included once by each narrow_<isa>.c after the kernels of all three types,
 * and after it defines NARROW_NAME, NARROW_TABLE, and of widened half floats WIDEN_LANES and
 * WIDEN_STORE(to, vector). What it is not: a header of declarations. */

static void widen_f16(const void *halves, size_t n, float *out)
{
    const uint8_t *p = halves;
    size_t i = 0;
    for (; i + WIDEN_LANES <= n; i += WIDEN_LANES) {
        WIDEN_STORE(out + i, load_f16(p + 2 * i));
    }
    for (; i < n; i++) {
        uint16_t h;
        memcpy(&h, p + 2 * i, sizeof h);
        out[i] = qv__half_to_float(h);
    }
}

#define NARROW_ROW(type)                                                                           \
    {                                                                                              \
        [QV__NARROW_L2] = {l2_##type, l2_many_##type, l2_gather_##type},                           \
        [QV__NARROW_IP] = {ip_##type, ip_many_##type, ip_gather_##type},                           \
        [QV__NARROW_L1] = {l1_##type, l1_many_##type, l1_gather_##type},                           \
        [QV__NARROW_COS] = {cos_##type, cos_many_##type, cos_gather_##type},                       \
    }

const struct qv__narrow NARROW_TABLE = {
    .name = NARROW_NAME,
    .dist = {[QV__NARROW_F16] = NARROW_ROW(f16),
             [QV__NARROW_U8] = NARROW_ROW(u8),
             [QV__NARROW_I8] = NARROW_ROW(i8)},
    .widen_f16 = widen_f16,
};
