/* writer.c - builds a header: pairs and tensor entries grow in two buffers, the end puts counts and padding around. */
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/reader.h"
#include "gguf/internal.h"

enum { MAX_HEADER_BYTES = 1 << 30 };

struct cv_gguf_writer {
    struct cv_buf kv, tensor;
    uint64_t n_kv, n_tensor;
    size_t data_len; /* of the tensors so far, the last one not padded */
    uint32_t alignment;
};

static bool put(struct cv_buf *b, const void *data, size_t n, struct cv_error *err)
{
    return cv_buf_append(b, data, n) ||
           cv_fail(err, CV_ERR_NOMEM, "no memory for a header of more than %zu bytes", b->len);
}

static bool put_u32(struct cv_buf *b, uint32_t v, struct cv_error *err)
{
    unsigned char bytes[4];
    cv_store_u32(bytes, v);
    return put(b, bytes, sizeof(bytes), err);
}

static bool put_u64(struct cv_buf *b, uint64_t v, struct cv_error *err)
{
    unsigned char bytes[8];
    cv_store_u64(bytes, v);
    return put(b, bytes, sizeof(bytes), err);
}

static bool put_text(struct cv_buf *b, const char *s, size_t n, struct cv_error *err)
{
    return put_u64(b, n, err) && put(b, s, n, err);
}

struct cv_gguf_writer *cv_gguf_writer_new(uint32_t alignment)
{
    struct cv_gguf_writer *w = cv_zalloc(sizeof(*w));
    if (w == NULL)
        return NULL;
    w->alignment = alignment == 0 ? 32 : alignment;
    cv_buf_init(&w->kv, MAX_HEADER_BYTES);
    cv_buf_init(&w->tensor, MAX_HEADER_BYTES);
    if (w->alignment != 32 && !cv_gguf_put_u32(w, "general.alignment", w->alignment, NULL)) {
        cv_gguf_writer_free(w);
        return NULL;
    }
    return w;
}

void cv_gguf_writer_free(struct cv_gguf_writer *w)
{
    if (w == NULL)
        return;
    cv_buf_fini(&w->kv);
    cv_buf_fini(&w->tensor);
    cv_free(w);
}

/* Key and type; then value bytes follow. start: what to fall back to when they do not fit. */
static bool put_key(struct cv_gguf_writer *w, const char *key, size_t key_len, enum cv_gguf_type type,
                    struct cv_error *err)
{
    if (key_len == 0 || key_len > CV_MAX_GGUF_NAME)
        return cv_fail(err, CV_ERR_ARG, "a key of %zu bytes, expected 1 to %u", key_len, CV_MAX_GGUF_NAME);
    return put_text(&w->kv, key, key_len, err) && put_u32(&w->kv, type, err);
}

/* A pair is written whole or not at all. */
static bool pair_done(struct cv_gguf_writer *w, size_t start, bool ok)
{
    if (ok)
        w->n_kv++;
    else
        w->kv.len = start;
    return ok;
}

static bool put_scalar(struct cv_gguf_writer *w, const char *key, enum cv_gguf_type type, const void *data, size_t n,
                       struct cv_error *err)
{
    const size_t start = w->kv.len;
    return pair_done(w, start, put_key(w, key, strlen(key), type, err) && put(&w->kv, data, n, err));
}

bool cv_gguf_put_u32(struct cv_gguf_writer *w, const char *key, uint32_t v, struct cv_error *err)
{
    unsigned char bytes[4];
    cv_store_u32(bytes, v);
    return put_scalar(w, key, CV_GGUF_U32, bytes, sizeof(bytes), err);
}

bool cv_gguf_put_u64(struct cv_gguf_writer *w, const char *key, uint64_t v, struct cv_error *err)
{
    unsigned char bytes[8];
    cv_store_u64(bytes, v);
    return put_scalar(w, key, CV_GGUF_U64, bytes, sizeof(bytes), err);
}

bool cv_gguf_put_f32(struct cv_gguf_writer *w, const char *key, float v, struct cv_error *err)
{
    return put_scalar(w, key, CV_GGUF_F32, &v, sizeof(v), err);
}

bool cv_gguf_put_bool(struct cv_gguf_writer *w, const char *key, bool v, struct cv_error *err)
{
    const unsigned char byte = v;
    return put_scalar(w, key, CV_GGUF_BOOL, &byte, 1, err);
}

bool cv_gguf_put_str(struct cv_gguf_writer *w, const char *key, const char *s, size_t n, struct cv_error *err)
{
    const size_t start = w->kv.len;
    return pair_done(w, start, put_key(w, key, strlen(key), CV_GGUF_STRING, err) && put_text(&w->kv, s, n, err));
}

bool cv_gguf_put_strings(struct cv_gguf_writer *w, const char *key, const struct cv_str *s, size_t n,
                         struct cv_error *err)
{
    const size_t start = w->kv.len;
    bool ok = put_key(w, key, strlen(key), CV_GGUF_ARRAY, err) && put_u32(&w->kv, CV_GGUF_STRING, err) &&
              put_u64(&w->kv, n, err);
    for (size_t i = 0; ok && i < n; i++)
        ok = put_text(&w->kv, s[i].p, s[i].n, err);
    return pair_done(w, start, ok);
}

