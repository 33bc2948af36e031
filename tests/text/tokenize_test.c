/* tokenize_test.c - vocabularies and tokenizers, against plain definitions and on hostile input. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tests/check/check.h"
#include "tests/text/small_vocab.h"
#include "text/detokenize.h"
#include "text/pretok.h"
#include "text/tokenize.h"

static struct cv_error err;

static struct cv_vocab *make(const struct small_vocab_options *o)
{
    struct cv_vocab *v = small_vocab(o, &err);
    CHECK_OK(v != NULL, err);
    return v;
}

static struct cv_vocab *with_specials(const char *pre)
{
    const struct small_vocab_options o = {
        .pre = pre,
        .special = {"<|im_start|>", "<|im_end|>", "<|im", "<tool>", "<tool>call", "<|endoftext|>"},
        .special_type = {3, 3, 3, 4, 4, 3}};
    return make(&o);
}

/* The pieces, one after another with bars between them, control tokens rendered. */
static const char *pieces(const struct cv_vocab *v, const char *text, size_t n, unsigned flags)
{
    static char out[4096];
    struct cv_tokens t = {0};
    size_t len = 0;
    CHECK_OK(cv_tokenize(v, text, n, flags, &t, &err), err);
    for (size_t i = 0; i < t.n; i++) {
        struct cv_str p = cv_vocab_piece(v, t.id[i], true);
        CHECK(len + p.n + 2 < sizeof(out));
        if (i > 0)
            out[len++] = '|';
        memcpy(out + len, p.p, p.n);
        len += p.n;
    }
    out[len] = '\0';
    cv_tokens_free(&t);
    return out;
}

#define PIECES(v, text, flags) pieces((v), (text), strlen(text), (flags))

static void test_merges_by_rank_within_words(void)
{
    struct cv_vocab *v = with_specials(NULL);
    CHECK_STR(PIECES(v, "hello world", 0), "hello| world");
    CHECK_STR(PIECES(v, "hello  world", 0), "hello| | world");
    CHECK_STR(PIECES(v, "in the swing", 0), "in| the| s|w|ing");
    CHECK_STR(PIECES(v, "aaaaa", 0), "aaaa|a");
    CHECK_STR(PIECES(v, "", 0), "");
    CHECK_STR(PIECES(v, "112", 0), "1|12"); /* gpt-2 leaves digits together */
    cv_vocab_free(v);
    v = with_specials("qwen2");
    CHECK_STR(PIECES(v, "112", 0), "1|1|2");
    cv_vocab_free(v);
}

static void test_control_tokens_are_plain_text_unless_asked_for(void)
{
    struct cv_vocab *v = with_specials(NULL);
    CHECK_STR(PIECES(v, "a<|im_end|>b", CV_PARSE_SPECIAL), "a|<|im_end|>|b");
    struct cv_tokens t = {0};
    CHECK_OK(cv_tokenize(v, "<|im_end|>", 10, 0, &t, &err), err);
    CHECK(t.n > 5);
    for (size_t i = 0; i < t.n; i++)
        CHECK(!(cv_vocab_attr(v, t.id[i]) & CV_TOKEN_CONTROL));
    cv_tokens_free(&t);
    cv_vocab_free(v);
}

static void test_the_longest_special_token_wins(void)
{
    struct cv_vocab *v = with_specials(NULL);
    CHECK_STR(PIECES(v, "<|im<|im_start|><|im_", CV_PARSE_SPECIAL), "<|im|<|im_start|>|<|im|_");
    CHECK_STR(PIECES(v, "<tool>cal<tool>call", 0), "<tool>|c|a|l|<tool>call"); /* user-defined: always */
    cv_vocab_free(v);
}

static void test_specials_swallow_the_space_behind_them_in_phi_3(void)
{
    struct small_vocab_options o = {
        .special = {"<|user|>", "<|endoftext|>"}, .special_type = {3, 3}, .name = "Phi-3 mini"};
    struct cv_vocab *v = make(&o);
    CHECK_STR(PIECES(v, "<|user|> \n\ta<|endoftext|> a", CV_PARSE_SPECIAL), "<|user|>|a|<|endoftext|>| a");
    cv_vocab_free(v);
    o.name = "other";
    v = make(&o);
    CHECK_STR(PIECES(v, "<|user|> a", CV_PARSE_SPECIAL), "<|user|>| a");
    cv_vocab_free(v);
}

