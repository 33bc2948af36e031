/* members_test.c - the table of nodes: who joins, who is silent, who comes back, what others read. */
#include "cluster/members.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "cluster/peer.h"
#include "tests/check/check.h"

static struct cv_members *open_table(void)
{
    struct cv_members *m;
    struct cv_error err;
    const struct cv_members_options o = {.cluster = "test", .heartbeat_ms = 500, .silence_ms = 2000, .session = 77};
    CHECK_OK(cv_members_new(&m, &o, &err), err);
    return m;
}

/* The node's id; 0: it was refused (the words are in text[256] then). */
static uint64_t hello(struct cv_members *m, uint64_t session, const char *name, char *text)
{
    struct cv_arena arena = {0};
    struct cv_ctl_reply reply;
    char kind[] = "cpu";
    const struct cv_ctl_device device = {.kind = kind, .name = kind, .memory_free_bytes = 1 << 20, .n_threads = 2};
    const struct cv_ctl_held held = {.bytes = 5};
    const struct cv_ctl_request r = {
        .kind = CV_CTL_HELLO,
        .session = session,
        .u.hello = {.build_version = "1", .name = name, .call_address = "tcp://127.0.0.1:1", .data_host = "127.0.0.1",
                    .device = &device, .n_device = text != NULL ? 0 : 1, .held = &held, .n_held = 1}};
    cv_members_answer(m, &r, &reply, &arena);
    const uint64_t id = reply.code == CV_OK ? reply.u.hello.node_id : 0;
    if (text != NULL)
        snprintf(text, 256, "%s", reply.text == NULL ? "" : reply.text);
    cv_arena_fini(&arena);
    return id;
}

static bool heartbeat(struct cv_members *m, uint64_t session, uint64_t id, enum cv_node_state state, const char *text)
{
    struct cv_arena arena = {0};
    struct cv_ctl_reply reply;
    const struct cv_ctl_request r = {.kind = CV_CTL_HEARTBEAT,
                                     .session = session,
                                     .u.heartbeat = {.node_id = id, .status = {.state = state, .epoch = 3, .text = text}}};
    cv_members_answer(m, &r, &reply, &arena);
    cv_arena_fini(&arena);
    return reply.u.heartbeat.known;
}

static size_t count(struct cv_members *m, bool with_dead)
{
    struct cv_arena arena = {0};
    struct cv_node *node;
    struct cv_error err;
    size_t n = 0;
    CHECK_OK(cv_members_list(m, with_dead, &node, &n, &arena, &err), err);
    cv_arena_fini(&arena);
    return n;
}

static void test_a_node_joins_once_however_often_it_says_hello(void)
{
    struct cv_members *m = open_table();
    const uint64_t id = hello(m, 5, "pi", NULL);
    CHECK(id != 0);
    CHECK_EQ(hello(m, 5, "pi", NULL), id);
    CHECK_EQ(count(m, true), 1);
    cv_members_free(m);
}

static void test_names_are_unique_among_the_living(void)
{
    struct cv_members *m = open_table();
    struct cv_arena arena = {0};
    struct cv_node *node;
    struct cv_error err;
    size_t n;
    const uint64_t first = hello(m, 1, "pi", NULL);
    (void)hello(m, 2, "pi", NULL);
    (void)hello(m, 3, "", NULL);
    CHECK_OK(cv_members_list(m, false, &node, &n, &arena, &err), err);
    CHECK_EQ(n, 3);
    CHECK_STR(node[0].name, "pi");
    CHECK_STR(node[1].name, "pi-2");
    CHECK_STR(node[2].name, "node");
    CHECK_EQ(node[0].n_held, 1);
    CHECK_EQ(node[0].held[0].bytes, 5);
    cv_members_lose(m, first, "gone");
    (void)hello(m, 4, "pi", NULL); /* the name is free again */
    CHECK_OK(cv_members_list(m, false, &node, &n, &arena, &err), err);
    CHECK_STR(node[2].name, "pi");
    cv_arena_fini(&arena);
    cv_members_free(m);
}

static void test_a_node_without_a_device_is_refused(void)
{
    struct cv_members *m = open_table();
    char text[256];
    CHECK_EQ(hello(m, 1, "pi", text), 0);
    CHECK_CONTAINS(text, "without a device");
    CHECK_EQ(count(m, true), 0);
    cv_members_free(m);
}

static void test_silence_is_loss_and_the_lost_must_join_again(void)
{
    struct cv_members *m = open_table();
    const uint64_t id = hello(m, 9, "pi", NULL), start = cv_now_ms();
    cv_members_sweep(m, start + 1500);
    CHECK_EQ(count(m, false), 1);
    CHECK(heartbeat(m, 9, id, CV_NODE_IDLE, ""));
    cv_members_sweep(m, cv_now_ms() + 2500);
    CHECK_EQ(count(m, false), 0);
    CHECK_EQ(count(m, true), 1);
    CHECK(!heartbeat(m, 9, id, CV_NODE_IDLE, ""));
    const uint64_t again = hello(m, 9, "pi", NULL);
    CHECK(again != 0 && again != id);
    CHECK(heartbeat(m, 9, again, CV_NODE_IDLE, ""));
    cv_members_sweep(m, start + 70 * 1000); /* the dead are forgotten after a minute */
    cv_members_free(m);
}

