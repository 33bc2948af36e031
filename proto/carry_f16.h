/*
 * carry_f16.h - packing one f16 row with the processor's own conversions: carry_f16c.c on x86-64, carry_neon.c on
 * aarch64. Private to proto/.
 */
#ifndef CV_PROTO_CARRY_F16_H
#define CV_PROTO_CARRY_F16_H

#include <stdbool.h>
#include <stdint.h>

/* May the fast ones be called on this processor? */
bool cv_carry_has_fast(void);
void cv_carry_pack_f16_fast(const float *row, uint32_t width, void *dst);
void cv_carry_unpack_f16_fast(const void *src, uint32_t width, float *row);

/* From the bits of the row's largest finite magnitude: the scale, and what to multiply with. */
float cv_carry_scale(uint32_t largest_bits);
float cv_carry_inverse_scale(uint32_t largest_bits);

#endif
