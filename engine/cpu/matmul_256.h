/*
 * matmul_256.h - the products in vectors of 256 bits: compiled once for AVX2 and once more for AVX-VNNI, whose dot
 * product of bytes takes the place of three instructions. Included by matmul_avx2.c and matmul_avxvnni.c only.
 *
 * Eight output rows fill a vector. For 32 values of k and eight outputs the codes are unpacked into eight registers;
 * then all rows of the block pass by, adding to sums that wait in a small buffer. Unpacking is thus paid once per
 * block of rows, and one row is the same code as many. The formulas are in internal.h.
 */
#ifndef CV_ENGINE_CPU_MATMUL_256_H
#define CV_ENGINE_CPU_MATMUL_256_H

#include <immintrin.h>
#include <string.h>

#include "engine/cpu/internal.h"

enum { G = CV_MATRIX_GROUP, STEP = 8, PREFETCH_BYTES = 2048 };

/* Of 16 outputs and up to STEP groups of 32 values. */
struct scales {
    CV_ALIGNED(32) float d[2][STEP][G];
    CV_ALIGNED(32) float m[STEP][G];
};

CV_INLINE __m256 halves_at(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

CV_INLINE void put_product(float out[G], const uint8_t *d, __m128i bytes, enum cv_mm_type type)
{
    __m128i top = _mm_srli_si128(bytes, 8);
    __m256i low = type == CV_MM_Q6_K ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes);
    __m256i high = type == CV_MM_Q6_K ? _mm256_cvtepi8_epi32(top) : _mm256_cvtepu8_epi32(top);
    _mm256_store_ps(out, _mm256_mul_ps(halves_at(d), _mm256_cvtepi32_ps(low)));
    _mm256_store_ps(out + 8, _mm256_mul_ps(halves_at(d + 16), _mm256_cvtepi32_ps(high)));
}

/* n: groups; for the types with blocks of 256 always STEP, and head is the head of one block. */
CV_INLINE void load_scales(struct scales *s, enum cv_mm_type type, const uint8_t *head, size_t n)
{
    if (type == CV_MM_Q4_0 || type == CV_MM_Q8_0) {
        for (size_t g = 0; g < n; g++) {
            _mm256_store_ps(s->d[0][g], halves_at(head + 32 * g));
            _mm256_store_ps(s->d[0][g] + 8, halves_at(head + 32 * g + 16));
        }
    } else if (type == CV_MM_Q6_K) {
        for (size_t i = 0; i < 2 * STEP; i++)
            put_product(s->d[i % 2][i / 2], head, _mm_loadu_si128((const __m128i *)(head + 32 + 16 * i)), type);
    } else {
        const __m128i six = _mm_set1_epi8(63), four = _mm_set1_epi8(15), two = _mm_set1_epi8(0x30);
        for (size_t i = 0; i < 4; i++) {
            __m128i a = _mm_loadu_si128((const __m128i *)(head + 64 + 16 * i));
            __m128i b = _mm_loadu_si128((const __m128i *)(head + 128 + 16 * i));
            __m128i c = _mm_loadu_si128((const __m128i *)(head + 192 + 16 * i));
            __m128i a_top = _mm_and_si128(_mm_srli_epi16(a, 2), two), b_top = _mm_and_si128(_mm_srli_epi16(b, 2), two);
            put_product(s->d[0][i], head, _mm_and_si128(a, six), type);
            put_product(s->m[i], head + 32, _mm_and_si128(b, six), type);
            put_product(s->d[0][i + 4], head, _mm_or_si128(_mm_and_si128(c, four), a_top), type);
            put_product(s->m[i + 4], head + 32, _mm_or_si128(_mm_and_si128(_mm_srli_epi16(c, 4), four), b_top), type);
        }
    }
}

