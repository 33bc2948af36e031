/*
 * carry.h - what flows between stages, packed: a row of n_embd floats as f32 or as scaled f16.
 *
 * An f16 row is one f32 scale and then width halves: value = half * scale. The scale is the power of two that brings the
 * row's largest finite magnitude into [16384, 32768), so neither a large residual stream overflows nor a small one
 * loses bits. Error: one rounding to 11 bits, NMSE about 4e-8. Rows are padded to 4 bytes. The same bytes come out on
 * every processor.
 */
#ifndef CV_PROTO_CARRY_H
#define CV_PROTO_CARRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum cv_carry {
    CV_CARRY_NONE = 0, /* rows come as tokens */
    CV_CARRY_F32 = 1,
    CV_CARRY_F16 = 2,
    CV_CARRY_Q8 = 3 /* reserved: understood by name, refused */
};

const char *cv_carry_name(enum cv_carry type); /* "none" "f32" "f16" "q8"; "?" for others */
/* From "f32" or "f16"; CV_ERR_UNSUPPORTED for "q8", CV_ERR_ARG for anything else. */
bool cv_carry_parse(const char *name, enum cv_carry *out, struct cv_error *err);

/* Bytes of one packed row; 0 for NONE and for what cannot be packed. */
size_t cv_carry_row_bytes(enum cv_carry type, uint32_t width);

/* n_row rows of width floats, F32 or F16. Infinities stay infinite, NaN stays NaN, zeros keep their sign.
 * dst has n_row * cv_carry_row_bytes bytes, aligned to 4. */
void cv_carry_encode(enum cv_carry type, const float *rows, uint32_t n_row, uint32_t width, void *dst);
void cv_carry_decode(enum cv_carry type, const void *src, uint32_t n_row, uint32_t width, float *rows);

/* F16 without special instructions: what the fast ones are compared with. width floats to 4 + 2 * width bytes. */
void cv_carry_pack_f16_ref(const float *row, uint32_t width, void *dst);
void cv_carry_unpack_f16_ref(const void *src, uint32_t width, float *row);

#endif
