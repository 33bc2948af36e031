/*
 * device.c - the processor as a device: each operation of a program over the current rows.
 *
 * Row work is cut by rows or by values, always so that a chunk owns what it writes; nothing is added across chunks.
 */
#include "engine/device.h"

#include <string.h>

#include "base/mem.h"
#include "engine/cpu/rows.h"
#include "engine/cpu/work.h"

enum {
    FORK_PAYS = 6000, /* values or multiply-adds below which one thread is done before the others have woken */
    VALUES = 2048     /* of one chunk of plain arithmetic */
};

void cv_share(struct cv_pool *pool, cv_pool_fn *fn, void *ctx, size_t n, size_t work)
{
    if (pool != NULL && n > 1 && work >= FORK_PAYS) {
        cv_pool_run(pool, fn, ctx, n);
        return;
    }
    for (size_t i = 0; i < n; i++)
        fn(ctx, i, 0);
}

struct job {
    struct cv_exec *e;
    const struct cv_op *op;
    size_t step; /* rows or values of one chunk */
    size_t all;
    size_t width;
    float *y;
    const float *a, *b;
};

static float *buffer(struct cv_exec *e, int i)
{
    return i < 0 ? NULL : e->buffer[i];
}

static size_t width_of(const struct cv_exec *e, int i)
{
    return e->program->buffer[i].width;
}

/* Cuts `all` things into chunks of `step` and shares them out. */
static void share_steps(struct job *j, cv_pool_fn *fn, size_t step, size_t all, size_t work)
{
    j->step = step;
    j->all = all;
    cv_share(j->e->pool, fn, j, (all + step - 1) / step, work);
}

static size_t end_of(const struct job *j, size_t chunk)
{
    size_t end = (chunk + 1) * j->step;
    return end < j->all ? end : j->all;
}

/* As many rows as make about VALUES values. */
static size_t rows_per_chunk(size_t width)
{
    return width >= VALUES ? 1 : VALUES / (width == 0 ? 1 : width);
}

static void embed_rows(void *ctx, size_t chunk, unsigned thread)
{
    (void)thread;
    struct job *j = ctx;
    const struct cv_program *p = j->e->program;
    const struct cv_weight *w = &p->weight[j->op->weight[0]];
    const struct cv_loaded *l = &j->e->weight[j->op->weight[0]];
    for (size_t r = chunk * j->step; r < end_of(j, chunk); r++) {
        size_t token = (size_t)j->e->row[r].token;
        if (w->form == CV_WEIGHT_MATRIX)
            cv_matrix_get_row(&l->matrix, token, j->y + r * j->width);
        else
            cv_dequantize(w->dtype, (const unsigned char *)l->table + token * l->row_bytes, j->y + r * j->width, w->k);
    }
}

static void run_embed(struct cv_exec *e, const struct cv_op *op)
{
    size_t width = width_of(e, op->dst[0]);
    struct job j = {.e = e, .op = op, .y = buffer(e, op->dst[0]), .width = width};
    share_steps(&j, embed_rows, rows_per_chunk(width), e->n_row, e->n_row * width);
}

static void run_pick(struct cv_exec *e, const struct cv_op *op)
{
    uint32_t n = 0;
    for (uint32_t r = 0; r < e->n_row; r++) {
        if (!e->row[r].want)
            continue;
        for (uint32_t i = 0; i < op->n_mat && n != r; i++) {
            size_t width = width_of(e, op->src[i]);
            memcpy(buffer(e, op->src[i]) + n * width, buffer(e, op->src[i]) + r * width, width * sizeof(float));
        }
        e->row[n++] = e->row[r];
    }
    e->n_row = n;
}

