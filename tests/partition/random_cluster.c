#include "tests/partition/random_cluster.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/check/check.h"

static double between(double lo, double hi)
{
    return lo + (hi - lo) * check_uniform();
}

static double between_log(double lo, double hi)
{
    return lo * pow(hi / lo, check_uniform());
}

static void make_model(struct random_cluster *r, uint32_t n_layer)
{
    struct cv_plan_model *m = &r->model;
    *m = (struct cv_plan_model){.name = "random", .layer = r->layer, .n_layer = n_layer};
    m->n_embd = (uint32_t)(256 + check_below(4096));
    m->n_ctx = (uint32_t)(64 + check_below(4096));
    m->n_slots = (uint32_t)(1 + check_below(8));
    m->n_batch = (uint32_t)(1 + check_below(256));
    m->kv = (enum cv_plan_kv)check_below(CV_PLAN_KV_COUNT);
    const double mean = between_log(1e6, 1e9);
    const bool experts = check_below(4) == 0, unequal = check_below(4) != 0;
    for (uint32_t i = 0; i < n_layer; i++) {
        struct cv_plan_layer *l = &r->layer[i];
        memset(l, 0, sizeof(*l));
        l->weight_bytes = (uint64_t)(mean * (unequal ? between(0.2, 2.0) : 1.0));
        l->kv_elems = (uint32_t)(64 * (1 + (unequal ? check_below(32) : 8)));
        l->kv_window = check_below(4) == 0 ? (uint32_t)(64 + check_below(1024)) : 0;
        l->state_bytes = check_below(8) == 0 ? check_below(1000000) : 0;
        l->flops = 4.0 * (double)l->weight_bytes;
        l->attn_flops = 8.0 * l->kv_elems;
        if (experts && check_below(3) != 0) {
            l->expert_bytes = l->weight_bytes / 10 * 8;
            l->n_expert = 8;
            l->n_expert_used = 2;
            l->flops *= 0.4;
        }
    }
    m->embd_bytes = (uint64_t)(mean * between(0.1, 1.5));
    m->tied = check_below(3) == 0;
    m->head_bytes = m->tied ? m->embd_bytes : (uint64_t)(mean * between(0.1, 1.5));
    m->head_flops = 4.0 * (double)m->head_bytes;
    m->carry_elem_bytes = check_below(2) == 0 ? 0 : 4;
    m->work.fixed = check_below(1000000);
    m->work.per_ctx = check_below(256);
    m->work.per_row = check_below(100000);
    m->work.embd_per_row = check_below(1000);
    m->work.head_per_row = check_below(200000);
}

static void make_device(struct cv_plan_device *d, double mean_bytes)
{
    d->memory_bytes = (uint64_t)(mean_bytes * between(0.2, 2.0));
    d->bandwidth = check_below(8) == 0 ? 0.0 : between_log(2e9, 1e12);
    d->n_rate = (uint32_t)check_below(3);
    if (d->n_rate > 0)
        d->rate[0] = (struct cv_plan_rate){1.0, between_log(1e9, 1e12)};
    if (d->n_rate > 1)
        d->rate[1] = (struct cv_plan_rate){64.0, d->rate[0].flops * between(1.0, 8.0)};
    d->layer_s = check_below(2) == 0 ? 0.0 : between(0.0, 1e-4);
    d->stage_s = check_below(2) == 0 ? 0.0 : between(0.0, 1e-3);
}

static void make_links(struct random_cluster *r)
{
    const uint32_t w = r->cluster.n_device + 1;
    r->cluster.link = r->link;
    for (uint32_t i = 0; i < w * w; i++) {
        r->link[i].delay_s = between_log(1e-5, 2e-2);
        r->link[i].bytes_per_s = check_below(6) == 0 ? 0.0 : between_log(1e6, 1e10);
    }
}

static void add_constraints(struct random_cluster *r)
{
    const uint32_t n = r->cluster.n_device;
    struct cv_plan_device *d = &r->device[check_below(n)];
    switch (check_below(5)) {
    case 0:
        d->pinned = true;
        d->pin_first = (uint32_t)check_below(r->model.n_layer);
        d->pin_last = d->pin_first + 1 + (uint32_t)check_below(r->model.n_layer - d->pin_first);
        break;
    case 1:
        d->excluded = true;
        break;
    case 2:
        d->reserve_bytes = d->memory_bytes / 4;
        break;
    case 3:
        r->goal.min_stages = (uint32_t)(1 + check_below(n));
        break;
    default:
        r->goal.max_stages = (uint32_t)(1 + check_below(n));
        break;
    }
}

