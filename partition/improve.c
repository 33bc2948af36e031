/*
 * improve.c - plans for clusters that are too large for exact.c: local improvement from several starts.
 *
 * A start is an order of the devices; order.c finds the best subset and cuts of it. Then a device is moved to another
 * place or two change places, and what is not worse is kept. For goals with a largest v, each order is asked for
 * several bounds around the best one so far. The numbers are drawn from a fixed seed: the same cluster gives the same
 * plan. Where a number of stages is asked for, exactly the first so many devices of the order are used.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "partition/order.h"

enum { N_START = 4 };

struct improve {
    struct order o;
    const struct costs *k;
    uint32_t m;           /* usable devices */
    uint32_t n_active;    /* the first so many of the order are looked at */
    bool *must;           /* [m] or NULL */
    uint32_t *dev, *keep; /* [m] the order, and the one to go back to */
    double beta, limit;
    struct chain now, here, *best;
    bool found;
    uint64_t seed;
};

struct rank {
    double key;
    uint32_t dev;
};

static uint64_t draw(struct improve *v)
{
    uint64_t z = v->seed += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int by_key(const void *a, const void *b)
{
    const struct rank *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->dev < y->dev ? -1 : x->dev > y->dev;
}

/* How attractive a device is: time per layer, time per layer with its share of a stage's fixed cost, or memory. */
static double key_of(const struct improve *v, uint32_t d, int start)
{
    const struct costs *k = v->k;
    const double per_layer = (cv_plan_u_stage(k, d, 0, k->n) - cv_plan_u_stage(k, d, 0, 0)) / k->n;
    const double layers = fmax(1.0, (double)k->usable[d] / ((double)k->mem[k->n] / k->n + 1.0));
    const double fixed = cv_plan_u_edge(k, d, k->n_dev) + k->cluster->device[d].stage_s;
    switch (start) {
    case 0:
        return per_layer + fixed / layers;
    case 1:
        return per_layer;
    case 2:
        return -(double)k->usable[d];
    default:
        return (double)d;
    }
}

static void set_start(struct improve *v, const struct classes *s, struct rank *rank, int start)
{
    uint32_t m = 0, n_pin = 0;
    for (uint32_t d = 0; d < v->k->n_dev; d++) {
        if (s->of[d] == CV_PLAN_NONE)
            continue;
        const struct cv_plan_device *dev = &v->k->cluster->device[d];
        n_pin += dev->pinned;
        /* Pinned ones first, in order of their layers; they are dealt in below. */
        rank[m++] = (struct rank){dev->pinned ? -1e300 + dev->pin_first * 1e290 : key_of(v, d, start), d};
    }
    qsort(rank, m, sizeof(*rank), by_key);
    uint32_t pin = 0, other = n_pin;
    for (uint32_t i = 0; i < m; i++) {
        const bool pin_due =
            pin < n_pin &&
            (other == m || (uint64_t)v->k->cluster->device[rank[pin].dev].pin_first * m <= (uint64_t)i * v->k->n);
        v->dev[i] = rank[pin_due ? pin++ : other++].dev;
    }
}

/* The best chain of the order as it stands, into v->now. */
static bool ask(struct improve *v, double limit)
{
    if (v->o.max_v != limit)
        cv_plan_order_limit(&v->o, limit);
    return cv_plan_order_best(&v->o, v->dev, v->n_active, v->must, &v->now);
}

static bool take(struct improve *v)
{
    if (v->found && v->now.score >= v->best->score)
        return false;
    cv_plan_chain_copy(v->best, &v->now);
    v->found = true;
    return true;
}

/* Squeezes the largest v of the order as it stands; v->here becomes its best chain. */
static bool settle(struct improve *v)
{
    if (!ask(v, INFINITY))
        return false;
    cv_plan_chain_copy(&v->here, &v->now);
    take(v);
    if (v->beta <= 0.0)
        return true;
    double lo = 0.0, hi = v->here.max;
    for (int i = 0; i < 12; i++) {
        const double mid = 0.5 * (lo + hi);
        if (!ask(v, mid)) {
            lo = mid;
            continue;
        }
        hi = fmin(mid, v->now.max);
        if (v->now.score < v->here.score)
            cv_plan_chain_copy(&v->here, &v->now);
        take(v);
    }
    for (int i = 1; i < 8; i++) {
        if (ask(v, hi * (1.0 + 0.02 * i * i)) && v->now.score < v->here.score)
            cv_plan_chain_copy(&v->here, &v->now);
        take(v);
    }
    return true;
}

static void move_one(struct improve *v)
{
    const uint32_t from = (uint32_t)(draw(v) % v->m), to = (uint32_t)(draw(v) % v->m), d = v->dev[from];
    if (draw(v) & 1) {
        v->dev[from] = v->dev[to];
        v->dev[to] = d;
        return;
    }
    if (from < to)
        memmove(v->dev + from, v->dev + from + 1, (to - from) * sizeof(*v->dev));
    else
        memmove(v->dev + to + 1, v->dev + to, (from - to) * sizeof(*v->dev));
    v->dev[to] = d;
}

static void walk(struct improve *v, uint64_t until)
{
    uint32_t idle = 0;
    for (int turn = 0; v->o.work < until && idle < 40 * v->m; turn++) {
        memcpy(v->keep, v->dev, v->m * sizeof(*v->dev));
        move_one(v);
        double limit = INFINITY;
        if (v->beta > 0.0) /* in long runs of one limit: windows are made anew when it changes */
            limit = v->here.max * (turn / 64 % 3 == 0 ? 1.0 : turn / 64 % 3 == 1 ? 1.0 - 1e-9 : 1.03);
        if (turn % 64 != 0 && v->beta > 0.0)
            limit = v->limit;
        v->limit = limit;
        const bool ok = ask(v, limit);
        if (!ok || v->now.score > v->here.score) {
            memcpy(v->dev, v->keep, v->m * sizeof(*v->dev));
            idle++;
            continue;
        }
        idle = v->now.score < v->here.score * (1.0 - 1e-9) ? 0 : idle + 1;
        cv_plan_chain_copy(&v->here, &v->now);
        take(v);
    }
}

static void set_active(struct improve *v)
{
    const struct cv_plan_goal *g = &v->k->goal;
    v->n_active = v->m;
    const uint32_t want = g->min_stages != 0 ? g->min_stages : g->max_stages;
    if (want == 0 || want > v->m || (g->min_stages == 0 && want >= v->m))
        return;
    v->n_active = want;
    for (uint32_t i = 0; i < v->m && g->min_stages != 0; i++)
        v->must[i] = true;
}

bool cv_plan_improve(const struct costs *k, const struct classes *s, uint64_t max_work, struct chain *best, bool *found,
                     struct cv_arena *arena, struct cv_error *err)
{
    struct improve v = {.k = k, .beta = k->w.beta, .best = best};
    struct rank *rank = cv_arena_calloc(arena, k->n_dev, sizeof(*rank));
    v.dev = cv_arena_calloc(arena, k->n_dev, sizeof(*v.dev));
    v.keep = cv_arena_calloc(arena, k->n_dev, sizeof(*v.keep));
    v.must = cv_arena_calloc(arena, k->n_dev, sizeof(*v.must));
    if (rank == NULL || v.dev == NULL || v.keep == NULL || v.must == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for the planner's tables");
    if (!cv_plan_chain_new(&v.now, k->n_dev, arena, err) || !cv_plan_chain_new(&v.here, k->n_dev, arena, err) ||
        !cv_plan_order_new(&v.o, k, arena, err))
        return false;
    for (uint32_t d = 0; d < k->n_dev; d++)
        v.m += s->of[d] != CV_PLAN_NONE;
    set_active(&v);
    v.o.max_v = -1.0;
    for (int start = 0; start < N_START; start++) {
        set_start(&v, s, rank, start);
        if (settle(&v) && max_work != 0)
            walk(&v, v.o.work + max_work / N_START);
        if (v.found && max_work == 0)
            break;
    }
    *found = v.found;
    return true;
}
