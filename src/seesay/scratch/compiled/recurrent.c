/* The recurrent layers of seesay.scratch in C: what `binding.py` calls. Every function returns 0, or 1 out of memory.
 *
 * The formulas are those of cells.py. One thread calls each function for its own part of the batch's rows; none writes
 * where another reads, and no sum depends on how many there are.
 */
#include "backward.h"
#include "forward.h"

#define EXPORT __attribute__((visibility("default")))

/* Pointers to the rows of a block or of a step, and panels for the sums over its rows. */
typedef struct {
    const float **left, **h;
    float **out;
    Row *rows;
    float *panel;
    long *blocks; /* the step at which each block starts, and the end */
    long count;
    Ahead ahead;
} Space;

static void leave(Space *s)
{
    free(s->left), free(s->h), free(s->out), free(s->rows), free(s->panel), free(s->blocks);
}

static float *vectors_of(long floats) { return aligned_alloc(64, ((size_t)floats * sizeof(float) + 127) / 64 * 64); }

static int enter(const Layer *l, Space *s, int sums)
{
    long most = sums ? SUMMED : 1, rows;
    *s = (Space){.blocks = malloc((size_t)(l->steps + 1) * sizeof(long))};
    if (!s->blocks)
        return 0;
    for (long at = 0; at < l->steps; s->count++) {
        s->blocks[s->count] = at;
        at = block_end(l, at, &rows);
        most = rows > most ? rows : most;
    }
    s->blocks[s->count] = l->steps;
    s->left = malloc((size_t)most * sizeof *s->left);
    s->h = malloc((size_t)most * sizeof *s->h);
    s->out = malloc((size_t)most * sizeof *s->out);
    s->rows = malloc((size_t)most * sizeof *s->rows);
    if (sums)
        s->panel = vectors_of(SUMMED * TOGETHER * PANEL * LANES);
    if (s->left && s->h && s->out && s->rows && (!sums || s->panel))
        return 1;
    leave(s);
    return 0;
}

static void look_ahead(const Layer *l, Space *s, long block, int back)
{
    s->ahead.count = 0;
    if (block >= 0 && block < s->count)
        want_block(l, s->blocks[block], s->blocks[block + 1], back, &s->ahead);
}

EXPORT int64_t lanes(void) { return LANES; }
EXPORT int64_t between(void) { return BETWEEN; }

/* The floats that `packed` must hold. */
EXPORT int64_t packed_size(const Layer *l)
{
    int64_t across = l->padded * (l->input + l->hidden + 2), back = panels_of(l->input) * PANEL + panels_of(l->hidden) * PANEL;
    across = planes_x(l->kind) * across + l->padded;
    back *= planes_x(l->kind) * l->padded * LANES;
    return across > back ? across : back;
}

EXPORT int pack_forward(const Layer *l)
{
    int planes = planes_x(l->kind);
    pack_gates(l, l->weight_x, l->input, 0, planes, l->packed);
    pack_gates(l, l->weight_h, l->hidden, first_plane_h(l->kind), planes, packed_h(l));
    pack_start(l);
    return 0;
}

EXPORT int forward(const Layer *l)
{
    Space space;
    if (!enter(l, &space, 0))
        return 1;
    long shift = first_plane_h(l->kind) * l->padded;
    for (long b = 0; b < space.count; b++) {
        look_ahead(l, &space, b + 1, 0);
        block_product(l, space.blocks[b], space.blocks[b + 1], space.left, space.out, &space.ahead);
        for (long s = space.blocks[b]; s < space.blocks[b + 1]; s++) {
            long rows = step_rows(l, s, space.rows);
            for (long r = 0; r < rows; r++) {
                space.left[r] = space.rows[r].h;
                space.out[r] = space.rows[r].gates;
            }
            step_product(l, rows, l->hidden, space.left, packed_h(l), 0, space.out, shift, space.rows,
                         &space.ahead);
        }
    }
    leave(&space);
    return 0;
}

static const float *packed_back_h(const Layer *l)
{
    return l->packed + planes_x(l->kind) * l->padded * ((l->input + LANES - 1) / LANES) * LANES;
}

EXPORT int pack_backward(const Layer *l)
{
    int planes = planes_x(l->kind);
    return !(pack_back(l, l->weight_x, l->input, 0, planes, l->packed) &&
             pack_back(l, l->weight_h, l->hidden, first_plane_h(l->kind), planes, (float *)packed_back_h(l)));
}

/* Adds rows low.. to the weights' gradients, or starts them with these: of the units, this part out of `parts`. */
static void add_block(const Layer *l, long low, long rows, Space *space)
{
    long planes = planes_x(l->kind), width = planes_of(l->kind) * l->padded;
    long tiles_all = (planes * l->hidden + ACROSS - 1) / ACROSS;
    long first = tiles_all * l->part / l->parts, end = tiles_all * (l->part + 1) / l->parts;
    const float *gates = gates_at(l, low);
    add_weight(l, rows, l->input, gates, 0, (int)planes, first, end, space->left, space->panel, low == 0, l->dweight_x);
    add_weight(l, rows, l->hidden, gates, first_plane_h(l->kind), (int)planes, first, end, space->h, space->panel,
               low == 0, l->dweight_h);
    if (l->part == 0)
        add_bias(rows, width, gates, row_of(l), low == 0, l->dbias);
}

