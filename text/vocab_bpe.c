/*
 * vocab_bpe.c - symbols and merges of a byte-level BPE vocabulary.
 *
 * Files write bytes as printable characters (the alphabet of GPT-2). Here they are turned back at once: a symbol is the
 * bytes it stands for, so that tokenizing never needs that alphabet.
 */
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/vocab_internal.h"

#define KEY "tokenizer.ggml."

/* Printable Latin-1 stands for itself; the other 68 bytes are U+0100 and up, in order. -1: not of the alphabet. */
static int byte_of(uint32_t cp)
{
    if ((cp >= 33 && cp <= 126) || (cp >= 161 && cp <= 172) || (cp >= 174 && cp <= 255))
        return (int)cp;
    if (cp >= 256 && cp < 256 + 33)
        return (int)cp - 256;
    if (cp >= 256 + 33 && cp < 256 + 67)
        return (int)cp - (256 + 33) + 127;
    return cp == 256 + 67 ? 173 : -1;
}

size_t cv_bpe_decode(struct cv_str text, char *out, bool *clean)
{
    size_t n = 0;
    bool all = true;
    for (size_t at = 0; at < text.n;) {
        uint32_t cp = 0;
        size_t len = cv_utf8_decode(text.p + at, text.n - at, &cp);
        int byte = len == 0 ? -1 : byte_of(cp);
        if (byte >= 0) {
            out[n++] = (char)byte;
        } else {
            len = len == 0 ? 1 : len;
            memcpy(out + n, text.p + at, len);
            n += len;
            all = false;
        }
        at += len;
    }
    if (clean != NULL)
        *clean = all;
    return n;
}

static bool no_memory(struct cv_error *err)
{
    return cv_fail(err, CV_ERR_NOMEM, "vocabulary: out of memory");
}

/* The index of a symbol, a new one that is no token if need be. */
static bool symbol_of(struct cv_vocab *v, struct cv_str bytes, uint32_t *index, struct cv_error *err)
{
    *index = cv_names_find(&v->symbol, bytes.p, bytes.n);
    if (*index != CV_NO_INDEX)
        return true;
    bytes.p = cv_arena_strndup(&v->arena, bytes.p, bytes.n);
    return (bytes.p != NULL && cv_names_add(&v->symbol, bytes, index)) || no_memory(err);
}

/*
 * Every ordinary token whose text is of the alphabet is a symbol. User-defined tokens come through merges in some files;
 * those of one byte do not count: they are letters (the "õ" of DeepSeek), not the byte that the alphabet would make of them.
 */
static bool read_symbols(struct cv_vocab *v, struct cv_error *err)
{
    for (uint32_t i = 0; i < v->n_token; i++) {
        struct cv_str s = v->text.item[i];
        if (!(v->attr[i] & (CV_TOKEN_NORMAL | CV_TOKEN_USER)) || s.n == 0)
            continue;
        bool clean = true;
        if (!v->raw_text) {
            char *bytes = cv_arena_alloc(&v->arena, s.n);
            if (bytes == NULL)
                return no_memory(err);
            s.n = cv_bpe_decode(s, bytes, &clean);
            s.p = bytes;
        }
        if (!clean || (!v->raw_text && s.n == 1 && !(v->attr[i] & CV_TOKEN_NORMAL)))
            continue;
        size_t before = v->symbol.n;
        uint32_t index;
        if (!cv_names_add(&v->symbol, s, &index))
            return no_memory(err);
        if (v->symbol.n > before)
            v->symbol_token[index] = (int32_t)i;
    }
    return true;
}

/* "left right": the space that parts them is never the first byte. */
static bool read_rule(struct cv_vocab *v, struct cv_str rule, size_t rank, char *scratch, struct cv_error *err)
{
    const char *space = rule.n < 3 ? NULL : memchr(rule.p + 1, ' ', rule.n - 1);
    if (space == NULL || space + 1 == rule.p + rule.n)
        return cv_fail(err, CV_ERR_FORMAT, KEY "merges: element %zu is not a pair", rank);
    struct cv_str left = {.p = rule.p, .n = (size_t)(space - rule.p)};
    struct cv_str right = {.p = space + 1, .n = rule.n - left.n - 1};
    struct cv_str whole = {.p = scratch};
    if (v->raw_text) {
        memcpy(scratch, left.p, left.n);
        memcpy(scratch + left.n, right.p, right.n);
    } else {
        left.n = cv_bpe_decode(left, scratch, NULL);
        right.n = cv_bpe_decode(right, scratch + left.n, NULL);
    }
    left.p = scratch;
    right.p = scratch + left.n;
    whole.n = left.n + right.n;
    struct cv_merge_rule r = {.rank = (uint32_t)rank};
    if (!symbol_of(v, left, &r.left, err) || !symbol_of(v, right, &r.right, err) ||
        !symbol_of(v, whole, &r.result, err))
        return false;
    cv_merges_add(&v->merges, r);
    return true;
}

static bool read_merges(struct cv_vocab *v, const struct cv_gguf *meta, struct cv_error *err)
{
    const struct cv_gguf_kv *kv = cv_gguf_find(meta, KEY "merges");
    if (kv == NULL)
        return cv_fail(err, CV_ERR_FORMAT, KEY "merges: missing");
    if (kv->type != CV_GGUF_ARRAY || kv->item != CV_GGUF_STRING)
        return cv_fail(err, CV_ERR_FORMAT, KEY "merges: expected an array of strings");
    if (kv->n > CV_MAX_MERGES)
        return cv_fail(err, CV_ERR_LIMIT, KEY "merges: %zu merges, at most %d are supported", kv->n, CV_MAX_MERGES);
    size_t longest = 0;
    for (size_t i = 0; i < kv->n; i++)
        longest = kv->strings[i].n > longest ? kv->strings[i].n : longest;
    if (longest > 2 * CV_MAX_TOKEN_BYTES + 1)
        return cv_fail(err, CV_ERR_LIMIT, KEY "merges: one has %zu bytes, at most %d are supported", longest,
                       2 * CV_MAX_TOKEN_BYTES + 1);
    char *scratch = cv_alloc(longest + 1);
    if (scratch == NULL || !cv_merges_init(&v->merges, kv->n)) {
        cv_free(scratch);
        return no_memory(err);
    }
    bool ok = true;
    for (size_t i = 0; ok && i < kv->n; i++)
        ok = read_rule(v, kv->strings[i], i, scratch, err);
    cv_free(scratch);
    return ok;
}

bool cv_vocab_read_bpe(struct cv_vocab *v, const struct cv_gguf *meta, struct cv_error *err)
{
    v->symbol_token = cv_calloc(v->n_token, sizeof(*v->symbol_token));
    if (v->symbol_token == NULL)
        return no_memory(err);
    if (!read_symbols(v, err))
        return false;
    const size_t n_real = v->symbol.n;
    for (uint32_t b = 0; b < 256; b++) {
        char byte = (char)b;
        if (!symbol_of(v, (struct cv_str){.p = &byte, .n = 1}, &v->byte_symbol[b], err))
            return false;
    }
    if (!read_merges(v, meta, err))
        return false;
    int32_t *token = cv_realloc(v->symbol_token, v->symbol.n, sizeof(*token));
    if (token == NULL)
        return no_memory(err);
    for (size_t i = n_real; i < v->symbol.n; i++)
        token[i] = -1;
    v->symbol_token = token;
    return true;
}
