/* control_encode.c - plain structs to protobuf. What would not be accepted on the other side is not sent. */
#include <string.h>

#include "base/limits.h"
#include "base/utf8.h"
#include "control.pb-c.h"
#include "proto/control.h"

/* protobuf-c takes char * for what it only reads. */
static char *text(const char *s)
{
    return s != NULL ? (char *)(uintptr_t)s : "";
}

static ProtobufCBinaryData bytes(const void *p, size_t n)
{
    return (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)p, .len = n};
}

static bool check_text(const char *what, const char *s, size_t most, struct cv_error *err)
{
    size_t n = s != NULL ? strlen(s) : 0;
    if (n > most)
        return cv_fail(err, CV_ERR_ARG, "%s has %zu bytes, the limit is %zu", what, n, most);
    if (n != 0 && cv_utf8_valid_prefix(s, n) != n)
        return cv_fail(err, CV_ERR_ARG, "%s is not UTF-8", what);
    return true;
}

static bool check_count(const char *what, size_t n, size_t most, struct cv_error *err)
{
    return n <= most || cv_fail(err, CV_ERR_ARG, "%zu %s, the limit is %zu", n, what, most);
}

/* n messages and the array of pointers that protobuf-c wants; NULL: no memory. */
static void *messages(struct cv_arena *a, size_t n, size_t size, void ***pointers)
{
    char *m = cv_arena_calloc(a, n != 0 ? n : 1, size);
    *pointers = cv_arena_calloc(a, n != 0 ? n : 1, sizeof(void *));
    if (m == NULL || *pointers == NULL)
        return NULL;
    for (size_t i = 0; i < n; i++)
        (*pointers)[i] = m + i * size;
    return m;
}

static bool nomem(struct cv_error *err)
{
    return cv_fail(err, CV_ERR_NOMEM, "no memory for a control message");
}

static bool put_hello(Caravan__Hello *m, const struct cv_ctl_hello *h, struct cv_arena *a, struct cv_error *err)
{
    if (!check_text("build version", h->build_version, CV_MAX_CALL_TEXT, err) ||
        !check_text("node name", h->name, CV_MAX_NODE_NAME, err) ||
        !check_text("call address", h->call_address, CV_MAX_CALL_TEXT, err) ||
        !check_text("data host", h->data_host, CV_MAX_CALL_TEXT, err) ||
        !check_count("devices", h->n_device, CV_MAX_DEVICES, err) ||
        !check_count("models held", h->n_held, CV_MAX_HELD_MODELS, err))
        return false;
    void **device, **held;
    Caravan__Device *d = messages(a, h->n_device, sizeof(*d), &device);
    Caravan__Held *k = messages(a, h->n_held, sizeof(*k), &held);
    if (d == NULL || k == NULL)
        return nomem(err);
    for (size_t i = 0; i < h->n_device; i++) {
        const struct cv_ctl_device *x = &h->device[i];
        if (!check_text("device kind", x->kind, CV_MAX_CALL_TEXT, err) ||
            !check_text("device name", x->name, CV_MAX_CALL_TEXT, err))
            return false;
        caravan__device__init(&d[i]);
        d[i].kind = text(x->kind);
        d[i].name = text(x->name);
        d[i].memory_total_bytes = x->memory_total_bytes;
        d[i].memory_free_bytes = x->memory_free_bytes;
        d[i].bandwidth_bytes_per_s = x->bandwidth_bytes_per_s;
        d[i].matmul_flops_per_s = x->matmul_flops_per_s;
        d[i].n_threads = x->n_threads;
    }
    for (size_t i = 0; i < h->n_held; i++) {
        caravan__held__init(&k[i]);
        k[i].model = bytes(h->held[i].model, CV_SHA256_BYTES);
        k[i].bytes = h->held[i].bytes;
    }
    caravan__hello__init(m);
    m->build_version = text(h->build_version);
    m->name = text(h->name);
    m->call_address = text(h->call_address);
    m->data_host = text(h->data_host);
    m->n_device = h->n_device;
    m->device = (Caravan__Device **)device;
    m->n_held = h->n_held;
    m->held = (Caravan__Held **)held;
    return true;
}

static bool put_status(Caravan__Status *m, const struct cv_ctl_status *s, struct cv_error *err)
{
    if (!check_text("status text", s->text, CV_MAX_CALL_TEXT, err))
        return false;
    caravan__status__init(m);
    m->state = (uint32_t)s->state;
    m->epoch = s->epoch;
    m->code = (uint32_t)s->code;
    m->text = text(s->text);
    m->n_batches = s->n_batches;
    m->n_rows = s->n_rows;
    m->busy_us = s->busy_us;
    m->memory_used_bytes = s->memory_used_bytes;
    m->memory_free_bytes = s->memory_free_bytes;
    m->load_done_bytes = s->load_done_bytes;
    m->load_all_bytes = s->load_all_bytes;
    m->load_bytes_per_s = s->load_bytes_per_s;
    m->fetched_bytes = s->fetched_bytes;
    return true;
}

