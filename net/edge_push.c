/* edge_push.c - the sending end of an edge. Its lock is a leaf; NNG's callbacks take it and return. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/edge.h"
#include "net/internal.h"
#include "net/nng_compat.h"

struct cv_push {
    struct cv_net_retired retired; /* the first member */
    nng_socket socket;
    bool is_open;
    nng_aio *aio;
    char address[CV_ADDRESS_TEXT];
    cv_edge_lost_fn *on_lost;
    void *ctx;
    uint64_t epoch;
    uint64_t last_send_ms;
    pthread_mutex_t lock; /* guards what follows, and that a send begins only on a living edge */
    int pipe;             /* id of the one connection; 0: none yet */
    bool lost, shut;
};

static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    struct cv_push *p = arg;
    const int id = nng_pipe_id(pipe);
    cv_net_got();
    bool refuse = false, lost = false;
    pthread_mutex_lock(&p->lock);
    if (event == NNG_PIPE_EV_ADD_PRE) {
        refuse = p->pipe != 0; /* the dialer came back: an edge has one connection in its life */
        if (!refuse)
            p->pipe = id;
    } else if (event == NNG_PIPE_EV_REM_POST && id == p->pipe && !p->lost) {
        p->lost = lost = true;
        nng_aio_cancel(p->aio);
    }
    pthread_mutex_unlock(&p->lock);
    if (refuse)
        nng_pipe_close(pipe);
    if (lost && p->on_lost != NULL)
        p->on_lost(p->ctx);
}

