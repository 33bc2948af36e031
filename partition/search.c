/*
 * search.c - the least alpha * sum(u) + beta * max(v), by bisecting over max(v).
 *
 * s(T), the least sum with every v <= T, falls as T grows, so on an interval (lo, hi] no score is below
 * s(hi) + beta * lo. Intervals whose bound reaches the best score found are dropped; the others are cut in two, the most
 * promising first. The chain found at T tells its own largest v, below which the left part ends: every question removes
 * at least one step of the staircase s, so the search ends with the exact optimum.
 */
#include <math.h>

#include "base/mem.h"
#include "partition/internal.h"

#define BELOW    (1.0 - 1e-10) /* strictly less, past all rounding */
#define MAX_WORK ((uint64_t)2 << 30)

enum { MAX_OPEN = 1024 };

struct interval {
    double lo, hi; /* of max(v) */
    double sum;    /* no sum is smaller up to hi */
};

struct search {
    struct exact *x;
    const struct costs *k;
    double beta;
    struct chain *best, now;
    struct interval *open;
    uint32_t n_open;
    double dropped; /* least bound of what was given up for lack of room */
};

static void try_chain(struct search *s)
{
    if (s->now.score < s->best->score)
        cv_plan_chain_copy(s->best, &s->now);
}

static double bound_of(const struct search *s, const struct interval *i)
{
    return i->sum + s->beta * i->lo;
}

static void push(struct search *s, double lo, double hi, double sum)
{
    const double cut = (s->best->score * BELOW - sum) / s->beta;
    const struct interval i = {lo, hi < cut ? hi : cut, sum};
    if (i.lo > i.hi)
        return;
    if (s->n_open == MAX_OPEN) {
        s->dropped = fmin(s->dropped, bound_of(s, &i));
        return;
    }
    s->open[s->n_open++] = i;
}

static struct interval pop_best(struct search *s)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < s->n_open; i++)
        if (bound_of(s, &s->open[i]) < bound_of(s, &s->open[best]))
            best = i;
    struct interval out = s->open[best];
    s->open[best] = s->open[--s->n_open];
    return out;
}

/* The least max(v) that any chain has. s->now holds a chain to begin with. */
static double least_max(struct search *s)
{
    double lo = 0.0, hi = s->now.max;
    for (;;) {
        const double t = hi - lo > 1e-6 * hi ? 0.5 * (lo + hi) : hi * BELOW;
        if (cv_plan_exact_reach(s->x, t, &s->now)) {
            try_chain(s);
            hi = s->now.max;
        } else if (t >= hi * BELOW) {
            return hi;
        } else {
            lo = t;
        }
        if (lo >= hi * BELOW)
            return hi;
    }
}

/* Lower bound of everything still open. */
static double open_bound(const struct search *s)
{
    double bound = fmin(s->best->score, s->dropped);
    for (uint32_t i = 0; i < s->n_open; i++)
        bound = fmin(bound, bound_of(s, &s->open[i]));
    return bound;
}

/* s->now and s->best are the chain of the least sum. */
static void narrow(struct search *s)
{
    const double hi = s->now.max * BELOW, sum = s->now.sum;
    push(s, least_max(s), hi, sum);
    while (s->n_open > 0 && cv_plan_exact_work(s->x) < MAX_WORK) {
        const struct interval i = pop_best(s);
        if (bound_of(s, &i) >= s->best->score * BELOW)
            continue;
        const double t = i.hi - i.lo > 1e-3 * i.hi ? 0.5 * (i.lo + i.hi) : i.hi;
        const bool some = cv_plan_exact_sum(s->x, t, s->best->score * BELOW - s->beta * i.lo, &s->now);
        if (some) {
            try_chain(s);
            push(s, i.lo, s->now.max * BELOW, s->now.sum);
        }
        if (t < i.hi)
            push(s, t, i.hi, i.sum);
    }
}

bool cv_plan_search(const struct costs *k, const struct classes *classes, struct chain *best, double *lower_bound,
                    bool *found, struct cv_arena *arena, struct cv_error *err)
{
    struct search s = {.k = k, .best = best, .beta = cv_plan_weights(k).beta, .dropped = INFINITY};
    s.open = cv_arena_calloc(arena, MAX_OPEN, sizeof(*s.open));
    if (s.open == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for the planner's tables");
    if (!cv_plan_chain_new(&s.now, k->n_dev, arena, err) || !cv_plan_exact_new(&s.x, k, classes, arena, err))
        return false;
    *found = cv_plan_exact_sum(s.x, INFINITY, INFINITY, &s.now);
    if (*found) {
        cv_plan_chain_copy(best, &s.now);
        *lower_bound = best->score;
    }
    if (*found && s.beta > 0.0) {
        narrow(&s);
        *lower_bound = open_bound(&s);
    }
    cv_plan_exact_free(s.x);
    return true;
}
