/*
 * exp.h - e^x in single precision, the same bits in every instruction set.
 *
 * x = n ln 2 + r with |r| <= 0.3469; e^r = 1 + r + r^2 p(r), p of degree four, fitted so that the relative error of the
 * polynomial is below 4.5e-9; times 2^n by adding n to the exponent. n comes out of adding 1.5 * 2^23, which rounds to
 * the nearest integer and leaves it in the low bits.
 *
 * Error: r is off by at most 2^-24 * 0.35 (its last fma) plus |n| * 2^-43 (ln 2 in two parts); the last two steps of
 * Horner's rule round by 2^-25 * 1.42 / 0.7 and less. Together below 2^-22 of the result for -87.3 <= x <= 88.
 * Below that the result is 0, above it is infinity; a NaN stays one.
 */
#ifndef CV_ENGINE_CPU_EXP_H
#define CV_ENGINE_CPU_EXP_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define CV_EXP_LOW    (-87.3f)
#define CV_EXP_HIGH   88.0f
#define CV_EXP_LOG2E  0x1.715476p+0f
#define CV_EXP_MAGIC  0x1.8p+23f
#define CV_EXP_LN2_HI 0x1.62e4p-1f /* 15 bits, so that n times it is exact */
#define CV_EXP_LN2_LO 0x1.7f7d1cp-20f
#define CV_EXP_C2     0x1.fffffcp-2f
#define CV_EXP_C3     0x1.55549p-3f
#define CV_EXP_C4     0x1.5558f4p-5f
#define CV_EXP_C5     0x1.123a6cp-7f
#define CV_EXP_C6     0x1.6a2352p-10f

static inline float cv_exp(float x)
{
    float t = fmaf(x, CV_EXP_LOG2E, CV_EXP_MAGIC);
    uint32_t bits;
    memcpy(&bits, &t, sizeof(bits));
    float n = t - CV_EXP_MAGIC;
    float r = fmaf(-n, CV_EXP_LN2_HI, x);
    r = fmaf(-n, CV_EXP_LN2_LO, r);
    float p = CV_EXP_C6;
    p = fmaf(p, r, CV_EXP_C5);
    p = fmaf(p, r, CV_EXP_C4);
    p = fmaf(p, r, CV_EXP_C3);
    p = fmaf(p, r, CV_EXP_C2);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    bits = (bits << 23) + 0x3f800000u;
    float two_n;
    memcpy(&two_n, &bits, sizeof(two_n));
    float y = p * two_n;
    y = x < CV_EXP_LOW ? 0.0f : y;
    return x > CV_EXP_HIGH ? INFINITY : y;
}

#endif
