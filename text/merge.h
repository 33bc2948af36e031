/*
 * merge.h - joins neighbouring symbols, the best pair first, until no pair can be joined: the heart of both tokenizers.
 *
 * What makes pairs better is a rank (lower first; among equals the leftmost). O(n log n) for n symbols.
 */
#ifndef CV_TEXT_MERGE_H
#define CV_TEXT_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/vocab_internal.h"

enum { CV_MERGE_NONE = -1 };

struct cv_merge_node {
    uint32_t start;      /* offset of its first byte in the text */
    uint32_t prev, next; /* neighbours; CV_NO_INDEX at the ends */
    uint32_t rank;       /* of the pair that begins here; CV_NO_INDEX: it cannot be joined */
    int32_t id;          /* BPE: symbol; SentencePiece: token; CV_MERGE_NONE: unknown */
    int32_t joined;      /* what the pair that begins here becomes */
};

/* Scratch of one thread. A zeroed one is fine. */
struct cv_merge {
    const struct cv_vocab *vocab;
    const char *text;
    uint32_t n_text;
    struct cv_merge_node *node;
    size_t n, cap;
    uint64_t *heap; /* rank << 32 | node */
    size_t n_heap, heap_cap;
};

void cv_merge_fini(struct cv_merge *m);
/* Makes room for n nodes; false: no memory. The caller sets start and id of node[0..n) then. */
bool cv_merge_reserve(struct cv_merge *m, size_t n);
/*
 * Joins node[0..m->n), which cover m->text[0..n_text). Afterwards node[0], node[0].next, ... are what is left.
 */
void cv_merge_run(struct cv_merge *m);

#endif
