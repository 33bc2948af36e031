/*
 * cost.c - what layers cost on a device, and bytes on a link: the model of docs/planning.md as tables of prefix sums.
 *
 * A layer in a step of B rows takes the longer of reading (weights once, sequence memory of every row) and computing,
 * and a fixed overhead. Costs of a stage are sums over its layers, so they grow with the range: the searches rely on it.
 */
#include <math.h>
#include <string.h>

#include "partition/internal.h"

enum { DEFAULT_PROMPT = 2048, DEFAULT_RESULT = 512 };

static const struct {
    const char *name;
    uint32_t block_bytes; /* 32 elements */
} kv_types[CV_PLAN_KV_COUNT] = {{"f16", 64}, {"f32", 128}, {"q8_0", 34}, {"q4_0", 18}};

const char *cv_plan_kv_name(enum cv_plan_kv kv)
{
    return (unsigned)kv < CV_PLAN_KV_COUNT ? kv_types[kv].name : "unknown";
}

uint64_t cv_plan_kv_bytes(enum cv_plan_kv kv, uint64_t n_elem)
{
    if (kv == CV_PLAN_KV_F16 || kv == CV_PLAN_KV_F32)
        return n_elem * (kv_types[kv].block_bytes / 32);
    return (n_elem + 31) / 32 * kv_types[kv].block_bytes;
}

static uint64_t kv_positions(const struct cv_plan_model *m, const struct cv_plan_layer *l)
{
    uint64_t pos = m->n_ctx;
    if (l->kv_window != 0 && l->kv_window < pos)
        pos = l->kv_window;
    return (pos + COST_PAGE - 1) / COST_PAGE * COST_PAGE;
}

static uint64_t layer_kv(const struct cv_plan_model *m, const struct cv_plan_layer *l)
{
    return m->n_slots * (kv_positions(m, l) * cv_plan_kv_bytes(m->kv, l->kv_elems) + l->state_bytes);
}

static uint64_t work_bytes(const struct cv_plan_model *m, bool has_embd, bool has_head)
{
    const struct cv_plan_work *w = &m->work;
    uint64_t row = w->per_row + (has_embd ? w->embd_per_row : 0) + (has_head ? w->head_per_row : 0);
    return w->fixed + m->n_ctx * w->per_ctx + m->n_batch * row;
}

void cv_plan_stage_bytes(const struct cv_plan_model *m, uint32_t first, uint32_t last, struct cv_plan_bytes *out)
{
    memset(out, 0, sizeof(*out));
    bool has_embd = first == 0, has_head = last == m->n_layer;
    for (uint32_t i = first; i < last; i++) {
        out->weights += m->layer[i].weight_bytes;
        out->kv += layer_kv(m, &m->layer[i]);
    }
    out->embd = has_embd ? m->embd_bytes : 0;
    out->head = has_head && !(m->tied && has_embd) ? m->head_bytes : 0;
    out->work = work_bytes(m, has_embd, has_head);
    out->total = out->weights + out->kv + out->embd + out->head + out->work;
}

static struct weights weights_of(const struct costs *k)
{
    switch (k->goal.optimize) {
    case CV_PLAN_LATENCY:
        return (struct weights){COST_TOKEN, COST_BATCH, 1.0, 0.0};
    case CV_PLAN_THROUGHPUT: /* a thousandth of the sum, so that no stage is added for nothing */
        return (struct weights){COST_TOKEN, COST_BATCH, 1e-3, 1.0};
    case CV_PLAN_PROMPT:
        return (struct weights){COST_CHUNK, COST_CHUNK, 1.0, (double)k->n_chunk - 1.0};
    default:
        return (struct weights){COST_TOKEN, COST_BATCH, 1.0, 1.0};
    }
}

static void fill_goal(struct costs *k, const struct cv_plan_goal *goal)
{
    const struct cv_plan_model *m = k->model;
    k->goal = *goal;
    struct cv_plan_goal *g = &k->goal;
    if (g->rows == 0)
        g->rows = m->n_slots < m->n_batch ? m->n_slots : m->n_batch;
    if (g->context == 0)
        g->context = (m->n_ctx + 1) / 2;
    if (g->prompt == 0)
        g->prompt = m->n_ctx < DEFAULT_PROMPT ? m->n_ctx : DEFAULT_PROMPT;
    uint32_t rows = m->n_batch < g->prompt ? m->n_batch : g->prompt;
    k->chunk_rows = rows;
    k->n_chunk = (g->prompt + rows - 1) / rows;
    k->w = weights_of(k);
}

