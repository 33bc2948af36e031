/* stream_test.c - text as it comes: whole characters only, stop strings held back. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "tests/check/check.h"
#include "tests/text/small_vocab.h"
#include "text/detokenize.h"
#include "text/stop.h"

static struct cv_error err;

static struct cv_vocab *bytes_vocab(void)
{
    struct small_vocab_options o = {.special = {"<|im_end|>"}, .special_type = {3}};
    struct cv_vocab *v = small_vocab(&o, &err);
    CHECK_OK(v != NULL, err);
    return v;
}

static void push_byte(struct cv_detok *d, const struct cv_vocab *v, unsigned char byte, struct cv_buf *out)
{
    for (int32_t id = 0; id < 256; id++) {
        if ((unsigned char)cv_vocab_piece(v, id, false).p[0] == byte) {
            CHECK(cv_detok_push(d, id, out));
            return;
        }
    }
    CHECK(false);
}

static void test_never_shows_half_a_character(void)
{
    struct cv_vocab *v = bytes_vocab();
    struct cv_detok d;
    struct cv_buf out;
    cv_buf_init(&out, 100);
    cv_detok_init(&d, v, CV_CONTINUES);
    push_byte(&d, v, 0xF0, &out);
    push_byte(&d, v, 0x9F, &out);
    push_byte(&d, v, 0x98, &out);
    CHECK_EQ(out.len, 0);
    push_byte(&d, v, 0x80, &out);
    CHECK_STR(out.data, "\U0001F600");
    push_byte(&d, v, 0xC3, &out);
    push_byte(&d, v, 'x', &out);
    CHECK_STR(out.data, "\U0001F600\uFFFDx");
    push_byte(&d, v, 0xE2, &out);
    push_byte(&d, v, 0x82, &out);
    CHECK_STR(out.data, "\U0001F600\uFFFDx");
    CHECK(cv_detok_finish(&d, &out));
    CHECK_STR(out.data, "\U0001F600\uFFFDx\uFFFD");
    CHECK(cv_detok_finish(&d, &out));
    CHECK_STR(out.data, "\U0001F600\uFFFDx\uFFFD");
    cv_buf_fini(&out);
    cv_vocab_free(v);
}

static void test_any_bytes_become_valid_text(void)
{
    static const unsigned char likely[] = {0x80, 0xBF, 0xC3, 0xE2, 0xED, 0xA0, 0xF0, 0x9F, 0xF4, 0x90, 'a', 0xFF};
    struct cv_vocab *v = bytes_vocab();
    for (int round = 0; round < 2000; round++) {
        struct cv_detok d;
        struct cv_buf out, whole;
        cv_buf_init(&out, 1000);
        cv_buf_init(&whole, 1000);
        cv_detok_init(&d, v, CV_CONTINUES);
        for (size_t i = 0, n = check_below(20); i < n; i++) {
            unsigned char byte = check_below(2) ? likely[check_below(sizeof(likely))] : (unsigned char)check_below(256);
            push_byte(&d, v, byte, &out);
            CHECK(cv_buf_append(&whole, &byte, 1));
            CHECK_EQ(cv_utf8_valid_prefix(out.data, out.len), out.len);
        }
        CHECK(cv_detok_finish(&d, &out));
        CHECK_EQ(cv_utf8_valid_prefix(out.data, out.len), out.len);
        if (cv_utf8_valid_prefix(whole.data, whole.len) == whole.len) {
            CHECK_EQ(out.len, whole.len);
            CHECK(whole.len == 0 || memcmp(out.data, whole.data, whole.len) == 0);
        }
        cv_buf_fini(&out);
        cv_buf_fini(&whole);
    }
    cv_vocab_free(v);
}

static void test_control_tokens_are_hidden_unless_rendered(void)
{
    struct cv_vocab *v = bytes_vocab();
    struct cv_detok d;
    struct cv_buf out;
    int32_t end = cv_vocab_find(v, "<|im_end|>", 10);
    cv_buf_init(&out, 100);
    cv_detok_init(&d, v, 0);
    CHECK(cv_detok_push(&d, end, &out));
    CHECK_EQ(out.len, 0);
    cv_detok_init(&d, v, CV_RENDER_SPECIAL);
    CHECK(cv_detok_push(&d, end, &out));
    CHECK_STR(out.data, "<|im_end|>");
    CHECK(cv_detok_push(&d, -5, &out)); /* no such token, no text */
    CHECK_STR(out.data, "<|im_end|>");
    cv_buf_fini(&out);
    cv_vocab_free(v);
}

