/*
 * dtype.h - the tensor types of GGUF: number, name, block size, bytes; and their scalar values.
 *
 * Every published type is known by name and size, so that any file can be listed and its layers be sized. Which ones
 * can be computed with is the engine's matter; which can be turned into floats here says cv_dtype_can_dequantize.
 */
#ifndef CV_GGUF_DTYPE_H
#define CV_GGUF_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* The numbers are those of the file format. */
enum cv_dtype {
    CV_DTYPE_F32 = 0,
    CV_DTYPE_F16 = 1,
    CV_DTYPE_Q4_0 = 2,
    CV_DTYPE_Q4_1 = 3,
    CV_DTYPE_Q5_0 = 6,
    CV_DTYPE_Q5_1 = 7,
    CV_DTYPE_Q8_0 = 8,
    CV_DTYPE_Q8_1 = 9,
    CV_DTYPE_Q2_K = 10,
    CV_DTYPE_Q3_K = 11,
    CV_DTYPE_Q4_K = 12,
    CV_DTYPE_Q5_K = 13,
    CV_DTYPE_Q6_K = 14,
    CV_DTYPE_Q8_K = 15,
    CV_DTYPE_IQ2_XXS = 16,
    CV_DTYPE_IQ2_XS = 17,
    CV_DTYPE_IQ3_XXS = 18,
    CV_DTYPE_IQ1_S = 19,
    CV_DTYPE_IQ4_NL = 20,
    CV_DTYPE_IQ3_S = 21,
    CV_DTYPE_IQ2_S = 22,
    CV_DTYPE_IQ4_XS = 23,
    CV_DTYPE_I8 = 24,
    CV_DTYPE_I16 = 25,
    CV_DTYPE_I32 = 26,
    CV_DTYPE_I64 = 27,
    CV_DTYPE_F64 = 28,
    CV_DTYPE_IQ1_M = 29,
    CV_DTYPE_BF16 = 30,
    CV_DTYPE_TQ1_0 = 34,
    CV_DTYPE_TQ2_0 = 35,
    CV_DTYPE_MXFP4 = 39,
    CV_DTYPE_NVFP4 = 40,
    CV_DTYPE_Q1_0 = 41,
    CV_DTYPE_Q2_0 = 42,
    CV_DTYPE_COUNT = 43 /* one past the largest number; not every number below it is a type */
};

struct cv_dtype_info {
    const char *name;     /* "Q4_K" */
    uint32_t block_len;   /* values per block */
    uint32_t block_bytes; /* bytes per block */
};

/* NULL: no such type. id as it stands in a file. */
const struct cv_dtype_info *cv_dtype_get(uint32_t id);
/* By name, case ignored; false: no such type. */
bool cv_dtype_by_name(const char *name, enum cv_dtype *out);
/* Bytes of a row of n values. Fails when n is no multiple of the block or the size overflows. */
bool cv_dtype_row_bytes(enum cv_dtype type, size_t n, size_t *bytes, struct cv_error *err);

bool cv_dtype_can_dequantize(enum cv_dtype type);
/* dst[i] = value i of the packed row src, i < n. n is a multiple of the block; type can be dequantized. */
void cv_dequantize(enum cv_dtype type, const void *src, float *dst, size_t n);
bool cv_dtype_can_quantize(enum cv_dtype type);
/* The other way: packs src[0..n) (finite) into dst. importance[n] weighs the squared errors; NULL = all the same. */
void cv_quantize(enum cv_dtype type, const float *src, const float *importance, void *dst, size_t n);

/* IEEE half and bfloat16, in software: round to nearest, ties to even. */
float cv_f16_to_f32(uint16_t h);
uint16_t cv_f32_to_f16(float f);
float cv_bf16_to_f32(uint16_t h);
uint16_t cv_f32_to_bf16(float f);

#endif