/* The codes of 32 values of eight outputs: byte 4 * lane + b of w[j] is value 4j + b. */
CV_INLINE void unpack(__m256i w[8], enum cv_mm_type type, const uint8_t *src)
{
    if (type == CV_MM_Q8_0) {
        for (size_t j = 0; j < 8; j++) {
            w[j] = _mm256_loadu_si256((const __m256i *)(src + 64 * j));
#if defined(__AVXVNNI__)
            w[j] = _mm256_xor_si256(w[j], _mm256_set1_epi8(-128)); /* + 128: unsigned */
#endif
        }
        return;
    }
    const __m256i four = _mm256_set1_epi8(15);
    for (size_t v = 0; v < 4; v++) {
        __m256i raw = _mm256_loadu_si256((const __m256i *)(src + 64 * v));
        w[v] = _mm256_and_si256(raw, four);
        w[v + 4] = _mm256_and_si256(_mm256_srli_epi16(raw, 4), four);
    }
    if (type == CV_MM_Q5_K) {
        const __m256i one = _mm256_set1_epi8(16);
        __m256i top = _mm256_loadu_si256((const __m256i *)(src + 256));
        for (int j = 0; j < 4; j++) {
            w[j] = _mm256_or_si256(w[j], _mm256_and_si256(_mm256_slli_epi16(top, 4 - j), one));
            w[j + 4] = _mm256_or_si256(w[j + 4], _mm256_and_si256(_mm256_srli_epi16(top, j), one));
        }
    } else if (type == CV_MM_Q6_K) {
        const __m256i two = _mm256_set1_epi8(0x30);
        for (int h = 0; h < 2; h++) {
            __m256i top = _mm256_loadu_si256((const __m256i *)(src + 256 + 64 * h));
            w[4 * h] = _mm256_or_si256(w[4 * h], _mm256_and_si256(_mm256_slli_epi16(top, 4), two));
            w[4 * h + 1] = _mm256_or_si256(w[4 * h + 1], _mm256_and_si256(_mm256_slli_epi16(top, 2), two));
            w[4 * h + 2] = _mm256_or_si256(w[4 * h + 2], _mm256_and_si256(top, two));
            w[4 * h + 3] = _mm256_or_si256(w[4 * h + 3], _mm256_and_si256(_mm256_srli_epi16(top, 2), two));
        }
    }
}

CV_INLINE __m256i four_of(const int8_t *q)
{
    int32_t four;
    memcpy(&four, q, 4);
    return _mm256_set1_epi32(four);
}

#if defined(__AVXVNNI__)
/* sum + the products of values 4 * from .. 4 * to. */
CV_INLINE __m256i dot(__m256i sum, const __m256i w[8], const int8_t *q, size_t from, size_t to, enum cv_mm_type type)
{
    (void)type;
    for (size_t j = from; j < to; j++)
        sum = _mm256_dpbusd_avx_epi32(sum, w[j], four_of(q + 4 * j));
    return sum;
}

enum { Q8_OFFSET = 128 };
#else
/*
 * Pairs of products are added in 16 bits, so no sum may pass 32767. |q| <= 127, so a pair is at most 254 * code: 15 gives
 * 3810, eight pairs fit; 31 gives 7874, four; 63 gives 16002, two. A pair of signed bytes gives 32512 (as |w| * +-q).
 */
CV_INLINE __m256i dot(__m256i sum, const __m256i w[8], const int8_t *q, size_t from, size_t to, enum cv_mm_type type)
{
    const __m256i ones = _mm256_set1_epi16(1);
    const size_t fit = type == CV_MM_Q8_0 ? 1 : type == CV_MM_Q6_K ? 2 : type == CV_MM_Q5_K ? 4 : 8;
    for (size_t j = from; j < to; j += fit) {
        __m256i pairs;
        for (size_t i = 0; i < fit; i++) {
            __m256i x = four_of(q + 4 * (j + i)), p;
            if (type == CV_MM_Q8_0)
                p = _mm256_maddubs_epi16(_mm256_abs_epi8(w[j + i]), _mm256_sign_epi8(x, w[j + i]));
            else
                p = _mm256_maddubs_epi16(w[j + i], x);
            pairs = i == 0 ? p : _mm256_add_epi16(pairs, p);
        }
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
    }
    return sum;
}

