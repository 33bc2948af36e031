/* base_test.c - the foundations: sizes, buffers, arenas, readers, UTF-8, queues, the pool. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/queue.h"
#include "base/reader.h"
#include "base/size.h"
#include "base/utf8.h"
#include "tests/check/check.h"

static void test_sizes_that_overflow_are_refused(void)
{
    size_t out = 7;
    CHECK(!cv_add_size(SIZE_MAX, 1, &out));
    CHECK(!cv_mul_size(SIZE_MAX / 2 + 1, 2, &out));
    CHECK_EQ(out, 7);
    CHECK(cv_mul_size(SIZE_MAX, 0, &out) && out == 0);
    CHECK(cv_calloc(SIZE_MAX, 2) == NULL);
}

static void test_errors_are_wrapped_outermost_first(void)
{
    struct cv_error err;
    CHECK(!cv_fail(&err, CV_ERR_FORMAT, "byte %d", 7));
    CHECK(!cv_wrap(&err, "tensor '%s'", "w"));
    CHECK(!cv_wrap(&err, "node %s", "pi-3"));
    CHECK_STR(err.msg, "node pi-3: tensor 'w': byte 7");
    CHECK_EQ(err.code, CV_ERR_FORMAT);
    for (int i = 0; i < 100; i++)
        cv_wrap(&err, "a long context that is repeated");
    CHECK(strlen(err.msg) < sizeof(err.msg));
}

static void test_a_buffer_keeps_its_bound(void)
{
    struct cv_buf b;
    cv_buf_init(&b, 10);
    CHECK(cv_buf_puts(&b, "12345"));
    CHECK(cv_buf_printf(&b, "%d", 6789));
    CHECK(!cv_buf_puts(&b, "ab"));
    CHECK_STR(b.data, "123456789");
    CHECK(cv_buf_putc(&b, 'x'));
    CHECK(!cv_buf_putc(&b, 'y'));
    cv_buf_shift(&b, 3);
    CHECK_STR(b.data, "456789x");
    cv_buf_fini(&b);
}

static void test_json_text_is_escaped_and_repaired(void)
{
    struct cv_buf b;
    cv_buf_init(&b, 1000);
    CHECK(cv_buf_json(&b, "a\"\\\n\x01\xC3\xA9\xFF\x7f", 9));
    CHECK_STR(b.data, "a\\\"\\\\\\n\\u0001\xC3\xA9\xEF\xBF\xBD\\u007f");
    cv_buf_fini(&b);
}

static void test_an_arena_gives_and_takes(void)
{
    struct cv_arena a = {.max_bytes = 100000};
    for (int i = 0; i < 100; i++) {
        unsigned char *p = cv_arena_alloc(&a, 1 + check_below(500));
        CHECK(p != NULL && (uintptr_t)p % 16 == 0);
        p[0] = 1;
    }
    CHECK(cv_arena_alloc(&a, 100000) == NULL);
    cv_arena_fini(&a);
    CHECK(cv_arena_alloc(&a, 99000) != NULL);
    cv_arena_fini(&a);
}

static void test_a_reader_never_passes_its_end(void)
{
    struct cv_reader r;
    unsigned char bytes[7] = {1, 2, 3, 4, 5, 6, 7};
    uint32_t u32 = 0;
    cv_reader_init(&r, bytes, sizeof(bytes));
    CHECK(cv_read_u32(&r, &u32) && u32 == 0x04030201);
    CHECK(!cv_read_u32(&r, &u32));
    CHECK_EQ(r.left, 3);
    CHECK(!cv_read_skip(&r, SIZE_MAX));
    CHECK_EQ(r.offset, 4);
}

static void test_utf8_is_strict(void)
{
    uint32_t cp;
    CHECK_EQ(cv_utf8_decode("\xF0\x9F\x98\x80", 4, &cp), 4);
    CHECK_EQ(cp, 0x1F600);
    CHECK_EQ(cv_utf8_decode("\xC0\xAF", 2, &cp), 0);     /* overlong */
    CHECK_EQ(cv_utf8_decode("\xED\xA0\x80", 3, &cp), 0); /* surrogate */
    CHECK_EQ(cv_utf8_decode("\xF4\x90\x80\x80", 4, &cp), 0);
    for (cp = 0; cp < 0x110000; cp += 1 + cp / 50) {
        char s[4];
        uint32_t back = 0;
        size_t n = cv_utf8_encode(cp, s);
        CHECK(n == 0 ? cp >= 0xD800 && cp <= 0xDFFF : cv_utf8_decode(s, n, &back) == n && back == cp);
        for (size_t k = 1; k < n; k++)
            CHECK_EQ(cv_utf8_open_tail(s, k), k);
        CHECK_EQ(cv_utf8_open_tail(s, n), 0);
    }
    CHECK_EQ(cv_utf8_open_tail("ab\xE0\x80", 4), 0);
    CHECK_EQ(cv_utf8_valid_prefix("ab\xC3", 3), 2);
}

