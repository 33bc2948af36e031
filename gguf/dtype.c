#include "gguf/dtype.h"

#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "gguf/internal.h"

/* Indexed by the number that stands in a file. A gap is a number that was withdrawn. */
static const struct cv_dtype_info types[CV_DTYPE_COUNT] = {
    [CV_DTYPE_F32] = {"F32", 1, 4},
    [CV_DTYPE_F16] = {"F16", 1, 2},
    [CV_DTYPE_Q4_0] = {"Q4_0", 32, 18},
    [CV_DTYPE_Q4_1] = {"Q4_1", 32, 20},
    [CV_DTYPE_Q5_0] = {"Q5_0", 32, 22},
    [CV_DTYPE_Q5_1] = {"Q5_1", 32, 24},
    [CV_DTYPE_Q8_0] = {"Q8_0", 32, 34},
    [CV_DTYPE_Q8_1] = {"Q8_1", 32, 36},
    [CV_DTYPE_Q2_K] = {"Q2_K", 256, 84},
    [CV_DTYPE_Q3_K] = {"Q3_K", 256, 110},
    [CV_DTYPE_Q4_K] = {"Q4_K", 256, 144},
    [CV_DTYPE_Q5_K] = {"Q5_K", 256, 176},
    [CV_DTYPE_Q6_K] = {"Q6_K", 256, 210},
    [CV_DTYPE_Q8_K] = {"Q8_K", 256, 292},
    [CV_DTYPE_IQ2_XXS] = {"IQ2_XXS", 256, 66},
    [CV_DTYPE_IQ2_XS] = {"IQ2_XS", 256, 74},
    [CV_DTYPE_IQ3_XXS] = {"IQ3_XXS", 256, 98},
    [CV_DTYPE_IQ1_S] = {"IQ1_S", 256, 50},
    [CV_DTYPE_IQ4_NL] = {"IQ4_NL", 32, 18},
    [CV_DTYPE_IQ3_S] = {"IQ3_S", 256, 110},
    [CV_DTYPE_IQ2_S] = {"IQ2_S", 256, 82},
    [CV_DTYPE_IQ4_XS] = {"IQ4_XS", 256, 136},
    [CV_DTYPE_I8] = {"I8", 1, 1},
    [CV_DTYPE_I16] = {"I16", 1, 2},
    [CV_DTYPE_I32] = {"I32", 1, 4},
    [CV_DTYPE_I64] = {"I64", 1, 8},
    [CV_DTYPE_F64] = {"F64", 1, 8},
    [CV_DTYPE_IQ1_M] = {"IQ1_M", 256, 56},
    [CV_DTYPE_BF16] = {"BF16", 1, 2},
    [CV_DTYPE_TQ1_0] = {"TQ1_0", 256, 54},
    [CV_DTYPE_TQ2_0] = {"TQ2_0", 256, 66},
    [CV_DTYPE_MXFP4] = {"MXFP4", 32, 17},
    [CV_DTYPE_NVFP4] = {"NVFP4", 64, 36},
    [CV_DTYPE_Q1_0] = {"Q1_0", 128, 18},
    [CV_DTYPE_Q2_0] = {"Q2_0", 64, 18},
};

const struct cv_dtype_info *cv_dtype_get(uint32_t id)
{
    return id < CV_DTYPE_COUNT && types[id].name != NULL ? &types[id] : NULL;
}

bool cv_dtype_by_name(const char *name, enum cv_dtype *out)
{
    for (uint32_t i = 0; i < CV_DTYPE_COUNT; i++) {
        if (types[i].name != NULL && strcasecmp(types[i].name, name) == 0) {
            *out = (enum cv_dtype)i;
            return true;
        }
    }
    return false;
}

bool cv_dtype_row_bytes(enum cv_dtype type, size_t n, size_t *bytes, struct cv_error *err)
{
    const struct cv_dtype_info *info = cv_dtype_get(type);
    if (info == NULL)
        return cv_fail(err, CV_ERR_UNSUPPORTED, "no tensor type has the number %u", (unsigned)type);
    if (n % info->block_len != 0)
        return cv_fail(err, CV_ERR_FORMAT, "a row of %zu values is no multiple of the %u values of a block of %s", n,
                       info->block_len, info->name);
    if (!cv_mul_size(n / info->block_len, info->block_bytes, bytes))
        return cv_fail(err, CV_ERR_LIMIT, "a row of %zu values of %s is too large", n, info->name);
    return true;
}

float cv_f16_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = h >> 10 & 0x1fu, fraction = h & 0x3ffu;
    uint32_t bits;
    if (exponent == 0x1f) {
        bits = sign | 0x7f800000u | fraction << 13;
    } else if (exponent != 0) {
        bits = sign | (exponent + 112) << 23 | fraction << 13;
    } else { /* fraction * 2^-24 is exact, for zero too */
        const float f = (float)fraction * 0x1p-24f;
        memcpy(&bits, &f, sizeof(bits));
        bits |= sign;
    }
    float out;
    memcpy(&out, &bits, sizeof(out));
    return out;
}

uint16_t cv_f32_to_f16(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof(bits));
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    bits &= 0x7fffffffu;
    if (bits > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u); /* not a number */
    if (bits >= 0x477ff000u)               /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (bits < 0x38800000u) { /* below 2^-14: the sum's unit is 2^-24, so the addition rounds as we need it */
        float magnitude;
        memcpy(&magnitude, &bits, sizeof(magnitude));
        magnitude += 0.5f;
        memcpy(&bits, &magnitude, sizeof(bits));
        return (uint16_t)(sign | (bits - 0x3f000000u));
    }
    bits -= 112u << 23;
    bits += 0xfffu + (bits >> 13 & 1u); /* to nearest, ties to even */
    return (uint16_t)(sign | bits >> 13);
}

float cv_bf16_to_f32(uint16_t h)
{
    const uint32_t bits = (uint32_t)h << 16;
    float out;
    memcpy(&out, &bits, sizeof(out));
    return out;
}

uint16_t cv_f32_to_bf16(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof(bits));
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40u); /* not a number, and stays one */
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static cv_dequantize_fn *dequantizer(enum cv_dtype type)
{
    if ((unsigned)type >= CV_DTYPE_COUNT)
        return NULL;
    return cv_dequantize_simple[type] != NULL ? cv_dequantize_simple[type] : cv_dequantize_super[type];
}

bool cv_dtype_can_dequantize(enum cv_dtype type)
{
    return dequantizer(type) != NULL;
}

void cv_dequantize(enum cv_dtype type, const void *src, float *dst, size_t n)
{
    dequantizer(type)(src, dst, n / types[type].block_len);
}
