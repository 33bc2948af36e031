/*
 * control.h - the control plane: what a coordinator and a worker ask each other, as plain structs. Input is hostile.
 *
 * Every message is a request with its reply. Both carry the protocol version and the sender's session (a random number
 * drawn when the process starts, so that a restarted peer is told from the one before). Requests are idempotent: the
 * transport may deliver one twice. The bytes are protobuf (control.proto); protobuf-c does not leave this folder.
 *
 *   worker -> coordinator    HELLO, HEARTBEAT, BYE
 *   coordinator -> worker    LOAD, LISTEN, CONNECT, DROP, STATS
 *
 * Decoding copies everything into the arena; strings are NUL-terminated valid UTF-8, never NULL, arrays may be empty.
 * For encoding a NULL string counts as "".
 */
#ifndef CV_PROTO_CONTROL_H
#define CV_PROTO_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "proto/batch.h"

enum cv_ctl_kind {
    CV_CTL_HELLO = 1,
    CV_CTL_HEARTBEAT,
    CV_CTL_BYE,
    CV_CTL_LOAD,
    CV_CTL_LISTEN,
    CV_CTL_CONNECT,
    CV_CTL_DROP,
    CV_CTL_STATS,
    CV_CTL_LAST = CV_CTL_STATS
};

const char *cv_ctl_kind_name(enum cv_ctl_kind kind); /* "HELLO", ... */

/* ---- what a node is, and how it does ---- */

struct cv_ctl_device {
    const char *kind; /* "cpu", "cuda", "hip" */
    const char *name; /* "AMD EPYC 7B13" */
    uint64_t memory_total_bytes;
    uint64_t memory_free_bytes;   /* what may be used: budget and cgroup respected */
    double bandwidth_bytes_per_s; /* measured reading of weights */
    double matmul_flops_per_s;    /* measured */
    uint32_t n_threads;
};

struct cv_ctl_held { /* what the layer cache has of a model */
    unsigned char model[CV_SHA256_BYTES];
    uint64_t bytes;
};

enum cv_node_state {
    CV_NODE_IDLE = 0,
    CV_NODE_FETCHING = 1, /* bytes of its layers */
    CV_NODE_LOADING = 2,  /* repacking them */
    CV_NODE_LOADED = 3,
    CV_NODE_SERVING = 4, /* edges of the epoch are open */
    CV_NODE_FAILED = 5,  /* code and text say why; DROP or a new LOAD leaves this state */
    CV_NODE_STATE_LAST = CV_NODE_FAILED
};

const char *cv_node_state_name(enum cv_node_state state); /* "idle", "fetching", ... */

struct cv_ctl_status { /* the body of HEARTBEAT and of the reply to STATS */
    enum cv_node_state state;
    uint64_t epoch;    /* that state is about; 0: none */
    enum cv_code code; /* CV_NODE_FAILED: why */
    const char *text;
    uint64_t n_batches, n_rows, busy_us; /* since the epoch began */
    uint64_t memory_used_bytes;          /* resident */
    uint64_t memory_free_bytes;          /* what may still be used */
    uint64_t load_done_bytes, load_all_bytes;
    double load_bytes_per_s;
    uint64_t fetched_bytes; /* over the network, since the process began */
};

/* ---- requests ---- */

struct cv_ctl_hello {
    const char *build_version;
    const char *name;         /* of the node; at most CV_MAX_NODE_NAME bytes */
    const char *call_address; /* "tcp://host:port" where the worker answers calls */
    const char *data_host;    /* host on which it will open its edges */
    const struct cv_ctl_device *device;
    size_t n_device;
    const struct cv_ctl_held *held;
    size_t n_held;
};

struct cv_ctl_heartbeat {
    uint64_t node_id;
    struct cv_ctl_status status;
};

struct cv_ctl_bye {
    uint64_t node_id;
    const char *reason;
};

struct cv_ctl_tensor {
    const char *name;
    uint32_t part;   /* which file of the model */
    uint64_t offset; /* in that file */
    uint64_t size_bytes;
    unsigned char sha256[CV_SHA256_BYTES];
};

