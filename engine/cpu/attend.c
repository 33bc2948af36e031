/*
 * attend.c - which rows, heads and pages meet when: attention over paged sequence memory.
 *
 * The sums have a fixed shape: pages of 64 positions join in rising order within a span of eight, and spans join in
 * rising order. Who computes a page, with how many other rows, does not show in the numbers. So
 *
 *     a prompt    cuts its rows into blocks; a task is (block, key/value head) and walks all pages, so keys and values
 *                 are read once for a block and for all query heads that share them
 *     decoding    has blocks of one row
 *     a few long  where that makes too few tasks for the threads, a task is (row, key/value head, span), and the spans
 *                 join afterwards
 */
#include <math.h>

#include "base/mem.h"
#include "engine/cpu/rows.h"
#include "engine/cpu/work.h"

struct attend {
    struct cv_exec *e;
    const struct cv_op *op;
    struct cv_cpu_work *work;
    uint32_t layer; /* of the stage */
    uint32_t n_head_kv;
    size_t group, n_k, n_v;
    size_t n_block;
    size_t n_span; /* of the longest row; split only */
};

/* Scratch of one thread, and the triples (m, l, o) of a block's queries: of the current span, of all so far. */
struct scratch {
    float *m, *l, *o, *span_m, *span_l, *span_o, *s, *page, *sum;
};

static size_t group_of(const struct cv_program *p)
{
    return p->hp.n_head / p->hp.n_head_kv;
}

uint32_t cv_attend_block_rows(const struct cv_program *p)
{
    size_t rows = CV_BLOCK_QUERIES / group_of(p);
    return rows < 1 ? 1 : (uint32_t)rows;
}

static size_t most_queries(const struct cv_program *p)
{
    return cv_attend_block_rows(p) * group_of(p);
}

bool cv_attend_thread_floats(const struct cv_program *p, size_t *n)
{
    size_t n_q = most_queries(p), n_k = p->hp.n_embd_head_k, n_v = p->hp.n_embd_head_v, all, page;
    /* The bounds of base/limits.h keep each product far from overflow; the check is for the sum. */
    if (!cv_mul_size(n_q, 4 + 2 * n_v + CV_PAGE, &all) || !cv_mul_size(CV_PAGE, n_k + n_v, &page) ||
        !cv_add_size(all, page, &all) || !cv_add_size(all, CV_TILE_QUERIES * n_v + 16, &all))
        return false;
    *n = all & ~(size_t)15;
    return true;
}

static struct scratch scratch_of(const struct attend *a, unsigned thread)
{
    size_t n_q = most_queries(a->e->program);
    float *at = a->work->thread + thread * a->work->thread_floats;
    struct scratch s;
    /* The large arrays first: they keep the alignment of 64 bytes when sizes are the usual ones. */
    s.s = at;
    s.page = s.s + n_q * CV_PAGE;
    s.o = s.page + CV_PAGE * (a->n_k + a->n_v);
    s.span_o = s.o + n_q * a->n_v;
    s.sum = s.span_o + n_q * a->n_v;
    s.m = s.sum + CV_TILE_QUERIES * a->n_v;
    s.l = s.m + n_q;
    s.span_m = s.l + n_q;
    s.span_l = s.span_m + n_q;
    return s;
}

static void empty(float *m, float *l, float *o, size_t n_q, size_t n_v)
{
    for (size_t i = 0; i < n_q; i++) {
        m[i] = -INFINITY;
        l[i] = 0.0f;
    }
    for (size_t i = 0; i < n_q * n_v; i++)
        o[i] = 0.0f;
}

/* The first row of the block that sees position pos; n when none does. */
static size_t first_seeing(uint32_t block_pos, size_t n, uint32_t pos)
{
    size_t r = pos > block_pos ? pos - block_pos : 0;
    return r < n ? r : n;
}

/* One span of pages into (m, l, o) of the block's queries, which begin empty. */
static void attend_span(const struct attend *a, struct cv_attend_block b, uint32_t head, uint32_t span, float *m,
                        float *l, float *o, const struct scratch *s)
{
    const struct cv_exec *e = a->e;
    const struct cv_exec_row *row = &e->row[b.first];
    uint32_t from = span * CV_SPAN_PAGES * CV_PAGE, last = row->pos + b.n - 1;
    size_t ldq = a->group * a->n_head_kv * a->n_k;
    const float *q = e->buffer[a->op->src[0]] + b.first * ldq + head * a->group * a->n_k;
    empty(m, l, o, b.n * a->group, a->n_v);
    for (uint32_t i = 0; i < CV_SPAN_PAGES && from + i * CV_PAGE <= last; i++) {
        uint32_t pos = from + i * CV_PAGE;
        size_t r = first_seeing(row->pos, b.n, pos), seen = row->pos + r - pos + 1;
        struct cv_attend_page page = {
            .q = q + r * ldq,
            .ldq = ldq,
            .n_row = b.n - r,
            .group = a->group,
            .n_valid = seen < CV_PAGE ? seen : CV_PAGE,
            .k = cv_kv_k(e->kv, row->slot, a->layer, head, pos),
            .v = cv_kv_v(e->kv, row->slot, a->layer, head, pos),
            .f16 = e->kv->spec.type == CV_DTYPE_F16,
            .n_k = a->n_k,
            .n_v = a->n_v,
            .scale = a->op->scale,
            .m = m + r * a->group,
            .l = l + r * a->group,
            .o = o + r * a->group * a->n_v,
            .s = s->s,
            .page = s->page,
            .sum = s->sum,
        };
        cv_rows.attend_page(&page);
    }
}

