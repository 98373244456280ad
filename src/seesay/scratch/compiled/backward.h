/* The way back: step by step the gates and one product with W_hh; for a block of steps all that needs no order. */
#ifndef BACKWARD_H
#define BACKWARD_H

#include "layer.h"
#include "products.h"

#define ACROSS 6 /* rows of a weight's gradient in one tile */

/* sum[i][v] += left[i] panel[v] */
INLINE void across_one(int vectors, const float *const *left, long at, const float *panel, Vector (*sum)[4])
{
    Vector right[4];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
        right[v] = load(panel + v * LANES);
    __builtin_prefetch(left[ACROSS - 1] + at + ACROSS, 0, 3); /* the next tile's */
#pragma GCC unroll 8
    for (int i = 0; i < ACROSS; i++) {
        Vector factor = splat(left[i][at]);
        KEEP(factor);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum[i][v] = add_product(sum[i][v], factor, right[v]);
    }
}

/* out[i][v LANES] = (nothing, or what stands there) + sum over k of left[i][k stride] panel[k][v]: over a block's rows.
 *
 * Each block's sum is formed by itself and then added: over thousands of rows that rounds less than one long sum does.
 */
INLINE void tile_across(int vectors, long depth, const float *const *left, long stride, const float *panel, int fresh,
                        float *const *out, const char *ahead)
{
    Vector sum[ACROSS][4];
    const float *row[ACROSS];
#pragma GCC unroll 8
    for (int i = 0; i < ACROSS; i++) {
        row[i] = left[i];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            sum[i][v] = splat(0);
            __builtin_prefetch(out[i] + v * LANES, 1, 3);
        }
    }
    long k = 0, at = 0;
    for (; k + DEEP <= depth; k += DEEP, panel += DEEP * vectors * LANES, ahead += LINE) {
        __builtin_prefetch(ahead, 0, 2);
#pragma GCC unroll 4
        for (int j = 0; j < DEEP; j++, at += stride)
            across_one(vectors, row, at, panel + j * vectors * LANES, sum);
    }
    for (; k < depth; k++, at += stride, panel += vectors * LANES)
        across_one(vectors, row, at, panel, sum);
#pragma GCC unroll 8
    for (int i = 0; i < ACROSS; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            store(out[i] + v * LANES, fresh ? sum[i][v] : load(out[i] + v * LANES) + sum[i][v]);
}

static void sum_tile(int vectors, long depth, const float *const *left, long stride, const float *panel, int fresh,
                     float *const *out, const char *ahead)
{
    switch (vectors) {
    case 1: tile_across(1, depth, left, stride, panel, fresh, out, ahead); break;
    case 2: tile_across(2, depth, left, stride, panel, fresh, out, ahead); break;
    case 3: tile_across(3, depth, left, stride, panel, fresh, out, ahead); break;
    default: tile_across(4, depth, left, stride, panel, fresh, out, ahead);
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

/* Columns at.. of rows as a panel, zeros beyond the last column. */
static void pack_rows(long rows, int vectors, const float *const *from, long at, long columns, float *panel)
{
    if (vectors == PANEL && at + PANEL * LANES <= columns) {
        for (long k = 0; k < rows; k++, panel += PANEL * LANES) {
            const float *next = from[k + 8 < rows ? k + 8 : k] + at;
#pragma GCC unroll 4
            for (int v = 0; v < PANEL; v++) {
                __builtin_prefetch(next + v * LANES, 0, 3);
                store(panel + v * LANES, load(from[k] + at + v * LANES));
            }
        }
        return;
    }
    for (long k = 0; k < rows; k++)
        for (int v = 0; v < vectors; v++, panel += LANES)
            store(panel, load_some(from[k] + at + v * LANES, columns - at - v * LANES));
}

/* dweight (G H, columns) (+)= the sum over a block's rows of da times `right`, for tiles low..high of the units. */
static void add_weight(const Layer *l, long rows, long columns, const float *gates, int first, int planes, long low,
                       long high, const float *const *right, float *panel, int fresh, float *dweight, Ahead *ahead)
{
    float spare[4 * LANES] = {0}, space[ACROSS][4 * LANES];
    for (long p = 0; p < panels_of(columns); p++) {
        long at = panel_at(columns, p) * LANES, end = panel_at(columns, p + 1) * LANES;
        int vectors = (int)((end - at) / LANES), whole = end <= columns;
        long plane = low * ACROSS / l->hidden, unit = low * ACROSS % l->hidden;
        pack_rows(rows, vectors, right, at, columns, panel);
        for (long t = low; t < high; t++) {
            float *out[ACROSS], *to[ACROSS];
            const float *left[ACROSS];
            for (long i = 0; i < ACROSS; i++) {
                out[i] = plane >= planes ? 0 : dweight + at
                    + (gate_of(l->kind, first + (int)plane) * l->hidden + unit) * columns;
                to[i] = !whole ? space[i] : out[i] ? out[i] : spare;
                left[i] = out[i] ? gates + (first + plane) * l->padded + unit : left[0];
                if (++unit == l->hidden) /* counted: a division for each would take its time */
                    unit = 0, plane++;
            }
            sum_tile(vectors, rows, left, row_of(l), panel, fresh || !whole, to, next_lines(ahead, rows / DEEP, panel));
            for (long i = 0; i < ACROSS && !whole; i++)
                for (long j = 0; out[i] && j < columns - at; j++)
                    out[i][j] = fresh ? space[i][j] : out[i][j] + space[i][j];
        }
    }
}

/* dbias (width,) (+)= the sum of a block's rows. */
static void add_bias(long rows, long width, const float *gates, long stride, int fresh, float *dbias)
{
    long at = 0;
    for (; at + 4 * LANES <= width; at += 4 * LANES) {
        Vector sum[4] = {splat(0), splat(0), splat(0), splat(0)};
        for (long k = 0; k < rows; k++)
#pragma GCC unroll 4
            for (int v = 0; v < 4; v++)
                sum[v] += load(gates + k * stride + at + v * LANES);
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++)
            store(dbias + at + v * LANES, fresh ? sum[v] : load(dbias + at + v * LANES) + sum[v]);
    }
    for (; at < width; at += LANES) {
        Vector sum = splat(0);
        for (long k = 0; k < rows; k++)
            sum += load(gates + k * stride + at);
        store(dbias + at, fresh ? sum : load(dbias + at) + sum);
    }
}

#endif
