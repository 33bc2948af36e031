/*
 * rows.h - everything on the processor that is not a weight matrix: one row, one head, one page at a time.
 *
 * Each entry has one order of additions, written in lanes of eight, and every fused multiply-add is spelled as one, so
 * the scalar reference (*_ref.c) and each faster variant (*_avx2.c) agree bit for bit.
 */
#ifndef CV_ENGINE_CPU_ROWS_H
#define CV_ENGINE_CPU_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gguf/dtype.h"

enum {
    CV_PAGE = 64,       /* positions; equal to CV_KV_PAGE */
    CV_TILE_QUERIES = 8 /* queries that a kernel takes at a time, at most */
};

/*
 * Attention of n_row rows at consecutive positions, `group` query heads each, against one page of one key/value head.
 * Query i = row * group + head. A row at position p sees the page's positions j < n_valid + row, at most 64.
 *
 * In the page: s[j] = scale * sum_d fma(q[d], k[d][j]); m = max s; e[j] = exp(s[j] - m); l = sum e in eight lanes;
 * o[d] = sum_j fma(e[j], v[j][d]), j rising. Then the page joins the running triple (m, l, o) of the query, as merge
 * does: new = max(m, m'), o = fma(o', exp(m' - new), o * exp(m - new)), l likewise. An empty triple has m = -inf.
 */
struct cv_attend_page {
    const float *q; /* row 0, first head of the group; heads follow one another */
    size_t ldq;     /* floats from one row to the next */
    size_t n_row, group;
    size_t n_valid; /* positions that row 0 sees, 1..64 */
    const void *k;  /* [n_k][64] */
    const void *v;  /* [64][n_v] */
    bool f16;       /* type of k and v */
    size_t n_k, n_v;
    float scale;
    float *m, *l; /* [n_row * group] running */
    float *o;     /* [n_row * group][n_v] running */
    float *s;     /* scratch: [n_row * group][64] */
    float *page;  /* scratch: [64 * (n_k + n_v)] */
    float *sum;   /* scratch: [4 * n_v] */
};

struct cv_row_kernels {
    /* y[i] = w[i] * (x[i] * r), r = 1 / sqrt(mean(x^2) + eps), the sum in double, eight lanes. y may be x. */
    void (*rms_norm)(float *y, const float *x, const float *w, size_t n, float eps);
    /* y[i] = a[i] + b[i]; y may be either. */
    void (*add)(float *y, const float *a, const float *b, size_t n);
    /* y[i] = u[i] * g[i] / (1 + exp(-g[i])); y may be either. Relative error at most 2^-20 for g >= -80. */
    void (*silu_mul)(float *y, const float *g, const float *u, size_t n);
    /* Turns n_pair pairs of one head in place: (a, b) -> (a c - b s, a s + b c), each with one fma. */
    void (*rope_pairs)(float *x, const float *cosine, const float *sine, size_t n_pair);
    void (*rope_halves)(float *x, const float *cosine, const float *sine, size_t n_pair);
    /* One position's key and value of one head into the page; j is the position in the page. */
    void (*store_k)(void *k, bool f16, const float *x, size_t n, size_t j);
    void (*store_v)(void *v, bool f16, const float *x, size_t n, size_t j);
    void (*attend_page)(const struct cv_attend_page *a);
    /* (m, l, o) joins *m, *l, o_to: the rule above. */
    void (*attend_merge)(float *m_to, float *l_to, float *o_to, float m, float l, const float *o, size_t n_v);
    /* y[i] = x[i] * r */
    void (*scale)(float *y, const float *x, float r, size_t n);
};

/* The table of this process. */
extern struct cv_row_kernels cv_rows;

/* isa: bits of matrix.h that may be used. From main, or a test, while nothing runs. */
void cv_row_kernels_init(unsigned isa);
/* Each overwrites the entries it has. */
void cv_norm_init_ref(struct cv_row_kernels *k);
void cv_rope_init_ref(struct cv_row_kernels *k);
void cv_attend_init_ref(struct cv_row_kernels *k);
void cv_norm_init_avx2(struct cv_row_kernels *k);
void cv_rope_init_avx2(struct cv_row_kernels *k);
void cv_attend_init_avx2(struct cv_row_kernels *k);
void cv_attend_init_avx512(struct cv_row_kernels *k);

#endif
