/* One direction of one layer over packed rows (see packing.py), as the binding describes it. */
#ifndef LAYER_H
#define LAYER_H

#include "gates.h"
#include "products.h"

typedef struct Layer Layer;
struct Layer {
    int64_t kind, input, hidden, padded; /* I, H, and H up to the next multiple of LANES */
    int64_t steps, block;                /* `block` rows, at least, are worked on while they lie in a near cache */
    const int64_t *starts, *counts;      /* of each step, in the direction's order: first row, rows */
    int64_t turned;                      /* panels from the last to the first: see `step` */
    int64_t part, parts;                 /* of a batch, this thread takes the rows part, part + parts, ... */
    const float *x;                      /* (N, I), rows `x_stride` apart */
    int64_t x_stride;
    const float *weight_x, *weight_h, *bias_x, *bias_h; /* as torch.nn keeps them; no bias: null */
    const float *first_h, *first_c;      /* (B, padded) */
    float *packed;                       /* `packed_size` floats: panels, then sums to start from */
    float *gates, *cells;                /* (N, planes padded + BETWEEN), (N, padded) */
    float *out;                          /* (N, H), rows `out_stride` apart */
    int64_t out_stride;
    const float *dout;                   /* (N, H), rows `dout_stride` apart */
    int64_t dout_stride;
    float *dh, *dc;                      /* (B, padded): by the last state, afterwards by the first */
    float *dx;                           /* (N, I); that of both directions: see `by_input` */
    float *dweight_x, *dweight_h, *dbias; /* as the weights; (planes, padded) */
    const Layer *beside;                 /* the other direction, whose share of dx is added to this one's; or null */
};

/* Planes of a row of gates; those that x's product fills, and the first and number of those that h's product fills. */
INLINE int planes_of(int64_t kind) { return kind == LSTM || kind == GRU ? 4 : 1; }
INLINE int planes_x(int64_t kind) { return kind == LSTM ? 4 : kind == GRU ? 3 : 1; }
INLINE int first_plane_h(int64_t kind) { return kind == GRU; }

/* Which gate of torch.nn's order a plane holds: a GRU has r z n there, and n r z q here. */
INLINE long gate_of(int64_t kind, int plane) { return kind == GRU ? (plane == 0 ? 2 : plane - 1) : plane; }
INLINE float scale_of(int64_t kind, int plane) /* see `sigmoid_of_twice` */
{
    return kind == LSTM ? (plane == 2 ? 1.0f : 0.5f) : kind == GRU ? (plane % 3 == 0 ? 1.0f : 0.5f) : 1.0f;
}

/* Where the parts of `packed` lie. */
INLINE float *packed_h(const Layer *l) { return l->packed + planes_x(l->kind) * l->padded * l->input; }
INLINE float *packed_start(const Layer *l) { return packed_h(l) + planes_x(l->kind) * l->padded * l->hidden; }

/* From one row of `gates` to the next: a line of memory more than its planes, or rows a power of two apart would all want
 * the same few places of the nearest cache.
 */
#define BETWEEN 16
INLINE long row_of(const Layer *l) { return planes_of(l->kind) * l->padded + BETWEEN; }

/* What a row of `gates` and what comes before it in time is, for the row `r` of step `s`. */
INLINE const float *h_before(const Layer *l, long s, long r)
{
    return s && r < l->counts[s - 1] ? l->out + (l->starts[s - 1] + r) * l->out_stride : l->first_h + r * l->padded;
}
INLINE const float *c_before(const Layer *l, long s, long r)
{
    return s && r < l->counts[s - 1] ? l->cells + (l->starts[s - 1] + r) * l->padded : l->first_c + r * l->padded;
}
/* N: the rows of all steps. */
INLINE long rows_of(const Layer *l)
{
    long rows = 0;
    for (long s = 0; s < l->steps; s++)
        rows += l->counts[s];
    return rows;
}
INLINE float *gates_at(const Layer *l, long row) { return l->gates + row * row_of(l); }

/* The end of the run of steps that makes up a block starting at step `s`, and the block's rows. */
INLINE long block_end(const Layer *l, long s, long *rows)
{
    for (*rows = 0; s < l->steps && *rows < l->block; s++)
        *rows += l->counts[s];
    return s;
}

#define ROOM (640 << 10) /* bytes beside the weights in the second-level cache; more would drive out what is in use */

/* What the block of steps from..to will read and write, to be fetched beforehand where there is room for it. */
INLINE void want_block(const Layer *l, long from, long to, int back, Ahead *ahead)
{
    int up = l->starts[to - 1] >= l->starts[from];
    long low = l->starts[up ? from : to - 1], last = up ? to - 1 : from, high = l->starts[last] + l->counts[last];
    long floats = (planes_of(l->kind) + 1) * l->padded + (back ? l->dout_stride : l->x_stride);
    if ((high - low) * floats * (long)sizeof(float) > ROOM)
        return;
    if (!back)
        want(ahead, l->x + low * l->x_stride, l->x + high * l->x_stride);
    if (l->kind == LSTM)
        want(ahead, l->cells + low * l->padded, l->cells + high * l->padded);
    if (back)
        want(ahead, l->dout + low * l->dout_stride, l->dout + high * l->dout_stride);
    want(ahead, gates_at(l, low), gates_at(l, high));
}

#endif
