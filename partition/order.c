/* order.c - see order.h. The same sliding windows as exact.c, over positions in the order instead of sets. */
#include "partition/order.h"

#include <math.h>
#include <string.h>

static bool edges_are_alike(const struct costs *k)
{
    for (uint32_t to = 0; to < k->n_dev; to++) {
        const struct cv_plan_link *any = NULL;
        for (uint32_t from = 0; from < k->n_dev; from++) {
            const struct cv_plan_link *l = &k->link[(size_t)from * (k->n_dev + 1) + to];
            if (from == to)
                continue;
            if (any != NULL && (l->delay_s != any->delay_s || l->bytes_per_s != any->bytes_per_s))
                return false;
            any = l;
        }
    }
    return true;
}

bool cv_plan_order_new(struct order *o, const struct costs *k, struct cv_arena *arena, struct cv_error *err)
{
    memset(o, 0, sizeof(*o));
    o->k = k;
    o->n = k->n;
    o->alike = edges_are_alike(k);
    const size_t row = (size_t)k->n + 1, table = row * k->n_dev;
    bool ok = (o->lo = cv_arena_calloc(arena, table, sizeof(*o->lo))) != NULL &&
              (o->first_hi = cv_arena_calloc(arena, k->n_dev, sizeof(*o->first_hi))) != NULL &&
              (o->last_lo = cv_arena_calloc(arena, k->n_dev, sizeof(*o->last_lo))) != NULL &&
              (o->g = cv_arena_calloc(arena, table, sizeof(double))) != NULL &&
              (o->h = cv_arena_calloc(arena, row, sizeof(double))) != NULL &&
              (o->q = cv_arena_calloc(arena, 2 * row, sizeof(double))) != NULL &&
              (o->queue = cv_arena_calloc(arena, row, sizeof(*o->queue))) != NULL;
    return ok || cv_fail(err, CV_ERR_NOMEM, "no memory for the planner's tables");
}

bool cv_plan_order_stage(const struct order *o, uint32_t dev, uint32_t first, uint32_t last)
{
    return cv_plan_stage_fits(o->k, dev, first, last) && cv_plan_v_stage(o->k, dev, first, last) <= o->max_v;
}

void cv_plan_order_limit(struct order *o, double max_v)
{
    const uint32_t n = o->n;
    o->max_v = max_v;
    for (uint32_t d = 0; d < o->k->n_dev; d++) {
        const struct cv_plan_device *dev = &o->k->cluster->device[d];
        uint32_t *lo = o->lo + (size_t)d * (n + 1);
        o->first_hi[d] = 0;
        o->last_lo[d] = n;
        for (uint32_t l = 0; l <= n; l++)
            lo[l] = l;
        if (dev->excluded)
            continue;
        if (dev->pinned) {
            if (!cv_plan_order_stage(o, d, dev->pin_first, dev->pin_last))
                continue;
            if (dev->pin_last == n)
                o->last_lo[d] = dev->pin_first;
            else if (dev->pin_first == 0)
                o->first_hi[d] = dev->pin_last;
            else
                lo[dev->pin_last] = dev->pin_first;
            continue;
        }
        while (o->first_hi[d] + 1 < n && cv_plan_order_stage(o, d, 0, o->first_hi[d] + 1))
            o->first_hi[d]++;
        while (o->last_lo[d] > 1 && cv_plan_order_stage(o, d, o->last_lo[d] - 1, n))
            o->last_lo[d]--;
        for (uint32_t l = 2, a = 1; l < n; l++) {
            while (a < l && !cv_plan_order_stage(o, d, a, l))
                a++;
            lo[l] = a;
        }
    }
}

