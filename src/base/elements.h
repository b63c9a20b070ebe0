/* elements.h: the numbers that the elements of a vector stand for, in each datatype.
 *
 * What it is: conversions to and from f32, one vector at a time.
 * What it is not: kernels; distances are taken of the elements as they are (simd/). Threads: any.
 */
#ifndef QV_BASE_ELEMENTS_H
#define QV_BASE_ELEMENTS_H

#include "base/vec.h"

/* Half floats are IEEE 754 binary16, rounded to nearest, ties to even; what is above 65504 becomes
 * an infinity. */
float qv__half_to_float(uint16_t h);
uint16_t qv__half_of_float(float f);

/* Whole vectors of any datatype (base/vec.h). To f32 is exact. From f32, half floats are rounded,
 * bytes cut towards zero, and bits are set from 0.5 on; what is beyond the type's range becomes its
 * end. Any alignment of the elements. */
void qv__elements_to_floats(uint8_t datatype, const void *elements, size_t n, float *out);
void qv__elements_of_floats(uint8_t datatype, const float *v, size_t n, void *out);
/* The largest magnitude an element takes below zero and above, after cutting. */
struct qv__element_range {
    float min, max;
};
struct qv__element_range qv__element_range(uint8_t datatype);

#endif
