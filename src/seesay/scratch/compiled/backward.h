/* The way back: step by step the gates and one product with W_hh; for a block of steps all that needs no order. */
#ifndef BACKWARD_H
#define BACKWARD_H

#include "layer.h"
#include "products.h"

#define ACROSS 6 /* rows of a weight's gradient in one tile */

/* out[i][v LANES] = (nothing, or what stands there) + sum over k of left[k][i] panel[k][v]: over the rows of a block.
 *
 * Each block's sum is formed by itself and then added: over thousands of rows that rounds less than one long sum does.
 */
INLINE void tile_across(int vectors, long depth, const float *left, const float *panel, int fresh, float *const *out,
                        const char *ahead)
{
    Vector sum[ACROSS][4];
#pragma GCC unroll 8
    for (int i = 0; i < ACROSS; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            sum[i][v] = splat(0);
            __builtin_prefetch(out[i] + v * LANES, 1, 3);
        }
    for (long k = 0; k < depth; k++, left += ACROSS, panel += vectors * LANES) {
        Vector right[4];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            right[v] = load(panel + v * LANES);
        __builtin_prefetch(ahead + k * LINE, 0, 2);
#pragma GCC unroll 8
        for (int i = 0; i < ACROSS; i++) {
            Vector factor = splat(left[i]);
            KEEP(factor);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                sum[i][v] += factor * right[v];
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < ACROSS; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            store(out[i] + v * LANES, fresh ? sum[i][v] : load(out[i] + v * LANES) + sum[i][v]);
}

static void sum_tile(int vectors, long depth, const float *left, const float *panel, int fresh, float *const *out,
                     const char *ahead)
{
    switch (vectors) {
    case 1: tile_across(1, depth, left, panel, fresh, out, ahead); break;
    case 2: tile_across(2, depth, left, panel, fresh, out, ahead); break;
    case 3: tile_across(3, depth, left, panel, fresh, out, ahead); break;
    default: tile_across(4, depth, left, panel, fresh, out, ahead);
    }
}

/* W_ih or W_hh as the way back multiplies by it: (planes padded, columns), rows of zeros beyond the last unit. */
static int pack_back(const Layer *l, const float *weight, long columns, int first, int planes, float *packed)
{
    const float **rows = malloc((size_t)(planes * l->padded) * sizeof *rows);
    float *nothing = calloc((size_t)columns, sizeof *nothing);
    if (rows && nothing) {
        for (int plane = 0; plane < planes; plane++)
            for (long unit = 0; unit < l->padded; unit++)
                rows[plane * l->padded + unit] =
                    unit < l->hidden ? weight + (gate_of(l->kind, first + plane) * l->hidden + unit) * columns
                                     : nothing;
        pack_plain(planes * l->padded, columns, rows, packed);
    }
    int fine = rows && nothing;
    free(rows);
    free(nothing);
    return fine;
}

/* The units' gradients of a block in tiles [k][ACROSS], zeros beyond the last unit of the last plane. */
static void pack_units(const Layer *l, long rows, const float *const *gates, int first, int planes, long low,
                       long high, float *packed)
{
    long units = planes * l->hidden;
    for (long t = low; t < high; t++, packed += rows * ACROSS) {
        long offsets[ACROSS], some = units - t * ACROSS < ACROSS ? units - t * ACROSS : ACROSS;
        for (long i = 0; i < some; i++) {
            long unit = t * ACROSS + i;
            offsets[i] = (first + unit / l->hidden) * l->padded + unit % l->hidden;
        }
        for (long i = some; i < ACROSS; i++)
            offsets[i] = offsets[0]; /* its sum is thrown away */
        if (offsets[ACROSS - 1] == offsets[0] + ACROSS - 1)
            for (long k = 0; k < rows; k++)
                memcpy(packed + k * ACROSS, gates[k] + offsets[0], ACROSS * sizeof(float));
        else
            for (long k = 0; k < rows; k++)
                for (long i = 0; i < ACROSS; i++)
                    packed[k * ACROSS + i] = gates[k][offsets[i]];
    }
}

/* dweight (G H, columns) (+)= the sum over a block's rows of da times `right`, for tiles low..high of the units. */
static void add_weight(const Layer *l, long rows, long columns, const float *units, int first, int planes, long low,
                       long high, const float *const *right, float *panel, int fresh, float *dweight, Ahead *ahead)
{
    float spare[4 * LANES] = {0}, space[ACROSS][4 * LANES];
    for (long p = 0; p < panels_of(columns); p++) {
        long at = panel_at(columns, p) * LANES, end = panel_at(columns, p + 1) * LANES;
        int vectors = (int)((end - at) / LANES), whole = end <= columns;
        for (long k = 0; k < rows; k++)
            for (int v = 0; v < vectors; v++)
                store(panel + (k * vectors + v) * LANES, load_some(right[k] + at + v * LANES, columns - at - v * LANES));
        for (long t = low; t < high; t++) {
            float *out[ACROSS], *to[ACROSS];
            for (long i = 0; i < ACROSS; i++) {
                long unit = t * ACROSS + i, plane = unit / l->hidden;
                out[i] = plane >= planes ? 0 : dweight + at
                    + (gate_of(l->kind, first + (int)plane) * l->hidden + unit % l->hidden) * columns;
                to[i] = !whole ? space[i] : out[i] ? out[i] : spare;
            }
            const float *left = units + (t - low) * rows * ACROSS;
            sum_tile(vectors, rows, left, panel, fresh || !whole, to, next_lines(ahead, rows, panel));
            for (long i = 0; i < ACROSS && !whole; i++)
                for (long j = 0; out[i] && j < columns - at; j++)
                    out[i][j] = fresh ? space[i][j] : out[i][j] + space[i][j];
        }
    }
}

#endif