enum { Q8_OFFSET = 0 };
#endif

CV_INLINE __m256 group_term(enum cv_mm_type type, const __m256i w[8], __m256 d0, __m256 d1, __m256 m, const int8_t *q,
                            const float *sum, const int32_t *nsum)
{
    __m256i low = _mm256_setzero_si256();
    if (type == CV_MM_Q6_K) {
        __m256i high = _mm256_slli_epi32(_mm256_set1_epi32(nsum[2]), 5);
        low = dot(_mm256_slli_epi32(_mm256_set1_epi32(nsum[1]), 5), w, q, 0, 4, type);
        high = dot(high, w, q, 4, 8, type);
        return _mm256_fmadd_ps(d0, _mm256_cvtepi32_ps(low), _mm256_mul_ps(d1, _mm256_cvtepi32_ps(high)));
    }
    if (type == CV_MM_Q4_0)
        low = _mm256_slli_epi32(_mm256_set1_epi32(nsum[0]), 3);
    if (type == CV_MM_Q8_0 && Q8_OFFSET != 0)
        low = _mm256_slli_epi32(_mm256_set1_epi32(nsum[0]), 7);
    low = dot(low, w, q, 0, 8, type);
    if (type == CV_MM_Q4_K || type == CV_MM_Q5_K)
        return _mm256_fmsub_ps(d0, _mm256_cvtepi32_ps(low), _mm256_mul_ps(m, _mm256_set1_ps(*sum)));
    return _mm256_mul_ps(d0, _mm256_cvtepi32_ps(low));
}

/* Adds what group g of eight outputs gives to every row of a panel; acc: the rows' sums, G floats apart. */
CV_INLINE void add_panel(float *acc, enum cv_mm_type type, const __m256i w[8], __m256 d0, __m256 d1, __m256 m,
                         const struct cv_panel *p, size_t g)
{
    size_t at = g * p->height;
    const int8_t *q = p->q + at * CV_ACT_GROUP;
    const float *scale = p->scale + at, *sum = p->sum + at;
    const int32_t *nsum = p->nsum + 3 * at;
    for (size_t r = 0; r < p->height; r++) {
        __m256 t = group_term(type, w, d0, d1, m, q + r * CV_ACT_GROUP, sum + r, nsum + 3 * r);
        _mm256_store_ps(acc + r * G, _mm256_fmadd_ps(t, _mm256_set1_ps(scale[r]), _mm256_load_ps(acc + r * G)));
    }
}

CV_INLINE void prefetch(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i += 64)
        _mm_prefetch((const char *)p + i, _MM_HINT_T0);
}

/* Where the heads and the codes of a group of outputs stand. */
struct stream {
    const uint8_t *head, *codes;
    size_t n_group; /* of 32 values */
    size_t n;       /* of them in the step at hand */
};

CV_INLINE struct stream stream_of(const struct cv_mm *m, enum cv_mm_type type, size_t i)
{
    const uint8_t *group = m->w + i * m->group_bytes;
    const struct cv_packing *p = &cv_packing[type];
    return (struct stream){group, group + m->k / p->block_len * p->head_bytes, m->k / CV_ACT_GROUP, 0};
}

/* Reads the scales of the step that begins at group g. */
CV_INLINE void begin_step(struct stream *in, struct scales *s, enum cv_mm_type type, size_t g)
{
    in->n = in->n_group - g < STEP ? in->n_group - g : STEP;
    prefetch(in->head + 512, cv_packing[type].head_bytes);
    load_scales(s, type, in->head, in->n);
    in->head += cv_packing[type].head_bytes * (cv_packing[type].block_len == CV_ACT_GROUP ? in->n : 1);
}

