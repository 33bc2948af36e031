/* control_test.c - control messages: what goes in comes out; hostile bytes are errors, never large allocations. */
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "proto/control.h"
#include "tests/check/check.h"

static struct cv_arena arena;
static struct cv_buf buf;

static void fresh(void)
{
    cv_arena_fini(&arena);
    cv_buf_fini(&buf);
    cv_buf_init(&buf, CV_MAX_CALL_BYTES);
}

static struct cv_ctl_request passed_on(const struct cv_ctl_request *r)
{
    struct cv_error err;
    struct cv_ctl_request got;
    fresh();
    CHECK_OK(cv_ctl_request_encode(r, &buf, &err), err);
    unsigned char *bytes = check_guarded(buf.len);
    memcpy(bytes, buf.data, buf.len);
    CHECK_OK(cv_ctl_request_decode(&got, bytes, buf.len, &arena, &err), err);
    CHECK_EQ(got.kind, r->kind);
    CHECK_EQ(got.session, r->session);
    CHECK_EQ(got.version, CV_PROTO_VERSION);
    return got;
}

static void refused(const struct cv_ctl_request *r, enum cv_code code, const char *part)
{
    struct cv_error err;
    struct cv_ctl_request got;
    fresh();
    bool ok = cv_ctl_request_encode(r, &buf, &err) && cv_ctl_request_decode(&got, buf.data, buf.len, &arena, &err);
    CHECK(!ok);
    CHECK_CONTAINS(err.msg, part);
    CHECK_EQ(err.code, code);
}

static struct cv_ctl_device a_cpu = {.kind = "cpu",
                                     .name = "Caf\xC3\xA9 9000",
                                     .memory_total_bytes = 8ull << 30,
                                     .memory_free_bytes = 7ull << 30,
                                     .bandwidth_bytes_per_s = 2.5e10,
                                     .matmul_flops_per_s = 1e11,
                                     .n_threads = 4};
static struct cv_ctl_held held[2] = {{{1, 2, 3}, 123456789012}, {{255}, 0}};

static struct cv_ctl_request a_hello(void)
{
    return (struct cv_ctl_request){.session = 0xfedcba9876543210u,
                                   .kind = CV_CTL_HELLO,
                                   .u.hello = {.build_version = "0.1.0",
                                               .name = "pi-3",
                                               .call_address = "tcp://10.0.0.3:4711",
                                               .data_host = "10.0.0.3",
                                               .device = &a_cpu,
                                               .n_device = 1,
                                               .held = held,
                                               .n_held = 2}};
}

static void test_a_hello_arrives(void)
{
    struct cv_ctl_request r = a_hello(), got = passed_on(&r);
    const struct cv_ctl_hello *h = &got.u.hello;
    CHECK_STR(h->name, "pi-3");
    CHECK_STR(h->call_address, "tcp://10.0.0.3:4711");
    CHECK_EQ(h->n_device, 1);
    CHECK_STR(h->device[0].name, "Caf\xC3\xA9 9000");
    CHECK_EQ(h->device[0].memory_free_bytes, 7ll << 30);
    CHECK(h->device[0].bandwidth_bytes_per_s == 2.5e10 && h->device[0].matmul_flops_per_s == 1e11);
    CHECK_EQ(h->n_held, 2);
    CHECK_EQ(h->held[0].bytes, 123456789012);
    CHECK(memcmp(h->held[0].model, held[0].model, CV_SHA256_BYTES) == 0);
}

static void test_a_hello_that_makes_no_sense_is_refused(void)
{
    struct cv_ctl_request r = a_hello();
    char name[CV_MAX_NODE_NAME + 2];
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    r.u.hello.name = name;
    refused(&r, CV_ERR_ARG, "node name has 65 bytes, the limit is 64");
    r = a_hello();
    r.u.hello.name = "\xff";
    refused(&r, CV_ERR_ARG, "node name is not UTF-8");
    struct cv_ctl_device d = a_cpu;
    r = a_hello();
    r.u.hello.device = &d;
    d.bandwidth_bytes_per_s = NAN;
    refused(&r, CV_ERR_FORMAT, "bandwidth is ");
    d.bandwidth_bytes_per_s = -1;
    refused(&r, CV_ERR_FORMAT, "bandwidth is -1");
    r = a_hello();
    r.u.hello.n_device = CV_MAX_DEVICES + 1;
    refused(&r, CV_ERR_ARG, "65 devices, the limit is 64");
}

static struct cv_ctl_tensor some_tensors[300];
static const char *const sources[] = {"http://10.0.0.1:8100", "http://10.0.0.2:8100"};

