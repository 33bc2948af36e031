#include "gguf/quantize_fit.h"

#include <math.h>

#include "gguf/dtype.h"

/* Sums run in LANES parallel sums, which a compiler makes vectors of. */
enum { MAX_N = 32, LANES = 8, ROUNDS = 4 };

static float sum(const float lane[LANES])
{
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

uint16_t cv_fit_half(float v)
{
    const float largest = 65504.0f;
    return cv_f32_to_f16(v > largest ? largest : v < -largest ? -largest : v);
}

float cv_fit_codes(const float *x, const float *w, size_t n, float scale, float min, float low, float high, int8_t *q)
{
    /* Where 1 / scale overflows, the values are below what the type can hold: code 0 is as good as any. */
    const float inverse = scale == 0.0f || fabsf(scale) < 0x1p-120f ? 0.0f : 1.0f / scale;
    float error[LANES] = {0};
    for (size_t i = 0; i < n; i += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            const float code = cv_code((x[i + k] + min) * inverse, low, high), d = x[i + k] - (scale * code - min);
            error[k] += w[i + k] * d * d;
        }
    }
    for (size_t i = 0; q != NULL && i < n; i++)
        q[i] = (int8_t)cv_code((x[i] + min) * inverse, low, high);
    return sum(error);
}

/* Codes for x * inverse; returns the best scale for them and what it explains of the sum of squares. */
static float score_scale(const float *x, const float *w, size_t n, float inverse, float low, float high, float *scale)
{
    float xqs[LANES] = {0}, qqs[LANES] = {0};
    for (size_t i = 0; i < n; i += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            const float code = cv_code(x[i + k] * inverse, low, high);
            xqs[k] += w[i + k] * x[i + k] * code;
            qqs[k] += w[i + k] * code * code;
        }
    }
    const float xq = sum(xqs), qq = sum(qqs);
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
    float code[MAX_N], l[5][LANES] = {{0}}, errors[LANES] = {0};
    for (size_t i = 0; i < n; i += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            const float c = cv_code((x[i + k] + *min) * inverse, 0.0f, high), v = x[i + k], weight = w[i + k];
            code[i + k] = c;
            l[0][k] += weight;
            l[1][k] += weight * v;
            l[2][k] += weight * c;
            l[3][k] += weight * v * c;
            l[4][k] += weight * c * c;
        }
    }
    const float sw = sum(l[0]), sx = sum(l[1]), sq = sum(l[2]), sxq = sum(l[3]), sqq = sum(l[4]);
    const float determinant = sw * sqq - sq * sq;
    if (!(determinant > 0.0f))
        return INFINITY;
    *scale = (sw * sxq - sx * sq) / determinant;
    *min = (*scale * sq - sx) / sw;
    if (below_zero && *min < 0.0f) {
        *min = 0.0f;
        *scale = sxq / sqq;
    }
    for (size_t i = 0; i < n; i += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            const float d = x[i + k] - (*scale * code[i + k] - *min);
            errors[k] += w[i + k] * d * d;
        }
    }
    return *scale > 0.0f ? sum(errors) : INFINITY;
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
