/*
 * fuzz_tokenizer.c - any bytes through every kind of tokenizer: what byte-level BPE makes of a text turns back into it.
 *
 * The first byte chooses the pre-tokenizer and the flags. With its highest bit set the rest is the metadata of a vocabulary
 * instead (a GGUF header), and a fixed text is tokenized with it.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/text/small_vocab.h"
#include "text/detokenize.h"
#include "text/tokenize.h"

static const char *const pres[] = {"gpt-2",       "llama-bpe",  "qwen2",  "qwen35", "deepseek-llm", "deepseek-coder",
                                   "deepseek-v3", "falcon",     "tekken", "gpt-4o", "kimi-k2",      "starcoder",
                                   "default",     "exaone-moe", "youtu",  "bloom"};
static struct cv_vocab *vocab[CV_COUNT(pres) + 1];

static void require(bool ok)
{
    if (!ok)
        abort();
}

static struct cv_vocab *get(size_t which)
{
    struct cv_error err;
    if (vocab[which] == NULL) {
        struct small_vocab_options o = {.pre = which < CV_COUNT(pres) ? pres[which] : NULL,
                                        .spm = which == CV_COUNT(pres),
                                        .special = {"<|im_start|>", "<|im_end|>", "<tool>", "  "},
                                        .special_type = {3, 3, 4, 4}};
        vocab[which] = small_vocab(&o, &err);
        require(vocab[which] != NULL);
    }
    return vocab[which];
}

static void round_trip(const struct cv_vocab *v, const char *text, size_t n, unsigned flags, bool exact)
{
    struct cv_error err;
    struct cv_tokens t = {0};
    struct cv_buf b;
    struct cv_detok d;
    cv_buf_init(&b, 8u << 20);
    if (cv_tokenize(v, text, n, flags, &t, &err)) {
        require(cv_detokenize(v, t.id, t.n, CV_RENDER_SPECIAL, &b));
        require(!exact || (b.len == n && (n == 0 || memcmp(b.data, text, n) == 0)));
        cv_buf_clear(&b);
        cv_detok_init(&d, v, CV_RENDER_SPECIAL);
        for (size_t i = 0; i < t.n; i++)
            require(cv_detok_push(&d, t.id[i], &b));
        require(cv_detok_finish(&d, &b));
    }
    cv_buf_fini(&b);
    cv_tokens_free(&t);
}

static void any_vocabulary(const void *data, size_t n)
{
    static const char text[] = "Hello <|im_start|>world\n  12 caf\xC3\xA9 \xFF</s>";
    struct cv_error err;
    struct cv_arena arena = {.max_bytes = 64u << 20};
    struct cv_gguf *g;
    struct cv_vocab *v;
    if (cv_gguf_parse(&g, data, n, n, &arena, &err) && cv_vocab_new(&v, g, &err)) {
        round_trip(v, text, sizeof(text) - 1, CV_ADD_SPECIAL | CV_PARSE_SPECIAL, false);
        cv_vocab_free(v);
    }
    cv_arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 1u << 16)
        return 0;
    const uint8_t choice = data[0];
    if (choice & 0x80) {
        any_vocabulary(data + 1, size - 1);
        return 0;
    }
    size_t which = choice % (CV_COUNT(pres) + 1);
    round_trip(get(which), (const char *)data + 1, size - 1, choice & 0x40 ? CV_PARSE_SPECIAL : 0,
               which < CV_COUNT(pres));
    return 0;
}
