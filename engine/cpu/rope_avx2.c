/* rope_avx2.c - turning pairs, and putting keys and values into their page, eight values at a time. */
#include <immintrin.h>
#include <math.h>

#include "engine/cpu/rows.h"

static void turn(float *a, float *b, float c, float s)
{
    float x = *a, y = *b;
    *a = fmaf(x, c, -(y * s));
    *b = fmaf(y, c, x * s);
}

/* c0 c1 c2 c3 -> c0 c0 c1 c1 c2 c2 c3 c3 */
static __m256 each_twice(const float *p)
{
    __m128 v = _mm_loadu_ps(p);
    return _mm256_set_m128(_mm_unpackhi_ps(v, v), _mm_unpacklo_ps(v, v));
}

static void rope_pairs(float *x, const float *cosine, const float *sine, size_t n_pair)
{
    size_t i = 0;
    for (; i + 4 <= n_pair; i += 4) {
        __m256 v = _mm256_loadu_ps(x + 2 * i);
        __m256 t = _mm256_mul_ps(_mm256_permute_ps(v, 0xb1), each_twice(sine + i));
        _mm256_storeu_ps(x + 2 * i, _mm256_fmaddsub_ps(v, each_twice(cosine + i), t));
    }
    for (; i < n_pair; i++)
        turn(&x[2 * i], &x[2 * i + 1], cosine[i], sine[i]);
}

static void rope_halves(float *x, const float *cosine, const float *sine, size_t n_pair)
{
    size_t i = 0;
    for (; i + 8 <= n_pair; i += 8) {
        __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + n_pair + i);
        __m256 c = _mm256_loadu_ps(cosine + i), s = _mm256_loadu_ps(sine + i);
        _mm256_storeu_ps(x + i, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
        _mm256_storeu_ps(x + n_pair + i, _mm256_fmadd_ps(b, c, _mm256_mul_ps(a, s)));
    }
    for (; i < n_pair; i++)
        turn(&x[i], &x[i + n_pair], cosine[i], sine[i]);
}

static void store_k(void *k, bool f16, const float *x, size_t n, size_t j)
{
    size_t i = 0;
    if (!f16) {
        for (; i < n; i++)
            ((float *)k)[i * CV_PAGE + j] = x[i];
        return;
    }
    uint16_t *to = (uint16_t *)k + j;
    for (; i + 8 <= n; i += 8) {
        uint16_t h[8];
        _mm_storeu_si128((__m128i *)(void *)h,
                         _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
        for (size_t b = 0; b < 8; b++)
            to[(i + b) * CV_PAGE] = h[b];
    }
    for (; i < n; i++)
        to[i * CV_PAGE] = cv_f32_to_f16(x[i]);
}

static void store_v(void *v, bool f16, const float *x, size_t n, size_t j)
{
    size_t i = 0;
    if (!f16) {
        for (; i < n; i++)
            ((float *)v)[j * n + i] = x[i];
        return;
    }
    uint16_t *to = (uint16_t *)v + j * n;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(void *)(to + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    for (; i < n; i++)
        to[i] = cv_f32_to_f16(x[i]);
}

void cv_rope_init_avx2(struct cv_row_kernels *k)
{
    k->rope_pairs = rope_pairs;
    k->rope_halves = rope_halves;
    k->store_k = store_k;
    k->store_v = store_v;
}