static bool queue_hello(struct cv_push *p, const struct cv_edge_hello *hello, struct cv_error *err)
{
    struct cv_msg *m = cv_msg_new(CV_HELLO_BYTES);
    if (m == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for a hello");
    cv_edge_hello_encode(cv_msg_body(m), hello);
    cv_net_give();
    int rv = nng_sendmsg(p->socket, (nng_msg *)m, NNG_FLAG_NONBLOCK); /* into the buffer: the first to leave it */
    if (rv != 0)
        cv_msg_free(m);
    return rv == 0 || cv_nng_fail(err, rv, "hello to", p->address);
}

bool cv_push_open(struct cv_push **out, const struct cv_push_options *options, struct cv_error *err)
{
    struct cv_push *p = cv_zalloc(sizeof(*p));
    if (p == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for an edge");
    pthread_mutex_init(&p->lock, NULL);
    snprintf(p->address, sizeof(p->address), "%s", options->address);
    p->on_lost = options->on_lost;
    p->ctx = options->ctx;
    p->epoch = options->hello.epoch;
    unsigned buffer = options->send_buffer == 0 ? 2 : options->send_buffer > 64 ? 64 : options->send_buffer;
    int rv = CV_NNG_INIT();
    if (rv == 0)
        rv = nng_aio_alloc(&p->aio, NULL, NULL);
    if (rv == 0)
        rv = nng_push0_open(&p->socket);
    if (rv != 0) {
        cv_nng_fail(err, rv, "edge to", p->address);
        goto fail;
    }
    p->is_open = true;
    rv = nng_socket_set_int(p->socket, NNG_OPT_SENDBUF, (int)buffer);
    for (int e = NNG_PIPE_EV_ADD_PRE; rv == 0 && e <= NNG_PIPE_EV_REM_POST; e++)
        rv = nng_pipe_notify(p->socket, (nng_pipe_ev)e, on_pipe, p);
    if (rv != 0) {
        cv_nng_fail(err, rv, "edge to", p->address);
        goto fail;
    }
    if (!queue_hello(p, &options->hello, err) || !cv_nng_dial(p->socket, p->address, err))
        goto fail;
    *out = p;
    return true;
fail:
    cv_push_close(p, 0);
    return false;
}

/* The lock is held. */
static bool is_alive(const struct cv_push *p, struct cv_error *err)
{
    if (p->shut)
        return cv_fail(err, CV_ERR_CANCEL, "edge to %s is shut down", p->address);
    if (p->lost)
        return cv_fail(err, CV_ERR_PEER, "edge to %s: the peer is gone", p->address);
    return true;
}

bool cv_push_send(struct cv_push *p, struct cv_msg *m, int timeout_ms, struct cv_error *err)
{
    pthread_mutex_lock(&p->lock);
    bool alive = is_alive(p, err);
    if (alive) { /* under the lock, so that who cancels finds it begun */
        nng_aio_set_timeout(p->aio, timeout_ms < 0 ? NNG_DURATION_INFINITE : timeout_ms);
        nng_aio_set_msg(p->aio, (nng_msg *)m);
        cv_net_give();
        CV_NNG_SEND_AIO(p->socket, p->aio);
    }
    pthread_mutex_unlock(&p->lock);
    if (!alive)
        return false;
    nng_aio_wait(p->aio);
    int rv = nng_aio_result(p->aio);
    nng_aio_set_msg(p->aio, NULL);
    p->last_send_ms = cv_now_ms();
    if (rv == 0)
        return true;
    pthread_mutex_lock(&p->lock);
    alive = is_alive(p, err);
    bool never = p->pipe == 0;
    pthread_mutex_unlock(&p->lock);
    if (!alive)
        return false;
    if (rv == NNG_ETIMEDOUT)
        return cv_fail(err, CV_ERR_TIMEOUT, "edge to %s: %s within %d ms", p->address,
                       never ? "no connection" : "the peer took no message", timeout_ms);
    return cv_nng_fail(err, rv, "edge to", p->address);
}

bool cv_push_connected(const struct cv_push *p)
{
    struct cv_push *q = (struct cv_push *)(uintptr_t)p; /* the lock is no part of its value */
    pthread_mutex_lock(&q->lock);
    bool yes = q->pipe != 0 && !q->lost;
    pthread_mutex_unlock(&q->lock);
    return yes;
}

void cv_push_shutdown(struct cv_push *p)
{
    pthread_mutex_lock(&p->lock);
    p->shut = true;
    nng_aio_cancel(p->aio);
    pthread_mutex_unlock(&p->lock);
}

static void close_now(struct cv_net_retired *r)
{
    struct cv_push *p = (struct cv_push *)r;
    if (p->is_open)
        CV_NNG_CLOSE(p->socket);
    if (p->aio != NULL)
        nng_aio_free(p->aio);
    pthread_mutex_destroy(&p->lock);
    cv_free(p);
}

static void say_bye(struct cv_push *p)
{
    struct cv_msg *m = cv_msg_new(CV_HEAD_BYTES);
    if (m == NULL)
        return;
    cv_edge_bye_encode(cv_msg_body(m), p->epoch);
    cv_net_give();
    if (nng_sendmsg(p->socket, (nng_msg *)m, NNG_FLAG_NONBLOCK) != 0)
        cv_msg_free(m); /* no room: the other side will see the connection end */
}

void cv_push_close(struct cv_push *p, int linger_ms)
{
    if (p == NULL)
        return;
    if (!p->is_open) {
        close_now(&p->retired);
        return;
    }
    const bool connected = cv_push_connected(p);
    pthread_mutex_lock(&p->lock);
    p->lost = true; /* our own closing is no loss */
    if (p->pipe == 0)
        p->pipe = -1; /* and a connection that comes now comes too late */
    pthread_mutex_unlock(&p->lock);
    if (connected) {
        say_bye(p);
        /* For a process that ends behind this: NNG cannot be asked whether it has written everything. */
        uint64_t since = cv_now_ms() - p->last_send_ms;
        if (p->last_send_ms != 0 && linger_ms > 0 && since < (uint64_t)linger_ms)
            cv_sleep_ms((uint32_t)linger_ms - (uint32_t)since);
    }
    cv_net_retire(&p->retired, close_now);
}