static float *output(const struct attend *a, size_t row, uint32_t head, size_t in_group)
{
    return a->e->buffer[a->op->dst[0]] + (row * a->group * a->n_head_kv + head * a->group + in_group) * a->n_v;
}

static void block_task(void *ctx, size_t chunk, unsigned thread)
{
    const struct attend *a = ctx;
    /* The last block of a prompt sees most: it goes first. */
    struct cv_attend_block b = a->work->block[a->n_block - 1 - chunk / a->n_head_kv];
    uint32_t head = (uint32_t)(chunk % a->n_head_kv), pos = a->e->row[b.first].pos, last = pos + b.n - 1;
    struct scratch s = scratch_of(a, thread);
    empty(s.m, s.l, s.o, b.n * a->group, a->n_v);
    for (uint32_t span = 0; span <= last / (CV_SPAN_PAGES * CV_PAGE); span++) {
        attend_span(a, b, head, span, s.span_m, s.span_l, s.span_o, &s);
        for (size_t i = first_seeing(pos, b.n, span * CV_SPAN_PAGES * CV_PAGE) * a->group; i < b.n * a->group; i++)
            cv_rows.attend_merge(&s.m[i], &s.l[i], s.o + i * a->n_v, s.span_m[i], s.span_l[i], s.span_o + i * a->n_v,
                                 a->n_v);
    }
    for (size_t i = 0; i < b.n * a->group; i++)
        cv_rows.scale(output(a, b.first + i / a->group, head, i % a->group), s.o + i * a->n_v, 1.0f / s.l[i], a->n_v);
}

/* The triple of one query over one span: [row][head][span]. */
static float *partial_of(const struct attend *a, size_t row, size_t head, size_t span)
{
    return a->work->partial + ((row * a->group * a->n_head_kv + head) * a->work->n_span + span) * (a->n_v + 2);
}

static void split_task(void *ctx, size_t chunk, unsigned thread)
{
    const struct attend *a = ctx;
    uint32_t span = (uint32_t)(chunk % a->n_span), head = (uint32_t)(chunk / a->n_span % a->n_head_kv);
    uint32_t row = (uint32_t)(chunk / a->n_span / a->n_head_kv);
    if (span * CV_SPAN_PAGES * CV_PAGE > a->e->row[row].pos)
        return;
    struct scratch s = scratch_of(a, thread);
    attend_span(a, (struct cv_attend_block){.first = row, .n = 1}, head, span, s.m, s.l, s.o, &s);
    for (size_t i = 0; i < a->group; i++) {
        float *to = partial_of(a, row, head * a->group + i, span);
        to[0] = s.m[i];
        to[1] = s.l[i];
        for (size_t d = 0; d < a->n_v; d++)
            to[2 + d] = s.o[i * a->n_v + d];
    }
}

static void join_spans(const struct attend *a, size_t row, uint32_t head)
{
    struct scratch s = scratch_of(a, 0);
    for (size_t i = 0; i < a->group; i++) {
        empty(s.m, s.l, s.o, 1, a->n_v);
        for (size_t span = 0; span <= a->e->row[row].pos / (CV_SPAN_PAGES * CV_PAGE); span++) {
            const float *p = partial_of(a, row, head * a->group + i, span);
            cv_rows.attend_merge(s.m, s.l, s.o, p[0], p[1], p + 2, a->n_v);
        }
        cv_rows.scale(output(a, row, head, i), s.o, 1.0f / s.l[0], a->n_v);
    }
}

/* Runs of consecutive positions of one slot, cut to block_rows. */
static void cut_blocks(struct attend *a)
{
    const struct cv_exec *e = a->e;
    a->n_block = 0;
    for (uint32_t r = 0; r < e->n_row; r++) {
        struct cv_attend_block *last = a->n_block == 0 ? NULL : &a->work->block[a->n_block - 1];
        if (last != NULL && last->n < a->work->block_rows && e->row[r].slot == e->row[r - 1].slot &&
            e->row[r].pos == e->row[r - 1].pos + 1)
            last->n++;
        else
            a->work->block[a->n_block++] = (struct cv_attend_block){.first = r, .n = 1};
    }
}

void cv_cpu_attend(struct cv_exec *e, const struct cv_op *op)
{
    const struct cv_hparams *hp = &e->program->hp;
    struct attend a = {.e = e,
                       .op = op,
                       .work = e->work,
                       .layer = op->layer - e->program->part.layer_first,
                       .n_head_kv = hp->n_head_kv,
                       .group = group_of(e->program),
                       .n_k = hp->n_embd_head_k,
                       .n_v = hp->n_embd_head_v};
    size_t cost = 0;
    uint32_t longest = 0;
    for (uint32_t r = 0; r < e->n_row; r++) {
        longest = e->row[r].pos > longest ? e->row[r].pos : longest;
        cost += (size_t)(e->row[r].pos + 1) * hp->n_head * (a.n_k + a.n_v) / 8;
    }
    a.n_span = longest / (CV_SPAN_PAGES * CV_PAGE) + 1;
    unsigned threads = e->pool == NULL ? 1 : cv_pool_threads(e->pool);
    if (threads > 1 && a.n_span > 1 && e->n_row <= CV_SPLIT_ROWS && e->n_row * a.n_head_kv < 2 * threads) {
        cv_share(e->pool, split_task, &a, e->n_row * a.n_head_kv * a.n_span, cost);
        for (uint32_t r = 0; r < e->n_row; r++)
            for (uint32_t h = 0; h < a.n_head_kv; h++)
                join_spans(&a, r, h);
        return;
    }
    cut_blocks(&a);
    cv_share(e->pool, block_task, &a, a.n_block * a.n_head_kv, cost);
}
