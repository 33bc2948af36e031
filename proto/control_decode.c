/*
 * control_decode.c - protobuf to plain structs. protobuf-c checks the framing; what the fields may be is checked here.
 *
 * A short message can stand for a large structure (an empty message inside a list costs two bytes), so the unpacker gets
 * memory in proportion to what was really received, and no more.
 */
#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "control.pb-c.h"
#include "proto/control.h"

struct budget {
    struct cv_arena arena;
    bool used_up; /* the bound is reached */
    bool nomem;   /* the system has no more */
};

static void *budget_alloc(void *ctx, size_t n)
{
    struct budget *b = ctx;
    void *p = cv_arena_alloc(&b->arena, n);
    if (p == NULL) {
        b->used_up = n > b->arena.max_bytes - b->arena.used_bytes;
        b->nomem = !b->used_up;
    }
    return p;
}

static void budget_free(void *ctx, void *p)
{
    (void)ctx;
    (void)p; /* all of it at once, with the arena */
}

static bool unpack(const ProtobufCMessageDescriptor *type, const void *data, size_t len, struct budget *b,
                   ProtobufCMessage **out, struct cv_error *err)
{
    if (len > CV_MAX_CALL_BYTES)
        return cv_fail(err, CV_ERR_LIMIT, "control message of %zu bytes, the limit is %u", len, CV_MAX_CALL_BYTES);
    b->arena.max_bytes = 6 * len + 4096;
    ProtobufCAllocator allocator = {.alloc = budget_alloc, .free = budget_free, .allocator_data = b};
    *out = protobuf_c_message_unpack(type, &allocator, len, data);
    if (*out != NULL)
        return true;
    if (b->nomem)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for a control message of %zu bytes", len);
    if (b->used_up)
        return cv_fail(err, CV_ERR_LIMIT, "control message of %zu bytes that unpacks to more than %zu", len,
                       b->arena.max_bytes);
    return cv_fail(err, CV_ERR_FORMAT, "control message of %zu bytes is no valid %s", len, type->short_name);
}

struct copy { /* into the caller's arena; the first failure stays */
    struct cv_arena *arena;
    struct cv_error *err;
};

static bool nomem(struct copy *c)
{
    return cv_fail(c->err, CV_ERR_NOMEM, "no memory for a control message");
}

static bool get_text(struct copy *c, const char **out, const char *s, const char *what, size_t most)
{
    size_t n = strlen(s);
    if (n > most)
        return cv_fail(c->err, CV_ERR_LIMIT, "%s has %zu bytes, the limit is %zu", what, n, most);
    if (cv_utf8_valid_prefix(s, n) != n)
        return cv_fail(c->err, CV_ERR_FORMAT, "%s is not UTF-8", what);
    *out = cv_arena_strndup(c->arena, s, n);
    return *out != NULL || nomem(c);
}

static bool get_fixed(struct copy *c, unsigned char *out, const ProtobufCBinaryData *b, size_t n, const char *what)
{
    if (b->len != n)
        return cv_fail(c->err, CV_ERR_FORMAT, "%s has %zu bytes, expected %zu", what, b->len, n);
    memcpy(out, b->data, n);
    return true;
}

static bool get_count(struct copy *c, size_t n, size_t most, const char *what)
{
    return n <= most || cv_fail(c->err, CV_ERR_LIMIT, "%zu %s, the limit is %zu", n, what, most);
}

/* A speed: finite and not negative. */
static bool get_rate(struct copy *c, double *out, double v, const char *what)
{
    if (!isfinite(v) || v < 0)
        return cv_fail(c->err, CV_ERR_FORMAT, "%s is %g", what, v);
    *out = v;
    return true;
}

/* A code that a later version may have is still an error, of no known kind. */
static enum cv_code get_code(uint32_t code)
{
    return code <= CV_ERR_INTERNAL ? (enum cv_code)code : CV_ERR_PEER;
}

static bool missing(struct copy *c, const char *what)
{
    return cv_fail(c->err, CV_ERR_FORMAT, "%s is missing", what);
}

