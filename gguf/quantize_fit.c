#include "gguf/quantize_fit.h"

#include <math.h>

#include "gguf/dtype.h"

enum { MAX_N = 32, ROUNDS = 4 };

uint16_t cv_fit_half(float v)
{
    const float largest = 65504.0f;
    return cv_f32_to_f16(v > largest ? largest : v < -largest ? -largest : v);
}

float cv_fit_codes(const float *x, const float *w, size_t n, float scale, float min, float low, float high, int8_t *q)
{
    /* Where 1 / scale overflows, the values are below what the type can hold: code 0 is as good as any. */
    const float inverse = scale == 0.0f || fabsf(scale) < 0x1p-120f ? 0.0f : 1.0f / scale;
    float error = 0.0f;
    for (size_t i = 0; i < n; i++) {
        const float code = cv_code((x[i] + min) * inverse, low, high), d = x[i] - (scale * code - min);
        error += w[i] * d * d;
        if (q != NULL)
            q[i] = (int8_t)code;
    }
    return error;
}

/* Codes for x * inverse; returns the best scale for them and what it explains of the sum of squares. */
static float score_scale(const float *x, const float *w, size_t n, float inverse, float low, float high, float *scale)
{
    float xq = 0.0f, qq = 0.0f;
    for (size_t i = 0; i < n; i++) {
        const float code = cv_code(x[i] * inverse, low, high);
        xq += w[i] * x[i] * code;
        qq += w[i] * code * code;
    }
    *scale = qq > 0.0f ? xq / qq : 0.0f;
    return qq > 0.0f ? xq * *scale : 0.0f;
}

float cv_fit_scale(const float *x, const float *w, size_t n, float low, float high)
{
    float extreme = 0.0f, best = 0.0f, scale = 0.0f, trial;
    for (size_t i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(extreme))
            extreme = x[i];
    if (fabsf(extreme) < 0x1p-100f)
        return 0.0f;
    /* The largest value may take the last code of either side, or lie up to a code beyond it or within it. */
    for (int side = 0; side < 2; side++) {
        for (int k = -6; k <= 6; k++) {
            const float end = side == 0 ? low - 0.15f * (float)k : high + 0.15f * (float)k;
            const float score = score_scale(x, w, n, end / extreme, low, high, &trial);
            if (score > best) {
                best = score;
                scale = trial;
            }
        }
    }
    for (int round = 0; round < ROUNDS && scale != 0.0f; round++) {
        const float score = score_scale(x, w, n, 1.0f / scale, low, high, &trial);
        if (!(score > best))
            break;
        best = score;
        scale = trial;
    }
    return scale;
}

/* Codes for (x + min) * inverse, then scale and min that fit them best; returns the error of that fit. */
static float refit_affine(const float *x, const float *w, size_t n, float inverse, float high, bool below_zero,
                          float *scale, float *min)
{
    float code[MAX_N], sw = 0.0f, sx = 0.0f, sq = 0.0f, sxq = 0.0f, sqq = 0.0f, error = 0.0f;
    for (size_t i = 0; i < n; i++) {
        code[i] = cv_code((x[i] + *min) * inverse, 0.0f, high);
        sw += w[i];
        sx += w[i] * x[i];
        sq += w[i] * code[i];
        sxq += w[i] * x[i] * code[i];
        sqq += w[i] * code[i] * code[i];
    }
    const float determinant = sw * sqq - sq * sq;
    if (!(determinant > 0.0f))
        return INFINITY;
    *scale = (sw * sxq - sx * sq) / determinant;
    *min = (*scale * sq - sx) / sw;
    if (below_zero && *min < 0.0f) {
        *min = 0.0f;
        *scale = sxq / sqq;
    }
    for (size_t i = 0; i < n; i++) {
        const float d = x[i] - (*scale * code[i] - *min);
        error += w[i] * d * d;
    }
    return *scale > 0.0f ? error : INFINITY;
}

void cv_fit_affine(const float *x, const float *w, size_t n, float high, bool below_zero, float *scale, float *min)
{
    float first = x[0], last = x[0];
    for (size_t i = 1; i < n; i++) {
        first = x[i] < first ? x[i] : first;
        last = x[i] > last ? x[i] : last;
    }
    if (below_zero && first > 0.0f)
        first = 0.0f;
    *scale = 0.0f;
    *min = -first;
    if (!(last - first > 0x1p-100f))
        return;
    float best = INFINITY;
    for (int k = -4; k <= 8; k++) { /* codes may reach a little beyond both ends, or not quite to them */
        const float inverse = (high + 0.15f * (float)k) / (last - first);
        float s = 0.0f, m = -first;
        const float error = refit_affine(x, w, n, inverse, high, below_zero, &s, &m);
        if (error < best) {
            best = error;
            *scale = s;
            *min = m;
        }
    }
    if (best == INFINITY) { /* weights that are all zero, for one */
        *scale = (last - first) / high;
        return;
    }
    for (int round = 0; round < ROUNDS; round++) {
        float s = *scale, m = *min;
        const float error = refit_affine(x, w, n, 1.0f / s, high, below_zero, &s, &m);
        if (!(error < best))
            break;
        best = error;
        *scale = s;
        *min = m;
    }
}
