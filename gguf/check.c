/* check.c - the invariants of gguf.h, said once more in the plainest way. Slow: every pair of tensors is compared. */
#include <string.h>

#include "base/limits.h"
#include "base/utf8.h"
#include "gguf/internal.h"

static bool check_kv(const struct cv_gguf *g, size_t i, struct cv_error *err)
{
    const struct cv_gguf_kv *kv = &g->kv[i];
    if (kv->key.n == 0 || cv_utf8_valid_prefix(kv->key.p, kv->key.n) != kv->key.n ||
        memchr(kv->key.p, 0, kv->key.n) != NULL)
        return cv_fail(err, CV_ERR_INTERNAL, "key %zu is no name", i);
    for (size_t k = 0; k < i; k++)
        if (g->kv[k].key.n == kv->key.n && memcmp(g->kv[k].key.p, kv->key.p, kv->key.n) == 0)
            return cv_fail(err, CV_ERR_INTERNAL, "keys %zu and %zu are equal", k, i);
    const enum cv_gguf_type item = kv->type == CV_GGUF_ARRAY ? kv->item : kv->type;
    const size_t width = cv_gguf_item_bytes(item);
    if (width > 0 && kv->size_bytes != kv->n * width)
        return cv_fail(err, CV_ERR_INTERNAL, "key %zu has %zu bytes for %zu elements", i, kv->size_bytes, kv->n);
    if (item == CV_GGUF_ARRAY && kv->n != 0)
        return cv_fail(err, CV_ERR_INTERNAL, "key %zu is opaque and has elements", i);
    size_t bytes = 0;
    for (size_t k = 0; item == CV_GGUF_STRING && k < kv->n; k++)
        bytes += 8 + kv->strings[k].n;
    if (item == CV_GGUF_STRING && bytes != kv->size_bytes)
        return cv_fail(err, CV_ERR_INTERNAL, "key %zu: strings of %zu bytes in %zu", i, bytes, kv->size_bytes);
    return true;
}

static bool check_tensor(const struct cv_gguf *g, size_t i, struct cv_error *err)
{
    const struct cv_gguf_tensor *t = &g->tensor[i];
    const struct cv_dtype_info *info = cv_dtype_get(t->dtype);
    if (info == NULL || t->name[0] == '\0' || t->n_dim < 1 || t->n_dim > 4)
        return cv_fail(err, CV_ERR_INTERNAL, "tensor %zu has no name, type or shape", i);
    size_t bytes = t->dim[0] / info->block_len * info->block_bytes;
    for (uint32_t d = 1; d < 4; d++)
        bytes *= t->dim[d];
    if (t->dim[0] % info->block_len != 0 || bytes != t->size_bytes || bytes == 0)
        return cv_fail(err, CV_ERR_INTERNAL, "tensor %zu has %zu bytes, its shape %zu", i, t->size_bytes, bytes);
    if (t->offset % g->alignment != 0)
        return cv_fail(err, CV_ERR_INTERNAL, "tensor %zu is not aligned", i);
    if (t->part == 0 && (t->offset > g->data_len || t->size_bytes > g->data_len - t->offset))
        return cv_fail(err, CV_ERR_INTERNAL, "tensor %zu ends beyond the data", i);
    for (size_t k = 0; k < i; k++) {
        const struct cv_gguf_tensor *o = &g->tensor[k];
        if (strcmp(o->name, t->name) == 0)
            return cv_fail(err, CV_ERR_INTERNAL, "tensors %zu and %zu have one name", k, i);
        if (o->part == t->part && o->offset < t->offset + t->size_bytes && t->offset < o->offset + o->size_bytes)
            return cv_fail(err, CV_ERR_INTERNAL, "tensors %zu and %zu overlap", k, i);
    }
    return true;
}

bool cv_gguf_check(const struct cv_gguf *g, struct cv_error *err)
{
    for (size_t i = 0; i < g->n_kv; i++) {
        char key[CV_MAX_GGUF_NAME + 1];
        if (!check_kv(g, i, err))
            return false;
        memcpy(key, g->kv[i].key.p, g->kv[i].key.n);
        key[g->kv[i].key.n] = '\0';
        if (cv_gguf_find(g, key) != &g->kv[i])
            return cv_fail(err, CV_ERR_INTERNAL, "key %zu is not found", i);
    }
    for (size_t i = 0; i < g->n_tensor; i++) {
        if (!check_tensor(g, i, err))
            return false;
        if (cv_gguf_tensor(g, g->tensor[i].name) != &g->tensor[i])
            return cv_fail(err, CV_ERR_INTERNAL, "tensor %zu is not found", i);
    }
    return true;
}
