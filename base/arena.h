/*
 * arena.h - memory with one lifetime: a stage, a request, a batch.
 *
 * A zeroed struct is a valid empty arena. Blocks double in size up to 1 MiB. AddressSanitizer builds poison on reset.
 */
#ifndef CV_BASE_ARENA_H
#define CV_BASE_ARENA_H

#include <stddef.h>

struct cv_arena_block;

struct cv_arena {
    struct cv_arena_block *head;
    size_t used_bytes; /* handed out, all blocks */
    size_t max_bytes;  /* cv_arena_alloc fails beyond it; 0 means no bound of its own */
};

/* NULL when there is no memory or the bound is reached. Aligned to 16 bytes; alloc is not cleared, zalloc is. */
void *cv_arena_alloc(struct cv_arena *a, size_t n);
void *cv_arena_zalloc(struct cv_arena *a, size_t n);
void *cv_arena_calloc(struct cv_arena *a, size_t count, size_t size);
char *cv_arena_strndup(struct cv_arena *a, const char *s, size_t n);
char *cv_arena_strdup(struct cv_arena *a, const char *s);
void cv_arena_reset(struct cv_arena *a); /* everything handed out is gone; the arena is empty */
void cv_arena_fini(struct cv_arena *a);  /* the same; reads well at the end of a life */

#endif
