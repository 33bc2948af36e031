/*
 * gguf.c - header, metadata and tensor directory of one file, in that order, each count checked before it is used.
 *
 * A count may only make us allocate what the bytes still to come can hold: a key takes 13 of them at the least, a
 * tensor 33, a string 8. So memory is bounded by a small multiple of the header's length.
 */
#include "gguf/gguf.h"

#include <inttypes.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/reader.h"
#include "base/utf8.h"
#include "gguf/internal.h"

enum { MIN_KV_BYTES = 8 + 1 + 4 + 1, MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8, MAX_ALIGNMENT = 1 << 20 };

struct parser {
    struct cv_reader r;
    struct cv_arena *arena;
    struct cv_gguf *g;
    size_t file_len;
    bool partial;   /* data is only the beginning of the file */
    bool truncated; /* and what went wrong is that it ended */
    struct cv_error *err;
};

static bool fail_at(struct parser *p, size_t offset)
{
    return cv_wrap(p->err, "byte %zu", offset);
}

static bool ends(struct parser *p, const char *inside)
{
    p->truncated = p->partial;
    cv_fail(p->err, CV_ERR_FORMAT, "the file ends inside %s (%zu bytes left)", inside, p->r.left);
    return fail_at(p, p->r.offset);
}

static bool no_memory(struct parser *p)
{
    cv_fail(p->err, CV_ERR_NOMEM, "out of memory");
    return fail_at(p, p->r.offset);
}

enum { SHOWN_TEXT = 72 };

