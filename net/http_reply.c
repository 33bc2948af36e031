/* http_reply.c - answers: from any thread into the server's list, and from there, on the loop thread, into evhttp. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/bufferevent.h>

#include "base/mem.h"
#include "net/http_internal.h"

/* Of a client that sends its next request before it has the answer to this one. */
enum { MAX_READ_AHEAD = 64 << 10 };

/* ---- the life of a request ---- */

void cv_http_request_destroy(struct cv_http_request *r)
{
    if (r->has_query)
        evhttp_clear_headers(&r->query);
    if (r->headers.tqh_last != NULL)
        evhttp_clear_headers(&r->headers);
    pthread_cond_destroy(&r->told);
    pthread_mutex_destroy(&r->lock);
    cv_free(r->path);
    cv_free(r);
}

static void release(struct cv_http_request *r)
{
    pthread_mutex_lock(&r->lock);
    const bool last = --r->n_holders == 0;
    pthread_mutex_unlock(&r->lock);
    if (!last)
        return;
    struct cv_http_server *s = r->server;
    cv_http_request_destroy(r);
    pthread_mutex_lock(&s->lock); /* the last touch: the server may be freed behind it */
    s->n_requests--;
    pthread_mutex_unlock(&s->lock);
}

static void unlink_live(struct cv_http_request *r)
{
    if (r->live_link == NULL)
        return;
    *r->live_link = r->live_next;
    if (r->live_next != NULL)
        r->live_next->live_link = r->live_link;
    r->live_link = NULL;
}

static struct evbuffer *output_of(struct evhttp_connection *connection)
{
    return bufferevent_get_output(evhttp_connection_get_bufferevent(connection));
}

static void on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *arg)
{
    struct cv_http_request *r = arg;
    (void)info;
    atomic_store(&r->in_output, evbuffer_get_length(output));
}

/*
 * evhttp stops reading when a request is complete, and then does not see its client leave before it has something to
 * write. So reading goes on, without evhttp's callback for data (it would not know what to do with it) and into a
 * bounded buffer; evhttp puts its callbacks back for the next request.
 */
static void watch_for_end(struct evhttp_connection *connection)
{
    struct bufferevent *b = evhttp_connection_get_bufferevent(connection);
    bufferevent_data_cb on_read, on_write;
    bufferevent_event_cb on_event;
    void *arg;
    bufferevent_getcb(b, &on_read, &on_write, &on_event, &arg);
    bufferevent_setcb(b, NULL, on_write, on_event, arg);
    bufferevent_setwatermark(b, EV_READ, 0, MAX_READ_AHEAD);
    (void)bufferevent_enable(b, EV_READ);
}

/* The connection is none of this request's business any more. */
static void let_go(struct cv_http_request *r)
{
    bufferevent_setwatermark(evhttp_connection_get_bufferevent(r->connection), EV_READ, 0, 0);
    evhttp_connection_set_closecb(r->connection, NULL, NULL);
    (void)evbuffer_remove_cb(output_of(r->connection), on_output, r);
    atomic_store(&r->in_output, 0);
    r->connection = NULL;
    unlink_live(r);
}

/* The client has gone. If the answer was on its way evhttp frees its own request; else that is left to the answer. */
static void on_closed(struct evhttp_connection *connection, void *arg)
{
    struct cv_http_request *r = arg;
    (void)connection;
    let_go(r);
    atomic_store(&r->gone, true);
    pthread_mutex_lock(&r->lock);
    const bool sent = r->ev == NULL; /* the answer was complete, and is lost in part */
    r->telling = !r->answered && r->on_close != NULL;
    const bool tell = r->telling;
    pthread_mutex_unlock(&r->lock);
    if (tell) {
        r->on_close(r->on_close_ctx);
        pthread_mutex_lock(&r->lock);
        r->telling = false;
        pthread_cond_broadcast(&r->told);
        pthread_mutex_unlock(&r->lock);
    }
    if (sent)
        release(r);
}

/* Every byte of the answer is out. */
static void on_complete(struct evhttp_request *ev, void *arg)
{
    struct cv_http_request *r = arg;
    (void)ev;
    if (r->connection != NULL)
        let_go(r);
    release(r);
}

void cv_http_request_begin(struct cv_http_request *r, struct evhttp_connection *connection)
{
    struct cv_http_server *s = r->server;
    r->headers.tqh_first = NULL;
    r->headers.tqh_last = &r->headers.tqh_first;
    r->connection = connection;
    r->live_next = s->live;
    if (s->live != NULL)
        s->live->live_link = &r->live_next;
    s->live = r;
    r->live_link = &s->live;
    /* A client that waits in silence for its answer is not idle. */
    bufferevent_set_timeouts(evhttp_connection_get_bufferevent(connection), NULL, NULL);
    watch_for_end(connection);
    evhttp_connection_set_closecb(connection, on_closed, r);
    (void)evbuffer_add_cb(output_of(connection), on_output, r);
    pthread_mutex_lock(&s->lock);
    s->n_requests++;
    pthread_mutex_unlock(&s->lock);
}

