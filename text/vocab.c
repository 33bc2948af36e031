#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "text/tokenize.h"
#include "text/vocab_internal.h"

#define KEY "tokenizer.ggml."

static bool no_memory(struct cv_error *err)
{
    return cv_fail(err, CV_ERR_NOMEM, "vocabulary: out of memory");
}

/* An array of at least n numbers; NULL with ok = true: there is none. */
static const struct cv_gguf_kv *numbers(const struct cv_gguf *meta, const char *key, size_t n, bool *ok,
                                        struct cv_error *err)
{
    const struct cv_gguf_kv *kv = cv_gguf_find(meta, key);
    *ok = true;
    if (kv == NULL)
        return NULL;
    *ok = kv->type == CV_GGUF_ARRAY && kv->item != CV_GGUF_STRING && kv->item != CV_GGUF_ARRAY && kv->n >= n;
    if (!*ok)
        cv_fail(err, CV_ERR_FORMAT, "%s: expected an array of %zu numbers, one for each token", key, n);
    return kv;
}

static bool read_tokens(struct cv_vocab *v, const struct cv_gguf *meta, struct cv_error *err)
{
    const struct cv_gguf_kv *kv = cv_gguf_find(meta, KEY "tokens");
    if (kv == NULL)
        return cv_fail(err, CV_ERR_NOT_FOUND, KEY "tokens: missing");
    if (kv->type != CV_GGUF_ARRAY || kv->item != CV_GGUF_STRING || kv->n == 0)
        return cv_fail(err, CV_ERR_FORMAT, KEY "tokens: expected an array of strings");
    if (kv->n > CV_MAX_VOCAB)
        return cv_fail(err, CV_ERR_LIMIT, KEY "tokens: %zu tokens, at most %u are supported", kv->n, CV_MAX_VOCAB);
    v->n_token = (uint32_t)kv->n;
    v->attr = cv_arena_calloc(&v->arena, kv->n, sizeof(*v->attr));
    v->piece = cv_arena_calloc(&v->arena, kv->n, sizeof(*v->piece));
    if (v->attr == NULL || v->piece == NULL)
        return no_memory(err);
    for (size_t i = 0; i < kv->n; i++) {
        struct cv_str s = kv->strings[i];
        if (s.n > CV_MAX_TOKEN_BYTES)
            return cv_fail(err, CV_ERR_LIMIT, KEY "tokens: token %zu has %zu bytes, at most %d are supported", i, s.n,
                           CV_MAX_TOKEN_BYTES);
        s.p = cv_arena_strndup(&v->arena, s.p == NULL ? "" : s.p, s.n);
        if (s.p == NULL || !cv_names_append(&v->text, s))
            return no_memory(err);
        v->max_token_len = s.n > v->max_token_len ? s.n : v->max_token_len;
    }
    return true;
}

static bool read_kinds(struct cv_vocab *v, const struct cv_gguf *meta, struct cv_error *err)
{
    static const uint16_t attr_of[] = {[1] = CV_TOKEN_NORMAL, [2] = CV_TOKEN_UNKNOWN, [3] = CV_TOKEN_CONTROL,
                                       [4] = CV_TOKEN_USER,   [5] = CV_TOKEN_UNUSED,  [6] = CV_TOKEN_BYTE};
    bool ok;
    const struct cv_gguf_kv *kv = numbers(meta, KEY "token_type", v->n_token, &ok, err);
    for (uint32_t i = 0; ok && i < v->n_token; i++) {
        int64_t kind = 1;
        if (kv != NULL && !cv_gguf_kv_i64(kv, i, &kind))
            return cv_fail(err, CV_ERR_FORMAT, KEY "token_type: expected an array of integers");
        v->attr[i] = kind > 0 && (size_t)kind < CV_COUNT(attr_of) ? attr_of[kind] : 0;
    }
    for (uint32_t b = 0; ok && b < 256; b++) {
        static const char hex[] = "0123456789ABCDEF";
        const char name[6] = {'<', '0', 'x', hex[b >> 4], hex[b & 15], '>'};
        uint32_t id = cv_names_find(&v->text, name, sizeof(name));
        v->byte_token[b] = id == CV_NO_INDEX ? -1 : (int32_t)id;
    }
    return ok;
}

struct scored {
    float score;
    uint32_t id;
};

