/*
 * lookup.h - the two hash tables of a tokenizer: bytes -> index, and a pair of symbols -> what they merge to.
 *
 * Keys come out of a model file, so the hashes are keyed with a secret of the process: nobody can choose collisions.
 */
#ifndef CV_TEXT_LOOKUP_H
#define CV_TEXT_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gguf/gguf.h"

#define CV_NO_INDEX UINT32_MAX

struct cv_names {
    struct cv_str *item; /* the keys, borrowed bytes, by index */
    size_t n, cap;
    uint32_t *slot;
    size_t n_slot; /* a power of two, at least twice n */
    uint64_t secret[2];
};

void cv_names_init(struct cv_names *t);
void cv_names_fini(struct cv_names *t);
/* *index: that of the new key, or of the equal one that was there before. false: no memory. */
bool cv_names_add(struct cv_names *t, struct cv_str key, uint32_t *index);
/* The key gets the next index although an equal one may exist, which then stays the one that is found. */
bool cv_names_append(struct cv_names *t, struct cv_str key);
uint32_t cv_names_find(const struct cv_names *t, const char *p, size_t n); /* CV_NO_INDEX if there is none */

struct cv_merge_rule {
    uint32_t left, right; /* symbols */
    uint32_t rank;        /* the lower goes first */
    uint32_t result;      /* symbol */
};

struct cv_merges {
    struct cv_merge_rule *slot; /* empty: rank CV_NO_INDEX */
    unsigned shift;             /* 64 - log2 of the number of slots */
    uint64_t secret[2];
};

bool cv_merges_init(struct cv_merges *t, size_t n_rules); /* room for n_rules; false: no memory */
void cv_merges_fini(struct cv_merges *t);
void cv_merges_add(struct cv_merges *t, struct cv_merge_rule rule); /* the first of a pair stays */
const struct cv_merge_rule *cv_merges_find(const struct cv_merges *t, uint32_t left, uint32_t right); /* or NULL */

#endif
