/*
 * dequantize_k.c - blocks of 256 values that hold small scales for their parts under one or two f16 scales.
 *
 * Every product is formed as (scale * small scale) * code, minus (minimum scale * small minimum): integers up to 13 bits
 * times an f16 are exact in f32, so each value is rounded at most once or twice.
 */
#include "base/reader.h"
#include "gguf/internal.h"

static float half_at(const unsigned char *p)
{
    return cv_f16_to_f32(cv_load_u16(p));
}

/* 16 bytes of scale (low half) and minimum (high half), 64 bytes of codes, f16 scale, f16 minimum. */
static void from_q2_k(const unsigned char *src, float *dst, size_t n_block)
{
    for (; n_block > 0; n_block--, src += 84) {
        const float d = half_at(src + 80), m = half_at(src + 82);
        for (int part = 0; part < 16; part++) { /* 16 values each */
            const float scale = d * (float)(src[part] & 15), min = m * (float)(src[part] >> 4);
            const unsigned char *q = src + 16 + part / 8 * 32 + part % 2 * 16;
            const int shift = part % 8 / 2 * 2;
            for (int i = 0; i < 16; i++)
                *dst++ = scale * (float)(q[i] >> shift & 3) - min;
        }
    }
}

/* 32 bytes of third bits, 64 bytes of two-bit codes, 16 six-bit scales in 12 bytes, f16 scale. */
static void from_q3_k(const unsigned char *src, float *dst, size_t n_block)
{
    for (; n_block > 0; n_block--, src += 110) {
        const float d = half_at(src + 108);
        const unsigned char *s = src + 96;
        for (int part = 0; part < 16; part++) {
            const int low = part < 8 ? s[part] & 15 : s[part - 8] >> 4, high = s[8 + part % 4] >> part / 4 * 2 & 3;
            const float scale = d * (float)((low | high << 4) - 32);
            const unsigned char *q = src + 32 + part / 8 * 32 + part % 2 * 16, *h = src + part % 2 * 16;
            const int shift = part % 8 / 2 * 2, bit = part / 2;
            for (int i = 0; i < 16; i++)
                *dst++ = scale * (float)((q[i] >> shift & 3) - (h[i] >> bit & 1 ? 0 : 4));
        }
    }
}

void cv_k_scale_min(const unsigned char *s, unsigned j, unsigned *scale, unsigned *min)
{
    if (j < 4) {
        *scale = s[j] & 63u;
        *min = s[j + 4] & 63u;
    } else {
        *scale = (s[j + 4] & 15u) | (unsigned)s[j - 4] >> 6 << 4;
        *min = (unsigned)s[j + 4] >> 4 | (unsigned)s[j] >> 6 << 4;
    }
}

/* f16 scale, f16 minimum, 12 bytes of scales and minima, 128 bytes: 32 low halves, then 32 high halves. */
static void from_q4_k(const unsigned char *src, float *dst, size_t n_block)
{
    for (; n_block > 0; n_block--, src += 144) {
        const float d = half_at(src), m = half_at(src + 2);
        for (unsigned part = 0; part < 8; part++) { /* 32 values each */
            unsigned sc, mn;
            cv_k_scale_min(src + 4, part, &sc, &mn);
            const float scale = d * (float)sc, min = m * (float)mn;
            const unsigned char *q = src + 16 + part / 2 * 32;
            const unsigned shift = part % 2 * 4;
            for (int i = 0; i < 32; i++)
                *dst++ = scale * (float)(q[i] >> shift & 15) - min;
        }
    }
}

/* As Q4_K with 32 bytes of fifth bits before the codes: bit `part` of byte i. */
static void from_q5_k(const unsigned char *src, float *dst, size_t n_block)
{
    for (; n_block > 0; n_block--, src += 176) {
        const float d = half_at(src), m = half_at(src + 2);
        for (unsigned part = 0; part < 8; part++) {
            unsigned sc, mn;
            cv_k_scale_min(src + 4, part, &sc, &mn);
            const float scale = d * (float)sc, min = m * (float)mn;
            const unsigned char *q = src + 48 + part / 2 * 32, *h = src + 16;
            const unsigned shift = part % 2 * 4;
            for (int i = 0; i < 32; i++)
                *dst++ = scale * (float)((q[i] >> shift & 15) | (h[i] >> part & 1) << 4) - min;
        }
    }
}

/* 128 bytes of low halves, 64 bytes of high pairs of bits, 16 signed scales, f16 scale. */
static void from_q6_k(const unsigned char *src, float *dst, size_t n_block)
{
    for (; n_block > 0; n_block--, src += 210) {
        const float d = half_at(src + 208);
        for (int part = 0; part < 8; part++) { /* 32 values each, with two scales */
            const unsigned char *low = src + part / 4 * 64 + part % 2 * 32, *high = src + 128 + part / 4 * 32;
            const int low_shift = part % 4 / 2 * 4, high_shift = part % 4 * 2;
            for (int i = 0; i < 32; i++) {
                const int q = ((low[i] >> low_shift & 15) | (high[i] >> high_shift & 3) << 4) - 32;
                *dst++ = d * (float)(int8_t)src[192 + 2 * part + i / 16] * (float)q;
            }
        }
    }
}

/* f32 scale, 256 bytes, sums that only products need. */
static void from_q8_k(const unsigned char *src, float *dst, size_t n_block)
{
    for (; n_block > 0; n_block--, src += 292) {
        struct cv_reader r;
        float d = 0.0f;
        cv_reader_init(&r, src, 4);
        (void)cv_read_f32(&r, &d);
        for (int i = 0; i < 256; i++)
            *dst++ = d * (float)(int8_t)src[4 + i];
    }
}

/* f16 scale, eight six-bit scales (high pairs in a u16, low halves in 4 bytes), codes as in IQ4_NL. */
static void from_iq4_xs(const unsigned char *src, float *dst, size_t n_block)
{
    for (; n_block > 0; n_block--, src += 136, dst += 256) {
        const float d = half_at(src);
        const unsigned high = cv_load_u16(src + 2);
        for (int part = 0; part < 8; part++) {
            const unsigned low = (unsigned)src[4 + part / 2] >> part % 2 * 4 & 15u;
            const float scale = d * (float)((int)(low | (high >> 2 * part & 3u) << 4) - 32);
            const unsigned char *q = src + 8 + 16 * part;
            for (int i = 0; i < 16; i++) {
                dst[32 * part + i] = scale * (float)cv_iq4_levels[q[i] & 15];
                dst[32 * part + i + 16] = scale * (float)cv_iq4_levels[q[i] >> 4];
            }
        }
    }
}

cv_dequantize_fn *const cv_dequantize_super[CV_DTYPE_COUNT] = {
    [CV_DTYPE_Q2_K] = from_q2_k,     [CV_DTYPE_Q3_K] = from_q3_k, [CV_DTYPE_Q4_K] = from_q4_k,
    [CV_DTYPE_Q5_K] = from_q5_k,     [CV_DTYPE_Q6_K] = from_q6_k, [CV_DTYPE_Q8_K] = from_q8_k,
    [CV_DTYPE_IQ4_XS] = from_iq4_xs,
};
