/* softmax(q k / sqrt(d)) v of rows over the places of their groups, head by head: keys and values are read once for
   the rows of a group that lie side by side, and no table of all scores is written down. */
#ifndef ATTENTION_H
#define ATTENTION_H

#define AT_ONCE 6 /* rows of a group that share a read */
#define WIDE 4    /* vectors of a head at once: with AT_ONCE rows their sums fill the registers */
#define HIDDEN -1.7014117e38f /* half of the least there is: see hiding() in attention.py */

struct attending {
    struct share share;
    int64_t heads, size, places, levels, by_row; /* by_row: the mask has a row for each row, not for each group */
    int64_t query_row, mask_row, key_group, key_level, key_head, key_place;
    int64_t value_group, value_level, value_head, value_place;
    const float *query;      /* (N, h d) */
    const int64_t *group;    /* (N) */
    const float *key, *value; /* (G, E, h, S, d), by their strides */
    const uint8_t *mask;     /* (N or G, S) */
    float *context;          /* (N, E, h d) */
    float *looked;           /* (N, S) the mean weight over heads and levels */
    float *room;             /* for each part, 3 AT_ONCE rows of places, up to whole vectors */
};

#if defined(__AVX512F__)
/* Sums of neighbours: of each four lanes of a and b, and then of four vectors. */
INLINE __m512 by_ones(__m512 a, __m512 b) { return _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)); }
INLINE __m512 by_twos(__m512 a, __m512 b)
{
    __m512d x = (__m512d)a, y = (__m512d)b;
    return _mm512_add_ps((__m512)_mm512_unpacklo_pd(x, y), (__m512)_mm512_unpackhi_pd(x, y));
}
INLINE __m512 by_fours(__m512 a, __m512 b)
{
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}
#endif

/* The products of a query with LANES keys, of which `left` exist; the others' are of no use. */
INLINE Vector products_with(const float *query, const float *key, int64_t stride, int64_t size, int64_t left)
{
#if defined(__AVX512F__)
    __m512 sum[LANES], four[4];
    if (size == WIDE * LANES && left >= LANES) {
        __m512 q[WIDE];
#pragma GCC unroll 4
        for (int v = 0; v < WIDE; v++)
            q[v] = _mm512_loadu_ps(query + v * LANES);
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) {
            sum[i] = _mm512_mul_ps(q[0], _mm512_loadu_ps(key + i * stride));
#pragma GCC unroll 4
            for (int v = 1; v < WIDE; v++)
                sum[i] = _mm512_fmadd_ps(q[v], _mm512_loadu_ps(key + i * stride + v * LANES), sum[i]);
        }
    } else {
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++)
            sum[i] = _mm512_setzero_ps();
        for (int64_t k = 0; k < size; k += LANES) {
            __mmask16 some = size - k >= LANES ? 0xffff : (__mmask16)((1u << (size - k)) - 1);
            __m512 q = _mm512_maskz_loadu_ps(some, query + k);
#pragma GCC unroll 16
            for (int i = 0; i < LANES; i++) {
                const float *at = key + (i < left ? i : 0) * stride + k;
                sum[i] = _mm512_fmadd_ps(q, _mm512_maskz_loadu_ps(some, at), sum[i]);
            }
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        four[i] = by_twos(by_ones(sum[4 * i], sum[4 * i + 1]), by_ones(sum[4 * i + 2], sum[4 * i + 3]));
    return (Vector)by_fours(by_fours(four[0], four[1]), by_fours(four[2], four[3]));
#else
    float found[LANES] = {0};
    for (int64_t i = 0; i < left && i < LANES; i++) {
        Vector sum = splat(0);
        for (int64_t k = 0; k < size; k += LANES)
            sum += load_some(query + k, size - k) * load_some(key + i * stride + k, size - k);
        found[i] = total(sum);
    }
    return load(found);
#endif
}

/* Asks for what the next head needs of LANES places, while this one's are worked on. */
INLINE void fetch(const float *from, int64_t stride, int64_t size, int64_t left)
{
    for (int64_t i = 0; i < left && i < LANES; i++)
        for (int64_t k = 0; k < size; k += 16) /* floats of a line */
            __builtin_prefetch(from + i * stride + k, 0, 2);
}

/* Scores (padded) become weights that sum to 1. */
INLINE void soften(float *scores, const float *hidden, int64_t padded, float scale)
{
    Vector most = splat(-3.4e38f), sum = splat(0);
    for (int64_t s = 0; s < padded; s += LANES) {
        Vector score = load(scores + s) * scale + load(hidden + s);
        store(scores + s, score);
        most = greater(score, most);
    }
    float top = highest(most);
    for (int64_t s = 0; s < padded; s += LANES) {
        Vector weight = exponential(load(scores + s) - top);
        store(scores + s, weight);
        sum += weight;
    }
    float share = 1 / total(sum);
    for (int64_t s = 0; s < padded; s += LANES)
        store(scores + s, load(scores + s) * share);
}

