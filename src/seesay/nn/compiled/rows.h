/* Rows of floats: a residual sum and its normalisation, the sum of exponentials, the highest numbers. */
#ifndef ROWS_H
#define ROWS_H

struct residual {
    struct share share;
    int64_t size;
    const float *x, *y, *weight, *bias, *weight_again, *bias_again; /* the last two null: once */
    float *out, epsilon, epsilon_again;
};

/* row of numbers to (row - mean) / deviation * weight + bias, in place (Ba et al. 2016, eq. 4) */
INLINE void normalise_row(float *row, int64_t size, const float *weight, const float *bias, float epsilon)
{
    Vector sum = splat(0), squares = splat(0);
    int64_t whole = size / LANES * LANES;
    for (int64_t k = 0; k < whole; k += LANES)
        sum += load(row + k);
    float rest = 0, spread = 0;
    for (int64_t k = whole; k < size; k++)
        rest += row[k];
    float mean = (total(sum) + rest) / (float)size;
    for (int64_t k = 0; k < whole; k += LANES) {
        Vector off = load(row + k) - mean;
        store(row + k, off);
        squares += off * off;
    }
    for (int64_t k = whole; k < size; k++) {
        row[k] -= mean;
        spread += row[k] * row[k];
    }
    float scale = 1 / sqrtf((total(squares) + spread) / (float)size + epsilon);
    for (int64_t k = 0; k < whole; k += LANES)
        store(row + k, load(row + k) * scale * load(weight + k) + load(bias + k));
    for (int64_t k = whole; k < size; k++)
        row[k] = row[k] * scale * weight[k] + bias[k];
}

INLINE void add_row(float *to, const float *x, const float *y, int64_t size)
{
    int64_t k = 0;
    for (; k + LANES <= size; k += LANES)
        store(to + k, load(x + k) + load(y + k));
    for (; k < size; k++)
        to[k] = x[k] + y[k];
}

EXPORT void add_and_normalise(const struct residual *a)
{
    for (int64_t row = first_row(&a->share); row < last_row(&a->share); row++) {
        const float *x = a->x + row * a->size;
        float *out = a->out + row * a->size;
        add_row(out, x, a->y + row * a->size, a->size);
        normalise_row(out, a->size, a->weight, a->bias, a->epsilon);
        if (a->weight_again) {
            add_row(out, x, out, a->size);
            normalise_row(out, a->size, a->weight_again, a->bias_again, a->epsilon_again);
        }
    }
}

struct scanning {
    struct share share;
    int64_t size, count;
    const float *scores;
    float *sums, *values; /* (N), (N, count) */
    int64_t *places;      /* (N, count) */
};

/* The sum of the exponentials of each row; of use where it lost nothing (see SAFE in decoding/scores.py). */
EXPORT void exponential_sums(const struct scanning *a)
{
    for (int64_t row = first_row(&a->share); row < last_row(&a->share); row++) {
        const float *scores = a->scores + row * a->size;
        Vector one = splat(0), other = splat(0);
        int64_t k = 0;
        for (; k + 2 * LANES <= a->size; k += 2 * LANES) {
            one += exponential(load(scores + k));
            other += exponential(load(scores + k + LANES));
        }
        float sum = total(one + other);
        for (; k < a->size; k++)
            sum += exponential(splat(scores[k]))[0];
        a->sums[row] = sum;
    }
}

/* Puts a score among the highest so far; of equal ones the first stays in front. */
INLINE void place(float score, int64_t at, int64_t count, float *values, int64_t *places)
{
    int64_t slot = count - 1;
    for (; slot > 0 && score > values[slot - 1]; slot--) {
        values[slot] = values[slot - 1];
        places[slot] = places[slot - 1];
    }
    values[slot] = score;
    places[slot] = at;
}

/* The `count` highest scores of each row, the highest first. Few scores beat the least of those kept so far. */
EXPORT void highest_scores(const struct scanning *a)
{
    for (int64_t row = first_row(&a->share); row < last_row(&a->share); row++) {
        const float *scores = a->scores + row * a->size;
        float *values = a->values + row * a->count, *least = values + a->count - 1;
        int64_t *places = a->places + row * a->count, k = 0;
        for (; k < a->count; k++) /* so that there are so many places, even where nothing may be said */
            place(scores[k], k, k + 1, values, places);
        for (; k + LANES <= a->size; k += LANES) {
            Mask more = load(scores + k) > splat(*least);
#if defined(__AVX512F__)
            if (!_mm512_test_epi32_mask((__m512i)more, (__m512i)more))
                continue;
#endif
            for (int lane = 0; lane < LANES; lane++)
                if (more[lane] && scores[k + lane] > *least)
                    place(scores[k + lane], k + lane, a->count, values, places);
        }
        for (; k < a->size; k++)
            if (scores[k] > *least)
                place(scores[k], k, a->count, values, places);
    }
}

#endif
