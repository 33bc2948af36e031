/* kernel_problem.h - random matrix products for check_kernels: weights as a file holds them, packed, and activations. */
#ifndef CV_TESTS_ENGINE_KERNEL_PROBLEM_H
#define CV_TESTS_ENGINE_KERNEL_PROBLEM_H

#include "engine/cpu/matrix.h"

/* Every weight type that there are kernels for. */
extern const enum cv_dtype problem_types[8];

struct problem {
    enum cv_dtype dtype;
    size_t n_out, k, n_row;
    const uint8_t *src; /* the file's layout */
    size_t row_bytes;
    struct cv_matrix m; /* packed */
    const float *x;     /* [n_row][k] */
};

/* The largest |d| and |dmin| of the blocks. */
#define PROBLEM_SCALE_MAX 0.25f

/* Fills rows of the file's layout: random bits, scales that stay small. */
void problem_fill(uint8_t *src, enum cv_dtype dtype, size_t n_bytes);
/* Guarded buffers, all exactly as long as they must be. */
void problem_make(struct problem *p, enum cv_dtype dtype, size_t n_out, size_t k, size_t n_row);
/* y[n_row][n_out] in a guarded buffer. */
float *problem_run(const struct problem *p, struct cv_pool *pool);

/* --bench: times every kernel of every set of instructions that this machine has. only: a type's name, or NULL. */
int bench_kernels(unsigned n_threads, const char *only);

#endif
