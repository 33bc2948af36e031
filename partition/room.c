/*
 * room.c - lower bounds for the states of exact.c and reach.c: what is left must fit, and costs at least so much.
 *
 * Layers become sand: one weighs u of an average device, or v, or its bytes. A device holds at most the heaviest range
 * that is possible on it at all (its room). So a state whose remaining devices have less room together than its
 * remaining layers weigh leads nowhere; and filling those devices with sand, the cheapest first (a fractional knapsack,
 * the fixed cost of a stage spread over its room), costs no more than any chain.
 */
#include <math.h>
#include <stdlib.h>

#include "partition/exact.h"

bool cv_plan_exact_sands(struct exact *x, struct cv_arena *arena)
{
    const struct weights w = x->k->w;
    const uint32_t n = x->n;
    for (int i = 0; i < EXACT_SANDS; i++) {
        x->sand[i] = cv_arena_calloc(arena, (size_t)n + 1, sizeof(double));
        x->room[i] = cv_arena_calloc(arena, x->n_class, sizeof(double));
        if (x->sand[i] == NULL || x->room[i] == NULL)
            return false;
    }
    x->price = cv_arena_calloc(arena, x->n_class, sizeof(double));
    x->by_price = cv_arena_calloc(arena, x->n_class, sizeof(*x->by_price));
    x->rest_now = cv_arena_calloc(arena, (size_t)n + 1, sizeof(double));
    if (x->price == NULL || x->by_price == NULL || x->rest_now == NULL)
        return false;
    for (uint32_t l = 0; l < n; l++) {
        double u = 0.0, v = 0.0;
        for (uint32_t c = 0; c < x->n_class; c++) {
            const size_t row = (size_t)x->s->first[c] * (n + 1);
            u += x->k->t[w.u][row + l + 1] - x->k->t[w.u][row + l];
            v += x->k->t[w.v][row + l + 1] - x->k->t[w.v][row + l];
        }
        x->sand[SAND_U][l + 1] = x->sand[SAND_U][l] + u + 1e-30;
        x->sand[SAND_V][l + 1] = x->sand[SAND_V][l] + v + 1e-30;
        x->sand[SAND_BYTES][l + 1] = (double)x->k->mem[l + 1];
    }
    return true;
}

/* Every possible stage [a, l) of class c, from all three kinds of windows, as the longest for each l. */
static void set_room(struct exact *x, uint32_t c)
{
    const struct cv_plan_device *d = device_of(x, c);
    const uint32_t *lo = x->lo + (size_t)c * (x->n + 1), n = x->n;
    for (int i = 0; i < EXACT_SANDS; i++) {
        const double *s = x->sand[i];
        double room = fmax(s[x->first_hi[c]], s[n] - s[x->last_lo[c]]);
        if (x->full[c])
            room = s[n];
        for (uint32_t l = 2; l < n && !d->pinned; l++)
            room = fmax(room, s[l] - s[lo[l]]);
        if (d->pinned && d->pin_last < n)
            room = fmax(room, s[d->pin_last] - s[d->pin_first]);
        x->room[i][c] = room;
    }
}

/* The least u of a unit of sand on class c, its share of what a stage costs anyhow included; in: the least way into the
 * class that counts. */
static double price_of(const struct exact *x, uint32_t c, double max_v, double in)
{
    const double *u = x->u + (size_t)c * (x->n + 1), *s = x->sand[SAND_U];
    double least = INFINITY;
    for (uint32_t l = 0; l < x->n; l++)
        least = fmin(least, (u[l + 1] - u[l]) / (s[l + 1] - s[l]));
    for (uint32_t e = 0; e < x->n_class; e++)
        if ((e != c || x->s->count[c] > 1) && edge_v(x, e, c) <= max_v)
            in = fmin(in, in_edge(x, e, c));
    return least + (in + x->u_fix[c]) / x->room[SAND_U][c];
}

static void set_prices(struct exact *x, double max_v, bool from_home)
{
    for (uint32_t c = 0; c < x->n_class; c++) {
        const double in = from_home ? in_edge(x, x->n_class, c) : INFINITY;
        x->price[c] = x->room[SAND_U][c] > 0.0 ? price_of(x, c, max_v, in) : INFINITY;
        uint32_t i = c;
        for (; i > 0 && x->price[x->by_price[i - 1]] > x->price[c]; i--)
            x->by_price[i] = x->by_price[i - 1];
        x->by_price[i] = c;
    }
}

void cv_plan_exact_rooms(struct exact *x, double max_v)
{
    for (uint32_t c = 0; c < x->n_class; c++)
        set_room(x, c);
    set_prices(x, max_v, false);
}

uint32_t cv_plan_exact_least_cut(const struct exact *x)
{
    uint32_t least = 1;
    for (int i = 0; i < EXACT_SANDS; i++) {
        double room = 0.0;
        for (uint32_t c = 0; c < x->n_class; c++)
            room += (double)(x->s->count[c] - x->digit[c]) * x->room[i][c];
        const double *s = x->sand[i], slack = 1e-9 * s[x->n];
        while (least < x->n && s[x->n] - s[least] > room + slack)
            least++;
    }
    return least;
}

void cv_plan_exact_rest(struct exact *x, uint32_t from)
{
    double tail = INFINITY;
    for (uint32_t c = 0; c < x->n_class; c++)
        if (x->digit[c] < x->s->count[c])
            tail = fmin(tail, x->u_head[c] + in_edge(x, c, x->n_class));
    const double *s = x->sand[SAND_U];
    uint32_t i = 0;
    double sum = tail * (1.0 - 1e-12), left = 0.0, price = 0.0; /* left: room in the device being filled */
    for (uint32_t l = x->n; l-- > from;) {
        double need = s[l + 1] - s[l];
        while (need > left && i < x->n_class) {
            sum += left * price;
            need -= left;
            const uint32_t c = x->by_price[i++];
            left = (double)(x->s->count[c] - x->digit[c]) * x->room[SAND_U][c];
            price = left > 0.0 ? x->price[c] * (1.0 - 1e-12) : 0.0;
        }
        if (need > left) { /* no room but for what rounding takes: cv_plan_exact_least_cut decides */
            sum += left * price;
            left = 0.0;
        } else {
            sum += need * price;
            left -= need;
        }
        x->rest_now[l] = sum > x->rest[l] ? sum : x->rest[l];
    }
}

double cv_plan_exact_bound(struct exact *x, double max_v)
{
    cv_plan_exact_windows(x, max_v);
    for (uint32_t c = 0; c < x->n_class; c++) {
        set_room(x, c);
        x->digit[c] = 0;
    }
    if (cv_plan_exact_least_cut(x) > 1) /* even the layers after the first have no room */
        return INFINITY;
    set_prices(x, max_v, true);
    for (uint32_t l = 0; l <= x->n; l++)
        x->rest[l] = 0.0;
    cv_plan_exact_rest(x, 0);
    return x->rest_now[0];
}
