/* matmul_avxvnni.c - the products of quantized weights with AVX-VNNI: matmul_256.h with a dot product of bytes. */
#include "engine/cpu/matmul_256.h"

static void matmul_q4_0(const struct cv_mm *m)
{
    quantized(m, CV_MM_Q4_0);
}

static void matmul_q8_0(const struct cv_mm *m)
{
    quantized(m, CV_MM_Q8_0);
}

static void matmul_q4_k(const struct cv_mm *m)
{
    quantized(m, CV_MM_Q4_K);
}

static void matmul_q5_k(const struct cv_mm *m)
{
    quantized(m, CV_MM_Q5_K);
}

static void matmul_q6_k(const struct cv_mm *m)
{
    quantized(m, CV_MM_Q6_K);
}

void cv_kernels_init_avxvnni(struct cv_kernels *k)
{
    k->matmul[CV_MM_Q4_0] = matmul_q4_0;
    k->matmul[CV_MM_Q8_0] = matmul_q8_0;
    k->matmul[CV_MM_Q4_K] = matmul_q4_k;
    k->matmul[CV_MM_Q5_K] = matmul_q5_k;
    k->matmul[CV_MM_Q6_K] = matmul_q6_k;
}
