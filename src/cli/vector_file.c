/* vector_file.c: rows of .npy and *vecs files, see vector_file.h. */
#include "cli/vector_file.h"

#include <math.h>

#include "base/buf.h"
#include "base/elements.h"

#define BLOCK_BYTES ((size_t)1 << 20)

uint32_t qv__elem_bytes(enum qv__elem e)
{
    switch (e) {
    case QV__ELEM_I8:
    case QV__ELEM_U8:
        return 1;
    case QV__ELEM_F16:
        return 2;
    case QV__ELEM_F64:
    case QV__ELEM_I64:
        return 8;
    case QV__ELEM_F32:
    case QV__ELEM_I32:
    default:
        return 4;
    }
}

static bool ends_with(const char *path, const char *end)
{
    size_t n = strlen(path), m = strlen(end);
    return n >= m && strcmp(path + n - m, end) == 0;
}

/* The element type of a *vecs file by its name. */
static bool vecs_type(const char *path, enum qv__elem *out)
{
    if (ends_with(path, ".fvecs")) {
        *out = QV__ELEM_F32;
    } else if (ends_with(path, ".bvecs")) {
        *out = QV__ELEM_U8;
    } else if (ends_with(path, ".ivecs")) {
        *out = QV__ELEM_I32;
    } else {
        return false;
    }
    return true;
}

bool qv__vector_file_named(const char *path)
{
    enum qv__elem ignored;
    return ends_with(path, ".npy") || vecs_type(path, &ignored);
}

static qv_status open_npy(struct qv__vector_file *f, uint64_t size, struct qv_err *err)
{
    size_t n = size < QV__NPY_HEAD_MAX ? (size_t)size : QV__NPY_HEAD_MAX;
    struct qv__npy npy;
    uint8_t *head = qv__alloc(f->mem, n);
    if (!head) {
        return qv__fail(err, QV_ENOMEM, "no memory to read %s", f->path);
    }
    qv_status st = qv__input_read(&f->input, head, n, 0, err);
    if (st == QV_OK) {
        st = qv__npy_parse(head, n, &npy, err);
        if (st != QV_OK) {
            st = qv__wrap(err, st, "%s", f->path);
        }
    }
    qv__free(head);
    QV_TRY(st);
    f->elem = npy.elem;
    f->dim = (uint32_t)npy.columns;
    f->rows = npy.rows;
    f->data_at = npy.data_at;
    f->stride_bytes = f->dim * qv__elem_bytes(f->elem);
    uint64_t want;
    if (__builtin_mul_overflow(f->rows, (uint64_t)f->stride_bytes, &want) ||
        size - f->data_at < want) {
        return qv__fail(err, QV_EINVAL,
                        "%s: the file is cut short: its header promises %" PRIu64
                        " rows of %u bytes, %" PRIu64 " bytes follow",
                        f->path, f->rows, f->stride_bytes, size - f->data_at);
    }
    if (size - f->data_at > want) {
        return qv__fail(err, QV_EINVAL, "%s: %" PRIu64 " bytes follow the last row", f->path,
                        size - f->data_at - want);
    }
    return QV_OK;
}

static qv_status open_vecs(struct qv__vector_file *f, uint64_t size, struct qv_err *err)
{
    uint32_t dim = 0;
    f->head_bytes = sizeof dim;
    if (size < sizeof dim) {
        return qv__fail(err, QV_EINVAL, "%s: the file ends inside its first row", f->path);
    }
    QV_TRY(qv__input_read(&f->input, &dim, sizeof dim, 0, err));
    if (dim == 0 || dim > QV__DIM_MAX) {
        return qv__fail(err, QV_EINVAL, "%s: row 0 claims %u elements; vectors have 1 to %u",
                        f->path, dim, QV__DIM_MAX);
    }
    f->dim = dim;
    f->stride_bytes = f->head_bytes + dim * qv__elem_bytes(f->elem);
    f->rows = size / f->stride_bytes;
    if (size % f->stride_bytes != 0) {
        return qv__fail(err, QV_EINVAL,
                        "%s: the file is cut short: %" PRIu64
                        " bytes are no whole number of rows of %u bytes",
                        f->path, size, f->stride_bytes);
    }
    return QV_OK;
}

static qv_status open_known(struct qv__vector_file *f, struct qv_err *err)
{
    if (vecs_type(f->path, &f->elem)) {
        return open_vecs(f, f->input.size, err);
    }
    if (ends_with(f->path, ".npy")) {
        return open_npy(f, f->input.size, err);
    }
    return qv__fail(err, QV_EUNSUPPORTED,
                    "%s: not a file of vectors by its name: .npy, .fvecs, .bvecs, .ivecs", f->path);
}

qv_status qv__vector_file_open(struct qv__vector_file *f, struct qv__mem *mem, const char *path,
                               struct qv_err *err)
{
    *f = (struct qv__vector_file){.path = path, .mem = mem};
    QV_TRY(qv__input_open(&f->input, mem, path, err));
    QV_TRY(open_known(f, err));
    f->block_rows = QV_MAX(BLOCK_BYTES / f->stride_bytes, 1u);
    f->block_rows = QV_MAX(QV_MIN(f->block_rows, f->rows), 1u);
    f->block = qv__alloc(mem, (size_t)f->block_rows * f->stride_bytes);
    return f->block ? QV_OK : qv__fail(err, QV_ENOMEM, "no memory to read %s", path);
}

