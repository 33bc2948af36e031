/*
 * attend_tiles.h - one page of attention in tiles of queries, for any width of vector.
 *
 * Included once by each attend_*.c that defines
 *
 *     vec               a vector of WIDTH floats
 *     WIDTH, TILE       TILE queries meet 2 * WIDTH positions, then 2 * WIDTH dimensions
 *     vec_zero, vec_set1, vec_load, vec_load_f16, vec_store, vec_mul, vec_fma
 *
 * Each lane adds in the order of attend_ref.c, so the bits are the reference's whatever the width. Keys and values in
 * f16 are widened as they are loaded; with many queries the page is widened once into scratch memory instead.
 */
#include "engine/cpu/exp_avx2.h"
#include "engine/cpu/rows.h"

enum { WIDEN_AT = 12 /* queries from which widening the page once pays */ };

CV_INLINE vec load(const void *p, size_t i, bool f16)
{
    return f16 ? vec_load_f16((const uint16_t *)p + i) : vec_load((const float *)p + i);
}

CV_INLINE __m256 load8(const void *p, size_t i, bool f16)
{
    if (f16)
        return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)((const uint16_t *)p + i)));
    return _mm256_loadu_ps((const float *)p + i);
}

CV_INLINE float load1(const void *p, size_t i, bool f16)
{
    return f16 ? _cvtsh_ss(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}

/* s[i][j] for i < n_q and all j < n, rounded up to two vectors; what lies past n is never used. */
CV_INLINE void scores(float *s, const float *const *q, size_t n_q, const void *k, bool f16, size_t n_k, size_t n,
                      float scale)
{
    const vec scale_all = vec_set1(scale);
    for (size_t j = 0; j < n; j += 2 * WIDTH) {
        vec a[TILE], b[TILE];
        for (size_t i = 0; i < n_q; i++)
            a[i] = b[i] = vec_zero();
        for (size_t d = 0; d < n_k; d++) {
            vec k0 = load(k, d * CV_PAGE + j, f16), k1 = load(k, d * CV_PAGE + j + WIDTH, f16);
            for (size_t i = 0; i < n_q; i++) {
                vec x = vec_set1(q[i][d]);
                a[i] = vec_fma(x, k0, a[i]);
                b[i] = vec_fma(x, k1, b[i]);
            }
        }
        for (size_t i = 0; i < n_q; i++) {
            vec_store(s + i * CV_PAGE + j, vec_mul(a[i], scale_all));
            vec_store(s + i * CV_PAGE + j + WIDTH, vec_mul(b[i], scale_all));
        }
    }
}

/* What the queries of a tile see in common, [0, n), then what each sees beyond, [n, n_of[i]). */
CV_INLINE void values_wide(float *o, const float *e, size_t n_q, const void *v, bool f16, size_t n_v, size_t d,
                           size_t n, const size_t *n_of)
{
    vec a[TILE], b[TILE];
    for (size_t i = 0; i < n_q; i++)
        a[i] = b[i] = vec_zero();
    for (size_t j = 0; j < n; j++) {
        vec v0 = load(v, j * n_v + d, f16), v1 = load(v, j * n_v + d + WIDTH, f16);
        for (size_t i = 0; i < n_q; i++) {
            vec x = vec_set1(e[i * CV_PAGE + j]);
            a[i] = vec_fma(x, v0, a[i]);
            b[i] = vec_fma(x, v1, b[i]);
        }
    }
    for (size_t i = 0; i < n_q; i++) {
        for (size_t j = n; j < n_of[i]; j++) {
            vec x = vec_set1(e[i * CV_PAGE + j]);
            a[i] = vec_fma(x, load(v, j * n_v + d, f16), a[i]);
            b[i] = vec_fma(x, load(v, j * n_v + d + WIDTH, f16), b[i]);
        }
        vec_store(o + i * n_v + d, a[i]);
        vec_store(o + i * n_v + d + WIDTH, b[i]);
    }
}

CV_INLINE void values(float *o, const float *e, size_t n_q, const void *v, bool f16, size_t n_v, size_t n,
                      const size_t *n_of)
{
    size_t d = 0;
    for (; d + 2 * WIDTH <= n_v; d += 2 * WIDTH)
        values_wide(o, e, n_q, v, f16, n_v, d, n, n_of);
    for (; d + 8 <= n_v; d += 8)
        for (size_t i = 0; i < n_q; i++) {
            __m256 a = _mm256_setzero_ps();
            for (size_t j = 0; j < n_of[i]; j++)
                a = _mm256_fmadd_ps(_mm256_broadcast_ss(e + i * CV_PAGE + j), load8(v, j * n_v + d, f16), a);
            _mm256_storeu_ps(o + i * n_v + d, a);
        }
    for (; d < n_v; d++)
        for (size_t i = 0; i < n_q; i++) {
            float a = 0.0f;
            for (size_t j = 0; j < n_of[i]; j++)
                a = fmaf(e[i * CV_PAGE + j], load1(v, j * n_v + d, f16), a);
            o[i * n_v + d] = a;
        }
}

/* s becomes e, 0 from n on; the largest score and the sum of e. Eight lanes at any width: the sum's shape is fixed. */
static void exponentials(float *s, size_t n, float *m, float *l)
{
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256 never = _mm256_set1_ps(-INFINITY);
    __m256 x[CV_PAGE / 8], top = never;
    for (size_t j = 0; j < CV_PAGE / 8; j++) {
        __m256i left = _mm256_set1_epi32((int)n - (int)j * 8);
        __m256 seen = _mm256_castsi256_ps(_mm256_cmpgt_epi32(left, lanes));
        x[j] = _mm256_blendv_ps(never, _mm256_loadu_ps(s + j * 8), seen);
        top = j == 0 ? x[0] : _mm256_max_ps(top, x[j]);
    }
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(top), _mm256_extractf128_ps(top, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    half = _mm_max_ss(half, _mm_shuffle_ps(half, half, 1));
    *m = _mm_cvtss_f32(half);
    const __m256 m8 = _mm256_set1_ps(*m);
    __m256 sum = _mm256_setzero_ps();
    for (size_t j = 0; j < CV_PAGE / 8; j++) {
        __m256 e = cv_exp8(_mm256_sub_ps(x[j], m8));
        _mm256_storeu_ps(s + j * 8, e);
        sum = _mm256_add_ps(sum, e);
    }
    half = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    half = _mm_add_ss(half, _mm_shuffle_ps(half, half, 1));
    *l = _mm_cvtss_f32(half);
}

static void attend_merge(float *m_to, float *l_to, float *o_to, float m, float l, const float *o, size_t n_v)
{
    float top = *m_to > m ? *m_to : m, keep = cv_exp(*m_to - top), join = cv_exp(m - top);
    *m_to = top;
    *l_to = fmaf(l, join, *l_to * keep);
    const __m256 keep8 = _mm256_set1_ps(keep), join8 = _mm256_set1_ps(join);
    size_t d = 0;
    for (; d + 8 <= n_v; d += 8)
        _mm256_storeu_ps(
            o_to + d, _mm256_fmadd_ps(_mm256_loadu_ps(o + d), join8, _mm256_mul_ps(_mm256_loadu_ps(o_to + d), keep8)));
    for (; d < n_v; d++)
        o_to[d] = fmaf(o[d], join, o_to[d] * keep);
}

static size_t seen_by(const struct cv_attend_page *a, size_t query)
{
    size_t n = a->n_valid + query / a->group;
    return n < CV_PAGE ? n : CV_PAGE;
}

CV_INLINE void tile(const struct cv_attend_page *a, size_t first, size_t n_q, const void *k, const void *v, bool f16)
{
    const float *q[TILE];
    size_t n_of[TILE];
    float m[TILE], l[TILE];
    for (size_t i = 0; i < n_q; i++) {
        q[i] = a->q + (first + i) / a->group * a->ldq + (first + i) % a->group * a->n_k;
        n_of[i] = seen_by(a, first + i);
    }
    /* Rows rise, so the first query sees least and the last one most. */
    scores(a->s, q, n_q, k, f16, a->n_k, n_of[n_q - 1], a->scale);
    for (size_t i = 0; i < n_q; i++)
        exponentials(a->s + i * CV_PAGE, n_of[i], &m[i], &l[i]);
    values(a->sum, a->s, n_q, v, f16, a->n_v, n_of[0], n_of);
    for (size_t i = 0; i < n_q; i++)
        attend_merge(&a->m[first + i], &a->l[first + i], a->o + (first + i) * a->n_v, m[i], l[i], a->sum + i * a->n_v,
                     a->n_v);
}

/* Whole tiles, then smaller ones: each number of queries is its own piece of straight code. */
CV_INLINE void tiles(const struct cv_attend_page *a, const void *k, const void *v, bool f16)
{
    size_t n = a->n_row * a->group, i = 0;
    for (; i + TILE <= n; i += TILE)
        tile(a, i, TILE, k, v, f16);
    for (; i + 4 <= n; i += 4)
        tile(a, i, 4, k, v, f16);
    for (; i + 2 <= n; i += 2)
        tile(a, i, 2, k, v, f16);
    if (i < n)
        tile(a, i, 1, k, v, f16);
}

static void widen(float *to, const void *from, size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(to + i, load8(from, i, true));
    for (; i < n; i++)
        to[i] = load1(from, i, true);
}

static void attend_page(const struct cv_attend_page *a)
{
    size_t n = a->n_row * a->group;
    if (!a->f16) {
        tiles(a, a->k, a->v, false);
    } else if (n < WIDEN_AT) {
        tiles(a, a->k, a->v, true);
    } else {
        float *k = a->page, *v = a->page + CV_PAGE * a->n_k;
        widen(k, a->k, CV_PAGE * a->n_k);
        widen(v, a->v, seen_by(a, n - 1) * a->n_v);
        tiles(a, k, v, false);
    }
}