struct cv_ctl_load {
    uint64_t epoch;
    uint32_t stage, n_stage;          /* this one's index, and how many there are */
    uint32_t device;                  /* index into the HELLO's devices */
    uint32_t layer_first, layer_last; /* [first, last) */
    bool has_embd, has_head;
    uint32_t n_slots, n_ctx, n_batch;
    uint32_t kv_type;                     /* a GGUF type number: 0 f32, 1 f16 */
    unsigned char model[CV_SHA256_BYTES]; /* the model's identity digest */
    const unsigned char *gguf_header;     /* metadata without tokenizer arrays, and the stage's tensor directory */
    size_t gguf_header_len;
    const struct cv_ctl_tensor *tensor;
    size_t n_tensor;
    const char *const *source; /* base URLs of blob servers: "http://host:port" */
    size_t n_source;
    const char *local_path; /* the model file itself, for a worker in the coordinator's process; else "" */
};

struct cv_ctl_listen {
    uint64_t epoch;
    struct cv_edge_hello hello; /* what the edge's sender will show */
    enum cv_carry carry;        /* what will come in */
    bool inproc;                /* the sender is in the same process: no socket is needed */
};

struct cv_ctl_connect {
    uint64_t epoch;
    const char *address;        /* of the next stage's (or the coordinator's) PULL */
    struct cv_edge_hello hello; /* what to show it */
    enum cv_carry carry;        /* what to send; NONE from the last stage, which sends results */
};

struct cv_ctl_drop {
    uint64_t epoch; /* 0: whatever is loaded */
};

struct cv_ctl_request {
    uint32_t version; /* CV_PROTO_VERSION; encode writes it by itself */
    uint64_t session;
    enum cv_ctl_kind kind;
    union {
        struct cv_ctl_hello hello;
        struct cv_ctl_heartbeat heartbeat;
        struct cv_ctl_bye bye;
        struct cv_ctl_load load;
        struct cv_ctl_listen listen;
        struct cv_ctl_connect connect;
        struct cv_ctl_drop drop;
        /* STATS has no fields */
    } u;
};

/* ---- replies ---- */

struct cv_ctl_hello_reply {
    uint64_t node_id;
    uint32_t heartbeat_ms;
    const char *cluster; /* its name */
};

struct cv_ctl_heartbeat_reply {
    bool known;     /* false: the worker must say HELLO again */
    uint64_t epoch; /* the coordinator's current one; 0: none. A worker on an older one may drop it. */
};

struct cv_ctl_listen_reply {
    const char *address; /* "tcp://host:port" of the PULL */
};

struct cv_ctl_stats_reply {
    struct cv_ctl_status status;
    uint32_t n_push, n_pull; /* open edges */
};

struct cv_ctl_reply {
    uint32_t version;
    uint64_t session;
    enum cv_ctl_kind kind; /* of the request */
    enum cv_code code;     /* CV_OK: u is valid for the kind. Else text says what is wrong. */
    const char *text;
    union {
        struct cv_ctl_hello_reply hello;
        struct cv_ctl_heartbeat_reply heartbeat;
        struct cv_ctl_listen_reply listen;
        struct cv_ctl_stats_reply stats;
        /* BYE, LOAD, CONNECT, DROP: no fields. LOAD is answered when it was understood; loading goes on behind it. */
    } u;
};

/* Append to out (its bound applies). Errors: CV_ERR_ARG (kind, a string or an array past its limit), CV_ERR_LIMIT,
 * CV_ERR_NOMEM. */
bool cv_ctl_request_encode(const struct cv_ctl_request *r, struct cv_buf *out, struct cv_error *err);
bool cv_ctl_reply_encode(const struct cv_ctl_reply *r, struct cv_buf *out, struct cv_error *err);
/* Errors: CV_ERR_FORMAT, CV_ERR_LIMIT, CV_ERR_NOMEM; CV_ERR_PEER for another protocol version (both are named). */
bool cv_ctl_request_decode(struct cv_ctl_request *out, const void *data, size_t len, struct cv_arena *arena,
                           struct cv_error *err);
bool cv_ctl_reply_decode(struct cv_ctl_reply *out, const void *data, size_t len, struct cv_arena *arena,
                         struct cv_error *err);

/* A reply that refuses: kind and session as given, code and message from why. */
struct cv_ctl_reply cv_ctl_refuse(enum cv_ctl_kind kind, uint64_t session, const struct cv_error *why);
/* false, with the peer's code and text in err, when the reply refuses or answers another kind. */
bool cv_ctl_reply_check(const struct cv_ctl_reply *r, enum cv_ctl_kind kind, struct cv_error *err);

#endif
