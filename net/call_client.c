/* call_client.c - asks: one REQ socket, one question at a time. Its lock is a leaf; NNG's callbacks take it and return. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "net/call.h"
#include "net/internal.h"
#include "net/nng_compat.h"
#include "net/seal.h"

struct cv_caller {
    struct cv_net_retired retired; /* the first member */
    nng_socket socket;
    bool is_open;
    nng_aio *aio; /* of the question in progress */
    char address[CV_ADDRESS_TEXT];
    size_t max_bytes;
    struct cv_seal *seal;
    void (*on_lost)(void *ctx);
    void *ctx;
    bool has_turn;
    pthread_cond_t turn;  /* the question in progress is done */
    pthread_mutex_t lock; /* guards what follows, and that an operation begins only on a living caller */
    bool busy, shut;
    int pipe; /* id of the connection; 0: none */
};

static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    struct cv_caller *c = arg;
    const int id = nng_pipe_id(pipe);
    cv_net_got();
    bool lost = false;
    pthread_mutex_lock(&c->lock);
    if (event == NNG_PIPE_EV_ADD_POST) {
        c->pipe = id;
    } else if (event == NNG_PIPE_EV_REM_POST && id == c->pipe) {
        c->pipe = 0;
        lost = !c->shut;
    }
    pthread_mutex_unlock(&c->lock);
    if (lost && c->on_lost != NULL)
        c->on_lost(c->ctx);
}

