/*
 * dequantize.c - floats, and the block types with one scale (and perhaps one minimum) per block.
 *
 * Blocks stand unaligned in the file; every field is read through base/reader.h. Formats: the GGUF type descriptions;
 * MXFP4: OCP Microscaling Formats 1.0; NVFP4: four blocks of 16 with FP8 E4M3 scales.
 */
#include <math.h>
#include <string.h>

#include "base/reader.h"
#include "gguf/internal.h"

static float half_at(const unsigned char *p)
{
    return cv_f16_to_f32(cv_load_u16(p));
}

static void from_f32(const unsigned char *src, float *dst, size_t n_block)
{
    memcpy(dst, src, n_block * sizeof(*dst));
}

static void from_f16(const unsigned char *src, float *dst, size_t n_block)
{
    for (size_t i = 0; i < n_block; i++)
        dst[i] = half_at(src + 2 * i);
}

static void from_bf16(const unsigned char *src, float *dst, size_t n_block)
{
    for (size_t i = 0; i < n_block; i++)
        dst[i] = cv_bf16_to_f32(cv_load_u16(src + 2 * i));
}

static void from_f64(const unsigned char *src, float *dst, size_t n_block)
{
    for (size_t i = 0; i < n_block; i++) {
        double v;
        memcpy(&v, src + 8 * i, sizeof(v));
        dst[i] = (float)v;
    }
}

/* f16 scale, 16 bytes: value i in the low half of byte i, value i + 16 in the high half. */
static void from_q4_0(const unsigned char *src, float *dst, size_t n_block)
{
    for (; n_block > 0; n_block--, src += 18, dst += 32) {
        const float d = half_at(src);
        for (int i = 0; i < 16; i++) {
            dst[i] = (float)((src[2 + i] & 15) - 8) * d;
            dst[i + 16] = (float)((src[2 + i] >> 4) - 8) * d;
        }
    }
}

/* f16 scale, f16 minimum, 16 bytes. */
static void from_q4_1(const unsigned char *src, float *dst, size_t n_block)
{
    for (; n_block > 0; n_block--, src += 20, dst += 32) {
        const float d = half_at(src), m = half_at(src + 2);
        for (int i = 0; i < 16; i++) {
            dst[i] = (float)(src[4 + i] & 15) * d + m;
            dst[i + 16] = (float)(src[4 + i] >> 4) * d + m;
        }
    }
}

/* The fifth bits of 32 values stand in one u32, bit i for value i. */
static int five_bits(uint32_t high, unsigned low, int i)
{
    return (int)(low | (high >> i & 1u) << 4);
}

static void from_q5_0(const unsigned char *src, float *dst, size_t n_block)
{
    for (; n_block > 0; n_block--, src += 22, dst += 32) {
        const float d = half_at(src);
        const uint32_t high = cv_load_u32(src + 2);
        for (int i = 0; i < 16; i++) {
            dst[i] = (float)(five_bits(high, src[6 + i] & 15u, i) - 16) * d;
            dst[i + 16] = (float)(five_bits(high, src[6 + i] >> 4, i + 16) - 16) * d;
        }
    }
}

static void from_q5_1(const unsigned char *src, float *dst, size_t n_block)
{
    for (; n_block > 0; n_block--, src += 24, dst += 32) {
        const float d = half_at(src), m = half_at(src + 2);
        const uint32_t high = cv_load_u32(src + 4);
        for (int i = 0; i < 16; i++) {
            dst[i] = (float)five_bits(high, src[8 + i] & 15u, i) * d + m;
            dst[i + 16] = (float)five_bits(high, src[8 + i] >> 4, i + 16) * d + m;
        }
    }
}

static void from_q8_0(const unsigned char *src, float *dst, size_t n_block)
{
    for (; n_block > 0; n_block--, src += 34, dst += 32) {
        const float d = half_at(src);
        for (int i = 0; i < 32; i++)
            dst[i] = (float)(int8_t)src[2 + i] * d;
    }
}

/* f16 scale, 128 signs: a set bit is plus. */
static void from_q1_0(const unsigned char *src, float *dst, size_t n_block)
{
    for (; n_block > 0; n_block--, src += 18, dst += 128) {
        const float d = half_at(src);
        for (int i = 0; i < 128; i++)
            dst[i] = src[2 + i / 8] >> i % 8 & 1 ? d : -d;
    }
}

/* f16 scale, 64 codes of two bits, -1..2. */
static void from_q2_0(const unsigned char *src, float *dst, size_t n_block)
{
    for (; n_block > 0; n_block--, src += 18, dst += 64) {
        const float d = half_at(src);
        for (int i = 0; i < 64; i++)
            dst[i] = (float)((src[2 + i / 4] >> 2 * (i % 4) & 3) - 1) * d;
    }
}

/* The 16 levels of the non-linear four-bit types, part of the format. */
const int8_t cv_iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

