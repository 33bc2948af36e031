/*
 * dry.c - "don't repeat yourself": a token that would go on with a repetition of the text's end is made less likely, the
 * more so the longer the repetition. Breakers end what counts as one repetition.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/sampler_internal.h"
#include "text/tokenize.h"

enum { MAX_BREAKER_BYTES = 40, MAX_TAIL = 20 };

/* A breaker as tokens: the text of head ends with its beginning, tail is the rest. No tail: head holds all of it. */
struct entry {
    int32_t head;
    uint32_t n_tail;
    int32_t tail[MAX_TAIL];
};

struct cv_dry {
    struct entry *entry; /* by head */
    size_t n_entry, cap_entry;
    double multiplier, base;
    uint32_t allowed, cap_exponent; /* cap 0: none */
    uint32_t *z;                    /* by distance from the newest token */
    struct cv_dry_hit *hit;
    size_t cap, n_hit;
};

static bool no_memory(struct cv_error *err)
{
    return cv_fail(err, CV_ERR_NOMEM, "sampler: out of memory");
}

static bool add_entry(struct cv_dry *d, int32_t head, const struct cv_tokens *tail)
{
    if (d->n_entry == d->cap_entry) {
        size_t cap = d->cap_entry == 0 ? 64 : d->cap_entry * 2;
        struct entry *grown = cv_realloc(d->entry, cap, sizeof(*grown));
        if (grown == NULL)
            return false;
        d->entry = grown;
        d->cap_entry = cap;
    }
    struct entry *e = &d->entry[d->n_entry++];
    *e = (struct entry){.head = head, .n_tail = (uint32_t)(tail->n < MAX_TAIL ? tail->n : MAX_TAIL)};
    if (e->n_tail > 0)
        memcpy(e->tail, tail->id, e->n_tail * sizeof(*e->tail));
    return true;
}

static bool holds(struct cv_str s, const char *part, size_t n)
{
    for (size_t at = 0; at + n <= s.n; at++) {
        if (memcmp(s.p + at, part, n) == 0)
            return true;
    }
    return false;
}

/* The entries that one token makes for a breaker. */
static bool add_token(struct cv_dry *d, const struct cv_vocab *vocab, int32_t id, const char *text, size_t n,
                      struct cv_tokens *tail, struct cv_error *err)
{
    const struct cv_str piece = cv_vocab_piece(vocab, id, true);
    tail->n = 0;
    if (holds(piece, text, n))
        return add_entry(d, id, tail) || no_memory(err);
    for (size_t len = piece.n < n - 1 ? piece.n : n - 1; len > 0; len--) {
        if (memcmp(piece.p + piece.n - len, text, len) != 0)
            continue;
        tail->n = 0;
        if (!cv_tokenize(vocab, text + len, n - len, 0, tail, err))
            return false;
        if (!add_entry(d, id, tail))
            return no_memory(err);
    }
    return true;
}

static int by_head(const void *pa, const void *pb)
{
    const struct entry *a = pa, *b = pb;
    return a->head < b->head ? -1 : a->head > b->head;
}

bool cv_dry_new(struct cv_dry **out, const struct cv_sampling *p, const struct cv_vocab *vocab, struct cv_error *err)
{
    struct cv_dry *d = cv_zalloc(sizeof(*d));
    if (d == NULL)
        return no_memory(err);
    d->multiplier = p->dry_multiplier;
    d->base = p->dry_base;
    d->allowed = (uint32_t)p->dry_allowed_length;
    if (p->dry_base > 1.000001) /* the largest power that is a finite float32 */
        d->cap_exponent = (uint32_t)(88.7228391 / log(p->dry_base));
    struct cv_tokens tail = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < p->n_dry_breaker; i++) {
        size_t n = strlen(p->dry_breaker[i]);
        n = n < MAX_BREAKER_BYTES ? n : MAX_BREAKER_BYTES;
        for (uint32_t id = 0; ok && n > 0 && id < cv_vocab_size(vocab); id++)
            ok = add_token(d, vocab, (int32_t)id, p->dry_breaker[i], n, &tail, err);
    }
    cv_tokens_free(&tail);
    if (!ok) {
        cv_dry_free(d);
        return false;
    }
    if (d->n_entry > 0)
        qsort(d->entry, d->n_entry, sizeof(*d->entry), by_head);
    *out = d;
    return true;
}

void cv_dry_free(struct cv_dry *d)
{
    if (d == NULL)
        return;
    cv_free(d->entry);
    cv_free(d->z);
    cv_free(d->hit);
    cv_free(d);
}

/* The first entry of a head, NULL if it is none. */
static const struct entry *entries_of(const struct cv_dry *d, int32_t head)
{
    size_t from = 0, to = d->n_entry;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (d->entry[middle].head < head)
            from = middle + 1;
        else
            to = middle;
    }
    return from < d->n_entry && d->entry[from].head == head ? &d->entry[from] : NULL;
}