static double rate_at(const struct cv_plan_device *d, double rows)
{
    if (d->n_rate == 0)
        return CV_PLAN_RATE;
    if (rows <= d->rate[0].rows)
        return d->rate[0].flops;
    for (uint32_t i = 1; i < d->n_rate; i++) {
        const struct cv_plan_rate *a = &d->rate[i - 1], *b = &d->rate[i];
        if (rows <= b->rows)
            return a->flops + (b->flops - a->flops) * (rows - a->rows) / (b->rows - a->rows);
    }
    return d->rate[d->n_rate - 1].flops;
}

static double bandwidth_of(const struct cv_plan_device *d)
{
    return d->bandwidth > 0.0 ? d->bandwidth : CV_PLAN_BANDWIDTH;
}

/* rows of n_seq sequences, each with ctx positions before it. */
static double layer_time(const struct cv_plan_model *m, const struct cv_plan_layer *l, const struct cv_plan_device *d,
                         double rows, double n_seq, double ctx)
{
    double weights = (double)(l->weight_bytes - l->expert_bytes);
    if (l->n_expert != 0) /* the expected number of distinct experts that rows independent choices touch */
        weights += (double)l->expert_bytes * (1.0 - pow(1.0 - (double)l->n_expert_used / l->n_expert, rows));
    if (l->kv_window != 0 && ctx > l->kv_window)
        ctx = l->kv_window;
    double bytes = weights + n_seq * (ctx * (double)cv_plan_kv_bytes(m->kv, l->kv_elems) + (double)l->state_bytes);
    double ops = rows * (l->flops + ctx * l->attn_flops);
    double reading = bytes / bandwidth_of(d), computing = ops / rate_at(d, rows);
    return (reading > computing ? reading : computing) + d->layer_s;
}

static double head_time(const struct cv_plan_model *m, const struct cv_plan_device *d, double rows)
{
    double reading = (double)m->head_bytes / bandwidth_of(d), computing = rows * m->head_flops / rate_at(d, rows);
    return reading > computing ? reading : computing;
}

static void fill_device(struct costs *k, uint32_t di)
{
    const struct cv_plan_model *m = k->model;
    const struct cv_plan_device *d = &k->cluster->device[di];
    const double rows[COST_KINDS] = {1.0, k->goal.rows, k->chunk_rows};
    const double n_seq[COST_KINDS] = {1.0, k->goal.rows, 1.0};
    const double ctx[COST_KINDS] = {k->goal.context, k->goal.context, k->goal.prompt / 2.0};
    for (int kind = 0; kind < COST_KINDS; kind++) {
        double *t = k->t[kind] + (size_t)di * (k->n + 1);
        t[0] = 0.0;
        for (uint32_t i = 0; i < k->n; i++)
            t[i + 1] = t[i] + layer_time(m, &m->layer[i], d, rows[kind], n_seq[kind], ctx[kind]);
        k->embd[kind][di] = rows[kind] * m->n_embd * sizeof(float) / bandwidth_of(d);
        k->head[kind][di] = head_time(m, d, kind == COST_CHUNK ? 1.0 : rows[kind]);
    }
    const double price = k->goal.move_s_per_byte;
    double *move = k->move + (size_t)di * (k->n + 1);
    move[0] = 0.0;
    for (uint32_t i = 0; i < k->n; i++) {
        bool held = i >= d->held_first && i < d->held_last;
        move[i + 1] = move[i] + (held ? 0.0 : price * (double)m->layer[i].weight_bytes);
    }
    k->move_embd[di] = d->held_embd ? 0.0 : price * (double)m->embd_bytes;
    k->move_head[di] = d->held_head ? 0.0 : price * (double)m->head_bytes;
    uint64_t reserve = d->reserve_bytes < d->memory_bytes ? d->reserve_bytes : d->memory_bytes;
    k->usable[di] = d->excluded ? 0 : d->memory_bytes - reserve;
}

static void fill_links(struct costs *k)
{
    const struct cv_plan_cluster *c = k->cluster;
    struct cv_plan_link local = c->local, remote = c->remote;
    if (local.bytes_per_s <= 0.0)
        local = (struct cv_plan_link){CV_PLAN_LOCAL_DELAY, CV_PLAN_LOCAL_RATE};
    if (remote.bytes_per_s <= 0.0)
        remote = (struct cv_plan_link){CV_PLAN_DELAY, CV_PLAN_LINK_RATE};
    const uint32_t w = k->n_dev + 1;
    for (uint32_t i = 0; i < w; i++) {
        uint32_t from = i < k->n_dev ? c->device[i].node : c->home_node;
        for (uint32_t j = 0; j < w; j++) {
            uint32_t to = j < k->n_dev ? c->device[j].node : c->home_node;
            struct cv_plan_link *l = &k->link[(size_t)i * w + j];
            *l = from == to && from != CV_PLAN_NONE ? local : remote;
            if (c->link != NULL && c->link[(size_t)i * w + j].bytes_per_s > 0.0)
                *l = c->link[(size_t)i * w + j];
        }
    }
}