static bool get_hello(struct copy *c, struct cv_ctl_hello *h, const Caravan__Hello *m)
{
    if (!get_text(c, &h->build_version, m->build_version, "build version", CV_MAX_CALL_TEXT) ||
        !get_text(c, &h->name, m->name, "node name", CV_MAX_NODE_NAME) ||
        !get_text(c, &h->call_address, m->call_address, "call address", CV_MAX_CALL_TEXT) ||
        !get_text(c, &h->data_host, m->data_host, "data host", CV_MAX_CALL_TEXT) ||
        !get_count(c, m->n_device, CV_MAX_DEVICES, "devices") ||
        !get_count(c, m->n_held, CV_MAX_HELD_MODELS, "models held"))
        return false;
    struct cv_ctl_device *d = cv_arena_calloc(c->arena, m->n_device + 1, sizeof(*d));
    struct cv_ctl_held *k = cv_arena_calloc(c->arena, m->n_held + 1, sizeof(*k));
    if (d == NULL || k == NULL)
        return nomem(c);
    for (size_t i = 0; i < m->n_device; i++) {
        const Caravan__Device *x = m->device[i];
        if (!get_text(c, &d[i].kind, x->kind, "device kind", CV_MAX_CALL_TEXT) ||
            !get_text(c, &d[i].name, x->name, "device name", CV_MAX_CALL_TEXT) ||
            !get_rate(c, &d[i].bandwidth_bytes_per_s, x->bandwidth_bytes_per_s, "bandwidth") ||
            !get_rate(c, &d[i].matmul_flops_per_s, x->matmul_flops_per_s, "matrix rate"))
            return false;
        d[i].memory_total_bytes = x->memory_total_bytes;
        d[i].memory_free_bytes = x->memory_free_bytes;
        d[i].n_threads = x->n_threads;
    }
    for (size_t i = 0; i < m->n_held; i++) {
        if (!get_fixed(c, k[i].model, &m->held[i]->model, CV_SHA256_BYTES, "model digest"))
            return false;
        k[i].bytes = m->held[i]->bytes;
    }
    h->device = d;
    h->n_device = m->n_device;
    h->held = k;
    h->n_held = m->n_held;
    return true;
}

static bool get_status(struct copy *c, struct cv_ctl_status *s, const Caravan__Status *m)
{
    if (m == NULL)
        return missing(c, "status");
    if (m->state > CV_NODE_STATE_LAST)
        return cv_fail(c->err, CV_ERR_FORMAT, "unknown node state %u", m->state);
    if (!get_text(c, &s->text, m->text, "status text", CV_MAX_CALL_TEXT) ||
        !get_rate(c, &s->load_bytes_per_s, m->load_bytes_per_s, "loading rate"))
        return false;
    s->state = (enum cv_node_state)m->state;
    s->epoch = m->epoch;
    s->code = get_code(m->code);
    s->n_batches = m->n_batches;
    s->n_rows = m->n_rows;
    s->busy_us = m->busy_us;
    s->memory_used_bytes = m->memory_used_bytes;
    s->memory_free_bytes = m->memory_free_bytes;
    s->load_done_bytes = m->load_done_bytes;
    s->load_all_bytes = m->load_all_bytes;
    s->fetched_bytes = m->fetched_bytes;
    return true;
}

static bool get_edge(struct copy *c, struct cv_edge_hello *h, const Caravan__EdgeHello *m, uint64_t epoch)
{
    if (m == NULL)
        return missing(c, "edge hello");
    if (m->epoch != epoch)
        return cv_fail(c->err, CV_ERR_FORMAT, "edge of epoch %llu in a request of epoch %llu",
                       (unsigned long long)m->epoch, (unsigned long long)epoch);
    h->epoch = m->epoch;
    h->link = m->link;
    return get_fixed(c, h->secret, &m->secret, CV_SECRET_BYTES, "edge secret");
}

static bool get_carry(struct copy *c, enum cv_carry *out, uint32_t v)
{
    if (v == CV_CARRY_Q8)
        return cv_fail(c->err, CV_ERR_UNSUPPORTED, "carry type q8 is not supported");
    if (v > CV_CARRY_Q8)
        return cv_fail(c->err, CV_ERR_FORMAT, "unknown carry type %u", v);
    *out = (enum cv_carry)v;
    return true;
}

static bool get_tensors(struct copy *c, struct cv_ctl_load *l, const Caravan__Load *m)
{
    struct cv_ctl_tensor *t = cv_arena_calloc(c->arena, m->n_tensor + 1, sizeof(*t));
    if (t == NULL)
        return nomem(c);
    for (size_t i = 0; i < m->n_tensor; i++) {
        const Caravan__Tensor *x = m->tensor[i];
        size_t end;
        if (!get_text(c, &t[i].name, x->name, "tensor name", CV_MAX_GGUF_NAME) ||
            !get_fixed(c, t[i].sha256, &x->sha256, CV_SHA256_BYTES, "tensor digest"))
            return false;
        if (x->part >= CV_MAX_GGUF_PARTS || !cv_add_size(x->offset, x->size_bytes, &end) || end > INT64_MAX)
            return cv_fail(c->err, CV_ERR_FORMAT, "tensor '%.100s': part %u, offset %llu, %llu bytes", t[i].name,
                           x->part, (unsigned long long)x->offset, (unsigned long long)x->size_bytes);
        t[i].part = x->part;
        t[i].offset = x->offset;
        t[i].size_bytes = x->size_bytes;
    }
    l->tensor = t;
    l->n_tensor = m->n_tensor;
    return true;
}

