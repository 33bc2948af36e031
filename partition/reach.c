/*
 * reach.c - is there any chain with every stage and edge within a bound? The same states as exact.c, with a set of
 * reachable cuts as bits in the place of sums.
 */
#include <string.h>

#include "partition/exact.h"

static uint64_t *bits_of(const struct exact *x, uint32_t state, uint32_t c)
{
    return x->bits + ((size_t)state * x->n_class + c) * x->n_word;
}

static bool get_bit(const uint64_t *set, uint32_t i)
{
    return set[i / 64] >> (i % 64) & 1;
}

static void set_range(uint64_t *set, uint32_t first, uint32_t last) /* [first, last] */
{
    for (uint32_t w = first / 64; w <= last / 64; w++) {
        uint64_t mask = ~(uint64_t)0;
        if (w == first / 64)
            mask &= ~(uint64_t)0 << (first % 64);
        if (w == last / 64)
            mask &= ~(uint64_t)0 >> (63 - last % 64);
        set[w] |= mask;
    }
}

static void clear_below(uint64_t *set, uint32_t first)
{
    for (uint32_t w = 0; w < first / 64; w++)
        set[w] = 0;
    set[first / 64] &= ~(uint64_t)0 << (first % 64);
}

static uint32_t next_bit(const uint64_t *set, uint32_t from, uint32_t n)
{
    for (uint32_t i = from; i < n;) {
        const uint64_t word = set[i / 64] >> (i % 64);
        if (word == 0) {
            i = (i / 64 + 1) * 64;
            continue;
        }
        if (word & 1)
            return i;
        i++;
    }
    return n;
}

/* Cuts a from which class c may go on when the devices of state stand before it. */
static bool enter_bits(const struct exact *x, uint32_t state, uint32_t c, double max_v, uint64_t *set)
{
    uint64_t any = 0;
    memset(set, 0, x->n_word * sizeof(*set));
    for (uint32_t e = 0; e < x->n_class; e++) {
        if (x->digit[e] == 0 || (e == c && x->digit[c] < 2) || edge_v(x, e, c) > max_v)
            continue;
        const uint64_t *g = bits_of(x, state, e);
        for (uint32_t w = 0; w < x->n_word; w++)
            any |= set[w] |= g[w];
    }
    return any != 0;
}

/* hi[a]: the last cut that a stage of class c from a on reaches, below n; a when it fits none. */
static void set_hi(const struct exact *x, uint32_t c, uint32_t *hi)
{
    const uint32_t *lo = x->lo + (size_t)c * (x->n + 1);
    uint32_t l = 1;
    for (uint32_t a = 1; a < x->n; a++) {
        l = l < a ? a : l;
        while (l + 1 < x->n && lo[l + 1] <= a)
            l++;
        hi[a] = l;
    }
}

static void extend_bits(const struct exact *x, uint32_t c, const uint64_t *from, uint64_t *out)
{
    const struct cv_plan_device *d = device_of(x, c);
    if (d->pinned) {
        if (d->pin_last < x->n && x->lo[(size_t)c * (x->n + 1) + d->pin_last] == d->pin_first && d->pin_first > 0 &&
            get_bit(from, d->pin_first))
            set_range(out, d->pin_last, d->pin_last);
        return;
    }
    const uint32_t *hi = x->hi + (size_t)c * (x->n + 1);
    uint32_t done = 0;
    for (uint32_t a = next_bit(from, 1, x->n); a < x->n; a = next_bit(from, a + 1, x->n)) {
        const uint32_t first = a + 1 > done + 1 ? a + 1 : done + 1;
        if (hi[a] >= first) {
            set_range(out, first, hi[a]);
            done = hi[a];
        }
    }
}

static bool find_last(const struct exact *x, uint32_t c, const uint64_t *from, uint32_t *a)
{
    *a = next_bit(from, x->last_lo[c], x->n);
    return *a < x->n && (!device_of(x, c)->pinned || *a == x->last_lo[c]);
}

