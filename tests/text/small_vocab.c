#include "tests/text/small_vocab.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

/* "left right": what becomes of it is a token as well. The space of GPT-2's alphabet is U+0120. */
static const char *const merges[] = {
    "\u0120 t", "h e",           "i n",        "\u0120 a",   "r e",         "\u0120t he",   "o n",
    "e r",      "\u0120 s",      "a t",        "\u0120 w",   "e n",         "o u",          "i t",
    "i s",      "o r",           "in g",       "e d",        "l l",         "h i",          "l o",
    "\u0120 h", "w o",           "a n",        "\u0120s on", "\u0120h e",   "\u0120he ll",  "\u0120hell o",
    "he ll",    "hell o",        "\u0120wo r", "\u0120w or", "\u0120wor l", "\u0120worl d", "a a",
    "aa aa",    "\u0120 \u0120", "1 2",
};

static size_t byte_text(unsigned byte, char out[4])
{
    bool plain = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    uint32_t cp = byte;
    if (!plain)
        cp = byte < 33 ? 256 + byte : byte < 161 ? 256 + 33 + (byte - 127) : 256 + 67;
    return cv_utf8_encode(cp, out);
}

struct cv_vocab *vocab_of(struct cv_gguf_writer *w, struct cv_error *err)
{
    struct cv_buf b;
    struct cv_arena arena = {0};
    struct cv_gguf *g;
    struct cv_vocab *v = NULL;
    cv_buf_init(&b, 64u << 20);
    if (cv_gguf_writer_finish(w, &b, err) && cv_gguf_parse(&g, b.data, b.len, b.len, &arena, err) &&
        !cv_vocab_new(&v, g, err))
        v = NULL;
    cv_arena_fini(&arena);
    cv_buf_fini(&b);
    return v;
}

enum { MAX_TOKENS = 600 };

struct list {
    struct cv_str text[MAX_TOKENS];
    int32_t type[MAX_TOKENS];
    float score[MAX_TOKENS];
    char store[MAX_TOKENS][24];
    size_t n;
};

static void add(struct list *l, const char *text, size_t n, int32_t type, float score)
{
    memcpy(l->store[l->n], text, n);
    l->text[l->n] = (struct cv_str){.p = l->store[l->n], .n = n};
    l->type[l->n] = type;
    l->score[l->n++] = score;
}

static void add_bpe(struct list *l)
{
    for (unsigned b = 0; b < 256; b++) {
        char text[4];
        add(l, text, byte_text(b, text), 1, 0.0f);
    }
    for (size_t i = 0; i < CV_COUNT(merges); i++) {
        char whole[24];
        const char *space = strchr(merges[i] + 1, ' ');
        int n = snprintf(whole, sizeof(whole), "%.*s%s", (int)(space - merges[i]), merges[i], space + 1);
        add(l, whole, (size_t)n, 1, 0.0f);
    }
}

static void add_spm(struct list *l)
{
    static const char *const pieces[] = {
        "\u2581",  "e",           "t",       "a",        "o",          "h",           "l",           "w",
        "r",       "d",           "\u2581t", "he",       "\u2581the",  "ll",          "lo",          "hello",
        "hell",    "\u2581hello", "wo",      "\u2581wo", "\u2581wor",  "ld",          "\u2581world", "or",
        "\u2581w", "\u2581a",     "\u2581h", "\u2581he", "\u2581hell", "\u2581\u2581"};
    add(l, "<unk>", 5, 2, 0.0f);
    add(l, "<s>", 3, 3, 0.0f);
    add(l, "</s>", 4, 3, 0.0f);
    for (unsigned b = 0; b < 256; b++) {
        char text[8];
        snprintf(text, sizeof(text), "<0x%02X>", b);
        add(l, text, 6, 6, 0.0f);
    }
    for (size_t i = 0; i < CV_COUNT(pieces); i++)
        add(l, pieces[i], strlen(pieces[i]), 1, -(float)i);
}

struct cv_vocab *small_vocab(const struct small_vocab_options *o, struct cv_error *err)
{
    static struct list l;
    l.n = 0;
    if (o->spm)
        add_spm(&l);
    else
        add_bpe(&l);
    for (size_t i = 0; i < SMALL_EXTRA && o->special[i] != NULL; i++)
        add(&l, o->special[i], strlen(o->special[i]), o->special_type[i], 0.0f);
    const char *model = o->spm ? "llama" : "gpt2", *pre = o->pre == NULL ? "gpt-2" : o->pre;
    struct cv_str merge[CV_COUNT(merges)];
    for (size_t i = 0; i < CV_COUNT(merges); i++)
        merge[i] = (struct cv_str){.p = merges[i], .n = strlen(merges[i])};
    struct cv_gguf_writer *w = cv_gguf_writer_new(0);
    struct cv_vocab *v = NULL;
    if (w != NULL && cv_gguf_put_str(w, "tokenizer.ggml.model", model, strlen(model), err) &&
        cv_gguf_put_str(w, "tokenizer.ggml.pre", pre, strlen(pre), err) &&
        cv_gguf_put_strings(w, "tokenizer.ggml.tokens", l.text, l.n, err) &&
        cv_gguf_put_array(w, "tokenizer.ggml.token_type", CV_GGUF_I32, l.type, l.n, err) &&
        cv_gguf_put_array(w, "tokenizer.ggml.scores", CV_GGUF_F32, l.score, l.n, err) &&
        cv_gguf_put_strings(w, "tokenizer.ggml.merges", merge, CV_COUNT(merges), err) &&
        (o->never == 0 || cv_gguf_put_array(w, "tokenizer.ggml.suppress_tokens", CV_GGUF_I32, &o->never, 1, err)) &&
        (o->name == NULL || cv_gguf_put_str(w, "general.name", o->name, strlen(o->name), err)))
        v = vocab_of(w, err);
    cv_gguf_writer_free(w);
    return v;
}
