/* call_server.c - answers calls: a few threads, each with a context of one REP socket. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/call.h"
#include "net/internal.h"
#include "net/nng_compat.h"
#include "net/seal.h"

enum { MAX_PARALLEL = 64 };

struct answerer {
    struct cv_call_server *server;
    pthread_t thread;
    bool started, has_ctx;
    nng_ctx ctx;
    nng_aio *aio;
};

struct cv_call_server {
    struct cv_net_retired retired; /* the first member */
    nng_socket socket;
    bool is_open;
    char address[CV_ADDRESS_TEXT];
    size_t max_bytes;
    cv_call_handler *handler;
    void *ctx;
    struct cv_seal *seal;
    struct answerer answerer[MAX_PARALLEL];
    unsigned n_answerers;
};

static nng_msg *sealed(struct cv_call_server *s, struct cv_seal_id id, enum cv_code code, const void *body, size_t len)
{
    nng_msg *m;
    if (nng_msg_alloc(&m, CV_SEAL_HEAD + len) != 0)
        return NULL;
    unsigned char *at = nng_msg_body(m);
    if (len != 0)
        memcpy(at + CV_SEAL_HEAD, body, len);
    cv_seal_answer(s->seal, at, at + CV_SEAL_HEAD, len, id, code);
    return m;
}

static nng_msg *refusal(struct cv_seal_id id, const struct cv_error *why)
{
    nng_msg *m;
    size_t len = strlen(why->msg);
    if (nng_msg_alloc(&m, CV_SEAL_HEAD + len) != 0)
        return NULL;
    unsigned char *at = nng_msg_body(m);
    cv_seal_refusal(at, id, why->code);
    memcpy(at + CV_SEAL_HEAD, why->msg, len);
    return m;
}

/* NULL: no memory, and the caller hears nothing until its timeout. */
static nng_msg *answer(struct cv_call_server *s, nng_msg *question)
{
    struct cv_seal_id id;
    struct cv_error err = {0};
    const void *body;
    size_t len;
    if (!cv_seal_open_question(s->seal, nng_msg_body(question), nng_msg_len(question), &body, &len, &id, &err)) {
        cv_log(CV_LOG_WARN, "%s: a call was refused: %s", s->address, err.msg);
        return refusal(id, &err);
    }
    struct cv_buf reply;
    cv_buf_init(&reply, s->max_bytes);
    nng_msg *m;
    if (s->handler(s->ctx, body, len, &reply, &err))
        m = sealed(s, id, CV_OK, reply.data, reply.len);
    else
        m = sealed(s, id, err.code != CV_OK ? err.code : CV_ERR_INTERNAL, err.msg, strlen(err.msg));
    cv_buf_fini(&reply);
    return m;
}

static void *answer_calls(void *arg)
{
    struct answerer *a = arg;
    for (;;) {
        nng_ctx_recv(a->ctx, a->aio);
        nng_aio_wait(a->aio);
        int rv = nng_aio_result(a->aio);
        if (rv == NNG_ECLOSED || rv == NNG_ECANCELED)
            return NULL;
        if (rv != 0)
            continue;
        cv_net_got();
        nng_msg *question = nng_aio_get_msg(a->aio);
        nng_aio_set_msg(a->aio, NULL);
        nng_msg *m = answer(a->server, question);
        nng_msg_free(question);
        if (m == NULL)
            continue;
        nng_aio_set_msg(a->aio, m);
        cv_net_give();
        nng_ctx_send(a->ctx, a->aio);
        nng_aio_wait(a->aio);
        if (nng_aio_result(a->aio) != 0)
            nng_msg_free(nng_aio_get_msg(a->aio)); /* the caller is gone */
        nng_aio_set_msg(a->aio, NULL);
    }
}

static bool start(struct cv_call_server *s, struct cv_error *err)
{
    for (unsigned i = 0; i < s->n_answerers; i++) {
        struct answerer *a = &s->answerer[i];
        a->server = s;
        int rv = nng_aio_alloc(&a->aio, NULL, NULL);
        if (rv == 0)
            rv = nng_ctx_open(&a->ctx, s->socket);
        if (rv != 0)
            return cv_nng_fail(err, rv, "answer calls at", s->address);
        a->has_ctx = true;
        int rc = pthread_create(&a->thread, NULL, answer_calls, a);
        if (rc != 0)
            return cv_fail_errno(err, rc, "start a thread");
        a->started = true;
    }
    return true;
}

bool cv_call_server_open(struct cv_call_server **out, const struct cv_call_server_options *options,
                         struct cv_error *err)
{
    struct cv_address where;
    if (!cv_address_parse(options->address, 0, &where, err))
        return false;
    if (options->token == NULL && !cv_address_is_loopback(&where))
        return cv_fail(err, CV_ERR_AUTH, "%s: without a join token calls are answered on loopback only",
                       options->address);
    struct cv_call_server *s = cv_zalloc(sizeof(*s));
    if (s == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for a call server");
    s->max_bytes =
        options->max_bytes != 0 && options->max_bytes < CV_MAX_CALL_BYTES ? options->max_bytes : CV_MAX_CALL_BYTES;
    s->handler = options->handler;
    s->ctx = options->ctx;
    s->n_answerers = options->n_parallel == 0             ? 4
                     : options->n_parallel > MAX_PARALLEL ? MAX_PARALLEL
                                                          : options->n_parallel;
    if (!cv_seal_new(&s->seal, options->token, err))
        goto fail;
    int rv = CV_NNG_INIT();
    if (rv == 0)
        rv = nng_rep0_open(&s->socket);
    if (rv != 0) {
        cv_nng_fail(err, rv, "answer calls at", options->address);
        goto fail;
    }
    s->is_open = true;
    rv = nng_socket_set_size(s->socket, NNG_OPT_RECVMAXSZ, s->max_bytes + CV_SEAL_HEAD + 64);
    if (rv != 0) {
        cv_nng_fail(err, rv, "answer calls at", options->address);
        goto fail;
    }
    if (!cv_nng_listen(s->socket, options->address, s->address, err) || !start(s, err))
        goto fail;
    *out = s;
    return true;
fail:
    cv_call_server_close(s);
    return false;
}

const char *cv_call_server_address(const struct cv_call_server *s)
{
    return s->address;
}

static void close_now(struct cv_net_retired *r)
{
    struct cv_call_server *s = (struct cv_call_server *)r;
    if (s->is_open)
        CV_NNG_CLOSE(s->socket);
    for (unsigned i = 0; i < s->n_answerers; i++) {
        if (s->answerer[i].aio != NULL)
            nng_aio_free(s->answerer[i].aio);
    }
    cv_seal_free(s->seal);
    cv_free(s);
}

void cv_call_server_close(struct cv_call_server *s)
{
    if (s == NULL)
        return;
    for (unsigned i = 0; i < s->n_answerers; i++) {
        if (s->answerer[i].has_ctx)
            nng_ctx_close(s->answerer[i].ctx);
    }
    for (unsigned i = 0; i < s->n_answerers; i++) {
        if (s->answerer[i].started)
            pthread_join(s->answerer[i].thread, NULL);
    }
    if (s->is_open)
        cv_net_retire(&s->retired, close_now);
    else
        close_now(&s->retired);
}
