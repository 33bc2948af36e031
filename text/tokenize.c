#include "text/tokenize.h"

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/merge.h"
#include "text/vocab_internal.h"

bool cv_tokens_push(struct cv_tokens *t, int32_t id)
{
    if (t->n == t->cap) {
        size_t cap = t->cap == 0 ? 64 : t->cap * 2;
        int32_t *grown = cv_realloc(t->id, cap, sizeof(*grown));
        if (grown == NULL)
            return false;
        t->id = grown;
        t->cap = cap;
    }
    t->id[t->n++] = id;
    return true;
}

void cv_tokens_clear(struct cv_tokens *t)
{
    t->n = 0;
}

void cv_tokens_free(struct cv_tokens *t)
{
    cv_free(t->id);
    *t = (struct cv_tokens){0};
}

/* One call's worth of state. */
struct job {
    const struct cv_vocab *v;
    struct cv_tokens *out;
    struct cv_merge merge;
    struct cv_pretok_scratch scratch;
    char *spaced; /* a piece of text with its spaces written as U+2581 */
    size_t spaced_cap;
};

static bool no_memory(struct cv_error *err)
{
    return cv_fail(err, CV_ERR_NOMEM, "tokenizer: out of memory");
}

/* What a byte becomes that no token covers: nothing, if the vocabulary has no token for it either. */
static bool put_byte(struct job *j, unsigned char byte)
{
    const struct cv_vocab *v = j->v;
    int32_t id = v->byte_token[byte];
    if (v->model == CV_VOCAB_BPE && !v->raw_text)
        id = v->symbol_token[v->byte_symbol[byte]];
    else if (id < 0)
        id = v->special.unk;
    return id < 0 || cv_tokens_push(j->out, id);
}

static bool put_node(struct job *j, const struct cv_merge_node *node, const char *text, uint32_t end)
{
    int32_t id = node->id;
    if (j->v->model == CV_VOCAB_BPE && id != CV_MERGE_NONE)
        id = j->v->symbol_token[id];
    if (id >= 0)
        return cv_tokens_push(j->out, id);
    for (uint32_t at = node->start; at < end; at++) {
        if (!put_byte(j, (unsigned char)text[at]))
            return false;
    }
    return true;
}

/* Merges the nodes of text[0..n) and appends what they become. */
static bool merge_and_put(struct job *j, const char *text, size_t n, struct cv_error *err)
{
    struct cv_merge *m = &j->merge;
    m->vocab = j->v;
    m->text = text;
    m->n_text = (uint32_t)n;
    cv_merge_run(m);
    for (uint32_t i = 0; i != CV_NO_INDEX; i = m->node[i].next) {
        uint32_t end = m->node[i].next == CV_NO_INDEX ? (uint32_t)n : m->node[m->node[i].next].start;
        if (!put_node(j, &m->node[i], text, end))
            return no_memory(err);
    }
    return true;
}

/* Nodes are characters (a byte that begins none is one of its own). */
static bool nodes_of_characters(struct job *j, const char *text, size_t n, const struct cv_names *names)
{
    struct cv_merge *m = &j->merge;
    if (!cv_merge_reserve(m, n))
        return false;
    m->n = 0;
    for (size_t at = 0; at < n;) {
        uint32_t cp;
        size_t len = (unsigned char)text[at] < 0x80 ? 1 : cv_utf8_decode(text + at, n - at, &cp);
        len = len == 0 ? 1 : len;
        uint32_t index = cv_names_find(names, text + at, len);
        m->node[m->n++] =
            (struct cv_merge_node){.start = (uint32_t)at, .id = index == CV_NO_INDEX ? CV_MERGE_NONE : (int32_t)index};
        at += len;
    }
    return true;
}

/*
 * Merging takes some fifty bytes of memory for each byte of a word. No word of a real text is anywhere near this long; one
 * that is gets cut (between characters), so that a request cannot make us allocate without end.
 */
enum { LONGEST_WORD = 1 << 18 };

static size_t cut(const char *word, size_t n)
{
    if (n <= LONGEST_WORD)
        return n;
    size_t end = LONGEST_WORD;
    while (end > LONGEST_WORD - 3 && ((unsigned char)word[end] & 0xC0) == 0x80)
        end--;
    return end;
}

/* A word of byte-level BPE, not longer than the longest. */
static bool put_word(struct job *j, const char *word, size_t n, struct cv_error *err)
{
    const struct cv_vocab *v = j->v;
    bool newlines = v->raw_text && memchr(word, '\n', n) != NULL; /* such a piece holds nothing else */
    if (v->pretok->ignore_merges || newlines) {
        uint32_t symbol = cv_names_find(&v->symbol, word, n);
        if (symbol != CV_NO_INDEX && v->symbol_token[symbol] >= 0)
            return cv_tokens_push(j->out, v->symbol_token[symbol]) || no_memory(err);
    }
    if (v->raw_text) {
        if (!nodes_of_characters(j, word, n, &v->symbol))
            return no_memory(err);
    } else {
        struct cv_merge *m = &j->merge;
        if (!cv_merge_reserve(m, n))
            return no_memory(err);
        for (m->n = 0; m->n < n; m->n++)
            m->node[m->n] = (struct cv_merge_node){.start = (uint32_t)m->n,
                                                   .id = (int32_t)v->byte_symbol[(unsigned char)word[m->n]]};
    }
    return merge_and_put(j, word, n, err);
}

static bool put_words(void *ctx, const char *word, size_t n, struct cv_error *err) /* a cv_word_fn */
{
    while (n > 0) {
        size_t len = cut(word, n);
        if (!put_word(ctx, word, len, err))
            return false;
        word += len;
        n -= len;
    }
    return true;
}