static struct cv_ctl_request a_load(void)
{
    for (size_t i = 0; i < CV_COUNT(some_tensors); i++) {
        some_tensors[i] =
            (struct cv_ctl_tensor){.name = "blk.0.attn_q.weight", .offset = i << 33, .size_bytes = i, .part = 2};
        memset(some_tensors[i].sha256, (int)i, CV_SHA256_BYTES);
    }
    return (struct cv_ctl_request){.session = 1,
                                   .kind = CV_CTL_LOAD,
                                   .u.load = {.epoch = 7,
                                              .stage = 1,
                                              .n_stage = 3,
                                              .layer_first = 4,
                                              .layer_last = 9,
                                              .has_head = true,
                                              .n_slots = 4,
                                              .n_ctx = 4096,
                                              .n_batch = 512,
                                              .kv_type = 1,
                                              .model = {9, 9},
                                              .gguf_header = (const unsigned char *)"GGUF\0and more",
                                              .gguf_header_len = 13,
                                              .tensor = some_tensors,
                                              .n_tensor = CV_COUNT(some_tensors),
                                              .source = sources,
                                              .n_source = 2,
                                              .local_path = "/models/m.gguf"}};
}

static void test_a_load_arrives(void)
{
    struct cv_ctl_request r = a_load(), got = passed_on(&r);
    const struct cv_ctl_load *l = &got.u.load;
    CHECK_EQ(l->epoch, 7);
    CHECK_EQ(l->stage, 1);
    CHECK_EQ(l->n_stage, 3);
    CHECK(l->layer_first == 4 && l->layer_last == 9 && !l->has_embd && l->has_head);
    CHECK(l->n_slots == 4 && l->n_ctx == 4096 && l->n_batch == 512 && l->kv_type == 1);
    CHECK_EQ(l->gguf_header_len, 13);
    CHECK(memcmp(l->gguf_header, "GGUF\0and more", 13) == 0);
    CHECK_EQ(l->n_tensor, 300);
    for (size_t i = 0; i < 300; i++) {
        CHECK_STR(l->tensor[i].name, "blk.0.attn_q.weight");
        CHECK(l->tensor[i].offset == i << 33 && l->tensor[i].size_bytes == i && l->tensor[i].part == 2);
        CHECK(memcmp(l->tensor[i].sha256, some_tensors[i].sha256, CV_SHA256_BYTES) == 0);
    }
    CHECK_EQ(l->n_source, 2);
    CHECK_STR(l->source[1], "http://10.0.0.2:8100");
    CHECK_STR(l->local_path, "/models/m.gguf");
}

static void test_a_load_that_makes_no_sense_is_refused(void)
{
    struct cv_ctl_request r = a_load();
    r.u.load.layer_first = 10;
    refused(&r, CV_ERR_FORMAT, "LOAD: layers 10 to 9");
    r = a_load();
    r.u.load.stage = 3;
    refused(&r, CV_ERR_FORMAT, "stage 3 of 3");
    r = a_load();
    r.u.load.n_slots = CV_MAX_SLOTS + 1;
    refused(&r, CV_ERR_LIMIT, "1025 slots");
    r = a_load();
    some_tensors[5].offset = UINT64_MAX;
    refused(&r, CV_ERR_FORMAT, "tensor 'blk.0.attn_q.weight'");
    r = a_load();
    r.u.load.n_source = CV_MAX_SOURCES + 1;
    refused(&r, CV_ERR_ARG, "65 sources, the limit is 64");
}