bool cv_plan_costs_make(struct costs *k, const struct cv_plan_model *model, const struct cv_plan_cluster *cluster,
                        const struct cv_plan_goal *goal, struct cv_arena *arena, struct cv_error *err)
{
    memset(k, 0, sizeof(*k));
    if (!cv_plan_input_check(model, cluster, goal, err))
        return false;
    k->model = model;
    k->cluster = cluster;
    k->n = model->n_layer;
    k->n_dev = cluster->n_device;
    fill_goal(k, goal);
    const size_t table = ((size_t)k->n + 1) * k->n_dev;
    bool ok = (k->mem = cv_arena_calloc(arena, k->n + 1, sizeof(*k->mem))) != NULL &&
              (k->weights = cv_arena_calloc(arena, k->n + 1, sizeof(*k->weights))) != NULL &&
              (k->usable = cv_arena_calloc(arena, k->n_dev, sizeof(*k->usable))) != NULL &&
              (k->move = cv_arena_calloc(arena, table, sizeof(double))) != NULL &&
              (k->move_embd = cv_arena_calloc(arena, k->n_dev, sizeof(double))) != NULL &&
              (k->move_head = cv_arena_calloc(arena, k->n_dev, sizeof(double))) != NULL &&
              (k->link = cv_arena_calloc(arena, ((size_t)k->n_dev + 1) * (k->n_dev + 1), sizeof(*k->link))) != NULL;
    for (int kind = 0; ok && kind < COST_KINDS; kind++) {
        ok = (k->t[kind] = cv_arena_calloc(arena, table, sizeof(double))) != NULL &&
             (k->embd[kind] = cv_arena_calloc(arena, k->n_dev, sizeof(double))) != NULL &&
             (k->head[kind] = cv_arena_calloc(arena, k->n_dev, sizeof(double))) != NULL;
    }
    if (!ok)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for the planner's tables");
    for (uint32_t i = 0; i < k->n; i++) {
        k->weights[i + 1] = k->weights[i] + model->layer[i].weight_bytes;
        k->mem[i + 1] = k->mem[i] + model->layer[i].weight_bytes + layer_kv(model, &model->layer[i]);
    }
    for (int i = 0; i < 4; i++)
        k->work[i] = work_bytes(model, i & 1, i & 2);
    for (uint32_t d = 0; d < k->n_dev; d++)
        fill_device(k, d);
    fill_links(k);
    return true;
}

double cv_plan_stage_time(const struct costs *k, enum cost_kind kind, uint32_t dev, uint32_t first, uint32_t last)
{
    const double *t = k->t[kind] + (size_t)dev * (k->n + 1);
    double s = t[last] - t[first] + k->cluster->device[dev].stage_s;
    if (first == 0)
        s += k->embd[kind][dev];
    if (last == k->n && kind != COST_CHUNK)
        s += k->head[kind][dev];
    return s;
}

double cv_plan_rows_stage(const struct costs *k, double rows, uint32_t dev, uint32_t first, uint32_t last)
{
    const struct cv_plan_device *d = &k->cluster->device[dev];
    double s = d->stage_s;
    for (uint32_t i = first; i < last; i++)
        s += layer_time(k->model, &k->model->layer[i], d, rows, rows, k->goal.context);
    if (first == 0)
        s += rows * k->model->n_embd * sizeof(float) / bandwidth_of(d);
    return s + (last == k->n ? head_time(k->model, d, rows) : 0.0);
}

double cv_plan_rows_busy(const struct costs *k, double rows, uint32_t from, uint32_t to)
{
    return rows / k->goal.rows * cv_plan_edge_busy(k, COST_BATCH, from, to);
}

double cv_plan_edge_bytes(const struct costs *k, enum cost_kind kind, uint32_t from, uint32_t to)
{
    const struct cv_plan_model *m = k->model;
    const double rows = kind == COST_TOKEN ? 1.0 : kind == COST_BATCH ? k->goal.rows : k->chunk_rows;
    if (from == k->n_dev)
        return rows * 16.0; /* a row of base/flow.h */
    if (to == k->n_dev)
        return (kind == COST_CHUNK ? 1.0 : rows) * (m->result_bytes == 0 ? DEFAULT_RESULT : m->result_bytes);
    return rows * (16.0 + (double)m->n_embd * (m->carry_elem_bytes == 0 ? 2 : m->carry_elem_bytes));
}

