#include "proto/carry.h"

#include <string.h>
#include <strings.h>

#include "base/reader.h"
#include "proto/carry_f16.h"

#define EXPONENT_INF 0x7f800000u

const char *cv_carry_name(enum cv_carry type)
{
    static const char *const name[] = {"none", "f32", "f16", "q8"};
    return (unsigned)type < CV_COUNT(name) ? name[type] : "?";
}

bool cv_carry_parse(const char *name, enum cv_carry *out, struct cv_error *err)
{
    if (strcasecmp(name, "f32") == 0)
        *out = CV_CARRY_F32;
    else if (strcasecmp(name, "f16") == 0)
        *out = CV_CARRY_F16;
    else if (strcasecmp(name, "q8") == 0)
        return cv_fail(err, CV_ERR_UNSUPPORTED, "carry type q8 is not supported yet; there are f32 and f16");
    else
        return cv_fail(err, CV_ERR_ARG, "no carry type '%.32s'; there are f32 and f16", name);
    return true;
}

size_t cv_carry_row_bytes(enum cv_carry type, uint32_t width)
{
    switch (type) {
    case CV_CARRY_F32:
        return (size_t)width * 4;
    case CV_CARRY_F16:
        return width == 0 ? 0 : 4 + (((size_t)width * 2 + 3) & ~(size_t)3);
    default:
        return 0;
    }
}

/* ---- f16, in plain C ---- */

static uint32_t bits_of(float f)
{
    uint32_t x;
    memcpy(&x, &f, sizeof(x));
    return x;
}

static float float_of(uint32_t x)
{
    float f;
    memcpy(&f, &x, sizeof(f));
    return f;
}

/* Round to nearest, ties to even; a NaN keeps the top of its payload and becomes quiet, as the instructions do it. */
static uint16_t half_of(float f)
{
    uint32_t x = bits_of(f), sign = (x >> 16) & 0x8000u;
    x &= 0x7fffffffu;
    if (x > EXPONENT_INF)
        return (uint16_t)(sign | 0x7e00u | ((x >> 13) & 0x3ffu));
    if (x >= 0x47800000u) /* 65536 and more; what lies between 65520 and that is carried up below */
        return (uint16_t)(sign | 0x7c00u);
    if (x < 0x38800000u) /* below 2^-14: a multiple of 2^-24, rounded where 2^23 has its last bit */
        return (uint16_t)(sign | (bits_of(float_of(x) * 0x1p24f + 0x1p23f) - 0x4b000000u));
    x += 0xfffu + ((x >> 13) & 1u);
    return (uint16_t)(sign | ((x - (112u << 23)) >> 13));
}

static float float_of_half(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, x = h & 0x7fffu;
    if (x >= 0x7c00u) /* a NaN becomes quiet */
        return float_of(sign | EXPONENT_INF | (x & 0x3ffu) << 13 | (x > 0x7c00u ? 0x400000u : 0));
    if (x < 0x400u)
        return float_of(bits_of((float)x * 0x1p-24f) | sign);
    return float_of(sign | ((x << 13) + (112u << 23)));
}

/* The power of two s for which the largest finite |row[i]| / s lies in [2^14, 2^15); 1 for a row of zeros. */
static int scale_exponent(uint32_t largest_bits)
{
    if (largest_bits == 0)
        return 0;
    int e = (int)(largest_bits >> 23) - 127 - 14;
    return e < -126 ? -126 : e;
}

float cv_carry_scale(uint32_t largest_bits)
{
    return float_of((uint32_t)(scale_exponent(largest_bits) + 127) << 23);
}

float cv_carry_inverse_scale(uint32_t largest_bits)
{
    return float_of((uint32_t)(127 - scale_exponent(largest_bits)) << 23);
}

void cv_carry_pack_f16_ref(const float *row, uint32_t width, void *dst)
{
    uint32_t largest = 0;
    for (uint32_t i = 0; i < width; i++) {
        uint32_t x = bits_of(row[i]) & 0x7fffffffu;
        if (x < EXPONENT_INF && x > largest)
            largest = x;
    }
    const float scale = cv_carry_scale(largest), inverse = cv_carry_inverse_scale(largest);
    unsigned char *at = dst;
    memcpy(at, &scale, 4);
    for (uint32_t i = 0; i < width; i++)
        cv_store_u16(at + 4 + 2 * (size_t)i, half_of(row[i] * inverse));
}

void cv_carry_unpack_f16_ref(const void *src, uint32_t width, float *row)
{
    const unsigned char *at = src;
    float scale;
    memcpy(&scale, at, 4);
    for (uint32_t i = 0; i < width; i++)
        row[i] = float_of_half(cv_load_u16(at + 4 + 2 * (size_t)i)) * scale;
}

/* ---- whole carries ---- */

void cv_carry_encode(enum cv_carry type, const float *rows, uint32_t n_row, uint32_t width, void *dst)
{
    const size_t bytes = cv_carry_row_bytes(type, width);
    if (type == CV_CARRY_F32 && n_row != 0 && width != 0)
        memcpy(dst, rows, bytes * n_row);
    if (type != CV_CARRY_F16)
        return;
    void (*const pack)(const float *, uint32_t, void *) =
        cv_carry_has_fast() ? cv_carry_pack_f16_fast : cv_carry_pack_f16_ref;
    for (uint32_t r = 0; r < n_row; r++) {
        unsigned char *at = (unsigned char *)dst + r * bytes;
        pack(rows + (size_t)r * width, width, at);
        if (width % 2 != 0)
            cv_store_u16(at + bytes - 2, 0);
    }
}

void cv_carry_decode(enum cv_carry type, const void *src, uint32_t n_row, uint32_t width, float *rows)
{
    const size_t bytes = cv_carry_row_bytes(type, width);
    if (type == CV_CARRY_F32 && n_row != 0 && width != 0)
        memcpy(rows, src, bytes * n_row);
    if (type != CV_CARRY_F16)
        return;
    void (*const unpack)(const void *, uint32_t, float *) =
        cv_carry_has_fast() ? cv_carry_unpack_f16_fast : cv_carry_unpack_f16_ref;
    for (uint32_t r = 0; r < n_row; r++)
        unpack((const unsigned char *)src + r * bytes, width, rows + (size_t)r * width);
}
