/* Matrix products in tiles that stay in registers, over a right side packed into panels.
 *
 * A panel is up to PANEL vectors wide and as deep as the product: panel[k][vector][lane]. Rows of the left side and of
 * the result are given by pointers, so that they may lie anywhere. Each sum is formed in one order of k whatever the
 * shape of the tile: results do not depend on which rows are worked on together, nor on the number of threads.
 *
 * While a tile is worked out, one line of memory for every other k is fetched into the second-level cache: first what
 * the next block of steps will read and write, then the panel that comes next.
 */
#ifndef PRODUCTS_H
#define PRODUCTS_H

#include "vectors.h"

#define LINE 64
#define RANGES 4
#define DEEP 4         /* steps of k in one round of the loop: else the counting would take turns from the products */
#define DEPTH 256      /* at most this many products are summed at a stretch: longer sums round more */
#define NEAR 96        /* rows of a block that lie in a near cache beside the weights */
#define AHEAD_ALONE 24 /* rows of a panel */

/* Memory that will be wanted soon. */
typedef struct {
    const char *at[RANGES], *end[RANGES];
    int count;
} Ahead;

INLINE void want(Ahead *ahead, const void *from, const void *to)
{
    if (from && ahead->count < RANGES) {
        ahead->at[ahead->count] = from;
        ahead->end[ahead->count++] = to;
    }
}

/* Where the next `lines` lines to fetch start; `idle` where nothing is wanted. */
INLINE const char *next_lines(Ahead *ahead, long lines, const void *idle)
{
    while (ahead->count) {
        int last = ahead->count - 1;
        const char *found = ahead->at[last];
        ahead->at[last] += lines * LINE;
        if (found < ahead->end[last])
            return found;
        ahead->count--;
    }
    return idle;
}

typedef void Tile(long from, long depth, const float *const *left, const float *panel, const float *start,
                  float *const *out, long at, long gap, const char *ahead);

/* sum[i][v] += row[i][k] panel[v]; a line from `ahead` is fetched unless it is null. */
INLINE void add_one(int rows, int vectors, long k, const float *const *row, const float *panel, Vector (*sum)[4],
                    const char *ahead)
{
    Vector right[4];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
        right[v] = load(panel + v * LANES);
    if (rows > 1) {
        if (ahead)
            __builtin_prefetch(ahead, 0, 2);
    } else /* it reads the panel as fast as memory gives it */
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            __builtin_prefetch(panel + (AHEAD_ALONE * vectors + v) * LANES, 0, 3);
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
        Vector factor = splat(row[i][k]);
        KEEP(factor);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum[i][v] = add_product(sum[i][v], factor, right[v]);
    }
}

/* out[i][at + v gap] = (start, or what stands there) + sum over k of left[i][from + k] panel[k][v]. */
INLINE void tile(int rows, int vectors, long from, long depth, const float *const *left, const float *panel,
                 const float *start, float *const *out, long at, long gap, const char *ahead)
{
    Vector sum[MOST_ROWS][4];
    const float *row[MOST_ROWS];
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
        row[i] = left[i] + from;
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum[i][v] = splat(0);
    }
    long k = 0;
    for (; k + DEEP <= depth; k += DEEP, panel += DEEP * vectors * LANES, ahead += DEEP / 2 * LINE)
#pragma GCC unroll 4
        for (int j = 0; j < DEEP; j++)
            add_one(rows, vectors, k + j, row, panel + j * vectors * LANES, sum, j % 2 ? 0 : ahead + j / 2 * LINE);
    for (; k < depth; k++, panel += vectors * LANES)
        add_one(rows, vectors, k, row, panel, sum, 0);
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            store(out[i] + at + v * gap, sum[i][v] + load(start ? start + v * LANES : out[i] + at + v * gap));
}

#define TILE(R, V)                                                                                                     \
    static void tile_##R##_##V(long from, long depth, const float *const *left, const float *panel,                    \
                               const float *start, float *const *out, long at, long gap, const char *ahead)            \
    {                                                                                                                  \
        tile(R, V, from, depth, left, panel, start, out, at, gap, ahead);                                              \
    }