static void test_knows_what_ends_a_generation(void)
{
    struct cv_vocab *v = with_specials(NULL);
    size_t n;
    const int32_t *eog = cv_vocab_eog(v, &n);
    CHECK_EQ(n, 2);
    CHECK_EQ(eog[0], cv_vocab_find(v, "<|im_end|>", 10));
    CHECK_EQ(eog[1], cv_vocab_find(v, "<|endoftext|>", 13));
    CHECK(cv_vocab_is_eog(v, eog[0]) && !cv_vocab_is_eog(v, 0) && !cv_vocab_is_eog(v, -1));
    CHECK(!cv_vocab_is_eog(v, INT32_MAX));
    CHECK_EQ(cv_vocab_special(v)->eot, eog[0]);
    CHECK_EQ(cv_vocab_special(v)->bos, -1);
    cv_vocab_free(v);
    struct small_vocab_options o = {.special = {"<|end|>", "<|return|>", "<|call|>", "<|channel|>"},
                                    .special_type = {3, 3, 3, 3}};
    v = make(&o);
    CHECK(!cv_vocab_is_eog(v, cv_vocab_find(v, "<|end|>", 7)));
    CHECK(cv_vocab_is_eog(v, cv_vocab_find(v, "<|call|>", 8)));
    CHECK_EQ(cv_vocab_piece(v, cv_vocab_find(v, "<|channel|>", 11), false).n, 11);
    CHECK_EQ(cv_vocab_piece(v, cv_vocab_find(v, "<|call|>", 8), false).n, 0);
    cv_vocab_free(v);
}

static void test_sentencepiece_puts_a_space_first_and_falls_back_to_bytes(void)
{
    struct small_vocab_options o = {.spm = true};
    struct cv_vocab *v = make(&o);
    CHECK_STR(PIECES(v, "hello world", 0), " hello| world");
    CHECK_STR(PIECES(v, "hello world", CV_ADD_SPECIAL), "<s>| hello| world");
    CHECK_STR(PIECES(v, " hello", 0), " | hello");
    CHECK_STR(PIECES(v, "the<s>the", CV_PARSE_SPECIAL), " the|<s>| the");
    CHECK_STR(PIECES(v, "", CV_ADD_SPECIAL), "<s>");
    CHECK_STR(PIECES(v, "\xC3\xA9", 0), " |\xC3|\xA9");
    CHECK_EQ(cv_vocab_special(v)->nl, 3 + '\n');
    struct cv_tokens t = {0};
    struct cv_buf b;
    cv_buf_init(&b, 1000);
    CHECK_OK(cv_tokenize(v, "hello  the \xFF world", 18, CV_ADD_SPECIAL, &t, &err), err);
    CHECK(cv_detokenize(v, t.id, t.n, CV_REMOVE_SPECIAL, &b));
    CHECK_STR(b.data,
              " hello  the \xFF world"); /* the space after BOS is the tokenizer's own, as the reference has it */
    cv_buf_clear(&b);
    CHECK(cv_detokenize(v, t.id + 1, t.n - 1, 0, &b));
    CHECK_STR(b.data, "hello  the \xFF world");
    cv_buf_fini(&b);
    cv_tokens_free(&t);
    cv_vocab_free(v);
}

enum { MAX_RULES = 24, MAX_WORD = 200, MAX_TOKEN = 12 };

struct rule {
    char text[2 * MAX_TOKEN + 2]; /* "left right" */
    size_t n_left, n_right;
};

static bool is_rule(const struct rule *r, struct cv_str left, struct cv_str right)
{
    return r->n_left == left.n && r->n_right == right.n && memcmp(r->text, left.p, left.n) == 0 &&
           memcmp(r->text + left.n + 1, right.p, right.n) == 0;
}

