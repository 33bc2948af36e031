/* suite_vocab.c - tokenizers of real models: text to tokens and back. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "tests/conformance_runner/runner.h"
#include "text/detokenize.h"
#include "text/tokenize.h"

/* Counts one kind of checks of one vocabulary; the first failure is told. */
struct tally {
    unsigned n, n_bad;
    char first[400];
};

static void note(struct tally *t, bool ok, const char *what, size_t index)
{
    t->n++;
    if (!ok && t->n_bad++ == 0)
        snprintf(t->first, sizeof(t->first), "case %zu: %s", index, what);
}

static void report(struct runner *r, const char *name, const char *kind, const struct tally *t)
{
    char full[160];
    snprintf(full, sizeof(full), "%s %s", name, kind);
    if (t->n_bad == 0)
        runner_pass(r, full, "%u cases", t->n);
    else
        runner_fail(r, full, "%u of %u cases differ; %s", t->n_bad, t->n, t->first);
}

static bool same_ids(const int32_t *a, size_t n, const json_t *want)
{
    bool same = json_array_size(want) == n;
    for (size_t i = 0; same && i < n; i++)
        same = json_integer_value(json_array_get(want, i)) == a[i];
    return same;
}

static void check_special(struct runner *r, const char *name, const json_t *json, const struct cv_vocab *v)
{
    const json_t *want = json_object_get(json, "special");
    const struct cv_vocab_special *s = cv_vocab_special(v);
    const struct {
        const char *key;
        int64_t got;
    } ids[] = {{"bos", s->bos}, {"eos", s->eos}, {"sep", s->sep}, {"nl", s->nl}, {"pad", s->pad}, {"mask", s->mask}};
    struct tally t = {0};
    for (size_t i = 0; i < CV_COUNT(ids); i++)
        note(&t, json_int(want, ids[i].key, -2) == ids[i].got, ids[i].key, i);
    note(&t, json_flag(want, "add_bos", false) == s->add_bos, "add_bos", 0);
    note(&t, json_flag(want, "add_eos", false) == s->add_eos, "add_eos", 0);
    note(&t, json_int(json, "n_vocab", -1) == cv_vocab_size(v), "n_vocab", 0);
    /* of several ends of a turn the reference takes any as the one; that it ends a generation is what counts */
    const int64_t eot = json_int(want, "eot", -1);
    note(&t, eot < 0 || cv_vocab_is_eog(v, (int32_t)eot), "eot", 0);
    size_t n_eog;
    const int32_t *eog = cv_vocab_eog(v, &n_eog);
    note(&t, same_ids(eog, n_eog, json_object_get(json, "eog")), "eog", 0);
    report(r, name, "special", &t);
}

/* Every stretch of valid UTF-8 of text must be found in got, in order. */
static bool keeps_valid_part(const char *text, size_t n, const char *got, size_t n_got)
{
    size_t from = 0;
    for (size_t at = 0; at < n;) {
        uint32_t cp;
        size_t len = cv_utf8_valid_prefix(text + at, n - at);
        if (len > 0) {
            while (from + len <= n_got && memcmp(got + from, text + at, len) != 0)
                from++;
            if (from + len > n_got)
                return false;
            from += len;
            at += len;
        }
        while (at < n && cv_utf8_decode(text + at, n - at, &cp) == 0)
            at++;
    }
    return true;
}

/* A vocabulary that was cut may lack the token of a space: it then comes back as the U+2581 it was written as. */
static void restore_spaces(struct cv_buf *b)
{
    static const char mark[3] = {'\xE2', '\x96', '\x81'};
    size_t to = 0;
    for (size_t at = 0; at < b->len; to++) {
        bool space = b->len - at >= sizeof(mark) && memcmp(b->data + at, mark, sizeof(mark)) == 0;
        b->data[to] = space ? ' ' : b->data[at];
        at += space ? sizeof(mark) : 1;
    }
    b->len = to;
}

