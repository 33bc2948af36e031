/* candidates.c - the candidates of one row while a chain works on them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/sampler_internal.h"

/* From here on the radix sort wins. */
enum { RADIX_FROM = 256, DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };

void cv_cands_fini(struct cv_cands *c)
{
    cv_free(c->at);
    cv_free(c->spare);
    cv_free(c->key);
    *c = (struct cv_cands){0};
}

bool cv_cands_reserve(struct cv_cands *c, size_t n)
{
    if (n <= c->cap)
        return true;
    struct cv_cand *at = cv_calloc(n, sizeof(*at)), *spare = cv_calloc(n, sizeof(*spare));
    uint64_t *key = cv_calloc(n, 2 * sizeof(*key));
    if (at == NULL || spare == NULL || key == NULL) {
        cv_free(at);
        cv_free(spare);
        cv_free(key);
        return false;
    }
    cv_cands_fini(c);
    *c = (struct cv_cands){.at = at, .spare = spare, .key = key, .cap = n};
    return true;
}

static int by_id(const void *pa, const void *pb)
{
    const struct cv_cand *a = pa, *b = pb;
    return a->id < b->id ? -1 : a->id > b->id;
}

static int by_logit(const void *pa, const void *pb)
{
    const struct cv_cand *a = pa, *b = pb;
    if (a->logit != b->logit)
        return a->logit > b->logit ? -1 : 1;
    return by_id(pa, pb);
}

/* Two runs of rising ids, at[0..n_first) and what follows, become one; of equal ids the first stays. */
static void merge_runs(struct cv_cands *c, size_t n_first)
{
    const struct cv_cand *a = c->at, *a_end = a + n_first, *b = a_end, *b_end = c->at + c->n;
    struct cv_cand *to = c->spare;
    while (a < a_end || b < b_end) {
        const struct cv_cand *next = b == b_end || (a < a_end && a->id <= b->id) ? a++ : b++;
        if (to == c->spare || to[-1].id != next->id)
            *to++ = *next;
    }
    c->n = (size_t)(to - c->spare);
    struct cv_cand *swap = c->at;
    c->at = c->spare;
    c->spare = swap;
}

void cv_cands_load(struct cv_cands *c, const struct cv_candidate *cand, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float logit = isnan(cand[i].logit) ? -INFINITY : cand[i].logit;
        c->at[i] = (struct cv_cand){.id = cand[i].id, .logit = logit, .raw = logit};
    }
    c->n = n;
    c->order = CV_BY_ID;
    /* often a few of the best stand before a whole row */
    size_t rising = n;
    while (rising > 1 && cand[rising - 2].id < cand[rising - 1].id)
        rising--;
    rising = rising > 0 ? rising - 1 : 0;
    if (rising == 0)
        return;
    qsort(c->at, rising, sizeof(*c->at), by_id);
    merge_runs(c, rising);
}

/* Larger logits get smaller keys; equal logits, 0 and -0 among them, get equal keys. */
static uint32_t descending_key(float logit)
{
    float plain = logit + 0.0f;
    uint32_t bits;
    memcpy(&bits, &plain, sizeof(bits));
    return bits & 0x80000000u ? bits : ~(bits | 0x80000000u);
}

/* Candidates stand by id: a stable sort keeps the lower id first among equals. */
static void radix_sort(struct cv_cands *c)
{
    uint64_t *from = c->key, *to = c->key + c->cap;
    for (size_t i = 0; i < c->n; i++)
        from[i] = (uint64_t)descending_key(c->at[i].logit) << 32 | i;
    for (unsigned shift = 32; shift < 64; shift += DIGIT_BITS) {
        size_t begin[DIGITS + 1] = {0};
        for (size_t i = 0; i < c->n; i++)
            begin[(from[i] >> shift & (DIGITS - 1)) + 1]++;
        for (size_t d = 0; d < DIGITS; d++)
            begin[d + 1] += begin[d];
        for (size_t i = 0; i < c->n; i++)
            to[begin[from[i] >> shift & (DIGITS - 1)]++] = from[i];
        uint64_t *swap = from;
        from = to;
        to = swap;
    }
    for (size_t i = 0; i < c->n; i++)
        c->spare[i] = c->at[(uint32_t)from[i]];
    struct cv_cand *swap = c->at;
    c->at = c->spare;
    c->spare = swap;
}

void cv_cands_sort(struct cv_cands *c)
{
    if (c->order == CV_BY_LOGIT)
        return;
    if (c->n >= RADIX_FROM && c->order == CV_BY_ID)
        radix_sort(c);
    else
        qsort(c->at, c->n, sizeof(*c->at), by_logit);
    c->order = CV_BY_LOGIT;
}

size_t cv_cands_best(const struct cv_cands *c)
{
    size_t best = 0;
    if (c->order == CV_BY_LOGIT)
        return best;
    for (size_t i = 1; i < c->n; i++) {
        if (c->at[i].logit > c->at[best].logit || (c->at[i].logit == c->at[best].logit && c->at[i].id < c->at[best].id))
            best = i;
    }
    return best;
}

bool cv_cands_softmax(struct cv_cands *c)
{
    if (c->n == 0)
        return false;
    float max = c->at[cv_cands_best(c)].logit;
    if (max == -INFINITY)
        return false;
    double sum = 0.0;
    for (size_t i = 0; i < c->n; i++) {
        /* with a logit at plus infinity it and its likes share everything */
        c->at[i].p = c->at[i].logit == max ? 1.0 : exp((double)c->at[i].logit - (double)max);
        sum += c->at[i].p;
    }
    for (size_t i = 0; i < c->n; i++)
        c->at[i].p /= sum;
    return true;
}

size_t cv_cands_draw(const struct cv_cands *c, double u)
{
    double total = 0.0, sum = 0.0;
    for (size_t i = 0; i < c->n; i++)
        total += c->at[i].p;
    size_t last = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (c->at[i].p <= 0.0)
            continue; /* forbidden, also when u is 0 */
        sum += c->at[i].p;
        last = i;
        if (sum >= u * total)
            break;
    }
    return last;
}