/* The patterns want valid UTF-8; what is not is a word of its own. */
static bool put_bpe(struct job *j, const char *text, size_t n, struct cv_error *err)
{
    while (n > 0) {
        size_t valid = cv_utf8_valid_prefix(text, n);
        if (!cv_pretok_split(j->v->code, &j->scratch, text, valid, put_words, j, err))
            return false;
        size_t bad = valid;
        uint32_t cp;
        while (bad < n && cv_utf8_decode(text + bad, n - bad, &cp) == 0)
            bad++;
        if (bad > valid && !put_words(j, text + valid, bad - valid, err))
            return false;
        text += bad;
        n -= bad;
    }
    return true;
}

static const char word_mark[3] = {'\xE2', '\x96', '\x81'}; /* U+2581 stands for a space */

/* j->spaced = text with its spaces replaced, behind one more if prefix. */
static bool write_spaces(struct job *j, const char *text, size_t n, bool prefix, size_t *n_spaced)
{
    size_t need = n + sizeof(word_mark);
    for (size_t i = 0; i < n; i++)
        need += text[i] == ' ' ? sizeof(word_mark) - 1 : 0;
    if (need > j->spaced_cap) {
        char *grown = cv_realloc(j->spaced, need, 1);
        if (grown == NULL)
            return false;
        j->spaced = grown;
        j->spaced_cap = need;
    }
    size_t to = 0;
    if (prefix) {
        memcpy(j->spaced, word_mark, sizeof(word_mark));
        to = sizeof(word_mark);
    }
    for (size_t i = 0; i < n; i++) {
        if (text[i] == ' ') {
            memcpy(j->spaced + to, word_mark, sizeof(word_mark));
            to += sizeof(word_mark);
        } else {
            j->spaced[to++] = text[i];
        }
    }
    *n_spaced = to;
    return true;
}

/* Where the word that begins at text ends: before the first U+2581 that follows something else. */
static size_t word_length(const char *text, size_t n)
{
    size_t at = 0;
    while (n - at >= sizeof(word_mark) && memcmp(text + at, word_mark, sizeof(word_mark)) == 0)
        at += sizeof(word_mark);
    while (at < n && !(n - at >= sizeof(word_mark) && memcmp(text + at, word_mark, sizeof(word_mark)) == 0))
        at++;
    return at;
}

static bool put_spm(struct job *j, const char *text, size_t n, bool prefix, struct cv_error *err)
{
    size_t left;
    if (!write_spaces(j, text, n, prefix, &left))
        return no_memory(err);
    for (const char *word = j->spaced; left > 0;) {
        size_t len = cut(word, j->v->words ? word_length(word, left) : left);
        if (!nodes_of_characters(j, word, len, &j->v->text))
            return no_memory(err);
        if (!merge_and_put(j, word, len, err))
            return false;
        word += len;
        left -= len;
    }
    return true;
}

static bool put_text(struct job *j, const char *text, size_t n, bool after_special, struct cv_error *err)
{
    if (n == 0)
        return true;
    if (j->v->model == CV_VOCAB_SPM)
        return put_spm(j, text, n, after_special && j->v->special.add_space_prefix, err);
    if (!j->v->raw_text)
        return put_bpe(j, text, n, err);
    size_t n_spaced;
    if (!write_spaces(j, text, n, false, &n_spaced))
        return no_memory(err);
    return put_bpe(j, j->spaced, n_spaced, err);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Cuts out special tokens; what lies between them is text. */
static bool put_all(struct job *j, const char *text, size_t n, unsigned flags, struct cv_error *err)
{
    const struct cv_vocab *v = j->v;
    const struct cv_special_set *set = flags & CV_PARSE_SPECIAL ? &v->all_special : &v->user_special;
    bool after_special = true; /* the beginning counts as one */
    size_t begin = 0;
    for (size_t at = 0; at < n;) {
        int32_t id = set->first[(unsigned char)text[at]] ? cv_special_find(v, set, text + at, n - at) : -1;
        if (id < 0) {
            at++;
            continue;
        }
        size_t end = at;
        while (end > begin && (v->attr[id] & CV_TOKEN_LSTRIP) && is_space(text[end - 1]))
            end--;
        if (!put_text(j, text + begin, end - begin, after_special, err))
            return false;
        if (!cv_tokens_push(j->out, id))
            return no_memory(err);
        at += v->text.item[id].n;
        while (at < n && (v->attr[id] & CV_TOKEN_RSTRIP) && is_space(text[at]))
            at++;
        begin = at;
        after_special = true;
    }
    return put_text(j, text + begin, n - begin, after_special, err);
}

bool cv_tokenize(const struct cv_vocab *v, const char *text, size_t n, unsigned flags, struct cv_tokens *out,
                 struct cv_error *err)
{
    if (n > CV_MAX_HTTP_BODY)
        return cv_fail(err, CV_ERR_LIMIT, "a text of %zu bytes, at most %u can be tokenized", n, CV_MAX_HTTP_BODY);
    struct job j = {.v = v, .out = out};
    const size_t before = out->n;
    bool ok = true;
    if ((flags & CV_ADD_SPECIAL) && v->special.add_bos)
        ok = cv_tokens_push(out, v->special.bos) || no_memory(err);
    ok = ok && put_all(&j, text, n, flags, err);
    if (ok && (flags & CV_ADD_SPECIAL) && v->special.add_eos)
        ok = cv_tokens_push(out, v->special.eos) || no_memory(err);
    if (!ok)
        out->n = before;
    cv_merge_fini(&j.merge);
    cv_pretok_scratch_fini(&j.scratch);
    cv_free(j.spaced);
    return ok;
}
