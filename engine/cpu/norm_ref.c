/* norm_ref.c - norm, add and gate, one row at a time: the reference. */
#include <math.h>

#include "engine/cpu/exp.h"
#include "engine/cpu/rows.h"

/* y may be x. Zhang & Sennrich 2019, with eps under the root. Squares are exact in double, so only the sum rounds. */
static void rms_norm(float *y, const float *x, const float *w, size_t n, float eps)
{
    double lane[8] = {0};
    for (size_t i = 0; i < n; i++)
        lane[i % 8] += (double)x[i] * (double)x[i];
    for (size_t width = 4; width > 0; width /= 2)
        for (size_t i = 0; i < width; i++)
            lane[i] += lane[i + width];
    const float r = (float)(1.0 / sqrt(lane[0] / (double)n + (double)eps));
    for (size_t i = 0; i < n; i++)
        y[i] = w[i] * (x[i] * r);
}

static void add(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

static void silu_mul(float *y, const float *g, const float *u, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = g[i] / (1.0f + cv_exp(-g[i])) * u[i];
}

static void scale(float *y, const float *x, float r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * r;
}

void cv_norm_init_ref(struct cv_row_kernels *k)
{
    k->rms_norm = rms_norm;
    k->add = add;
    k->silu_mul = silu_mul;
    k->scale = scale;
}
