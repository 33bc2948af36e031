/* http_internal.h - what http_server.c and http_reply.c share. libevent stops here. */
#ifndef CV_NET_HTTP_INTERNAL_H
#define CV_NET_HTTP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>

#include "net/http_server.h"

enum cv_http_op_kind {
    CV_HTTP_OP_REPLY,
    CV_HTTP_OP_BEGIN,
    CV_HTTP_OP_WRITE,
    CV_HTTP_OP_END,
    CV_HTTP_OP_CUT_ONE,
    CV_HTTP_OP_DRAIN, /* these three are the server's */
    CV_HTTP_OP_CUT,
    CV_HTTP_OP_STOP,
    CV_HTTP_N_OPS
};

struct cv_http_op { /* what another thread wants done on the loop */
    struct cv_http_op *next;
    struct cv_http_request *request;
    enum cv_http_op_kind kind;
    struct evbuffer *data;
    bool on_heap;
};

struct cv_http_server {
    struct event_base *base;
    struct evhttp *http;
    struct evhttp_bound_socket *listener; /* loop thread */
    struct event *wake, *tick;
    char address[300];
    void (*handler)(void *ctx, struct cv_http_request *r);
    void *ctx;
    size_t max_queued;
    unsigned idle_timeout_s;
    pthread_t thread;
    bool started;
    bool draining;                /* loop thread */
    struct cv_http_request *live; /* loop thread: requests whose client is there */
    struct cv_http_op own_op[CV_HTTP_N_OPS];
    pthread_mutex_t lock; /* a leaf; guards what follows */
    struct cv_http_op *operations, **operations_end;
    size_t n_requests;
};

struct cv_http_request {
    struct cv_http_server *server;
    struct evhttp_request *ev;            /* loop thread writes; owners read it until they answer */
    struct evhttp_connection *connection; /* loop thread; NULL once the client is gone or the answer is out */
    struct cv_http_request *live_next, **live_link;
    enum cv_http_method method;
    char *path;
    bool has_query;
    struct evkeyvalq query;
    char peer[64];
    int status;               /* of the answer */
    struct evkeyvalq headers; /* of the answer */
    bool begun;               /* loop thread: a stream's head is out */
    struct cv_http_op begin_op, final_op, cut_op;
    atomic_bool gone, cut;
    atomic_size_t posted, in_output; /* bytes of a stream: on the way to the loop, and in the connection's buffer */
    pthread_mutex_t lock;            /* a leaf; guards what follows */
    pthread_cond_t told;
    void (*on_close)(void *ctx);
    void *on_close_ctx;
    bool telling, answered;
    int n_holders; /* the loop and the owner */
};

/* Any thread. data goes with the operation. A request's own operations are used once each. */
void cv_http_post(struct cv_http_server *s, struct cv_http_request *r, enum cv_http_op_kind kind,
                  struct evbuffer *data);
/* The final answer, with its headers as they stand; takes data. */
void cv_http_reply_buffer(struct cv_http_request *r, int status, struct evbuffer *data);
/* Loop thread. */
void cv_http_request_begin(struct cv_http_request *r, struct evhttp_connection *connection);
void cv_http_run_operations(struct cv_http_server *s);
/* Frees the memory of a request that nobody holds. */
void cv_http_request_destroy(struct cv_http_request *r);

#endif