static void norm_rows(void *ctx, size_t chunk, unsigned thread)
{
    (void)thread;
    struct job *j = ctx;
    const float *w = j->e->weight[j->op->weight[0]].vector;
    size_t head = j->width / j->op->n_head;
    for (size_t r = chunk * j->step; r < end_of(j, chunk); r++) {
        float *x = (float *)j->a + r * j->width;
        if (j->b != NULL)
            cv_rows.add(x, x, j->b + r * j->width, j->width);
        for (size_t h = 0; h < j->width; h += head)
            cv_rows.rms_norm(j->y + r * j->width + h, x + h, w, head, j->op->eps);
    }
}

static void run_norm(struct cv_exec *e, const struct cv_op *op)
{
    size_t width = width_of(e, op->dst[0]);
    struct job j = {.e = e,
                    .op = op,
                    .y = buffer(e, op->dst[0]),
                    .a = buffer(e, op->src[0]),
                    .b = buffer(e, op->src[1]),
                    .width = width};
    share_steps(&j, norm_rows, rows_per_chunk(width), e->n_row, e->n_row * width);
}

static void add_values(void *ctx, size_t chunk, unsigned thread)
{
    (void)thread;
    struct job *j = ctx;
    size_t i = chunk * j->step;
    cv_rows.add(j->y + i, j->a + i, j->b + i, end_of(j, chunk) - i);
}

static void glu_values(void *ctx, size_t chunk, unsigned thread)
{
    (void)thread;
    struct job *j = ctx;
    size_t i = chunk * j->step;
    cv_rows.silu_mul(j->y + i, j->a + i, j->b + i, end_of(j, chunk) - i);
}

/* Buffers are dense, so plain arithmetic does not see rows at all. */
static void run_values(struct cv_exec *e, const struct cv_op *op, cv_pool_fn *fn, size_t cost)
{
    size_t n = e->n_row * width_of(e, op->dst[0]);
    struct job j = {.e = e, .y = buffer(e, op->dst[0]), .a = buffer(e, op->src[0]), .b = buffer(e, op->src[1])};
    share_steps(&j, fn, VALUES, n, n * cost);
}

static void run_add(struct cv_exec *e, const struct cv_op *op)
{
    run_values(e, op, add_values, 1);
}

static void run_glu(struct cv_exec *e, const struct cv_op *op)
{
    run_values(e, op, glu_values, 4);
}

static void bias_rows(void *ctx, size_t chunk, unsigned thread)
{
    (void)thread;
    struct job *j = ctx;
    for (size_t r = chunk * j->step; r < end_of(j, chunk); r++)
        cv_rows.add(j->y + r * j->width, j->y + r * j->width, j->b, j->width);
}

static void add_bias(struct cv_exec *e, float *y, size_t width, int weight)
{
    if (weight == CV_NO_WEIGHT)
        return;
    struct job j = {.e = e, .y = y, .b = e->weight[weight].vector, .width = width};
    share_steps(&j, bias_rows, rows_per_chunk(width), e->n_row, e->n_row * width);
}

/* Products of all matrices that want the activations in the same form, in one fork; then of the others. */
static void run_matmul(struct cv_exec *e, const struct cv_op *op)
{
    const struct cv_cpu_work *work = e->work;
    size_t k = width_of(e, op->src[0]);
    for (int quantized = 0; quantized < 2 && e->n_row != 0; quantized++) {
        const struct cv_matrix *w[CV_OP_FAN];
        float *y[CV_OP_FAN];
        size_t ldy[CV_OP_FAN], n = 0;
        for (uint32_t i = 0; i < op->n_mat; i++) {
            const struct cv_matrix *m = &e->weight[op->weight[i]].matrix;
            if (cv_dtype_wants_quantized_acts(m->dtype) != (quantized == 1))
                continue;
            w[n] = m;
            y[n] = buffer(e, op->dst[i]);
            ldy[n++] = m->n_out;
        }
        if (n == 0)
            continue;
        struct cv_acts acts;
        cv_acts_prepare(&acts, w[0]->dtype, buffer(e, op->src[0]), k, e->n_row, k, work->acts, e->pool);
        cv_matmul_many(y, ldy, w, n, &acts, e->pool);
    }
    for (uint32_t i = 0; i < op->n_mat; i++)
        add_bias(e, buffer(e, op->dst[i]), width_of(e, op->dst[i]), op->bias[i]);
}