static void put_edge(Caravan__EdgeHello *m, const struct cv_edge_hello *h)
{
    caravan__edge_hello__init(m);
    m->epoch = h->epoch;
    m->link = h->link;
    m->secret = bytes(h->secret, CV_SECRET_BYTES);
}

static bool put_load(Caravan__Load *m, const struct cv_ctl_load *l, struct cv_arena *a, struct cv_error *err)
{
    if (!check_count("tensors", l->n_tensor, CV_MAX_GGUF_TENSORS, err) ||
        !check_count("sources", l->n_source, CV_MAX_SOURCES, err) ||
        !check_text("local path", l->local_path, CV_MAX_CALL_TEXT, err))
        return false;
    void **tensor;
    Caravan__Tensor *t = messages(a, l->n_tensor, sizeof(*t), &tensor);
    char **source = cv_arena_calloc(a, l->n_source + 1, sizeof(char *));
    if (t == NULL || source == NULL)
        return nomem(err);
    for (size_t i = 0; i < l->n_tensor; i++) {
        if (!check_text("tensor name", l->tensor[i].name, CV_MAX_GGUF_NAME, err))
            return false;
        caravan__tensor__init(&t[i]);
        t[i].name = text(l->tensor[i].name);
        t[i].part = l->tensor[i].part;
        t[i].offset = l->tensor[i].offset;
        t[i].size_bytes = l->tensor[i].size_bytes;
        t[i].sha256 = bytes(l->tensor[i].sha256, CV_SHA256_BYTES);
    }
    for (size_t i = 0; i < l->n_source; i++) {
        if (!check_text("source", l->source[i], CV_MAX_CALL_TEXT, err))
            return false;
        source[i] = text(l->source[i]);
    }
    caravan__load__init(m);
    m->epoch = l->epoch;
    m->stage = l->stage;
    m->n_stage = l->n_stage;
    m->device = l->device;
    m->layer_first = l->layer_first;
    m->layer_last = l->layer_last;
    m->has_embd = l->has_embd;
    m->has_head = l->has_head;
    m->n_slots = l->n_slots;
    m->n_ctx = l->n_ctx;
    m->n_batch = l->n_batch;
    m->kv_type = l->kv_type;
    m->model = bytes(l->model, CV_SHA256_BYTES);
    m->gguf_header = bytes(l->gguf_header, l->gguf_header_len);
    m->n_tensor = l->n_tensor;
    m->tensor = (Caravan__Tensor **)tensor;
    m->n_source = l->n_source;
    m->source = source;
    m->local_path = text(l->local_path);
    return true;
}

/* Packed behind what out holds already. */
static bool pack(const ProtobufCMessage *m, struct cv_buf *out, struct cv_error *err)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    if (n > CV_MAX_CALL_BYTES || n > out->max - out->len)
        return cv_fail(err, CV_ERR_LIMIT, "control message of %zu bytes, the limit is %zu", n,
                       out->max - out->len < CV_MAX_CALL_BYTES ? out->max - out->len : (size_t)CV_MAX_CALL_BYTES);
    if (!cv_buf_reserve(out, n))
        return nomem(err);
    protobuf_c_message_pack(m, (uint8_t *)out->data + out->len);
    out->len += n;
    out->data[out->len] = '\0';
    return true;
}

union body {
    Caravan__Hello hello;
    Caravan__Heartbeat heartbeat;
    Caravan__Bye bye;
    Caravan__Load load;
    Caravan__Listen listen;
    Caravan__Connect connect;
    Caravan__Drop drop;
    Caravan__Stats stats;
};

struct inner { /* messages inside messages */
    Caravan__Status status;
    Caravan__EdgeHello edge;
};