/* Best sum of layers [0, l) ending on dev, for beginnings out of o->h, into g. */
static void extend(struct order *o, uint32_t dev, double *g)
{
    const struct cv_plan_device *d = &o->k->cluster->device[dev];
    const uint32_t *lo = o->lo + (size_t)dev * (o->n + 1);
    const double fix = cv_plan_u_stage(o->k, dev, 1, 1), *h = o->h;
    if (d->pinned) {
        if (d->pin_last < o->n && d->pin_first > 0 && lo[d->pin_last] == d->pin_first)
            g[d->pin_last] = h[d->pin_first] + cv_plan_u_stage(o->k, dev, d->pin_first, d->pin_last);
        return;
    }
    uint32_t head = 0, tail = 0;
    double along = 0.0; /* u of layers [1, l - 1) */
    for (uint32_t l = 2; l < o->n; l++) {
        const double v = h[l - 1] - along;
        if (v < INFINITY) {
            while (tail > head && o->q[tail - 1] >= v)
                tail--;
            o->q[tail] = v;
            o->queue[tail++] = l - 1;
        }
        along = cv_plan_u_stage(o->k, dev, 1, l) - fix;
        while (head < tail && o->queue[head] < lo[l])
            head++;
        if (head < tail)
            g[l] = o->q[head] + along + fix;
    }
}

/* The beginning a of the best last stage [a, l) on dev out of o->h; n + 1 if there is none. */
static uint32_t best_begin(const struct order *o, uint32_t dev, uint32_t l, double *sum)
{
    const struct cv_plan_device *d = &o->k->cluster->device[dev];
    const uint32_t lo = l == o->n ? o->last_lo[dev] : o->lo[(size_t)dev * (o->n + 1) + l];
    uint32_t best = o->n + 1;
    *sum = INFINITY;
    if (d->pinned && (l != d->pin_last || lo != d->pin_first))
        return best;
    const uint32_t end = d->pinned ? lo + 1 : l;
    for (uint32_t a = lo < 1 ? 1 : lo; a < end; a++) {
        if (!(o->h[a] < INFINITY))
            continue;
        const double s = o->h[a] + cv_plan_u_stage(o->k, dev, a, l);
        if (s < *sum) {
            *sum = s;
            best = a;
        }
    }
    return best;
}

static bool needed(const struct order *o, const uint32_t *dev, const bool *must, uint32_t i)
{
    return (must != NULL && must[i]) || o->k->cluster->device[dev[i]].pinned;
}

/* o->h: least sums over devices before position i, the way into dev[i] included. */
static void enter(struct order *o, const uint32_t *dev, const bool *must, uint32_t i)
{
    const struct costs *k = o->k;
    const size_t row = (size_t)o->n + 1;
    for (uint32_t a = 0; a <= o->n; a++)
        o->h[a] = INFINITY;
    for (uint32_t j = i; j-- > 0;) {
        if (cv_plan_v_edge(k, dev[j], dev[i]) <= o->max_v) {
            const double edge = cv_plan_u_edge(k, dev[j], dev[i]), *restrict g = o->g + j * row;
            double *restrict h = o->h;
            for (uint32_t a = 1; a < o->n; a++) {
                const double v = g[a] + edge;
                h[a] = v < h[a] ? v : h[a];
            }
            o->work += o->n;
        }
        if (needed(o, dev, must, j))
            break;
    }
}

/* Where the ways are alike: keep[a] is the least of all rows that may come before; see run(). */
static void enter_alike(struct order *o, const double *keep, const uint32_t *dev, uint32_t i)
{
    const double edge = cv_plan_u_edge(o->k, dev[0], dev[i]);
    for (uint32_t a = 0; a <= o->n; a++)
        o->h[a] = keep[a] + edge;
    o->work += o->n;
}

static double begin(const struct order *o, uint32_t dev, uint32_t l)
{
    if (l > o->first_hi[dev] || (o->k->cluster->device[dev].pinned && l != o->first_hi[dev]) ||
        cv_plan_v_edge(o->k, o->k->n_dev, dev) > o->max_v)
        return INFINITY;
    return cv_plan_u_edge(o->k, o->k->n_dev, dev) + cv_plan_u_stage(o->k, dev, 0, l);
}

