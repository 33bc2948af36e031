/* suite_quant.c - the values of packed blocks of every type, and how close our quantizers come to their input. */
#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "gguf/dtype.h"
#include "tests/conformance_runner/runner.h"

/* Worst difference in units of its block's largest magnitude; not finite counts as infinite. */
static double worst_block(const float *got, const float *want, size_t n_block, size_t block_len, size_t *where)
{
    double worst = 0.0;
    for (size_t b = 0; b < n_block; b++) {
        double largest = 0.0, difference = 0.0;
        for (size_t i = b * block_len; i < (b + 1) * block_len; i++) {
            const double d = isfinite(got[i]) ? fabs((double)got[i] - (double)want[i]) : INFINITY;
            largest = fmax(largest, fabs((double)want[i]));
            difference = fmax(difference, d);
        }
        const double relative = difference == 0.0 ? 0.0 : largest == 0.0 ? INFINITY : difference / largest;
        if (relative > worst) {
            worst = relative;
            *where = b;
        }
    }
    return worst;
}

static void check_dequantize(struct runner *r, const char *dir, const char *name, enum cv_dtype type,
                             const json_t *json)
{
    const struct cv_dtype_info *info = cv_dtype_get(type);
    const size_t n_block = (size_t)json_int(json, "blocks", 0), n = n_block * info->block_len;
    size_t len = 0, where = 0;
    char *packed = runner_file(r, name, dir, json_text(json, "blocks_file", ""), &len);
    float *want = packed == NULL ? NULL : runner_floats(r, name, dir, json_text(json, "expected", ""), n);
    float *got = cv_calloc(n + 1, sizeof(*got));
    if (want != NULL && got != NULL && len == n_block * info->block_bytes) {
        cv_dequantize(type, packed, got, n);
        const double worst = worst_block(got, want, n_block, info->block_len, &where);
        if (worst <= 0x1p-20)
            runner_pass(r, name, "%zu blocks, worst difference %.2g", n_block, worst);
        else
            runner_fail(r, name, "block %zu differs by %.3g of its largest value, at most 2^-20", where, worst);
    } else if (want != NULL) {
        runner_fail(r, name, "%zu bytes of blocks, expected %zu", len, n_block * info->block_bytes);
    }
    cv_free(got);
    cv_free(want);
    cv_free(packed);
}

static void check_quantize(struct runner *r, const char *dir, const char *name, enum cv_dtype type, const json_t *json)
{
    const size_t rows = (size_t)json_int(json, "rows", 0), width = (size_t)json_int(json, "row_values", 0);
    const double limit = json_num(json, "rmse", 0.0) * json_num(json, "limit_factor", 1.0);
    size_t row_bytes = 0;
    float *input = runner_floats(r, name, dir, json_text(json, "input", ""), rows * width);
    if (input == NULL)
        return;
    struct cv_error err = {0};
    const bool fits = rows > 0 && cv_dtype_row_bytes(type, width, &row_bytes, &err);
    unsigned char *packed = fits ? cv_alloc(row_bytes) : NULL;
    float *back = cv_calloc(width + 1, sizeof(*back));
    double sum = 0.0;
    for (size_t i = 0; packed != NULL && back != NULL && i < rows; i++) {
        cv_quantize(type, input + i * width, NULL, packed, width);
        cv_dequantize(type, packed, back, width);
        for (size_t k = 0; k < width; k++) {
            const double d = (double)back[k] - (double)input[i * width + k];
            sum += d * d;
        }
    }
    const double rmse = sqrt(sum / (double)(rows * width));
    if (packed == NULL || back == NULL)
        runner_fail(r, name, "%s", fits ? "out of memory" : err.msg);
    else if (rmse <= limit)
        runner_pass(r, name, "rmse %.5g, %.3f of the limit", rmse, rmse / limit);
    else
        runner_fail(r, name, "rmse %.6g is above the limit %.6g (%.3f times)", rmse, limit, rmse / limit);
    cv_free(back);
    cv_free(packed);
    cv_free(input);
}

static void one_type(struct runner *r, const char *dir, const char *name, const json_t *json)
{
    char text[256];
    enum cv_dtype type = CV_DTYPE_F32;
    const struct cv_dtype_info *info = NULL;
    snprintf(text, sizeof(text), "%s size", name);
    if (cv_dtype_by_name(json_text(json, "name", name), &type))
        info = cv_dtype_get(type);
    if (info == NULL) {
        runner_unsupported(r, text, "tensor type %s", name);
        return;
    }
    if (json_int(json, "type_id", -1) == (int64_t)type && json_int(json, "block_bytes", -1) == info->block_bytes &&
        json_int(json, "block_values", -1) == info->block_len)
        runner_pass(r, text, "%u values in %u bytes", info->block_len, info->block_bytes);
    else
        runner_fail(r, text, "we have type %u, %u values in %u bytes", (unsigned)type, info->block_len,
                    info->block_bytes);
    snprintf(text, sizeof(text), "%s dequantize", name);
    if (cv_dtype_can_dequantize(type))
        check_dequantize(r, dir, text, type, json);
    else
        runner_unsupported(r, text, "values of %s", name);
    const json_t *quantize = json_object_get(json, "quantize");
    if (!json_is_object(quantize))
        return;
    snprintf(text, sizeof(text), "%s quantize", name);
    if (cv_dtype_can_quantize(type))
        check_quantize(r, dir, text, type, quantize);
    else
        runner_unsupported(r, text, "quantizing to %s", name);
}

void suite_quant(struct runner *r, const char *dir)
{
    runner_each(r, dir, one_type);
}