bool cv_caller_open(struct cv_caller **out, const struct cv_caller_options *options, struct cv_error *err)
{
    struct cv_caller *c = cv_zalloc(sizeof(*c));
    if (c == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for a caller");
    pthread_mutex_init(&c->lock, NULL);
    snprintf(c->address, sizeof(c->address), "%s", options->address);
    c->max_bytes =
        options->max_bytes != 0 && options->max_bytes < CV_MAX_CALL_BYTES ? options->max_bytes : CV_MAX_CALL_BYTES;
    c->on_lost = options->on_lost;
    c->ctx = options->ctx;
    c->has_turn = cv_cond_init(&c->turn);
    if (!c->has_turn) {
        cv_fail(err, CV_ERR_INTERNAL, "no condition variable");
        goto fail;
    }
    if (!cv_seal_new(&c->seal, options->token, err))
        goto fail;
    int rv = CV_NNG_INIT();
    if (rv == 0)
        rv = nng_aio_alloc(&c->aio, NULL, NULL);
    if (rv == 0)
        rv = nng_req0_open(&c->socket);
    if (rv != 0) {
        cv_nng_fail(err, rv, "call", c->address);
        goto fail;
    }
    c->is_open = true;
    rv = nng_socket_set_size(c->socket, NNG_OPT_RECVMAXSZ, c->max_bytes + CV_SEAL_HEAD + 64);
    if (rv == 0)
        rv = nng_pipe_notify(c->socket, NNG_PIPE_EV_ADD_POST, on_pipe, c);
    if (rv == 0)
        rv = nng_pipe_notify(c->socket, NNG_PIPE_EV_REM_POST, on_pipe, c);
    if (rv != 0) {
        cv_nng_fail(err, rv, "call", c->address);
        goto fail;
    }
    cv_net_give();
    if (!cv_nng_dial(c->socket, c->address, err))
        goto fail;
    *out = c;
    return true;
fail:
    cv_caller_close(c);
    return false;
}

static bool take_turn(struct cv_caller *c, int64_t deadline, int timeout_ms, struct cv_error *err)
{
    bool in_time = true;
    pthread_mutex_lock(&c->lock);
    while (c->busy && !c->shut && in_time)
        in_time = cv_cond_wait(&c->turn, &c->lock, deadline);
    const bool shut = c->shut, mine = !c->busy && !shut;
    c->busy = c->busy || mine;
    pthread_mutex_unlock(&c->lock);
    if (shut)
        return cv_fail(err, CV_ERR_CANCEL, "calls to %s are shut down", c->address);
    return mine || cv_fail(err, CV_ERR_TIMEOUT, "another call to %s took all of %d ms", c->address, timeout_ms);
}

static void end_turn(struct cv_caller *c)
{
    pthread_mutex_lock(&c->lock);
    c->busy = false;
    pthread_cond_signal(&c->turn);
    pthread_mutex_unlock(&c->lock);
}

enum step { SEND, RECEIVE };

/* One half of a call; NNG's result. Begun under the lock, so that a shutdown finds it. */
static int transfer(struct cv_caller *c, enum step step, int64_t deadline)
{
    pthread_mutex_lock(&c->lock);
    const bool shut = c->shut;
    if (!shut) {
        cv_net_give();
        int left = cv_remaining_ms(deadline);
        nng_aio_set_timeout(c->aio, left < 0 ? NNG_DURATION_INFINITE : left > 0 ? left : 1);
        if (step == SEND)
            CV_NNG_SEND_AIO(c->socket, c->aio);
        else
            CV_NNG_RECV_AIO(c->socket, c->aio);
    }
    pthread_mutex_unlock(&c->lock);
    if (shut)
        return NNG_ECANCELED;
    nng_aio_wait(c->aio);
    cv_net_got();
    return nng_aio_result(c->aio);
}

static bool failed(struct cv_caller *c, int rv, int timeout_ms, struct cv_error *err)
{
    if (rv == NNG_ETIMEDOUT && !cv_caller_connected(c))
        return cv_fail(err, CV_ERR_TIMEOUT, "no connection to %s within %d ms", c->address, timeout_ms);
    if (rv == NNG_ETIMEDOUT)
        return cv_fail(err, CV_ERR_TIMEOUT, "no answer from %s within %d ms", c->address, timeout_ms);
    return cv_nng_fail(err, rv, "call", c->address);
}

static bool read_answer(struct cv_caller *c, nng_msg *m, struct cv_seal_id id, struct cv_buf *reply,
                        struct cv_error *err)
{
    const void *body;
    size_t len;
    enum cv_code code;
    if (!cv_seal_open_answer(c->seal, nng_msg_body(m), nng_msg_len(m), id, &body, &len, &code, err))
        return cv_wrap(err, "%s", c->address);
    if (code != CV_OK) {
        const char *text = body;
        size_t n = cv_utf8_valid_prefix(text, len < sizeof(err->msg) ? len : sizeof(err->msg) - 1);
        return cv_fail(err, code, "%.*s", (int)n, text);
    }
    return cv_buf_append(reply, body, len) ||
           cv_fail(err, CV_ERR_LIMIT, "%s: answer of %zu bytes, there is room for %zu", c->address, len,
                   reply->max - reply->len);
}

static bool ask(struct cv_caller *c, const void *request, size_t len, struct cv_buf *reply, int64_t deadline,
                int timeout_ms, struct cv_error *err)
{
    nng_msg *m;
    struct cv_seal_id id;
    int rv = nng_msg_alloc(&m, CV_SEAL_HEAD + len);
    if (rv != 0)
        return cv_nng_fail(err, rv, "call", c->address);
    unsigned char *at = nng_msg_body(m);
    if (len != 0)
        memcpy(at + CV_SEAL_HEAD, request, len);
    cv_seal_question(c->seal, at, at + CV_SEAL_HEAD, len, &id);
    nng_aio_set_msg(c->aio, m);
    rv = transfer(c, SEND, deadline);
    nng_aio_set_msg(c->aio, NULL);
    if (rv != 0) {
        nng_msg_free(m);
        return failed(c, rv, timeout_ms, err);
    }
    rv = transfer(c, RECEIVE, deadline);
    if (rv != 0)
        return failed(c, rv, timeout_ms, err);
    m = nng_aio_get_msg(c->aio);
    nng_aio_set_msg(c->aio, NULL);
    bool ok = read_answer(c, m, id, reply, err);
    nng_msg_free(m);
    return ok;
}

bool cv_call(struct cv_caller *c, const void *request, size_t len, struct cv_buf *reply, int timeout_ms,
             struct cv_error *err)
{
    const int64_t deadline = cv_deadline_ms(timeout_ms);
    if (len > c->max_bytes)
        return cv_fail(err, CV_ERR_LIMIT, "%s: question of %zu bytes, the limit is %zu", c->address, len, c->max_bytes);
    if (!take_turn(c, deadline, timeout_ms, err))
        return false;
    bool ok = ask(c, request, len, reply, deadline, timeout_ms, err);
    end_turn(c);
    return ok;
}

bool cv_caller_connected(const struct cv_caller *c)
{
    struct cv_caller *d = (struct cv_caller *)(uintptr_t)c; /* the lock is no part of its value */
    pthread_mutex_lock(&d->lock);
    bool yes = d->pipe != 0;
    pthread_mutex_unlock(&d->lock);
    return yes;
}

void cv_caller_shutdown(struct cv_caller *c)
{
    pthread_mutex_lock(&c->lock);
    c->shut = true;
    nng_aio_cancel(c->aio);
    pthread_cond_broadcast(&c->turn);
    pthread_mutex_unlock(&c->lock);
}

static void close_now(struct cv_net_retired *r)
{
    struct cv_caller *c = (struct cv_caller *)r;
    if (c->is_open)
        CV_NNG_CLOSE(c->socket);
    if (c->aio != NULL)
        nng_aio_free(c->aio);
    if (c->has_turn)
        pthread_cond_destroy(&c->turn);
    cv_seal_free(c->seal);
    pthread_mutex_destroy(&c->lock);
    cv_free(c);
}

void cv_caller_close(struct cv_caller *c)
{
    if (c == NULL)
        return;
    if (c->is_open) {
        cv_caller_shutdown(c);
        cv_net_retire(&c->retired, close_now);
    } else {
        close_now(&c->retired);
    }
}