CV_INLINE void load_terms(__m256 d[2], __m256 *min, const struct scales *s, enum cv_mm_type type, size_t g, size_t half)
{
    d[0] = d[1] = *min = _mm256_load_ps(s->d[0][g] + half);
    if (type == CV_MM_Q6_K)
        d[1] = _mm256_load_ps(s->d[1][g] + half);
    if (type == CV_MM_Q4_K || type == CV_MM_Q5_K)
        *min = _mm256_load_ps(s->m[g] + half);
}

/* 16 outputs of one row, its sums in registers. */
CV_INLINE void one_row(float *acc, struct stream in, enum cv_mm_type type, const struct cv_panel *p)
{
    __m256 sums[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    struct scales s;
    for (size_t first = 0; first < in.n_group; first += STEP) {
        begin_step(&in, &s, type, first);
        for (size_t g = 0; g < in.n; g++, in.codes += cv_packing[type].code_bytes) {
            size_t at = first + g;
            prefetch(in.codes + PREFETCH_BYTES, cv_packing[type].code_bytes);
            for (size_t half = 0; half < 2; half++) {
                __m256i w[8];
                __m256 d[2], min;
                unpack(w, type, in.codes + 32 * half);
                load_terms(d, &min, &s, type, g, 8 * half);
                __m256 t =
                    group_term(type, w, d[0], d[1], min, p->q + at * CV_ACT_GROUP, p->sum + at, p->nsum + 3 * at);
                sums[half] = _mm256_fmadd_ps(t, _mm256_set1_ps(p->scale[at]), sums[half]);
            }
        }
    }
    _mm256_store_ps(acc, sums[0]);
    _mm256_store_ps(acc + 8, sums[1]);
}

/* 16 outputs of many rows. */
CV_INLINE void many_rows(float *acc, struct stream in, enum cv_mm_type type, const struct cv_panel *panel,
                         size_t n_panel)
{
    struct scales s;
    for (size_t first = 0; first < in.n_group; first += STEP) {
        begin_step(&in, &s, type, first);
        for (size_t g = 0; g < in.n; g++, in.codes += cv_packing[type].code_bytes) {
            prefetch(in.codes + PREFETCH_BYTES, cv_packing[type].code_bytes);
            for (size_t half = 0; half < G; half += 8) {
                __m256i w[8];
                __m256 d[2], min;
                unpack(w, type, in.codes + 4 * half);
                load_terms(d, &min, &s, type, g, half);
                for (size_t i = 0; i < n_panel; i++)
                    add_panel(acc + i * CV_ACT_PANEL * G + half, type, w, d[0], d[1], min, &panel[i], first + g);
            }
        }
    }
}

CV_INLINE void quantized(const struct cv_mm *m, enum cv_mm_type type)
{
    CV_ALIGNED(32) float acc[CV_ROW_BLOCK_MAX * G];
    struct cv_panel panel[CV_ROW_BLOCK_MAX / CV_ACT_PANEL];
    size_t n_panel = 0, n_row = m->row_last - m->row_first;
    for (size_t r = m->row_first; r < m->row_last; r += CV_ACT_PANEL)
        panel[n_panel++] = cv_panel_at(m->x, r);
    for (size_t i = 0; i < m->n_group; i++) {
        size_t left = m->n_out - i * G, lanes = left < G ? left : G;
        struct stream in = stream_of(m, type, i);
        if (n_row == 1) {
            one_row(acc, in, type, panel);
        } else {
            memset(acc, 0, n_row * G * sizeof(*acc));
            many_rows(acc, in, type, panel, n_panel);
        }
        for (size_t r = 0; r < n_row; r++)
            memcpy(m->y + (m->row_first + r) * m->ldy + i * G, acc + r * G, lanes * sizeof(*acc));
    }
}

#endif
