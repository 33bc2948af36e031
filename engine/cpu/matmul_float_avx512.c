/*
 * matmul_float_avx512.c - the products of F32, F16 and BF16 weights with AVX-512.
 *
 * A vector is one value of k of 16 output rows. A tile of a few groups of outputs and a few rows keeps its sums in
 * registers while k passes by; its size is constant, so that the loops over it unroll.
 */
#include <immintrin.h>

#include "engine/cpu/internal.h"

enum { G = CV_MATRIX_GROUP };

CV_INLINE __m512 weights_at(const uint8_t *p, enum cv_mm_type type)
{
    if (type == CV_MM_F32)
        return _mm512_loadu_ps(p);
    __m256i h = _mm256_loadu_si256((const __m256i *)p);
    if (type == CV_MM_F16)
        return _mm512_cvtph_ps(h);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

CV_INLINE void tile(const struct cv_mm *m, enum cv_mm_type type, size_t group, size_t row, size_t n_g, size_t n_r)
{
    enum { MOST_GROUPS = 4, MOST_ROWS = 8 };
    const size_t step = cv_packing[type].code_bytes;
    const uint8_t *w = m->w + group * m->group_bytes;
    const float *x = m->x->f32 + row * m->k;
    __m512 acc[MOST_GROUPS][MOST_ROWS];
    for (size_t i = 0; i < n_g; i++) {
        for (size_t r = 0; r < n_r; r++)
            acc[i][r] = _mm512_setzero_ps();
    }
    for (size_t j = 0; j < m->k; j++) {
        for (size_t i = 0; i < n_g; i++) {
            __m512 values = weights_at(w + i * m->group_bytes + j * step, type);
            for (size_t r = 0; r < n_r; r++)
                acc[i][r] = _mm512_fmadd_ps(values, _mm512_set1_ps(x[r * m->k + j]), acc[i][r]);
        }
    }
    for (size_t i = 0; i < n_g; i++) {
        size_t left = m->n_out - (group + i) * G;
        __mmask16 mask = left < G ? (__mmask16)((1u << left) - 1) : 0xffff;
        for (size_t r = 0; r < n_r; r++)
            _mm512_mask_storeu_ps(m->y + (row + r) * m->ldy + (group + i) * G, mask, acc[i][r]);
    }
}

CV_INLINE void rows(const struct cv_mm *m, enum cv_mm_type type, size_t group, size_t n_g)
{
    size_t r = m->row_first;
    for (; r + 8 <= m->row_last; r += 8)
        tile(m, type, group, r, n_g, 8);
    for (; r + 3 <= m->row_last; r += 3)
        tile(m, type, group, r, n_g, 3);
    for (; r < m->row_last; r++)
        tile(m, type, group, r, n_g, 1);
}

CV_INLINE void floats(const struct cv_mm *m, enum cv_mm_type type)
{
    size_t i = 0;
    if (m->row_last - m->row_first == 1) {
        for (; i + 4 <= m->n_group; i += 4)
            tile(m, type, i, m->row_first, 4, 1);
    }
    for (; i + 2 <= m->n_group; i += 2)
        rows(m, type, i, 2);
    for (; i < m->n_group; i++)
        rows(m, type, i, 1);
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

void cv_kernels_init_float_avx512(struct cv_kernels *k)
{
    k->matmul[CV_MM_F32] = matmul_f32;
    k->matmul[CV_MM_F16] = matmul_f16;
    k->matmul[CV_MM_BF16] = matmul_bf16;
}