double cv_plan_edge_busy(const struct costs *k, enum cost_kind kind, uint32_t from, uint32_t to)
{
    const struct cv_plan_link *l = &k->link[(size_t)from * (k->n_dev + 1) + to];
    return cv_plan_edge_bytes(k, kind, from, to) / l->bytes_per_s;
}

double cv_plan_edge_time(const struct costs *k, enum cost_kind kind, uint32_t from, uint32_t to)
{
    return k->link[(size_t)from * (k->n_dev + 1) + to].delay_s + cv_plan_edge_busy(k, kind, from, to);
}

uint64_t cv_plan_stage_total(const struct costs *k, uint32_t first, uint32_t last)
{
    const struct cv_plan_model *m = k->model;
    const bool has_embd = first == 0, has_head = last == k->n;
    return k->mem[last] - k->mem[first] + k->work[has_embd + 2 * has_head] + (has_embd ? m->embd_bytes : 0) +
           (has_head && !(m->tied && has_embd) ? m->head_bytes : 0);
}

bool cv_plan_stage_fits(const struct costs *k, uint32_t dev, uint32_t first, uint32_t last)
{
    const struct cv_plan_device *d = &k->cluster->device[dev];
    if (d->excluded || (d->pinned && (first != d->pin_first || last != d->pin_last)))
        return false;
    return cv_plan_stage_total(k, first, last) <= k->usable[dev];
}

double cv_plan_u_stage(const struct costs *k, uint32_t dev, uint32_t first, uint32_t last)
{
    const struct weights w = k->w;
    const double *move = k->move + (size_t)dev * (k->n + 1);
    double s = cv_plan_stage_time(k, w.u, dev, first, last);
    if (last == k->n && w.u == COST_CHUNK)
        s += k->head[COST_CHUNK][dev];
    double moved = move[last] - move[first];
    if (first == 0)
        moved += k->move_embd[dev];
    if (last == k->n && !(k->model->tied && first == 0))
        moved += k->move_head[dev];
    return w.alpha * s + moved;
}

double cv_plan_u_edge(const struct costs *k, uint32_t from, uint32_t to)
{
    const struct weights w = k->w;
    return w.alpha * cv_plan_edge_time(k, w.u, from, to);
}

double cv_plan_v_stage(const struct costs *k, uint32_t dev, uint32_t first, uint32_t last)
{
    return cv_plan_stage_time(k, k->w.v, dev, first, last);
}

double cv_plan_v_edge(const struct costs *k, uint32_t from, uint32_t to)
{
    return cv_plan_edge_busy(k, k->w.v, from, to);
}

bool cv_plan_chain_new(struct chain *c, uint32_t n_dev, struct cv_arena *arena, struct cv_error *err)
{
    memset(c, 0, sizeof(*c));
    c->dev = cv_arena_calloc(arena, n_dev, sizeof(*c->dev));
    c->cut = cv_arena_calloc(arena, (size_t)n_dev + 1, sizeof(*c->cut));
    return (c->dev != NULL && c->cut != NULL) || cv_fail(err, CV_ERR_NOMEM, "no memory for the planner's tables");
}

void cv_plan_chain_copy(struct chain *to, const struct chain *from)
{
    memcpy(to->dev, from->dev, from->n * sizeof(*to->dev));
    memcpy(to->cut, from->cut, ((size_t)from->n + 1) * sizeof(*to->cut));
    to->n = from->n;
    to->sum = from->sum;
    to->max = from->max;
    to->score = from->score;
}

void cv_plan_chain_score(const struct costs *k, struct chain *c)
{
    c->sum = c->max = 0.0;
    for (uint32_t i = 0; i <= c->n; i++) {
        uint32_t from = i == 0 ? k->n_dev : c->dev[i - 1], to = i == c->n ? k->n_dev : c->dev[i];
        c->sum += cv_plan_u_edge(k, from, to);
        c->max = fmax(c->max, cv_plan_v_edge(k, from, to));
        if (i == c->n)
            break;
        c->sum += cv_plan_u_stage(k, to, c->cut[i], c->cut[i + 1]);
        c->max = fmax(c->max, cv_plan_v_stage(k, to, c->cut[i], c->cut[i + 1]));
    }
    c->score = c->sum + k->w.beta * c->max;
}
