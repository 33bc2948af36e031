/*
 * matrix_pack.c - from the file's layout to the packed one (internal.h has both pictures), and back for single values.
 *
 * Layouts of the file: the GGUF block types. A block's codes are taken apart to one byte per value and put together
 * again, so that each type is written down once in each direction.
 */
#include <string.h>

#include "engine/cpu/internal.h"

enum { G = CV_MATRIX_GROUP };

enum cv_mm_type cv_mm_type_of(enum cv_dtype dtype)
{
    switch (dtype) {
    case CV_DTYPE_F32:
        return CV_MM_F32;
    case CV_DTYPE_F16:
        return CV_MM_F16;
    case CV_DTYPE_BF16:
        return CV_MM_BF16;
    case CV_DTYPE_Q4_0:
        return CV_MM_Q4_0;
    case CV_DTYPE_Q8_0:
        return CV_MM_Q8_0;
    case CV_DTYPE_Q4_K:
        return CV_MM_Q4_K;
    case CV_DTYPE_Q5_K:
        return CV_MM_Q5_K;
    case CV_DTYPE_Q6_K:
        return CV_MM_Q6_K;
    default:
        return CV_MM_N;
    }
}

static bool is_float(enum cv_mm_type type)
{
    return type >= CV_MM_F32;
}

/* Bytes of the codes of one block, 16 rows. */
static size_t block_code_bytes(enum cv_mm_type type)
{
    const struct cv_packing *p = &cv_packing[type];
    return is_float(type) ? p->code_bytes : (size_t)p->code_bytes * (p->block_len / CV_ACT_GROUP);
}

size_t cv_group_bytes(enum cv_mm_type type, size_t k)
{
    return k / cv_packing[type].block_len * (cv_packing[type].head_bytes + block_code_bytes(type));
}

/* The 32 codes of group g of one block in the file. */
static void file_codes(uint8_t code[CV_ACT_GROUP], enum cv_mm_type type, const uint8_t *block, size_t g)
{
    const uint8_t *ql, *qh;
    switch (type) {
    case CV_MM_Q4_0:
        for (size_t i = 0; i < 16; i++) {
            code[i] = block[2 + i] & 15;
            code[16 + i] = block[2 + i] >> 4;
        }
        break;
    case CV_MM_Q8_0:
        memcpy(code, block + 2, CV_ACT_GROUP);
        break;
    case CV_MM_Q4_K:
        ql = block + 16 + g / 2 * 32;
        for (size_t i = 0; i < 32; i++)
            code[i] = ql[i] >> 4 * (g & 1) & 15;
        break;
    case CV_MM_Q5_K:
        ql = block + 48 + g / 2 * 32;
        qh = block + 16;
        for (size_t i = 0; i < 32; i++)
            code[i] = (uint8_t)((ql[i] >> 4 * (g & 1) & 15) | (qh[i] >> g & 1) << 4);
        break;
    case CV_MM_Q6_K: /* two halves of 128 values: 64 bytes of low bits, 32 of high bits */
        ql = block + g / 4 * 64 + (g & 1) * 32;
        qh = block + 128 + g / 4 * 32;
        for (size_t i = 0; i < 32; i++)
            code[i] = (uint8_t)((ql[i] >> 4 * (g >> 1 & 1) & 15) | (qh[i] >> 2 * (g & 3) & 3) << 4);
        break;
    default:
        break;
    }
}

static void put_codes(uint8_t *dst, enum cv_mm_type type, const uint8_t code[CV_ACT_GROUP], size_t lane)
{
    for (size_t b = 0; b < 4; b++) {
        uint8_t *at = dst + 4 * lane + b;
        if (type == CV_MM_Q8_0) {
            for (size_t j = 0; j < 8; j++)
                at[64 * j] = code[4 * j + b];
            continue;
        }
        for (size_t v = 0; v < 4; v++)
            at[64 * v] = (uint8_t)((code[4 * v + b] & 15) | (code[16 + 4 * v + b] & 15) << 4);
        unsigned high = 0;
        if (type == CV_MM_Q5_K) {
            for (size_t j = 0; j < 8; j++)
                high |= (unsigned)(code[4 * j + b] >> 4) << j;
            at[256] = (uint8_t)high;
        } else if (type == CV_MM_Q6_K) {
            unsigned low_half = 0, high_half = 0;
            for (size_t j = 0; j < 4; j++) {
                low_half |= (unsigned)(code[4 * j + b] >> 4) << 2 * j;
                high_half |= (unsigned)(code[16 + 4 * j + b] >> 4) << 2 * j;
            }
            at[256] = (uint8_t)low_half;
            at[320] = (uint8_t)high_half;
        }
    }
}

static void put_head(uint8_t *dst, enum cv_mm_type type, const uint8_t *block, size_t lane)
{
    switch (type) {
    case CV_MM_Q4_0:
    case CV_MM_Q8_0:
        memcpy(dst + 2 * lane, block, 2);
        break;
    case CV_MM_Q4_K:
    case CV_MM_Q5_K:
        memcpy(dst + 2 * lane, block, 2);
        memcpy(dst + 32 + 2 * lane, block + 2, 2);
        for (size_t i = 0; i < 12; i++)
            dst[64 + G * i + lane] = block[4 + i];
        break;
    case CV_MM_Q6_K:
        memcpy(dst + 2 * lane, block + 208, 2);
        for (size_t i = 0; i < 16; i++)
            dst[32 + G * i + lane] = block[192 + i];
        break;
    default:
        break;
    }
}

