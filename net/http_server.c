/*
 * http_server.c - the loop thread, connections in, requests checked; http_reply.c has the answers.
 *
 * evhttp objects are touched on the loop thread only. Other threads put operations into the server's list and wake the
 * loop. A request counts two holders: the loop, until evhttp is done with it, and its owner, until it is answered.
 */
#include "net/http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/bufferevent.h>
#include <event2/keyvalq_struct.h>
#include <event2/thread.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/address.h"
#include "net/http_internal.h"

static pthread_once_t threads_once = PTHREAD_ONCE_INIT;

static void use_threads(void)
{
    (void)evthread_use_pthreads();
}

/* ---- what was asked ---- */

static bool known_method(enum evhttp_cmd_type type, enum cv_http_method *out)
{
    switch (type) {
    case EVHTTP_REQ_GET:
        *out = CV_HTTP_GET;
        return true;
    case EVHTTP_REQ_HEAD:
        *out = CV_HTTP_HEAD;
        return true;
    case EVHTTP_REQ_POST:
        *out = CV_HTTP_POST;
        return true;
    case EVHTTP_REQ_PUT:
        *out = CV_HTTP_PUT;
        return true;
    case EVHTTP_REQ_DELETE:
        *out = CV_HTTP_DELETE;
        return true;
    case EVHTTP_REQ_OPTIONS:
        *out = CV_HTTP_OPTIONS;
        return true;
    default:
        return false;
    }
}

/* What evhttp lets through and we do not: a missing Host, and two lengths that differ. NULL: nothing is wrong. */
static const char *bad_headers(struct evhttp_request *ev)
{
    struct evkeyvalq *headers = evhttp_request_get_input_headers(ev);
    const char *length = NULL;
    unsigned n_host = 0;
    for (const struct evkeyval *h = headers->tqh_first; h != NULL; h = h->next.tqe_next) {
        if (strcasecmp(h->key, "Content-Length") == 0) {
            if (length != NULL && strcmp(length, h->value) != 0)
                return "two Content-Length headers that differ";
            length = h->value;
        }
        n_host += strcasecmp(h->key, "Host") == 0;
    }
    /* HTTP/1.0 has none */
    if (n_host > 1 || (n_host == 0 && ev->major == 1 && ev->minor >= 1))
        return "a request has one Host header";
    return NULL;
}

static bool read_target(struct cv_http_request *r)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(r->ev);
    const char *path = uri != NULL ? evhttp_uri_get_path(uri) : NULL;
    const char *query = uri != NULL ? evhttp_uri_get_query(uri) : NULL;
    size_t n = 0;
    if (path == NULL || path[0] != '/')
        path = "/";
    char *decoded = evhttp_uridecode(path, 0, &n);
    if (decoded == NULL || strlen(decoded) != n) { /* %00 */
        free(decoded);
        return false;
    }
    r->path = cv_strdup(decoded);
    free(decoded);
    r->has_query = query != NULL && query[0] != '\0';
    return r->path != NULL && (!r->has_query || evhttp_parse_query_str(query, &r->query) == 0);
}

static void on_request(struct evhttp_request *ev, void *arg)
{
    struct cv_http_server *s = arg;
    const char *wrong = bad_headers(ev);
    struct cv_http_request *r = wrong == NULL ? cv_zalloc(sizeof(*r)) : NULL;
    if (r == NULL) {
        evhttp_send_error(ev, wrong != NULL ? 400 : 500, wrong != NULL ? wrong : "out of memory");
        return;
    }
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->told, NULL);
    r->server = s;
    r->ev = ev;
    r->n_holders = 2;
    if (!known_method(evhttp_request_get_command(ev), &r->method) || !read_target(r)) {
        cv_http_request_destroy(r);
        evhttp_send_error(ev, 400, "a target that cannot be read");
        return;
    }
    struct evhttp_connection *connection = evhttp_request_get_connection(ev);
    char *peer = NULL;
    ev_uint16_t port = 0;
    evhttp_connection_get_peer(connection, &peer, &port);
    snprintf(r->peer, sizeof(r->peer), "%s", peer != NULL ? peer : "");
    cv_http_request_begin(r, connection);
    s->handler(s->ctx, r);
}

