/*
 * matmul_ref.c - the products in plain C: what every faster set of kernels must equal bit for bit.
 *
 * The formulas are in internal.h. Works for each group of 16 outputs on 32 values of k at a time, decoded once for all
 * rows; the sums wait in y meanwhile, so the order along k is the same for every row.
 */
#include <math.h>
#include <string.h>

#include "engine/cpu/internal.h"

enum { G = CV_MATRIX_GROUP, MAGIC_NAN = 0x7fc00000 };

static float float_of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof(f));
    return f;
}

static int dot16(const int16_t *code, const int8_t *q)
{
    int sum = 0;
    for (size_t i = 0; i < 16; i++)
        sum += code[i] * q[i];
    return sum;
}

/* What one group of 32 values adds to an output, before the activation's scale. */
static float group_term(enum cv_mm_type type, const struct cv_codes *c, const int8_t *q, float sum, const int32_t *nsum)
{
    int low = dot16(c->code, q), high = dot16(c->code + 16, q + 16);
    switch (type) {
    case CV_MM_Q4_0:
        return c->d[0] * (float)(low + high + 8 * nsum[0]);
    case CV_MM_Q4_K:
    case CV_MM_Q5_K:
        return fmaf(c->d[0], (float)(low + high), -(c->m * sum));
    case CV_MM_Q6_K:
        return fmaf(c->d[0], (float)(low + 32 * nsum[1]), c->d[1] * (float)(high + 32 * nsum[2]));
    default:
        return c->d[0] * (float)(low + high);
    }
}

static void quantized_group(float *y, const struct cv_mm *m, const uint8_t *group, enum cv_mm_type type, size_t lanes)
{
    for (size_t r = m->row_first; r < m->row_last; r++)
        memset(y + r * m->ldy, 0, lanes * sizeof(*y));
    for (size_t g = 0; g < m->k / CV_ACT_GROUP; g++) {
        struct cv_codes codes[G];
        for (size_t lane = 0; lane < lanes; lane++)
            cv_packed_codes(&codes[lane], type, group, m->k, g, lane);
        for (size_t r = m->row_first; r < m->row_last; r++) {
            struct cv_panel p = cv_panel_at(m->x, r);
            size_t at = g * p.height + r % CV_ACT_PANEL;
            const int8_t *q = p.q + at * CV_ACT_GROUP;
            float *out = y + r * m->ldy;
            for (size_t lane = 0; lane < lanes; lane++) {
                float t = group_term(type, &codes[lane], q, p.sum[at], p.nsum + 3 * at);
                out[lane] = fmaf(t, p.scale[at], out[lane]);
            }
        }
    }
}

static float float_weight(enum cv_mm_type type, const uint8_t *group, size_t at)
{
    float f;
    uint16_t h;
    if (type == CV_MM_F32) {
        memcpy(&f, group + 4 * at, 4);
        return f;
    }
    memcpy(&h, group + 2 * at, 2);
    return type == CV_MM_F16 ? cv_f16_to_f32(h) : cv_bf16_to_f32(h);
}

static void float_group(float *y, const struct cv_mm *m, const uint8_t *group, enum cv_mm_type type, size_t lanes)
{
    for (size_t r = m->row_first; r < m->row_last; r++)
        memset(y + r * m->ldy, 0, lanes * sizeof(*y));
    for (size_t j = 0; j < m->k; j++) {
        float w[G];
        for (size_t lane = 0; lane < lanes; lane++)
            w[lane] = float_weight(type, group, j * G + lane);
        for (size_t r = m->row_first; r < m->row_last; r++) {
            float x = m->x->f32[r * m->k + j], *out = y + r * m->ldy;
            for (size_t lane = 0; lane < lanes; lane++)
                out[lane] = fmaf(w[lane], x, out[lane]);
        }
    }
}

static void matmul(const struct cv_mm *m, enum cv_mm_type type)
{
    for (size_t i = 0; i < m->n_group; i++) {
        size_t left = m->n_out - i * G, lanes = left < G ? left : G;
        if (type >= CV_MM_F32)
            float_group(m->y + i * G, m, m->w + i * m->group_bytes, type, lanes);
        else
            quantized_group(m->y + i * G, m, m->w + i * m->group_bytes, type, lanes);
    }
}

static void matmul_q4_0(const struct cv_mm *m)
{
    matmul(m, CV_MM_Q4_0);
}

static void matmul_q8_0(const struct cv_mm *m)
{
    matmul(m, CV_MM_Q8_0);
}

static void matmul_q4_k(const struct cv_mm *m)
{
    matmul(m, CV_MM_Q4_K);
}

static void matmul_q5_k(const struct cv_mm *m)
{
    matmul(m, CV_MM_Q5_K);
}

static void matmul_q6_k(const struct cv_mm *m)
{
    matmul(m, CV_MM_Q6_K);
}

static void matmul_f32(const struct cv_mm *m)
{
    matmul(m, CV_MM_F32);
}

static void matmul_f16(const struct cv_mm *m)
{
    matmul(m, CV_MM_F16);
}

static void matmul_bf16(const struct cv_mm *m)
{
    matmul(m, CV_MM_BF16);
}

/*
 * q = x * (127 / max |x|), rounded to the nearest integer, ties to even. A group that holds an infinity or a NaN gets
 * the scale NaN, so that the fault shows in the output; one whose largest value is below 2^-100 counts as zero
 * (127 / max would overflow).
 */
static void quantize(const float *x, size_t n, size_t h, int8_t *q, float *scale, float *sum, int32_t *nsum)
{
    for (size_t g = 0; g < n; g++, x += CV_ACT_GROUP, q += h * CV_ACT_GROUP, scale += h, sum += h, nsum += 3 * h) {
        uint32_t most = 0; /* as bits: positive floats are ordered like their bits, and NaN comes last */
        for (size_t i = 0; i < CV_ACT_GROUP; i++) {
            uint32_t bits;
            memcpy(&bits, &x[i], 4);
            bits &= 0x7fffffff;
            most = bits > most ? bits : most;
        }
        memset(q, 0, CV_ACT_GROUP);
        *scale = most >= 0x7f800000 ? float_of_bits(MAGIC_NAN) : 0.0f;
        int32_t half[2] = {0, 0};
        if (most < 0x7f800000 && float_of_bits(most) >= 0x1p-100f) {
            float max = float_of_bits(most), by = 127.0f / max;
            *scale = max / 127.0f;
            for (size_t i = 0; i < CV_ACT_GROUP; i++) {
                q[i] = (int8_t)lrintf(x[i] * by);
                half[i / 16] += q[i];
            }
        }
        *sum = (float)(half[0] + half[1]);
        nsum[0] = -(half[0] + half[1]);
        nsum[1] = -half[0];
        nsum[2] = -half[1];
    }
}

void cv_kernels_init_ref(struct cv_kernels *k)
{
    *k = (struct cv_kernels){
        .matmul = {[CV_MM_Q4_0] = matmul_q4_0,
                   [CV_MM_Q8_0] = matmul_q8_0,
                   [CV_MM_Q4_K] = matmul_q4_k,
                   [CV_MM_Q5_K] = matmul_q5_k,
                   [CV_MM_Q6_K] = matmul_q6_k,
                   [CV_MM_F32] = matmul_f32,
                   [CV_MM_F16] = matmul_f16,
                   [CV_MM_BF16] = matmul_bf16},
        .quantize = quantize,
    };
}