qv_status qv__vector_file_unpack(struct qv__vector_file *f, struct qv_err *err)
{
    if (f->elem != QV__ELEM_U8) {
        return qv__fail(err, QV_EINVAL,
                        "%s: packed bits are bytes of type uint8, as "
                        "numpy.packbits makes them",
                        f->path);
    }
    if (f->dim > QV__DIM_MAX / 8) {
        return qv__fail(err, QV_EINVAL,
                        "%s: rows of %u bytes are %" PRIu64 " bits; vectors have 1 to %u", f->path,
                        f->dim, (uint64_t)f->dim * 8, QV__DIM_MAX);
    }
    f->dim *= 8;
    f->is_packed = true;
    return QV_OK;
}

void qv__vector_file_close(struct qv__vector_file *f)
{
    qv__free(f->block);
    f->block = NULL;
    qv__input_close(&f->input);
}

/* The bytes of a row, in the block. */
static qv_status row_bytes(struct qv__vector_file *f, uint64_t row, const uint8_t **out,
                           struct qv_err *err)
{
    if (row >= f->rows) {
        return qv__fail(err, QV_EINVAL, "%s: there is no row %" PRIu64 "; the file has %" PRIu64,
                        f->path, row, f->rows);
    }
    if (row < f->first || row - f->first >= f->n) {
        f->n = 0;
        uint64_t n = QV_MIN(f->block_rows, f->rows - row);
        QV_TRY(qv__input_read(&f->input, f->block, (size_t)n * f->stride_bytes,
                              f->data_at + row * f->stride_bytes, err));
        f->first = row;
        f->n = n;
    }
    const uint8_t *p = f->block + (size_t)(row - f->first) * f->stride_bytes;
    uint32_t columns = f->is_packed ? f->dim / 8 : f->dim;
    if (f->head_bytes && qv__load_u32(p) != columns) {
        return qv__fail(err, QV_EINVAL, "%s row %" PRIu64 ": %u elements, the first row has %u",
                        f->path, row, qv__load_u32(p), columns);
    }
    *out = p + f->head_bytes;
    return QV_OK;
}

static void to_floats(enum qv__elem elem, const uint8_t *p, uint32_t dim, float *out)
{
    for (uint32_t i = 0; i < dim; i++) {
        switch (elem) {
        case QV__ELEM_I8:
            out[i] = (float)(int8_t)p[i];
            break;
        case QV__ELEM_U8:
            out[i] = (float)p[i];
            break;
        case QV__ELEM_F16:
            out[i] = qv__half_to_float(qv__load_u16(p + 2 * i));
            break;
        case QV__ELEM_F64: {
            double d;
            memcpy(&d, p + 8 * i, sizeof d);
            /* Out of a float's range is undefined to convert; let the check for finite see it. */
            out[i] = fabs(d) > 3.4028234663852886e38 ? (float)INFINITY : (float)d;
            break;
        }
        case QV__ELEM_I32:
            out[i] = (float)(int32_t)qv__load_u32(p + 4 * i);
            break;
        case QV__ELEM_I64:
            out[i] = (float)(int64_t)qv__load_u64(p + 8 * i);
            break;
        case QV__ELEM_F32:
        default:
            memcpy(&out[i], p + 4 * i, sizeof out[i]);
            break;
        }
    }
}

qv_status qv__vector_file_row(struct qv__vector_file *f, uint64_t row, float *out,
                              struct qv_err *err)
{
    const uint8_t *p = NULL;
    QV_TRY(row_bytes(f, row, &p, err));
    if (f->is_packed) {
        qv__elements_to_floats(QV__BIT, p, f->dim, out);
        return QV_OK;
    }
    to_floats(f->elem, p, f->dim, out);
    for (uint32_t i = 0; i < f->dim; i++) {
        if (!isfinite(out[i])) {
            return qv__fail(err, QV_EINVAL, "%s row %" PRIu64 ": element %u is not a finite number",
                            f->path, row, i);
        }
    }
    return QV_OK;
}

qv_status qv__vector_file_numbers(struct qv__vector_file *f, uint64_t row, uint32_t *out,
                                  struct qv_err *err)
{
    const uint8_t *p = NULL;
    if (f->elem != QV__ELEM_I32 && f->elem != QV__ELEM_I64) {
        return qv__fail(err, QV_EINVAL, "%s: row numbers must be of type int32 or int64", f->path);
    }
    QV_TRY(row_bytes(f, row, &p, err));
    for (uint32_t i = 0; i < f->dim; i++) {
        int64_t v = f->elem == QV__ELEM_I32 ? (int64_t)(int32_t)qv__load_u32(p + 4 * i)
                                            : (int64_t)qv__load_u64(p + 8 * i);
        if (v < 0 || v > UINT32_MAX) {
            return qv__fail(err, QV_EINVAL, "%s row %" PRIu64 ": %" PRId64 " is no row number",
                            f->path, row, v);
        }
        out[i] = (uint32_t)v;
    }
    return QV_OK;
}
