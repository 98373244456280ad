/* What follows a step's products: the gates of LANES hidden units of one row, forwards and backwards (see cells.py).
 *
 * A row of `gates` holds planes of `padded` floats: h | n r z q | i f g o. Beyond the last unit all stays zero.
 */
#ifndef GATES_H
#define GATES_H

#include "vectors.h"

enum Kind { TANH, RELU, GRU, LSTM };

/* One row of one step, as the functions below see it. */
typedef struct {
    float *gates;        /* pre-activations; then values; on the way back gradients by pre-activations */
    const float *h, *c;  /* the state before */
    float *cells, *out;  /* the state after */
    const float *dout;
    float *dh, *dc;      /* gradients by the state after; then by the state before, as far as no product is needed */
} Row;

INLINE void plain_forward(Row r, long at, long left, int relu)
{
    Vector a = load(r.gates + at);
    if (relu)
        a = (Vector)((Mask)a & ~(Mask)(a < splat(0))); /* nan stays nan */
    else
        a = squash(a);
    store_some(r.out + at, a, left);
}

INLINE void plain_back(Row r, long at, long left, int relu)
{
    Vector d = load(r.dh + at) + load_some(r.dout + at, left), h = load_some(r.out + at, left);
    Vector slope = relu ? (Vector)((Mask)splat(1) & (Mask)(h > splat(0))) : splat(1) - h * h;
    store(r.gates + at, d * slope);
}

INLINE void gru_forward(Row r, long at, long left, long plane)
{
    float *g = r.gates + at;
    Vector reset = sigmoid_of_twice(load(g + plane)), keep = sigmoid_of_twice(load(g + 2 * plane));
    Vector n = squash(load(g) + reset * load(g + 3 * plane)), h = load_some(r.h + at, left);
    store(g, n);
    store(g + plane, reset);
    store(g + 2 * plane, keep);
    store_some(r.out + at, n + keep * (h - n), left);
}

INLINE void gru_back(Row r, long at, long left, long plane)
{
    float *g = r.gates + at;
    Vector n = load(g), reset = load(g + plane), keep = load(g + 2 * plane), q = load(g + 3 * plane);
    Vector d = load(r.dh + at) + load_some(r.dout + at, left), h = load_some(r.h + at, left), rest = splat(1) - keep;
    Vector da = d * rest * (splat(1) - n * n);
    store(g, da);
    store(g + plane, da * q * reset * (splat(1) - reset));
    store(g + 2 * plane, d * (h - n) * keep * rest);
    store(g + 3 * plane, da * reset);
    store(r.dh + at, d * keep);
}

INLINE void lstm_forward(Row r, long at, long left, long plane)
{
    float *g = r.gates + at;
    Vector i = sigmoid_of_twice(load(g)), f = sigmoid_of_twice(load(g + plane));
    Vector n = squash(load(g + 2 * plane)), o = sigmoid_of_twice(load(g + 3 * plane));
    Vector c = f * load(r.c + at) + i * n;
    store(g, i);
    store(g + plane, f);
    store(g + 2 * plane, n);
    store(g + 3 * plane, o);
    store(r.cells + at, c);
    store_some(r.out + at, o * squash(c), left);
}

INLINE void lstm_back(Row r, long at, long left, long plane)
{
    float *g = r.gates + at;
    Vector i = load(g), f = load(g + plane), n = load(g + 2 * plane), o = load(g + 3 * plane);
    Vector d = load(r.dh + at) + load_some(r.dout + at, left), t = squash(load(r.cells + at));
    Vector e = load(r.dc + at) + d * o * (splat(1) - t * t);
    store(g, e * n * i * (splat(1) - i));
    store(g + plane, e * load(r.c + at) * f * (splat(1) - f));
    store(g + 2 * plane, e * i * (splat(1) - n * n));
    store(g + 3 * plane, d * t * o * (splat(1) - o));
    store(r.dc + at, e * f);
}

INLINE void gates_forward(int kind, const Row *rows, long count, long low, long high, long hidden, long plane)
{
    for (long r = 0; r < count; r++)
        for (long at = low; at < high; at += LANES)
            switch (kind) {
            case LSTM: lstm_forward(rows[r], at, hidden - at, plane); break;
            case GRU: gru_forward(rows[r], at, hidden - at, plane); break;
            default: plain_forward(rows[r], at, hidden - at, kind == RELU);
            }
}

static void gates_back(int kind, const Row *rows, long count, long hidden, long plane)
{
    for (long r = 0; r < count; r++)
        for (long at = 0; at < hidden; at += LANES)
            switch (kind) {
            case LSTM: lstm_back(rows[r], at, hidden - at, plane); break;
            case GRU: gru_back(rows[r], at, hidden - at, plane); break;
            default: plain_back(rows[r], at, hidden - at, kind == RELU);
            }
}

#endif
