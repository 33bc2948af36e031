/*
 * quantize_fit.h - least squares for quantizers: scales (and minima) that bring codes closest to values.
 *
 * Given codes, the best scale is a closed formula; given a scale, the best codes are the nearest ones. Each fit starts
 * from a row of trial scales, then takes these two steps in turn while they help. Weighted: sum of w * (x - y)^2.
 */
#ifndef CV_GGUF_QUANTIZE_FIT_H
#define CV_GGUF_QUANTIZE_FIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The nearest whole number, as a float; |v| < 2^22. */
static inline float cv_nearest(float v)
{
    return (v + 0x1.8p23f) - 0x1.8p23f; /* the sum has no room for a fraction */
}

/* The code in [low, high] nearest to v, which may be anything (low for a NaN). */
static inline float cv_code(float v, float low, float high)
{
    v = v > high ? high : v; /* in this form each is one instruction */
    v = v > low ? v : low;
    return cv_nearest(v);
}

/* x[i] ~ scale * q, q in [low, high] with low < 0 < high. scale may be negative; 0 when all x are. n <= 32, a multiple of 8
 * here and below. */
float cv_fit_scale(const float *x, const float *w, size_t n, float low, float high);

/* x[i] ~ scale * q - min, q in [0, high]. scale >= 0; min >= 0 if below_zero. */
void cv_fit_affine(const float *x, const float *w, size_t n, float high, bool below_zero, float *scale, float *min);

/* sum of w * (x - (scale * q - min))^2 with the nearest codes in [low, high], which are stored to q (may be NULL). */
float cv_fit_codes(const float *x, const float *w, size_t n, float scale, float min, float low, float high, int8_t *q);

/* f16 bits of a scale: as near as it gets, never infinite. */
uint16_t cv_fit_half(float v);

#endif