static void test_the_other_requests_arrive(void)
{
    struct cv_ctl_request r = {.session = 2,
                               .kind = CV_CTL_HEARTBEAT,
                               .u.heartbeat = {.node_id = 5,
                                               .status = {.state = CV_NODE_FAILED,
                                                          .epoch = 4,
                                                          .code = CV_ERR_NOMEM,
                                                          .text = "too small",
                                                          .n_batches = 1,
                                                          .n_rows = 2,
                                                          .busy_us = 3,
                                                          .memory_used_bytes = 4,
                                                          .memory_free_bytes = 5,
                                                          .load_done_bytes = 6,
                                                          .load_all_bytes = 7,
                                                          .load_bytes_per_s = 8.5,
                                                          .fetched_bytes = 9}}};
    struct cv_ctl_request got = passed_on(&r);
    const struct cv_ctl_status *s = &got.u.heartbeat.status;
    CHECK(got.u.heartbeat.node_id == 5 && s->state == CV_NODE_FAILED && s->epoch == 4 && s->code == CV_ERR_NOMEM);
    CHECK_STR(s->text, "too small");
    CHECK(s->n_batches == 1 && s->n_rows == 2 && s->busy_us == 3 && s->memory_used_bytes == 4 &&
          s->memory_free_bytes == 5 && s->load_done_bytes == 6 && s->load_all_bytes == 7 &&
          s->load_bytes_per_s == 8.5 && s->fetched_bytes == 9);
    r.u.heartbeat.status.state = (enum cv_node_state)6;
    refused(&r, CV_ERR_FORMAT, "HEARTBEAT: unknown node state 6");

    r = (struct cv_ctl_request){
        .kind = CV_CTL_LISTEN,
        .u.listen = {.epoch = 8, .hello = {.epoch = 8, .link = 2, .secret = "0123456789abcde"}, .carry = CV_CARRY_F16}};
    got = passed_on(&r);
    CHECK(cv_edge_hello_equal(&got.u.listen.hello, &r.u.listen.hello) && got.u.listen.carry == CV_CARRY_F16);
    r.u.listen.hello.epoch = 9;
    refused(&r, CV_ERR_FORMAT, "edge of epoch 9 in a request of epoch 8");
    r.u.listen.hello.epoch = 8;
    r.u.listen.carry = CV_CARRY_Q8;
    refused(&r, CV_ERR_UNSUPPORTED, "q8");

    r = (struct cv_ctl_request){.kind = CV_CTL_CONNECT,
                                .u.connect = {.epoch = 8, .address = "tcp://a:1", .hello = {.epoch = 8, .link = 3}}};
    got = passed_on(&r);
    CHECK_STR(got.u.connect.address, "tcp://a:1");
    CHECK(cv_edge_hello_equal(&got.u.connect.hello, &r.u.connect.hello) && got.u.connect.carry == CV_CARRY_NONE);

    r = (struct cv_ctl_request){.kind = CV_CTL_DROP, .u.drop = {.epoch = 12}};
    CHECK_EQ(passed_on(&r).u.drop.epoch, 12);
    r = (struct cv_ctl_request){.kind = CV_CTL_STATS};
    passed_on(&r);
    r = (struct cv_ctl_request){.kind = CV_CTL_BYE, .u.bye = {.node_id = 1, .reason = NULL}};
    got = passed_on(&r);
    CHECK_STR(got.u.bye.reason, "");
    r.kind = (enum cv_ctl_kind)77;
    refused(&r, CV_ERR_ARG, "no request of kind 77");
}

static struct cv_ctl_reply answered(const struct cv_ctl_reply *r)
{
    struct cv_error err;
    struct cv_ctl_reply got;
    fresh();
    CHECK_OK(cv_ctl_reply_encode(r, &buf, &err), err);
    CHECK_OK(cv_ctl_reply_decode(&got, buf.data, buf.len, &arena, &err), err);
    CHECK_EQ(got.kind, r->kind);
    CHECK_EQ(got.code, r->code);
    return got;
}

static void test_replies_arrive(void)
{
    struct cv_error err;
    struct cv_ctl_reply r = {
        .session = 3, .kind = CV_CTL_HELLO, .u.hello = {.node_id = 6, .heartbeat_ms = 500, .cluster = "home"}};
    struct cv_ctl_reply got = answered(&r);
    CHECK(got.u.hello.node_id == 6 && got.u.hello.heartbeat_ms == 500);
    CHECK_STR(got.u.hello.cluster, "home");
    CHECK_OK(cv_ctl_reply_check(&got, CV_CTL_HELLO, &err), err);
    CHECK(!cv_ctl_reply_check(&got, CV_CTL_LOAD, &err));
    CHECK_CONTAINS(err.msg, "LOAD was answered as HELLO");

    r = (struct cv_ctl_reply){.kind = CV_CTL_HEARTBEAT, .u.heartbeat = {.known = true, .epoch = 5}};
    got = answered(&r);
    CHECK(got.u.heartbeat.known && got.u.heartbeat.epoch == 5);
    r = (struct cv_ctl_reply){.kind = CV_CTL_LISTEN, .u.listen = {.address = "tcp://h:5"}};
    got = answered(&r);
    CHECK_STR(got.u.listen.address, "tcp://h:5");
    r = (struct cv_ctl_reply){.kind = CV_CTL_STATS, .u.stats = {.status = {.state = CV_NODE_SERVING}, .n_push = 1}};
    got = answered(&r);
    CHECK(got.u.stats.n_push == 1 && got.u.stats.status.state == CV_NODE_SERVING);
    r = (struct cv_ctl_reply){.kind = CV_CTL_LOAD};
    answered(&r);

    cv_fail(&err, CV_ERR_BUSY, "loading another model");
    r = cv_ctl_refuse(CV_CTL_LOAD, 4, &err);
    got = answered(&r);
    CHECK(!cv_ctl_reply_check(&got, CV_CTL_LOAD, &err));
    CHECK_EQ(err.code, CV_ERR_BUSY);
    CHECK_STR(err.msg, "loading another model");
}

