/* call_test.c - questions and answers with deadlines, over TCP and within the process. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "net/call.h"
#include "tests/check/check.h"

static atomic_int n_asked, n_lost;

static bool answer(void *ctx, const void *request, size_t len, struct cv_buf *reply, struct cv_error *err)
{
    (void)ctx;
    atomic_fetch_add(&n_asked, 1);
    if (len == 4 && memcmp(request, "slow", 4) == 0)
        cv_sleep_ms(300);
    if (len == 4 && memcmp(request, "fail", 4) == 0)
        return cv_fail(err, CV_ERR_BUSY, "loading another model");
    return cv_buf_append(reply, request, len) || cv_fail(err, CV_ERR_LIMIT, "too much");
}

static struct cv_call_server *server(const char *address, const char *token)
{
    struct cv_call_server *s;
    struct cv_error err;
    struct cv_call_server_options o = {.address = address, .token = token, .max_bytes = 1 << 20, .handler = answer};
    CHECK_OK(cv_call_server_open(&s, &o, &err), err);
    return s;
}

static void on_lost(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&n_lost, 1);
}

static struct cv_caller *caller(const char *address, const char *token)
{
    struct cv_caller *c;
    struct cv_error err;
    struct cv_caller_options o = {.address = address, .token = token, .on_lost = on_lost};
    CHECK_OK(cv_caller_open(&c, &o, &err), err);
    return c;
}

static void ask(struct cv_caller *c, const char *text)
{
    struct cv_error err;
    struct cv_buf reply;
    cv_buf_init(&reply, 1 << 20);
    CHECK_OK(cv_call(c, text, strlen(text), &reply, 5000, &err), err);
    CHECK_EQ(reply.len, strlen(text));
    CHECK(reply.len == 0 || memcmp(reply.data, text, reply.len) == 0);
    cv_buf_fini(&reply);
}

static void ask_in_vain(struct cv_caller *c, const char *text, int timeout_ms, enum cv_code code, const char *part)
{
    struct cv_error err;
    struct cv_buf reply;
    cv_buf_init(&reply, 100);
    CHECK(!cv_call(c, text, strlen(text), &reply, timeout_ms, &err));
    CHECK_CONTAINS(err.msg, part);
    CHECK_EQ(err.code, code);
    CHECK_EQ(reply.len, 0);
    cv_buf_fini(&reply);
}

static void test_a_question_gets_its_answer(void)
{
    static const char *const address[] = {"tcp://127.0.0.1:0", "inproc://"};
    for (size_t i = 0; i < CV_COUNT(address); i++) {
        struct cv_call_server *s = server(address[i], "token");
        struct cv_caller *c = caller(cv_call_server_address(s), "token");
        ask(c, "hello");
        ask(c, "");
        for (int k = 0; k < 100; k++)
            ask(c, "again");
        CHECK(cv_caller_connected(c));
        ask_in_vain(c, "fail", 5000, CV_ERR_BUSY, "loading another model");
        ask(c, "after a failure");
        cv_caller_close(c);
        cv_call_server_close(s);
    }
}

static void test_a_wrong_token_is_refused(void)
{
    struct cv_call_server *s = server("tcp://127.0.0.1:0", "token");
    struct cv_caller *wrong = caller(cv_call_server_address(s), "taken"),
                     *none = caller(cv_call_server_address(s), NULL);
    int before = atomic_load(&n_asked);
    ask_in_vain(wrong, "x", 5000, CV_ERR_AUTH, "tokens of the two sides differ");
    ask_in_vain(none, "x", 5000, CV_ERR_AUTH, "no join token was shown");
    CHECK_EQ(atomic_load(&n_asked), before);
    cv_caller_close(wrong);
    cv_caller_close(none);
    cv_call_server_close(s);
}

static void test_without_a_token_only_loopback_is_served(void)
{
    struct cv_call_server *s;
    struct cv_error err;
    struct cv_call_server_options o = {.address = "tcp://0.0.0.0:0", .handler = answer};
    CHECK(!cv_call_server_open(&s, &o, &err));
    CHECK_EQ(err.code, CV_ERR_AUTH);
    o.token = "t";
    CHECK_OK(cv_call_server_open(&s, &o, &err), err);
    cv_call_server_close(s);
}

static void test_an_address_in_use_is_an_error(void)
{
    struct cv_call_server *s = server("tcp://127.0.0.1:0", NULL), *second;
    struct cv_error err;
    struct cv_call_server_options o = {.address = cv_call_server_address(s), .handler = answer};
    CHECK(!cv_call_server_open(&second, &o, &err));
    CHECK_EQ(err.code, CV_ERR_IO);
    CHECK_CONTAINS(err.msg, cv_call_server_address(s));
    cv_call_server_close(s);
}

static void test_a_deadline_is_kept(void)
{
    struct cv_call_server *s = server("tcp://127.0.0.1:0", NULL);
    struct cv_caller *c = caller(cv_call_server_address(s), NULL), *nobody = caller("tcp://127.0.0.1:1", NULL);
    ask(c, "warm");
    uint64_t t0 = cv_now_ms();
    ask_in_vain(c, "slow", 50, CV_ERR_TIMEOUT, "no answer from tcp://127.0.0.1:");
    ask_in_vain(nobody, "x", 100, CV_ERR_TIMEOUT, "no connection to tcp://127.0.0.1:1 within 100 ms");
    CHECK(cv_now_ms() - t0 < 280);
    ask(c, "the next one is answered");
    cv_caller_close(c);
    cv_caller_close(nobody);
    cv_call_server_close(s);
}

static void test_a_server_that_comes_later_is_found(void)
{
    struct cv_call_server *s = server("tcp://127.0.0.1:0", NULL);
    char address[300];
    strcpy(address, cv_call_server_address(s));
    struct cv_caller *c = caller(address, NULL);
    ask(c, "first life");
    int lost = atomic_load(&n_lost);
    cv_call_server_close(s);
    for (int i = 0; i < 100 && atomic_load(&n_lost) == lost; i++)
        cv_sleep_ms(10);
    CHECK_EQ(atomic_load(&n_lost), lost + 1);
    CHECK(!cv_caller_connected(c));
    s = server(address, NULL);
    ask(c, "second life");
    cv_caller_close(c);
    cv_call_server_close(s);
}

static void *ask_often(void *arg)
{
    struct cv_buf reply;
    struct cv_error err;
    size_t good = 0;
    cv_buf_init(&reply, 100);
    for (int i = 0; i < 50; i++) {
        cv_buf_clear(&reply);
        good += cv_call(arg, &i, sizeof(i), &reply, 5000, &err) && reply.len == sizeof(i) &&
                memcmp(reply.data, &i, sizeof(i)) == 0;
    }
    cv_buf_fini(&reply);
    return good == 50 ? arg : NULL;
}

static void test_many_threads_share_a_caller_and_a_server(void)
{
    struct cv_call_server *s = server("tcp://127.0.0.1:0", "t");
    struct cv_caller *c[2] = {caller(cv_call_server_address(s), "t"), caller(cv_call_server_address(s), "t")};
    pthread_t t[6];
    for (int i = 0; i < 6; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, ask_often, c[i % 2]), 0);
    int good = 0;
    for (int i = 0; i < 6; i++) {
        void *rc;
        pthread_join(t[i], &rc);
        good += rc != NULL;
    }
    CHECK_EQ(good, 6);
    cv_caller_close(c[0]);
    cv_caller_close(c[1]);
    cv_call_server_close(s);
}

static void *shut_soon(void *arg)
{
    cv_sleep_ms(50);
    cv_caller_shutdown(arg);
    return NULL;
}

static void test_a_shutdown_wakes_who_waits(void)
{
    struct cv_caller *c = caller("tcp://127.0.0.1:1", NULL);
    pthread_t t;
    uint64_t t0 = cv_now_ms();
    CHECK_EQ(pthread_create(&t, NULL, shut_soon, c), 0);
    ask_in_vain(c, "x", 10000, CV_ERR_CANCEL, "");
    CHECK(cv_now_ms() - t0 < 2000);
    pthread_join(t, NULL);
    ask_in_vain(c, "x", 10000, CV_ERR_CANCEL, "shut down");
    cv_caller_close(c);
}

static void test_a_message_past_the_limit_is_not_sent(void)
{
    struct cv_call_server *s = server("inproc://", NULL);
    struct cv_caller *c;
    struct cv_error err;
    struct cv_caller_options o = {.address = cv_call_server_address(s), .max_bytes = 10};
    CHECK_OK(cv_caller_open(&c, &o, &err), err);
    ask_in_vain(c, "eleven byte", 1000, CV_ERR_LIMIT, "question of 11 bytes, the limit is 10");
    cv_caller_close(c);
    cv_call_server_close(s);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_a_question_gets_its_answer),
        CASE(test_a_wrong_token_is_refused),
        CASE(test_without_a_token_only_loopback_is_served),
        CASE(test_an_address_in_use_is_an_error),
        CASE(test_a_deadline_is_kept),
        CASE(test_a_server_that_comes_later_is_found),
        CASE(test_many_threads_share_a_caller_and_a_server),
        CASE(test_a_shutdown_wakes_who_waits),
        CASE(test_a_message_past_the_limit_is_not_sent),
    };
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