static void trace(struct order *o, const uint32_t *dev, const bool *must, uint32_t i, uint32_t a, struct chain *out)
{
    const size_t row = (size_t)o->n + 1;
    uint32_t at = o->k->n_dev; /* written from the end of the arrays, then moved to their front */
    out->cut[at] = o->n;
    for (;;) {
        out->dev[--at] = dev[i];
        out->cut[at] = a;
        if (a == 0)
            break;
        uint32_t best_j = CV_PLAN_NONE;
        double best = INFINITY;
        for (uint32_t j = i; j-- > 0;) {
            const double sum = o->g[j * row + a] + cv_plan_u_edge(o->k, dev[j], dev[i]);
            if (cv_plan_v_edge(o->k, dev[j], dev[i]) <= o->max_v && sum < best) {
                best = sum;
                best_j = j;
            }
            if (needed(o, dev, must, j))
                break;
        }
        i = best_j;
        const double first = begin(o, dev[i], a);
        double sum = INFINITY;
        uint32_t from = o->n + 1;
        if (i > 0) {
            enter(o, dev, must, i);
            from = best_begin(o, dev[i], a, &sum);
        }
        bool may_begin = true;
        for (uint32_t j = 0; j < i; j++)
            may_begin = may_begin && !needed(o, dev, must, j);
        a = may_begin && first <= sum ? 0 : from;
    }
    out->n = o->k->n_dev - at;
    memmove(out->dev, out->dev + at, out->n * sizeof(*out->dev));
    memmove(out->cut, out->cut + at, ((size_t)out->n + 1) * sizeof(*out->cut));
    cv_plan_chain_score(o->k, out);
}

bool cv_plan_order_best(struct order *o, const uint32_t *dev, uint32_t n_dev, const bool *must, struct chain *out)
{
    const struct costs *k = o->k;
    const size_t row = (size_t)o->n + 1;
    uint32_t last_needed = 0, first_needed = n_dev, best_i = 0, best_a = 0;
    for (uint32_t i = n_dev; i-- > 0;) {
        if (needed(o, dev, must, i)) {
            last_needed = last_needed > i ? last_needed : i;
            first_needed = i;
        }
    }
    double best = INFINITY, *keep = o->q + row;
    for (uint32_t a = 0; a <= o->n; a++)
        keep[a] = INFINITY;
    for (uint32_t i = 0; i < n_dev; i++) {
        double *g = o->g + i * row, sum = INFINITY;
        for (uint32_t l = 0; l <= o->n; l++)
            g[l] = INFINITY;
        uint32_t a = o->n + 1;
        if (i > 0) {
            if (o->alike && cv_plan_v_edge(k, dev[0], dev[i]) <= o->max_v)
                enter_alike(o, keep, dev, i);
            else
                enter(o, dev, must, i);
            extend(o, dev[i], g);
            if (i >= last_needed && cv_plan_v_edge(k, dev[i], k->n_dev) <= o->max_v)
                a = best_begin(o, dev[i], o->n, &sum);
        }
        if (i <= first_needed) {
            for (uint32_t l = 1; l < o->n && l <= o->first_hi[dev[i]]; l++)
                g[l] = fmin(g[l], begin(o, dev[i], l));
            if (i >= last_needed && cv_plan_order_stage(o, dev[i], 0, o->n) &&
                cv_plan_v_edge(k, k->n_dev, dev[i]) <= o->max_v && cv_plan_v_edge(k, dev[i], k->n_dev) <= o->max_v) {
                const double all = cv_plan_u_edge(k, k->n_dev, dev[i]) + cv_plan_u_stage(k, dev[i], 0, o->n);
                if (all < sum) {
                    sum = all;
                    a = 0;
                }
            }
        }
        sum += cv_plan_u_edge(k, dev[i], k->n_dev);
        if (sum < best) {
            best = sum;
            best_i = i;
            best_a = a;
        }
        const bool only = needed(o, dev, must, i);
        for (uint32_t l = 0; l <= o->n; l++)
            keep[l] = only ? g[l] : fmin(keep[l], g[l]);
        o->work += 4 * (uint64_t)o->n;
    }
    if (!(best < INFINITY))
        return false;
    trace(o, dev, must, best_i, best_a, out);
    return true;
}
