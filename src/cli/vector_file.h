/* vector_file.h: files of vectors: .npy, .fvecs, .bvecs, .ivecs.
 *
 * What it is: a header read with suspicion, then rows on demand, as floats or as whole numbers.
 * Sizes are compared with the file's length before anything is allocated by them; a row is read
 * through one block of about a megabyte, so a file may be far larger than memory.
 * What it is not: a writer, or a reader of compressed, structured or big-endian arrays.
 *
 * Errors name the file, the row (from 0) and the reason. Threads: one at a time per object. */
#ifndef QV_CLI_VECTOR_FILE_H
#define QV_CLI_VECTOR_FILE_H

#include "cli/input.h"

enum qv__elem {
    QV__ELEM_F32,
    QV__ELEM_F16,
    QV__ELEM_F64,
    QV__ELEM_I8,
    QV__ELEM_U8,
    QV__ELEM_I32,
    QV__ELEM_I64
};

/* What a .npy header says. */
struct qv__npy {
    enum qv__elem elem;
    uint64_t rows, columns;
    uint64_t data_at; /* bytes before the first row */
};
/* Read the header at the start of a file whose first `n` bytes are at `p` (give the whole file or
 * at least QV__NPY_HEAD_MAX). Errors: QV_EINVAL with the reason, QV_EUNSUPPORTED with the remedy.
 */
#define QV__NPY_HEAD_MAX 65536u
qv_status qv__npy_parse(const uint8_t *p, size_t n, struct qv__npy *out,
                        struct qv_err *err) QV_MUST_USE;
uint32_t qv__elem_bytes(enum qv__elem e);

struct qv__vector_file {
    const char *path; /* borrowed */
    struct qv__input input;
    struct qv__mem *mem;
    enum qv__elem elem;
    uint32_t dim;
    bool is_packed; /* bits, eight to a byte of the file */
    uint64_t rows;
    uint64_t data_at;
    uint32_t stride_bytes; /* of a row in the file */
    uint32_t head_bytes;   /* in front of each row: 4 for *vecs, which repeat the dimension */
    uint8_t *block;
    uint64_t block_rows; /* capacity */
    uint64_t first, n;   /* rows in the block */
};

/* True if the name ends in .npy, .fvecs, .bvecs or .ivecs. */
bool qv__vector_file_named(const char *path);
/* Release with qv__vector_file_close, also after an error. */
qv_status qv__vector_file_open(struct qv__vector_file *f, struct qv__mem *mem, const char *path,
                               struct qv_err *err) QV_MUST_USE;
/* Its bytes are eight elements each, zeros and ones, the first in the highest bit (numpy.packbits):
 * the rows have eight times as many elements from now on. QV_EINVAL for elements other than uint8,
 * and for more elements than a vector has. */
qv_status qv__vector_file_unpack(struct qv__vector_file *f, struct qv_err *err) QV_MUST_USE;
void qv__vector_file_close(struct qv__vector_file *f); /* safe on a zeroed one, and twice */
/* dim floats. Refuses numbers that are not finite, or too large for a float. */
qv_status qv__vector_file_row(struct qv__vector_file *f, uint64_t row, float *out,
                              struct qv_err *err) QV_MUST_USE;
/* dim whole numbers >= 0 below 2^32. Only for elements of type i32 and i64. */
qv_status qv__vector_file_numbers(struct qv__vector_file *f, uint64_t row, uint32_t *out,
                                  struct qv_err *err) QV_MUST_USE;

#endif
