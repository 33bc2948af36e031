/*
 * matrix.h - weight matrices on the processor: packing, and y = W x for one row or many.
 *
 * The arithmetic is fixed, so that the same numbers come out for one row and for many, for any thread count, and for
 * every instruction set: the scalar reference and each fast kernel agree bit for bit.
 *
 *   - Output rows are interleaved in groups of CV_MATRIX_GROUP (16): one vector lane is one output row, and each lane
 *     adds along k in rising order into one accumulator. No horizontal sums.
 *   - Quantized weights: the activation row is quantized once in groups of 32 values (int8, f32 scale); products within
 *     a group are exact integers; each group adds its float contribution by fma in rising order (matmul_*.c has the
 *     formula of its type).
 *   - F32, F16, BF16 weights: acc = fma(w[k], x[k], acc), k rising, activations in f32.
 */
#ifndef CV_ENGINE_CPU_MATRIX_H
#define CV_ENGINE_CPU_MATRIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/pool.h"
#include "gguf/dtype.h"

enum { CV_MATRIX_GROUP = 16 };

/* Instruction sets that a kernel may use (bits). The reference needs none. */
enum {
    CV_ISA_AVX2 = 1 << 0,     /* AVX2, FMA, F16C */
    CV_ISA_AVX_VNNI = 1 << 1, /* and VEX-encoded vpdpbusd */
    CV_ISA_AVX512 = 1 << 2,   /* F, BW, VL, DQ */
    CV_ISA_AVX512_VNNI = 1 << 3
};

/* What this processor (and system) can do. CARAVAN_ISA=ref|avx2|avxvnni|avx512 in the environment narrows it. */
unsigned cv_isa_detect(void);
/* Of the kernels these bits lead to: "avx512", "avxvnni", "avx2", "ref". */
const char *cv_isa_name(unsigned isa);

struct cv_matrix {
    enum cv_dtype dtype;
    size_t n_out; /* output rows, as in the model */
    size_t k;     /* values per row */
    void *data;   /* packed; 64-byte aligned; owned by whoever allocated it */
    size_t size_bytes;
};

bool cv_matrix_supported(enum cv_dtype dtype);
/* Bytes of the packed form: those of the file with n_out rounded up to a group. false on overflow or a bad k. */
bool cv_matrix_bytes(enum cv_dtype dtype, size_t n_out, size_t k, size_t *bytes, struct cv_error *err);
/* Pack output rows [first, first + n) from src, which begins at row `first` of the file's layout. first is a multiple
 * of the group; n too, except at the end. Different ranges may be packed by different threads. */
void cv_matrix_pack(struct cv_matrix *m, const void *src, size_t first, size_t n);
/* out[k] = row of the matrix as f32 (what the embedding needs). */
void cv_matrix_get_row(const struct cv_matrix *m, size_t row, float *out);

/*
 * Activation rows, prepared. The memory is the caller's. What was prepared for one quantized type serves all of them,
 * and so for the float types: cv_dtype_wants_quantized_acts is all that counts. The quantized layout is the kernels'
 * own (internal.h).
 */
struct cv_acts {
    size_t n_row, k;
    bool quantized;   /* which form: follows from the weights' dtype */
    const float *f32; /* [n_row][k], borrowed; quantized == false */
    int8_t *q;        /* quantized: n_row * k values, in groups of 32 */
    float *scale;     /* quantized: one per group */
    float *sum;       /* quantized: sum of q, one per group */
    int32_t *nsum;    /* quantized: minus the sum of q over a group and over its halves, three per group */
};

bool cv_dtype_wants_quantized_acts(enum cv_dtype weights);
/* Bytes of memory cv_acts_prepare needs for up to n_row rows of k (0 when not quantized). */
size_t cv_acts_bytes(enum cv_dtype weights, size_t n_row, size_t k);
/* x: [n_row] rows, ldx floats apart. For unquantized acts x is borrowed and ldx must be k. mem: 64-byte aligned. Uses
 * the pool (may be NULL). */
void cv_acts_prepare(struct cv_acts *a, enum cv_dtype weights, const float *x, size_t ldx, size_t n_row, size_t k,
                     void *mem, struct cv_pool *pool);

/* y[r * ldy + o] = sum over k of W[o][k] * x[r][k] for all rows of x and all outputs. Uses the pool (may be NULL). */
void cv_matmul(float *y, size_t ldy, const struct cv_matrix *w, const struct cv_acts *x, struct cv_pool *pool);
/* Several matrices over the same activations in one fork (q, k, v; gate, up). Same numbers as one by one. */
void cv_matmul_many(float *const *y, const size_t *ldy, const struct cv_matrix *const *w, size_t n_w,
                    const struct cv_acts *x, struct cv_pool *pool);

/* Chooses the kernels; call once before the first product, from main or a test (which may call it again while nothing
 * runs). isa: bits that may be used, of those that cv_isa_detect found. Without it the reference kernels run. */
void cv_matrix_init(unsigned isa);

#endif
