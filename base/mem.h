/*
 * mem.h - allocation and checked size arithmetic.
 *
 * All heap memory of the project comes through here, so that a test can make the Nth allocation fail
 * (cv_mem_fail_after) and see that the error travels.
 */
#ifndef CV_BASE_MEM_H
#define CV_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Both false on overflow; *out is then untouched. */
bool cv_add_size(size_t a, size_t b, size_t *out);
bool cv_mul_size(size_t a, size_t b, size_t *out);

/* NULL when there is no memory (or the product overflows). n == 0 gives a unique pointer that may be freed. */
void *cv_alloc(size_t n);
void *cv_zalloc(size_t n);
void *cv_calloc(size_t count, size_t size);
/* realloc to count * size; on failure NULL, and p is still the caller's. */
void *cv_realloc(void *p, size_t count, size_t size);
/* 64-byte aligned; for large blocks asks for huge pages. Freed with cv_free. Contents undefined. */
void *cv_alloc_aligned(size_t n);
/* What cv_alloc_aligned really takes for n bytes (rounded up to its alignment); 0 when that overflows. */
size_t cv_alloc_aligned_bytes(size_t n);
char *cv_strdup(const char *s);
char *cv_strndup(const char *s, size_t n);
void cv_free(void *p); /* NULL is fine */

/* Tests only: the allocation after the next n fails, once; n < 0 switches this off. Not for threads. */
void cv_mem_fail_after(long n);

#endif