static void test_a_heartbeat_of_somebody_else_is_not_believed(void)
{
    struct cv_members *m = open_table();
    const uint64_t id = hello(m, 9, "pi", NULL);
    CHECK(!heartbeat(m, 8, id, CV_NODE_FAILED, "ha"));
    CHECK(!heartbeat(m, 9, id + 1, CV_NODE_FAILED, "ha"));
    CHECK_EQ(count(m, false), 1);
    cv_members_free(m);
}

static void test_the_dead_are_forgotten_one_by_one(void)
{
    struct cv_members *m = open_table();
    uint64_t id[5];
    for (uint64_t i = 0; i < 5; i++)
        id[i] = hello(m, 100 + i, "pi", NULL);
    cv_members_lose(m, id[4], "gone"); /* the last, the first and one in the middle */
    cv_members_lose(m, id[0], "gone");
    cv_members_lose(m, id[2], "gone");
    CHECK_EQ(count(m, false), 2);
    CHECK_EQ(count(m, true), 5);
    cv_members_sweep(m, cv_now_ms() + 61 * 1000); /* long silence takes the others, but shows them */
    CHECK_EQ(count(m, false), 0);
    (void)hello(m, 200, "new", NULL);
    CHECK_EQ(count(m, false), 1);
    cv_members_free(m);
}

static void test_a_change_wakes_who_waits(void)
{
    struct cv_members *m = open_table();
    uint64_t version = 0;
    (void)cv_members_wait(m, &version, 0);
    CHECK(!cv_members_wait(m, &version, 20));
    const uint64_t id = hello(m, 1, "pi", NULL);
    CHECK(cv_members_wait(m, &version, 0));
    CHECK(heartbeat(m, 1, id, CV_NODE_LOADED, "x"));
    CHECK(cv_members_wait(m, &version, 0));
    CHECK(heartbeat(m, 1, id, CV_NODE_LOADED, "x")); /* the same again is no news */
    CHECK(!cv_members_wait(m, &version, 0));
    cv_members_wake(m);
    CHECK(cv_members_wait(m, &version, 0));
    cv_members_free(m);
}

/* ---- calls, through a real transport ---- */

static void answer(void *ctx, const struct cv_ctl_request *r, struct cv_ctl_reply *reply, struct cv_arena *arena)
{
    cv_members_answer(ctx, r, reply, arena);
}

static void *beat(void *arg)
{
    const char *address = arg;
    struct cv_peer *p = NULL;
    struct cv_error err;
    struct cv_arena arena = {0};
    uint64_t session = 0, ok = 0;
    char kind[] = "cpu";
    const struct cv_ctl_device device = {.kind = kind, .name = kind, .n_threads = 1, .memory_free_bytes = 1};
    struct cv_ctl_reply reply;
    struct cv_ctl_request r = {.kind = CV_CTL_HELLO,
                               .u.hello = {.build_version = "1", .name = "pi", .call_address = "tcp://127.0.0.1:1",
                                           .data_host = "127.0.0.1", .device = &device, .n_device = 1}};
    if (!cv_session_new(&session, &err) || !cv_peer_open(&p, address, NULL, session, NULL, NULL, &err) ||
        !cv_peer_ask(p, &r, &reply, &arena, 10000, &err))
        printf("     %s\n", err.msg);
    else
        ok = reply.u.hello.node_id;
    for (int i = 0; ok != 0 && i < 20; i++) {
        struct cv_ctl_request h = {.kind = CV_CTL_HEARTBEAT, .u.heartbeat = {.node_id = ok, .status = {.text = "fine"}}};
        if (!cv_peer_ask(p, &h, &reply, &arena, 10000, &err) || !reply.u.heartbeat.known)
            ok = 0;
    }
    struct cv_ctl_request wrong = {.kind = CV_CTL_STATS};
    if (ok != 0 && cv_peer_ask(p, &wrong, &reply, &arena, 10000, &err))
        ok = 0; /* a coordinator answers no STATS */
    cv_peer_close(p);
    cv_arena_fini(&arena);
    return ok != 0 ? arg : NULL;
}

static void test_many_nodes_at_once_through_real_calls(void)
{
    enum { N = 8 };
    struct cv_members *m = open_table();
    struct cv_answerer *a;
    struct cv_error err;
    pthread_t t[N];
    CHECK_OK(cv_answerer_open(&a, "tcp://127.0.0.1:0", NULL, 77, answer, m, &err), err);
    char address[128];
    snprintf(address, sizeof(address), "%s", cv_answerer_address(a));
    for (int i = 0; i < N; i++)
        CHECK(pthread_create(&t[i], NULL, beat, address) == 0);
    int good = 0;
    for (int i = 0; i < N; i++) {
        void *result;
        pthread_join(t[i], &result);
        good += result != NULL;
    }
    CHECK_EQ(good, N);
    CHECK_EQ(count(m, false), N);
    cv_answerer_close(a);
    cv_members_free(m);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_a_node_joins_once_however_often_it_says_hello),
        CASE(test_names_are_unique_among_the_living),
        CASE(test_a_node_without_a_device_is_refused),
        CASE(test_silence_is_loss_and_the_lost_must_join_again),
        CASE(test_a_heartbeat_of_somebody_else_is_not_believed),
        CASE(test_the_dead_are_forgotten_one_by_one),
        CASE(test_a_change_wakes_who_waits),
        CASE(test_many_nodes_at_once_through_real_calls),
    };
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
