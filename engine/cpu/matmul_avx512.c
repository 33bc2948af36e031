/*
 * matmul_avx512.c - the products with AVX-512 and its dot product of bytes (VNNI).
 *
 * Few rows (one panel): four groups of outputs side by side, because the memory gives its full rate only to several
 * streams. Many rows: the codes of 32 values of 32 outputs are unpacked into sixteen registers, and all rows of the
 * block pass by, adding to sums that wait in a buffer of the first-level cache.
 */
#include "engine/cpu/matmul_avx512.h"

enum { STREAMS = 4 };

CV_INLINE __m512i four_of(const int8_t *q)
{
    int32_t four;
    memcpy(&four, q, 4);
    return _mm512_set1_epi32(four);
}

/* 16 outputs, one row, group `at` of the panel. */
CV_INLINE __m512 row_term(enum cv_mm_type type, const __m512i w[8], const struct terms *t, const struct cv_panel *p,
                          size_t at)
{
    const int8_t *q = p->q + at * CV_ACT_GROUP;
    __m512i low = first_sum(type, p->nsum + 3 * at, 0);
    __m512i high = type == CV_MM_Q6_K ? first_sum(type, p->nsum + 3 * at, 1) : _mm512_setzero_si512();
    for (size_t j = 0; j < 4; j++) {
        low = _mm512_dpbusd_epi32(low, w[j], four_of(q + 4 * j));
        high = _mm512_dpbusd_epi32(high, w[j + 4], four_of(q + 4 * j + 16));
    }
    if (type != CV_MM_Q6_K)
        low = _mm512_add_epi32(low, high);
    return group_term(type, t, low, high, p->sum[at]);
}

/* The rows of one panel, n_s groups of outputs from i on; n_s and one_row are constants. */
CV_INLINE void few_rows(const struct cv_mm *m, enum cv_mm_type type, size_t i, const struct cv_panel *p, size_t n_s,
                        bool one_row)
{
    CV_ALIGNED(64) float acc[STREAMS][CV_ACT_PANEL][G];
    const size_t n_group = m->k / CV_ACT_GROUP, code_bytes = cv_packing[type].code_bytes;
    struct stream in[STREAMS];
    struct scales s[STREAMS];
    __m512 only[STREAMS];
    for (size_t k = 0; k < n_s; k++) {
        in[k] = stream_of(m, type, i + k);
        only[k] = _mm512_setzero_ps();
    }
    memset(acc, 0, one_row ? 0 : sizeof(acc));
    for (size_t first = 0; first < n_group; first += STEP) {
        size_t n = n_group - first < STEP ? n_group - first : STEP;
        for (size_t k = 0; k < n_s; k++)
            load_scales(&s[k], type, &in[k], n);
        for (size_t g = 0; g < n; g++) {
            for (size_t k = 0; k < n_s; k++, in[k - 1].codes += code_bytes) {
                __m512i w[8];
                prefetch(in[k].codes + PREFETCH_BYTES, code_bytes);
                unpack(w, type, in[k].codes);
                struct terms t = load_terms(&s[k], type, g);
                if (one_row) {
                    __m512 term = row_term(type, w, &t, p, first + g);
                    only[k] = _mm512_fmadd_ps(term, _mm512_set1_ps(p->scale[first + g]), only[k]);
                    continue;
                }
                for (size_t r = 0, at = (first + g) * p->height; r < p->height; r++, at++) {
                    __m512 term = row_term(type, w, &t, p, at);
                    __m512 sum = _mm512_fmadd_ps(term, _mm512_set1_ps(p->scale[at]), _mm512_load_ps(acc[k][r]));
                    _mm512_store_ps(acc[k][r], sum);
                }
            }
        }
    }
    for (size_t k = 0; k < n_s; k++) {
        if (one_row)
            _mm512_store_ps(acc[k][0], only[k]);
        put_rows(m, i + k, acc[k][0], G);
    }
}

/* The rows of all panels, n_s (1 or 2) groups of outputs from i on. */
CV_INLINE void many_rows(const struct cv_mm *m, enum cv_mm_type type, size_t i, const struct cv_panel *panel,
                         size_t n_panel, size_t n_s)
{
    CV_ALIGNED(64) float acc[CV_ROW_BLOCK_MAX][2][G];
    const size_t n_group = m->k / CV_ACT_GROUP, code_bytes = cv_packing[type].code_bytes;
    struct stream in[2];
    struct scales s[2];
    for (size_t k = 0; k < n_s; k++)
        in[k] = stream_of(m, type, i + k);
    memset(acc, 0, (m->row_last - m->row_first) * sizeof(acc[0]));
    for (size_t first = 0; first < n_group; first += STEP) {
        size_t n = n_group - first < STEP ? n_group - first : STEP;
        for (size_t k = 0; k < n_s; k++)
            load_scales(&s[k], type, &in[k], n);
        for (size_t g = 0; g < n; g++) {
            __m512i w[2][8];
            struct terms t[2];
            for (size_t k = 0; k < n_s; k++) {
                unpack(w[k], type, in[k].codes);
                in[k].codes += code_bytes;
                t[k] = load_terms(&s[k], type, g);
            }
            for (size_t b = 0; b < n_panel; b++) {
                const struct cv_panel *p = &panel[b];
                for (size_t r = 0, at = (first + g) * p->height; r < p->height; r++, at++) {
                    float *sums = acc[b * CV_ACT_PANEL + r][0];
                    for (size_t k = 0; k < n_s; k++) {
                        __m512 term = row_term(type, w[k], &t[k], p, at);
                        __m512 sum = _mm512_load_ps(sums + k * G);
                        _mm512_store_ps(sums + k * G, _mm512_fmadd_ps(term, _mm512_set1_ps(p->scale[at]), sum));
                    }
                }
            }
        }
    }
    for (size_t k = 0; k < n_s; k++)
        put_rows(m, i + k, acc[0][k], 2 * G);
}

CV_INLINE void quantized(const struct cv_mm *m, enum cv_mm_type type)
{
    struct cv_panel panel[CV_ROW_BLOCK_MAX / CV_ACT_PANEL];
    size_t n_panel = 0, i = 0, n_row = m->row_last - m->row_first;
    for (size_t r = m->row_first; r < m->row_last; r += CV_ACT_PANEL)
        panel[n_panel++] = cv_panel_at(m->x, r);
    if (n_panel > 1) {
        for (; i + 2 <= m->n_group; i += 2)
            many_rows(m, type, i, panel, n_panel, 2);
        for (; i < m->n_group; i++)
            many_rows(m, type, i, panel, n_panel, 1);
    } else if (n_row == 1) {
        for (; i + STREAMS <= m->n_group; i += STREAMS)
            few_rows(m, type, i, panel, STREAMS, true);
        for (; i < m->n_group; i++)
            few_rows(m, type, i, panel, 1, true);
    } else {
        for (; i + STREAMS <= m->n_group; i += STREAMS)
            few_rows(m, type, i, panel, STREAMS, false);
        for (; i < m->n_group; i++)
            few_rows(m, type, i, panel, 1, false);
    }
}

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

void cv_kernels_init_avx512(struct cv_kernels *k)
{
    k->matmul[CV_MM_Q4_0] = matmul_q4_0;
    k->matmul[CV_MM_Q8_0] = matmul_q8_0;
    k->matmul[CV_MM_Q4_K] = matmul_q4_k;
    k->matmul[CV_MM_Q5_K] = matmul_q5_k;
    k->matmul[CV_MM_Q6_K] = matmul_q6_k;
}