static void test_another_version_is_named(void)
{
    struct cv_ctl_request r = {.kind = CV_CTL_STATS}, got;
    struct cv_error err;
    fresh();
    CHECK_OK(cv_ctl_request_encode(&r, &buf, &err), err);
    CHECK(buf.data[0] == 0x08 && buf.data[1] == CV_PROTO_VERSION); /* field 1, a varint */
    buf.data[1] = 42;
    CHECK(!cv_ctl_request_decode(&got, buf.data, buf.len, &arena, &err));
    CHECK_EQ(err.code, CV_ERR_PEER);
    CHECK_CONTAINS(err.msg, "protocol version 42, this build 1");
}

static void test_every_prefix_is_an_error(void)
{
    struct cv_ctl_request r = a_hello(), got;
    struct cv_error err;
    fresh();
    CHECK_OK(cv_ctl_request_encode(&r, &buf, &err), err);
    for (size_t n = 0; n < buf.len; n++) {
        unsigned char *part = check_guarded(n);
        memcpy(part, buf.data, n);
        CHECK(!cv_ctl_request_decode(&got, part, n, &arena, &err));
    }
}

static void test_changed_bytes_are_an_error_or_a_message(void)
{
    struct cv_ctl_request r = a_load(), got;
    struct cv_ctl_reply reply;
    struct cv_error err;
    r.u.load.n_tensor = 3;
    fresh();
    CHECK_OK(cv_ctl_request_encode(&r, &buf, &err), err);
    for (int round = 0; round < 20000; round++) {
        size_t at = check_below(buf.len);
        char was = buf.data[at];
        buf.data[at] = (char)check_rand();
        (void)cv_ctl_request_decode(&got, buf.data, buf.len, &arena, &err);
        (void)cv_ctl_reply_decode(&reply, buf.data, buf.len, &arena, &err);
        cv_arena_reset(&arena);
        buf.data[at] = was;
    }
}

/* An empty tensor costs two bytes on the wire and eighty in memory. */
static void test_a_short_message_does_not_become_a_large_one(void)
{
    enum { N = 1 << 20 };
    struct cv_ctl_request got;
    struct cv_error err;
    fresh();
    const unsigned char head[] = {0x08, 0x01, 0x6a}; /* version 1; field 13, length-delimited */
    CHECK(cv_buf_append(&buf, head, sizeof(head)));
    const unsigned char length[] = {0x80, 0x80, 0x80, 0x01}; /* 2 MiB */
    CHECK(cv_buf_append(&buf, length, sizeof(length)));
    for (int i = 0; i < N; i++)
        CHECK(cv_buf_append(&buf, "\x7a\x00", 2)); /* field 15, empty */
    CHECK(!cv_ctl_request_decode(&got, buf.data, buf.len, &arena, &err));
    CHECK_EQ(err.code, CV_ERR_LIMIT);
    CHECK_CONTAINS(err.msg, "unpacks to more than");
}

static void test_every_failed_allocation_is_an_error(void)
{
    struct cv_ctl_request r = a_load(), got;
    struct cv_error err;
    bool done = false;
    for (long n = 0; !done && n < 1000; n++) {
        fresh();
        cv_mem_fail_after(n);
        bool ok = cv_ctl_request_encode(&r, &buf, &err) && cv_ctl_request_decode(&got, buf.data, buf.len, &arena, &err);
        cv_mem_fail_after(-1);
        done = ok;
        CHECK(ok || err.code == CV_ERR_NOMEM);
    }
    CHECK(done);
    fresh();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_a_hello_arrives),
        CASE(test_a_hello_that_makes_no_sense_is_refused),
        CASE(test_a_load_arrives),
        CASE(test_a_load_that_makes_no_sense_is_refused),
        CASE(test_the_other_requests_arrive),
        CASE(test_replies_arrive),
        CASE(test_another_version_is_named),
        CASE(test_every_prefix_is_an_error),
        CASE(test_changed_bytes_are_an_error_or_a_message),
        CASE(test_a_short_message_does_not_become_a_large_one),
        CASE(test_every_failed_allocation_is_an_error),
    };
    int rc = check_main(argc, argv, cases, CV_COUNT(cases));
    cv_arena_fini(&arena);
    cv_buf_fini(&buf);
    return rc;
}
