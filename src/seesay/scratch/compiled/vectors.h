/* Vectors of floats as wide as the processor has them, in the extension that GCC and Clang share. */
#ifndef VECTORS_H
#define VECTORS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define LANES 16
#define KEEP(v) __asm__("" : "+v"(v)) /* one broadcast for all products with it, not one load for each */
#define PANEL 4                       /* vectors side by side in a panel */
#define ROWS_OF(vectors) ((vectors) == 4 ? 6 : 8) /* sums that fit the registers beside a panel's row */
#elif defined(__AVX__)
#include <immintrin.h>
#define LANES 8
#define KEEP(v) __asm__("" : "+x"(v))
#else
#define LANES 4
#define KEEP(v) ((void)0)
#endif
#ifndef PANEL
#define PANEL 2
#define ROWS_OF(vectors) ((vectors) == 4 ? 3 : (vectors) == 3 ? 4 : 6)
#endif
#define MOST_ROWS 8

#define INLINE static inline __attribute__((always_inline))

typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef float Anywhere __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t Mask __attribute__((vector_size(4 * LANES)));

INLINE Vector load(const float *from) { return *(const Anywhere *)from; }
INLINE void store(float *to, Vector v) { *(Anywhere *)to = v; }

INLINE Vector splat(float value)
{
#if defined(__AVX512F__)
    return (Vector)_mm512_set1_ps(value);
#elif defined(__AVX__)
    return (Vector)_mm256_set1_ps(value);
#else
    return (Vector){value, value, value, value};
#endif
}

/* sum + x y in one instruction, in place: left to themselves, compilers move sums from register to register. */
INLINE Vector add_product(Vector sum, Vector x, Vector y)
{
#if defined(__AVX512F__)
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(x), "v"(y));
    return sum;
#else
    return sum + x * y;
#endif
}

/* Of a row that ends after `left` more floats; what lies beyond is zero, or stays as it is. */
INLINE Vector load_some(const float *from, long left)
{
    if (left >= LANES)
        return load(from);
    float found[LANES] = {0};
    if (left > 0)
        memcpy(found, from, (size_t)left * sizeof(float));
    return load(found);
}

/* The first `lanes` of LANES floats that lie `stride` apart; zeros for the others. */
INLINE Vector pick(const float *from, long stride, long lanes)
{
#if defined(__AVX512F__)
    if (lanes == LANES && stride < INT32_MAX / LANES) {
        __m512i at = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        return (Vector)_mm512_i32gather_ps(_mm512_mullo_epi32(at, _mm512_set1_epi32((int)stride)), from, 4);
    }
#endif
    float found[LANES] = {0};
    for (long lane = 0; lane < lanes; lane++)
        found[lane] = from[lane * stride];
    return load(found);
}

INLINE void store_some(float *to, Vector v, long left)
{
    if (left >= LANES) {
        store(to, v);
    } else if (left > 0) {
        float found[LANES];
        store(found, v);
        memcpy(to, found, (size_t)left * sizeof(float));
    }
}

/* v between -limit and limit; nan stays nan. */
INLINE Vector clamp(Vector v, float limit)
{
#if defined(__AVX512F__)
    return (Vector)_mm512_min_ps((__m512)splat(limit), _mm512_max_ps((__m512)splat(-limit), (__m512)v));
#elif defined(__AVX__)
    return (Vector)_mm256_min_ps((__m256)splat(limit), _mm256_max_ps((__m256)splat(-limit), (__m256)v));
#else
    Mask above = v > splat(limit), below = v < splat(-limit);
    return (Vector)((above & (Mask)splat(limit)) | (below & (Mask)splat(-limit)) | (~(above | below) & (Mask)v));
#endif
}

INLINE Vector divide(Vector over, Vector under)
{
#if defined(__AVX512F__)
    /* The processor's own division keeps one unit busy for 16 cycles; this is as exact to half a unit more. */
    Vector guess = (Vector)_mm512_rcp14_ps((__m512)under);
    return over * (guess + guess * (splat(1) - under * guess));
#else
    return over / under;
#endif
}

/* tanh, within 4e-7: x P(x^2) / Q(x^2), fitted to the least relative error over -9..9, where it has reached 1. */
INLINE Vector squash(Vector x)
{
    x = clamp(x, 9.0f);
    Vector s = x * x;
    Vector p = splat(1.3354295447243203e-08f), q = splat(7.776407642268168e-07f);
    p = p * s + splat(2.06088152481243e-05f);
    q = q * s + splat(0.00032856082543730736f);
    p = p * s + splat(0.0034955719020217657f);
    q = q * s + splat(0.02587692067027092f);
    p = p * s + splat(0.1338101178407669f);
    q = q * s + splat(0.4671432673931122f);
    p = p * s + splat(1);
    q = q * s + splat(1);
    return clamp(divide(x * p, q), 1.0f);
}

/* The sigmoid of 2x: packing halves the weights of such gates, so that one curve does for all. */
INLINE Vector sigmoid_of_twice(Vector x) { return squash(x) * 0.5f + 0.5f; }

#endif
