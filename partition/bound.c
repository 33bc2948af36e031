/*
 * bound.c - a score that no plan can beat, for clusters that are too large to search exactly.
 *
 * Layers become sand: layer i weighs what it costs on an average device, device d takes at most the heaviest range that
 * fits it (K_d), at its best cost per grain, plus its share of the fixed cost of a stage. Filling the cheapest devices
 * first is then optimal (a fractional knapsack), and no real plan costs less. For goals with a largest v the same is
 * done for every step of a ladder of bounds T, and the least s(T_next) + beta * T counts.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "partition/internal.h"

struct grain {
    double price; /* cost of one grain, share of the fixed cost included */
    double room;
};

struct bound {
    const struct costs *k;
    const struct classes *s;
    double *weight;           /* [n + 1] prefix sums of the layers' grains */
    double *cheapest, *fixed; /* [classes] */
    struct grain *grain;
    double tail; /* the cheapest head and way back */
};

static int by_price(const void *a, const void *b)
{
    const double x = ((const struct grain *)a)->price, y = ((const struct grain *)b)->price;
    return x < y ? -1 : x > y;
}

static void prepare(struct bound *b)
{
    const struct costs *k = b->k;
    const uint32_t n = k->n;
    b->weight[0] = 0.0;
    for (uint32_t i = 0; i < n; i++) {
        double sum = 0.0;
        for (uint32_t c = 0; c < b->s->n; c++) {
            const double *t = k->t[k->w.u] + (size_t)b->s->first[c] * (n + 1);
            sum += t[i + 1] - t[i];
        }
        b->weight[i + 1] = b->weight[i] + sum / b->s->n + 1e-30;
    }
    b->tail = INFINITY;
    double first = INFINITY;
    const struct weights w = k->w;
    for (uint32_t c = 0; c < b->s->n; c++) {
        const uint32_t d = b->s->first[c];
        const double *t = k->t[w.u] + (size_t)d * (n + 1), *move = k->move + (size_t)d * (n + 1);
        b->cheapest[c] = INFINITY;
        for (uint32_t i = 0; i < n; i++) {
            const double u = w.alpha * (t[i + 1] - t[i]) + move[i + 1] - move[i];
            b->cheapest[c] = fmin(b->cheapest[c], u / (b->weight[i + 1] - b->weight[i]));
        }
        double in = INFINITY;
        for (uint32_t e = 0; e < k->n_dev; e++)
            if (e != d && b->s->of[e] != CV_PLAN_NONE)
                in = fmin(in, cv_plan_u_edge(k, e, d));
        const double home = cv_plan_u_edge(k, k->n_dev, d);
        if (!(in < INFINITY))
            in = home;
        first = fmin(first, home - in);
        b->fixed[c] = in + w.alpha * k->cluster->device[d].stage_s;
        b->tail = fmin(b->tail, w.alpha * k->head[w.u][d] + cv_plan_u_edge(k, d, k->n_dev));
    }
    b->tail += first; /* one stage is entered from the coordinator: with tokens, not with a carry */
}

/* The heaviest range that fits device d with v <= max_v: embedding and head may be added to it, never taken away. */
static double room_of(const struct bound *b, uint32_t d, double max_v)
{
    const struct costs *k = b->k;
    const double *t = k->t[k->w.v] + (size_t)d * (k->n + 1), fix = k->cluster->device[d].stage_s;
    double room = 0.0;
    for (uint32_t first = 0, last = 0; last < k->n;) {
        last++;
        while (first < last &&
               (k->mem[last] - k->mem[first] + k->work[0] > k->usable[d] || t[last] - t[first] + fix > max_v))
            first++;
        room = fmax(room, b->weight[last] - b->weight[first]);
    }
    return room;
}

/* Least sum of u with every v <= max_v, or infinity. */
static double least_sum(struct bound *b, double max_v)
{
    uint32_t n = 0;
    double left = b->weight[b->k->n] * (1.0 - 1e-12), sum = b->tail;
    for (uint32_t c = 0; c < b->s->n; c++) {
        const double room = room_of(b, b->s->first[c], max_v);
        if (room > 0.0)
            b->grain[n++] = (struct grain){b->cheapest[c] + b->fixed[c] / room, room * b->s->count[c]};
    }
    qsort(b->grain, n, sizeof(*b->grain), by_price);
    for (uint32_t i = 0; i < n && left > 0.0; i++) {
        const double take = fmin(left, b->grain[i].room);
        sum += take * b->grain[i].price;
        left -= take;
    }
    return left > 0.0 ? INFINITY : sum;
}

bool cv_plan_bound(const struct costs *k, const struct classes *s, double score, double *out, struct cv_arena *arena,
                   struct cv_error *err)
{
    struct bound b = {.k = k, .s = s};
    const double beta = k->w.beta;
    bool ok = (b.weight = cv_arena_calloc(arena, (size_t)k->n + 1, sizeof(double))) != NULL &&
              (b.cheapest = cv_arena_calloc(arena, s->n, sizeof(double))) != NULL &&
              (b.fixed = cv_arena_calloc(arena, s->n, sizeof(double))) != NULL &&
              (b.grain = cv_arena_calloc(arena, s->n, sizeof(*b.grain))) != NULL;
    if (!ok)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for the planner's tables");
    prepare(&b);
    if (beta <= 0.0) {
        *out = fmin(score, least_sum(&b, INFINITY));
        return true;
    }
    /* Steps of the ladder between the least T that holds the model at all and the largest worth a look. */
    double lo = 0.0, hi = (score - least_sum(&b, INFINITY)) / beta;
    double least = 0.0, most = hi;
    for (int i = 0; i < 40; i++) {
        const double mid = 0.5 * (least + most);
        if (least_sum(&b, mid) < INFINITY)
            most = mid;
        else
            least = mid;
    }
    lo = least;
    double steps = 2e7 / ((double)s->n * k->n);
    steps = steps > 400.0 ? 400.0 : steps < 16.0 ? 16.0 : steps;
    *out = score;
    for (int i = 0; i < (int)steps && hi > lo; i++) {
        const double from = lo + (hi - lo) * i / (int)steps, to = lo + (hi - lo) * (i + 1) / (int)steps;
        *out = fmin(*out, least_sum(&b, to) + beta * from);
    }
    return true;
}
