/* split.c - runs the patterns of a pre-tokenizer over a text. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "text/pretok.h"

/*
 * Bounds of one match. The patterns need no nesting to speak of; what does (a group per character, as kimi-k2 has) may use
 * up to the large stack, and past that the text is refused.
 */
enum { MATCH_LIMIT = 50 * 1000 * 1000, JIT_STACK_FIRST = 64 << 10, JIT_STACK_MAX = 64 << 20 };

struct cv_pretok_code {
    pcre2_code *code[CV_PRETOK_MAX];
    size_t n;
};

static void *take_memory(size_t n, void *ctx)
{
    (void)ctx;
    return cv_alloc(n);
}

static void give_memory(void *p, void *ctx)
{
    (void)ctx;
    cv_free(p);
}

bool cv_pretok_compile(struct cv_pretok_code **out, const struct cv_pretok *p, struct cv_error *err)
{
    struct cv_pretok_code *c = cv_zalloc(sizeof(*c));
    pcre2_general_context *memory = pcre2_general_context_create(take_memory, give_memory, NULL);
    pcre2_compile_context *context = memory == NULL ? NULL : pcre2_compile_context_create(memory);
    bool ok = c != NULL && context != NULL;
    if (!ok)
        cv_fail(err, CV_ERR_NOMEM, "pre-tokenizer: out of memory");
    for (size_t i = 0; ok && i < CV_PRETOK_MAX && p->pattern[i] != NULL; i++) {
        int code;
        PCRE2_SIZE at;
        c->code[i] = pcre2_compile((PCRE2_SPTR)p->pattern[i], PCRE2_ZERO_TERMINATED,
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_DOLLAR_ENDONLY, &code, &at, context);
        ok = c->code[i] != NULL;
        if (!ok) {
            char why[120];
            pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof(why));
            cv_fail(err, code == PCRE2_ERROR_HEAP_FAILED ? CV_ERR_NOMEM : CV_ERR_INTERNAL,
                    "pre-tokenizer: pattern %zu, offset %zu: %s", i, (size_t)at, why);
            break;
        }
        pcre2_jit_compile(c->code[i], PCRE2_JIT_COMPLETE); /* without it pcre2_match is slower, and still right */
        c->n = i + 1;
    }
    pcre2_compile_context_free(context);
    pcre2_general_context_free(memory);
    if (!ok) {
        cv_pretok_free(c);
        return false;
    }
    *out = c;
    return true;
}

void cv_pretok_free(struct cv_pretok_code *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < CV_PRETOK_MAX; i++)
        pcre2_code_free(c->code[i]);
    cv_free(c);
}

void cv_pretok_scratch_fini(struct cv_pretok_scratch *s)
{
    pcre2_match_data_free(s->match);
    pcre2_match_context_free(s->context);
    if (s->stack != NULL)
        pcre2_jit_stack_free(s->stack);
    *s = (struct cv_pretok_scratch){0};
}

static bool scratch_init(struct cv_pretok_scratch *s)
{
    pcre2_general_context *memory = pcre2_general_context_create(take_memory, give_memory, NULL);
    if (memory != NULL) {
        s->match = pcre2_match_data_create(1, memory);
        s->context = pcre2_match_context_create(memory);
        pcre2_general_context_free(memory);
    }
    if (s->match == NULL || s->context == NULL)
        return false;
    pcre2_set_match_limit(s->context, MATCH_LIMIT);
    pcre2_set_heap_limit(s->context, JIT_STACK_MAX / 1024);
    return true;
}

struct splitter {
    const struct cv_pretok_code *code;
    struct cv_pretok_scratch *scratch;
    cv_word_fn *fn;
    void *ctx;
    struct cv_error *err;
};

/* 1: [*begin, *end) is the next match at or after from; 0: there is none; -1: err says why not. */
static int next_match(struct splitter *s, size_t level, const char *text, size_t n, size_t from, size_t *begin,
                      size_t *end)
{
    struct cv_pretok_scratch *scratch = s->scratch;
    const pcre2_code *code = s->code->code[level];
    int rc = pcre2_match(code, (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK, scratch->match, scratch->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT && scratch->stack == NULL) {
        scratch->stack = pcre2_jit_stack_create(JIT_STACK_FIRST, JIT_STACK_MAX, NULL);
        if (scratch->stack != NULL) {
            pcre2_jit_stack_assign(scratch->context, NULL, scratch->stack);
            rc = pcre2_match(code, (PCRE2_SPTR)text, n, from, PCRE2_NO_UTF_CHECK, scratch->match, scratch->context);
        }
    }
    if (rc == PCRE2_ERROR_NOMATCH)
        return 0;
    if (rc < 0) {
        char why[120];
        pcre2_get_error_message(rc, (PCRE2_UCHAR *)why, sizeof(why));
        cv_fail(s->err, rc == PCRE2_ERROR_NOMEMORY ? CV_ERR_NOMEM : CV_ERR_LIMIT,
                "the text cannot be cut into words: pattern %zu: %s", level, why);
        return -1;
    }
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(scratch->match);
    *begin = at[0];
    *end = at[1];
    return 1;
}

/* Depth is at most CV_PRETOK_MAX. */
static bool split(struct splitter *s, size_t level, const char *text, size_t n)
{
    if (level == s->code->n)
        return s->fn(s->ctx, text, n, s->err);
    size_t done = 0, from = 0, begin, end;
    while (from < n) {
        int found = next_match(s, level, text, n, from, &begin, &end);
        if (found < 0)
            return false;
        if (found == 0)
            break;
        if (begin > done && !split(s, level + 1, text + done, begin - done))
            return false;
        if (end > begin && !split(s, level + 1, text + begin, end - begin))
            return false;
        done = from = end;
        if (end == begin) { /* an empty match cuts here; go on behind the next character */
            for (from++; from < n && ((unsigned char)text[from] & 0xC0) == 0x80;)
                from++;
        }
    }
    return done == n || split(s, level + 1, text + done, n - done);
}

bool cv_pretok_split(const struct cv_pretok_code *code, struct cv_pretok_scratch *scratch, const char *text, size_t n,
                     cv_word_fn *fn, void *ctx, struct cv_error *err)
{
    if (scratch->context == NULL && !scratch_init(scratch))
        return cv_fail(err, CV_ERR_NOMEM, "tokenizer: out of memory");
    struct splitter s = {.code = code, .scratch = scratch, .fn = fn, .ctx = ctx, .err = err};
    return n == 0 || split(&s, 0, text, n);
}