static void run_logits(struct cv_exec *e, const struct cv_op *op)
{
    const struct cv_cpu_work *work = e->work;
    const struct cv_matrix *m = &e->weight[op->weight[0]].matrix;
    if (e->n_row == 0)
        return;
    struct cv_acts acts;
    cv_acts_prepare(&acts, m->dtype, buffer(e, op->src[0]), m->k, e->n_row, m->k, work->acts, e->pool);
    cv_matmul(e->logits, m->n_out, m, &acts, e->pool);
    add_bias(e, e->logits, m->n_out, op->bias[0]);
}

static void turn(const struct cv_exec *e, float *x, size_t n_head, size_t head, uint32_t at)
{
    const struct cv_rope *rope = &e->program->rope;
    size_t n_pair = rope->n_rot / 2;
    const float *c = e->cosine + at * n_pair, *s = e->sine + at * n_pair;
    for (size_t h = 0; h < n_head; h++) {
        if (rope->mode == CV_ROPE_PAIRS)
            cv_rows.rope_pairs(x + h * head, c, s, n_pair);
        else
            cv_rows.rope_halves(x + h * head, c, s, n_pair);
    }
}

static void rope_rows(void *ctx, size_t chunk, unsigned thread)
{
    (void)thread;
    struct job *j = ctx;
    size_t head = j->width / j->op->n_head;
    for (size_t r = chunk * j->step; r < end_of(j, chunk); r++)
        turn(j->e, j->y + r * j->width, j->op->n_head, head, j->e->row[r].at);
}

static void run_rope(struct cv_exec *e, const struct cv_op *op)
{
    size_t width = width_of(e, op->dst[0]);
    struct job j = {.e = e, .op = op, .y = buffer(e, op->dst[0]), .width = width};
    share_steps(&j, rope_rows, rows_per_chunk(width), e->n_row, e->n_row * width);
}

static void store_rows(void *ctx, size_t chunk, unsigned thread)
{
    (void)thread;
    struct job *j = ctx;
    struct cv_exec *e = j->e;
    const struct cv_kv *kv = e->kv;
    const struct cv_kv_spec *spec = &kv->spec;
    uint32_t layer = j->op->layer - e->program->part.layer_first;
    size_t n_k = spec->n_embd_head_k, n_v = spec->n_embd_head_v;
    bool f16 = spec->type == CV_DTYPE_F16, turned = j->op->kind == CV_OP_ROPE_STORE;
    for (size_t r = chunk * j->step; r < end_of(j, chunk); r++) {
        const struct cv_exec_row *row = &e->row[r];
        float *k = buffer(e, j->op->src[0]) + r * spec->n_head_kv * n_k;
        const float *v = buffer(e, j->op->src[1]) + r * spec->n_head_kv * n_v;
        if (turned) {
            turn(e, k, spec->n_head_kv, n_k, row->at);
            if (j->op->src[2] >= 0)
                turn(e, buffer(e, j->op->src[2]) + r * j->width, j->width / n_k, n_k, row->at);
        }
        for (uint32_t h = 0; h < spec->n_head_kv; h++) {
            cv_rows.store_k(cv_kv_k(kv, row->slot, layer, h, row->pos), f16, k + h * n_k, n_k, row->pos % CV_KV_PAGE);
            cv_rows.store_v(cv_kv_v(kv, row->slot, layer, h, row->pos), f16, v + h * n_v, n_v, row->pos % CV_KV_PAGE);
        }
    }
}

static void run_store(struct cv_exec *e, const struct cv_op *op)
{
    struct job j = {.e = e, .op = op, .width = op->src[2] < 0 ? 0 : width_of(e, op->src[2])};
    size_t values = e->n_row * (j.width + width_of(e, op->src[0]) + width_of(e, op->src[1]));
    share_steps(&j, store_rows, 8, e->n_row, values);
}