/* ---- the client ---- */

bool cv_http_gone(const struct cv_http_request *r)
{
    return atomic_load(&r->gone);
}

void cv_http_on_close(struct cv_http_request *r, void (*fn)(void *ctx), void *ctx)
{
    pthread_mutex_lock(&r->lock);
    r->on_close = fn;
    r->on_close_ctx = ctx;
    const bool gone = atomic_load(&r->gone) && !r->telling;
    pthread_mutex_unlock(&r->lock);
    if (gone && fn != NULL)
        fn(ctx);
}

/* From here on on_close is not called any more, and is not being called. */
static void end_telling(struct cv_http_request *r)
{
    const bool on_loop = pthread_equal(pthread_self(), r->server->thread) != 0;
    pthread_mutex_lock(&r->lock);
    r->answered = true;
    while (r->telling && !on_loop)
        pthread_cond_wait(&r->told, &r->lock);
    pthread_mutex_unlock(&r->lock);
}

/* ---- operations ---- */

static struct cv_http_op *own_op(struct cv_http_server *s, struct cv_http_request *r, enum cv_http_op_kind kind)
{
    switch (kind) {
    case CV_HTTP_OP_BEGIN:
        return &r->begin_op;
    case CV_HTTP_OP_REPLY:
    case CV_HTTP_OP_END:
        return &r->final_op;
    case CV_HTTP_OP_CUT_ONE:
        return &r->cut_op;
    case CV_HTTP_OP_WRITE:
        return cv_zalloc(sizeof(struct cv_http_op));
    default:
        return &s->own_op[kind];
    }
}

static bool post(struct cv_http_server *s, struct cv_http_request *r, enum cv_http_op_kind kind, struct evbuffer *data)
{
    struct cv_http_op *op = own_op(s, r, kind);
    if (op == NULL)
        return false;
    *op = (struct cv_http_op){.request = r, .kind = kind, .data = data, .on_heap = kind == CV_HTTP_OP_WRITE};
    pthread_mutex_lock(&s->lock);
    *s->operations_end = op;
    s->operations_end = &op->next;
    event_active(s->wake, 0, 0);
    pthread_mutex_unlock(&s->lock);
    return true;
}

void cv_http_post(struct cv_http_server *s, struct cv_http_request *r, enum cv_http_op_kind kind, struct evbuffer *data)
{
    (void)post(s, r, kind, data); /* only a WRITE can fail */
}

static void send_headers(struct cv_http_request *r)
{
    struct evkeyvalq *to = evhttp_request_get_output_headers(r->ev);
    for (const struct evkeyval *h = r->headers.tqh_first; h != NULL; h = h->next.tqe_next)
        (void)evhttp_add_header(to, h->key, h->value);
    if (r->server->draining)
        (void)evhttp_add_header(to, "Connection", "close");
}

/* The answer is complete as far as we are concerned; evhttp frees its request when the last byte is out. */
static struct evhttp_request *hand_over(struct cv_http_request *r)
{
    struct evhttp_request *ev = r->ev;
    r->ev = NULL;
    evhttp_request_set_on_complete_cb(ev, on_complete, r);
    evhttp_connection_set_timeout(r->connection, (int)r->server->idle_timeout_s);
    return ev;
}

static void finish(struct cv_http_request *r, enum cv_http_op_kind kind, struct evbuffer *data)
{
    if (r->connection == NULL) { /* the client has gone */
        evhttp_request_free(r->ev);
        r->ev = NULL;
        release(r);
    } else if (kind == CV_HTTP_OP_REPLY) {
        send_headers(r);
        evhttp_send_reply(hand_over(r), r->status, NULL, data);
    } else {
        evhttp_send_reply_end(hand_over(r));
    }
    release(r); /* the owner's hold */
}

static void cut(struct cv_http_request *r)
{
    if (r->connection != NULL)
        (void)shutdown(bufferevent_getfd(evhttp_connection_get_bufferevent(r->connection)), SHUT_RDWR);
}

static void stream(struct cv_http_request *r, const struct cv_http_op *op)
{
    if (op->kind == CV_HTTP_OP_WRITE)
        atomic_fetch_sub(&r->posted, evbuffer_get_length(op->data));
    if (r->connection == NULL)
        return;
    if (op->kind == CV_HTTP_OP_BEGIN) {
        send_headers(r);
        evhttp_send_reply_start(r->ev, r->status, NULL);
    } else {
        evhttp_send_reply_chunk(r->ev, op->data);
    }
}

static void drain(struct cv_http_server *s)
{
    s->draining = true;
    if (s->listener != NULL)
        evhttp_del_accept_socket(s->http, s->listener);
    s->listener = NULL;
}