/* The definition: join the leftmost pair of the lowest rank, over and over. */
static size_t plain_bpe(const struct rule *rule, size_t n_rule, const char *text, size_t n, struct cv_str *part)
{
    for (size_t i = 0; i < n; i++)
        part[i] = (struct cv_str){text + i, 1};
    for (;;) {
        size_t best = n_rule, at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            for (size_t r = 0; r < best; r++) {
                if (is_rule(&rule[r], part[i], part[i + 1])) {
                    best = r;
                    at = i;
                }
            }
        }
        if (best == n_rule)
            return n;
        part[at].n += part[at + 1].n;
        memmove(part + at + 1, part + at + 2, (n - at - 2) * sizeof(*part));
        n--;
    }
}

/* Rules that join tokens to new ones, at random; returns how many, *n_token grows. */
static size_t random_rules(struct rule *rule, char (*token)[MAX_TOKEN + 1], size_t *n_token)
{
    size_t n = 0;
    for (int tries = 0; tries < 200 && n < MAX_RULES; tries++) {
        const char *a = token[check_below(*n_token)], *b = token[check_below(*n_token)];
        struct cv_str left = {a, strlen(a)}, right = {b, strlen(b)};
        bool known = left.n + right.n > MAX_TOKEN;
        for (size_t i = 0; i < n; i++)
            known = known || is_rule(&rule[i], left, right);
        if (known)
            continue;
        struct rule *r = &rule[n++];
        *r = (struct rule){.n_left = left.n, .n_right = right.n};
        memcpy(r->text, a, left.n);
        r->text[left.n] = ' ';
        memcpy(r->text + left.n + 1, b, right.n);
        char *whole = token[*n_token];
        memcpy(whole, a, left.n);
        memcpy(whole + left.n, b, right.n);
        whole[left.n + right.n] = '\0';
        for (size_t i = 0; i < *n_token; i++)
            known = known || strcmp(token[i], whole) == 0;
        *n_token += !known;
    }
    return n;
}

static struct cv_vocab *vocab_of_rules(const struct rule *rule, size_t n_rule, char (*token)[MAX_TOKEN + 1],
                                       size_t n_token)
{
    struct cv_str text[3 + MAX_RULES], pair[MAX_RULES];
    for (size_t i = 0; i < n_token; i++)
        text[i] = (struct cv_str){token[i], strlen(token[i])};
    for (size_t i = 0; i < n_rule; i++)
        pair[i] = (struct cv_str){rule[i].text, rule[i].n_left + rule[i].n_right + 1};
    struct cv_gguf_writer *w = cv_gguf_writer_new(0);
    CHECK(w != NULL);
    CHECK_OK(cv_gguf_put_str(w, "tokenizer.ggml.model", "gpt2", 4, &err), err);
    CHECK_OK(cv_gguf_put_str(w, "tokenizer.ggml.pre", "gpt-2", 5, &err), err);
    CHECK_OK(cv_gguf_put_strings(w, "tokenizer.ggml.tokens", text, n_token, &err), err);
    CHECK_OK(cv_gguf_put_strings(w, "tokenizer.ggml.merges", pair, n_rule, &err), err);
    struct cv_vocab *v = vocab_of(w, &err);
    cv_gguf_writer_free(w);
    CHECK_OK(v != NULL, err);
    return v;
}

static void test_merging_agrees_with_its_definition(void)
{
    for (int round = 0; round < 100; round++) {
        struct rule rule[MAX_RULES];
        char token[4 + MAX_RULES][MAX_TOKEN + 1] = {"a", "b", "c"};
        size_t n_token = 3;
        size_t n_rule = random_rules(rule, token, &n_token);
        struct cv_vocab *v = vocab_of_rules(rule, n_rule, token, n_token);
        for (int k = 0; k < 8; k++) {
            char word[MAX_WORD];
            struct cv_str part[MAX_WORD];
            size_t n = 1 + check_below(k < 4 ? 30 : MAX_WORD - 1); /* short words and long ones go different ways */
            for (size_t i = 0; i < n; i++)
                word[i] = (char)('a' + check_below(3));
            size_t n_want = plain_bpe(rule, n_rule, word, n, part);
            struct cv_tokens t = {0};
            CHECK_OK(cv_tokenize(v, word, n, 0, &t, &err), err);
            CHECK_EQ(t.n, n_want);
            for (size_t i = 0; i < t.n; i++) {
                struct cv_str got = cv_vocab_text(v, t.id[i]);
                CHECK(got.n == part[i].n && memcmp(got.p, part[i].p, got.n) == 0);
            }
            cv_tokens_free(&t);
        }
        cv_vocab_free(v);
    }
}

