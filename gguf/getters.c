/* getters.c - metadata values by key, converted between the number types where nothing is lost. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/reader.h"
#include "gguf/internal.h"

static const char *type_name(enum cv_gguf_type type)
{
    static const char *const names[] = {"U8",   "I8",     "U16",   "I16", "U32", "I32", "F32",
                                        "BOOL", "STRING", "ARRAY", "U64", "I64", "F64"};
    return (unsigned)type < sizeof(names) / sizeof(names[0]) ? names[type] : "?";
}

/* The element's bytes and its type; NULL when kv has no element i that is a number. */
static const unsigned char *element(const struct cv_gguf_kv *kv, size_t i, enum cv_gguf_type *type)
{
    *type = kv->type == CV_GGUF_ARRAY ? kv->item : kv->type;
    const size_t width = cv_gguf_item_bytes(*type);
    return width == 0 || i >= kv->n ? NULL : (const unsigned char *)kv->data + i * width;
}

bool cv_gguf_kv_i64(const struct cv_gguf_kv *kv, size_t i, int64_t *out)
{
    enum cv_gguf_type type;
    const unsigned char *p = element(kv, i, &type);
    if (p == NULL)
        return false;
    switch (type) {
    case CV_GGUF_U8:
        *out = *p;
        return true;
    case CV_GGUF_BOOL:
        *out = *p != 0;
        return true;
    case CV_GGUF_I8:
        *out = (int8_t)*p;
        return true;
    case CV_GGUF_U16:
        *out = cv_load_u16(p);
        return true;
    case CV_GGUF_I16:
        *out = (int16_t)cv_load_u16(p);
        return true;
    case CV_GGUF_U32:
        *out = cv_load_u32(p);
        return true;
    case CV_GGUF_I32:
        *out = (int32_t)cv_load_u32(p);
        return true;
    case CV_GGUF_U64:
        if (cv_load_u64(p) > INT64_MAX)
            return false;
        *out = (int64_t)cv_load_u64(p);
        return true;
    case CV_GGUF_I64:
        *out = (int64_t)cv_load_u64(p);
        return true;
    default:
        return false;
    }
}

bool cv_gguf_kv_f64(const struct cv_gguf_kv *kv, size_t i, double *out)
{
    enum cv_gguf_type type;
    const unsigned char *p = element(kv, i, &type);
    int64_t integer;
    if (p == NULL || type == CV_GGUF_BOOL)
        return false;
    if (type == CV_GGUF_F32) {
        float f;
        memcpy(&f, p, sizeof(f));
        *out = f;
    } else if (type == CV_GGUF_F64) {
        memcpy(out, p, sizeof(*out));
    } else if (cv_gguf_kv_i64(kv, i, &integer)) {
        *out = (double)integer;
    } else if (type == CV_GGUF_U64) {
        *out = (double)cv_load_u64(p);
    } else {
        return false;
    }
    return true;
}

static const struct cv_gguf_kv *must_find(const struct cv_gguf *g, const char *key, struct cv_error *err)
{
    const struct cv_gguf_kv *kv = cv_gguf_find(g, key);
    if (kv == NULL)
        cv_fail(err, CV_ERR_NOT_FOUND, "there is no key '%s'", key);
    return kv;
}

static bool wrong(const struct cv_gguf_kv *kv, const char *key, const char *expected, struct cv_error *err)
{
    return cv_fail(err, CV_ERR_FORMAT, "key '%s' is of type %s%s%s or out of range, expected %s", key,
                   type_name(kv->type), kv->type == CV_GGUF_ARRAY ? " of " : "",
                   kv->type == CV_GGUF_ARRAY ? type_name(kv->item) : "", expected);
}

/* A scalar that is a whole number; whole floats count. Bools do not. */
static bool get_whole(const struct cv_gguf_kv *kv, uint64_t *out)
{
    int64_t integer;
    double d;
    if (kv->type == CV_GGUF_ARRAY || kv->type == CV_GGUF_BOOL)
        return false;
    if (kv->type == CV_GGUF_U64) {
        *out = cv_load_u64(kv->data);
        return true;
    }
    if (cv_gguf_kv_i64(kv, 0, &integer)) {
        *out = (uint64_t)integer;
        return integer >= 0;
    }
    if (!cv_gguf_kv_f64(kv, 0, &d) || !(d >= 0 && d <= 0x1p53) || d != floor(d))
        return false;
    *out = (uint64_t)d;
    return true;
}

bool cv_gguf_u64(const struct cv_gguf *g, const char *key, uint64_t *out, struct cv_error *err)
{
    const struct cv_gguf_kv *kv = must_find(g, key, err);
    uint64_t v;
    if (kv == NULL)
        return false;
    if (!get_whole(kv, &v))
        return wrong(kv, key, "a whole number from 0 on", err);
    *out = v;
    return true;
}

bool cv_gguf_u32(const struct cv_gguf *g, const char *key, uint32_t *out, struct cv_error *err)
{
    const struct cv_gguf_kv *kv = must_find(g, key, err);
    uint64_t v;
    if (kv == NULL)
        return false;
    if (!get_whole(kv, &v) || v > UINT32_MAX)
        return wrong(kv, key, "a whole number of 32 bits", err);
    *out = (uint32_t)v;
    return true;
}

bool cv_gguf_f32(const struct cv_gguf *g, const char *key, float *out, struct cv_error *err)
{
    const struct cv_gguf_kv *kv = must_find(g, key, err);
    double d;
    if (kv == NULL)
        return false;
    if (kv->type == CV_GGUF_ARRAY || !cv_gguf_kv_f64(kv, 0, &d) || !isfinite(d) || fabs(d) > 3.4028234663852886e38 ||
        (kv->type != CV_GGUF_F64 && (double)(float)d != d))
        return wrong(kv, key, "a finite number of 32 bits", err);
    *out = (float)d;
    return true;
}

bool cv_gguf_bool(const struct cv_gguf *g, const char *key, bool *out, struct cv_error *err)
{
    const struct cv_gguf_kv *kv = must_find(g, key, err);
    int64_t v;
    if (kv == NULL)
        return false;
    if (kv->type == CV_GGUF_ARRAY || !cv_gguf_kv_i64(kv, 0, &v) || v < 0 || v > 1)
        return wrong(kv, key, "BOOL", err);
    *out = v == 1;
    return true;
}

bool cv_gguf_str(const struct cv_gguf *g, const char *key, struct cv_str *out, struct cv_error *err)
{
    const struct cv_gguf_kv *kv = must_find(g, key, err);
    if (kv == NULL)
        return false;
    if (kv->type != CV_GGUF_STRING)
        return wrong(kv, key, "STRING", err);
    *out = kv->strings[0];
    return true;
}
