/* norm_avx2.c - norm, add and gate, eight values at a time: the sums of norm_ref.c, lane for lane. */
#include <math.h>

#include "engine/cpu/exp_avx2.h"
#include "engine/cpu/rows.h"

/* Squares are exact in double, so a fused multiply-add rounds as the reference's addition does. */
static double sum_of_squares(const float *x, size_t n)
{
    __m256d low = _mm256_setzero_pd(), high = _mm256_setzero_pd();
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256d a = _mm256_cvtps_pd(_mm_loadu_ps(x + i)), b = _mm256_cvtps_pd(_mm_loadu_ps(x + i + 4));
        low = _mm256_fmadd_pd(a, a, low);
        high = _mm256_fmadd_pd(b, b, high);
    }
    CV_ALIGNED(32) double lane[8];
    _mm256_store_pd(lane, low);
    _mm256_store_pd(lane + 4, high);
    for (; i < n; i++)
        lane[i % 8] += (double)x[i] * (double)x[i];
    for (size_t j = 0; j < 4; j++)
        lane[j] += lane[j + 4];
    return (lane[0] + lane[2]) + (lane[1] + lane[3]);
}

static void rms_norm(float *y, const float *x, const float *w, size_t n, float eps)
{
    const float r = (float)(1.0 / sqrt(sum_of_squares(x, n) / (double)n + (double)eps));
    const __m256 r8 = _mm256_set1_ps(r);
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_loadu_ps(w + i), _mm256_mul_ps(_mm256_loadu_ps(x + i), r8)));
    for (; i < n; i++)
        y[i] = w[i] * (x[i] * r);
}

static void add(float *y, const float *a, const float *b, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_add_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i)));
    for (; i < n; i++)
        y[i] = a[i] + b[i];
}

static void silu_mul(float *y, const float *g, const float *u, size_t n)
{
    const __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_set1_ps(-0.0f);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 x = _mm256_loadu_ps(g + i), e = cv_exp8(_mm256_xor_ps(x, sign));
        _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_div_ps(x, _mm256_add_ps(one, e)), _mm256_loadu_ps(u + i)));
    }
    for (; i < n; i++)
        y[i] = g[i] / (1.0f + cv_exp(-g[i])) * u[i];
}

static void scale(float *y, const float *x, float r, size_t n)
{
    const __m256 r8 = _mm256_set1_ps(r);
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_loadu_ps(x + i), r8));
    for (; i < n; i++)
        y[i] = x[i] * r;
}

void cv_norm_init_avx2(struct cv_row_kernels *k)
{
    k->rms_norm = rms_norm;
    k->add = add;
    k->silu_mul = silu_mul;
    k->scale = scale;
}
