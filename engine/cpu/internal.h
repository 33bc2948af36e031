/*
 * internal.h - what the kernels of weight matrices share: the packed layout, the layout of activations, the table.
 *
 * Packed layout. A matrix is a row of 16-row groups, `group_bytes` apart. Float types: values [k][16]. Quantized types:
 * first the heads of all blocks (scales, one lane per output row), then the codes, `code_bytes` for each 32 values:
 *
 *   Q4_0 Q4_K Q5_K Q6_K   4 vectors of 64 bytes; in vector v byte 4 * lane + b holds the low four bits of
 *                         value 4v + b (low nibble) and of value 16 + 4v + b (high nibble)
 *   Q5_K                  and 64 bytes: bit j of byte 4 * lane + b is bit 4 of value 4j + b, j < 8
 *   Q6_K                  and 2 x 64 bytes: bits 2j, 2j + 1 of byte 4 * lane + b in the first are bits 4, 5 of value
 *                         4j + b, j < 4; in the second those of value 16 + 4j + b
 *   Q8_0                  8 vectors of 64 bytes: byte 4 * lane + b of vector j is value 4j + b
 *
 * So 64 bytes are four values of each of 16 rows, which is what a dot-product instruction eats.
 *
 *   head of Q4_0, Q8_0    d[16] (f16)
 *   head of Q4_K, Q5_K    d[16], dmin[16] (f16), then byte i of the file's 12 scale bytes as [12][16]
 *   head of Q6_K          d[16] (f16), then the 16 scales (int8) as [16][16]
 *
 * The formulas, for one output row and one activation row; i = sum of code * q over a group of 32, exact:
 *
 *   Q4_0, Q8_0   t = d * (i - offset * sum)                    offset 8, 0
 *   Q4_K, Q5_K   t = fma(d * scale, i, -(dmin * min * sum))
 *   Q6_K         t = fma(d * scale0, i0 - 32 * sum0, d * scale1 * (i1 - 32 * sum1))    0, 1: halves of 16 values
 *   all          acc = fma(t, x_scale, acc)
 *
 * with the products d * scale, dmin * min exact in f32, every integer converted to f32 exactly, every other product
 * rounded once.
 */
#ifndef CV_ENGINE_CPU_INTERNAL_H
#define CV_ENGINE_CPU_INTERNAL_H

#include "base/compiler.h"
#include "engine/cpu/matrix.h"

enum {
    CV_ACT_GROUP = 32,     /* values under one activation scale */
    CV_ACT_PANEL = 16,     /* activation rows interleaved */
    CV_ROW_BLOCK_MAX = 128 /* rows one call of a kernel gets at most */
};

enum cv_mm_type {
    CV_MM_Q4_0,
    CV_MM_Q8_0,
    CV_MM_Q4_K,
    CV_MM_Q5_K,
    CV_MM_Q6_K,
    CV_MM_F32,
    CV_MM_F16,
    CV_MM_BF16,
    CV_MM_N
};

struct cv_packing {
    uint32_t block_len;  /* values per block of the file */
    uint32_t head_bytes; /* of 16 rows, per block */
    uint32_t code_bytes; /* of 16 rows, per 32 values; float types: per value */
};

static const struct cv_packing cv_packing[CV_MM_N] = {
    [CV_MM_Q4_0] = {32, 32, 256},   [CV_MM_Q8_0] = {32, 32, 512},   [CV_MM_Q4_K] = {256, 256, 256},
    [CV_MM_Q5_K] = {256, 256, 320}, [CV_MM_Q6_K] = {256, 288, 384}, [CV_MM_F32] = {1, 0, 64},
    [CV_MM_F16] = {1, 0, 32},       [CV_MM_BF16] = {1, 0, 32},
};

/* CV_MM_N: not supported. */
enum cv_mm_type cv_mm_type_of(enum cv_dtype dtype);
size_t cv_group_bytes(enum cv_mm_type type, size_t k);

/*
 * Activations: rows in panels of CV_ACT_PANEL, the last one lower. In a panel of height h that begins at row p, value i
 * of group g of row p + r is q[p * k + (g * h + r) * 32 + i]; its scale is scale[p * k / 32 + g * h + r], and so for
 * the sums.
 */
struct cv_panel {
    const int8_t *q;
    const float *scale;
    const float *sum;    /* of q over the group */
    const int32_t *nsum; /* [3]: minus the sums over the group, its first half, its second half */
    size_t height;
};

CV_INLINE struct cv_panel cv_panel_at(const struct cv_acts *x, size_t row)
{
    size_t first = row / CV_ACT_PANEL * CV_ACT_PANEL, at = first * (x->k / CV_ACT_GROUP);
    size_t left = x->n_row - first;
    return (struct cv_panel){.q = x->q + first * x->k,
                             .scale = x->scale + at,
                             .sum = x->sum + at,
                             .nsum = x->nsum + at * 3,
                             .height = left < CV_ACT_PANEL ? left : CV_ACT_PANEL};
}

/* One call of a kernel: y[r][o] for rows [row_first, row_last) and the outputs of n_group groups. */
struct cv_mm {
    const uint8_t *w; /* first group */
    size_t group_bytes;
    size_t n_group;
    size_t n_out; /* outputs that exist, counted from the first group: the last group may be partly filled */
    size_t k;
    const struct cv_acts *x;
    size_t row_first, row_last; /* row_first is a multiple of CV_ACT_PANEL; at most CV_ROW_BLOCK_MAX rows */
    float *y;                   /* row 0, first output of the first group */
    size_t ldy;
};

typedef void cv_mm_fn(const struct cv_mm *m);

struct cv_kernels {
    cv_mm_fn *matmul[CV_MM_N];
    /* n groups of 32 values of one row; q and the others advance by h groups from one to the next */
    void (*quantize)(const float *x, size_t n, size_t h, int8_t *q, float *scale, float *sum, int32_t *nsum);
};

/* The kernels in use. */
const struct cv_kernels *cv_kernels_now(void);

/* Each overwrites the entries it has and keeps the rest. */
void cv_kernels_init_ref(struct cv_kernels *k);
void cv_kernels_init_avx2(struct cv_kernels *k);
void cv_kernels_init_avxvnni(struct cv_kernels *k);
void cv_kernels_init_avx512(struct cv_kernels *k);
void cv_kernels_init_float_avx512(struct cv_kernels *k);

/* The packed codes and scales of 32 values (group g) of a 16-row group, one lane. */
struct cv_codes {
    int16_t code[CV_ACT_GROUP]; /* 0..15, 0..31, 0..63; Q8_0 signed */
    float d[2];                 /* d * scale of the group (of its halves) */
    float m;                    /* dmin * min */
};
void cv_packed_codes(struct cv_codes *out, enum cv_mm_type type, const uint8_t *group, size_t k, size_t g, size_t lane);

#endif
