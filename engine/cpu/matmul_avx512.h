/*
 * matmul_avx512.h - packed weights read in vectors of 512 bits, and the float part of the formulas (internal.h).
 * Included by matmul_avx512.c, which multiplies.
 *
 * A vector holds four values of each of 16 output rows: byte 4 * lane + b.
 */
#ifndef CV_ENGINE_CPU_MATMUL_AVX512_H
#define CV_ENGINE_CPU_MATMUL_AVX512_H

#include <immintrin.h>
#include <string.h>

#include "engine/cpu/internal.h"

enum { G = CV_MATRIX_GROUP, STEP = 8, PREFETCH_BYTES = 1024 };

/* Of 16 outputs and up to STEP groups of 32 values. */
struct scales {
    CV_ALIGNED(64) float d[2][STEP][G];
    CV_ALIGNED(64) float m[STEP][G];
};

/* Where the heads and the codes of a group of outputs stand. */
struct stream {
    const uint8_t *head, *codes;
};

CV_INLINE struct stream stream_of(const struct cv_mm *m, enum cv_mm_type type, size_t i)
{
    const uint8_t *group = m->w + i * m->group_bytes;
    const struct cv_packing *p = &cv_packing[type];
    return (struct stream){group, group + m->k / p->block_len * p->head_bytes};
}

CV_INLINE __m512 halves_at(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

CV_INLINE void prefetch(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i += 64)
        _mm_prefetch((const char *)p + i, _MM_HINT_T0);
}

CV_INLINE bool has_minimum(enum cv_mm_type type)
{
    return type == CV_MM_Q4_K || type == CV_MM_Q5_K;
}

/* out[i] = d * byte i of each lane, for four times 16 bytes. */
CV_INLINE void put_products(float (*out)[G], __m512 d, __m512i bytes)
{
    const __m128i part[4] = {_mm512_castsi512_si128(bytes), _mm512_extracti32x4_epi32(bytes, 1),
                             _mm512_extracti32x4_epi32(bytes, 2), _mm512_extracti32x4_epi32(bytes, 3)};
    for (size_t i = 0; i < 4; i++)
        _mm512_store_ps(out[i], _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(part[i]))));
}

/* Reads the scales of a step of n groups and goes on to the next; with blocks of 256 values n is STEP. */
CV_INLINE void load_scales(struct scales *s, enum cv_mm_type type, struct stream *in, size_t n)
{
    const uint8_t *head = in->head;
    if (cv_packing[type].block_len == CV_ACT_GROUP) {
        for (size_t g = 0; g < n; g++)
            _mm512_store_ps(s->d[0][g], halves_at(head + 32 * g));
        in->head += 32 * n;
        return;
    }
    const __m512 d = halves_at(head);
    prefetch(head + 512, cv_packing[type].head_bytes);
    in->head += cv_packing[type].head_bytes;
    if (type == CV_MM_Q6_K) {
        for (size_t i = 0; i < 2 * STEP; i++) {
            __m512i scale = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(head + 32 + G * i)));
            _mm512_store_ps(s->d[i % 2][i / 2], _mm512_mul_ps(d, _mm512_cvtepi32_ps(scale)));
        }
        return;
    }
    const __m512 dmin = halves_at(head + 32);
    const __m512i six = _mm512_set1_epi8(63), four = _mm512_set1_epi8(15), two = _mm512_set1_epi8(0x30);
    __m512i a = _mm512_loadu_si512(head + 64), b = _mm512_loadu_si512(head + 128), c = _mm512_loadu_si512(head + 192);
    put_products(s->d[0], d, _mm512_and_si512(a, six));
    put_products(s->m, dmin, _mm512_and_si512(b, six));
    put_products(s->d[0] + 4, d,
                 _mm512_or_si512(_mm512_and_si512(c, four), _mm512_and_si512(_mm512_srli_epi16(a, 2), two)));
    put_products(s->m + 4, dmin,
                 _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(c, 4), four),
                                 _mm512_and_si512(_mm512_srli_epi16(b, 2), two)));
}

/* low | (high & mask) */
CV_INLINE __m512i with_high(__m512i low, __m512i high, __m512i mask)
{
    return _mm512_ternarylogic_epi32(low, high, mask, 0xf8);
}

