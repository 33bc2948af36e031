/*
 * exact.c - the best chain by dynamic programming over (how many of each class are used, the last class, layers placed).
 *
 * Two questions are answered for a bound T on every v: the least sum of u, and whether any chain exists. The sum of a
 * stage [a, b) is U[b] - U[a] plus constants, and the layers that fit before b begin at a bound that only moves right as
 * b does: so the best beginning for every b is a minimum over a sliding window, and a state costs O(1) instead of
 * O(layers). Where the way into a device does not depend on where it comes from, the last class need not be remembered:
 * the rest of a chain then costs the same whatever stands before it.
 *
 * A state whose sum plus a lower bound of the rest reaches the bound of the caller is dropped. That lower bound lets
 * devices be used again, so it never exceeds the true rest.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "partition/exact.h"

/* The best whole chain so far: its last stage is [a, n) on class c, out of state. */
struct found {
    double sum;
    uint32_t state, c, a;
};

#define MAX_CELLS ((size_t)12 << 20) /* doubles in the table: 96 MiB */

static double *row_of(const struct exact *x, uint32_t state, uint32_t row)
{
    return x->cell + ((size_t)state * x->n_row + row) * (x->n + 1);
}

static uint16_t *live_of(const struct exact *x, uint32_t state, uint32_t row)
{
    return x->live + ((size_t)state * x->n_row + row) * 2;
}

/* A second member of the class, for links inside it; the first when it is alone. */
static uint32_t second_of(const struct costs *k, const struct classes *s, uint32_t c)
{
    for (uint32_t d = 0; d < k->n_dev; d++)
        if (s->of[d] == c && d != s->first[c])
            return d;
    return s->first[c];
}

static void fill_edges(struct exact *x)
{
    const uint32_t w = x->n_class + 1;
    for (uint32_t i = 0; i < w; i++) {
        for (uint32_t j = 0; j < w; j++) {
            uint32_t from = i < x->n_class ? x->s->first[i] : x->k->n_dev;
            uint32_t to = j < x->n_class ? x->s->first[j] : x->k->n_dev;
            if (i == j && i < x->n_class)
                to = second_of(x->k, x->s, i);
            x->eu[i * w + j] = cv_plan_u_edge(x->k, from, to);
            x->ev[i * w + j] = cv_plan_v_edge(x->k, from, to);
        }
    }
}

/* Does the way into a class never depend on the class before it? */
static bool edges_are_alike(const struct exact *x)
{
    for (uint32_t j = 0; j < x->n_class; j++) {
        double u = -1.0, v = -1.0;
        for (uint32_t i = 0; i < x->n_class; i++) {
            if (i == j && x->s->count[j] == 1)
                continue;
            if (u >= 0.0 && (in_edge(x, i, j) != u || edge_v(x, i, j) != v))
                return false;
            u = in_edge(x, i, j);
            v = edge_v(x, i, j);
        }
    }
    return true;
}

static void fill_sums(struct exact *x)
{
    const struct weights w = x->k->w;
    for (uint32_t c = 0; c < x->n_class; c++) {
        const uint32_t d = x->s->first[c];
        const double *t = x->k->t[w.u] + (size_t)d * (x->n + 1), *move = x->k->move + (size_t)d * (x->n + 1);
        for (uint32_t l = 0; l <= x->n; l++)
            x->u[c * (x->n + 1) + l] = w.alpha * t[l] + move[l];
        x->u_fix[c] = w.alpha * x->k->cluster->device[d].stage_s;
        x->u_embd[c] = w.alpha * x->k->embd[w.u][d] + x->k->move_embd[d];
        x->u_head[c] = w.alpha * x->k->head[w.u][d] + x->k->move_head[d];
    }
}

