#include "registry-mirror/intervals.h"

#include <string.h>

#include "base/mem.h"

void cv_intervals_fini(struct cv_intervals *s)
{
    cv_free(s->at);
    *s = (struct cv_intervals){0};
}

/* The first range that ends behind (or at, with touching) x. */
static size_t find(const struct cv_intervals *s, uint64_t x, bool touching)
{
    size_t low = 0, high = s->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (s->at[mid].to > x || (touching && s->at[mid].to == x))
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

static bool room_for_one(struct cv_intervals *s)
{
    if (s->n < s->cap)
        return true;
    size_t cap = s->cap != 0 ? s->cap * 2 : 16;
    struct cv_interval *at = cv_realloc(s->at, cap, sizeof(*at));
    if (at == NULL)
        return false;
    s->at = at;
    s->cap = cap;
    return true;
}

/* [i, j) becomes the n ranges of with; there is room. */
static void replace(struct cv_intervals *s, size_t i, size_t j, const struct cv_interval *with, size_t n)
{
    memmove(s->at + i + n, s->at + j, (s->n - j) * sizeof(*s->at));
    if (n != 0)
        memcpy(s->at + i, with, n * sizeof(*with));
    s->n = s->n - (j - i) + n;
}

bool cv_intervals_add(struct cv_intervals *s, uint64_t from, uint64_t to)
{
    if (from >= to)
        return true;
    if (!room_for_one(s))
        return false;
    struct cv_interval joined = {from, to};
    size_t i = find(s, from, true), j = i;
    for (; j < s->n && s->at[j].from <= to; j++) {
        joined.from = s->at[j].from < joined.from ? s->at[j].from : joined.from;
        joined.to = s->at[j].to > joined.to ? s->at[j].to : joined.to;
    }
    replace(s, i, j, &joined, 1);
    return true;
}

bool cv_intervals_remove(struct cv_intervals *s, uint64_t from, uint64_t to)
{
    if (from >= to)
        return true;
    if (!room_for_one(s))
        return false;
    struct cv_interval rest[2];
    size_t n = 0, i = find(s, from, false), j = i;
    for (; j < s->n && s->at[j].from < to; j++) {
        if (s->at[j].from < from)
            rest[n++] = (struct cv_interval){s->at[j].from, from};
        if (s->at[j].to > to)
            rest[n++] = (struct cv_interval){to, s->at[j].to};
    }
    replace(s, i, j, rest, n);
    return true;
}

bool cv_intervals_gap(const struct cv_intervals *s, uint64_t from, uint64_t to, struct cv_interval *out)
{
    size_t i = find(s, from, false);
    if (i < s->n && s->at[i].from <= from) { /* from lies inside; ranges do not touch, so a gap follows */
        from = s->at[i].to;
        i++;
    }
    if (from >= to)
        return false;
    out->from = from;
    out->to = i < s->n && s->at[i].from < to ? s->at[i].from : to;
    return true;
}

bool cv_intervals_has(const struct cv_intervals *s, uint64_t from, uint64_t to)
{
    struct cv_interval gap;
    return from >= to || !cv_intervals_gap(s, from, to, &gap);
}
