/* carry_f16c.c - f16 rows with AVX2 and F16C; compiled with those flags, called only where the processor has both. */
#include <immintrin.h>
#include <string.h>

#include "proto/carry.h"
#include "proto/carry_f16.h"

static uint32_t largest_finite(const float *row, uint32_t width)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff), inf = _mm256_set1_epi32(0x7f800000);
    __m256i m = _mm256_setzero_si256();
    uint32_t i = 0;
    for (; i + 8 <= width; i += 8) {
        __m256i x = _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(const void *)(row + i)), magnitude);
        m = _mm256_max_epi32(m, _mm256_and_si256(x, _mm256_cmpgt_epi32(inf, x)));
    }
    uint32_t lane[8], largest = 0;
    _mm256_storeu_si256((__m256i *)(void *)lane, m);
    for (int l = 0; l < 8; l++)
        largest = lane[l] > largest ? lane[l] : largest;
    for (; i < width; i++) {
        uint32_t x;
        memcpy(&x, row + i, 4);
        x &= 0x7fffffffu;
        if (x < 0x7f800000u && x > largest)
            largest = x;
    }
    return largest;
}

void cv_carry_pack_f16_fast(const float *row, uint32_t width, void *dst)
{
    const uint32_t largest = largest_finite(row, width);
    const float scale = cv_carry_scale(largest), inverse = cv_carry_inverse_scale(largest);
    unsigned char *at = dst;
    memcpy(at, &scale, 4);
    at += 4;
    const __m256 by = _mm256_set1_ps(inverse);
    uint32_t i = 0;
    for (; i + 8 <= width; i += 8) {
        __m256 x = _mm256_mul_ps(_mm256_loadu_ps(row + i), by);
        _mm_storeu_si128((__m128i *)(void *)(at + 2 * (size_t)i),
                         _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
    for (; i < width; i++) {
        uint16_t h = _cvtss_sh(row[i] * inverse, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        memcpy(at + 2 * (size_t)i, &h, 2);
    }
}

void cv_carry_unpack_f16_fast(const void *src, uint32_t width, float *row)
{
    const unsigned char *at = src;
    float scale;
    memcpy(&scale, at, 4);
    at += 4;
    const __m256 by = _mm256_set1_ps(scale);
    uint32_t i = 0;
    for (; i + 8 <= width; i += 8) {
        __m128i h = _mm_loadu_si128((const __m128i *)(const void *)(at + 2 * (size_t)i));
        _mm256_storeu_ps(row + i, _mm256_mul_ps(_mm256_cvtph_ps(h), by));
    }
    for (; i < width; i++) {
        uint16_t h;
        memcpy(&h, at + 2 * (size_t)i, 2);
        row[i] = _cvtsh_ss(h) * scale;
    }
}