static void pack_quantized(uint8_t *dst, enum cv_mm_type type, const uint8_t *row, size_t k, size_t lane)
{
    const struct cv_packing *p = &cv_packing[type];
    size_t n_block = k / p->block_len, per_block = p->block_len / CV_ACT_GROUP;
    size_t block_bytes = (p->head_bytes + block_code_bytes(type)) / G;
    uint8_t *codes = dst + n_block * p->head_bytes;
    for (size_t i = 0; i < n_block; i++) {
        const uint8_t *block = row + i * block_bytes;
        put_head(dst + i * p->head_bytes, type, block, lane);
        for (size_t g = 0; g < per_block; g++) {
            uint8_t code[CV_ACT_GROUP];
            file_codes(code, type, block, g);
            put_codes(codes + (i * per_block + g) * p->code_bytes, type, code, lane);
        }
    }
}

void cv_matrix_pack(struct cv_matrix *m, const void *src, size_t first, size_t n)
{
    enum cv_mm_type type = cv_mm_type_of(m->dtype);
    size_t group_bytes = cv_group_bytes(type, m->k), row_bytes = group_bytes / G;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *row = (const uint8_t *)src + i * row_bytes;
        size_t lane = (first + i) % G;
        uint8_t *group = (uint8_t *)m->data + (first + i) / G * group_bytes;
        if (lane == 0 && n - i < G)
            memset(group, 0, group_bytes); /* a partly filled group: rows of zeros */
        if (!is_float(type)) {
            pack_quantized(group, type, row, m->k, lane);
            continue;
        }
        size_t size = cv_packing[type].code_bytes / G;
        for (size_t j = 0; j < m->k; j++)
            memcpy(group + (j * G + lane) * size, row + j * size, size);
    }
}

static float half_at(const uint8_t *p, size_t lane)
{
    uint16_t h;
    memcpy(&h, p + 2 * lane, 2);
    return cv_f16_to_f32(h);
}

/* The 6-bit scale and minimum of group g (of 8). */
static void scale_min(const uint8_t *s, size_t g, size_t lane, unsigned *scale, unsigned *min)
{
    s += lane;
    if (g < 4) {
        *scale = s[G * g] & 63;
        *min = s[G * (g + 4)] & 63;
    } else {
        *scale = (s[G * (g + 4)] & 15u) | (s[G * (g - 4)] >> 6 & 3u) << 4;
        *min = (s[G * (g + 4)] >> 4 & 15u) | (s[G * g] >> 6 & 3u) << 4;
    }
}

static void get_scales(struct cv_codes *out, enum cv_mm_type type, const uint8_t *head, size_t g, size_t lane)
{
    float d = half_at(head, lane);
    out->d[0] = out->d[1] = d;
    out->m = 0;
    if (type == CV_MM_Q4_K || type == CV_MM_Q5_K) {
        unsigned scale, min;
        scale_min(head + 64, g, lane, &scale, &min);
        out->d[0] = out->d[1] = d * (float)scale;
        out->m = half_at(head + 32, lane) * (float)min;
    } else if (type == CV_MM_Q6_K) {
        for (size_t h = 0; h < 2; h++)
            out->d[h] = d * (float)(int8_t)head[32 + G * (2 * g + h) + lane];
    }
}

void cv_packed_codes(struct cv_codes *out, enum cv_mm_type type, const uint8_t *group, size_t k, size_t g, size_t lane)
{
    const struct cv_packing *p = &cv_packing[type];
    size_t per_block = p->block_len / CV_ACT_GROUP;
    get_scales(out, type, group + g / per_block * p->head_bytes, g % per_block, lane);
    const uint8_t *at = group + k / p->block_len * p->head_bytes + g * p->code_bytes + 4 * lane;
    for (size_t i = 0; i < CV_ACT_GROUP; i++) {
        size_t j = i / 4, b = i % 4;
        unsigned c = at[64 * (j % 4) + b] >> 4 * (j / 4) & 15;
        if (type == CV_MM_Q8_0)
            out->code[i] = (int8_t)at[64 * j + b];
        else if (type == CV_MM_Q5_K)
            out->code[i] = (int16_t)(c | (at[256 + b] >> j & 1u) << 4);
        else if (type == CV_MM_Q6_K)
            out->code[i] = (int16_t)(c | (at[256 + 64 * (j / 4) + b] >> 2 * (j % 4) & 3u) << 4);
        else
            out->code[i] = (int16_t)c;
    }
}

static void get_quantized_row(float *out, enum cv_mm_type type, const uint8_t *group, size_t k, size_t lane)
{
    const int offset = type == CV_MM_Q4_0 ? 8 : type == CV_MM_Q6_K ? 32 : 0;
    for (size_t g = 0; g < k / CV_ACT_GROUP; g++) {
        struct cv_codes c;
        cv_packed_codes(&c, type, group, k, g, lane);
        for (size_t i = 0; i < CV_ACT_GROUP; i++)
            out[g * CV_ACT_GROUP + i] = c.d[i / 16] * (float)(c.code[i] - offset) - c.m;
    }
}

void cv_matrix_get_row(const struct cv_matrix *m, size_t row, float *out)
{
    enum cv_mm_type type = cv_mm_type_of(m->dtype);
    const uint8_t *group = (const uint8_t *)m->data + row / G * cv_group_bytes(type, m->k);
    size_t lane = row % G;
    if (!is_float(type)) {
        get_quantized_row(out, type, group, m->k, lane);
        return;
    }
    for (size_t j = 0; j < m->k; j++) {
        uint16_t h = 0;
        if (type == CV_MM_F32)
            memcpy(&out[j], group + (j * G + lane) * 4, 4);
        else
            memcpy(&h, group + (j * G + lane) * 2, 2);
        if (type == CV_MM_F16)
            out[j] = cv_f16_to_f32(h);
        else if (type == CV_MM_BF16)
            out[j] = cv_bf16_to_f32(h);
    }
}