void rc_make(struct random_cluster *r, const struct rc_options *o)
{
    memset(&r->goal, 0, sizeof(r->goal));
    memset(&r->cluster, 0, sizeof(r->cluster));
    make_model(r, o->n_layer);
    struct cv_plan_bytes all;
    cv_plan_stage_bytes(&r->model, 0, o->n_layer, &all);
    r->cluster.device = r->device;
    r->cluster.n_device = o->n_device;
    r->cluster.home_node = check_below(3) == 0 ? (uint32_t)check_below(o->n_device) : CV_PLAN_NONE;
    const double mean = (double)all.total * o->fill / o->n_device;
    for (uint32_t i = 0; i < o->n_device; i++) {
        struct cv_plan_device *d = &r->device[i];
        memset(d, 0, sizeof(*d));
        if (o->alike && i > 2)
            *d = r->device[check_below(3)];
        else
            make_device(d, mean);
        snprintf(r->name[i], sizeof(r->name[i]), "node-%u", i);
        d->name = r->name[i];
        d->node = o->alike || check_below(4) != 0 ? i : (uint32_t)check_below(o->n_device);
        if (check_below(3) == 0) {
            d->held_first = (uint32_t)check_below(o->n_layer);
            d->held_last = d->held_first + (uint32_t)check_below(o->n_layer - d->held_first + 1);
            d->held_embd = check_below(2);
            d->held_head = check_below(2);
        }
    }
    if (o->links)
        make_links(r);
    r->goal.optimize = (enum cv_plan_optimize)check_below(CV_PLAN_OPTIMIZE_COUNT);
    r->goal.rows = (uint32_t)check_below(9);
    r->goal.context = (uint32_t)check_below(r->model.n_ctx + 1);
    r->goal.prompt = (uint32_t)check_below(2000);
    if (check_below(5) == 0)
        r->goal.move_s_per_byte = between_log(1e-13, 1e-10);
    if (o->constraints)
        add_constraints(r);
}

/* The goal as the planner reads it. */
static double rows_of(const struct random_cluster *r, int kind)
{
    const struct cv_plan_model *m = &r->model;
    const double prompt = r->goal.prompt != 0 ? r->goal.prompt : fmin(2048, m->n_ctx);
    if (kind == 0)
        return 1.0;
    if (kind == 1)
        return r->goal.rows != 0 ? r->goal.rows : fmin(m->n_slots, m->n_batch);
    return fmin(m->n_batch, prompt);
}

static double n_chunk(const struct random_cluster *r)
{
    const double prompt = r->goal.prompt != 0 ? r->goal.prompt : fmin(2048, r->model.n_ctx);
    return ceil(prompt / rows_of(r, 2));
}

static double rate_of(const struct cv_plan_device *d, double rows)
{
    if (d->n_rate == 0)
        return CV_PLAN_RATE;
    if (d->n_rate == 1 || rows <= 1.0)
        return d->rate[0].flops;
    if (rows >= 64.0)
        return d->rate[1].flops;
    return d->rate[0].flops + (d->rate[1].flops - d->rate[0].flops) * (rows - 1.0) / 63.0;
}

double rc_stage_time(const struct random_cluster *r, int kind, uint32_t dev, uint32_t first, uint32_t last)
{
    const struct cv_plan_model *m = &r->model;
    const struct cv_plan_device *d = &r->device[dev];
    const double bw = d->bandwidth > 0.0 ? d->bandwidth : CV_PLAN_BANDWIDTH, rows = rows_of(r, kind);
    const double context = r->goal.context != 0 ? r->goal.context : (m->n_ctx + 1) / 2;
    const double prompt = r->goal.prompt != 0 ? r->goal.prompt : fmin(2048, m->n_ctx);
    double t = d->stage_s;
    for (uint32_t i = first; i < last; i++) {
        const struct cv_plan_layer *l = &m->layer[i];
        double ctx = kind == 2 ? prompt / 2.0 : context;
        if (l->kv_window != 0)
            ctx = fmin(ctx, l->kv_window);
        double bytes = (double)l->weight_bytes;
        if (l->n_expert != 0)
            bytes -= (double)l->expert_bytes * pow(1.0 - (double)l->n_expert_used / l->n_expert, rows);
        bytes +=
            (kind == 1 ? rows : 1.0) * (ctx * (double)cv_plan_kv_bytes(m->kv, l->kv_elems) + (double)l->state_bytes);
        t += fmax(bytes / bw, rows * (l->flops + ctx * l->attn_flops) / rate_of(d, rows)) + d->layer_s;
    }
    if (first == 0)
        t += rows * m->n_embd * 4.0 / bw;
    if (last == m->n_layer && kind != 2)
        t += fmax((double)m->head_bytes / bw, rows * m->head_flops / rate_of(d, rows));
    return t;
}

