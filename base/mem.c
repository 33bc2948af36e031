#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static atomic_long fail_after = -1;

bool cv_add_size(size_t a, size_t b, size_t *out)
{
    if (a > SIZE_MAX - b)
        return false;
    *out = a + b;
    return true;
}

bool cv_mul_size(size_t a, size_t b, size_t *out)
{
    if (b != 0 && a > SIZE_MAX / b)
        return false;
    *out = a * b;
    return true;
}

void cv_mem_fail_after(long n)
{
    atomic_store(&fail_after, n);
}

static bool must_fail(void)
{
    if (atomic_load_explicit(&fail_after, memory_order_relaxed) < 0)
        return false;
    return atomic_fetch_sub(&fail_after, 1) == 0;
}

void *cv_alloc(size_t n)
{
    return must_fail() ? NULL : malloc(n == 0 ? 1 : n);
}

void *cv_zalloc(size_t n)
{
    return must_fail() ? NULL : calloc(1, n == 0 ? 1 : n);
}

void *cv_calloc(size_t count, size_t size)
{
    size_t n;
    return cv_mul_size(count, size, &n) ? cv_zalloc(n) : NULL;
}

void *cv_realloc(void *p, size_t count, size_t size)
{
    size_t n;
    if (!cv_mul_size(count, size, &n) || must_fail())
        return NULL;
    return realloc(p, n == 0 ? 1 : n);
}

static const size_t huge_page = (size_t)2 << 20;

static size_t alignment_for(size_t n)
{
    return n >= 2 * huge_page ? huge_page : 64;
}

size_t cv_alloc_aligned_bytes(size_t n)
{
    size_t align = alignment_for(n), rounded;
    if (!cv_add_size(n == 0 ? 1 : n, align - 1, &rounded))
        return 0;
    return rounded & ~(align - 1);
}

void *cv_alloc_aligned(size_t n)
{
    size_t align = alignment_for(n), rounded = cv_alloc_aligned_bytes(n);
    if (rounded == 0 || must_fail())
        return NULL;
    void *p = aligned_alloc(align, rounded);
#ifdef MADV_HUGEPAGE
    if (p != NULL && align == huge_page)
        (void)madvise(p, rounded, MADV_HUGEPAGE); /* faster where the system has them, no harm where not */
#endif
    return p;
}

char *cv_strndup(const char *s, size_t n)
{
    n = strnlen(s, n);
    char *p = cv_alloc(n + 1);
    if (p == NULL)
        return NULL;
    memcpy(p, s, n);
    p[n] = '\0';
    return p;
}

char *cv_strdup(const char *s)
{
    return cv_strndup(s, strlen(s));
}

void cv_free(void *p)
{
    free(p);
}
