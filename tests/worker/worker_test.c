/* worker_test.c - a worker without a coordinator's plans: its resources, its orders, its end. The rest is tests/e2e. */
#include "worker/worker.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cluster/members.h"
#include "cluster/peer.h"
#include "engine/cpu/matrix.h"
#include "tests/check/check.h"
#include "worker/resources.h"

enum { PATIENCE_MS = 30000 };

struct home { /* a coordinator that only knows who is here */
    struct cv_members *members;
    struct cv_answerer *answerer;
};

static void answer(void *ctx, const struct cv_ctl_request *r, struct cv_ctl_reply *reply, struct cv_arena *arena)
{
    cv_members_answer(ctx, r, reply, arena);
}

static void home_open(struct home *h)
{
    struct cv_error err;
    const struct cv_members_options o = {.cluster = "test", .heartbeat_ms = 100, .silence_ms = 2000, .session = 7};
    CHECK_OK(cv_members_new(&h->members, &o, &err), err);
    CHECK_OK(cv_answerer_open(&h->answerer, "tcp://127.0.0.1:0", NULL, 7, answer, h->members, &err), err);
}

static void home_close(struct home *h)
{
    cv_answerer_close(h->answerer);
    cv_members_free(h->members);
}

static struct cv_worker *open_worker(const struct home *h, uint64_t budget)
{
    struct cv_worker *w;
    struct cv_error err;
    const struct cv_worker_options o = {.name = "pi",
                                        .coordinator = cv_answerer_address(h->answerer),
                                        .cache_dir = check_tmpdir(),
                                        .memory_bytes = budget,
                                        .n_threads = 1};
    CHECK_OK(cv_worker_open(&w, &o, &err), err);
    return w;
}

static bool wait_joined(struct cv_worker *w)
{
    const uint64_t until = cv_now_ms() + PATIENCE_MS;
    while (!cv_worker_joined(w) && cv_now_ms() < until)
        cv_worker_wait(w, 50);
    return cv_worker_joined(w);
}

/* The address at which the only node answers calls; copies its memory too. */
static void look(const struct home *h, char address[128], uint64_t *memory)
{
    struct cv_arena arena = {0};
    struct cv_node *node;
    struct cv_error err;
    size_t n;
    CHECK_OK(cv_members_list(h->members, false, &node, &n, &arena, &err), err);
    CHECK_EQ(n, 1);
    CHECK_STR(node[0].name, "pi");
    snprintf(address, 128, "%s", node[0].call_address);
    *memory = node[0].device[0].memory_free_bytes;
    cv_arena_fini(&arena);
}

static void test_a_machine_knows_what_it_has(void)
{
    struct cv_resources r = {0};
    struct cv_pool *pool;
    struct cv_error err;
    CHECK_OK(cv_pool_new(&pool, 1, &err), err);
    CHECK_OK(cv_resources_memory(&r, &err), err);
    CHECK(r.memory_free > 0 && r.memory_free <= r.memory_total);
    CHECK_OK(cv_resources_measure(&r, pool, &err), err);
    CHECK(r.bandwidth_bytes_per_s > 1e6 && r.flops_per_s > 1e6);
    CHECK(cv_resident_bytes() > 1 << 16);
    cv_pool_free(pool);
}

static void test_a_worker_joins_and_leaves(void)
{
    struct home h;
    char address[128];
    uint64_t memory;
    home_open(&h);
    struct cv_worker *w = open_worker(&h, 2u << 30);
    CHECK(wait_joined(w));
    look(&h, address, &memory);
    CHECK(memory > 0 && memory < 2u << 30); /* the process itself comes out of the budget */
    cv_worker_close(w);
    struct cv_arena arena = {0};
    struct cv_node *node;
    struct cv_error err;
    size_t n;
    CHECK_OK(cv_members_list(h.members, true, &node, &n, &arena, &err), err);
    CHECK(n == 1 && !node[0].alive);
    CHECK_CONTAINS(node[0].lost_why, "stopped"); /* it said so: nobody had to wait for its silence */
    cv_arena_fini(&arena);
    home_close(&h);
}

static void test_a_worker_ends_soon_without_its_coordinator(void)
{
    struct home h;
    home_open(&h);
    struct cv_worker *w = open_worker(&h, 2u << 30);
    CHECK(wait_joined(w));
    home_close(&h);
    cv_sleep_ms(300); /* its next heartbeat finds nobody */
    const uint64_t start = cv_now_ms();
    cv_worker_close(w);
    CHECK(cv_now_ms() - start < 1500);
}

