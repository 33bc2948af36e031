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

enum { G = CV_MATRIX_GROUP, STEP = 8, STREAMS = 4, PREFETCH_BYTES = 1024 };

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

/* One group's terms of eight outputs: d * scale (of both halves) and dmin * min. */
struct terms {
    __m256 d[2], min;
};

CV_INLINE __m256 group_term(enum cv_mm_type type, const __m256i w[8], const struct terms *t, const int8_t *q,
                            const float *sum, const int32_t *nsum)
{
    __m256i low = _mm256_setzero_si256();
    if (type == CV_MM_Q6_K) {
        __m256i high = _mm256_slli_epi32(_mm256_set1_epi32(nsum[2]), 5);
        low = dot(_mm256_slli_epi32(_mm256_set1_epi32(nsum[1]), 5), w, q, 0, 4, type);
        high = dot(high, w, q, 4, 8, type);
        return _mm256_fmadd_ps(t->d[0], _mm256_cvtepi32_ps(low), _mm256_mul_ps(t->d[1], _mm256_cvtepi32_ps(high)));
    }
    if (type == CV_MM_Q4_0)
        low = _mm256_slli_epi32(_mm256_set1_epi32(nsum[0]), 3);
    if (type == CV_MM_Q8_0 && Q8_OFFSET != 0)
        low = _mm256_slli_epi32(_mm256_set1_epi32(nsum[0]), 7);
    low = dot(low, w, q, 0, 8, type);
    if (type == CV_MM_Q4_K || type == CV_MM_Q5_K)
        return _mm256_fmsub_ps(t->d[0], _mm256_cvtepi32_ps(low), _mm256_mul_ps(t->min, _mm256_set1_ps(*sum)));
    return _mm256_mul_ps(t->d[0], _mm256_cvtepi32_ps(low));
}