static bool alloc_tables(struct exact *x, struct cv_arena *arena)
{
    const size_t w = (size_t)x->n_class + 1, row = (size_t)x->n + 1;
    return (x->digit = cv_arena_calloc(arena, x->n_class, sizeof(*x->digit))) != NULL &&
           (x->lo = cv_arena_calloc(arena, x->n_class * row, sizeof(*x->lo))) != NULL &&
           (x->hi = cv_arena_calloc(arena, x->n_class * row, sizeof(*x->hi))) != NULL &&
           (x->enter = cv_arena_calloc(arena, x->n_word, sizeof(*x->enter))) != NULL &&
           (x->first_hi = cv_arena_calloc(arena, x->n_class, sizeof(*x->first_hi))) != NULL &&
           (x->last_lo = cv_arena_calloc(arena, x->n_class, sizeof(*x->last_lo))) != NULL &&
           (x->full = cv_arena_calloc(arena, x->n_class, sizeof(*x->full))) != NULL &&
           (x->u = cv_arena_calloc(arena, x->n_class * row, sizeof(double))) != NULL &&
           (x->u_fix = cv_arena_calloc(arena, x->n_class, sizeof(double))) != NULL &&
           (x->u_embd = cv_arena_calloc(arena, x->n_class, sizeof(double))) != NULL &&
           (x->u_head = cv_arena_calloc(arena, x->n_class, sizeof(double))) != NULL &&
           (x->eu = cv_arena_calloc(arena, w * w, sizeof(double))) != NULL &&
           (x->ev = cv_arena_calloc(arena, w * w, sizeof(double))) != NULL &&
           (x->rest = cv_arena_calloc(arena, row, sizeof(double))) != NULL &&
           (x->h = cv_arena_calloc(arena, row, sizeof(double))) != NULL &&
           (x->q = cv_arena_calloc(arena, row, sizeof(double))) != NULL &&
           (x->queue = cv_arena_calloc(arena, row, sizeof(*x->queue))) != NULL;
}

