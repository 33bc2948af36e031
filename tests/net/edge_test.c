/*
 * edge_test.c - edges between threads and between processes: one right peer, order, back-pressure, a clean end.
 *
 * The program starts itself again as "edge_test --echo ADDRESS" to have a second process.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/edge.h"
#include "net/internal.h"
#include "tests/check/check.h"

extern char **environ;

static const struct cv_edge_hello right = {.epoch = 5, .link = 2, .secret = "fifteen letters"};
static atomic_int n_push_lost, n_pull_lost;

static void push_lost(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&n_push_lost, 1);
}

static void pull_lost(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&n_pull_lost, 1);
}

static struct cv_pull *pull_at(const char *address)
{
    struct cv_pull *p;
    struct cv_error err;
    struct cv_pull_options o = {.address = address, .hello = right, .max_message_bytes = 1 << 16, .on_lost = pull_lost};
    CHECK_OK(cv_pull_open(&p, &o, &err), err);
    return p;
}

static struct cv_push *push_with(const char *address, struct cv_edge_hello hello)
{
    struct cv_push *p;
    struct cv_error err;
    struct cv_push_options o = {.address = address, .hello = hello, .on_lost = push_lost};
    CHECK_OK(cv_push_open(&p, &o, &err), err);
    return p;
}

static struct cv_push *push_to(const struct cv_pull *pull)
{
    return push_with(cv_pull_address(pull), right);
}

static struct cv_msg *numbered(uint32_t number, size_t len)
{
    struct cv_msg *m = cv_msg_new(len);
    CHECK(m != NULL && (uintptr_t)cv_msg_body(m) % 8 == 0);
    memset(cv_msg_body(m), (int)number, len);
    memcpy(cv_msg_body(m), &number, sizeof(number));
    return m;
}

static void send_number(struct cv_push *p, uint32_t number)
{
    struct cv_error err;
    CHECK_OK(cv_push_send(p, numbered(number, 100), 5000, &err), err);
}

static void take_number(struct cv_pull *p, uint32_t number)
{
    struct cv_msg *m;
    struct cv_error err;
    uint32_t got;
    CHECK_OK(cv_pull_recv(p, &m, 5000, &err), err);
    CHECK((uintptr_t)cv_msg_body(m) % 8 == 0);
    memcpy(&got, cv_msg_body(m), sizeof(got));
    cv_msg_free(m);
    CHECK_EQ(got, number);
}

static void take_nothing(struct cv_pull *p, int timeout_ms, enum cv_code code)
{
    struct cv_msg *m;
    struct cv_error err;
    CHECK(!cv_pull_recv(p, &m, timeout_ms, &err));
    CHECK_EQ(err.code, code);
}

static void wait_for(atomic_int *counter, int value)
{
    for (int i = 0; i < 300 && atomic_load(counter) < value; i++)
        cv_sleep_ms(10);
    CHECK_EQ(atomic_load(counter), value);
}

static void test_messages_arrive_in_order(void)
{
    static const char *const address[] = {"tcp://127.0.0.1:0", "inproc://"};
    for (size_t a = 0; a < CV_COUNT(address); a++) {
        struct cv_pull *pull = pull_at(address[a]);
        struct cv_push *push = push_to(pull);
        for (uint32_t i = 0; i < 200; i++) {
            send_number(push, i);
            take_number(pull, i);
        }
        CHECK(cv_pull_connected(pull) && cv_push_connected(push));
        take_nothing(pull, 0, CV_ERR_TIMEOUT);
        take_nothing(pull, 20, CV_ERR_TIMEOUT);
        cv_push_close(push, 0);
        cv_pull_close(pull);
    }
}

static void test_a_slow_receiver_pushes_back(void)
{
    struct cv_pull *pull = pull_at("inproc://");
    struct cv_push *push = push_to(pull);
    struct cv_error err;
    uint32_t sent = 0;
    send_number(push, sent++);
    take_number(pull, 0);
    for (;; sent++) {
        CHECK(sent < 100); /* nothing here is without a bound */
        struct cv_msg *m = numbered(sent, 100);
        if (!cv_push_send(push, m, 50, &err)) {
            cv_msg_free(m); /* still ours */
            break;
        }
    }
    CHECK_EQ(err.code, CV_ERR_TIMEOUT);
    CHECK_CONTAINS(err.msg, "took no message within 50 ms");
    for (uint32_t i = 1; i < sent; i++)
        take_number(pull, i);
    cv_push_close(push, 0);
    cv_pull_close(pull);
}

