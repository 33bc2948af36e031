/*
 * quantize_k.c - blocks of 256 values whose parts have small whole scales (and minima) under one f16 scale (and one f16
 * minimum).
 *
 * Three steps: the best scale and minimum of each part as if they were free; then, under the block's f16 pair, the whole
 * numbers near them that leave the smallest error; then the best f16 pair for the codes that came out, and step two
 * again. A round that does not help is thrown away.
 */
#include <math.h>
#include <string.h>

#include "base/reader.h"
#include "gguf/internal.h"
#include "gguf/quantize_fit.h"

enum { BLOCK = 256, ROUNDS = 3 };

/* A block of Q4_K or Q5_K: 8 parts of 32 values. */
struct affine_block {
    uint16_t half, half_min;
    float scale[8], min[8]; /* as if they were free */
    uint8_t sc[8], mn[8];   /* as they are stored, 0..63 */
    int8_t q[BLOCK];
    float error;
};

/* A block of Q6_K: 16 parts of 16 values. */
struct signed_block {
    uint16_t half;
    float scale[16];
    int8_t sc[16];
    int8_t q[BLOCK];
    float error;
};

static const float *weights_of(const float *w, size_t at)
{
    return w == NULL ? cv_quantize_ones : w + at;
}

static int nearby(float v, float unit, int step, int low, int high)
{
    const int n = unit == 0.0f ? 0 : (int)cv_code(v / unit, (float)low, (float)high) + step;
    return n < low ? low : n > high ? high : n;
}

/* Step two for all parts. */
static void choose_affine(struct affine_block *b, const float *x, const float *w, float high)
{
    const float d = cv_f16_to_f32(b->half), m = cv_f16_to_f32(b->half_min);
    b->error = 0.0f;
    for (size_t part = 0; part < 8; part++) {
        const float *px = x + 32 * part, *pw = weights_of(w, 32 * part);
        float best = INFINITY;
        for (int step = 0; step < 9; step++) {
            const int sc = nearby(b->scale[part], d, step / 3 - 1, 0, 63),
                      mn = nearby(b->min[part], m, step % 3 - 1, 0, 63);
            const float error = cv_fit_codes(px, pw, 32, d * (float)sc, m * (float)mn, 0.0f, high, NULL);
            if (error < best) {
                best = error;
                b->sc[part] = (uint8_t)sc;
                b->mn[part] = (uint8_t)mn;
            }
        }
        b->error +=
            cv_fit_codes(px, pw, 32, d * (float)b->sc[part], m * (float)b->mn[part], 0.0f, high, b->q + 32 * part);
    }
}

/* Step three: x ~ d * (sc * q) - m * mn over the whole block. */
static void refit_affine(struct affine_block *b, const float *x, const float *w)
{
    double aa = 0.0, ab = 0.0, bb = 0.0, xa = 0.0, xb = 0.0;
    for (size_t i = 0; i < BLOCK; i++) {
        const double weight = w == NULL ? 1.0 : (double)w[i];
        const double a = (double)b->sc[i / 32] * b->q[i], c = -(double)b->mn[i / 32];
        aa += weight * a * a;
        ab += weight * a * c;
        bb += weight * c * c;
        xa += weight * (double)x[i] * a;
        xb += weight * (double)x[i] * c;
    }
    const double determinant = aa * bb - ab * ab;
    if (determinant > 1e-9 * aa * bb) {
        b->half = cv_fit_half((float)((xa * bb - xb * ab) / determinant));
        b->half_min = cv_fit_half((float)((xb * aa - xa * ab) / determinant));
    } else if (aa > 0.0) {
        b->half = cv_fit_half((float)(xa / aa));
    }
}

static void fit_affine_block(struct affine_block *best, const float *x, const float *w, float high)
{
    struct affine_block b = {0};
    float largest = 0.0f, largest_min = 0.0f;
    for (size_t part = 0; part < 8; part++) {
        cv_fit_affine(x + 32 * part, weights_of(w, 32 * part), 32, high, true, &b.scale[part], &b.min[part]);
        largest = fmaxf(largest, b.scale[part]);
        largest_min = fmaxf(largest_min, b.min[part]);
    }
    b.half = cv_fit_half(largest / 63.0f);
    b.half_min = cv_fit_half(largest_min / 63.0f);
    choose_affine(&b, x, w, high);
    *best = b;
    for (int round = 0; round < ROUNDS; round++) {
        refit_affine(&b, x, w);
        choose_affine(&b, x, w, high);
        if (!(b.error < best->error))
            break;
        *best = b;
    }
}

/* 12 bytes: what cv_k_scale_min reads. */
static void pack_scales(const struct affine_block *b, unsigned char *s)
{
    for (int j = 0; j < 4; j++) {
        s[j] = (unsigned char)(b->sc[j] | (b->sc[j + 4] >> 4) << 6);
        s[j + 4] = (unsigned char)(b->mn[j] | (b->mn[j + 4] >> 4) << 6);
        s[j + 8] = (unsigned char)((b->sc[j + 4] & 15) | (b->mn[j + 4] & 15) << 4);
    }
}