bool cv_plan_exact_new(struct exact **out, const struct costs *k, const struct classes *s, struct cv_arena *arena,
                       struct cv_error *err)
{
    struct exact *x = cv_arena_zalloc(arena, sizeof(*x));
    if (x == NULL || (x->stride = cv_arena_calloc(arena, s->n, sizeof(*x->stride))) == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for the planner's tables");
    x->k = k;
    x->s = s;
    x->n = k->n;
    x->n_class = s->n;
    x->n_word = (k->n + 64) / 64;
    size_t n_state = 1, cells = 0;
    for (uint32_t c = 0; c < s->n; c++) {
        x->stride[c] = (uint32_t)n_state;
        n_state *= (size_t)s->count[c] + 1;
        if (n_state > MAX_CELLS)
            return cv_fail(err, CV_ERR_LIMIT, "too many unlike nodes for the exact search");
    }
    x->n_state = (uint32_t)n_state;
    if (!alloc_tables(x, arena))
        return cv_fail(err, CV_ERR_NOMEM, "no memory for the planner's tables");
    if (!cv_plan_exact_sands(x, arena))
        return cv_fail(err, CV_ERR_NOMEM, "no memory for the planner's tables");
    fill_edges(x);
    fill_sums(x);
    x->n_row = edges_are_alike(x) ? 1 : s->n;
    if (!cv_mul_size(n_state, (size_t)s->n * (k->n + 1), &cells) || cells > MAX_CELLS)
        return cv_fail(err, CV_ERR_LIMIT, "too many unlike nodes for the exact search");
    x->cell = cv_alloc_aligned(n_state * x->n_row * (k->n + 1) * sizeof(double));
    x->live = cv_calloc(n_state * x->n_row, 2 * sizeof(*x->live));
    x->alive = cv_calloc(n_state, sizeof(*x->alive));
    x->bits = cv_alloc_aligned(n_state * s->n * x->n_word * sizeof(*x->bits));
    if (x->cell == NULL || x->live == NULL || x->alive == NULL || x->bits == NULL) {
        cv_plan_exact_free(x);
        return cv_fail(err, CV_ERR_NOMEM, "no memory for the planner's tables");
    }
    *out = x;
    return true;
}

void cv_plan_exact_free(struct exact *x)
{
    if (x == NULL)
        return;
    cv_free(x->cell);
    cv_free(x->live);
    cv_free(x->alive);
    cv_free(x->bits);
    x->cell = NULL;
    x->live = NULL;
    x->alive = NULL;
    x->bits = NULL;
}

uint64_t cv_plan_exact_work(const struct exact *x)
{
    return x->work;
}

static bool stage_ok(const struct exact *x, uint32_t c, uint32_t first, uint32_t last, double max_v)
{
    const uint32_t d = x->s->first[c];
    return cv_plan_stage_fits(x->k, d, first, last) && cv_plan_v_stage(x->k, d, first, last) <= max_v;
}

void cv_plan_exact_windows(struct exact *x, double max_v)
{
    const uint32_t n = x->n;
    for (uint32_t c = 0; c < x->n_class; c++) {
        uint32_t *lo = x->lo + (size_t)c * (n + 1);
        const struct cv_plan_device *d = &x->k->cluster->device[x->s->first[c]];
        x->full[c] = stage_ok(x, c, 0, n, max_v);
        x->first_hi[c] = 0;
        x->last_lo[c] = n;
        for (uint32_t l = 0; l <= n; l++)
            lo[l] = l;
        if (d->pinned) { /* exactly one stage */
            if (!stage_ok(x, c, d->pin_first, d->pin_last, max_v))
                continue;
            if (d->pin_last == n)
                x->last_lo[c] = d->pin_first;
            else if (d->pin_first == 0)
                x->first_hi[c] = d->pin_last;
            else
                lo[d->pin_last] = d->pin_first;
            continue;
        }
        while (x->first_hi[c] + 1 < n && stage_ok(x, c, 0, x->first_hi[c] + 1, max_v))
            x->first_hi[c]++;
        while (x->last_lo[c] > 1 && stage_ok(x, c, x->last_lo[c] - 1, n, max_v))
            x->last_lo[c]--;
        uint32_t a = 1;
        for (uint32_t l = 2; l < n; l++) {
            while (a < l && !stage_ok(x, c, a, l, max_v))
                a++;
            lo[l] = a;
        }
    }
}

/* Lower bound of the cost of layers [l, n) when something stands before them: devices may be used again and again. */
static void set_rest(struct exact *x, double max_v)
{
    const uint32_t n = x->n;
    x->rest[n] = 0.0;
    for (uint32_t l = n; l-- > 1;) {
        double best = INFINITY;
        for (uint32_t c = 0; c < x->n_class; c++) {
            const double *u = x->u + (size_t)c * (n + 1);
            double in = INFINITY;
            for (uint32_t e = 0; e < x->n_class; e++)
                if ((e != c || x->s->count[c] > 1) && edge_v(x, e, c) <= max_v && in_edge(x, e, c) < in)
                    in = in_edge(x, e, c);
            in += x->u_fix[c] - u[l];
            const bool pinned = device_of(x, c)->pinned;
            if (pinned && device_of(x, c)->pin_first != l)
                continue;
            for (uint32_t b = pinned ? device_of(x, c)->pin_last : l + 1; b < n && x->lo[(size_t)c * (n + 1) + b] <= l;
                 b++) {
                if (in + u[b] + x->rest[b] < best)
                    best = in + u[b] + x->rest[b];
            }
            if (x->last_lo[c] <= l) {
                double all = in + u[n] + x->u_head[c] + in_edge(x, c, x->n_class);
                if (all < best)
                    best = all;
            }
        }
        x->rest[l] = best;
    }
}

uint32_t cv_plan_exact_next(struct exact *x, uint32_t used)
{
    for (uint32_t c = 0; c < x->n_class; c++) {
        if (x->digit[c] < x->s->count[c]) {
            x->digit[c]++;
            return used + 1;
        }
        used -= x->digit[c];
        x->digit[c] = 0;
    }
    return used;
}

static void set_digits(struct exact *x, uint32_t state)
{
    for (uint32_t c = 0; c < x->n_class; c++)
        x->digit[c] = state / x->stride[c] % (x->s->count[c] + 1);
}

bool cv_plan_exact_whole(const struct exact *x, uint32_t used)
{
    if (used < x->k->goal.min_stages)
        return false;
    for (uint32_t c = 0; c < x->n_class; c++)
        if (device_of(x, c)->pinned && x->digit[c] == 0)
            return false;
    return true;
}

/* h[a]: the least sum with layers [0, a) on the devices of state, and the way from there into class c. */
static bool enter(struct exact *x, uint32_t state, uint32_t c, double max_v, uint32_t *from, uint32_t *to)
{
    uint32_t lo = x->n, hi = 0;
    double *restrict h = x->h;
    for (uint32_t r = 0; r < x->n_row; r++) {
        const uint16_t *live = live_of(x, state, r);
        /* With one row the edge is the same from everywhere: any other class stands for all. */
        const uint32_t e = x->n_row > 1 ? r : c == 0 && x->s->count[0] == 1 ? 1 : 0;
        if (live[0] >= live[1] || edge_v(x, e, c) > max_v)
            continue;
        const double *restrict g = row_of(x, state, r);
        const double edge = in_edge(x, e, c);
        const uint32_t b = live[0], t = live[1];
        if (lo >= hi) {
            lo = b;
            hi = t;
            for (uint32_t a = b; a < t; a++)
                h[a] = g[a] + edge;
            continue;
        }
        for (; lo > b; lo--)
            h[lo - 1] = INFINITY;
        for (; hi < t; hi++)
            h[hi] = INFINITY;
        for (uint32_t a = b; a < t; a++) {
            const double v = g[a] + edge;
            h[a] = v < h[a] ? v : h[a];
        }
        x->work += t - b;
    }
    *from = lo;
    *to = hi;
    return lo < hi;
}

/* Cells outside live are not written yet; inside, what no chain reaches is infinite. */
static double cell(const double *row, const uint16_t *live, uint32_t l)
{
    return l >= live[0] && l < live[1] ? row[l] : INFINITY;
}

static void keep(double *row, uint16_t *live, uint32_t l, double sum)
{
    if (live[0] >= live[1]) {
        live[0] = (uint16_t)l;
        live[1] = (uint16_t)(l + 1);
    }
    while (live[0] > l)
        row[--live[0]] = INFINITY;
    while (live[1] <= l)
        row[live[1]++] = INFINITY;
    row[l] = sum;
}

/* out[l] = min(out[l], best sum with a last stage [a, l) on class c), for beginnings a in [from, to) of h. */
static void extend(struct exact *x, uint32_t c, uint32_t from, uint32_t to, uint32_t least, double max_sum, double *out,
                   uint16_t *live)
{
    const uint32_t n = x->n;
    const double *u = x->u + (size_t)c * (n + 1), fix = x->u_fix[c];
    const uint32_t *lo = x->lo + (size_t)c * (n + 1);
    if (device_of(x, c)->pinned) {
        const uint32_t a = device_of(x, c)->pin_first, l = device_of(x, c)->pin_last;
        if (l >= n || l < least || lo[l] != a || a < from || a >= to)
            return;
        const double sum = x->h[a] - u[a] + u[l] + fix;
        if (sum < cell(out, live, l) && sum + x->rest_now[l] < max_sum)
            keep(out, live, l, sum);
        return;
    }
    double *q = x->q;
    const uint32_t first = from + 1 > least ? from + 1 : least;
    if (first >= n)
        return;
    uint32_t head = 0, tail = 0, pushed = from > lo[first] ? from : lo[first];
    for (uint32_t l = first; l < n; l++) {
        for (; pushed < l && pushed < to; pushed++) {
            const double v = x->h[pushed] - u[pushed];
            if (!(v < INFINITY))
                continue;
            while (tail > head && q[tail - 1] >= v)
                tail--;
            q[tail] = v;
            x->queue[tail++] = pushed;
        }
        while (head < tail && x->queue[head] < lo[l])
            head++;
        if (head == tail) {
            if (pushed >= to)
                break;
            continue;
        }
        const double sum = q[head] + u[l] + fix;
        if (sum < cell(out, live, l) && sum + x->rest_now[l] < max_sum)
            keep(out, live, l, sum);
    }
    x->work += n - first;
}

/* The best sum with the last stage [a, n) on class c, home again included. */
static double finish(const struct exact *x, uint32_t c, uint32_t from, uint32_t to, uint32_t *at)
{
    const double *u = x->u + (size_t)c * (x->n + 1);
    double best = INFINITY;
    const uint32_t pin_only = device_of(x, c)->pinned ? x->last_lo[c] + 1 : x->n;
    for (uint32_t a = x->last_lo[c] > from ? x->last_lo[c] : from; a < to && a < x->n && a < pin_only; a++) {
        if (x->h[a] - u[a] < best) {
            best = x->h[a] - u[a];
            *at = a;
        }
    }
    return best + u[x->n] + x->u_fix[c] + x->u_head[c] + in_edge(x, c, x->n_class);
}

/* The whole model on class c. */
static double alone(const struct exact *x, uint32_t c, double max_v)
{
    if (!x->full[c] || edge_v(x, x->n_class, c) > max_v || edge_v(x, c, x->n_class) > max_v)
        return INFINITY;
    const uint32_t d = x->s->first[c];
    return cv_plan_u_stage(x->k, d, 0, x->n) + in_edge(x, x->n_class, c) + in_edge(x, c, x->n_class);
}

/* Layers [0, l) as the first stage on class c. */
static void begin(struct exact *x, uint32_t c, uint32_t least, double max_v, double max_sum, double *out,
                  uint16_t *live)
{
    if (edge_v(x, x->n_class, c) > max_v || x->first_hi[c] == 0)
        return;
    const double *u = x->u + (size_t)c * (x->n + 1);
    const double fix = in_edge(x, x->n_class, c) + x->u_fix[c] + x->u_embd[c];
    for (uint32_t l = device_of(x, c)->pinned ? x->first_hi[c] : 1; l <= x->first_hi[c]; l++) {
        if (l >= least && fix + u[l] < cell(out, live, l) && fix + u[l] + x->rest_now[l] < max_sum)
            keep(out, live, l, fix + u[l]);
    }
}

/* Writes stage i as [first, last) of class c. */
static void put(struct chain *out, uint32_t i, uint32_t c, uint32_t first, uint32_t last)
{
    out->dev[i] = c; /* a class until cv_plan_exact_name */
    out->cut[i] = first;
    out->cut[i + 1] = last;
}

void cv_plan_exact_name(struct exact *x, struct chain *out)
{
    memset(x->digit, 0, x->n_class * sizeof(*x->digit));
    for (uint32_t i = 0; i < out->n; i++) {
        const uint32_t c = out->dev[i];
        uint32_t skip = x->digit[c]++;
        for (uint32_t d = 0; d < x->k->n_dev; d++) {
            if (x->s->of[d] == c && skip-- == 0) {
                out->dev[i] = d;
                break;
            }
        }
    }
    cv_plan_chain_score(x->k, out);
}

/* The chain whose last stage is [a, n) on class c, out of state. */
static void trace_sum(struct exact *x, uint32_t state, uint32_t c, uint32_t a, double max_v, struct chain *out)
{
    set_digits(x, state);
    uint32_t used = 0;
    for (uint32_t i = 0; i < x->n_class; i++)
        used += x->digit[i];
    out->n = used;
    put(out, --used, c, a, x->n);
    while (used > 0) {
        const uint32_t l = a, prev = state - x->stride[c], into = c;
        set_digits(x, prev);
        double best = INFINITY;
        uint32_t best_c = 0, best_a = 0;
        for (uint32_t e = 0; e < x->n_class; e++) { /* the class before, and where its stage began */
            if (x->digit[e] == 0 || edge_v(x, e, into) > max_v)
                continue;
            const double *u = x->u + (size_t)e * (x->n + 1);
            const uint32_t before = prev - x->stride[e];
            const double edge = in_edge(x, e, into);
            if (before == 0) {
                bool ok = l <= x->first_hi[e] && (!device_of(x, e)->pinned || l == x->first_hi[e]) &&
                          edge_v(x, x->n_class, e) <= max_v;
                double sum = in_edge(x, x->n_class, e) + x->u_fix[e] + x->u_embd[e] + u[l] + edge;
                if (ok && sum < best) {
                    best = sum;
                    best_c = e;
                    best_a = 0;
                }
                continue;
            }
            uint32_t from, to;
            if (!enter(x, before, e, max_v, &from, &to))
                continue;
            const uint32_t lo = x->lo[(size_t)e * (x->n + 1) + l];
            if (device_of(x, e)->pinned && to > lo + 1)
                to = lo + 1;
            for (uint32_t b = lo > from ? lo : from; b < to && b < l; b++) {
                double sum = x->h[b] - u[b] + u[l] + x->u_fix[e] + edge;
                if (sum < best) {
                    best = sum;
                    best_c = e;
                    best_a = b;
                }
            }
        }
        state = prev;
        c = best_c;
        a = best_a;
        put(out, --used, c, a, l);
    }
    cv_plan_exact_name(x, out);
}

/* Everything that may stand last in the state counted in digit[]; true if a cell of it lives. */
static bool visit(struct exact *x, uint32_t state, bool whole, double max_v, struct found *best)
{
    uint32_t least = 0;
    bool bounded = false, lives = false;
    for (uint32_t c = 0; c < x->n_class; c++) {
        const uint32_t row = x->n_row > 1 ? c : 0, prev = state - x->stride[c];
        if (x->digit[c] == 0 || !x->alive[prev])
            continue;
        uint32_t from = 0, to = 0, at = 0;
        if (prev != 0 && !enter(x, prev, c, max_v, &from, &to))
            continue;
        if (!bounded) {
            least = cv_plan_exact_least_cut(x);
            cv_plan_exact_rest(x, least);
            bounded = true;
        }
        double sum = INFINITY;
        if (prev == 0) {
            begin(x, c, least, max_v, best->sum, row_of(x, state, row), live_of(x, state, row));
            sum = alone(x, c, max_v);
        } else {
            extend(x, c, from, to, least, best->sum, row_of(x, state, row), live_of(x, state, row));
            if (edge_v(x, c, x->n_class) <= max_v)
                sum = finish(x, c, from, to, &at);
        }
        if (whole && sum < best->sum)
            *best = (struct found){sum, state, c, at};
    }
    if (!bounded)
        return false;
    for (uint32_t r = 0; r < x->n_row; r++)
        lives = lives || live_of(x, state, r)[0] < live_of(x, state, r)[1];
    return lives;
}

bool cv_plan_exact_sum(struct exact *x, double max_v, double max_sum, struct chain *out)
{
    cv_plan_exact_windows(x, max_v);
    cv_plan_exact_rooms(x, max_v);
    set_rest(x, max_v);
    const uint32_t max_stages = x->k->goal.max_stages;
    struct found best = {.sum = max_sum};
    uint32_t used = 0;
    memset(x->digit, 0, x->n_class * sizeof(*x->digit));
    memset(x->live, 0, (size_t)x->n_state * x->n_row * 2 * sizeof(*x->live));
    x->alive[0] = true;
    for (uint32_t state = 1; state < x->n_state; state++) {
        used = cv_plan_exact_next(x, used);
        x->alive[state] =
            (max_stages == 0 || used <= max_stages) && visit(x, state, cv_plan_exact_whole(x, used), max_v, &best);
    }
    x->work += x->n_state;
    if (best.state == 0)
        return false;
    trace_sum(x, best.state, best.c, best.a, max_v, out);
    return true;
}