static void check_tokenize(struct runner *r, const char *name, const json_t *json, const struct cv_vocab *v)
{
    struct tally valid = {0}, invalid = {0};
    size_t i;
    const json_t *c;
    json_array_foreach(json_object_get(json, "tokenize"), i, c)
    {
        struct cv_tokens got = {0};
        struct cv_error err = {0};
        const json_t *plain = json_object_get(c, "text");
        size_t n = json_string_length(plain);
        char *decoded = plain == NULL ? json_base64(json_text(c, "text_b64", ""), &n) : NULL;
        const char *text = plain == NULL ? decoded : json_string_value(plain);
        const unsigned flags = (json_flag(c, "add_special", false) ? CV_ADD_SPECIAL : 0u) |
                               (json_flag(c, "parse_special", false) ? CV_PARSE_SPECIAL : 0u);
        bool ok = text != NULL && cv_tokenize(v, text, n, flags, &got, &err);
        char what[360];
        snprintf(what, sizeof(what), "'%.150s' %.200s", text == NULL ? "" : text, err.msg);
        if (json_flag(c, "invalid_utf8", false)) {
            struct cv_buf back;
            cv_buf_init(&back, 1u << 20);
            ok = ok && cv_detokenize(v, got.id, got.n, CV_RENDER_SPECIAL, &back);
            restore_spaces(&back);
            note(&invalid, ok && keeps_valid_part(text, n, back.data, back.len), what, i);
            cv_buf_fini(&back);
        } else {
            note(&valid, ok && same_ids(got.id, got.n, json_object_get(c, "tokens")), what, i);
        }
        cv_tokens_free(&got);
        cv_free(decoded);
    }
    report(r, name, "tokenize", &valid);
    report(r, name, "invalid UTF-8", &invalid);
}

/*
 * The reference writes [UNK_BYTE_0x<hex><the token's text>] for a character outside the alphabet of byte-level BPE; the
 * models' own tokenizers write the text itself, and so do we. Replaces such markers in place.
 */
static size_t without_markers(char *s, size_t n)
{
    static const char mark[] = "[UNK_BYTE_0x";
    size_t to = 0;
    for (size_t at = 0; at < n;) {
        size_t end = at + sizeof(mark) - 1;
        if (end > n || memcmp(s + at, mark, sizeof(mark) - 1) != 0) {
            s[to++] = s[at++];
            continue;
        }
        for (; end < n && strchr("0123456789abcdef", s[end]) != NULL; end++)
            ;
        for (; end < n && s[end] != ']'; end++)
            s[to++] = s[end];
        at = end + 1;
    }
    return to;
}

static void check_back(struct runner *r, const char *name, const json_t *json, const struct cv_vocab *v)
{
    struct tally texts = {0}, pieces = {0};
    size_t i;
    const json_t *c;
    json_array_foreach(json_object_get(json, "detokenize"), i, c)
    {
        struct cv_buf got;
        size_t n = 0, n_want = 0;
        int32_t *ids = json_ids(c, "tokens", &n);
        char *want = json_base64(json_text(c, "bytes_b64", ""), &n_want);
        const unsigned flags = CV_CLEAN_SPACES | (json_flag(c, "remove_special", false) ? CV_REMOVE_SPECIAL : 0u) |
                               (json_flag(c, "unparse_special", false) ? CV_RENDER_SPECIAL : 0u);
        cv_buf_init(&got, 1u << 20);
        bool ok = ids != NULL && want != NULL && cv_detokenize(v, ids, n, flags, &got);
        n_want = ok ? without_markers(want, n_want) : 0;
        note(&texts, ok && got.len == n_want && (n_want == 0 || memcmp(got.data, want, n_want) == 0),
             got.data == NULL ? "" : got.data, i);
        cv_buf_fini(&got);
        cv_free(want);
        cv_free(ids);
    }
    json_array_foreach(json_object_get(json, "pieces"), i, c)
    {
        size_t n = 0;
        char *want = json_base64(json_text(c, "bytes_b64", ""), &n);
        struct cv_str got = cv_vocab_piece(v, (int32_t)json_int(c, "token", -1), true);
        n = want == NULL ? 0 : without_markers(want, n);
        note(&pieces, want != NULL && got.n == n && memcmp(got.p, want, n) == 0, got.p, i);
        cv_free(want);
    }
    report(r, name, "detokenize", &texts);
    report(r, name, "pieces", &pieces);
}

static void one_file(struct runner *r, const char *dir, const char *name, const json_t *json)
{
    size_t len = 0;
    struct cv_arena arena = {0};
    struct cv_gguf *g = NULL;
    struct cv_vocab *v = NULL;
    struct cv_error err = {0};
    char *file = runner_file(r, name, dir, json_text(json, "gguf", ""), &len);
    if (file == NULL)
        return;
    if (!cv_gguf_parse(&g, file, len, len, &arena, &err)) {
        runner_fail(r, name, "%s", err.msg);
    } else if (!cv_vocab_new(&v, g, &err)) {
        if (err.code == CV_ERR_UNSUPPORTED)
            runner_unsupported(r, name, "%s", err.msg);
        else
            runner_fail(r, name, "%s", err.msg);
    } else {
        check_special(r, name, json, v);
        check_tokenize(r, name, json, v);
        check_back(r, name, json, v);
        cv_vocab_free(v);
    }
    cv_arena_fini(&arena);
    cv_free(file);
}

void suite_vocab(struct runner *r, const char *dir)
{
    runner_each(r, dir, one_file);
}