/* Text of a stranger's for a message: short, and without control characters that a terminal would obey. */
static const char *shown(struct cv_str s, char out[SHOWN_TEXT])
{
    size_t n = s.n < SHOWN_TEXT - 4 ? s.n : SHOWN_TEXT - 4;
    n = cv_utf8_valid_prefix(s.p, n);
    for (size_t i = 0; i < n; i++)
        out[i] = (unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f ? '?' : s.p[i];
    memcpy(out + n, n < s.n ? "..." : "", n < s.n ? 4 : 1);
    return out;
}

/* A u64 length and that many bytes. what names it in errors. */
static bool get_str(struct parser *p, struct cv_str *s, size_t max, bool any_bytes, const char *what)
{
    const size_t at = p->r.offset;
    uint64_t n;
    const void *bytes;
    if (!cv_read_u64(&p->r, &n))
        return ends(p, what);
    if (n > max) {
        cv_fail(p->err, CV_ERR_LIMIT, "the length of %s is %" PRIu64 ", at most %zu are allowed", what, n, max);
        return fail_at(p, at);
    }
    if (!cv_read_bytes(&p->r, &bytes, (size_t)n))
        return ends(p, what);
    *s = (struct cv_str){bytes, (size_t)n};
    const size_t valid = any_bytes ? s->n : cv_utf8_valid_prefix(s->p, s->n);
    if (valid < s->n) {
        cv_fail(p->err, CV_ERR_FORMAT, "%s is not valid UTF-8", what);
        return fail_at(p, at + 8 + valid);
    }
    return true;
}

/* A key or a tensor's name: not empty, and no NUL inside. */
static bool get_name(struct parser *p, struct cv_str *s, const char *what)
{
    const size_t at = p->r.offset;
    if (!get_str(p, s, CV_MAX_GGUF_NAME, false, what))
        return false;
    const char *nul = memchr(s->p, '\0', s->n);
    if (s->n > 0 && nul == NULL)
        return true;
    cv_fail(p->err, CV_ERR_FORMAT, "%s %s", what, nul != NULL ? "contains a NUL" : "is empty");
    return fail_at(p, at);
}

size_t cv_gguf_item_bytes(uint32_t type)
{
    static const unsigned char bytes[] = {
        [CV_GGUF_U8] = 1,  [CV_GGUF_I8] = 1,  [CV_GGUF_U16] = 2,  [CV_GGUF_I16] = 2,
        [CV_GGUF_U32] = 4, [CV_GGUF_I32] = 4, [CV_GGUF_F32] = 4,  [CV_GGUF_U64] = 8,
        [CV_GGUF_I64] = 8, [CV_GGUF_F64] = 8, [CV_GGUF_BOOL] = 1,
    };
    return type < sizeof(bytes) ? bytes[type] : 0;
}

static bool get_type(struct parser *p, enum cv_gguf_type *type, const char *what)
{
    const size_t at = p->r.offset;
    uint32_t n;
    *type = CV_GGUF_U8;
    if (!cv_read_u32(&p->r, &n))
        return ends(p, what);
    if (n > CV_GGUF_F64) {
        cv_fail(p->err, CV_ERR_FORMAT, "%s %" PRIu32 " is unknown (0 to %d are)", what, n, CV_GGUF_F64);
        return fail_at(p, at);
    }
    *type = (enum cv_gguf_type)n;
    return true;
}

/* An array's number of elements, each of which takes at least min_bytes. */
static bool get_count(struct parser *p, size_t min_bytes, size_t *count)
{
    const size_t at = p->r.offset;
    uint64_t n;
    if (!cv_read_u64(&p->r, &n))
        return ends(p, "an array");
    if (n > CV_MAX_GGUF_ARRAY) {
        cv_fail(p->err, CV_ERR_LIMIT, "an array of %" PRIu64 " elements, at most %u are allowed", n, CV_MAX_GGUF_ARRAY);
        return fail_at(p, at);
    }
    if (n > p->r.left / min_bytes) {
        p->truncated = p->partial;
        cv_fail(p->err, CV_ERR_FORMAT, "an array of %" PRIu64 " elements does not fit in the %zu bytes left", n,
                p->r.left);
        return fail_at(p, at);
    }
    *count = (size_t)n;
    return true;
}

/* Walks over the elements of an array whose elements are arrays. */
static bool skip_arrays(struct parser *p, unsigned depth)
{
    size_t n;
    if (!get_count(p, 12, &n))
        return false;
    if (depth > CV_MAX_GGUF_DEPTH) {
        cv_fail(p->err, CV_ERR_LIMIT, "arrays nested more than %u deep", CV_MAX_GGUF_DEPTH);
        return fail_at(p, p->r.offset);
    }
    for (size_t i = 0; i < n; i++) {
        enum cv_gguf_type item;
        if (!get_type(p, &item, "type of an array's elements"))
            return false;
        if (item == CV_GGUF_ARRAY) {
            if (!skip_arrays(p, depth + 1))
                return false;
            continue;
        }
        size_t count;
        const size_t width = cv_gguf_item_bytes(item);
        if (!get_count(p, width > 0 ? width : 8, &count))
            return false;
        if (width > 0) {
            (void)cv_read_skip(&p->r, count * width); /* get_count has checked it */
            continue;
        }
        for (struct cv_str s; count > 0; count--)
            if (!get_str(p, &s, CV_MAX_GGUF_STRING, false, "a string"))
                return false;
    }
    return true;
}

static bool get_strings(struct parser *p, struct cv_gguf_kv *kv, bool any_bytes)
{
    if ((kv->strings = cv_arena_alloc(p->arena, (kv->n + 1) * sizeof(*kv->strings))) == NULL)
        return no_memory(p);
    for (size_t i = 0; i < kv->n; i++)
        if (!get_str(p, &kv->strings[i], CV_MAX_GGUF_STRING, any_bytes, "a string"))
            return false;
    return true;
}

static bool key_is(const struct cv_gguf_kv *kv, const char *name)
{
    return kv->key.n == strlen(name) && memcmp(kv->key.p, name, kv->key.n) == 0;
}

static bool get_value(struct parser *p, struct cv_gguf_kv *kv)
{
    size_t start = p->r.offset;
    kv->data = p->r.at;
    kv->n = 1;
    if (kv->type == CV_GGUF_STRING) {
        if (!get_strings(p, kv, false))
            return false;
    } else if (kv->type != CV_GGUF_ARRAY) {
        if (!cv_read_skip(&p->r, cv_gguf_item_bytes(kv->type)))
            return ends(p, "a value");
        if (kv->type == CV_GGUF_BOOL && *(const unsigned char *)kv->data > 1) {
            cv_fail(p->err, CV_ERR_FORMAT, "a bool is %u, expected 0 or 1", *(const unsigned char *)kv->data);
            return fail_at(p, start);
        }
    } else {
        if (!get_type(p, &kv->item, "type of an array's elements"))
            return false;
        if (kv->item == CV_GGUF_ARRAY) {
            start = p->r.offset;
            kv->data = p->r.at;
            kv->n = 0;
            if (!skip_arrays(p, 2))
                return false;
        } else {
            const size_t width = cv_gguf_item_bytes(kv->item);
            if (!get_count(p, width > 0 ? width : 8, &kv->n))
                return false;
            start = p->r.offset;
            kv->data = p->r.at;
            if (width > 0)
                (void)cv_read_skip(&p->r, kv->n * width);
            else if (!get_strings(p, kv, key_is(kv, "tokenizer.ggml.tokens")))
                return false;
        }
    }
    kv->size_bytes = p->r.offset - start;
    return true;
}

static bool get_metadata(struct parser *p)
{
    struct cv_gguf *g = p->g;
    if ((g->kv = cv_arena_calloc(p->arena, g->n_kv + 1, sizeof(*g->kv))) == NULL)
        return no_memory(p);
    for (size_t i = 0; i < g->n_kv; i++) {
        struct cv_gguf_kv *kv = &g->kv[i];
        char text[SHOWN_TEXT];
        if (!get_name(p, &kv->key, "a key"))
            return false;
        if (!get_type(p, &kv->type, "value type") || !get_value(p, kv))
            return cv_wrap(p->err, "key '%s'", shown(kv->key, text));
    }
    return true;
}

/* dtype, n_dim and dim are checked by now. A quantization block never spans two rows. */
static bool set_size(struct cv_gguf_tensor *t, struct cv_error *err)
{
    if (!cv_dtype_row_bytes(t->dtype, t->dim[0], &t->size_bytes, err))
        return false;
    size_t elements = t->dim[0];
    for (uint32_t d = 1; d < t->n_dim; d++)
        if (!cv_mul_size(t->size_bytes, t->dim[d], &t->size_bytes) || !cv_mul_size(elements, t->dim[d], &elements))
            return cv_fail(err, CV_ERR_LIMIT, "the size overflows");
    return true;
}

static bool get_shape(struct parser *p, struct cv_gguf_tensor *t)
{
    size_t at = p->r.offset;
    if (!cv_read_u32(&p->r, &t->n_dim))
        return ends(p, "a tensor's entry");
    if (t->n_dim < 1 || t->n_dim > 4) {
        cv_fail(p->err, CV_ERR_FORMAT, "%" PRIu32 " dimensions, expected 1 to 4", t->n_dim);
        return fail_at(p, at);
    }
    for (uint32_t d = 0; d < 4; d++) {
        uint64_t n = 1;
        at = p->r.offset;
        if (d < t->n_dim && !cv_read_u64(&p->r, &n))
            return ends(p, "a tensor's entry");
        if (n == 0 || n > SIZE_MAX) {
            cv_fail(p->err, CV_ERR_FORMAT, "dimension %" PRIu32 " is %s", d, n == 0 ? "zero" : "too large");
            return fail_at(p, at);
        }
        t->dim[d] = (size_t)n;
    }
    uint32_t type;
    at = p->r.offset;
    if (!cv_read_u32(&p->r, &type))
        return ends(p, "a tensor's entry");
    if (cv_dtype_get(type) == NULL) {
        cv_fail(p->err, CV_ERR_UNSUPPORTED, "tensor type %" PRIu32 " is unknown", type);
        return fail_at(p, at);
    }
    t->dtype = (enum cv_dtype)type;
    return set_size(t, p->err) || fail_at(p, at);
}

static bool get_offset(struct parser *p, struct cv_gguf_tensor *t)
{
    const size_t at = p->r.offset;
    uint64_t offset;
    if (!cv_read_u64(&p->r, &offset))
        return ends(p, "a tensor's entry");
    t->offset = (size_t)offset;
    if (offset <= SIZE_MAX && offset % p->g->alignment == 0)
        return true;
    cv_fail(p->err, CV_ERR_FORMAT, "offset %" PRIu64 " is no multiple of the alignment %" PRIu32, offset,
            p->g->alignment);
    return fail_at(p, at);
}

/* entry[i]: where tensor i stands in the file. */
static bool get_tensors(struct parser *p, size_t *entry)
{
    struct cv_gguf *g = p->g;
    for (size_t i = 0; i < g->n_tensor; i++) {
        struct cv_gguf_tensor *t = &g->tensor[i];
        struct cv_str name;
        char text[SHOWN_TEXT];
        entry[i] = p->r.offset;
        if (!get_name(p, &name, "a tensor's name"))
            return false;
        if ((t->name = cv_arena_strndup(p->arena, name.p, name.n)) == NULL)
            return no_memory(p);
        if (!get_shape(p, t) || !get_offset(p, t))
            return cv_wrap(p->err, "tensor '%s'", shown(name, text));
    }
    return true;
}

static bool get_counts(struct parser *p)
{
    struct cv_gguf *g = p->g;
    const void *magic;
    uint64_t n_tensor, n_kv;
    if (!cv_read_bytes(&p->r, &magic, 4) || memcmp(magic, "GGUF", 4) != 0) {
        p->truncated = p->partial && p->r.offset == 0;
        cv_fail(p->err, CV_ERR_FORMAT, "not a GGUF file: it does not begin with 'GGUF'");
        return fail_at(p, 0);
    }
    if (!cv_read_u32(&p->r, &g->version))
        return ends(p, "the header");
    if (g->version != 2 && g->version != 3) {
        if (g->version != 0 && (g->version & 0xffffu) == 0)
            cv_fail(p->err, CV_ERR_UNSUPPORTED, "a big-endian GGUF file; only little-endian ones can be read");
        else
            cv_fail(p->err, CV_ERR_UNSUPPORTED, "GGUF version %" PRIu32 "; 2 and 3 can be read", g->version);
        return fail_at(p, 4);
    }
    if (!cv_read_u64(&p->r, &n_tensor) || !cv_read_u64(&p->r, &n_kv))
        return ends(p, "the header");
    if (n_tensor > CV_MAX_GGUF_TENSORS || n_kv > CV_MAX_GGUF_KV) {
        const bool tensors = n_tensor > CV_MAX_GGUF_TENSORS;
        cv_fail(p->err, CV_ERR_LIMIT, "%" PRIu64 " %s, at most %u are allowed", tensors ? n_tensor : n_kv,
                tensors ? "tensors" : "keys", tensors ? CV_MAX_GGUF_TENSORS : CV_MAX_GGUF_KV);
        return fail_at(p, tensors ? 8 : 16);
    }
    if (n_kv * MIN_KV_BYTES + n_tensor * MIN_TENSOR_BYTES > p->r.left) {
        p->truncated = p->partial;
        cv_fail(p->err, CV_ERR_FORMAT, "%" PRIu64 " keys and %" PRIu64 " tensors do not fit in the %zu bytes left",
                n_kv, n_tensor, p->r.left);
        return fail_at(p, 8);
    }
    g->n_tensor = (size_t)n_tensor;
    g->n_kv = (size_t)n_kv;
    return true;
}

static bool set_alignment(struct parser *p)
{
    struct cv_gguf *g = p->g;
    g->alignment = 32;
    for (size_t i = 0; i < g->n_kv; i++) {
        if (!key_is(&g->kv[i], "general.alignment"))
            continue;
        int64_t v;
        if (g->kv[i].type != CV_GGUF_U32 || !cv_gguf_kv_i64(&g->kv[i], 0, &v) || v < 1 || v > MAX_ALIGNMENT ||
            (v & (v - 1)) != 0) {
            cv_fail(p->err, CV_ERR_FORMAT, "general.alignment must be a U32 and a power of two up to %d",
                    MAX_ALIGNMENT);
            return fail_at(p, (size_t)((const unsigned char *)g->kv[i].data - (p->r.at - p->r.offset)));
        }
        g->alignment = (uint32_t)v;
    }
    return true;
}

/* Where the data section begins. A file without tensors may end right behind its header. */
static bool set_data(struct parser *p)
{
    struct cv_gguf *g = p->g;
    const size_t pad = (g->alignment - p->r.offset % g->alignment) % g->alignment;
    g->data_offset = p->r.offset + pad;
    if (g->data_offset > p->file_len) {
        if (g->n_tensor > 0) {
            cv_fail(p->err, CV_ERR_FORMAT, "the file ends before its data section");
            return fail_at(p, p->r.offset);
        }
        g->data_offset = p->file_len;
    }
    g->data_len = p->file_len - g->data_offset;
    return true;
}

static bool offset_less(const void *ctx, uint32_t a, uint32_t b)
{
    const struct cv_gguf *g = ctx;
    return g->tensor[a].offset != g->tensor[b].offset ? g->tensor[a].offset < g->tensor[b].offset : a < b;
}

/* Every tensor lies within the data section, and none shares bytes with another. */
static bool check_places(struct parser *p, const size_t *entry)
{
    const struct cv_gguf *g = p->g;
    uint32_t *order = cv_arena_alloc(p->arena, (g->n_tensor + 1) * sizeof(*order));
    if (order == NULL)
        return no_memory(p);
    for (size_t i = 0; i < g->n_tensor; i++) {
        const struct cv_gguf_tensor *t = &g->tensor[i];
        order[i] = (uint32_t)i;
        if (t->offset > g->data_len || t->size_bytes > g->data_len - t->offset) {
            char text[SHOWN_TEXT];
            cv_fail(p->err, CV_ERR_FORMAT, "%zu bytes at offset %zu, but the data section has %zu (file cut short?)",
                    t->size_bytes, t->offset, g->data_len);
            cv_wrap(p->err, "tensor '%s'", shown((struct cv_str){t->name, strlen(t->name)}, text));
            return fail_at(p, entry[i]);
        }
    }
    cv_order_sort(order, g->n_tensor, offset_less, g);
    for (size_t i = 1; i < g->n_tensor; i++) {
        const struct cv_gguf_tensor *a = &g->tensor[order[i - 1]], *b = &g->tensor[order[i]];
        if (b->offset - a->offset < a->size_bytes) {
            char text_a[SHOWN_TEXT], text_b[SHOWN_TEXT];
            cv_fail(p->err, CV_ERR_FORMAT, "tensors '%s' and '%s' overlap at offset %zu",
                    shown((struct cv_str){a->name, strlen(a->name)}, text_a),
                    shown((struct cv_str){b->name, strlen(b->name)}, text_b), b->offset);
            return fail_at(p, entry[order[i]]);
        }
    }
    return true;
}

static bool check_names(struct parser *p, const size_t *entry)
{
    struct cv_gguf *g = p->g;
    size_t kv, tensor;
    char text[SHOWN_TEXT];
    if (!cv_gguf_build_index(g, p->arena, &kv, &tensor))
        return no_memory(p);
    if (kv < g->n_kv) {
        cv_fail(p->err, CV_ERR_FORMAT, "key '%s' stands there twice", shown(g->kv[kv].key, text));
        return fail_at(p, (size_t)((const unsigned char *)g->kv[kv].key.p - (p->r.at - p->r.offset)));
    }
    if (tensor < g->n_tensor) {
        const char *name = g->tensor[tensor].name;
        cv_fail(p->err, CV_ERR_FORMAT, "tensor '%s' stands there twice",
                shown((struct cv_str){name, strlen(name)}, text));
        return fail_at(p, entry[tensor]);
    }
    return true;
}

bool cv_gguf_parse_prefix(struct cv_gguf **out, const void *data, size_t len, size_t file_len, struct cv_arena *arena,
                          bool *truncated, struct cv_error *err)
{
    struct parser p = {.arena = arena, .file_len = file_len, .partial = len < file_len, .err = err};
    cv_reader_init(&p.r, data, len);
    p.g = cv_arena_zalloc(arena, sizeof(*p.g));
    bool ok = p.g != NULL || no_memory(&p);
    ok = ok && get_counts(&p) && get_metadata(&p) && set_alignment(&p);
    size_t *entry = NULL;
    if (ok) {
        p.g->tensor = cv_arena_calloc(arena, p.g->n_tensor + 1, sizeof(*p.g->tensor));
        entry = cv_arena_alloc(arena, (p.g->n_tensor + 1) * sizeof(*entry));
        ok = (p.g->tensor != NULL && entry != NULL) || no_memory(&p);
    }
    ok = ok && get_tensors(&p, entry) && set_data(&p) && check_names(&p, entry) && check_places(&p, entry);
    *truncated = p.truncated;
    if (ok)
        *out = p.g;
    return ok;
}

bool cv_gguf_parse(struct cv_gguf **out, const void *data, size_t len, size_t file_len, struct cv_arena *arena,
                   struct cv_error *err)
{
    bool truncated;
    return cv_gguf_parse_prefix(out, data, len, file_len, arena, &truncated, err);
}