static void test_a_stranger_is_turned_away_and_the_peer_let_in(void)
{
    struct cv_pull *pull = pull_at("tcp://127.0.0.1:0");
    struct cv_edge_hello wrong[3] = {right, right, right};
    wrong[0].epoch++;
    wrong[1].link++;
    wrong[2].secret[0] ^= 1;
    struct cv_push *stranger[3];
    for (int i = 0; i < 3; i++) {
        stranger[i] = push_with(cv_pull_address(pull), wrong[i]);
        send_number(stranger[i], 666);
    }
    take_nothing(pull, 300, CV_ERR_TIMEOUT);
    CHECK(!cv_pull_connected(pull));
    struct cv_push *push = push_to(pull);
    for (uint32_t i = 0; i < 20; i++) {
        send_number(push, i);
        send_number(stranger[i % 3], 666);
        take_number(pull, i);
    }
    for (int i = 0; i < 3; i++)
        cv_push_close(stranger[i], 0);
    cv_push_close(push, 0);
    cv_pull_close(pull);
}

static void test_a_second_peer_is_turned_away(void)
{
    struct cv_pull *pull = pull_at("tcp://127.0.0.1:0");
    struct cv_push *first = push_to(pull);
    send_number(first, 1);
    take_number(pull, 1);
    int lost = atomic_load(&n_push_lost);
    struct cv_push *second = push_to(pull); /* it even knows the secret */
    wait_for(&n_push_lost, lost + 1);
    send_number(first, 2);
    take_number(pull, 2);
    cv_push_close(second, 0);
    cv_push_close(first, 0);
    cv_pull_close(pull);
}

static void test_silent_strangers_do_not_keep_the_peer_out(void)
{
    struct cv_pull *pull = pull_at("tcp://127.0.0.1:0");
    struct cv_edge_hello wrong = right;
    struct cv_push *stranger[20];
    wrong.link++;
    for (int i = 0; i < 20; i++)
        stranger[i] = push_with(cv_pull_address(pull), wrong);
    struct cv_push *push = push_to(pull);
    send_number(push, 1);
    take_number(pull, 1);
    for (int i = 0; i < 20; i++)
        cv_push_close(stranger[i], 0);
    cv_push_close(push, 0);
    cv_pull_close(pull);
}

static void test_a_peer_that_leaves_is_noticed_on_both_sides(void)
{
    int lost = atomic_load(&n_pull_lost);
    struct cv_pull *pull = pull_at("tcp://127.0.0.1:0");
    struct cv_push *push = push_to(pull);
    send_number(push, 1);
    send_number(push, 2);
    take_number(pull, 1);
    cv_push_close(push, 200);
    take_number(pull, 2); /* what was sent before still comes */
    take_nothing(pull, 5000, CV_ERR_PEER);
    CHECK_EQ(atomic_load(&n_pull_lost), lost + 1);
    take_nothing(pull, 5000, CV_ERR_PEER);
    cv_pull_close(pull);

    lost = atomic_load(&n_push_lost);
    pull = pull_at("tcp://127.0.0.1:0");
    push = push_to(pull);
    send_number(push, 1);
    take_number(pull, 1);
    cv_pull_close(pull);
    wait_for(&n_push_lost, lost + 1);
    struct cv_error err;
    struct cv_msg *m = numbered(2, 100);
    CHECK(!cv_push_send(push, m, 5000, &err));
    CHECK_EQ(err.code, CV_ERR_PEER);
    cv_msg_free(m);
    cv_push_close(push, 0);
}

static void test_a_message_past_the_bound_ends_the_edge(void)
{
    struct cv_pull *pull = pull_at("tcp://127.0.0.1:0");
    struct cv_push *push = push_to(pull);
    struct cv_error err;
    send_number(push, 1);
    take_number(pull, 1);
    CHECK_OK(cv_push_send(push, numbered(2, (1 << 16) + 1), 5000, &err), err);
    take_nothing(pull, 5000, CV_ERR_PEER);
    cv_push_close(push, 0);
    cv_pull_close(pull);
}

