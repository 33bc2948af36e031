/*
 * matmul_avx2.c - the products with AVX2, FMA and F16C, and the activations' quantization.
 */
#include "engine/cpu/matmul_256.h"

static void matmul_q4_0(const struct cv_mm *m)
{
    quantized(m, CV_MM_Q4_0);
}

static void matmul_q8_0(const struct cv_mm *m)
{
    quantized(m, CV_MM_Q8_0);
}

static void matmul_q4_k(const struct cv_mm *m)
{
    quantized(m, CV_MM_Q4_K);
}

static void matmul_q5_k(const struct cv_mm *m)
{
    quantized(m, CV_MM_Q5_K);
}

static void matmul_q6_k(const struct cv_mm *m)
{
    quantized(m, CV_MM_Q6_K);
}

CV_INLINE __m256 weights_at(const uint8_t *p, enum cv_mm_type type)
{
    if (type == CV_MM_F32)
        return _mm256_loadu_ps((const float *)p);
    __m128i h = _mm_loadu_si128((const __m128i *)p);
    if (type == CV_MM_F16)
        return _mm256_cvtph_ps(h);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

/* A tile of n_g groups of outputs and n_r rows, small and constant: its sums stay in registers. */
CV_INLINE void float_tile(const struct cv_mm *m, size_t group, size_t row, enum cv_mm_type type, size_t n_g, size_t n_r)
{
    const size_t half = type == CV_MM_F32 ? 32 : 16;
    const uint8_t *w = m->w + group * m->group_bytes;
    const float *x = m->x->f32 + row * m->k;
    __m256 acc[4][4][2];
    for (size_t i = 0; i < n_g; i++) {
        for (size_t r = 0; r < n_r; r++)
            acc[i][r][0] = acc[i][r][1] = _mm256_setzero_ps();
    }
    for (size_t j = 0; j < m->k; j++) {
        for (size_t i = 0; i < n_g; i++) {
            const uint8_t *at = w + i * m->group_bytes + j * 2 * half;
            __m256 w0 = weights_at(at, type), w1 = weights_at(at + half, type);
            for (size_t r = 0; r < n_r; r++) {
                __m256 value = _mm256_set1_ps(x[r * m->k + j]);
                acc[i][r][0] = _mm256_fmadd_ps(w0, value, acc[i][r][0]);
                acc[i][r][1] = _mm256_fmadd_ps(w1, value, acc[i][r][1]);
            }
        }
    }
    for (size_t i = 0; i < n_g; i++) {
        size_t left = m->n_out - (group + i) * G, lanes = left < G ? left : G;
        for (size_t r = 0; r < n_r; r++)
            memcpy(m->y + (row + r) * m->ldy + (group + i) * G, acc[i][r], lanes * sizeof(float));
    }
}

CV_INLINE void floats(const struct cv_mm *m, enum cv_mm_type type)
{
    size_t i = 0, rows = m->row_last - m->row_first;
    for (; rows == 1 && i + 4 <= m->n_group; i += 4)
        float_tile(m, i, m->row_first, type, 4, 1);
    for (; i < m->n_group; i++) {
        size_t r = m->row_first;
        for (; r + 4 <= m->row_last; r += 4)
            float_tile(m, i, r, type, 1, 4);
        for (; r < m->row_last; r++)
            float_tile(m, i, r, type, 1, 1);
    }
}

static void matmul_f32(const struct cv_mm *m)
{
    floats(m, CV_MM_F32);
}

static void matmul_f16(const struct cv_mm *m)
{
    floats(m, CV_MM_F16);
}

static void matmul_bf16(const struct cv_mm *m)
{
    floats(m, CV_MM_BF16);
}

static int32_t sum_of(__m256i v)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

static uint32_t largest_of(__m256i v)
{
    __m128i s = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_max_epu32(s, _mm_shuffle_epi32(s, 0x4e));
    return (uint32_t)_mm_cvtsi128_si32(_mm_max_epu32(s, _mm_shuffle_epi32(s, 0xb1)));
}

/* As the reference (matmul_ref.c), which tells the rules. */
static void quantize(const float *x, size_t n, size_t h, int8_t *q, float *scale, float *sum, int32_t *nsum)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (size_t g = 0; g < n; g++, x += CV_ACT_GROUP, q += h * CV_ACT_GROUP, scale += h, sum += h, nsum += 3 * h) {
        __m256 v[4];
        __m256i most = _mm256_setzero_si256(), c[4];
        for (size_t i = 0; i < 4; i++) {
            v[i] = _mm256_loadu_ps(x + 8 * i);
            most = _mm256_max_epu32(most, _mm256_and_si256(_mm256_castps_si256(v[i]), magnitude));
        }
        uint32_t bits = largest_of(most);
        float max, by = 0;
        memcpy(&max, &bits, 4);
        *scale = 0;
        if (bits >= 0x7f800000) {
            bits = 0x7fc00000;
            memcpy(scale, &bits, 4);
            for (size_t i = 0; i < 4; i++)
                v[i] = _mm256_setzero_ps();
        } else if (max >= 0x1p-100f) {
            by = 127.0f / max;
            *scale = max / 127.0f;
        }
        for (size_t i = 0; i < 4; i++)
            c[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], _mm256_set1_ps(by)));
        __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(c[0], c[1]), _mm256_packs_epi32(c[2], c[3]));
        _mm256_storeu_si256((__m256i *)q, _mm256_permutevar8x32_epi32(bytes, order));
        int32_t low = sum_of(_mm256_add_epi32(c[0], c[1])), high = sum_of(_mm256_add_epi32(c[2], c[3]));
        *sum = (float)(low + high);
        nsum[0] = -(low + high);
        nsum[1] = -low;
        nsum[2] = -high;
    }
}

void cv_kernels_init_avx2(struct cv_kernels *k)
{
    k->quantize = quantize;
    k->matmul[CV_MM_Q4_0] = matmul_q4_0;
    k->matmul[CV_MM_Q8_0] = matmul_q8_0;
    k->matmul[CV_MM_Q4_K] = matmul_q4_k;
    k->matmul[CV_MM_Q5_K] = matmul_q5_k;
    k->matmul[CV_MM_Q6_K] = matmul_q6_k;
    k->matmul[CV_MM_F32] = matmul_f32;
    k->matmul[CV_MM_F16] = matmul_f16;
    k->matmul[CV_MM_BF16] = matmul_bf16;
}
