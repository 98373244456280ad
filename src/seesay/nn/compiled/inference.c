/* What a model in use spends its time on besides large products of floats, for rows that do not depend on one another.
   Each function does the share `part` of `parts` of the rows, so that a row has the same bits on any number of threads. */
#include <math.h>

#include "vectors.h"

#define EXPORT __attribute__((visibility("default")))

struct share {
    int64_t rows, part, parts;
};

INLINE int64_t first_row(const struct share *share) { return share->rows * share->part / share->parts; }
INLINE int64_t last_row(const struct share *share) { return share->rows * (share->part + 1) / share->parts; }

INLINE float total(Vector v)
{
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps((__m512)v);
#else
    float sum = 0;
    for (int lane = 0; lane < LANES; lane++)
        sum += v[lane];
    return sum;
#endif
}

INLINE Vector greater(Vector a, Vector b)
{
    Mask more = a > b;
    return (Vector)((more & (Mask)a) | (~more & (Mask)b));
}

INLINE float highest(Vector v)
{
    float most = v[0];
    for (int lane = 1; lane < LANES; lane++)
        most = v[lane] > most ? v[lane] : most;
    return most;
}

/* exp, within 2e-7 of its size: 0 below -87, 6e37 above 87, nan stays nan. 2^n P(r), the polynomial of Cephes. */
INLINE Vector exponential(Vector x)
{
    Vector within = clamp(x, 87.0f);
    Vector turns = (within * 1.44269504f + 12582912.0f) - 12582912.0f; /* to the nearest whole number */
    Vector rest = (within - turns * 0.693359375f) + turns * 2.12194440e-4f;
    Vector p = splat(1.9875691500e-4f);
    p = p * rest + 1.3981999507e-3f;
    p = p * rest + 8.3334519073e-3f;
    p = p * rest + 4.1665795894e-2f;
    p = p * rest + 1.6666665459e-1f;
    p = p * rest + 5.0000001201e-1f;
    p = p * rest * rest + rest + 1.0f;
    Mask power = (__builtin_convertvector(turns, Mask) + 127) << 23;
    return (Vector)((Mask)(p * (Vector)power) & ~(x < splat(-87.0f)));
}

/* A function's parts by a team of threads that somebody else keeps: see Team in binding.py. */
struct team {
    void (*function)(const void *);
    const char *jobs; /* `count` of them, `size` bytes apart */
    int64_t count, size;
    int (*number)(void), (*threads)(void); /* which thread of the team this one is, and of how many */
};

EXPORT void of_team(void *given)
{
    const struct team *team = given;
    for (int64_t job = team->number(); job < team->count; job += team->threads()) /* it may be a smaller team */
        team->function(team->jobs + job * team->size);
}

#include "attention.h"
#include "additive.h"
#include "linear8.h"
#include "rows.h"
