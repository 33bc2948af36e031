/* rope_ref.c - turning pairs, and putting keys and values into their page: the reference. */
#include <math.h>

#include "engine/cpu/rows.h"

static void turn(float *a, float *b, float c, float s)
{
    float x = *a, y = *b;
    *a = fmaf(x, c, -(y * s));
    *b = fmaf(y, c, x * s);
}

static void rope_pairs(float *x, const float *cosine, const float *sine, size_t n_pair)
{
    for (size_t i = 0; i < n_pair; i++)
        turn(&x[2 * i], &x[2 * i + 1], cosine[i], sine[i]);
}

static void rope_halves(float *x, const float *cosine, const float *sine, size_t n_pair)
{
    for (size_t i = 0; i < n_pair; i++)
        turn(&x[i], &x[i + n_pair], cosine[i], sine[i]);
}

static void store_k(void *k, bool f16, const float *x, size_t n, size_t j)
{
    for (size_t i = 0; i < n; i++) {
        if (f16)
            ((uint16_t *)k)[i * CV_PAGE + j] = cv_f32_to_f16(x[i]);
        else
            ((float *)k)[i * CV_PAGE + j] = x[i];
    }
}

static void store_v(void *v, bool f16, const float *x, size_t n, size_t j)
{
    for (size_t i = 0; i < n; i++) {
        if (f16)
            ((uint16_t *)v)[j * n + i] = cv_f32_to_f16(x[i]);
        else
            ((float *)v)[j * n + i] = x[i];
    }
}

void cv_rope_init_ref(struct cv_row_kernels *k)
{
    k->rope_pairs = rope_pairs;
    k->rope_halves = rope_halves;
    k->store_k = store_k;
    k->store_v = store_v;
}
