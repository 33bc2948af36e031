/* carry_neon.c - f16 rows with the conversions that every aarch64 processor has. */
#include <arm_neon.h>
#include <string.h>

#include "proto/carry.h"
#include "proto/carry_f16.h"

static uint32_t largest_finite(const float *row, uint32_t width)
{
    uint32_t largest = 0;
    for (uint32_t i = 0; i < width; i++) { /* compilers turn this into vector code by themselves */
        uint32_t x;
        memcpy(&x, row + i, 4);
        x &= 0x7fffffffu;
        x = x < 0x7f800000u ? x : 0;
        largest = x > largest ? x : largest;
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
    uint32_t i = 0;
    for (; i + 4 <= width; i += 4) {
        uint16x4_t h = vreinterpret_u16_f16(vcvt_f16_f32(vmulq_n_f32(vld1q_f32(row + i), inverse)));
        uint16_t lane[4];
        vst1_u16(lane, h);
        memcpy(at + 2 * (size_t)i, lane, 8);
    }
    for (; i < width; i++) {
        __fp16 f = (__fp16)(row[i] * inverse);
        memcpy(at + 2 * (size_t)i, &f, 2);
    }
}

void cv_carry_unpack_f16_fast(const void *src, uint32_t width, float *row)
{
    const unsigned char *at = src;
    float scale;
    memcpy(&scale, at, 4);
    at += 4;
    uint32_t i = 0;
    for (; i + 4 <= width; i += 4) {
        uint16_t lane[4];
        memcpy(lane, at + 2 * (size_t)i, 8);
        vst1q_f32(row + i, vmulq_n_f32(vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(lane))), scale));
    }
    for (; i < width; i++) {
        __fp16 f;
        memcpy(&f, at + 2 * (size_t)i, 2);
        row[i] = (float)f * scale;
    }
}