enum cv_http_method cv_http_method(const struct cv_http_request *r)
{
    return r->method;
}

const char *cv_http_method_name(enum cv_http_method m)
{
    static const char *const name[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"};
    return (unsigned)m < CV_COUNT(name) ? name[m] : "?";
}

const char *cv_http_path(const struct cv_http_request *r)
{
    return r->path;
}

const char *cv_http_query(const struct cv_http_request *r, const char *name)
{
    if (!r->has_query)
        return NULL;
    for (const struct evkeyval *q = r->query.tqh_first; q != NULL; q = q->next.tqe_next) {
        if (strcmp(q->key, name) == 0)
            return q->value;
    }
    return NULL;
}

const char *cv_http_header(const struct cv_http_request *r, const char *name)
{
    return r->ev != NULL ? evhttp_find_header(evhttp_request_get_input_headers(r->ev), name) : NULL;
}

const char *cv_http_peer(const struct cv_http_request *r)
{
    return r->peer;
}

const void *cv_http_body(const struct cv_http_request *r, size_t *len)
{
    *len = 0;
    if (r->ev == NULL)
        return "";
    struct evbuffer *b = evhttp_request_get_input_buffer(r->ev);
    size_t n = evbuffer_get_length(b);
    const void *p = n != 0 ? (const void *)evbuffer_pullup(b, -1) : "";
    if (p == NULL)
        return "";
    *len = n;
    return p;
}

/* ---- the loop ---- */

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    cv_http_run_operations(arg);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg; /* its being there keeps the loop alive */
}

static void *run_loop(void *arg)
{
    struct cv_http_server *s = arg;
    sigset_t all; /* a client that has left is an error of write, and no SIGPIPE; the others are main's */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    event_base_dispatch(s->base);
    return NULL;
}

static int open_socket(const char *address, char *out, struct cv_error *err)
{
    struct cv_address a;
    if (!cv_address_parse(address, -1, &a, err))
        return -1;
    char service[8];
    snprintf(service, sizeof(service), "%u", a.port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
    int rc = getaddrinfo(a.host[0] != '\0' ? a.host : NULL, service, &hints, &found);
    if (rc != 0) {
        cv_fail(err, CV_ERR_ARG, "%s: %s", address, gai_strerror(rc));
        return -1;
    }
    const int on = 1;
    int fd = socket(found->ai_family, SOCK_STREAM, 0);
    struct sockaddr_storage own;
    socklen_t len = sizeof(own);
    /* Accepted sockets inherit TCP_NODELAY: a stream's small chunks do not wait for one another. */
    bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
              setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0 &&
              bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, 512) == 0 &&
              getsockname(fd, (struct sockaddr *)&own, &len) == 0 && evutil_make_socket_nonblocking(fd) == 0 &&
              evutil_make_socket_closeonexec(fd) == 0;
    int saved = errno;
    freeaddrinfo(found);
    if (!ok) {
        if (fd >= 0)
            close(fd);
        cv_fail_errno(err, saved, "listen on %s", address);
        return -1;
    }
    a.port = ntohs(own.ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)&own)->sin6_port
                                             : ((const struct sockaddr_in *)&own)->sin_port);
    cv_address_format_plain(&a, out);
    return fd;
}

