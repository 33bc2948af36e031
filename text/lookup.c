#include "text/lookup.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/reader.h"

enum { FIRST_SLOTS = 64 };

static void make_secret(uint64_t secret[2])
{
    if (!cv_random_bytes(secret, 2 * sizeof(uint64_t)))
        secret[0] = 0x736563726574u, secret[1] = 0x6e6f6e65u; /* no randomness: still correct, only predictable */
    secret[0] |= 1;
    secret[1] |= 1;
}

/* SipHash-1-3 (Aumasson & Bernstein 2012), the variant with one round per word and three at the end. */
static uint64_t rotl(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1], v[2] += v[3];
    v[1] = rotl(v[1], 13) ^ v[0], v[3] = rotl(v[3], 16) ^ v[2];
    v[0] = rotl(v[0], 32);
    v[2] += v[1], v[0] += v[3];
    v[1] = rotl(v[1], 17) ^ v[2], v[3] = rotl(v[3], 21) ^ v[0];
    v[2] = rotl(v[2], 32);
}

static uint64_t hash_bytes(const uint64_t key[2], const char *p, size_t n)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u,
                     key[1] ^ 0x7465646279746573u};
    uint64_t last = (uint64_t)n << 56;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t word = cv_load_u64(p);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    for (size_t i = 0; i < n; i++)
        last |= (uint64_t)(unsigned char)p[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void cv_names_init(struct cv_names *t)
{
    *t = (struct cv_names){0};
    make_secret(t->secret);
}

void cv_names_fini(struct cv_names *t)
{
    cv_free(t->item);
    cv_free(t->slot);
    *t = (struct cv_names){0};
}

/* The slot that holds an equal key, or the empty one where it belongs. */
static size_t find_slot(const struct cv_names *t, const char *p, size_t n)
{
    size_t at = (size_t)hash_bytes(t->secret, p, n) & (t->n_slot - 1);
    while (t->slot[at] != CV_NO_INDEX) {
        const struct cv_str *s = &t->item[t->slot[at]];
        if (s->n == n && memcmp(s->p, p, n) == 0)
            break;
        at = (at + 1) & (t->n_slot - 1);
    }
    return at;
}

static bool grow(struct cv_names *t)
{
    if (t->n == t->cap) {
        size_t cap = t->cap == 0 ? FIRST_SLOTS / 2 : t->cap * 2;
        struct cv_str *item = cap > UINT32_MAX / 2 ? NULL : cv_realloc(t->item, cap, sizeof(*item));
        if (item == NULL)
            return false;
        t->item = item;
        t->cap = cap;
    }
    if (2 * (t->n + 1) <= t->n_slot)
        return true;
    size_t n_slot = t->n_slot == 0 ? FIRST_SLOTS : t->n_slot * 2;
    uint32_t *slot = cv_calloc(n_slot, sizeof(*slot));
    if (slot == NULL)
        return false;
    memset(slot, 0xff, n_slot * sizeof(*slot));
    uint32_t *old = t->slot;
    size_t n_old = t->n_slot;
    t->slot = slot;
    t->n_slot = n_slot;
    for (size_t i = 0; i < n_old; i++) {
        if (old[i] != CV_NO_INDEX)
            slot[find_slot(t, t->item[old[i]].p, t->item[old[i]].n)] = old[i];
    }
    cv_free(old);
    return true;
}

bool cv_names_add(struct cv_names *t, struct cv_str key, uint32_t *index)
{
    if (!grow(t))
        return false;
    size_t at = find_slot(t, key.p, key.n);
    if (t->slot[at] == CV_NO_INDEX) {
        t->item[t->n] = key;
        t->slot[at] = (uint32_t)t->n++;
    }
    *index = t->slot[at];
    return true;
}

bool cv_names_append(struct cv_names *t, struct cv_str key)
{
    if (!grow(t))
        return false;
    size_t at = find_slot(t, key.p, key.n);
    if (t->slot[at] == CV_NO_INDEX)
        t->slot[at] = (uint32_t)t->n;
    t->item[t->n++] = key;
    return true;
}

uint32_t cv_names_find(const struct cv_names *t, const char *p, size_t n)
{
    return t->n_slot == 0 ? CV_NO_INDEX : t->slot[find_slot(t, p, n)];
}

bool cv_merges_init(struct cv_merges *t, size_t n_rules)
{
    *t = (struct cv_merges){.shift = 64 - 4};
    make_secret(t->secret);
    while (((size_t)1 << (64 - t->shift)) < 2 * n_rules + 1)
        t->shift--;
    size_t n_slot = (size_t)1 << (64 - t->shift);
    t->slot = cv_calloc(n_slot, sizeof(*t->slot));
    if (t->slot == NULL)
        return false;
    for (size_t i = 0; i < n_slot; i++)
        t->slot[i].rank = CV_NO_INDEX;
    return true;
}

void cv_merges_fini(struct cv_merges *t)
{
    cv_free(t->slot);
    *t = (struct cv_merges){0};
}

/* Multiply-shift of a vector (Dietzfelbinger 1996): universal over the secret. */
static size_t pair_slot(const struct cv_merges *t, uint32_t left, uint32_t right)
{
    size_t mask = ((size_t)1 << (64 - t->shift)) - 1;
    size_t at = (size_t)((t->secret[0] * (left + (uint64_t)1) + t->secret[1] * (right + (uint64_t)1)) >> t->shift);
    while (t->slot[at].rank != CV_NO_INDEX && (t->slot[at].left != left || t->slot[at].right != right))
        at = (at + 1) & mask;
    return at;
}

void cv_merges_add(struct cv_merges *t, struct cv_merge_rule rule)
{
    struct cv_merge_rule *slot = &t->slot[pair_slot(t, rule.left, rule.right)];
    if (slot->rank == CV_NO_INDEX)
        *slot = rule;
}

const struct cv_merge_rule *cv_merges_find(const struct cv_merges *t, uint32_t left, uint32_t right)
{
    if (t->slot == NULL)
        return NULL;
    const struct cv_merge_rule *slot = &t->slot[pair_slot(t, left, right)];
    return slot->rank == CV_NO_INDEX ? NULL : slot;
}