static bool get_load(struct copy *c, struct cv_ctl_load *l, const Caravan__Load *m)
{
    if (!get_count(c, m->n_tensor, CV_MAX_GGUF_TENSORS, "tensors") ||
        !get_count(c, m->n_source, CV_MAX_SOURCES, "sources") ||
        !get_fixed(c, l->model, &m->model, CV_SHA256_BYTES, "model digest") ||
        !get_text(c, &l->local_path, m->local_path, "local path", CV_MAX_CALL_TEXT) || !get_tensors(c, l, m))
        return false;
    if (m->layer_first > m->layer_last || m->layer_last > CV_MAX_LAYERS)
        return cv_fail(c->err, CV_ERR_FORMAT, "layers %u to %u", m->layer_first, m->layer_last);
    if (m->n_stage == 0 || m->stage >= m->n_stage || m->n_stage > CV_MAX_LAYERS)
        return cv_fail(c->err, CV_ERR_FORMAT, "stage %u of %u", m->stage, m->n_stage);
    if (m->n_slots == 0 || m->n_slots > CV_MAX_SLOTS || m->n_ctx == 0 || m->n_ctx > CV_MAX_CTX || m->n_batch == 0 ||
        m->n_batch > CV_MAX_BATCH_ROWS || m->device >= CV_MAX_DEVICES)
        return cv_fail(c->err, CV_ERR_LIMIT, "%u slots of %u positions, batches of %u rows, device %u", m->n_slots,
                       m->n_ctx, m->n_batch, m->device);
    const char **source = cv_arena_calloc(c->arena, m->n_source + 1, sizeof(*source));
    unsigned char *header = cv_arena_alloc(c->arena, m->gguf_header.len + 1);
    if (source == NULL || header == NULL)
        return nomem(c);
    for (size_t i = 0; i < m->n_source; i++) {
        if (!get_text(c, &source[i], m->source[i], "source", CV_MAX_CALL_TEXT))
            return false;
    }
    if (m->gguf_header.len != 0)
        memcpy(header, m->gguf_header.data, m->gguf_header.len);
    l->epoch = m->epoch;
    l->stage = m->stage;
    l->n_stage = m->n_stage;
    l->device = m->device;
    l->layer_first = m->layer_first;
    l->layer_last = m->layer_last;
    l->has_embd = m->has_embd;
    l->has_head = m->has_head;
    l->n_slots = m->n_slots;
    l->n_ctx = m->n_ctx;
    l->n_batch = m->n_batch;
    l->kv_type = m->kv_type;
    l->gguf_header = header;
    l->gguf_header_len = m->gguf_header.len;
    l->source = source;
    l->n_source = m->n_source;
    return true;
}

static bool get_request(struct copy *c, struct cv_ctl_request *r, const Caravan__Request *m)
{
    switch (m->body_case) {
    case CARAVAN__REQUEST__BODY_HELLO:
        r->kind = CV_CTL_HELLO;
        return get_hello(c, &r->u.hello, m->hello);
    case CARAVAN__REQUEST__BODY_HEARTBEAT:
        r->kind = CV_CTL_HEARTBEAT;
        r->u.heartbeat.node_id = m->heartbeat->node_id;
        return get_status(c, &r->u.heartbeat.status, m->heartbeat->status);
    case CARAVAN__REQUEST__BODY_BYE:
        r->kind = CV_CTL_BYE;
        r->u.bye.node_id = m->bye->node_id;
        return get_text(c, &r->u.bye.reason, m->bye->reason, "reason", CV_MAX_CALL_TEXT);
    case CARAVAN__REQUEST__BODY_LOAD:
        r->kind = CV_CTL_LOAD;
        return get_load(c, &r->u.load, m->load);
    case CARAVAN__REQUEST__BODY_LISTEN:
        r->kind = CV_CTL_LISTEN;
        r->u.listen.epoch = m->listen->epoch;
        r->u.listen.inproc = m->listen->inproc != 0;
        return get_edge(c, &r->u.listen.hello, m->listen->hello, m->listen->epoch) &&
               get_carry(c, &r->u.listen.carry, m->listen->carry);
    case CARAVAN__REQUEST__BODY_CONNECT:
        r->kind = CV_CTL_CONNECT;
        r->u.connect.epoch = m->connect->epoch;
        return get_text(c, &r->u.connect.address, m->connect->address, "address", CV_MAX_CALL_TEXT) &&
               get_edge(c, &r->u.connect.hello, m->connect->hello, m->connect->epoch) &&
               get_carry(c, &r->u.connect.carry, m->connect->carry);
    case CARAVAN__REQUEST__BODY_DROP:
        r->kind = CV_CTL_DROP;
        r->u.drop.epoch = m->drop->epoch;
        return true;
    case CARAVAN__REQUEST__BODY_STATS:
        r->kind = CV_CTL_STATS;
        return true;
    default:
        return missing(c, "the request's body");
    }
}

