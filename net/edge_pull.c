/* edge_pull.c - the receiving end of an edge. Its lock is a leaf; NNG's callbacks take it and return. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/edge.h"
#include "net/internal.h"
#include "net/nng_compat.h"

/* One more is not let in. None is closed to make room: retire.c says why. */
enum { MAX_CONNECTIONS = 64 };

struct cv_pull {
    struct cv_net_retired retired; /* the first member */
    nng_socket socket;
    bool is_open;
    nng_aio *aio;
    char address[CV_ADDRESS_TEXT];
    struct cv_edge_hello hello;
    cv_edge_lost_fn *on_lost;
    void *ctx;
    pthread_mutex_t lock;         /* guards what follows, and that a receive begins only on a living edge */
    int present[MAX_CONNECTIONS]; /* ids of the connections */
    unsigned n_present;
    unsigned n_turned_away;
    int peer; /* id of the accepted connection; 0: none yet */
    bool lost, shut;
};

/* The lock is held, in these two. */
static unsigned find_present(const struct cv_pull *p, int id)
{
    unsigned i = 0;
    while (i < p->n_present && p->present[i] != id)
        i++;
    return i;
}

static bool admit(struct cv_pull *p, int id)
{
    if (p->peer != 0 || p->lost || p->n_present == MAX_CONNECTIONS)
        return false;
    p->present[p->n_present++] = id;
    return true;
}

static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    struct cv_pull *p = arg;
    const int id = nng_pipe_id(pipe);
    cv_net_got();
    bool lost = false, refuse = false;
    pthread_mutex_lock(&p->lock);
    if (event == NNG_PIPE_EV_ADD_PRE) {
        refuse = !admit(p, id); /* before it receives anything: the one moment when closing is safe */
    } else if (event == NNG_PIPE_EV_REM_POST) {
        unsigned i = find_present(p, id);
        if (i < p->n_present)
            p->present[i] = p->present[--p->n_present];
        if (id == p->peer && !p->lost) {
            p->lost = lost = true;
            nng_aio_cancel(p->aio);
        }
    }
    pthread_mutex_unlock(&p->lock);
    if (refuse)
        nng_pipe_close(pipe);
    if (lost && p->on_lost != NULL)
        p->on_lost(p->ctx);
}