static bool put_request(Caravan__Request *m, union body *b, struct inner *in, const struct cv_ctl_request *r,
                        struct cv_arena *a, struct cv_error *err)
{
    switch (r->kind) {
    case CV_CTL_HELLO:
        m->body_case = CARAVAN__REQUEST__BODY_HELLO;
        m->hello = &b->hello;
        return put_hello(&b->hello, &r->u.hello, a, err);
    case CV_CTL_HEARTBEAT:
        caravan__heartbeat__init(&b->heartbeat);
        b->heartbeat.node_id = r->u.heartbeat.node_id;
        b->heartbeat.status = &in->status;
        m->body_case = CARAVAN__REQUEST__BODY_HEARTBEAT;
        m->heartbeat = &b->heartbeat;
        return put_status(&in->status, &r->u.heartbeat.status, err);
    case CV_CTL_BYE:
        caravan__bye__init(&b->bye);
        b->bye.node_id = r->u.bye.node_id;
        b->bye.reason = text(r->u.bye.reason);
        m->body_case = CARAVAN__REQUEST__BODY_BYE;
        m->bye = &b->bye;
        return check_text("reason", r->u.bye.reason, CV_MAX_CALL_TEXT, err);
    case CV_CTL_LOAD:
        m->body_case = CARAVAN__REQUEST__BODY_LOAD;
        m->load = &b->load;
        return put_load(&b->load, &r->u.load, a, err);
    case CV_CTL_LISTEN:
        caravan__listen__init(&b->listen);
        put_edge(&in->edge, &r->u.listen.hello);
        b->listen.epoch = r->u.listen.epoch;
        b->listen.hello = &in->edge;
        b->listen.carry = (uint32_t)r->u.listen.carry;
        b->listen.inproc = r->u.listen.inproc;
        m->body_case = CARAVAN__REQUEST__BODY_LISTEN;
        m->listen = &b->listen;
        return true;
    case CV_CTL_CONNECT:
        caravan__connect__init(&b->connect);
        put_edge(&in->edge, &r->u.connect.hello);
        b->connect.epoch = r->u.connect.epoch;
        b->connect.address = text(r->u.connect.address);
        b->connect.hello = &in->edge;
        b->connect.carry = (uint32_t)r->u.connect.carry;
        m->body_case = CARAVAN__REQUEST__BODY_CONNECT;
        m->connect = &b->connect;
        return check_text("address", r->u.connect.address, CV_MAX_CALL_TEXT, err);
    case CV_CTL_DROP:
        caravan__drop__init(&b->drop);
        b->drop.epoch = r->u.drop.epoch;
        m->body_case = CARAVAN__REQUEST__BODY_DROP;
        m->drop = &b->drop;
        return true;
    case CV_CTL_STATS:
        caravan__stats__init(&b->stats);
        m->body_case = CARAVAN__REQUEST__BODY_STATS;
        m->stats = &b->stats;
        return true;
    }
    return cv_fail(err, CV_ERR_ARG, "no request of kind %d", (int)r->kind);
}

bool cv_ctl_request_encode(const struct cv_ctl_request *r, struct cv_buf *out, struct cv_error *err)
{
    struct cv_arena arena = {.max_bytes = CV_MAX_CALL_BYTES};
    union body body;
    struct inner inner;
    Caravan__Request m;
    caravan__request__init(&m);
    m.version = CV_PROTO_VERSION;
    m.session = r->session;
    bool ok = put_request(&m, &body, &inner, r, &arena, err) && pack(&m.base, out, err);
    cv_arena_fini(&arena);
    return ok || cv_wrap(err, "%s", cv_ctl_kind_name(r->kind));
}

bool cv_ctl_reply_encode(const struct cv_ctl_reply *r, struct cv_buf *out, struct cv_error *err)
{
    Caravan__Reply m;
    Caravan__HelloReply hello;
    Caravan__HeartbeatReply heartbeat;
    Caravan__ListenReply listen;
    Caravan__StatsReply stats;
    Caravan__Status status;
    caravan__reply__init(&m);
    m.version = CV_PROTO_VERSION;
    m.session = r->session;
    m.kind = (uint32_t)r->kind;
    m.code = (uint32_t)r->code;
    m.text = text(r->text);
    if (!check_text("text", r->text, CV_MAX_CALL_TEXT, err))
        return cv_wrap(err, "reply to %s", cv_ctl_kind_name(r->kind));
    bool ok = true;
    if (r->code == CV_OK && r->kind == CV_CTL_HELLO) {
        ok = check_text("cluster name", r->u.hello.cluster, CV_MAX_CALL_TEXT, err);
        caravan__hello_reply__init(&hello);
        hello.node_id = r->u.hello.node_id;
        hello.heartbeat_ms = r->u.hello.heartbeat_ms;
        hello.cluster = text(r->u.hello.cluster);
        m.hello = &hello;
    } else if (r->code == CV_OK && r->kind == CV_CTL_HEARTBEAT) {
        caravan__heartbeat_reply__init(&heartbeat);
        heartbeat.known = r->u.heartbeat.known;
        heartbeat.epoch = r->u.heartbeat.epoch;
        m.heartbeat = &heartbeat;
    } else if (r->code == CV_OK && r->kind == CV_CTL_LISTEN) {
        ok = check_text("address", r->u.listen.address, CV_MAX_CALL_TEXT, err);
        caravan__listen_reply__init(&listen);
        listen.address = text(r->u.listen.address);
        m.listen = &listen;
    } else if (r->code == CV_OK && r->kind == CV_CTL_STATS) {
        ok = put_status(&status, &r->u.stats.status, err);
        caravan__stats_reply__init(&stats);
        stats.status = &status;
        stats.n_push = r->u.stats.n_push;
        stats.n_pull = r->u.stats.n_pull;
        m.stats = &stats;
    }
    return (ok && pack(&m.base, out, err)) || cv_wrap(err, "reply to %s", cv_ctl_kind_name(r->kind));
}
