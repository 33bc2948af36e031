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

#define BELOW      (1.0 - 1e-10) /* strictly less, past all rounding */
#define CLOSE      1e-2          /* where the search for the least max(v) stops: the intervals do the rest */
#define WIDE       0.03          /* wider intervals are cut in two, others asked as a whole */
#define MAX_WORK   ((uint64_t)2 << 30)
#define FIRST_WORK ((uint64_t)1 << 20) /* for a first chain */

enum { MAX_OPEN = 1024 };

struct interval {
    double lo, hi; /* of max(v) */
    double sum;    /* no sum is smaller up to hi */
    bool tight;    /* sum was asked for at hi: ask in the middle now */
};

struct search {
    struct exact *x;
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

static void push(struct search *s, struct interval i)
{
    const double cut = (s->best->score * BELOW - i.sum) / s->beta;
    if (cut < i.hi) {
        i.hi = cut;
        i.tight = false;
    }
    if (i.lo > i.hi)
        return;
    if (s->n_open == MAX_OPEN)
        s->dropped = fmin(s->dropped, bound_of(s, &i));
    else
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

/* A value that max(v) of every chain is above, close to the least there is. */
static double below_least_max(struct search *s)
{
    double lo = 0.0, hi = s->best->max;
    while (hi - lo > CLOSE * hi) {
        const double t = 0.5 * (lo + hi);
        if (cv_plan_exact_reach(s->x, t, &s->now)) {
            try_chain(s);
            hi = s->now.max < t ? s->now.max : t;
        } else {
            lo = t;
        }
    }
    return lo;
}

/* Lower bound of everything still open. */
static double open_bound(const struct search *s)
{
    double bound = fmin(s->best->score, s->dropped);
    for (uint32_t i = 0; i < s->n_open; i++)
        bound = fmin(bound, bound_of(s, &s->open[i]));
    return bound;
}

static void narrow(struct search *s)
{
    struct interval all = {.lo = below_least_max(s), .hi = INFINITY};
    for (int i = 0; i < 8; i++) { /* how large may v be, seeing what the sum is at least? */
        all.sum = cv_plan_exact_bound(s->x, all.hi);
        all.hi = (s->best->score * BELOW - all.sum) / s->beta;
    }
    push(s, all);
    while (s->n_open > 0 && cv_plan_exact_work(s->x) < MAX_WORK) {
        const struct interval i = pop_best(s);
        if (bound_of(s, &i) >= s->best->score * BELOW)
            continue;
        const double t = i.tight || i.hi - i.lo > WIDE * i.hi ? 0.5 * (i.lo + i.hi) : i.hi;
        if (cv_plan_exact_sum(s->x, t, s->best->score * BELOW - s->beta * i.lo, &s->now)) {
            try_chain(s);
            push(s, (struct interval){i.lo, s->now.max * BELOW, s->now.sum, true});
        }
        if (t < i.hi)
            push(s, (struct interval){t, i.hi, i.sum, false});
    }
}

bool cv_plan_search(const struct costs *k, const struct classes *classes, struct chain *best, double *lower_bound,
                    bool *found, struct cv_arena *arena, struct cv_error *err)
{
    struct search s = {.best = best, .beta = k->w.beta, .dropped = INFINITY};
    s.open = cv_arena_calloc(arena, MAX_OPEN, sizeof(*s.open));
    if (s.open == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for the planner's tables");
    if (!cv_plan_chain_new(&s.now, k->n_dev, arena, err) || !cv_plan_exact_new(&s.x, k, classes, arena, err))
        return false;
    /* A good chain to begin with lets most states be dropped. */
    if (!cv_plan_improve(k, classes, FIRST_WORK, best, found, arena, err)) {
        cv_plan_exact_free(s.x);
        return false;
    }
    if (s.beta <= 0.0 || !*found) {
        const double below = *found ? best->score * BELOW : INFINITY;
        if (cv_plan_exact_sum(s.x, INFINITY, below, &s.now)) {
            cv_plan_chain_copy(best, &s.now);
            *found = true;
        }
    }
    *lower_bound = *found ? best->score : 0.0;
    if (*found && s.beta > 0.0) {
        narrow(&s);
        *lower_bound = open_bound(&s);
    }
    cv_plan_exact_free(s.x);
    return true;
}