static struct cv_plan_link link_of(const struct random_cluster *r, uint32_t from, uint32_t to)
{
    const uint32_t n = r->cluster.n_device;
    if (r->cluster.link != NULL && r->cluster.link[from * (n + 1) + to].bytes_per_s > 0.0)
        return r->cluster.link[from * (n + 1) + to];
    const uint32_t a = from == n ? r->cluster.home_node : r->device[from].node;
    const uint32_t b = to == n ? r->cluster.home_node : r->device[to].node;
    if (a == b && a != CV_PLAN_NONE)
        return (struct cv_plan_link){CV_PLAN_LOCAL_DELAY, CV_PLAN_LOCAL_RATE};
    return (struct cv_plan_link){CV_PLAN_DELAY, CV_PLAN_LINK_RATE};
}

double rc_edge_busy(const struct random_cluster *r, int kind, uint32_t from, uint32_t to)
{
    const uint32_t n = r->cluster.n_device, elem = r->model.carry_elem_bytes == 0 ? 2 : r->model.carry_elem_bytes;
    double bytes = rows_of(r, kind) * (16.0 + (double)r->model.n_embd * elem);
    if (from == n)
        bytes = rows_of(r, kind) * 16.0;
    else if (to == n)
        bytes = (kind == 2 ? 1.0 : rows_of(r, kind)) * 512.0;
    return bytes / link_of(r, from, to).bytes_per_s;
}

double rc_edge_time(const struct random_cluster *r, int kind, uint32_t from, uint32_t to)
{
    return link_of(r, from, to).delay_s + rc_edge_busy(r, kind, from, to);
}

uint64_t rc_stage_bytes(const struct random_cluster *r, uint32_t first, uint32_t last)
{
    const struct cv_plan_model *m = &r->model;
    const bool embd = first == 0, head = last == m->n_layer;
    uint64_t bytes = m->work.fixed + m->work.per_ctx * m->n_ctx + m->n_batch * m->work.per_row;
    if (embd)
        bytes += m->embd_bytes + m->n_batch * m->work.embd_per_row;
    if (head)
        bytes += (m->tied && embd ? 0 : m->head_bytes) + m->n_batch * m->work.head_per_row;
    for (uint32_t i = first; i < last; i++) {
        const struct cv_plan_layer *l = &m->layer[i];
        uint64_t pos = l->kv_window != 0 && l->kv_window < m->n_ctx ? l->kv_window : m->n_ctx;
        while (pos % 64 != 0)
            pos++;
        bytes += l->weight_bytes + m->n_slots * (pos * cv_plan_kv_bytes(m->kv, l->kv_elems) + l->state_bytes);
    }
    return bytes;
}

/* What a stage adds to the sum, and what it needs at most. */
static int sum_kind(const struct random_cluster *r)
{
    return r->goal.optimize == CV_PLAN_PROMPT ? 2 : 0;
}

static int max_kind(const struct random_cluster *r)
{
    return r->goal.optimize == CV_PLAN_PROMPT ? 2 : 1;
}

static double sum_weight(const struct random_cluster *r)
{
    return r->goal.optimize == CV_PLAN_THROUGHPUT ? 1e-3 : 1.0;
}

static double max_weight(const struct random_cluster *r)
{
    if (r->goal.optimize == CV_PLAN_LATENCY)
        return 0.0;
    return r->goal.optimize == CV_PLAN_PROMPT ? n_chunk(r) - 1.0 : 1.0;
}