static void test_a_budget_too_small_for_the_process_is_refused(void)
{
    struct home h;
    struct cv_worker *w;
    struct cv_error err;
    home_open(&h);
    const struct cv_worker_options o = {
        .name = "pi", .coordinator = cv_answerer_address(h.answerer), .cache_dir = check_tmpdir(), .memory_bytes = 1 << 20, .n_threads = 1};
    CHECK(!cv_worker_open(&w, &o, &err));
    CHECK_CONTAINS(err.msg, "leaves nothing for a model");
    home_close(&h);
}

static bool ask(struct cv_peer *p, struct cv_ctl_request r, struct cv_error *err)
{
    struct cv_arena arena = {0};
    struct cv_ctl_reply reply;
    const bool ok = cv_peer_ask(p, &r, &reply, &arena, PATIENCE_MS, err);
    cv_arena_fini(&arena);
    return ok;
}

static void test_orders_that_make_no_sense_are_refused(void)
{
    struct home h;
    char address[128];
    uint64_t memory;
    struct cv_peer *p;
    struct cv_error err;
    home_open(&h);
    struct cv_worker *w = open_worker(&h, 2u << 30);
    CHECK(wait_joined(w));
    look(&h, address, &memory);
    CHECK_OK(cv_peer_open(&p, address, NULL, 7, NULL, NULL, &err), err);
    struct cv_ctl_request r = {.kind = CV_CTL_LOAD, .u.load = {.epoch = 1, .layer_first = 2, .layer_last = 2, .local_path = ""}};
    CHECK(!ask(p, r, &err));
    r = (struct cv_ctl_request){.kind = CV_CTL_LISTEN, .u.listen = {.epoch = 5, .hello.epoch = 5}};
    CHECK(!ask(p, r, &err));
    CHECK_CONTAINS(err.msg, "not loaded");
    CHECK_EQ(err.code, CV_ERR_BUSY);
    r = (struct cv_ctl_request){.kind = CV_CTL_CONNECT, .u.connect = {.epoch = 5, .hello.epoch = 5, .address = "tcp://127.0.0.1:1"}};
    CHECK(!ask(p, r, &err));
    r = (struct cv_ctl_request){.kind = CV_CTL_HELLO, .u.hello = {.name = "", .build_version = "", .call_address = "", .data_host = ""}};
    CHECK(!ask(p, r, &err));
    r = (struct cv_ctl_request){.kind = CV_CTL_DROP, .u.drop = {.epoch = 0}};
    CHECK_OK(ask(p, r, &err), err);
    r = (struct cv_ctl_request){.kind = CV_CTL_STATS};
    CHECK_OK(ask(p, r, &err), err);
    /* A header that is no GGUF: the order is taken, and the load fails with words. */
    r = (struct cv_ctl_request){.kind = CV_CTL_LOAD,
                                .u.load = {.epoch = 9, .layer_last = 1, .n_stage = 1, .n_slots = 1, .n_ctx = 8, .n_batch = 8,
                                           .kv_type = CV_DTYPE_F16, .gguf_header = (const unsigned char *)"nonsense",
                                           .gguf_header_len = 8, .local_path = ""}};
    CHECK_OK(ask(p, r, &err), err);
    CHECK_OK(ask(p, r, &err), err); /* the same order again: it has come already */
    struct cv_ctl_status s;
    char text[256];
    const uint64_t until = cv_now_ms() + PATIENCE_MS;
    do {
        cv_worker_status(w, &s, text);
        cv_sleep_ms(10);
    } while (s.state != CV_NODE_FAILED && cv_now_ms() < until);
    CHECK_EQ(s.state, CV_NODE_FAILED);
    CHECK_EQ(s.epoch, 9);
    CHECK(text[0] != '\0');
    /* An epoch that a newer one has overtaken. */
    r.u.load.epoch = 8;
    CHECK(!ask(p, r, &err));
    CHECK_CONTAINS(err.msg, "is over");
    cv_peer_close(p);
    cv_worker_close(w);
    home_close(&h);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_a_machine_knows_what_it_has),
        CASE(test_a_worker_joins_and_leaves),
        CASE(test_a_worker_ends_soon_without_its_coordinator),
        CASE(test_a_budget_too_small_for_the_process_is_refused),
        CASE(test_orders_that_make_no_sense_are_refused),
    };
    cv_matrix_init(cv_isa_detect());
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