static void test_a_push_waits_for_its_peer(void)
{
    struct cv_error err;
    uint16_t port;
    char address[300];
    CHECK_OK(cv_net_free_port("127.0.0.1", &port, &err), err);
    snprintf(address, sizeof(address), "tcp://127.0.0.1:%u", port);
    struct cv_push *push = push_with(address, right);
    cv_sleep_ms(120);
    CHECK(!cv_push_connected(push));
    struct cv_pull *pull = pull_at(address);
    send_number(push, 7);
    take_number(pull, 7);
    cv_push_close(push, 0);
    cv_pull_close(pull);

    push = push_with("tcp://127.0.0.1:1", right); /* and it never comes */
    bool sent = true;
    for (int i = 0; sent && i < 5; i++) {
        struct cv_msg *m = numbered(1, 10);
        sent = cv_push_send(push, m, 30, &err);
        if (!sent)
            cv_msg_free(m);
    }
    CHECK(!sent);
    CHECK_EQ(err.code, CV_ERR_TIMEOUT);
    CHECK_CONTAINS(err.msg, "no connection");
    cv_push_close(push, 0);
}

/* What once hung NNG 1.5.2: ends in the midst of large messages, again and again. */
static void *push_much(void *arg)
{
    struct cv_error err;
    struct cv_msg *m = cv_msg_new(60000);
    while (m != NULL && cv_push_send(arg, m, -1, &err))
        m = cv_msg_new(60000);
    cv_msg_free(m);
    return NULL;
}

static void test_edges_end_in_the_midst_of_messages(void)
{
    for (int round = 0; round < 40; round++) {
        struct cv_pull *pull = pull_at("tcp://127.0.0.1:0");
        struct cv_push *push = push_to(pull);
        struct cv_msg *m;
        struct cv_error err;
        pthread_t t;
        CHECK_EQ(pthread_create(&t, NULL, push_much, push), 0);
        for (uint64_t n = 1 + check_below(30); n > 0; n--) {
            CHECK_OK(cv_pull_recv(pull, &m, 5000, &err), err);
            cv_msg_free(m);
        }
        if (round % 2 == 0)
            cv_pull_close(pull);
        cv_push_shutdown(push);
        pthread_join(t, NULL);
        cv_push_close(push, 0);
        if (round % 2 == 1)
            cv_pull_close(pull);
    }
    int lost = atomic_load(&n_push_lost); /* closing still works in this process */
    struct cv_pull *pull = pull_at("tcp://127.0.0.1:0");
    struct cv_push *push = push_to(pull);
    send_number(push, 1);
    take_number(pull, 1);
    cv_pull_close(pull);
    wait_for(&n_push_lost, lost + 1);
    cv_push_close(push, 0);
}

static void *shut_both(void *arg)
{
    void **edge = arg;
    cv_sleep_ms(50);
    cv_pull_shutdown(edge[0]);
    cv_sleep_ms(50);
    cv_push_shutdown(edge[1]);
    return NULL;
}

static void test_a_shutdown_wakes_who_waits(void)
{
    struct cv_pull *pull = pull_at("inproc://");
    struct cv_push *push = push_with("inproc://nobody-listens-here", right);
    void *edge[2] = {pull, push};
    pthread_t t;
    struct cv_error err;
    uint64_t t0 = cv_now_ms();
    CHECK_EQ(pthread_create(&t, NULL, shut_both, edge), 0);
    take_nothing(pull, -1, CV_ERR_CANCEL);
    bool sent = true;
    while (sent) {
        struct cv_msg *m = numbered(1, 10);
        sent = cv_push_send(push, m, -1, &err);
        if (!sent)
            cv_msg_free(m);
    }
    CHECK_EQ(err.code, CV_ERR_CANCEL);
    CHECK(cv_now_ms() - t0 < 3000);
    pthread_join(t, NULL);
    cv_push_close(push, 0);
    cv_pull_close(pull);
}

/* ---- two processes ---- */

/* The other process: says where it listens, sends everything back to address until its peer leaves. */
static int echo(const char *address)
{
    struct cv_pull *pull = pull_at("tcp://127.0.0.1:0");
    printf("%s\n", cv_pull_address(pull));
    fflush(stdout);
    struct cv_push *push = push_with(address, right);
    struct cv_msg *m;
    struct cv_error err;
    while (cv_pull_recv(pull, &m, 20000, &err) && cv_push_send(push, m, 5000, &err))
        ;
    cv_push_close(push, 0);
    cv_pull_close(pull);
    return 0;
}