static int higher_first(const void *pa, const void *pb)
{
    const struct scored *a = pa, *b = pb;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* Merging goes by the order of the scores only, so they become ranks: equal scores, equal ranks. */
static bool read_scores(struct cv_vocab *v, const struct cv_gguf *meta, struct cv_error *err)
{
    bool ok;
    const struct cv_gguf_kv *kv = numbers(meta, KEY "scores", v->n_token, &ok, err);
    if (!ok)
        return false;
    v->rank = cv_arena_calloc(&v->arena, v->n_token, sizeof(*v->rank));
    struct scored *order = cv_calloc(v->n_token, sizeof(*order));
    if (v->rank == NULL || order == NULL) {
        cv_free(order);
        return no_memory(err);
    }
    for (uint32_t i = 0; ok && i < v->n_token; i++) {
        double score = 0.0;
        ok = kv == NULL || (cv_gguf_kv_f64(kv, i, &score) && !isnan(score));
        order[i] = (struct scored){.score = (float)score, .id = i};
        if (!ok)
            cv_fail(err, CV_ERR_FORMAT, KEY "scores: element %u is not a number", i);
    }
    if (ok)
        qsort(order, v->n_token, sizeof(*order), higher_first);
    uint32_t rank = 0;
    for (uint32_t i = 0; ok && i < v->n_token; i++) {
        rank += i > 0 && order[i].score != order[i - 1].score;
        v->rank[order[i].id] = rank;
    }
    cv_free(order);
    return ok;
}

static const char word_mark[3] = {'\xE2', '\x96', '\x81'}; /* U+2581 stands for a space */

/* Whether every token that holds a U+2581 holds it only at its beginning (one or several in a row). */
static bool tokens_end_at_spaces(const struct cv_vocab *v)
{
    for (uint32_t i = 0; i < v->n_token; i++) {
        struct cv_str s = v->text.item[i];
        size_t at = 0;
        while (s.n - at >= sizeof(word_mark) && memcmp(s.p + at, word_mark, sizeof(word_mark)) == 0)
            at += sizeof(word_mark);
        for (; s.n - at >= sizeof(word_mark); at++) {
            if (memcmp(s.p + at, word_mark, sizeof(word_mark)) == 0)
                return false;
        }
    }
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The bytes that token i stands for; out holds text.n bytes. */
static size_t make_piece(const struct cv_vocab *v, uint32_t i, char *out)
{
    const struct cv_str s = v->text.item[i];
    const unsigned attr = v->attr[i];
    if (attr & (CV_TOKEN_UNKNOWN | CV_TOKEN_CONTROL | CV_TOKEN_USER)) {
        memcpy(out, s.p, s.n);
        return s.n;
    }
    if (attr & CV_TOKEN_BYTE) {
        if (s.n != 6 || memcmp(s.p, "<0x", 3) != 0 || hex_digit(s.p[3]) < 0 || hex_digit(s.p[4]) < 0)
            return 0;
        out[0] = (char)(hex_digit(s.p[3]) << 4 | hex_digit(s.p[4]));
        return 1;
    }
    if (!(attr & CV_TOKEN_NORMAL))
        return 0;
    if (v->model == CV_VOCAB_BPE && !v->raw_text) {
        bool clean;
        size_t n_bytes = cv_bpe_decode(s, out, &clean);
        if (!clean) /* not written in the alphabet of bytes after all */
            memcpy(out, s.p, s.n);
        return clean ? n_bytes : s.n;
    }
    size_t n = 0;
    for (size_t at = 0; at < s.n;) {
        bool space = s.n - at >= sizeof(word_mark) && memcmp(s.p + at, word_mark, sizeof(word_mark)) == 0;
        out[n++] = space ? ' ' : s.p[at];
        at += space ? sizeof(word_mark) : 1;
    }
    return n;
}

static bool make_pieces(struct cv_vocab *v, struct cv_error *err)
{
    for (uint32_t i = 0; i < v->n_token; i++) {
        char *piece = cv_arena_alloc(&v->arena, v->text.item[i].n + 1);
        if (piece == NULL)
            return no_memory(err);
        v->piece[i] = (struct cv_str){.p = piece, .n = make_piece(v, i, piece)};
        piece[v->piece[i].n] = '\0';
    }
    return true;
}

static bool is(struct cv_str s, const char *text)
{
    return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

static bool read_model(struct cv_vocab *v, const struct cv_gguf *meta, struct cv_error *err)
{
    struct cv_str model, pre;
    struct cv_error why;
    if (!cv_gguf_str(meta, KEY "model", &model, &why)) {
        if (why.code != CV_ERR_NOT_FOUND)
            return cv_fail(err, CV_ERR_FORMAT, KEY "model: expected a string");
        return cv_fail(err, CV_ERR_NOT_FOUND, KEY "model: missing; the file holds no tokenizer");
    }
    if (is(model, "none") || is(model, "no_vocab"))
        return cv_fail(err, CV_ERR_NOT_FOUND, KEY "model is 'none': the file holds no tokenizer");
    if (is(model, "llama")) {
        v->model = CV_VOCAB_SPM;
        return true;
    }
    v->model = CV_VOCAB_BPE;
    if (is(model, "gemma4")) {
        v->pretok = cv_pretok_get("gemma4", strlen("gemma4"));
    } else if (!is(model, "gpt2")) {
        return cv_fail(err, CV_ERR_UNSUPPORTED, KEY "model: '%.*s' is not supported",
                       (int)(model.n < 60 ? model.n : 60), model.p);
    } else if (cv_gguf_str(meta, KEY "pre", &pre, &why)) {
        v->pretok = cv_pretok_get(pre.p, pre.n);
        if (v->pretok == NULL)
            return cv_fail(err, CV_ERR_UNSUPPORTED, KEY "pre: the pre-tokenizer '%.*s' is not supported",
                           (int)(pre.n < 60 ? pre.n : 60), pre.p);
    } else if (why.code == CV_ERR_NOT_FOUND) {
        v->pretok = cv_pretok_get("default", strlen("default"));
    } else {
        return cv_fail(err, CV_ERR_FORMAT, KEY "pre: expected a string");
    }
    v->raw_text = v->pretok->raw_text;
    return cv_pretok_compile(&v->code, v->pretok, err);
}

bool cv_vocab_new(struct cv_vocab **out, const struct cv_gguf *meta, struct cv_error *err)
{
    struct cv_vocab *v = cv_zalloc(sizeof(*v));
    if (v == NULL)
        return no_memory(err);
    cv_names_init(&v->text);
    cv_names_init(&v->symbol);
    if (!read_model(v, meta, err) || !read_tokens(v, meta, err) || !read_kinds(v, meta, err))
        goto fail;
    if (v->model == CV_VOCAB_BPE ? !cv_vocab_read_bpe(v, meta, err) : !read_scores(v, meta, err))
        goto fail;
    v->words = v->model == CV_VOCAB_SPM && tokens_end_at_spaces(v);
    if (!cv_vocab_read_special(v, meta, err) || !make_pieces(v, err))
        goto fail;
    if (!cv_special_set_init(v, &v->all_special, CV_TOKEN_CONTROL | CV_TOKEN_UNKNOWN | CV_TOKEN_USER, 0, err) ||
        !cv_special_set_init(v, &v->user_special, CV_TOKEN_USER, CV_TOKEN_CONTROL | CV_TOKEN_UNKNOWN, err))
        goto fail;
    struct cv_tokens newline = {0};
    if (!cv_tokenize(v, "\n", 1, 0, &newline, err))
        goto fail;
    /* a SentencePiece model puts a space of its own first */
    v->special.nl = v->model == CV_VOCAB_SPM ? v->byte_token['\n'] : newline.n > 0 ? newline.id[0] : -1;
    cv_tokens_free(&newline);
    *out = v;
    return true;
fail:
    cv_vocab_free(v);
    return false;
}

void cv_vocab_free(struct cv_vocab *v)
{
    if (v == NULL)
        return;
    cv_pretok_free(v->code);
    cv_merges_fini(&v->merges);
    cv_names_fini(&v->symbol);
    cv_names_fini(&v->text);
    cv_free(v->symbol_token);
    cv_arena_fini(&v->arena);
    cv_free(v);
}

uint32_t cv_vocab_size(const struct cv_vocab *v)
{
    return v->n_token;
}

enum cv_vocab_model cv_vocab_model(const struct cv_vocab *v)
{
    return v->model;
}

const struct cv_vocab_special *cv_vocab_special(const struct cv_vocab *v)
{
    return &v->special;
}

int32_t cv_vocab_find(const struct cv_vocab *v, const char *text, size_t n)
{
    uint32_t id = cv_names_find(&v->text, text, n);
    return id == CV_NO_INDEX ? -1 : (int32_t)id;
}

static bool inside(const struct cv_vocab *v, int32_t id)
{
    return id >= 0 && (uint32_t)id < v->n_token;
}

unsigned cv_vocab_attr(const struct cv_vocab *v, int32_t id)
{
    return inside(v, id) ? v->attr[id] : 0;
}

bool cv_vocab_is_eog(const struct cv_vocab *v, int32_t id)
{
    return (cv_vocab_attr(v, id) & CV_TOKEN_EOG) != 0;
}

struct cv_str cv_vocab_text(const struct cv_vocab *v, int32_t id)
{
    return inside(v, id) ? v->text.item[id] : (struct cv_str){.p = "", .n = 0};
}

struct cv_str cv_vocab_piece(const struct cv_vocab *v, int32_t id, bool render_special)
{
    if (!inside(v, id) || (!render_special && (v->attr[id] & (CV_TOKEN_CONTROL | CV_TOKEN_UNKNOWN))))
        return (struct cv_str){.p = "", .n = 0};
    return v->piece[id];
}

const int32_t *cv_vocab_eog(const struct cv_vocab *v, size_t *n)
{
    *n = v->n_eog;
    return v->eog;
}