/* Where the parts of the work memory begin; all of them 64-byte aligned. */
struct layout {
    size_t acts, thread, block, partial, all;
    size_t thread_floats, n_span;
};

static bool add_part(size_t *at, size_t *all, size_t n, size_t size)
{
    size_t bytes;
    *at = *all;
    return cv_mul_size(n, size, &bytes) && cv_add_size(*all, bytes, all) && cv_add_size(*all, 63, all) &&
           ((*all &= ~(size_t)63), true);
}

static size_t largest_acts(const struct cv_program *p, uint32_t n_batch)
{
    size_t most = 0;
    for (size_t i = 0; i < p->n_weight; i++) {
        const struct cv_weight *w = &p->weight[i];
        size_t n = w->form == CV_WEIGHT_MATRIX ? cv_acts_bytes(w->dtype, n_batch, w->k) : 0;
        most = n > most ? n : most;
    }
    return most;
}

static bool lay_out(struct layout *l, const struct cv_exec_bounds *b)
{
    *l = (struct layout){0};
    size_t span = (size_t)CV_SPAN_PAGES * CV_KV_PAGE, partial = 0, none;
    bool attends = b->kv.n_layer != 0;
    l->n_span = (b->kv.n_ctx + span - 1) / span;
    bool ok = !attends || cv_attend_thread_floats(b->program, &l->thread_floats);
    if (attends && l->n_span > 1)
        ok = ok && cv_mul_size((size_t)CV_SPLIT_ROWS * b->program->hp.n_head, l->n_span, &partial) &&
             cv_mul_size(partial, (size_t)b->kv.n_embd_head_v + 2, &partial);
    return ok && add_part(&none, &l->all, 1, sizeof(struct cv_cpu_work)) &&
           add_part(&l->acts, &l->all, largest_acts(b->program, b->n_batch), 1) &&
           add_part(&l->thread, &l->all, l->thread_floats * sizeof(float), b->n_threads) &&
           add_part(&l->block, &l->all, b->n_batch, sizeof(struct cv_attend_block)) &&
           add_part(&l->partial, &l->all, partial, sizeof(float));
}

static bool measure_work(const struct cv_exec_bounds *b, size_t *bytes)
{
    struct layout l;
    if (!lay_out(&l, b))
        return false;
    *bytes = l.all;
    return true;
}

static void init_work(void *work, const struct cv_exec_bounds *b)
{
    struct layout l;
    if (!lay_out(&l, b))
        return; /* measured before, so it fits */
    unsigned char *base = work;
    struct cv_cpu_work *w = work;
    *w = (struct cv_cpu_work){.acts = base + l.acts,
                              .thread = (float *)(void *)(base + l.thread),
                              .thread_floats = l.thread_floats,
                              .block = (struct cv_attend_block *)(void *)(base + l.block),
                              .partial = l.n_span > 1 ? (float *)(void *)(base + l.partial) : NULL,
                              .n_span = l.n_span};
    if (b->kv.n_layer != 0)
        w->block_rows = cv_attend_block_rows(b->program);
}

const struct cv_device_ops cv_cpu_ops = {
    .name = "cpu",
    .measure_work = measure_work,
    .init_work = init_work,
    .run =
        {
            [CV_OP_EMBED] = run_embed,
            [CV_OP_PICK] = run_pick,
            [CV_OP_NORM] = run_norm,
            [CV_OP_ADD] = run_add,
            [CV_OP_ADD_NORM] = run_norm,
            [CV_OP_MATMUL] = run_matmul,
            [CV_OP_ROPE] = run_rope,
            [CV_OP_STORE] = run_store,
            [CV_OP_ROPE_STORE] = run_store,
            [CV_OP_ATTEND] = cv_cpu_attend,
            [CV_OP_GLU] = run_glu,
            [CV_OP_LOGITS] = run_logits,
        },
};