static pid_t start_echo(const char *back, char *address, size_t size)
{
    int fd[2];
    pid_t pid;
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    CHECK(n > 0 && pipe(fd) == 0);
    self[n] = '\0';
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd[1], 1);
    posix_spawn_file_actions_addclose(&actions, fd[0]);
    posix_spawn_file_actions_addclose(&actions, fd[1]);
    char *argv[] = {self, "--echo", (char *)(uintptr_t)back, NULL};
    CHECK_EQ(posix_spawn(&pid, self, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(fd[1]);
    FILE *f = fdopen(fd[0], "r");
    CHECK(f != NULL && fgets(address, (int)size, f) != NULL);
    fclose(f);
    address[strcspn(address, "\n")] = '\0';
    return pid;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void test_a_hop_to_another_process_is_quick(void)
{
    enum { ROUNDS = 1000, BYTES = 8192 };
    char address[300];
    struct cv_pull *pull = pull_at("tcp://127.0.0.1:0");
    pid_t pid = start_echo(cv_pull_address(pull), address, sizeof(address));
    struct cv_push *push = push_with(address, right);
    struct cv_error err;
    struct cv_msg *m = numbered(0, BYTES);
    static uint64_t took[ROUNDS];
    for (int i = -100; i < ROUNDS; i++) {
        uint64_t t0 = cv_now_ns();
        CHECK_OK(cv_push_send(push, m, 5000, &err), err);
        CHECK_OK(cv_pull_recv(pull, &m, 5000, &err), err);
        CHECK_EQ(cv_msg_len(m), BYTES);
        if (i >= 0)
            took[i] = cv_now_ns() - t0;
    }
    cv_msg_free(m);
    qsort(took, ROUNDS, sizeof(took[0]), compare);
    printf("  8 KiB to another process and back: p50 %.0f us, p90 %.0f us, p99 %.0f us; a hop is half of it\n",
           (double)took[ROUNDS / 2] / 1e3, (double)took[ROUNDS * 9 / 10] / 1e3, (double)took[ROUNDS * 99 / 100] / 1e3);
    CHECK(took[ROUNDS / 2] < 20 * 1000 * 1000); /* far off, whatever else the machine does */
    cv_push_close(push, 0);
    cv_pull_close(pull);
    int status = 0;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

static void test_a_killed_process_is_noticed_within_a_second(void)
{
    char address[300];
    int lost_push = atomic_load(&n_push_lost), lost_pull = atomic_load(&n_pull_lost);
    struct cv_pull *pull = pull_at("tcp://127.0.0.1:0");
    pid_t pid = start_echo(cv_pull_address(pull), address, sizeof(address));
    struct cv_push *push = push_with(address, right);
    send_number(push, 1);
    take_number(pull, 1);
    uint64_t t0 = cv_now_ms();
    CHECK_EQ(kill(pid, SIGKILL), 0);
    take_nothing(pull, 5000, CV_ERR_PEER);
    CHECK(cv_now_ms() - t0 < 1000);
    wait_for(&n_push_lost, lost_push + 1);
    wait_for(&n_pull_lost, lost_pull + 1);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    cv_push_close(push, 0);
    cv_pull_close(pull);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_messages_arrive_in_order),
        CASE(test_a_slow_receiver_pushes_back),
        CASE(test_a_stranger_is_turned_away_and_the_peer_let_in),
        CASE(test_a_second_peer_is_turned_away),
        CASE(test_silent_strangers_do_not_keep_the_peer_out),
        CASE(test_a_peer_that_leaves_is_noticed_on_both_sides),
        CASE(test_a_message_past_the_bound_ends_the_edge),
        CASE(test_a_push_waits_for_its_peer),
        CASE(test_edges_end_in_the_midst_of_messages),
        CASE(test_a_shutdown_wakes_who_waits),
        CASE(test_a_hop_to_another_process_is_quick),
        CASE(test_a_killed_process_is_noticed_within_a_second),
    };
    if (argc == 3 && strcmp(argv[1], "--echo") == 0)
        return echo(argv[2]);
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
