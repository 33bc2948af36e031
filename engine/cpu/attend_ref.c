/* attend_ref.c - one page of attention: the reference. The formulas are in rows.h. */
#include <math.h>

#include "engine/cpu/exp.h"
#include "engine/cpu/rows.h"

static float value_at(const void *p, bool f16, size_t i)
{
    return f16 ? cv_f16_to_f32(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}

static float max_of(float a, float b)
{
    return a > b ? a : b;
}

/* Lane i of eight takes what stands at i, i + 8, ...; then the lanes are halved three times. */
static float max_in_lanes(const float *s)
{
    float lane[8];
    for (size_t i = 0; i < 8; i++) {
        lane[i] = s[i];
        for (size_t j = i + 8; j < CV_PAGE; j += 8)
            lane[i] = max_of(lane[i], s[j]);
    }
    for (size_t width = 4; width > 0; width /= 2)
        for (size_t i = 0; i < width; i++)
            lane[i] = max_of(lane[i], lane[i + width]);
    return lane[0];
}

static float sum_in_lanes(const float *s)
{
    float lane[8] = {0};
    for (size_t j = 0; j < CV_PAGE; j++)
        lane[j % 8] += s[j];
    for (size_t width = 4; width > 0; width /= 2)
        for (size_t i = 0; i < width; i++)
            lane[i] += lane[i + width];
    return lane[0];
}

static void attend_merge(float *m_to, float *l_to, float *o_to, float m, float l, const float *o, size_t n_v)
{
    float top = max_of(*m_to, m), keep = cv_exp(*m_to - top), join = cv_exp(m - top);
    *m_to = top;
    *l_to = fmaf(l, join, *l_to * keep);
    for (size_t d = 0; d < n_v; d++)
        o_to[d] = fmaf(o[d], join, o_to[d] * keep);
}

static void attend_one(const struct cv_attend_page *a, const float *q, size_t n, size_t i)
{
    float s[CV_PAGE];
    for (size_t j = 0; j < CV_PAGE; j++) {
        float sum = 0.0f;
        for (size_t d = 0; j < n && d < a->n_k; d++)
            sum = fmaf(q[d], value_at(a->k, a->f16, d * CV_PAGE + j), sum);
        s[j] = j < n ? sum * a->scale : -INFINITY;
    }
    float m = max_in_lanes(s);
    for (size_t j = 0; j < CV_PAGE; j++)
        s[j] = cv_exp(s[j] - m);
    float l = sum_in_lanes(s);
    for (size_t d = 0; d < a->n_v; d++) {
        float sum = 0.0f;
        for (size_t j = 0; j < n; j++)
            sum = fmaf(s[j], value_at(a->v, a->f16, j * a->n_v + d), sum);
        a->sum[d] = sum;
    }
    attend_merge(&a->m[i], &a->l[i], a->o + i * a->n_v, m, l, a->sum, a->n_v);
}

static void attend_page(const struct cv_attend_page *a)
{
    for (size_t row = 0; row < a->n_row; row++) {
        size_t n = a->n_valid + row < CV_PAGE ? a->n_valid + row : CV_PAGE;
        for (size_t h = 0; h < a->group; h++)
            attend_one(a, a->q + row * a->ldq + h * a->n_k, n, row * a->group + h);
    }
}

void cv_attend_init_ref(struct cv_row_kernels *k)
{
    k->attend_page = attend_page;
    k->attend_merge = attend_merge;
}