static void test_the_first_space_of_sentencepiece_goes_only_at_the_beginning(void)
{
    struct small_vocab_options o = {.spm = true};
    struct cv_vocab *v = small_vocab(&o, &err);
    CHECK_OK(v != NULL, err);
    int32_t hello = cv_vocab_find(v, "\u2581hello", strlen("\u2581hello")), bos = 1;
    struct cv_detok d;
    struct cv_buf out;
    cv_buf_init(&out, 100);
    cv_detok_init(&d, v, 0);
    CHECK(cv_detok_push(&d, bos, &out) && cv_detok_push(&d, hello, &out) && cv_detok_push(&d, hello, &out));
    CHECK_STR(out.data, "hello hello");
    cv_buf_clear(&out);
    cv_detok_init(&d, v, CV_CONTINUES);
    CHECK(cv_detok_push(&d, hello, &out));
    CHECK_STR(out.data, " hello");
    cv_buf_fini(&out);
    cv_vocab_free(v);
}

static void test_tidies_spaces_where_the_tokenizer_does(void)
{
    for (int keeps = 0; keeps < 2; keeps++) {
        struct small_vocab_options o = {.pre = keeps ? "qwen2" : "gpt-2"};
        struct cv_vocab *v = small_vocab(&o, &err);
        CHECK_OK(v != NULL, err);
        static const char text[] = "it 's a ' b ' do n't , we 've . you 're ! x 'm";
        int32_t ids[100];
        size_t n = 0;
        struct cv_buf out;
        cv_buf_init(&out, 200);
        for (const char *c = text; *c != '\0'; c++) {
            for (int32_t id = 0; id < 256; id++) {
                if (cv_vocab_piece(v, id, false).p[0] == *c)
                    ids[n++] = id;
            }
        }
        CHECK(cv_detokenize(v, ids, n, CV_CLEAN_SPACES, &out));
        CHECK_STR(out.data, keeps ? text : "it's a'b'do n't, we've. you're! x'm");
        cv_buf_fini(&out);
        cv_vocab_free(v);
    }
}

static void test_a_full_buffer_loses_nothing_silently(void)
{
    struct cv_vocab *v = bytes_vocab();
    struct cv_detok d;
    struct cv_buf out;
    cv_buf_init(&out, 2);
    cv_detok_init(&d, v, 0);
    CHECK(cv_detok_push(&d, 'a' - 33, &out) || out.len == 0);
    CHECK(!cv_detok_push(&d, cv_vocab_find(v, "hello", 5), &out));
    CHECK(out.len <= 2);
    cv_buf_fini(&out);
    cv_vocab_free(v);
}

/* stop strings */

static void test_holds_back_what_may_become_a_stop_string(void)
{
    static const char *const stops[] = {"</tool>", "STOP"};
    struct cv_stop *s;
    struct cv_buf out;
    int hit;
    cv_buf_init(&out, 100);
    CHECK_OK(cv_stop_new(&s, stops, 2, &err), err);
    CHECK(cv_stop_push(s, "abc</to", 7, &out, &hit));
    CHECK_EQ(hit, -1);
    CHECK_STR(out.data, "abc");
    CHECK(cv_stop_push(s, "x ST", 4, &out, &hit));
    CHECK_STR(out.data, "abc</tox ");
    CHECK(cv_stop_push(s, "OPPED", 5, &out, &hit));
    CHECK_EQ(hit, 1);
    CHECK_STR(out.data, "abc</tox ");
    CHECK(cv_stop_push(s, "more", 4, &out, &hit));
    CHECK(cv_stop_finish(s, &out));
    CHECK_STR(out.data, "abc</tox ");
    cv_stop_free(s);
    CHECK_OK(cv_stop_new(&s, stops, 2, &err), err);
    cv_buf_clear(&out);
    CHECK(cv_stop_push(s, "tail </too", 10, &out, &hit));
    CHECK_STR(out.data, "tail ");
    CHECK(cv_stop_finish(s, &out));
    CHECK_STR(out.data, "tail </too");
    cv_stop_free(s);
    cv_buf_fini(&out);
}

