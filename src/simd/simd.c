/* simd.c: which distance kernels this processor can run, and the check of incoming vectors.
 *
 * The compiler's run-time library reads CPUID, and counts AVX and AVX-512 as present only if XGETBV
 * says that the operating system saves their registers; so its answer is the whole answer. It is
 * asked anew at each call (a load and a mask): there is no state here. Nothing in this file is
 * compiled for more than the baseline processor. */
#include "simd/tables.h"

#include <float.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#if defined(__x86_64__)
static bool has_avx2(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
        return false;
    }
    /* The files are compiled for F16C too, whose name not every compiler's library knows. */
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C) != 0;
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
#endif

const struct qv__simd *qv__simd_table(enum qv__isa isa)
{
    switch (isa) {
    case QV__ISA_SCALAR:
        return &qv__simd_scalar;
    case QV__ISA_AVX2:
#if defined(__x86_64__)
        return has_avx2() ? &qv__simd_avx2 : NULL;
#else
        return NULL;
#endif
    case QV__ISA_AVX512:
#if defined(__x86_64__)
        return has_avx512() ? &qv__simd_avx512 : NULL;
#else
        return NULL;
#endif
    case QV__ISA_NEON:
#if defined(__aarch64__)
        return &qv__simd_neon;
#else
        return NULL;
#endif
    case QV__ISAS:
        break;
    }
    return NULL;
}

static const struct qv__simd *table_named(const char *name)
{
    for (int isa = QV__ISA_SCALAR; isa < QV__ISAS; isa++) {
        const struct qv__simd *s = qv__simd_table((enum qv__isa)isa);
        if (s != NULL && strcmp(s->name, name) == 0) {
            return s;
        }
    }
    return NULL;
}

const struct qv__simd *qv__simd_best(const char **refused)
{
    static const enum qv__isa best_first[] = {QV__ISA_AVX512, QV__ISA_AVX2, QV__ISA_NEON};

    if (refused != NULL) {
        *refused = NULL;
    }
    const char *wanted = secure_getenv("QUIVER_SIMD");
    if (wanted != NULL && wanted[0] != '\0') {
        const struct qv__simd *s = table_named(wanted);
        if (s != NULL) {
            return s;
        }
        if (refused != NULL) {
            *refused = wanted;
        }
    }
    for (size_t i = 0; i < QV_ARRAY_LEN(best_first); i++) {
        const struct qv__simd *s = qv__simd_table(best_first[i]);
        if (s != NULL) {
            return s;
        }
    }
    return &qv__simd_scalar;
}

/* One sum in double decides both: an element that is not finite leaves a sum that is not, and
 * squares of floats cannot overflow a double. The limit lies a thousandth below FLT_MAX, more than
 * the rounding of any of our sums of up to 2^16 elements, so that no kernel overflows on a vector
 * let through, neither in its norm nor (by Cauchy and Schwarz) in any part of an inner product. It
 * does not depend on the instruction set: a vector accepted on one machine is accepted on all. */
bool qv__simd_finite(const float *v, size_t dim)
{
    static const double norm2_max = (double)FLT_MAX * (1.0 - 1.0 / 1024.0);
    double s[4] = {0.0, 0.0, 0.0, 0.0};
    size_t i = 0;
    for (; i + 4 <= dim; i += 4) {
        for (size_t k = 0; k < 4; k++) {
            double x = (double)qv__load_f32(v + i + k);
            s[k] += x * x;
        }
    }
    for (; i < dim; i++) {
        double x = (double)qv__load_f32(v + i);
        s[0] += x * x;
    }
    return (s[0] + s[1]) + (s[2] + s[3]) <= norm2_max; /* false for NaN */
}