static bool set_up(struct cv_http_server *s, const struct cv_http_server_options *o, int fd, struct cv_error *err)
{
    const struct timeval hour = {.tv_sec = 3600};
    s->base = event_base_new();
    s->http = s->base != NULL ? evhttp_new(s->base) : NULL;
    s->wake = s->http != NULL ? event_new(s->base, -1, 0, on_wake, s) : NULL;
    s->tick = s->wake != NULL ? event_new(s->base, -1, EV_PERSIST, on_tick, s) : NULL;
    if (s->tick == NULL || event_add(s->tick, &hour) != 0)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for an event loop");
    evhttp_set_max_body_size(s->http, (ev_ssize_t)(o->max_body_bytes != 0 ? o->max_body_bytes : CV_MAX_HTTP_BODY));
    evhttp_set_max_headers_size(s->http,
                                (ev_ssize_t)(o->max_header_bytes != 0 ? o->max_header_bytes : CV_MAX_HTTP_HEADERS));
    evhttp_set_timeout(s->http, (int)s->idle_timeout_s);
    evhttp_set_allowed_methods(s->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_PUT |
                                            EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS);
    evhttp_set_default_content_type(s->http, NULL);
    evhttp_set_gencb(s->http, on_request, s);
    s->listener = evhttp_accept_socket_with_handle(s->http, fd);
    return s->listener != NULL || cv_fail(err, CV_ERR_IO, "cannot listen on %s", o->address);
}

bool cv_http_server_open(struct cv_http_server **out, const struct cv_http_server_options *options,
                         struct cv_error *err)
{
    (void)pthread_once(&threads_once, use_threads);
    struct cv_http_server *s = cv_zalloc(sizeof(*s));
    if (s == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for an HTTP server");
    pthread_mutex_init(&s->lock, NULL);
    s->idle_timeout_s = options->idle_timeout_s != 0 ? options->idle_timeout_s : 60;
    s->operations_end = &s->operations;
    s->handler = options->handler;
    s->ctx = options->ctx;
    s->max_queued = options->max_queued_bytes != 0 ? options->max_queued_bytes : (size_t)4 << 20;
    int fd = open_socket(options->address, s->address, err);
    if (fd < 0)
        goto fail;
    if (!set_up(s, options, fd, err)) {
        if (s->listener == NULL)
            close(fd);
        goto fail;
    }
    int rc = pthread_create(&s->thread, NULL, run_loop, s);
    if (rc != 0) {
        cv_fail_errno(err, rc, "start a thread");
        goto fail;
    }
    s->started = true;
    *out = s;
    return true;
fail:
    cv_http_server_close(s, 0);
    return false;
}

const char *cv_http_server_address(const struct cv_http_server *s)
{
    return s->address;
}

void cv_http_server_drain(struct cv_http_server *s)
{
    cv_http_post(s, NULL, CV_HTTP_OP_DRAIN, NULL);
}

/* Waits until no request is held by the loop (or by anybody), or until deadline. */
static bool wait_for_requests(struct cv_http_server *s, uint64_t deadline_ms)
{
    for (;;) {
        pthread_mutex_lock(&s->lock);
        const size_t n = s->n_requests;
        pthread_mutex_unlock(&s->lock);
        if (n == 0)
            return true;
        if (cv_now_ms() >= deadline_ms)
            return false;
        cv_sleep_ms(2);
    }
}

void cv_http_server_close(struct cv_http_server *s, unsigned drain_ms)
{
    if (s == NULL)
        return;
    if (s->started) {
        cv_http_server_drain(s);
        if (!wait_for_requests(s, cv_now_ms() + drain_ms)) {
            cv_http_post(s, NULL, CV_HTTP_OP_CUT, NULL);
            /* Their owners have been told; a server is not freed under them. */
            if (!wait_for_requests(s, cv_now_ms() + 10000))
                cv_log(CV_LOG_ERROR, "%s: waiting for the owners of requests whose clients are gone", s->address);
            (void)wait_for_requests(s, UINT64_MAX);
        }
        cv_http_post(s, NULL, CV_HTTP_OP_STOP, NULL);
        pthread_join(s->thread, NULL);
    }
    if (s->http != NULL)
        evhttp_free(s->http);
    if (s->tick != NULL)
        event_free(s->tick);
    if (s->wake != NULL)
        event_free(s->wake);
    if (s->base != NULL)
        event_base_free(s->base);
    pthread_mutex_destroy(&s->lock);
    cv_free(s);
}