static void run(struct cv_http_server *s, const struct cv_http_op *op)
{
    switch (op->kind) {
    case CV_HTTP_OP_BEGIN:
    case CV_HTTP_OP_WRITE:
        stream(op->request, op);
        break;
    case CV_HTTP_OP_REPLY:
    case CV_HTTP_OP_END:
        finish(op->request, op->kind, op->data);
        break;
    case CV_HTTP_OP_CUT_ONE:
        cut(op->request);
        break;
    case CV_HTTP_OP_DRAIN:
        drain(s);
        break;
    case CV_HTTP_OP_CUT:
        for (struct cv_http_request *r = s->live; r != NULL; r = r->live_next)
            cut(r);
        break;
    default:
        event_base_loopbreak(s->base);
    }
}

void cv_http_run_operations(struct cv_http_server *s)
{
    pthread_mutex_lock(&s->lock);
    struct cv_http_op *list = s->operations;
    s->operations = NULL;
    s->operations_end = &s->operations;
    pthread_mutex_unlock(&s->lock);
    while (list != NULL) {
        struct cv_http_op op = *list; /* a request's own operation goes with the request */
        if (list->on_heap)
            cv_free(list);
        list = op.next;
        run(s, &op);
        if (op.data != NULL)
            evbuffer_free(op.data);
    }
}

/* ---- what owners call ---- */

void cv_http_add_header(struct cv_http_request *r, const char *name, const char *value)
{
    (void)evhttp_add_header(&r->headers, name, value); /* evhttp refuses line breaks */
}

void cv_http_reply(struct cv_http_request *r, int status, const char *content_type, const void *body, size_t len)
{
    struct evbuffer *data = evbuffer_new();
    char length[32];
    r->status = status;
    if (data == NULL || (r->method != CV_HTTP_HEAD && evbuffer_add(data, body, len) != 0)) {
        r->status = 500;
        len = 0;
    }
    if (content_type != NULL)
        cv_http_add_header(r, "Content-Type", content_type);
    snprintf(length, sizeof(length), "%zu", len);
    if (status != 204 && status != 304)
        cv_http_add_header(r, "Content-Length", length);
    cv_http_reply_buffer(r, r->status, data);
}

void cv_http_reply_buffer(struct cv_http_request *r, int status, struct evbuffer *data)
{
    r->status = status;
    end_telling(r);
    cv_http_post(r->server, r, CV_HTTP_OP_REPLY, data);
}

int cv_http_status(enum cv_code code)
{
    switch (code) {
    case CV_OK:
        return 200;
    case CV_ERR_FORMAT:
    case CV_ERR_ARG:
        return 400;
    case CV_ERR_AUTH:
        return 401;
    case CV_ERR_NOT_FOUND:
        return 404;
    case CV_ERR_LIMIT:
        return 413;
    case CV_ERR_UNSUPPORTED:
        return 501;
    case CV_ERR_BUSY:
    case CV_ERR_PEER:
    case CV_ERR_CANCEL:
        return 503;
    case CV_ERR_TIMEOUT:
        return 504;
    default:
        return 500;
    }
}

void cv_http_reply_error(struct cv_http_request *r, const struct cv_error *e)
{
    char text[sizeof(e->msg) + 2];
    int n = snprintf(text, sizeof(text), "%s\n", e->msg);
    cv_http_reply(r, cv_http_status(e->code), "text/plain; charset=utf-8", text, (size_t)n);
}

bool cv_http_stream_begin(struct cv_http_request *r, int status, const char *content_type)
{
    r->status = status;
    if (content_type != NULL)
        cv_http_add_header(r, "Content-Type", content_type);
    cv_http_post(r->server, r, CV_HTTP_OP_BEGIN, NULL);
    return !cv_http_gone(r);
}

size_t cv_http_stream_queued(const struct cv_http_request *r)
{
    return atomic_load(&r->posted) + atomic_load(&r->in_output);
}

bool cv_http_stream_write(struct cv_http_request *r, const void *data, size_t n)
{
    if (n == 0) /* an empty chunk would be the last one */
        return !cv_http_gone(r);
    if (cv_http_gone(r) || atomic_load(&r->cut))
        return false;
    struct evbuffer *b = cv_http_stream_queued(r) + n <= r->server->max_queued ? evbuffer_new() : NULL;
    if (b != NULL && evbuffer_add(b, data, n) == 0) {
        atomic_fetch_add(&r->posted, n);
        if (post(r->server, r, CV_HTTP_OP_WRITE, b))
            return true;
        atomic_fetch_sub(&r->posted, n);
    }
    if (b != NULL)
        evbuffer_free(b);
    /* A stream with a hole in it is worse than none. */
    if (!atomic_exchange(&r->cut, true))
        cv_http_post(r->server, r, CV_HTTP_OP_CUT_ONE, NULL);
    return false;
}

void cv_http_stream_end(struct cv_http_request *r)
{
    end_telling(r);
    cv_http_post(r->server, r, CV_HTTP_OP_END, NULL);
}
