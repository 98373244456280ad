/* The way forth: for a block of steps one product with x, then step by step one with h and the gates. */
#ifndef FORWARD_H
#define FORWARD_H

#include "layer.h"
#include "products.h"

/* Panels of a weight (G H, depth): for a gated layer the gates of the same LANES units lie side by side. */
static void pack_gates(const Layer *l, const float *weight, long depth, int first, int planes, float *packed)
{
    int gated = planes_of(l->kind) > 1;
    long vectors = l->padded / LANES;
    for (long p = 0; p < (gated ? vectors : panels_of(l->padded)); p++) {
        long at = gated ? p : panel_at(l->padded, p), next = gated ? p + 1 : panel_at(l->padded, p + 1);
        int width = gated ? planes : (int)(next - at);
        for (long low = 0; low < depth; low += LANES) /* a line of each row at a time */
            for (int v = 0; v < width; v++) {
                long unit = (gated ? at : at + v) * LANES, plane = gated ? first + v : 0;
                long lanes = l->hidden - unit < LANES ? l->hidden - unit : LANES;
                const float *from = weight + (gate_of(l->kind, (int)plane) * l->hidden + unit) * depth;
                float scale = scale_of(l->kind, (int)plane);
                for (long k = low; k < depth && k < low + LANES; k++)
                    store(packed + (k * width + v) * LANES, pick(from + k, depth, lanes) * scale);
            }
        packed += width * depth * LANES;
    }
}

/* What the sums start from: the biases in the order of the panels, and then that of a GRU's q, (padded,). */
static void pack_start(const Layer *l)
{
    int planes = planes_x(l->kind), gated = planes > 1;
    float *start = packed_start(l);
    memset(start, 0, (size_t)((planes + 1) * l->padded) * sizeof(float));
    if (!l->bias_x)
        return;
    for (int plane = 0; plane < planes_of(l->kind); plane++) {
        long from = gate_of(l->kind, plane) * l->hidden;
        for (long unit = 0; unit < l->hidden; unit++) {
            long at = gated ? (unit / LANES * planes + plane) * LANES + unit % LANES : unit;
            if (plane == planes)
                start[planes * l->padded + unit] = l->bias_h[from + unit];
            else if (l->kind == GRU && plane == 0)
                start[at] = l->bias_x[from + unit];
            else
                start[at] = (l->bias_x[from + unit] + l->bias_h[from + unit]) * scale_of(l->kind, plane);
        }
    }
}

/* Adds a product to `rows` rows of gates, a panel at a time; each panel's gates follow while they lie in a near cache. */
static void step_product(const Layer *l, long rows, long depth, const float *const *left, const float *packed,
                         const float *start, float *const *gates, long shift, const Row *after, Ahead *ahead)
{
    int planes = planes_x(l->kind), gated = planes > 1;
    long panels = gated ? l->padded / LANES : panels_of(l->padded);
    for (long n = 0; n < panels; n++) {
        long p = l->turned ? panels - 1 - n : n;
        long at = (gated ? p : panel_at(l->padded, p)) * LANES;
        long end = (gated ? p + 1 : panel_at(l->padded, p + 1)) * LANES;
        int width = gated ? planes : (int)((end - at) / LANES);
        long before = gated ? at * planes : at;
        product(rows, width, depth, left, packed + before * depth, start ? start + before : 0, gates, at + shift,
                gated ? l->padded : LANES, ahead);
        if (!after)
            continue;
        switch (l->kind) { /* the kind known where it is inlined */
        case LSTM: gates_forward(LSTM, after, rows, at, end, l->hidden, l->padded); break;
        case GRU: gates_forward(GRU, after, rows, at, end, l->hidden, l->padded); break;
        case RELU: gates_forward(RELU, after, rows, at, end, l->hidden, l->padded); break;
        default: gates_forward(TANH, after, rows, at, end, l->hidden, l->padded);
        }
    }
}

static void block_product(const Layer *l, long from, long to, const float **left, float **gates, Ahead *ahead)
{
    const float *start = packed_start(l), *start_q = start + planes_x(l->kind) * l->padded;
    long rows = 0;
    for (long s = from; s < to; s++)
        for (long r = l->part; r < l->counts[s]; r += l->parts, rows++) {
            left[rows] = l->x + (l->starts[s] + r) * l->x_stride;
            gates[rows] = gates_at(l, l->starts[s] + r);
        }
    step_product(l, rows, l->input, left, l->packed, start, gates, 0, 0, ahead);
    for (long r = 0; r < rows && l->kind == GRU; r++)
        memcpy(gates[r] + 3 * l->padded, start_q, (size_t)l->padded * sizeof(float));
}

static long step_rows(const Layer *l, long s, Row *rows)
{
    long count = 0;
    for (long r = l->part; r < l->counts[s]; r += l->parts) {
        long row = l->starts[s] + r;
        rows[count++] = (Row){
            .gates = gates_at(l, row),
            .h = h_before(l, s, r),
            .c = l->kind == LSTM ? c_before(l, s, r) : 0,
            .cells = l->cells + row * l->padded,
            .out = l->out + row * l->out_stride,
            .dout = l->dout + row * l->dout_stride,
            .dh = l->dh + r * l->padded,
            .dc = l->dc + r * l->padded,
        };
    }
    return count;
}

#endif