static bool check_version(uint32_t version, struct cv_error *err)
{
    return version == CV_PROTO_VERSION ||
           cv_fail(err, CV_ERR_PEER, "the peer speaks protocol version %u, this build %d", version, CV_PROTO_VERSION);
}

bool cv_ctl_request_decode(struct cv_ctl_request *out, const void *data, size_t len, struct cv_arena *arena,
                           struct cv_error *err)
{
    struct budget budget = {0};
    ProtobufCMessage *base;
    struct cv_ctl_request r = {0};
    bool ok = unpack(&caravan__request__descriptor, data, len, &budget, &base, err);
    if (ok) {
        const Caravan__Request *m = (const Caravan__Request *)base;
        struct copy c = {arena, err};
        r.version = m->version;
        r.session = m->session;
        ok = check_version(m->version, err) && (get_request(&c, &r, m) || cv_wrap(err, "%s", cv_ctl_kind_name(r.kind)));
    }
    cv_arena_fini(&budget.arena);
    if (ok)
        *out = r;
    return ok;
}

static bool get_reply(struct copy *c, struct cv_ctl_reply *r, const Caravan__Reply *m)
{
    if (m->kind < CV_CTL_HELLO || m->kind > CV_CTL_LAST)
        return cv_fail(c->err, CV_ERR_FORMAT, "reply to an unknown request %u", m->kind);
    r->kind = (enum cv_ctl_kind)m->kind;
    r->code = get_code(m->code);
    if (!get_text(c, &r->text, m->text, "text", CV_MAX_CALL_TEXT))
        return false;
    if (r->code != CV_OK)
        return true;
    switch (r->kind) {
    case CV_CTL_HELLO:
        if (m->hello == NULL)
            return missing(c, "the answer");
        r->u.hello.node_id = m->hello->node_id;
        r->u.hello.heartbeat_ms = m->hello->heartbeat_ms;
        return get_text(c, &r->u.hello.cluster, m->hello->cluster, "cluster name", CV_MAX_CALL_TEXT);
    case CV_CTL_HEARTBEAT:
        if (m->heartbeat == NULL)
            return missing(c, "the answer");
        r->u.heartbeat.known = m->heartbeat->known;
        r->u.heartbeat.epoch = m->heartbeat->epoch;
        return true;
    case CV_CTL_LISTEN:
        if (m->listen == NULL)
            return missing(c, "the answer");
        return get_text(c, &r->u.listen.address, m->listen->address, "address", CV_MAX_CALL_TEXT);
    case CV_CTL_STATS:
        if (m->stats == NULL)
            return missing(c, "the answer");
        r->u.stats.n_push = m->stats->n_push;
        r->u.stats.n_pull = m->stats->n_pull;
        return get_status(c, &r->u.stats.status, m->stats->status);
    default:
        return true;
    }
}

bool cv_ctl_reply_decode(struct cv_ctl_reply *out, const void *data, size_t len, struct cv_arena *arena,
                         struct cv_error *err)
{
    struct budget budget = {0};
    ProtobufCMessage *base;
    struct cv_ctl_reply r = {0};
    bool ok = unpack(&caravan__reply__descriptor, data, len, &budget, &base, err);
    if (ok) {
        const Caravan__Reply *m = (const Caravan__Reply *)base;
        struct copy c = {arena, err};
        r.version = m->version;
        r.session = m->session;
        ok = check_version(m->version, err) &&
             (get_reply(&c, &r, m) || cv_wrap(err, "reply to %s", cv_ctl_kind_name(r.kind)));
    }
    cv_arena_fini(&budget.arena);
    if (ok)
        *out = r;
    return ok;
}
