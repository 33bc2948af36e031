#include "tests/engine/kernel_problem.h"

#include <string.h>

#include "tests/check/check.h"

const enum cv_dtype problem_types[8] = {CV_DTYPE_F32,  CV_DTYPE_F16,  CV_DTYPE_BF16, CV_DTYPE_Q4_0,
                                        CV_DTYPE_Q8_0, CV_DTYPE_Q4_K, CV_DTYPE_Q5_K, CV_DTYPE_Q6_K};

static void put_half(uint8_t *at, float f)
{
    uint16_t h = cv_f32_to_f16(f);
    memcpy(at, &h, 2);
}

static float random_scale(void)
{
    switch (check_below(16)) {
    case 0:
        return 0.0f;
    case 1:
        return 0x1p-24f; /* the smallest half there is */
    case 2:
        return -PROBLEM_SCALE_MAX;
    default:
        return (float)(check_uniform() * 2 - 1) * PROBLEM_SCALE_MAX;
    }
}

void problem_fill(uint8_t *src, enum cv_dtype dtype, size_t n_bytes)
{
    const size_t block = cv_dtype_get((uint32_t)dtype)->block_bytes;
    for (size_t i = 0; i < n_bytes; i++)
        src[i] = (uint8_t)check_rand();
    for (uint8_t *at = src; at < src + n_bytes; at += block) {
        if (check_below(16) == 0)
            memset(at, check_below(2) == 0 ? 0x00 : 0xff, block);
        switch (dtype) {
        case CV_DTYPE_F32: {
            float f = check_normal();
            memcpy(at, &f, 4);
            break;
        }
        case CV_DTYPE_F16:
            put_half(at, check_normal());
            break;
        case CV_DTYPE_BF16: {
            uint16_t h = cv_f32_to_bf16(check_normal());
            memcpy(at, &h, 2);
            break;
        }
        case CV_DTYPE_Q4_K:
        case CV_DTYPE_Q5_K:
            put_half(at, random_scale());
            put_half(at + 2, random_scale());
            break;
        case CV_DTYPE_Q6_K:
            put_half(at + 208, random_scale());
            break;
        default:
            put_half(at, random_scale());
        }
    }
}

/* Some groups all zero, some all equal, some with one large value: where rounding has its corners. */
static void fill_row(float *x, size_t k)
{
    for (size_t i = 0; i < k; i++)
        x[i] = check_normal();
    for (size_t g = 0; g + 32 <= k; g += 32) {
        uint64_t kind = check_below(12);
        for (size_t i = 0; i < 32 && kind < 3; i++)
            x[g + i] = kind == 0 ? 0.0f : kind == 1 ? -1.5f : x[g + i] * 0x1p-120f;
        if (kind == 3)
            x[g + check_below(32)] = 1000.0f;
        for (size_t i = 0; i < 32 && kind == 4; i++) /* halves of the step: ties */
            x[g + i] = i == 0 ? 127.0f : (float)check_below(255) - 127.5f + 0.5f * (float)check_below(2);
    }
}

void problem_make(struct problem *p, enum cv_dtype dtype, size_t n_out, size_t k, size_t n_row)
{
    struct cv_error err;
    const struct cv_dtype_info *info = cv_dtype_get((uint32_t)dtype);
    *p = (struct problem){.dtype = dtype, .n_out = n_out, .k = k, .n_row = n_row};
    p->row_bytes = k / info->block_len * info->block_bytes;
    uint8_t *src = check_guarded(n_out * p->row_bytes);
    problem_fill(src, dtype, n_out * p->row_bytes);
    p->src = src;
    p->m = (struct cv_matrix){.dtype = dtype, .n_out = n_out, .k = k};
    CHECK_OK(cv_matrix_bytes(dtype, n_out, k, &p->m.size_bytes, &err), err);
    p->m.data = check_guarded(p->m.size_bytes);
    memset(p->m.data, 0xa5, p->m.size_bytes);
    /* in two ranges, as two threads would */
    size_t first = n_out / 2 / CV_MATRIX_GROUP * CV_MATRIX_GROUP;
    cv_matrix_pack(&p->m, src, 0, first);
    cv_matrix_pack(&p->m, src + first * p->row_bytes, first, n_out - first);
    float *x = check_guarded(n_row * k * sizeof(*x));
    for (size_t r = 0; r < n_row; r++)
        fill_row(x + r * k, k);
    p->x = x;
}

float *problem_run(const struct problem *p, struct cv_pool *pool)
{
    struct cv_acts acts;
    void *mem = check_guarded(cv_acts_bytes(p->dtype, p->n_row, p->k));
    float *y = check_guarded(p->n_row * p->n_out * sizeof(*y));
    memset(y, 0xff, p->n_row * p->n_out * sizeof(*y));
    cv_acts_prepare(&acts, p->dtype, p->x, p->k, p->n_row, p->k, mem, pool);
    cv_matmul(y, p->n_out, &p->m, &acts, pool);
    return y;
}
