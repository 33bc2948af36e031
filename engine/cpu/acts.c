/* acts.c - activation rows made ready for the products: quantized in groups of 32, laid out in panels (internal.h). */
#include <assert.h>

#include "engine/cpu/internal.h"

bool cv_dtype_wants_quantized_acts(enum cv_dtype weights)
{
    return cv_mm_type_of(weights) < CV_MM_F32;
}

static size_t align64(size_t n)
{
    return (n + 63) / 64 * 64;
}

size_t cv_acts_bytes(enum cv_dtype weights, size_t n_row, size_t k)
{
    if (!cv_dtype_wants_quantized_acts(weights))
        return 0;
    size_t n_group = n_row * (k / CV_ACT_GROUP);
    return align64(n_row * k) + 2 * align64(n_group * sizeof(float)) + align64(n_group * 3 * sizeof(int32_t));
}

struct prepare_job {
    const struct cv_kernels *kernels;
    const struct cv_acts *a;
    const float *x;
    size_t ldx;
};

static void prepare_row(void *ctx, size_t row, unsigned thread)
{
    (void)thread;
    const struct prepare_job *job = ctx;
    const struct cv_acts *a = job->a;
    size_t first = row / CV_ACT_PANEL * CV_ACT_PANEL, at = first * (a->k / CV_ACT_GROUP) + row % CV_ACT_PANEL;
    size_t left = a->n_row - first;
    job->kernels->quantize(job->x + row * job->ldx, a->k / CV_ACT_GROUP, left < CV_ACT_PANEL ? left : CV_ACT_PANEL,
                           a->q + first * a->k + row % CV_ACT_PANEL * CV_ACT_GROUP, a->scale + at, a->sum + at,
                           a->nsum + 3 * at);
}

void cv_acts_prepare(struct cv_acts *a, enum cv_dtype weights, const float *x, size_t ldx, size_t n_row, size_t k,
                     void *mem, struct cv_pool *pool)
{
    *a = (struct cv_acts){.n_row = n_row, .k = k, .quantized = cv_dtype_wants_quantized_acts(weights)};
    if (!a->quantized) {
        assert(ldx == k || n_row <= 1);
        a->f32 = x;
        return;
    }
    assert(k % CV_ACT_GROUP == 0);
    size_t n_group = n_row * (k / CV_ACT_GROUP);
    a->q = mem;
    a->scale = (float *)((char *)mem + align64(n_row * k));
    a->sum = (float *)((char *)a->scale + align64(n_group * sizeof(float)));
    a->nsum = (int32_t *)((char *)a->sum + align64(n_group * sizeof(float)));
    struct prepare_job job = {cv_kernels_now(), a, x, ldx};
    if (pool != NULL && n_row > 1) {
        cv_pool_run(pool, prepare_row, &job, n_row);
        return;
    }
    for (size_t row = 0; row < n_row; row++)
        prepare_row(&job, row, 0);
}