static void test_sizes_are_read_as_people_write_them(void)
{
    uint64_t n;
    char text[CV_SIZE_TEXT];
    struct cv_error err;
    CHECK(cv_size_parse("3.5G", &n, &err) && n == 3758096384u);
    CHECK(cv_size_parse("512MiB", &n, &err) && n == 512u << 20);
    CHECK(cv_size_parse("17", &n, &err) && n == 17);
    CHECK(cv_size_parse("2 kb", &n, &err) && n == 2048);
    static const char *const bad[] = {"", "G", "-1G", "1X", "1Gx", "nan", "1e300", " 5"};
    for (size_t i = 0; i < CV_COUNT(bad); i++)
        CHECK(!cv_size_parse(bad[i], &n, &err));
    CHECK_STR(cv_size_format(3758096384u, text), "3.5 GiB");
    CHECK_STR(cv_size_format(17, text), "17 B");
}

static void test_sha256_and_hex_agree_with_the_standard(void)
{
    unsigned char d[CV_SHA256_BYTES], back[CV_SHA256_BYTES];
    char hex[CV_SHA256_HEX];
    CHECK(cv_sha256_once("abc", 3, d));
    cv_hex_encode(d, sizeof(d), hex);
    CHECK_STR(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    struct cv_sha256 *h = cv_sha256_new();
    CHECK(h != NULL);
    for (int round = 0; round < 2; round++) {
        cv_sha256_update(h, "a", 1);
        cv_sha256_update(h, "bc", 2);
        cv_sha256_final(h, back);
        CHECK(memcmp(d, back, sizeof(d)) == 0);
    }
    cv_sha256_free(h);
    CHECK(cv_hex_decode(hex, 64, back, 32) && memcmp(d, back, 32) == 0);
    CHECK(!cv_hex_decode("zz", 2, back, 1));
    CHECK(cv_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, d)); /* RFC 4231, case 2 */
    cv_hex_encode(d, 4, hex);
    CHECK_STR(hex, "5bdcc146");
}

static void *push_numbers(void *arg)
{
    for (uintptr_t i = 1; i <= 1000; i++)
        if (cv_queue_push(arg, (void *)i, -1) != CV_QUEUE_OK)
            break;
    cv_queue_close(arg);
    return NULL;
}

static void test_a_queue_pushes_back_and_closes(void)
{
    void *item = NULL;
    struct cv_queue *q = cv_queue_new(2);
    CHECK(q != NULL);
    CHECK_EQ(cv_queue_pop(q, &item, 0), CV_QUEUE_TIMEOUT);
    CHECK_EQ(cv_queue_push(q, q, 0), CV_QUEUE_OK);
    CHECK_EQ(cv_queue_push(q, q, 0), CV_QUEUE_OK);
    uint64_t before = cv_now_ms();
    CHECK_EQ(cv_queue_push(q, q, 20), CV_QUEUE_TIMEOUT);
    CHECK(cv_now_ms() - before >= 19);
    CHECK_EQ(cv_queue_pop(q, &item, -1), CV_QUEUE_OK);
    CHECK_EQ(cv_queue_pop(q, &item, -1), CV_QUEUE_OK);
    pthread_t t;
    CHECK(pthread_create(&t, NULL, push_numbers, q) == 0);
    uintptr_t want = 1;
    while (cv_queue_pop(q, &item, -1) == CV_QUEUE_OK)
        CHECK_EQ((uintptr_t)item, want++);
    CHECK_EQ(want, 1001);
    CHECK_EQ(cv_queue_push(q, q, -1), CV_QUEUE_CLOSED);
    pthread_join(t, NULL);
    cv_queue_free(q);
}

struct pool_case {
    atomic_uint hits[300];
    atomic_uint per_thread[8];
};

static void count_chunk(void *ctx, size_t chunk, unsigned thread)
{
    struct pool_case *c = ctx;
    atomic_fetch_add(&c->hits[chunk], 1);
    atomic_fetch_add(&c->per_thread[thread], 1);
}

static void test_a_pool_runs_every_chunk_once(void)
{
    struct cv_error err;
    for (unsigned threads = 1; threads <= 4; threads++) {
        struct cv_pool *p;
        static struct pool_case c;
        CHECK_OK(cv_pool_new(&p, threads, &err), err);
        for (unsigned round = 1; round <= 300; round++) {
            size_t n = check_below(CV_COUNT(c.hits));
            memset(&c, 0, sizeof(c));
            cv_pool_run(p, count_chunk, &c, n);
            for (size_t i = 0; i < CV_COUNT(c.hits); i++)
                CHECK_EQ(c.hits[i], i < n);
            if (round % 100 == 0)
                cv_sleep_ms(2); /* the threads fall asleep and have to be woken */
        }
        cv_pool_free(p);
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_sizes_that_overflow_are_refused),     CASE(test_errors_are_wrapped_outermost_first),
        CASE(test_a_buffer_keeps_its_bound),            CASE(test_json_text_is_escaped_and_repaired),
        CASE(test_an_arena_gives_and_takes),            CASE(test_a_reader_never_passes_its_end),
        CASE(test_utf8_is_strict),                      CASE(test_sizes_are_read_as_people_write_them),
        CASE(test_sha256_and_hex_agree_with_the_standard), CASE(test_a_queue_pushes_back_and_closes),
        CASE(test_a_pool_runs_every_chunk_once),
    };
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