/* Backwards from the last stage [a, n) on class c out of state: any way that is marked will do. */
static void trace_bits(struct exact *x, uint32_t state, uint32_t c, uint32_t a, double max_v, struct chain *out)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < x->n_class; i++)
        used += x->digit[i];
    out->n = used;
    out->cut[used] = x->n;
    out->dev[--used] = c;
    out->cut[used] = a;
    uint64_t *set = x->enter;
    while (used > 0) {
        const uint32_t l = a, into = c, prev = state - x->stride[c];
        x->digit[c]--;
        for (c = 0; c < x->n_class; c++) {
            if (x->digit[c] == 0 || edge_v(x, c, into) > max_v || !get_bit(bits_of(x, prev, c), l))
                continue;
            break;
        }
        state = prev;
        if (state == x->stride[c]) {
            a = 0;
        } else {
            enter_bits(x, state - x->stride[c], c, max_v, set);
            a = x->lo[(size_t)c * (x->n + 1) + l];
            a = next_bit(set, a, x->n);
        }
        out->dev[--used] = c;
        out->cut[used] = a;
    }
    cv_plan_exact_name(x, out);
}

/* The cuts after class c as the last of the state counted in digit[]. True if a whole chain ends here: its last stage
 * is [*a, n). */
static bool visit(struct exact *x, uint32_t state, uint32_t c, uint32_t least, bool whole, double max_v, uint32_t *a)
{
    uint64_t *bits = bits_of(x, state, c), *set = x->enter;
    const bool home = edge_v(x, c, x->n_class) <= max_v;
    memset(bits, 0, x->n_word * sizeof(*bits));
    *a = 0;
    if (state != x->stride[c]) {
        if (!enter_bits(x, state - x->stride[c], c, max_v, set))
            return false;
        extend_bits(x, c, set, bits);
        clear_below(bits, least);
        return whole && home && find_last(x, c, set, a);
    }
    if (edge_v(x, x->n_class, c) > max_v)
        return false;
    if (x->first_hi[c] > 0)
        set_range(bits, device_of(x, c)->pinned ? x->first_hi[c] : 1, x->first_hi[c]);
    clear_below(bits, least);
    return whole && home && x->full[c];
}

static bool any_alive(const struct exact *x, uint32_t state)
{
    for (uint32_t c = 0; c < x->n_class; c++)
        if (x->digit[c] != 0 && x->alive[state - x->stride[c]])
            return true;
    return false;
}

bool cv_plan_exact_reach(struct exact *x, double max_v, struct chain *out)
{
    cv_plan_exact_windows(x, max_v);
    cv_plan_exact_rooms(x, max_v);
    for (uint32_t c = 0; c < x->n_class; c++)
        set_hi(x, c, x->hi + (size_t)c * (x->n + 1));
    memset(x->digit, 0, x->n_class * sizeof(*x->digit));
    x->alive[0] = true;
    const uint32_t max_stages = x->k->goal.max_stages;
    uint32_t used = 0;
    x->work += x->n_state;
    for (uint32_t state = 1; state < x->n_state; state++) {
        used = cv_plan_exact_next(x, used);
        x->alive[state] = false;
        if ((max_stages != 0 && used > max_stages) || !any_alive(x, state))
            continue;
        const bool whole = cv_plan_exact_whole(x, used);
        const uint32_t least = cv_plan_exact_least_cut(x);
        for (uint32_t c = 0; c < x->n_class; c++) {
            uint32_t a = 0;
            if (x->digit[c] == 0)
                continue;
            if (!x->alive[state - x->stride[c]]) {
                memset(bits_of(x, state, c), 0, x->n_word * sizeof(*x->bits));
                continue;
            }
            x->work += x->n_class * x->n_word;
            if (visit(x, state, c, least, whole, max_v, &a)) {
                trace_bits(x, state, c, a, max_v, out);
                return true;
            }
            for (uint32_t w = 0; w < x->n_word; w++)
                x->alive[state] = x->alive[state] || bits_of(x, state, c)[w] != 0;
        }
    }
    return false;
}