/* 128 bytes: per pair of parts 32 low halves; the first part's codes low, the second's high. */
static void pack_low(const int8_t *q, unsigned char *dst)
{
    for (int i = 0; i < 128; i++)
        dst[i] = (unsigned char)((q[i / 32 * 64 + i % 32] & 15) | (q[i / 32 * 64 + 32 + i % 32] & 15) << 4);
}

void cv_to_q4_k(const float *src, const float *importance, unsigned char *dst, size_t n_block)
{
    for (size_t n = 0; n < n_block; n++, dst += 144) {
        struct affine_block b;
        fit_affine_block(&b, src + BLOCK * n, importance == NULL ? NULL : importance + BLOCK * n, 15.0f);
        cv_store_u16(dst, b.half);
        cv_store_u16(dst + 2, b.half_min);
        pack_scales(&b, dst + 4);
        pack_low(b.q, dst + 16);
    }
}

void cv_to_q5_k(const float *src, const float *importance, unsigned char *dst, size_t n_block)
{
    for (size_t n = 0; n < n_block; n++, dst += 176) {
        struct affine_block b;
        fit_affine_block(&b, src + BLOCK * n, importance == NULL ? NULL : importance + BLOCK * n, 31.0f);
        cv_store_u16(dst, b.half);
        cv_store_u16(dst + 2, b.half_min);
        pack_scales(&b, dst + 4);
        memset(dst + 16, 0, 32);
        for (int i = 0; i < BLOCK; i++)
            dst[16 + i % 32] |= (unsigned char)((b.q[i] >> 4 & 1) << i / 32);
        pack_low(b.q, dst + 48);
    }
}

static void choose_signed(struct signed_block *b, const float *x, const float *w)
{
    const float d = cv_f16_to_f32(b->half);
    b->error = 0.0f;
    for (size_t part = 0; part < 16; part++) {
        const float *px = x + 16 * part, *pw = weights_of(w, 16 * part);
        float best = INFINITY;
        for (int step = -1; step <= 1; step++) {
            const int sc = nearby(b->scale[part], d, step, -128, 127);
            const float error = cv_fit_codes(px, pw, 16, d * (float)sc, 0.0f, -32.0f, 31.0f, NULL);
            if (error < best) {
                best = error;
                b->sc[part] = (int8_t)sc;
            }
        }
        b->error += cv_fit_codes(px, pw, 16, d * (float)b->sc[part], 0.0f, -32.0f, 31.0f, b->q + 16 * part);
    }
}

static void fit_signed_block(struct signed_block *best, const float *x, const float *w)
{
    struct signed_block b = {0};
    float extreme = 0.0f;
    for (size_t part = 0; part < 16; part++) {
        b.scale[part] = cv_fit_scale(x + 16 * part, weights_of(w, 16 * part), 16, -32.0f, 31.0f);
        if (fabsf(b.scale[part]) > fabsf(extreme))
            extreme = b.scale[part];
    }
    b.half = cv_fit_half(extreme / -128.0f); /* the longer side of the small scales */
    choose_signed(&b, x, w);
    *best = b;
    for (int round = 0; round < ROUNDS; round++) {
        double aa = 0.0, xa = 0.0;
        for (size_t i = 0; i < BLOCK; i++) {
            const double weight = w == NULL ? 1.0 : (double)w[i], a = (double)b.sc[i / 16] * b.q[i];
            aa += weight * a * a;
            xa += weight * (double)x[i] * a;
        }
        if (aa > 0.0)
            b.half = cv_fit_half((float)(xa / aa));
        choose_signed(&b, x, w);
        if (!(b.error < best->error))
            break;
        *best = b;
    }
}

void cv_to_q6_k(const float *src, const float *importance, unsigned char *dst, size_t n_block)
{
    for (size_t n = 0; n < n_block; n++, dst += 210) {
        struct signed_block b;
        fit_signed_block(&b, src + BLOCK * n, importance == NULL ? NULL : importance + BLOCK * n);
        memset(dst, 0, 192);
        for (int i = 0; i < BLOCK; i++) { /* eight runs of 32: where from_q6_k reads them */
            const int part = i / 32, code = b.q[i] + 32;
            dst[part / 4 * 64 + part % 2 * 32 + i % 32] |= (unsigned char)((code & 15) << part % 4 / 2 * 4);
            dst[128 + part / 4 * 32 + i % 32] |= (unsigned char)(code >> 4 << part % 4 * 2);
        }
        memcpy(dst + 192, b.sc, 16);
        cv_store_u16(dst + 208, b.half);
    }
}