/* The end of the earliest match and its beginning, by trying everything. */
static int plain_search(const char *text, size_t n, const char *const *stops, size_t n_stop, size_t *keep)
{
    *keep = n;
    for (size_t end = 1; end <= n; end++) {
        int best = -1;
        for (size_t i = 0; i < n_stop; i++) {
            size_t len = strlen(stops[i]);
            if (len <= end && memcmp(text + end - len, stops[i], len) == 0 && (best < 0 || len > strlen(stops[best])))
                best = (int)i;
        }
        if (best >= 0) {
            *keep = end - strlen(stops[best]);
            return best;
        }
    }
    return -1;
}

static void test_agrees_with_a_plain_search_however_the_text_is_cut(void)
{
    for (int round = 0; round < 5000; round++) {
        char store[5][8], text[40];
        const char *stops[5];
        size_t n_stop = check_below(6), n = check_below(sizeof(text)), keep;
        for (size_t i = 0; i < n_stop; i++) {
            size_t len = 1 + check_below(6);
            for (size_t k = 0; k < len; k++)
                store[i][k] = (char)('a' + check_below(2));
            store[i][len] = '\0';
            stops[i] = store[i];
        }
        for (size_t i = 0; i < n; i++)
            text[i] = (char)('a' + check_below(check_below(3) + 2));
        int want = plain_search(text, n, stops, n_stop, &keep), hit = -1;
        struct cv_stop *s;
        struct cv_buf out;
        cv_buf_init(&out, 100);
        CHECK_OK(cv_stop_new(&s, stops, n_stop, &err), err);
        for (size_t at = 0; at < n && hit < 0;) {
            size_t len = 1 + check_below(n - at);
            CHECK(cv_stop_push(s, text + at, len, &out, &hit));
            at += len;
        }
        CHECK(cv_stop_finish(s, &out));
        CHECK_EQ(hit < 0 ? -1 : (int)strlen(stops[hit]), want < 0 ? -1 : (int)strlen(stops[want]));
        CHECK_EQ(out.len, keep);
        CHECK(keep == 0 || memcmp(out.data, text, keep) == 0);
        cv_stop_free(s);
        cv_buf_fini(&out);
    }
}

static void test_refuses_stop_strings_without_bounds(void)
{
    static char big[5000];
    const char *one[1] = {""};
    const char *many[100];
    struct cv_stop *s;
    CHECK(!cv_stop_new(&s, one, 1, &err));
    CHECK_EQ(err.code, CV_ERR_ARG);
    memset(big, 'x', sizeof(big) - 1);
    one[0] = big;
    CHECK(!cv_stop_new(&s, one, 1, &err));
    CHECK_EQ(err.code, CV_ERR_LIMIT);
    for (size_t i = 0; i < CV_COUNT(many); i++)
        many[i] = "x";
    CHECK(!cv_stop_new(&s, many, CV_COUNT(many), &err));
    CHECK_EQ(err.code, CV_ERR_LIMIT);
}

static void test_survives_every_failed_allocation(void)
{
    static const char *const stops[] = {"abcabc", "cab"};
    bool done = false;
    for (long after = 0; !done; after++) {
        struct cv_stop *s = NULL;
        struct cv_buf out;
        int hit = -1;
        cv_buf_init(&out, 100);
        cv_mem_fail_after(after);
        done = cv_stop_new(&s, stops, 2, &err) && cv_stop_push(s, "xxab", 4, &out, &hit);
        cv_mem_fail_after(-1);
        cv_stop_free(s);
        cv_buf_fini(&out);
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_never_shows_half_a_character),
        CASE(test_any_bytes_become_valid_text),
        CASE(test_control_tokens_are_hidden_unless_rendered),
        CASE(test_the_first_space_of_sentencepiece_goes_only_at_the_beginning),
        CASE(test_tidies_spaces_where_the_tokenizer_does),
        CASE(test_a_full_buffer_loses_nothing_silently),
        CASE(test_holds_back_what_may_become_a_stop_string),
        CASE(test_agrees_with_a_plain_search_however_the_text_is_cut),
        CASE(test_refuses_stop_strings_without_bounds),
        CASE(test_survives_every_failed_allocation),
    };
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
