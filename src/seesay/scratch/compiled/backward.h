/* The way back: step by step the gates and one product with W_hh; then, of all rows at once, what needs no order. */
#ifndef BACKWARD_H
#define BACKWARD_H

#include "layer.h"
#include "products.h"

#define ACROSS 6   /* rows of a weight's gradient in one tile */
#define SUMMED 256 /* rows of da that are summed at a stretch: more would round more than NumPy's sums do */
#define TOGETHER 8 /* panels that are packed at a time: half a megabyte, and the rest of the cache for what passes by */

/* sum[i][v] += left[i] panel[v]; `near`: the next tile's left side is fetched meanwhile. */
INLINE void across_one(int vectors, int near, const float *const *left, long at, const float *panel, Vector (*sum)[4])
{
    Vector right[4];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
        right[v] = load(panel + v * LANES);
    if (near)
        __builtin_prefetch(left[ACROSS - 1] + at + ACROSS, 0, 3);
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
INLINE void tile_across(int vectors, int near, long depth, const float *const *left, long stride, const float *panel,
                        int fresh, float *const *out)
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
    for (; k + DEEP <= depth; k += DEEP, panel += DEEP * vectors * LANES)
#pragma GCC unroll 4
        for (int j = 0; j < DEEP; j++, at += stride)
            across_one(vectors, near, row, at, panel + j * vectors * LANES, sum);
    for (; k < depth; k++, at += stride, panel += vectors * LANES)
        across_one(vectors, near, row, at, panel, sum);
#pragma GCC unroll 8
    for (int i = 0; i < ACROSS; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            store(out[i] + v * LANES, fresh ? sum[i][v] : load(out[i] + v * LANES) + sum[i][v]);
}

typedef void TileAcross(long depth, const float *const *left, long stride, const float *panel, int fresh,
                        float *const *out);
#define ACROSS_TILE(V, NEAR)                                                                                           \
    static void across_##V##_##NEAR(long depth, const float *const *left, long stride, const float *panel, int fresh,  \
                                    float *const *out)                                                                 \
    {                                                                                                                  \
        tile_across(V, NEAR, depth, left, stride, panel, fresh, out);                                                  \
    }
#define ACROSS_TILES(V) ACROSS_TILE(V, 0) ACROSS_TILE(V, 1)
ACROSS_TILES(1) ACROSS_TILES(2) ACROSS_TILES(3) ACROSS_TILES(4)
static TileAcross *const tiles_across[4][2] = {
    {across_1_0, across_1_1}, {across_2_0, across_2_1}, {across_3_0, across_3_1}, {across_4_0, across_4_1}};

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

/* Where ACROSS rows of a weight's gradient, from the unit `unit` of plane `plane` on, come from and go to; null: none. */
static void rows_across(const Layer *l, const float *gates, int first, int planes, long tile, long columns,
                        float *dweight, const float **left, float **out)
{
    long plane = tile * ACROSS / l->hidden, unit = tile * ACROSS % l->hidden;
    for (long i = 0; i < ACROSS; i++) {
        out[i] = plane < planes ? dweight + (gate_of(l->kind, first + (int)plane) * l->hidden + unit) * columns : 0;
        left[i] = out[i] ? gates + (first + plane) * l->padded + unit : left[0];
        if (++unit == l->hidden) /* counted: a division for each would take its time */
            unit = 0, plane++;
    }
}

/* One tile's share of a block: to dweight's columns at.., or where those end before the panel, by way of `space`. */
static void add_tile(long rows, int near, const float *const *left, long stride, const float *panel, int vectors,
                     long columns, long at, int fresh, float *const *out)
{
    float spare[4 * LANES] = {0}, space[ACROSS][4 * LANES], *to[ACROSS];
    int whole = at + vectors * LANES <= columns;
    for (long i = 0; i < ACROSS; i++)
        to[i] = !whole ? space[i] : out[i] ? out[i] + at : spare;
    tiles_across[vectors - 1][near](rows, left, stride, panel, fresh || !whole, to);
    for (long i = 0; i < ACROSS && !whole; i++)
        for (long j = 0; out[i] && j < columns - at; j++)
            out[i][at + j] = fresh ? space[i][j] : out[i][at + j] + space[i][j];
}

/* dweight (G H, columns) (+)= the sum over a block's rows of da times `right`, for tiles low..high of the units.
 *
 * A tile's columns of da are read once for all panels that are packed, and stay near meanwhile; dweight, which with a
 * large layer no cache holds, is read and written once for SUMMED rows.
 */
static void add_weight(const Layer *l, long rows, long columns, const float *gates, int first, int planes, long low,
                       long high, const float *const *right, float *panels, int fresh, float *dweight)
{
    for (long from = 0; from < panels_of(columns); from += TOGETHER) {
        long to = from + TOGETHER < panels_of(columns) ? from + TOGETHER : panels_of(columns);
        long start = panel_at(columns, from);
        for (long p = from; p < to; p++) {
            long at = panel_at(columns, p);
            pack_rows(rows, (int)(panel_at(columns, p + 1) - at), right, at * LANES, columns,
                      panels + (at - start) * rows * LANES);
        }
        for (long t = low; t < high; t++) {
            const float *left[ACROSS];
            float *out[ACROSS];
            rows_across(l, gates, first, planes, t, columns, dweight, left, out);
            for (long p = from; p < to; p++) {
                long at = panel_at(columns, p);
                add_tile(rows, p == from, left, row_of(l), panels + (at - start) * rows * LANES,
                         (int)(panel_at(columns, p + 1) - at), columns, at * LANES, fresh, out);
            }
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