static const char *const all_pres[] = {
    "default",   "llama-bpe", "dbrx",         "glm4",           "minicpm5",    "jais-2",     "qwen2",
    "stablelm2", "qwen35",    "laguna",       "seed-coder",     "bailingmoe",  "gpt-2",      "trillion",
    "starcoder", "command-r", "deepseek-llm", "deepseek-coder", "deepseek-v3", "youtu",      "falcon",
    "bloom",     "poro-chat", "viking",       "tekken",         "gpt-4o",      "exaone-moe", "kimi-k2",
    "tiny_aya",  "superbpe",  "chameleon",    "spark2_5",       "ufakzeka",
};

static bool bar_before(void *ctx, const char *word, size_t n, struct cv_error *e)
{
    (void)e;
    return cv_buf_putc(ctx, '|') && cv_buf_append(ctx, word, n);
}

static void test_cuts_words_as_published(void)
{
    static const struct {
        const char *pre, *text, *want;
    } cases[] = {
        {"gpt-2", "It's  12 o'clock!?\n\n x", "|It|'s| | 12| o|'|clock|!?|\n\n| x"},
        {"llama-bpe", "IT'S 12345 (a)\n\n\tb  c", "|IT|'S| |123|45| (|a|)\n\n|\tb| | c"},
        {"qwen2", "123 caf\u00e9\u0301", "|1|2|3| caf\u00e9|\u0301"},
        {"qwen35", "123 caf\u00e9\u0301", "|1|2|3| caf\u00e9\u0301"},
        {"falcon", "a1234b$", "|a|123|4|b|$"},
        {"starcoder", "a12 b", "|a|1|2| b"},
        {"deepseek-v3", "1234 \u4e2d\u6587abc", "|123|4| |\u4e2d\u6587|abc"},
        {"tekken", "CamelCase HTTPServer 12", "|Camel|Case| HTTPServer| |1|2"},
        {"gpt-4o", "CamelCase's it'S", "|Camel|Case's| it'S"},
        {"kimi-k2", "\u4e2d\u6587Abc 1234", "|\u4e2d\u6587|Abc| |123|4"},
        {"tiny_aya", "1234567 x 12", "|1|234|567| x| |12"},
        {"superbpe", "by the way 1234567", "|by the way |1|234|567"},
        {"bailingmoe", "a\n\nb", "|a|\n\n|b"},
        {"exaone-moe", "in the end, 12", "|in the end|,| |1|2"},
        {"bloom", "one two, three", "|one| two|,| three"},
    };
    for (size_t i = 0; i < CV_COUNT(cases); i++) {
        struct cv_pretok_code *code;
        struct cv_pretok_scratch scratch = {0};
        struct cv_buf b;
        const struct cv_pretok *p = cv_pretok_get(cases[i].pre, strlen(cases[i].pre));
        cv_buf_init(&b, 1000);
        CHECK(p != NULL);
        CHECK_OK(cv_pretok_compile(&code, p, &err), err);
        CHECK_OK(cv_pretok_split(code, &scratch, cases[i].text, strlen(cases[i].text), bar_before, &b, &err), err);
        CHECK_STR(b.data, cases[i].want);
        cv_buf_fini(&b);
        cv_pretok_scratch_fini(&scratch);
        cv_pretok_free(code);
    }
}

