#include "base/arena.h"

#include <string.h>

#include "base/compiler.h"
#include "base/mem.h"

struct cv_arena_block {
    struct cv_arena_block *next;
    size_t cap, used;
    CV_ALIGNED(16) unsigned char data[];
};

enum { FIRST_BLOCK = 4096, LAST_BLOCK = 1 << 20 };

void *cv_arena_alloc(struct cv_arena *a, size_t n)
{
    size_t need;
    if (!cv_add_size(n == 0 ? 1 : n, 15, &need))
        return NULL;
    need &= ~(size_t)15;
    if (a->max_bytes != 0 && (need > a->max_bytes || a->used_bytes > a->max_bytes - need))
        return NULL;
    struct cv_arena_block *b = a->head;
    if (b == NULL || b->cap - b->used < need) {
        size_t cap = b == NULL ? FIRST_BLOCK : b->cap * 2, total;
        if (cap > LAST_BLOCK)
            cap = LAST_BLOCK;
        if (cap < need)
            cap = need;
        if (!cv_add_size(sizeof(*b), cap, &total) || (b = cv_alloc(total)) == NULL)
            return NULL;
        b->cap = cap;
        b->used = 0;
        b->next = a->head;
        a->head = b;
    }
    void *p = b->data + b->used;
    b->used += need;
    a->used_bytes += need;
    return p;
}

void *cv_arena_zalloc(struct cv_arena *a, size_t n)
{
    void *p = cv_arena_alloc(a, n);
    if (p != NULL)
        memset(p, 0, n);
    return p;
}

void *cv_arena_calloc(struct cv_arena *a, size_t count, size_t size)
{
    size_t n;
    return cv_mul_size(count, size, &n) ? cv_arena_zalloc(a, n) : NULL;
}

char *cv_arena_strndup(struct cv_arena *a, const char *s, size_t n)
{
    n = strnlen(s, n);
    char *p = cv_arena_alloc(a, n + 1);
    if (p == NULL)
        return NULL;
    memcpy(p, s, n);
    p[n] = '\0';
    return p;
}

char *cv_arena_strdup(struct cv_arena *a, const char *s)
{
    return cv_arena_strndup(a, s, strlen(s));
}

void cv_arena_reset(struct cv_arena *a)
{
    /* Freed blocks are poisoned by AddressSanitizer itself, so a stale pointer is caught. */
    while (a->head != NULL) {
        struct cv_arena_block *b = a->head;
        a->head = b->next;
        cv_free(b);
    }
    a->used_bytes = 0;
}

void cv_arena_fini(struct cv_arena *a)
{
    cv_arena_reset(a);
}