bool cv_gguf_put_array(struct cv_gguf_writer *w, const char *key, enum cv_gguf_type item, const void *data, size_t n,
                       struct cv_error *err)
{
    const size_t start = w->kv.len, width = cv_gguf_item_bytes(item);
    size_t bytes;
    if (width == 0 || !cv_mul_size(n, width, &bytes))
        return cv_fail(err, CV_ERR_ARG, "key '%s': %s", key, width == 0 ? "elements have no fixed size" : "too large");
    return pair_done(w, start,
                     put_key(w, key, strlen(key), CV_GGUF_ARRAY, err) && put_u32(&w->kv, item, err) &&
                         put_u64(&w->kv, n, err) && put(&w->kv, data, bytes, err));
}

bool cv_gguf_put_kv(struct cv_gguf_writer *w, const struct cv_gguf_kv *kv, struct cv_error *err)
{
    static const char own[] = "general.alignment";
    const size_t start = w->kv.len;
    if (kv->key.n == sizeof(own) - 1 && memcmp(kv->key.p, own, kv->key.n) == 0)
        return true;
    bool ok = put_key(w, kv->key.p, kv->key.n, kv->type, err);
    if (kv->type == CV_GGUF_ARRAY) {
        ok = ok && put_u32(&w->kv, kv->item, err);
        ok = ok && (kv->item == CV_GGUF_ARRAY || put_u64(&w->kv, kv->n, err));
    }
    return pair_done(w, start, ok && put(&w->kv, kv->data, kv->size_bytes, err));
}

size_t cv_gguf_write_pad(const struct cv_gguf_writer *w, size_t n)
{
    return (w->alignment - n % w->alignment) % w->alignment;
}

static bool tensor_bytes(enum cv_dtype dtype, const size_t *dim, uint32_t n_dim, size_t *bytes, struct cv_error *err)
{
    if (n_dim < 1 || n_dim > 4)
        return cv_fail(err, CV_ERR_ARG, "%u dimensions, expected 1 to 4", (unsigned)n_dim);
    if (!cv_dtype_row_bytes(dtype, dim[0], bytes, err))
        return false;
    for (uint32_t d = 1; d < n_dim; d++)
        if (!cv_mul_size(*bytes, dim[d], bytes))
            return cv_fail(err, CV_ERR_LIMIT, "the size overflows");
    return *bytes > 0 || cv_fail(err, CV_ERR_ARG, "a dimension is zero");
}

bool cv_gguf_put_tensor(struct cv_gguf_writer *w, const char *name, enum cv_dtype dtype, const size_t *dim,
                        uint32_t n_dim, struct cv_error *err)
{
    const size_t name_len = strlen(name), start = w->tensor.len;
    size_t bytes, offset, end;
    if (name_len == 0 || name_len > CV_MAX_GGUF_NAME)
        return cv_fail(err, CV_ERR_ARG, "a tensor's name of %zu bytes, expected 1 to %u", name_len, CV_MAX_GGUF_NAME);
    if (!tensor_bytes(dtype, dim, n_dim, &bytes, err))
        return cv_wrap(err, "tensor '%s'", name);
    if (!cv_add_size(w->data_len, cv_gguf_write_pad(w, w->data_len), &offset) || !cv_add_size(offset, bytes, &end))
        return cv_fail(err, CV_ERR_LIMIT, "tensor '%s': the data section gets too large", name);
    bool ok = put_text(&w->tensor, name, name_len, err) && put_u32(&w->tensor, n_dim, err);
    for (uint32_t d = 0; ok && d < n_dim; d++)
        ok = put_u64(&w->tensor, dim[d], err);
    ok = ok && put_u32(&w->tensor, dtype, err) && put_u64(&w->tensor, offset, err);
    if (!ok) {
        w->tensor.len = start;
        return false;
    }
    w->n_tensor++;
    w->data_len = end;
    return true;
}

bool cv_gguf_writer_finish(struct cv_gguf_writer *w, struct cv_buf *out, struct cv_error *err)
{
    const size_t start = out->len;
    bool ok = put(out, "GGUF", 4, err) && put_u32(out, 3, err) && put_u64(out, w->n_tensor, err) &&
              put_u64(out, w->n_kv, err) && put(out, w->kv.data, w->kv.len, err) &&
              put(out, w->tensor.data, w->tensor.len, err);
    const size_t pad = ok ? cv_gguf_write_pad(w, out->len - start) : 0;
    ok = ok && (cv_buf_reserve(out, pad + 1) || cv_fail(err, CV_ERR_NOMEM, "no memory for the header"));
    for (size_t i = 0; ok && i < pad; i++)
        ok = cv_buf_putc(out, '\0');
    if (!ok)
        out->len = start;
    return ok;
}