static void step_back(const Layer *l, long s, Space *space, const float *zeros)
{
    int planes = planes_x(l->kind), gru = l->kind == GRU;
    long rows = step_rows(l, s, space->rows);
    switch (l->kind) {
    case LSTM: gates_back(LSTM, space->rows, rows, l->hidden, l->padded); break;
    case GRU: gates_back(GRU, space->rows, rows, l->hidden, l->padded); break;
    case RELU: gates_back(RELU, space->rows, rows, l->hidden, l->padded); break;
    default: gates_back(TANH, space->rows, rows, l->hidden, l->padded);
    }
    for (long r = 0; r < rows; r++) {
        space->left[r] = space->rows[r].gates + first_plane_h(l->kind) * l->padded;
        space->out[r] = space->rows[r].dh;
    }
    product_plain(rows, l->padded, planes * l->padded, space->left, packed_back_h(l), gru ? 0 : zeros, space->out,
                  &space->ahead);
}

/* The steps of this part's rows. */
EXPORT int backward(const Layer *l)
{
    Space space;
    float *zeros = calloc((size_t)(l->padded + LANES), sizeof *zeros);
    if (!zeros || !enter(l, &space, 0)) {
        free(zeros);
        return 1;
    }
    for (long b = space.count - 1; b >= 0; b--) {
        look_ahead(l, &space, b - 1, 1);
        for (long s = space.blocks[b + 1] - 1; s >= space.blocks[b]; s--)
            step_back(l, s, &space, zeros);
    }
    free(zeros);
    leave(&space);
    return 0;
}

/* A block of dx = (start, or what stands there) + da times W_ih. */
static void block_by_input(const Layer *l, long low, long rows, const float *start, float *dx, Ahead *ahead)
{
    const float *left[NEAR];
    float *out[NEAR];
    for (long r = 0; r < rows; r++) {
        left[r] = gates_at(l, low + r);
        out[r] = dx + (low + r) * l->input;
    }
    product_plain(rows, l->input, planes_x(l->kind) * l->padded, left, l->packed, start, out, ahead);
}

/* dx, after `backward` has left the gradients by all pre-activations in place, here and in `beside`: of the rows, this
 * part out of `parts`.
 */
EXPORT int by_input(const Layer *l)
{
    float *zeros = calloc((size_t)(l->input + PANEL * LANES), sizeof *zeros);
    if (!zeros)
        return 1;
    long all = rows_of(l), end = all * (l->part + 1) / l->parts;
    for (long low = all * l->part / l->parts; low < end; low += NEAR) {
        long rows = end - low < NEAR ? end - low : NEAR;
        Ahead ahead = {.count = 0};
        for (const Layer *one = l; one; one = one->beside)
            want(&ahead, gates_at(one, low + rows), gates_at(one, end - low < 2 * NEAR ? end : low + 2 * NEAR));
        for (const Layer *one = l; one; one = one->beside)
            block_by_input(one, low, rows, one == l ? zeros : 0, l->dx, &ahead);
    }
    free(zeros);
    return 0;
}

/* The weights' gradients, after `backward` has left the gradients by all pre-activations in place. */
EXPORT int gradients(const Layer *l)
{
    Space space;
    if (!enter(l, &space, 1))
        return 1;
    int up = l->steps < 2 || l->starts[l->steps - 1] >= l->starts[0];
    long low = 0, rows = 0, all = rows_of(l);
    for (long n = 0; n < l->steps; n++) { /* the rows one after the other, as they lie in memory */
        long s = up ? n : l->steps - 1 - n;
        for (long r = 0; r < l->counts[s]; r++) {
            space.left[rows] = l->x + (l->starts[s] + r) * l->x_stride;
            space.h[rows] = h_before(l, s, r);
            if (++rows == SUMMED || low + rows == all) {
                add_block(l, low, rows, &space);
                low += rows;
                rows = 0;
            }
        }
    }
    leave(&space);
    return 0;
}

/* The products of x with W_ih alone, into the gates of every row: what a step without x starts from. */
EXPORT int inputs(const Layer *l)
{
    Space space;
    if (!enter(l, &space, 0))
        return 1;
    for (long b = 0; b < space.count; b++)
        block_product(l, space.blocks[b], space.blocks[b + 1], space.left, space.out, &space.ahead);
    leave(&space);
    return 0;
}

/* One step in decoding: `first_h`, and `first_c` where there is one, become the state after it.
 *
 * Where x is null its product is in the gates already. Weights larger than the second-level cache are read from their
 * other end every second time (`turned`): what was read last is still near then.
 */
EXPORT int step(Layer *l)
{
    Space space;
    if (!enter(l, &space, 0))
        return 1;
    if (l->x)
        block_product(l, 0, 1, space.left, space.out, &space.ahead);
    long rows = step_rows(l, 0, space.rows);
    for (long r = 0; r < rows; r++) {
        space.left[r] = space.rows[r].h;
        space.out[r] = space.rows[r].gates;
    }
    step_product(l, rows, l->hidden, space.left, packed_h(l), 0, space.out, first_plane_h(l->kind) * l->padded,
                 space.rows, &space.ahead);
    for (long r = 0; r < rows; r++) /* only now: every panel has read the old state */
        memcpy((float *)space.rows[r].h, space.rows[r].out, (size_t)l->hidden * sizeof(float));
    l->turned = !l->turned;
    leave(&space);
    return 0;
}
