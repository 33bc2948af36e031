/* quantize.c - from floats to packed blocks: the float types and the block types with one scale. */
#include <math.h>
#include <string.h>

#include "base/reader.h"
#include "gguf/internal.h"
#include "gguf/quantize_fit.h"

const float cv_quantize_ones[32] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

static void to_f32(const float *src, const float *importance, unsigned char *dst, size_t n_block)
{
    (void)importance;
    memcpy(dst, src, n_block * sizeof(*src));
}

static void to_f16(const float *src, const float *importance, unsigned char *dst, size_t n_block)
{
    (void)importance;
    for (size_t i = 0; i < n_block; i++)
        cv_store_u16(dst + 2 * i, cv_fit_half(src[i])); /* never infinite */
}

static void to_bf16(const float *src, const float *importance, unsigned char *dst, size_t n_block)
{
    (void)importance;
    for (size_t i = 0; i < n_block; i++)
        cv_store_u16(dst + 2 * i, cv_f32_to_bf16(src[i]));
}

/* 8 bits are so fine that the plain range is as good as any search. */
static void to_q8_0(const float *src, const float *importance, unsigned char *dst, size_t n_block)
{
    (void)importance;
    for (; n_block > 0; n_block--, src += 32, dst += 34) {
        float largest = 0.0f;
        for (int i = 0; i < 32; i++)
            largest = fmaxf(largest, fabsf(src[i]));
        const uint16_t half = cv_fit_half(largest / 127.0f);
        cv_store_u16(dst, half);
        (void)cv_fit_codes(src, cv_quantize_ones, 32, cv_f16_to_f32(half), 0.0f, -127.0f, 127.0f, (int8_t *)dst + 2);
    }
}

/* 32 codes of five bits (four, when the fifth are all zero) into 16 bytes of low halves; returns the fifth bits. */
static uint32_t pack_32(const int8_t *q, int offset, unsigned char *dst)
{
    uint32_t high = 0;
    for (int i = 0; i < 16; i++) {
        const unsigned a = (unsigned)(q[i] + offset), b = (unsigned)(q[i + 16] + offset);
        dst[i] = (unsigned char)((a & 15u) | (b & 15u) << 4);
        high |= (a >> 4) << i | (b >> 4) << (i + 16);
    }
    return high;
}

static void codes_of_scale(const float *x, const float *w, float low, float high, uint16_t *half, int8_t *q)
{
    *half = cv_fit_half(cv_fit_scale(x, w, 32, low, high));
    (void)cv_fit_codes(x, w, 32, cv_f16_to_f32(*half), 0.0f, low, high, q);
}

static void to_q4_0(const float *src, const float *importance, unsigned char *dst, size_t n_block)
{
    for (size_t b = 0; b < n_block; b++, dst += 18) {
        int8_t q[32];
        uint16_t half;
        codes_of_scale(src + 32 * b, importance != NULL ? importance + 32 * b : cv_quantize_ones, -8.0f, 7.0f, &half,
                       q);
        cv_store_u16(dst, half);
        (void)pack_32(q, 8, dst + 2);
    }
}

static void to_q5_0(const float *src, const float *importance, unsigned char *dst, size_t n_block)
{
    for (size_t b = 0; b < n_block; b++, dst += 22) {
        int8_t q[32];
        uint16_t half;
        codes_of_scale(src + 32 * b, importance != NULL ? importance + 32 * b : cv_quantize_ones, -16.0f, 15.0f, &half,
                       q);
        cv_store_u16(dst, half);
        cv_store_u32(dst + 2, pack_32(q, 16, dst + 6));
    }
}

/* f16 scale and f16 minimum; the minimum is rounded first, so that the codes make up for it. */
static void codes_of_affine(const float *x, const float *w, float high, unsigned char *dst, int8_t *q)
{
    float scale, min;
    cv_fit_affine(x, w, 32, high, false, &scale, &min);
    const uint16_t half = cv_fit_half(scale), half_min = cv_fit_half(-min);
    (void)cv_fit_codes(x, w, 32, cv_f16_to_f32(half), -cv_f16_to_f32(half_min), 0.0f, high, q);
    cv_store_u16(dst, half);
    cv_store_u16(dst + 2, half_min);
}

static void to_q4_1(const float *src, const float *importance, unsigned char *dst, size_t n_block)
{
    for (size_t b = 0; b < n_block; b++, dst += 20) {
        int8_t q[32];
        codes_of_affine(src + 32 * b, importance != NULL ? importance + 32 * b : cv_quantize_ones, 15.0f, dst, q);
        (void)pack_32(q, 0, dst + 4);
    }
}

static void to_q5_1(const float *src, const float *importance, unsigned char *dst, size_t n_block)
{
    for (size_t b = 0; b < n_block; b++, dst += 24) {
        int8_t q[32];
        codes_of_affine(src + 32 * b, importance != NULL ? importance + 32 * b : cv_quantize_ones, 31.0f, dst, q);
        cv_store_u32(dst + 4, pack_32(q, 0, dst + 8));
    }
}

static cv_quantize_fn *const quantizers[CV_DTYPE_COUNT] = {
    [CV_DTYPE_F32] = to_f32,      [CV_DTYPE_F16] = to_f16,      [CV_DTYPE_BF16] = to_bf16,    [CV_DTYPE_Q8_0] = to_q8_0,
    [CV_DTYPE_Q4_0] = to_q4_0,    [CV_DTYPE_Q5_0] = to_q5_0,    [CV_DTYPE_Q4_1] = to_q4_1,    [CV_DTYPE_Q5_1] = to_q5_1,
    [CV_DTYPE_Q4_K] = cv_to_q4_k, [CV_DTYPE_Q5_K] = cv_to_q5_k, [CV_DTYPE_Q6_K] = cv_to_q6_k,
};

bool cv_dtype_can_quantize(enum cv_dtype type)
{
    return (unsigned)type < CV_DTYPE_COUNT && quantizers[type] != NULL;
}

void cv_quantize(enum cv_dtype type, const float *src, const float *importance, void *dst, size_t n)
{
    quantizers[type](src, importance, dst, n / cv_dtype_get(type)->block_len);
}
