/*
 * kv.h - the sequence memory of a stage: pages of 64 positions, shared by count, copied on write.
 *
 * One page holds 64 positions of one sequence for every layer and every key/value head of the stage, so a sequence is
 * one row of page numbers. Within a page the blocks of one head lie together:
 *
 *     page --> layer --> head --> K [n_embd_head_k][64]   a lane is a position: scores need no horizontal sum
 *                                 V [64][n_embd_head_v]   a lane is a dimension
 *
 * A fork shares the pages of the beginning; the first write into a shared page gives the writer a copy. The memory is
 * one block of address space that is touched only as pages come into use.
 */
#ifndef CV_ENGINE_KV_H
#define CV_ENGINE_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "gguf/dtype.h"

enum { CV_KV_PAGE = 64 }; /* positions */

struct cv_kv_spec {
    uint32_t n_layer; /* of the stage */
    uint32_t n_head_kv;
    uint32_t n_embd_head_k, n_embd_head_v;
    enum cv_dtype type; /* F32 or F16 */
    uint32_t n_slots;
    uint32_t n_ctx;   /* positions of one sequence */
    uint32_t n_pages; /* 0: as many as all slots at their full length need */
};

struct cv_kv_slot {
    bool used;        /* between NEW or FORK and FREE */
    uint32_t len;     /* positions that hold something */
    uint32_t n_pages; /* pages in the slot's row of the table */
};

struct cv_kv {
    struct cv_kv_spec spec;
    size_t type_bytes; /* of one value */
    size_t head_bytes, layer_bytes, page_bytes;
    uint32_t pages_per_slot, n_pages;
    unsigned char *data; /* [n_pages][page_bytes] */
    uint32_t *table;     /* [n_slots][pages_per_slot] */
    uint32_t *refs;      /* [n_pages] how many rows of the table name the page */
    uint32_t *free_page; /* stack of the pages that nobody names */
    uint32_t n_free;
    struct cv_kv_slot *slot;
};

/* Bytes of the pages, as the allocator takes them. Errors: CV_ERR_ARG, CV_ERR_UNSUPPORTED (type), CV_ERR_LIMIT. */
bool cv_kv_measure(const struct cv_kv_spec *spec, size_t *bytes, struct cv_error *err);
bool cv_kv_init(struct cv_kv *kv, const struct cv_kv_spec *spec, struct cv_error *err);
void cv_kv_fini(struct cv_kv *kv); /* a zeroed one is fine */

/* The four commands of base/flow.h. CV_ERR_ARG names what is wrong; then nothing has changed. */
bool cv_kv_new(struct cv_kv *kv, uint32_t slot, struct cv_error *err);
bool cv_kv_fork(struct cv_kv *kv, uint32_t slot, uint32_t from, uint32_t pos, struct cv_error *err);
bool cv_kv_trim(struct cv_kv *kv, uint32_t slot, uint32_t pos, struct cv_error *err);
bool cv_kv_free(struct cv_kv *kv, uint32_t slot, struct cv_error *err);

/*
 * Makes positions [len, len + n) of a used slot writable: takes pages, and copies a shared last one. len stays.
 * CV_ERR_ARG past n_ctx; CV_ERR_NOMEM when the pages are used up: give back what was taken with cv_kv_abandon.
 */
bool cv_kv_reserve(struct cv_kv *kv, uint32_t slot, uint32_t n, struct cv_error *err);
void cv_kv_abandon(struct cv_kv *kv, uint32_t slot);
/* The n positions have been written: len grows. */
void cv_kv_advance(struct cv_kv *kv, uint32_t slot, uint32_t n);

/* The blocks of one head in the page that holds position pos. layer counts from the stage's first. */
static inline void *cv_kv_k(const struct cv_kv *kv, uint32_t slot, uint32_t layer, uint32_t head, uint32_t pos)
{
    uint32_t page = kv->table[(size_t)slot * kv->pages_per_slot + pos / CV_KV_PAGE];
    return kv->data + page * kv->page_bytes + layer * kv->layer_bytes + head * kv->head_bytes;
}

static inline void *cv_kv_v(const struct cv_kv *kv, uint32_t slot, uint32_t layer, uint32_t head, uint32_t pos)
{
    unsigned char *k = cv_kv_k(kv, slot, layer, head, pos);
    return k + (size_t)kv->spec.n_embd_head_k * CV_KV_PAGE * kv->type_bytes;
}

/* Do the counts agree with the table? For tests. */
bool cv_kv_check(const struct cv_kv *kv);

#endif
