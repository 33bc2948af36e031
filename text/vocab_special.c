/*
 * vocab_special.c - which tokens are special, and how.
 *
 * Files say it with ids and kinds, and often say it incompletely. What is missing is made up for from the texts that
 * published models use, as other engines do, so that a turn ends where the model means it to end.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/tokenize.h"
#include "text/vocab_internal.h"

#define KEY "tokenizer.ggml."

/* By rank: the first that a vocabulary has is its end of a turn. */
static const char *const eot_texts[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    ("<\xEF\xBD\x9C"
     "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>"),
    "<end_of_utterance>",
};

/* Each of these ends a generation. */
static const char *const eog_texts[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    ("<\xEF\xBD\x9C"
     "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>"),
    "[e~[",
};

/* Fill-in-the-middle: padding, repository and file marks end a generation too; the others are control tokens. */
static const char *const fim_pad_texts[] = {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"};
static const char *const fim_repo_texts[] = {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"};
static const char *const fim_file_texts[] = {"<|file_sep|>"};
static const char *const fim_prefix_texts[] = {"<|fim_prefix|>",
                                               "<fim-prefix>",
                                               "<fim_prefix>",
                                               ("<\xEF\xBD\x9C"
                                                "fim\xE2\x96\x81"
                                                "begin\xEF\xBD\x9C>"),
                                               "<PRE>",
                                               "\xE2\x96\x81<PRE>",
                                               "<|code_prefix|>",
                                               "<|prefix|>"};
static const char *const fim_suffix_texts[] = {"<|fim_suffix|>",
                                               "<fim-suffix>",
                                               "<fim_suffix>",
                                               ("<\xEF\xBD\x9C"
                                                "fim\xE2\x96\x81hole\xEF\xBD\x9C>"),
                                               "<SUF>",
                                               "\xE2\x96\x81<SUF>",
                                               "<|code_suffix|>",
                                               "<|suffix|>"};
static const char *const fim_middle_texts[] = {"<|fim_middle|>",
                                               "<fim-middle>",
                                               "<fim_middle>",
                                               ("<\xEF\xBD\x9C"
                                                "fim\xE2\x96\x81"
                                                "end\xEF\xBD\x9C>"),
                                               "<MID>",
                                               "\xE2\x96\x81<MID>",
                                               "<|code_middle|>",
                                               "<|middle|>"};

static int32_t find(const struct cv_vocab *v, const char *text)
{
    return cv_vocab_find(v, text, strlen(text));
}

static int32_t find_first(const struct cv_vocab *v, const char *const *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int32_t id = find(v, text[i]);
        if (id >= 0)
            return id;
    }
    return -1;
}

/* An id of the file; without one, or with one outside the vocabulary (such files exist), what it was before. */
static bool read_id(const struct cv_vocab *v, const struct cv_gguf *meta, const char *key, int32_t *id,
                    struct cv_error *err)
{
    if (*id >= 0 && (uint32_t)*id >= v->n_token)
        *id = -1;
    const struct cv_gguf_kv *kv = cv_gguf_find(meta, key);
    if (kv == NULL)
        return true;
    int64_t value;
    if (kv->type == CV_GGUF_ARRAY || !cv_gguf_kv_i64(kv, 0, &value))
        return cv_fail(err, CV_ERR_FORMAT, "%s: expected a token id", key);
    if (value >= 0 && value < (int64_t)v->n_token)
        *id = (int32_t)value;
    return true;
}

static bool read_flag(const struct cv_gguf *meta, const char *key, bool *flag, struct cv_error *err)
{
    struct cv_error why;
    if (cv_gguf_bool(meta, key, flag, &why) || why.code == CV_ERR_NOT_FOUND)
        return true;
    return cv_fail(err, CV_ERR_FORMAT, "%s: expected true or false", key);
}

/* A fill-in-the-middle token by id or text: it is control whatever the file says. */
static bool read_fim(struct cv_vocab *v, const struct cv_gguf *meta, const char *key, const char *const *text, size_t n,
                     unsigned attr, struct cv_error *err)
{
    int32_t id = -1;
    if (!read_id(v, meta, key, &id, err))
        return false;
    if (id < 0) {
        id = find_first(v, text, n);
        attr |= CV_TOKEN_CONTROL;
    }
    if (id >= 0)
        v->attr[id] |= (uint16_t)attr;
    return true;
}

static bool read_ids(struct cv_vocab *v, const struct cv_gguf *meta, struct cv_error *err)
{
    struct cv_vocab_special *s = &v->special;
    const bool spm = v->model == CV_VOCAB_SPM;
    *s = (struct cv_vocab_special){.bos = spm ? 1 : -1,
                                   .eos = spm ? 2 : -1,
                                   .unk = spm ? 0 : -1,
                                   .eot = -1,
                                   .eom = -1,
                                   .sep = -1,
                                   .pad = -1,
                                   .mask = -1,
                                   .nl = -1};
    s->add_bos = spm || v->pretok->add_bos;
    s->add_space_prefix = spm;
    return read_id(v, meta, KEY "bos_token_id", &s->bos, err) && read_id(v, meta, KEY "eos_token_id", &s->eos, err) &&
           read_id(v, meta, KEY "eot_token_id", &s->eot, err) && read_id(v, meta, KEY "eom_token_id", &s->eom, err) &&
           read_id(v, meta, KEY "unknown_token_id", &s->unk, err) &&
           read_id(v, meta, KEY "seperator_token_id", &s->sep, err) && /* the format's own spelling */
           read_id(v, meta, KEY "padding_token_id", &s->pad, err) &&
           read_id(v, meta, KEY "mask_token_id", &s->mask, err) &&
           read_flag(meta, KEY "add_bos_token", &s->add_bos, err) &&
           read_flag(meta, KEY "add_eos_token", &s->add_eos, err) &&
           read_flag(meta, KEY "add_space_prefix", &s->add_space_prefix, err);
}

static bool has_attr(const struct cv_vocab *v, int32_t id, unsigned attr)
{
    return id >= 0 && (v->attr[id] & attr) != 0;
}

static void mark_ends(struct cv_vocab *v)
{
    struct cv_vocab_special *s = &v->special;
    if (s->eot < 0) {
        s->eot = find_first(v, eot_texts, CV_COUNT(eot_texts));
        if (s->eot >= 0)
            v->attr[s->eot] |= CV_TOKEN_CONTROL;
    }
    if (s->eom < 0)
        s->eom = find(v, "<|eom_id|>");
    for (size_t i = 0; i < CV_COUNT(eog_texts); i++) {
        int32_t id = find(v, eog_texts[i]);
        if (id >= 0)
            v->attr[id] |= CV_TOKEN_EOG | CV_TOKEN_CONTROL;
    }
    /* The parts of a harmony message are read by a parser, so they are shown. */
    static const char *const shown[] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"};
    for (size_t i = 0; i < CV_COUNT(shown); i++) {
        int32_t id = find(v, shown[i]);
        if (id >= 0)
            v->attr[id] = (uint16_t)(CV_TOKEN_USER | (v->attr[id] & CV_TOKEN_EOG));
    }
    const int32_t ends[] = {s->eos, s->eot, s->eom};
    for (size_t i = 0; i < CV_COUNT(ends); i++) {
        if (ends[i] >= 0)
            v->attr[ends[i]] |= CV_TOKEN_EOG;
    }
    /* Where calls and returns have tokens of their own, <|end|> only ends a message among several. */
    bool calls = has_attr(v, find(v, "<|call|>"), CV_TOKEN_EOG) || has_attr(v, find(v, "<|calls|>"), CV_TOKEN_EOG);
    bool returns = has_attr(v, find(v, "<|return|>"), CV_TOKEN_EOG) || has_attr(v, find(v, "<|flush|>"), CV_TOKEN_EOG);
    int32_t end = find(v, "<|end|>");
    if (calls && returns && end >= 0)
        v->attr[end] = CV_TOKEN_USER;
    int32_t slash = find(v, "</s>");
    if (has_attr(v, find(v, "<|tool_response>"), CV_TOKEN_EOG) && slash >= 0)
        v->attr[slash] = CV_TOKEN_NORMAL;
}

static bool contains_ignoring_case(struct cv_str s, const char *part)
{
    size_t n = strlen(part);
    for (size_t at = 0; at + n <= s.n; at++) {
        size_t i = 0;
        while (i < n && tolower((unsigned char)s.p[at + i]) == part[i])
            i++;
        if (i == n)
            return true;
    }
    return false;
}

/* The files do not carry it: the special tokens of Phi-3 swallow the white space behind them, but for three. */
static void mark_strips(struct cv_vocab *v, const struct cv_gguf *meta)
{
    struct cv_str name;
    struct cv_error why;
    if (!cv_gguf_str(meta, "general.name", &name, &why) ||
        (!contains_ignoring_case(name, "phi-3") && !contains_ignoring_case(name, "phi3")))
        return;
    for (uint32_t i = 0; i < v->n_token; i++) {
        if (v->attr[i] & (CV_TOKEN_CONTROL | CV_TOKEN_UNKNOWN | CV_TOKEN_USER))
            v->attr[i] |= CV_TOKEN_RSTRIP;
    }
    static const char *const keep[] = {"<unk>", "<s>", "<|endoftext|>"};
    for (size_t i = 0; i < CV_COUNT(keep); i++) {
        int32_t id = find(v, keep[i]);
        if (id >= 0)
            v->attr[id] &= (uint16_t)~CV_TOKEN_RSTRIP;
    }
}

static bool read_never(struct cv_vocab *v, const struct cv_gguf *meta, struct cv_error *err)
{
    const struct cv_gguf_kv *kv = cv_gguf_find(meta, KEY "suppress_tokens");
    for (size_t i = 0; kv != NULL && i < kv->n; i++) {
        int64_t id;
        if (kv->type != CV_GGUF_ARRAY || !cv_gguf_kv_i64(kv, i, &id))
            return cv_fail(err, CV_ERR_FORMAT, KEY "suppress_tokens: expected an array of token ids");
        if (id >= 0 && id < (int64_t)v->n_token)
            v->attr[id] |= CV_TOKEN_NEVER;
    }
    return true;
}

bool cv_vocab_read_special(struct cv_vocab *v, const struct cv_gguf *meta, struct cv_error *err)
{
    if (!read_ids(v, meta, err))
        return false;
    const unsigned end = CV_TOKEN_EOG;
    if (!read_fim(v, meta, KEY "fim_pre_token_id", fim_prefix_texts, CV_COUNT(fim_prefix_texts), 0, err) ||
        !read_fim(v, meta, KEY "fim_suf_token_id", fim_suffix_texts, CV_COUNT(fim_suffix_texts), 0, err) ||
        !read_fim(v, meta, KEY "fim_mid_token_id", fim_middle_texts, CV_COUNT(fim_middle_texts), 0, err) ||
        !read_fim(v, meta, KEY "fim_pad_token_id", fim_pad_texts, CV_COUNT(fim_pad_texts), end, err) ||
        !read_fim(v, meta, KEY "fim_rep_token_id", fim_repo_texts, CV_COUNT(fim_repo_texts), end, err) ||
        !read_fim(v, meta, KEY "fim_sep_token_id", fim_file_texts, CV_COUNT(fim_file_texts), end, err))
        return false;
    mark_ends(v);
    mark_strips(v, meta);
    if (!read_never(v, meta, err))
        return false;
    if (v->model == CV_VOCAB_BPE && v->pretok->no_bos)
        v->special.bos = -1;
    v->special.add_bos = v->special.add_bos && v->special.bos >= 0;
    v->special.add_eos = v->special.add_eos && v->special.eos >= 0;
    for (uint32_t i = 0; i < v->n_token; i++)
        v->n_eog += (v->attr[i] & CV_TOKEN_EOG) != 0;
    v->eog = cv_arena_calloc(&v->arena, v->n_eog + 1, sizeof(*v->eog));
    if (v->eog == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "vocabulary: out of memory");
    size_t n = 0;
    for (uint32_t i = 0; i < v->n_token; i++) {
        if (v->attr[i] & CV_TOKEN_EOG)
            v->eog[n++] = (int32_t)i;
    }
    return true;
}

static int compare_texts(struct cv_str a, struct cv_str b)
{
    int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return order != 0 ? order : a.n < b.n ? -1 : a.n > b.n;
}

/* Merge sort: qsort has no place for the vocabulary. */
static void sort_by_text(const struct cv_vocab *v, int32_t *id, int32_t *spare, size_t n)
{
    if (n < 2)
        return;
    size_t half = n / 2;
    sort_by_text(v, id, spare, half);
    sort_by_text(v, id + half, spare, n - half);
    memcpy(spare, id, half * sizeof(*id));
    for (size_t a = 0, b = half, to = 0; a < half; to++) {
        bool right = b < n && compare_texts(v->text.item[id[b]], v->text.item[spare[a]]) < 0;
        id[to] = right ? id[b++] : spare[a++];
    }
}

bool cv_special_set_init(struct cv_vocab *v, struct cv_special_set *set, unsigned with, unsigned without,
                         struct cv_error *err)
{
    size_t n = 0;
    for (uint32_t i = 0; i < v->n_token; i++)
        n += (v->attr[i] & with) != 0 && (v->attr[i] & without) == 0;
    set->id = cv_arena_calloc(&v->arena, 2 * n + 1, sizeof(*set->id));
    if (set->id == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "vocabulary: out of memory");
    for (uint32_t i = 0; i < v->n_token; i++) {
        struct cv_str s = v->text.item[i];
        if ((v->attr[i] & with) == 0 || (v->attr[i] & without) != 0 || s.n == 0)
            continue;
        if (s.n > CV_MAX_SPECIAL_BYTES)
            return cv_fail(err, CV_ERR_LIMIT, KEY "tokens: special token %u has %zu bytes, at most %d are supported", i,
                           s.n, CV_MAX_SPECIAL_BYTES);
        set->first[(unsigned char)s.p[0]] = true;
        set->id[set->n++] = (int32_t)i;
    }
    sort_by_text(v, set->id, set->id + set->n, set->n);
    return true;
}

/* The first of set->id[from..to), all alike in their first depth bytes, whose byte at depth is at least c. */
static size_t lower_bound(const struct cv_vocab *v, const struct cv_special_set *set, size_t from, size_t to,
                          size_t depth, unsigned c)
{
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        struct cv_str s = v->text.item[set->id[middle]];
        if (s.n <= depth || (unsigned char)s.p[depth] < c)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

int32_t cv_special_find(const struct cv_vocab *v, const struct cv_special_set *set, const char *text, size_t n)
{
    int32_t best = -1;
    if (n == 0 || !set->first[(unsigned char)text[0]])
        return best;
    size_t from = 0, to = set->n;
    for (size_t depth = 0; depth < n && from < to; depth++) {
        unsigned c = (unsigned char)text[depth];
        from = lower_bound(v, set, from, to, depth, c);
        to = lower_bound(v, set, from, to, depth, c + 1);
        if (from < to && v->text.item[set->id[from]].n == depth + 1)
            best = set->id[from]; /* of tokens that begin alike the shortest stands first */
    }
    return best;
}
