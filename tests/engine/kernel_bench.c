/*
 * kernel_bench.c - the kernels timed: for each set of instructions, weight type and number of rows, bytes of weights
 * and multiply-adds (counted as two operations) per second. Best of several repeats. The matrices together are larger
 * than the caches, so one row shows what memory gives.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "tests/check/check.h"
#include "tests/engine/kernel_problem.h"

/* With one thread its own processor time, so that a busy machine disturbs little; with more, time on the wall. */
static double seconds_now(unsigned n_threads)
{
    struct timespec t;
    clock_gettime(n_threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

enum { N_OUT = 8192, K = 2048, N_MATRIX = 12 };

struct bench {
    enum cv_dtype dtype;
    struct cv_matrix m[N_MATRIX];
    struct cv_pool *pool;
};

static bool bench_make(struct bench *b, enum cv_dtype dtype, struct cv_pool *pool, size_t n_out, size_t k)
{
    struct cv_error err;
    const struct cv_dtype_info *info = cv_dtype_get((uint32_t)dtype);
    size_t bytes = n_out * k / info->block_len * info->block_bytes;
    uint8_t *src = cv_alloc(bytes);
    *b = (struct bench){.dtype = dtype, .pool = pool};
    if (src == NULL)
        return false;
    problem_fill(src, dtype, bytes);
    for (size_t i = 0; i < N_MATRIX; i++) {
        b->m[i] = (struct cv_matrix){.dtype = dtype, .n_out = n_out, .k = k};
        if (!cv_matrix_bytes(dtype, n_out, k, &b->m[i].size_bytes, &err) ||
            (b->m[i].data = cv_alloc_aligned(b->m[i].size_bytes)) == NULL) {
            cv_free(src);
            return false;
        }
        if (i == 0)
            cv_matrix_pack(&b->m[i], src, 0, n_out);
        else
            memcpy(b->m[i].data, b->m[0].data, b->m[0].size_bytes);
    }
    cv_free(src);
    return true;
}

static void bench_drop(struct bench *b)
{
    for (size_t i = 0; i < N_MATRIX; i++)
        cv_free(b->m[i].data);
}

/* Seconds for one product, quantizing the activations included. */
static double time_rows(struct bench *b, size_t n_row, float *x, float *y, void *mem)
{
    double best = 1e30;
    size_t k = b->m[0].k, n_out = b->m[0].n_out, n = n_row > 16 ? 2 : N_MATRIX;
    for (int repeat = 0; repeat < 4; repeat++) {
        double start = seconds_now(cv_pool_threads(b->pool));
        for (size_t i = 0; i < n; i++) {
            struct cv_acts acts;
            cv_acts_prepare(&acts, b->dtype, x, k, n_row, k, mem, b->pool);
            cv_matmul(y, n_out, &b->m[i], &acts, b->pool);
        }
        double s = (seconds_now(cv_pool_threads(b->pool)) - start) / (double)n;
        best = s < best ? s : best;
    }
    return best;
}

static int bench_shape(struct cv_pool *pool, const char *only, size_t n_out, size_t k)
{
    static const size_t rows[] = {1, 4, 8, 16, 128, 512};
    static const unsigned sets[] = {CV_ISA_AVX2, CV_ISA_AVX2 | CV_ISA_AVX_VNNI,
                                    CV_ISA_AVX2 | CV_ISA_AVX512 | CV_ISA_AVX512_VNNI};
    float *x = cv_alloc_aligned(512 * k * sizeof(*x)), *y = cv_alloc_aligned(512 * n_out * sizeof(*y));
    void *mem = cv_alloc_aligned(cv_acts_bytes(CV_DTYPE_Q4_K, 512, k));
    if (x == NULL || y == NULL || mem == NULL)
        return 1;
    for (size_t i = 0; i < 512 * k; i++)
        x[i] = check_normal();
    memset(y, 0, 512 * n_out * sizeof(*y));
    printf("%zu x %zu, %u threads: GB/s of weights, GOP/s\n%-6s %-8s", n_out, k, cv_pool_threads(pool), "type", "set");
    for (size_t i = 0; i < CV_COUNT(rows); i++)
        printf("   %4zu rows      ", rows[i]);
    printf("\n");
    for (size_t t = 0; t < CV_COUNT(problem_types); t++) {
        struct bench b;
        if (only != NULL && strcmp(only, cv_dtype_get((uint32_t)problem_types[t])->name) != 0)
            continue;
        if (!bench_make(&b, problem_types[t], pool, n_out, k))
            return 1;
        for (size_t s = 0; s < CV_COUNT(sets); s++) {
            if ((cv_isa_detect() & sets[s]) != sets[s])
                continue;
            cv_matrix_init(sets[s]);
            printf("%-6s %-8s", cv_dtype_get((uint32_t)b.dtype)->name, cv_isa_name(sets[s]));
            for (size_t i = 0; i < CV_COUNT(rows); i++) {
                double sec = time_rows(&b, rows[i], x, y, mem);
                printf("  %6.2f %8.1f", (double)b.m[0].size_bytes / sec * 1e-9,
                       2.0 * (double)(rows[i] * n_out * k) / sec * 1e-9);
                fflush(stdout);
            }
            printf("\n");
        }
        bench_drop(&b);
    }
    cv_free(x);
    cv_free(y);
    cv_free(mem);
    return 0;
}

int bench_kernels(unsigned n_threads, const char *only)
{
    struct cv_error err;
    struct cv_pool *pool;
    if (!cv_pool_new(&pool, n_threads, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    int rc = bench_shape(pool, only, N_OUT, K);
    if (rc == 0)
        rc = bench_shape(pool, only, K, N_OUT);
    cv_pool_free(pool);
    return rc;
}