static void test_every_pre_tokenizer_gives_all_bytes_back(void)
{
    static const char *const texts[] = {
        "Hello, World! It's 12345 o'clock; we'LL see.\n\n  Next\tline  \r\n end   ",
        "caf\u00e9 \u4f60\u597d\u4e16\u754c \u3053\u3093 \ud55c\uad6d\uc5b4 \u0645\u0631\u062d\u0628\u0627 "
        "e\u0301\u0302 "
        "\U0001F600 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 \u2028x\u00a0y",
        "\xff\xfe bad \xc3 utf \xf0\x9f\x98 8\x80",
        "x = [i**2 for i in range(10)]\n\tif a<=b: $\\frac{1}{2}$ 3.14e-10 \xc2\xbd\xe2\x85\xa7",
    };
    for (size_t p = 0; p < CV_COUNT(all_pres); p++) {
        struct cv_vocab *v = with_specials(all_pres[p]);
        for (size_t i = 0; i < CV_COUNT(texts) + 50; i++) {
            char text[300];
            size_t n = i < CV_COUNT(texts) ? strlen(texts[i]) : check_below(sizeof(text));
            if (i < CV_COUNT(texts))
                memcpy(text, texts[i], n);
            for (size_t k = 0; i >= CV_COUNT(texts) && k < n; k++)
                text[k] = check_below(2) ? (char)check_below(256) : " aZ1.\n'\xC3"[check_below(8)];
            struct cv_tokens t = {0};
            struct cv_buf b;
            cv_buf_init(&b, 4096);
            CHECK_OK(cv_tokenize(v, text, n, 0, &t, &err), err);
            CHECK(cv_detokenize(v, t.id, t.n, CV_RENDER_SPECIAL, &b));
            CHECK_EQ(b.len, n);
            CHECK(n == 0 || memcmp(b.data, text, n) == 0);
            cv_buf_fini(&b);
            cv_tokens_free(&t);
        }
        cv_vocab_free(v);
    }
}

/* A quadratic step anywhere would take minutes here. */
static void test_no_text_takes_quadratic_time(void)
{
    enum { N = 400 * 1000 };
    static const char *const units[] = {"a",  " ",  "\n",     "1",       "'",  "!", "A",
                                        " a", "a ", "\u4e2d", "e\u0301", "\r", "<", "\xff"};
    char *text = cv_alloc(N + 4);
    uint64_t slowest = 0;
    CHECK(text != NULL);
    for (size_t p = 0; p < CV_COUNT(all_pres) + 1; p++) {
        struct small_vocab_options spm = {.spm = true};
        struct cv_vocab *v = p == CV_COUNT(all_pres) ? make(&spm) : with_specials(all_pres[p]);
        const size_t n = p == CV_COUNT(all_pres) || p < 2 ? N : N / 10;
        for (size_t u = 0; u < CV_COUNT(units); u++) {
            struct cv_tokens t = {0};
            const size_t len = strlen(units[u]);
            for (size_t i = 0; i < n; i++)
                text[i] = units[u][i % len];
            uint64_t begin = cv_now_ms();
            if (!cv_tokenize(v, text, n, CV_PARSE_SPECIAL, &t, &err))
                CHECK_EQ(err.code, CV_ERR_LIMIT);
            uint64_t took = cv_now_ms() - begin;
            slowest = took > slowest ? took : slowest;
            cv_tokens_free(&t);
        }
        cv_vocab_free(v);
    }
    cv_free(text);
    printf("    slowest: %u ms\n", (unsigned)slowest);
    CHECK(slowest < 30000);
}

static void test_names_a_pre_tokenizer_it_does_not_know(void)
{
    struct small_vocab_options o = {.pre = "no-such-bpe"};
    CHECK(small_vocab(&o, &err) == NULL);
    CHECK_EQ(err.code, CV_ERR_UNSUPPORTED);
    CHECK_CONTAINS(err.msg, "no-such-bpe");
    CHECK(cv_pretok_get("", 0) == NULL);
    CHECK(cv_pretok_get("llama-bpex", 10) == NULL);
}

struct broken {
    const char *key;
    int how; /* 0: a number instead; 1: one string; 2: an array of numbers; 3: short array of numbers; 4: bad pairs */
    enum cv_code code;
};