static double stage_sum(const struct random_cluster *r, uint32_t dev, uint32_t first, uint32_t last)
{
    const struct cv_plan_device *d = &r->device[dev];
    const struct cv_plan_model *m = &r->model;
    double t = rc_stage_time(r, sum_kind(r), dev, first, last), moved = 0.0;
    if (last == m->n_layer && sum_kind(r) == 2) {
        const double bw = d->bandwidth > 0.0 ? d->bandwidth : CV_PLAN_BANDWIDTH;
        t += fmax((double)m->head_bytes / bw, m->head_flops / rate_of(d, 1.0));
    }
    for (uint32_t i = first; i < last; i++)
        if (i < d->held_first || i >= d->held_last)
            moved += (double)m->layer[i].weight_bytes;
    if (first == 0 && !d->held_embd)
        moved += (double)m->embd_bytes;
    if (last == m->n_layer && !(m->tied && first == 0) && !d->held_head)
        moved += (double)m->head_bytes;
    return sum_weight(r) * t + r->goal.move_s_per_byte * moved;
}

struct walk {
    const struct random_cluster *r;
    bool used[RC_DEVICES];
    double best;
    double in[RC_DEVICES + 1][RC_DEVICES + 1], in_busy[RC_DEVICES + 1][RC_DEVICES + 1];
    double sum[6][25][25], max[6][25][25];
    bool fits[6][25][25];
};

static void go_on(struct walk *w, uint32_t at, uint32_t last, uint32_t n_used, double sum, double max)
{
    const struct random_cluster *r = w->r;
    const uint32_t n = r->cluster.n_device, n_layer = r->model.n_layer;
    if (sum + max_weight(r) * max >= w->best)
        return;
    if (at == n_layer) {
        sum += w->in[last][n];
        max = fmax(max, w->in_busy[last][n]);
        bool ok = n_used >= r->goal.min_stages;
        for (uint32_t d = 0; d < n; d++)
            ok = ok && (!r->device[d].pinned || w->used[d]);
        if (ok)
            w->best = fmin(w->best, sum + max_weight(r) * max);
        return;
    }
    if (r->goal.max_stages != 0 && n_used == r->goal.max_stages)
        return;
    for (uint32_t d = 0; d < n; d++) {
        if (w->used[d])
            continue;
        w->used[d] = true;
        for (uint32_t to = at + 1; to <= n_layer; to++)
            if (w->fits[d][at][to])
                go_on(w, to, d, n_used + 1, sum + w->in[last][d] + w->sum[d][at][to],
                      fmax(fmax(max, w->in_busy[last][d]), w->max[d][at][to]));
        w->used[d] = false;
    }
}

double rc_brute_force(const struct random_cluster *r)
{
    static struct walk w;
    memset(&w, 0, sizeof(w));
    w.r = r;
    w.best = INFINITY;
    const uint32_t n = r->cluster.n_device;
    for (uint32_t i = 0; i <= n; i++) {
        for (uint32_t j = 0; j <= n; j++) {
            w.in[i][j] = sum_weight(r) * rc_edge_time(r, sum_kind(r), i, j);
            w.in_busy[i][j] = rc_edge_busy(r, max_kind(r), i, j);
        }
    }
    for (uint32_t d = 0; d < n; d++) {
        const struct cv_plan_device *dev = &r->device[d];
        const uint64_t usable = dev->memory_bytes - dev->reserve_bytes;
        for (uint32_t a = 0; a < r->model.n_layer; a++) {
            for (uint32_t b = a + 1; b <= r->model.n_layer; b++) {
                w.sum[d][a][b] = stage_sum(r, d, a, b);
                w.max[d][a][b] = rc_stage_time(r, max_kind(r), d, a, b);
                w.fits[d][a][b] = !dev->excluded && rc_stage_bytes(r, a, b) <= usable &&
                                  (!dev->pinned || (dev->pin_first == a && dev->pin_last == b));
            }
        }
    }
    go_on(&w, 0, n, 0, 0.0, 0.0);
    return w.best;
}

double rc_score(const struct random_cluster *r, const struct cv_plan *plan)
{
    const uint32_t n = r->cluster.n_device;
    double sum = 0.0, max = 0.0;
    uint32_t last = n;
    for (uint32_t i = 0; i < plan->n_stage; i++) {
        const struct cv_plan_stage *s = &plan->stage[i];
        sum += sum_weight(r) * rc_edge_time(r, sum_kind(r), last, s->device);
        sum += stage_sum(r, s->device, s->layer_first, s->layer_last);
        max = fmax(max, rc_edge_busy(r, max_kind(r), last, s->device));
        max = fmax(max, rc_stage_time(r, max_kind(r), s->device, s->layer_first, s->layer_last));
        last = s->device;
    }
    sum += sum_weight(r) * rc_edge_time(r, sum_kind(r), last, n);
    max = fmax(max, rc_edge_busy(r, max_kind(r), last, n));
    return sum + max_weight(r) * max;
}