static void from_iq4_nl(const unsigned char *src, float *dst, size_t n_block)
{
    for (; n_block > 0; n_block--, src += 18, dst += 32) {
        const float d = half_at(src);
        for (int i = 0; i < 16; i++) {
            dst[i] = (float)cv_iq4_levels[src[2 + i] & 15] * d;
            dst[i + 16] = (float)cv_iq4_levels[src[2 + i] >> 4] * d;
        }
    }
}

/* FP4 E2M1: sign, two bits of exponent with bias 1, one of fraction. */
static float fp4(unsigned code)
{
    static const float magnitude[8] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
    return code & 8u ? -magnitude[code & 7u] : magnitude[code & 7u];
}

/* E8M0 exponent (bias 127), 32 FP4 codes laid out as in Q4_0. */
static void from_mxfp4(const unsigned char *src, float *dst, size_t n_block)
{
    for (; n_block > 0; n_block--, src += 17, dst += 32) {
        const float d = ldexpf(1.0f, (int)src[0] - 127);
        for (int i = 0; i < 16; i++) {
            dst[i] = fp4(src[1 + i] & 15u) * d;
            dst[i + 16] = fp4(src[1 + i] >> 4) * d;
        }
    }
}

/* FP8 E4M3 without sign; the code of not-a-number counts as zero. */
static float ue4m3(unsigned code)
{
    const int exponent = (int)(code >> 3 & 15u), fraction = (int)(code & 7u);
    if ((code & 0x7fu) == 0x7fu)
        return 0.0f;
    return exponent == 0 ? (float)fraction * 0x1p-9f : ldexpf((float)(8 + fraction), exponent - 10);
}

/* Four E4M3 scales, then per 16 values 8 bytes laid out as in Q4_0. */
static void from_nvfp4(const unsigned char *src, float *dst, size_t n_block)
{
    for (; n_block > 0; n_block--, src += 36, dst += 64) {
        for (int s = 0; s < 4; s++) {
            const float d = ue4m3(src[s]);
            const unsigned char *q = src + 4 + 8 * s;
            for (int i = 0; i < 8; i++) {
                dst[16 * s + i] = fp4(q[i] & 15u) * d;
                dst[16 * s + i + 8] = fp4(q[i] >> 4) * d;
            }
        }
    }
}

/* Digit n (0 the most significant) of a byte that holds base-3 digits as the fraction byte / 256. */
static int trit(unsigned byte, unsigned n)
{
    static const unsigned power[5] = {1, 3, 9, 27, 81};
    return (int)((byte * power[n] & 0xffu) * 3 >> 8) - 1;
}

/* 32 bytes of five digits, 16 bytes of five, 4 bytes of four, f16 scale. */
static void from_tq1_0(const unsigned char *src, float *dst, size_t n_block)
{
    static const struct {
        unsigned first, n, digits;
    } run[3] = {{0, 32, 5}, {32, 16, 5}, {48, 4, 4}};
    for (; n_block > 0; n_block--, src += 54) {
        const float d = half_at(src + 52);
        for (int r = 0; r < 3; r++)
            for (unsigned digit = 0; digit < run[r].digits; digit++)
                for (unsigned i = 0; i < run[r].n; i++)
                    *dst++ = (float)trit(src[run[r].first + i], digit) * d;
    }
}

/* Two runs of 32 bytes, four codes of two bits in each byte, f16 scale. */
static void from_tq2_0(const unsigned char *src, float *dst, size_t n_block)
{
    for (; n_block > 0; n_block--, src += 66) {
        const float d = half_at(src + 64);
        for (int first = 0; first < 64; first += 32)
            for (int shift = 0; shift < 8; shift += 2)
                for (int i = 0; i < 32; i++)
                    *dst++ = (float)((src[first + i] >> shift & 3) - 1) * d;
    }
}

cv_dequantize_fn *const cv_dequantize_simple[CV_DTYPE_COUNT] = {
    [CV_DTYPE_F32] = from_f32,     [CV_DTYPE_F16] = from_f16,     [CV_DTYPE_BF16] = from_bf16,
    [CV_DTYPE_F64] = from_f64,     [CV_DTYPE_Q4_0] = from_q4_0,   [CV_DTYPE_Q4_1] = from_q4_1,
    [CV_DTYPE_Q5_0] = from_q5_0,   [CV_DTYPE_Q5_1] = from_q5_1,   [CV_DTYPE_Q8_0] = from_q8_0,
    [CV_DTYPE_Q1_0] = from_q1_0,   [CV_DTYPE_Q2_0] = from_q2_0,   [CV_DTYPE_IQ4_NL] = from_iq4_nl,
    [CV_DTYPE_MXFP4] = from_mxfp4, [CV_DTYPE_NVFP4] = from_nvfp4, [CV_DTYPE_TQ1_0] = from_tq1_0,
    [CV_DTYPE_TQ2_0] = from_tq2_0,
};