#define TILES(V) TILE(1, V) TILE(2, V) TILE(3, V) TILE(4, V) TILE(5, V) TILE(6, V) TILE(7, V) TILE(8, V)
TILES(1) TILES(2) TILES(3) TILES(4)
#define NAMES(V) {tile_1_##V, tile_2_##V, tile_3_##V, tile_4_##V, tile_5_##V, tile_6_##V, tile_7_##V, tile_8_##V}
static Tile *const tiles[4][MOST_ROWS] = {NAMES(1), NAMES(2), NAMES(3), NAMES(4)};

/* One panel's product for any number of rows, in tiles as equal as can be; the panel after it is taken to come next. */
static void product(long rows, int vectors, long depth, const float *const *left, const float *panel,
                    const float *start, float *const *out, long at, long gap, Ahead *ahead)
{
    long most = ROWS_OF(vectors), count = (rows + most - 1) / most, parts = (depth + DEPTH - 1) / DEPTH;
    for (long p = 0; p < parts; p++) {
        long from = depth * p / parts, to = depth * (p + 1) / parts, width = vectors * LANES * (long)sizeof(float);
        long bytes = (to - from) * width, behind = to * width;
        for (long t = 0; t < count; t++) {
            long low = rows * t / count, high = rows * (t + 1) / count, lines = (to - from) / 2;
            const char *next = next_lines(ahead, lines, 0);
            if (!next)
                next = (const char *)panel + (t * lines * LINE < bytes ? behind + t * lines * LINE : 0);
            tiles[vectors - 1][high - low - 1](from, to - from, left + low, panel + from * vectors * LANES,
                                               p ? 0 : start, out + low, at, gap, next);
        }
    }
}

/* Columns in panels as equal as can be: where panel p starts, in vectors. */
INLINE long panels_of(long columns) { return ((columns + LANES - 1) / LANES + PANEL - 1) / PANEL; }
INLINE long panel_at(long columns, long p) { return (columns + LANES - 1) / LANES * p / panels_of(columns); }

/* out = start or what stands there, + left times a matrix packed by `pack_plain`; rows of `out` may end anywhere. */
static void product_plain(long rows, long columns, long depth, const float *const *left, const float *packed,
                          const float *start, float *const *out, Ahead *ahead)
{
    for (long p = 0; p < panels_of(columns); p++) {
        long at = panel_at(columns, p), next = panel_at(columns, p + 1);
        const float *panel = packed + at * LANES * depth, *from = start ? start + at * LANES : 0;
        int vectors = (int)(next - at);
        if (next * LANES <= columns) {
            product(rows, vectors, depth, left, panel, from, out, at * LANES, LANES, ahead);
            continue;
        }
        float space[MOST_ROWS][4 * LANES], *to[MOST_ROWS];
        long width = columns - at * LANES;
        for (int i = 0; i < MOST_ROWS; i++)
            to[i] = space[i];
        for (long low = 0; low < rows; low += MOST_ROWS) {
            long some = rows - low < MOST_ROWS ? rows - low : MOST_ROWS;
            for (long i = 0; i < some && !from; i++) {
                memset(space[i], 0, sizeof space[i]);
                memcpy(space[i], out[low + i] + at * LANES, (size_t)width * sizeof(float));
            }
            product(some, vectors, depth, left + low, panel, from, to, 0, LANES, ahead);
            for (long i = 0; i < some; i++)
                memcpy(out[low + i] + at * LANES, space[i], (size_t)width * sizeof(float));
        }
    }
}

/* A matrix (depth, columns) with rows `stride` apart into panels; zeros beyond the last column. */
static void pack_plain(long depth, long columns, const float *const *rows, float *packed)
{
    for (long p = 0; p < panels_of(columns); p++) {
        long at = panel_at(columns, p), next = panel_at(columns, p + 1);
        for (long k = 0; k < depth; k++)
            for (long v = at; v < next; v++, packed += LANES)
                store(packed, load_some(rows[k] + v * LANES, columns - v * LANES));
    }
}

#endif