static void test_names_the_key_that_is_wrong(void)
{
    static const struct broken cases[] = {
        {"tokenizer.ggml.model", 0, CV_ERR_FORMAT},        {"tokenizer.ggml.tokens", 1, CV_ERR_FORMAT},
        {"tokenizer.ggml.tokens", 2, CV_ERR_FORMAT},       {"tokenizer.ggml.token_type", 1, CV_ERR_FORMAT},
        {"tokenizer.ggml.token_type", 3, CV_ERR_FORMAT},   {"tokenizer.ggml.merges", 1, CV_ERR_FORMAT},
        {"tokenizer.ggml.merges", 4, CV_ERR_FORMAT},       {"tokenizer.ggml.pre", 0, CV_ERR_FORMAT},
        {"tokenizer.ggml.bos_token_id", 1, CV_ERR_FORMAT}, {"tokenizer.ggml.add_bos_token", 1, CV_ERR_FORMAT},
        {"tokenizer.ggml.model", 1, CV_ERR_UNSUPPORTED},
    };
    static const char *const keys[] = {"tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.tokens",
                                       "tokenizer.ggml.token_type", "tokenizer.ggml.merges"};
    const struct cv_str token[2] = {{"a", 1}, {"b", 1}}, pair[1] = {{"a b", 3}}, bad[1] = {{"ab", 2}};
    const int32_t type[2] = {1, 1};
    for (size_t i = 0; i < CV_COUNT(cases); i++) {
        struct cv_gguf_writer *w = cv_gguf_writer_new(0);
        const struct broken *c = &cases[i];
        CHECK(w != NULL);
        for (size_t k = 0; k < CV_COUNT(keys); k++) {
            if (strcmp(keys[k], c->key) == 0)
                continue;
            bool ok = k < 2    ? cv_gguf_put_str(w, keys[k], k == 0 ? "gpt2" : "gpt-2", k == 0 ? 4 : 5, &err)
                      : k == 3 ? cv_gguf_put_array(w, keys[k], CV_GGUF_I32, type, 2, &err)
                               : cv_gguf_put_strings(w, keys[k], k == 2 ? token : pair, k == 2 ? 2 : 1, &err);
            CHECK_OK(ok, err);
        }
        bool ok = c->how == 0   ? cv_gguf_put_u32(w, c->key, 7, &err)
                  : c->how == 1 ? cv_gguf_put_str(w, c->key, "martian", 7, &err)
                  : c->how == 4 ? cv_gguf_put_strings(w, c->key, bad, 1, &err)
                                : cv_gguf_put_array(w, c->key, CV_GGUF_I32, type, c->how == 3 ? 1 : 2, &err);
        CHECK_OK(ok, err);
        CHECK(vocab_of(w, &err) == NULL);
        CHECK_EQ(err.code, c->code);
        CHECK_CONTAINS(err.msg, c->key);
        cv_gguf_writer_free(w);
    }
    struct cv_gguf_writer *w = cv_gguf_writer_new(0);
    CHECK(w != NULL && vocab_of(w, &err) == NULL);
    CHECK_EQ(err.code, CV_ERR_NOT_FOUND);
    cv_gguf_writer_free(w);
}

static void test_survives_every_failed_allocation(void)
{
    bool done = false;
    for (int spm = 0; spm < 2; spm++) {
        struct small_vocab_options o = {.special = {"<|im_end|>"}, .special_type = {3}, .spm = spm == 1};
        struct cv_vocab *ready = make(&o);
        done = false;
        for (long after = 0; !done; after++) {
            struct cv_tokens t = {0};
            cv_mem_fail_after(after);
            done = cv_tokenize(ready, "hello <|im_end|> aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 70,
                               CV_ADD_SPECIAL, &t, &err);
            cv_mem_fail_after(-1);
            CHECK(done || (err.code == CV_ERR_NOMEM && t.n == 0));
            cv_tokens_free(&t);
        }
        cv_vocab_free(ready);
        done = false;
        for (long after = 0; !done; after += 1 + after / 40) {
            err.code = CV_ERR_NOMEM;
            cv_mem_fail_after(after);
            struct cv_vocab *v = small_vocab(&o, &err);
            cv_mem_fail_after(-1);
            done = v != NULL;
            CHECK(done || err.code == CV_ERR_NOMEM);
            cv_vocab_free(v);
        }
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_merges_by_rank_within_words),
        CASE(test_control_tokens_are_plain_text_unless_asked_for),
        CASE(test_the_longest_special_token_wins),
        CASE(test_specials_swallow_the_space_behind_them_in_phi_3),
        CASE(test_knows_what_ends_a_generation),
        CASE(test_sentencepiece_puts_a_space_first_and_falls_back_to_bytes),
        CASE(test_merging_agrees_with_its_definition),
        CASE(test_cuts_words_as_published),
        CASE(test_every_pre_tokenizer_gives_all_bytes_back),
        CASE(test_no_text_takes_quadratic_time),
        CASE(test_names_a_pre_tokenizer_it_does_not_know),
        CASE(test_names_the_key_that_is_wrong),
        CASE(test_survives_every_failed_allocation),
    };
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