/* The codes of 32 values, unsigned (Q8_0: plus 128): byte 4 * lane + b of w[j] is value 4j + b. */
CV_INLINE void unpack(__m512i w[8], enum cv_mm_type type, const uint8_t *src)
{
    if (type == CV_MM_Q8_0) {
        for (size_t j = 0; j < 8; j++)
            w[j] = _mm512_xor_si512(_mm512_loadu_si512(src + 64 * j), _mm512_set1_epi8(-128));
        return;
    }
    const __m512i four = _mm512_set1_epi8(15);
    for (size_t v = 0; v < 4; v++) {
        __m512i raw = _mm512_loadu_si512(src + 64 * v);
        w[v] = _mm512_and_si512(raw, four);
        w[v + 4] = _mm512_and_si512(_mm512_srli_epi16(raw, 4), four);
    }
    if (type == CV_MM_Q5_K) {
        const __m512i one = _mm512_set1_epi8(16), top = _mm512_loadu_si512(src + 256);
        for (unsigned j = 0; j < 4; j++) {
            w[j] = with_high(w[j], _mm512_slli_epi16(top, 4 - j), one);
            w[j + 4] = with_high(w[j + 4], _mm512_srli_epi16(top, j), one);
        }
    } else if (type == CV_MM_Q6_K) {
        const __m512i two = _mm512_set1_epi8(0x30);
        for (size_t h = 0; h < 2; h++) {
            __m512i top = _mm512_loadu_si512(src + 256 + 64 * h);
            w[4 * h] = with_high(w[4 * h], _mm512_slli_epi16(top, 4), two);
            w[4 * h + 1] = with_high(w[4 * h + 1], _mm512_slli_epi16(top, 2), two);
            w[4 * h + 2] = with_high(w[4 * h + 2], top, two);
            w[4 * h + 3] = with_high(w[4 * h + 3], _mm512_srli_epi16(top, 2), two);
        }
    }
}

/* One group's terms of 16 outputs: d * scale (of both halves) and dmin * min. */
struct terms {
    __m512 d[2], min;
};

CV_INLINE struct terms load_terms(const struct scales *s, enum cv_mm_type type, size_t g)
{
    struct terms t;
    t.d[0] = t.d[1] = t.min = _mm512_load_ps(s->d[0][g]);
    if (type == CV_MM_Q6_K)
        t.d[1] = _mm512_load_ps(s->d[1][g]);
    if (has_minimum(type))
        t.min = _mm512_load_ps(s->m[g]);
    return t;
}

/* From the exact sums of products (Q6_K: of each half) to what the group adds, before the activation's scale. */
CV_INLINE __m512 group_term(enum cv_mm_type type, const struct terms *t, __m512i low, __m512i high, float sum)
{
    __m512 first = _mm512_cvtepi32_ps(low);
    if (type == CV_MM_Q6_K)
        return _mm512_fmadd_ps(t->d[0], first, _mm512_mul_ps(t->d[1], _mm512_cvtepi32_ps(high)));
    if (has_minimum(type))
        return _mm512_fmsub_ps(t->d[0], first, _mm512_mul_ps(t->min, _mm512_set1_ps(sum)));
    return _mm512_mul_ps(t->d[0], first);
}

/* What the sums of products begin with: the offset of the codes times minus the sum of q. half: 0 or 1. */
CV_INLINE __m512i first_sum(enum cv_mm_type type, const int32_t nsum[3], size_t half)
{
    switch (type) {
    case CV_MM_Q4_0:
        return _mm512_slli_epi32(_mm512_set1_epi32(nsum[0]), 3);
    case CV_MM_Q8_0:
        return _mm512_slli_epi32(_mm512_set1_epi32(nsum[0]), 7);
    case CV_MM_Q6_K:
        return _mm512_slli_epi32(_mm512_set1_epi32(nsum[1 + half]), 5);
    default:
        return _mm512_setzero_si512();
    }
}

/* acc[r][G] -> y, for the outputs of group i. */
CV_INLINE void put_rows(const struct cv_mm *m, size_t i, const float *acc, size_t stride)
{
    size_t left = m->n_out - i * G;
    __mmask16 mask = left < G ? (__mmask16)((1u << left) - 1) : 0xffff;
    float *y = m->y + m->row_first * m->ldy + i * G;
    for (size_t r = m->row_first; r < m->row_last; r++, y += m->ldy, acc += stride)
        _mm512_mask_storeu_ps(y, mask, _mm512_loadu_ps(acc));
}

#endif