/* Whether a token holds a whole breaker. */
static bool is_breaker(const struct cv_dry *d, int32_t id)
{
    for (const struct entry *e = entries_of(d, id); e != NULL && e < d->entry + d->n_entry && e->head == id; e++) {
        if (e->n_tail == 0)
            return true;
    }
    return false;
}

/* How far back from the newest token a repetition may reach: to the end of the last breaker in the window. */
static size_t reach(const struct cv_dry *d, const int32_t *window, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const int32_t *head = &window[n - 1 - i];
        size_t longest = SIZE_MAX;
        for (const struct entry *e = entries_of(d, *head); e != NULL && e < d->entry + d->n_entry && e->head == *head;
             e++) {
            bool follows =
                e->n_tail <= i && (e->n_tail == 0 || memcmp(head + 1, e->tail, e->n_tail * sizeof(*head)) == 0);
            if (follows && (longest == SIZE_MAX || e->n_tail > longest))
                longest = e->n_tail;
        }
        if (longest != SIZE_MAX)
            return i - longest;
    }
    return n;
}

/* z[i] = how many tokens the window read backwards has in common with itself begun at i (Gusfield's Z-algorithm). */
static void z_backwards(uint32_t *z, const int32_t *window, size_t n)
{
    const int32_t *newest = window + n - 1;
    size_t left = 0, right = 0; /* the match that reaches furthest is [left, right) */
    z[0] = (uint32_t)n;
    for (size_t i = 1; i < n; i++) {
        size_t len = 0;
        if (i < right)
            len = z[i - left] < right - i ? z[i - left] : right - i;
        while (i + len < n && newest[-(ptrdiff_t)len] == newest[-(ptrdiff_t)(i + len)])
            len++;
        z[i] = (uint32_t)len;
        if (i + len > right) {
            left = i;
            right = i + len;
        }
    }
}

static int by_id_then_longest(const void *pa, const void *pb)
{
    const struct cv_dry_hit *a = pa, *b = pb;
    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    return a->length > b->length ? -1 : a->length < b->length;
}

bool cv_dry_find(struct cv_dry *d, const int32_t *window, size_t n, const struct cv_dry_hit **hit, size_t *n_hit,
                 struct cv_error *err)
{
    d->n_hit = 0;
    *n_hit = 0;
    *hit = d->hit;
    if (n <= d->allowed || n == 0)
        return true;
    const size_t limit = reach(d, window, n);
    if (limit < d->allowed)
        return true;
    if (n > d->cap) {
        uint32_t *z = cv_realloc(d->z, n, sizeof(*z));
        d->z = z == NULL ? d->z : z;
        struct cv_dry_hit *grown = cv_realloc(d->hit, n, sizeof(*grown));
        d->hit = grown == NULL ? d->hit : grown;
        if (z == NULL || grown == NULL)
            return no_memory(err);
        d->cap = n;
    }
    z_backwards(d->z, window, n);
    for (size_t i = 1; i < n; i++) {
        size_t length = d->z[i] < limit ? d->z[i] : limit;
        int32_t next = window[n - i];
        if (length >= d->allowed)
            d->hit[d->n_hit++] = (struct cv_dry_hit){.id = next, .length = (uint32_t)length};
    }
    qsort(d->hit, d->n_hit, sizeof(*d->hit), by_id_then_longest);
    size_t kept = 0;
    int32_t last = -1;
    for (size_t i = 0; i < d->n_hit; i++) {
        bool repeated = d->hit[i].id == last;
        last = d->hit[i].id;
        if (!repeated && !is_breaker(d, last))
            d->hit[kept++] = d->hit[i];
    }
    d->n_hit = kept;
    *hit = d->hit;
    *n_hit = kept;
    return true;
}

static const struct cv_dry_hit *hit_of(const struct cv_dry *d, int32_t id)
{
    size_t from = 0, to = d->n_hit;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (d->hit[middle].id < id)
            from = middle + 1;
        else
            to = middle;
    }
    return from < d->n_hit && d->hit[from].id == id ? &d->hit[from] : NULL;
}

void cv_sample_dry(struct cv_cands *c, const struct cv_dry *d)
{
    if (d->n_hit == 0)
        return;
    for (size_t i = 0; i < c->n; i++) {
        const struct cv_dry_hit *hit = hit_of(d, c->at[i].id);
        if (hit == NULL)
            continue;
        uint32_t exponent = hit->length - d->allowed;
        if (d->cap_exponent > 0 && exponent > d->cap_exponent)
            exponent = d->cap_exponent;
        c->at[i].logit = (float)((double)c->at[i].logit - d->multiplier * pow(d->base, (double)exponent));
    }
    c->order = c->order == CV_BY_LOGIT ? CV_BY_NOTHING : c->order;
}
