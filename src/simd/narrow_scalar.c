/* narrow_scalar.c: the reference kernels on half floats and bytes; also what runs where no others
 * do. One element at a time; half floats in double, bytes in 64-bit integers. */
#include "simd/narrow_tables.h"

#define NARROW_NAME  "scalar"
#define NARROW_TABLE qv__narrow_scalar

QV__KERNEL double step_double(enum qv__narrow_op op, double sum, double a, double b)
{
    double d = a - b;
    return sum + (op == QV__NARROW_IP ? a * b : op == QV__NARROW_L2 ? d * d : __builtin_fabs(d));
}

QV__KERNEL int64_t step_integer(enum qv__narrow_op op, int64_t sum, int64_t a, int64_t b)
{
    int64_t d = a - b;
    return sum + (op == QV__NARROW_IP ? a * b : op == QV__NARROW_L2 ? d * d : d < 0 ? -d : d);
}

#define N(name)            name##_f16
#define N_BYTES            ((size_t)2)
#define N_LANES            ((size_t)1)
#define nvec               double
#define nsum               double
#define zero_f16()         0.0
#define add_f16(x, y)      ((x) + (y))
#define step_f16           step_double
#define total_f16(op, sum) ((float)(sum))

QV__KERNEL double load_f16(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, sizeof(h));
    return (double)qv__half_to_float(h);
}

QV__KERNEL double load_part_f16(const uint8_t *p, size_t n)
{
    return n > 0 ? load_f16(p) : 0.0;
}

#include "simd/narrow_body.h"

#define N(name)           name##_u8
#define N_BYTES           ((size_t)1)
#define N_LANES           ((size_t)1)
#define nvec              int64_t
#define nsum              int64_t
#define zero_u8()         0
#define add_u8(x, y)      ((x) + (y))
#define step_u8           step_integer
#define total_u8(op, sum) ((float)(sum))

QV__KERNEL int64_t load_u8(const uint8_t *p)
{
    return *p;
}

QV__KERNEL int64_t load_part_u8(const uint8_t *p, size_t n)
{
    return n > 0 ? *p : 0;
}

#include "simd/narrow_body.h"

#define N(name)           name##_i8
#define N_BYTES           ((size_t)1)
#define N_LANES           ((size_t)1)
#define nvec              int64_t
#define nsum              int64_t
#define zero_i8()         0
#define add_i8(x, y)      ((x) + (y))
#define step_i8           step_integer
#define total_i8(op, sum) ((float)(sum))

QV__KERNEL int64_t load_i8(const uint8_t *p)
{
    return (int8_t)*p;
}

QV__KERNEL int64_t load_part_i8(const uint8_t *p, size_t n)
{
    return n > 0 ? (int8_t)*p : 0;
}

#include "simd/narrow_body.h"

#define WIDEN_LANES        ((size_t)1)
#define WIDEN_STORE(to, v) (*(to) = (float)(v))
#include "simd/narrow_list.h"