/* Adds what group g of eight outputs gives to every row of a panel; acc: the rows' sums, G floats apart. */
CV_INLINE void add_panel(float *acc, enum cv_mm_type type, const __m256i w[8], const struct terms *t,
                         const struct cv_panel *p, size_t g)
{
    size_t at = g * p->height;
    const int8_t *q = p->q + at * CV_ACT_GROUP;
    const float *scale = p->scale + at, *sum = p->sum + at;
    const int32_t *nsum = p->nsum + 3 * at;
    for (size_t r = 0; r < p->height; r++) {
        __m256 term = group_term(type, w, t, q + r * CV_ACT_GROUP, sum + r, nsum + 3 * r);
        _mm256_store_ps(acc + r * G, _mm256_fmadd_ps(term, _mm256_set1_ps(scale[r]), _mm256_load_ps(acc + r * G)));
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
};

CV_INLINE struct stream stream_of(const struct cv_mm *m, enum cv_mm_type type, size_t i)
{
    const uint8_t *group = m->w + i * m->group_bytes;
    const struct cv_packing *p = &cv_packing[type];
    return (struct stream){group, group + m->k / p->block_len * p->head_bytes};
}

/* Reads the scales of a step of n groups and goes on to the next. */
CV_INLINE void next_scales(struct scales *s, enum cv_mm_type type, struct stream *in, size_t n)
{
    const struct cv_packing *p = &cv_packing[type];
    prefetch(in->head + 2 * p->head_bytes, p->head_bytes);
    load_scales(s, type, in->head, n);
    in->head += p->head_bytes * (p->block_len == CV_ACT_GROUP ? n : 1);
}

CV_INLINE struct terms load_terms(const struct scales *s, enum cv_mm_type type, size_t g, size_t half)
{
    struct terms t;
    t.d[0] = t.d[1] = t.min = _mm256_load_ps(s->d[0][g] + half);
    if (type == CV_MM_Q6_K)
        t.d[1] = _mm256_load_ps(s->d[1][g] + half);
    if (type == CV_MM_Q4_K || type == CV_MM_Q5_K)
        t.min = _mm256_load_ps(s->m[g] + half);
    return t;
}

/* acc[r * G + lane] -> y, for the outputs of group i. */
CV_INLINE void put_rows(const struct cv_mm *m, size_t i, const float *acc)
{
    size_t left = m->n_out - i * G, lanes = left < G ? left : G;
    float *y = m->y + m->row_first * m->ldy + i * G;
    for (size_t r = m->row_first; r < m->row_last; r++, y += m->ldy, acc += G)
        memcpy(y, acc, lanes * sizeof(*acc));
}

/* One row, n_s (constant) groups of outputs from i on side by side: the memory gives its full rate only to several. */
CV_INLINE void one_row(const struct cv_mm *m, enum cv_mm_type type, size_t i, const struct cv_panel *p, size_t n_s)
{
    CV_ALIGNED(32) float acc[STREAMS][G];
    const size_t n_group = m->k / CV_ACT_GROUP, code_bytes = cv_packing[type].code_bytes;
    struct stream in[STREAMS];
    struct scales s[STREAMS];
    __m256 sums[STREAMS][2];
    for (size_t k = 0; k < n_s; k++) {
        in[k] = stream_of(m, type, i + k);
        sums[k][0] = sums[k][1] = _mm256_setzero_ps();
    }
    for (size_t first = 0; first < n_group; first += STEP) {
        size_t n = n_group - first < STEP ? n_group - first : STEP;
        for (size_t k = 0; k < n_s; k++)
            next_scales(&s[k], type, &in[k], n);
        for (size_t g = 0, at = first; g < n; g++, at++) {
            for (size_t k = 0; k < n_s; k++, in[k - 1].codes += code_bytes) {
                prefetch(in[k].codes + PREFETCH_BYTES, code_bytes);
                for (size_t half = 0; half < 2; half++) {
                    __m256i w[8];
                    unpack(w, type, in[k].codes + 32 * half);
                    struct terms t = load_terms(&s[k], type, g, 8 * half);
                    __m256 term = group_term(type, w, &t, p->q + at * CV_ACT_GROUP, p->sum + at, p->nsum + 3 * at);
                    sums[k][half] = _mm256_fmadd_ps(term, _mm256_set1_ps(p->scale[at]), sums[k][half]);
                }
            }
        }
    }
    for (size_t k = 0; k < n_s; k++) {
        _mm256_store_ps(acc[k], sums[k][0]);
        _mm256_store_ps(acc[k] + 8, sums[k][1]);
        put_rows(m, i + k, acc[k]);
    }
}

/* All rows of the panels, one group of outputs. */
CV_INLINE void many_rows(const struct cv_mm *m, enum cv_mm_type type, size_t i, const struct cv_panel *panel,
                         size_t n_panel)
{
    CV_ALIGNED(32) float acc[CV_ROW_BLOCK_MAX * G];
    const size_t n_group = m->k / CV_ACT_GROUP, code_bytes = cv_packing[type].code_bytes;
    struct stream in = stream_of(m, type, i);
    struct scales s;
    memset(acc, 0, (m->row_last - m->row_first) * G * sizeof(*acc));
    for (size_t first = 0; first < n_group; first += STEP) {
        size_t n = n_group - first < STEP ? n_group - first : STEP;
        next_scales(&s, type, &in, n);
        for (size_t g = 0; g < n; g++, in.codes += code_bytes) {
            prefetch(in.codes + PREFETCH_BYTES, code_bytes);
            for (size_t half = 0; half < G; half += 8) {
                __m256i w[8];
                unpack(w, type, in.codes + 4 * half);
                struct terms t = load_terms(&s, type, g, half);
                for (size_t b = 0; b < n_panel; b++)
                    add_panel(acc + b * CV_ACT_PANEL * G + half, type, w, &t, &panel[b], first + g);
            }
        }
    }
    put_rows(m, i, acc);
}

CV_INLINE void quantized(const struct cv_mm *m, enum cv_mm_type type)
{
    struct cv_panel panel[CV_ROW_BLOCK_MAX / CV_ACT_PANEL];
    size_t n_panel = 0, i = 0;
    for (size_t r = m->row_first; r < m->row_last; r += CV_ACT_PANEL)
        panel[n_panel++] = cv_panel_at(m->x, r);
    if (m->row_last - m->row_first > 1) {
        for (; i < m->n_group; i++)
            many_rows(m, type, i, panel, n_panel);
        return;
    }
    for (; i + STREAMS <= m->n_group; i += STREAMS)
        one_row(m, type, i, panel, STREAMS);
    for (; i < m->n_group; i++)
        one_row(m, type, i, panel, 1);
}

#endif