/* The weighted sums of values for WIDE vectors of a head, of which `left` floats exist, to rows of `context`. */
INLINE void mix(int rows, const float *weights, int64_t padded, const float *value, int64_t stride, int64_t places,
                int64_t left, float *context, int64_t context_row)
{
    Vector sum[AT_ONCE][WIDE];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < WIDE; v++)
            sum[r][v] = splat(0);
    if (left >= WIDE * LANES) {
        for (int64_t s = 0; s < places; s++) {
            Vector some[WIDE];
#pragma GCC unroll 4
            for (int v = 0; v < WIDE; v++)
                some[v] = load(value + s * stride + v * LANES);
#pragma GCC unroll 6
            for (int r = 0; r < rows; r++) {
                Vector weight = splat(weights[r * padded + s]);
#pragma GCC unroll 4
                for (int v = 0; v < WIDE; v++)
                    sum[r][v] = add_product(sum[r][v], weight, some[v]);
            }
        }
    } else {
        for (int64_t s = 0; s < places; s++)
            for (int v = 0; v * LANES < left; v++) {
                Vector some = load_some(value + s * stride + v * LANES, left - v * LANES);
                for (int r = 0; r < rows; r++)
                    sum[r][v] = add_product(sum[r][v], splat(weights[r * padded + s]), some);
            }
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < WIDE; v++)
            store_some(context + r * context_row + v * LANES, sum[r][v], left - v * LANES);
}

/* `rows` rows of one group, from row `first` on. */
INLINE void attend_together(int rows, const struct attending *a, int64_t first, float *weights)
{
    int64_t padded = (a->places + LANES - 1) / LANES * LANES, group = a->group[first];
    int64_t wide = a->heads * a->size, context_row = a->levels * wide;
    float scale = 1 / sqrtf((float)a->size), mean = 1 / (float)(a->heads * a->levels);
    float *hidden = weights + AT_ONCE * padded, *looked = hidden + AT_ONCE * padded;
    for (int r = 0; r < rows; r++) {
        const uint8_t *mask = a->mask + (a->by_row ? first + r : group) * a->mask_row;
        for (int64_t s = 0; s < padded; s++) {
            hidden[r * padded + s] = s >= a->places ? 2 * HIDDEN : mask[s] ? 0 : HIDDEN;
            looked[r * padded + s] = 0;
        }
    }
    for (int64_t level = 0; level < a->levels; level++)
        for (int64_t head = 0; head < a->heads; head++) {
            const float *key = a->key + group * a->key_group + level * a->key_level + head * a->key_head;
            const float *value = a->value + group * a->value_group + level * a->value_level + head * a->value_head;
            const float *query = a->query + first * a->query_row + head * a->size;
            for (int64_t s = 0; s < a->places; s += LANES) {
                int64_t left = a->places - s;
                fetch(key + a->key_head + s * a->key_place, a->key_place, a->size, left);
                fetch(value + a->value_head + s * a->value_place, a->value_place, a->size, left);
                for (int r = 0; r < rows; r++) {
                    const float *some = key + s * a->key_place;
                    Vector scores = products_with(query + r * a->query_row, some, a->key_place, a->size, left);
                    store(weights + r * padded + s, scores);
                }
            }
            for (int r = 0; r < rows; r++) {
                float *own = weights + r * padded, *sum = looked + r * padded;
                soften(own, hidden + r * padded, padded, scale);
                for (int64_t s = 0; s < padded; s += LANES)
                    store(sum + s, load(sum + s) + load(own + s) * mean);
            }
            float *to = a->context + first * context_row + level * wide + head * a->size;
            for (int64_t k = 0; k < a->size; k += WIDE * LANES)
                mix(rows, weights, padded, value + k, a->value_place, a->places, a->size - k, to + k, context_row);
        }
    for (int r = 0; r < rows; r++)
        memcpy(a->looked + (first + r) * a->places, looked + r * padded, (size_t)a->places * sizeof(float));
}

/* Calls `together(rows, a, first, room)` for every run of rows of one group, at most AT_ONCE of them, in a part's rows.
   A macro with the number spelt out: known to the compiler, it lets the sums stay in registers. */
#define IN_RUNS(together, a, room)                                                                                     \
    for (int64_t n = first_row(&(a)->share), end = last_row(&(a)->share); n < end;) {                                  \
        int some = 1;                                                                                                  \
        while (some < AT_ONCE && n + some < end && (a)->group[n + some] == (a)->group[n])                              \
            some++;                                                                                                    \
        switch (some) {                                                                                                \
        case 1: together(1, a, n, room); break;                                                                        \
        case 2: together(2, a, n, room); break;                                                                        \
        case 3: together(3, a, n, room); break;                                                                        \
        case 4: together(4, a, n, room); break;                                                                        \
        case 5: together(5, a, n, room); break;                                                                        \
        default: together(6, a, n, room);                                                                              \
        }                                                                                                              \
        n += some;                                                                                                     \
    }

EXPORT void attend(const struct attending *a)
{
    int64_t padded = (a->places + LANES - 1) / LANES * LANES;
    float *room = a->room + a->share.part * 3 * AT_ONCE * padded;
    IN_RUNS(attend_together, a, room)
}

#endif