bool cv_pull_open(struct cv_pull **out, const struct cv_pull_options *options, struct cv_error *err)
{
    struct cv_pull *p = cv_zalloc(sizeof(*p));
    if (p == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for an edge");
    pthread_mutex_init(&p->lock, NULL);
    p->hello = options->hello;
    p->on_lost = options->on_lost;
    p->ctx = options->ctx;
    size_t most = options->max_message_bytes < CV_HELLO_BYTES ? CV_HELLO_BYTES : options->max_message_bytes;
    int rv = CV_NNG_INIT();
    if (rv == 0)
        rv = nng_aio_alloc(&p->aio, NULL, NULL);
    if (rv == 0)
        rv = nng_pull0_open(&p->socket);
    if (rv != 0) {
        cv_nng_fail(err, rv, "edge at", options->address);
        goto fail;
    }
    p->is_open = true;
    rv = nng_socket_set_size(p->socket, NNG_OPT_RECVMAXSZ, most);
    if (rv == 0)
        rv = nng_socket_set_int(p->socket, NNG_OPT_RECVBUF, 4);
    for (int e = NNG_PIPE_EV_ADD_PRE; rv == 0 && e <= NNG_PIPE_EV_REM_POST; e++)
        rv = nng_pipe_notify(p->socket, (nng_pipe_ev)e, on_pipe, p);
    if (rv != 0) {
        cv_nng_fail(err, rv, "edge at", options->address);
        goto fail;
    }
    cv_net_give();
    if (!cv_nng_listen(p->socket, options->address, p->address, err))
        goto fail;
    *out = p;
    return true;
fail:
    cv_pull_close(p);
    return false;
}

const char *cv_pull_address(const struct cv_pull *p)
{
    return p->address;
}

/* Its connection stays, and what it sends is thrown away: retire.c says why it is not closed. */
static void turn_away(struct cv_pull *p, const char *why)
{
    if (p->n_turned_away++ < 10)
        cv_log(CV_LOG_WARN, "edge at %s: a stranger was turned away: %s", p->address, why);
}

/* The message of a connection that is not the peer: the right HELLO makes it the peer. */
static void meet(struct cv_pull *p, nng_msg *m)
{
    const int id = nng_pipe_id(nng_msg_get_pipe(m));
    struct cv_edge_hello hello;
    struct cv_error err;
    if (!cv_edge_hello_decode(nng_msg_body(m), nng_msg_len(m), &hello, &err)) {
        turn_away(p, err.msg);
        return;
    }
    if (!cv_edge_hello_equal(&hello, &p->hello)) {
        char why[100];
        snprintf(why, sizeof(why), "link %llu of epoch %llu, or a wrong secret", (unsigned long long)hello.link,
                 (unsigned long long)hello.epoch);
        turn_away(p, why);
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->peer = id;
    bool lost =
        find_present(p, id) == p->n_present && !p->lost; /* it has left already; what it sent is still in the queue */
    p->lost = p->lost || lost;
    pthread_mutex_unlock(&p->lock);
    if (lost && p->on_lost != NULL)
        p->on_lost(p->ctx);
}

/* The peer's last message. */
static void part(struct cv_pull *p)
{
    pthread_mutex_lock(&p->lock);
    bool lost = !p->lost;
    p->lost = true;
    pthread_mutex_unlock(&p->lock);
    if (lost && p->on_lost != NULL)
        p->on_lost(p->ctx);
}

/* The next message of any connection; NULL and an error when there is none in time. */
static nng_msg *next_message(struct cv_pull *p, int timeout_ms, struct cv_error *err)
{
    nng_msg *m = NULL;
    pthread_mutex_lock(&p->lock);
    const bool shut = p->shut, lost = p->lost;
    const bool wait = !shut && !lost && timeout_ms != 0;
    if (wait) { /* under the lock, so that who cancels finds it begun */
        nng_aio_set_timeout(p->aio, timeout_ms < 0 ? NNG_DURATION_INFINITE : timeout_ms);
        CV_NNG_RECV_AIO(p->socket, p->aio);
    }
    pthread_mutex_unlock(&p->lock);
    if (shut) {
        cv_fail(err, CV_ERR_CANCEL, "edge at %s is shut down", p->address);
        return NULL;
    }
    if (!wait) {
        if (nng_recvmsg(p->socket, &m, NNG_FLAG_NONBLOCK) == 0)
            return m;
        if (lost)
            cv_fail(err, CV_ERR_PEER, "edge at %s: the peer is gone", p->address);
        else
            cv_fail(err, CV_ERR_TIMEOUT, "edge at %s: nothing has come", p->address);
        return NULL;
    }
    nng_aio_wait(p->aio);
    int rv = nng_aio_result(p->aio);
    if (rv == 0) {
        m = nng_aio_get_msg(p->aio);
        nng_aio_set_msg(p->aio, NULL);
        return m;
    }
    if (rv == NNG_ETIMEDOUT)
        cv_fail(err, CV_ERR_TIMEOUT, "edge at %s: nothing has come within %d ms", p->address, timeout_ms);
    else if (rv == NNG_ECANCELED)
        cv_fail(err, CV_ERR_BUSY, "edge at %s: woken", p->address); /* look again why */
    else
        cv_nng_fail(err, rv, "edge at", p->address);
    return NULL;
}

bool cv_pull_recv(struct cv_pull *p, struct cv_msg **out, int timeout_ms, struct cv_error *err)
{
    const int64_t deadline = cv_deadline_ms(timeout_ms);
    for (;;) {
        struct cv_error why;
        nng_msg *m = next_message(p, cv_remaining_ms(deadline), &why);
        if (m == NULL) {
            if (why.code == CV_ERR_BUSY)
                continue;
            if (why.code == CV_ERR_TIMEOUT && timeout_ms > 0)
                return cv_fail(err, CV_ERR_TIMEOUT, "edge at %s: nothing has come within %d ms", p->address,
                               timeout_ms);
            return cv_fail(err, why.code, "%s", why.msg);
        }
        cv_net_got();
        pthread_mutex_lock(&p->lock);
        const int peer = p->peer;
        pthread_mutex_unlock(&p->lock);
        const bool from_peer = peer != 0 && nng_pipe_id(nng_msg_get_pipe(m)) == peer;
        if (from_peer && !cv_edge_bye_is(nng_msg_body(m), nng_msg_len(m))) {
            *out = (struct cv_msg *)m;
            return true;
        }
        if (from_peer)
            part(p);
        else if (peer == 0)
            meet(p, m);
        nng_msg_free(m);
    }
}

bool cv_pull_connected(const struct cv_pull *p)
{
    struct cv_pull *q = (struct cv_pull *)(uintptr_t)p; /* the lock is no part of its value */
    pthread_mutex_lock(&q->lock);
    bool yes = q->peer != 0 && !q->lost;
    pthread_mutex_unlock(&q->lock);
    return yes;
}

void cv_pull_shutdown(struct cv_pull *p)
{
    pthread_mutex_lock(&p->lock);
    p->shut = true;
    nng_aio_cancel(p->aio);
    pthread_mutex_unlock(&p->lock);
}

static void close_now(struct cv_net_retired *r)
{
    struct cv_pull *p = (struct cv_pull *)r;
    if (p->is_open)
        CV_NNG_CLOSE(p->socket);
    if (p->aio != NULL)
        nng_aio_free(p->aio);
    pthread_mutex_destroy(&p->lock);
    cv_free(p);
}

void cv_pull_close(struct cv_pull *p)
{
    if (p == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    p->lost = true; /* our own closing is no loss, and nobody is let in any more */
    pthread_mutex_unlock(&p->lock);
    if (p->is_open)
        cv_net_retire(&p->retired, close_now);
    else
        close_now(&p->retired);
}
