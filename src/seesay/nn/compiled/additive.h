/* Additive attention: softmax(v . tanh(query + key)) over the places of a row's group, and the mean of their values. */
#ifndef ADDITIVE_H
#define ADDITIVE_H

struct additive {
    struct share share;
    int64_t size, places, wide;    /* A, S, H */
    const float *query;            /* (N, A) */
    const int64_t *group;          /* (N) */
    const float *key, *value;      /* (G, S, A), (G, S, H) */
    const float *score;            /* (A): v */
    const uint8_t *mask;           /* (G, S) */
    float *context, *weights;      /* (N, H), (N, S) */
    float *room;                   /* for each part, AT_ONCE rows of places up to whole vectors, and one more */
};

INLINE float additive_score(const float *query, const float *key, const float *score, int64_t size)
{
    Vector sum = splat(0);
    int64_t k = 0;
    for (; k + LANES <= size; k += LANES)
        sum += squash(load(query + k) + load(key + k)) * load(score + k);
    if (k < size) {
        Vector both = load_some(query + k, size - k) + load_some(key + k, size - k);
        sum += squash(both) * load_some(score + k, size - k);
    }
    return total(sum);
}

INLINE void additive_together(int rows, const struct additive *a, int64_t first, float *weights)
{
    int64_t padded = (a->places + LANES - 1) / LANES * LANES, group = a->group[first];
    const float *key = a->key + group * a->places * a->size, *value = a->value + group * a->places * a->wide;
    const uint8_t *mask = a->mask + group * a->places;
    float *hidden = weights + AT_ONCE * padded;
    for (int64_t s = 0; s < padded; s++)
        hidden[s] = s >= a->places ? 2 * HIDDEN : mask[s] ? 0 : HIDDEN;
    for (int r = 0; r < rows; r++) {
        float *own = weights + r * padded;
        for (int64_t s = 0; s < padded; s++)
            own[s] = hidden[s] ? 0 : additive_score(a->query + (first + r) * a->size, key + s * a->size, a->score, a->size);
        soften(own, hidden, padded, 1);
        for (int64_t s = 0; s < padded; s++) /* where nothing may be seen, nothing is */
            own[s] = hidden[s] ? 0 : own[s];
        memcpy(a->weights + (first + r) * a->places, own, (size_t)a->places * sizeof(float));
    }
    for (int64_t k = 0; k < a->wide; k += WIDE * LANES)
        mix(rows, weights, padded, value + k, a->wide, a->places, a->wide - k, a->context + first * a->wide + k, a->wide);
}

EXPORT void attend_additively(const struct additive *a)
{
    int64_t padded = (a->places + LANES - 1) / LANES * LANES;
    float *room = a->room + a->share.part * (AT_ONCE + 1) * padded;
    IN_RUNS(additive_together, a, room)
}

#endif
