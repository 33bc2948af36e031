#include "cluster/peer.h"

#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/call.h"

struct cv_peer {
    struct cv_caller *caller;
    uint64_t session;
};

struct cv_answerer {
    struct cv_call_server *server;
    uint64_t session;
    cv_answer_fn *fn;
    void *ctx;
};

bool cv_peer_open(struct cv_peer **out, const char *address, const char *token, uint64_t session,
                  void (*on_lost)(void *ctx), void *ctx, struct cv_error *err)
{
    struct cv_peer *p = cv_zalloc(sizeof(*p));
    if (p == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "%s: out of memory", address);
    p->session = session;
    const struct cv_caller_options options = {.address = address, .token = token, .on_lost = on_lost, .ctx = ctx};
    if (!cv_caller_open(&p->caller, &options, err)) {
        cv_free(p);
        return false;
    }
    *out = p;
    return true;
}

bool cv_peer_ask(struct cv_peer *p, struct cv_ctl_request *r, struct cv_ctl_reply *reply, struct cv_arena *arena,
                 int timeout_ms, struct cv_error *err)
{
    struct cv_buf question, answer;
    cv_buf_init(&question, CV_MAX_CALL_BYTES);
    cv_buf_init(&answer, CV_MAX_CALL_BYTES);
    r->session = p->session;
    bool ok = cv_ctl_request_encode(r, &question, err) &&
              cv_call(p->caller, question.data, question.len, &answer, timeout_ms, err) &&
              cv_ctl_reply_decode(reply, answer.data, answer.len, arena, err);
    cv_buf_fini(&answer);
    cv_buf_fini(&question);
    return ok ? cv_ctl_reply_check(reply, r->kind, err) : cv_wrap(err, "%s", cv_ctl_kind_name(r->kind));
}

void cv_peer_shutdown(struct cv_peer *p)
{
    cv_caller_shutdown(p->caller);
}

void cv_peer_close(struct cv_peer *p)
{
    if (p == NULL)
        return;
    cv_caller_close(p->caller);
    cv_free(p);
}

static bool answer(void *ctx, const void *request, size_t len, struct cv_buf *reply, struct cv_error *err)
{
    struct cv_answerer *a = ctx;
    struct cv_arena arena = {.max_bytes = 2 * (size_t)CV_MAX_CALL_BYTES};
    struct cv_ctl_request r;
    struct cv_ctl_reply out;
    bool ok = cv_ctl_request_decode(&r, request, len, &arena, err);
    if (ok) {
        a->fn(a->ctx, &r, &out, &arena);
        out.session = a->session;
        ok = cv_ctl_reply_encode(&out, reply, err);
    }
    cv_arena_fini(&arena);
    return ok;
}

bool cv_answerer_open(struct cv_answerer **out, const char *address, const char *token, uint64_t session,
                      cv_answer_fn *fn, void *ctx, struct cv_error *err)
{
    struct cv_answerer *a = cv_zalloc(sizeof(*a));
    if (a == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "%s: out of memory", address);
    *a = (struct cv_answerer){.session = session, .fn = fn, .ctx = ctx};
    const struct cv_call_server_options options = {.address = address, .token = token, .handler = answer, .ctx = a};
    if (!cv_call_server_open(&a->server, &options, err)) {
        cv_free(a);
        return false;
    }
    *out = a;
    return true;
}

const char *cv_answerer_address(const struct cv_answerer *a)
{
    return cv_call_server_address(a->server);
}

void cv_answerer_close(struct cv_answerer *a)
{
    if (a == NULL)
        return;
    cv_call_server_close(a->server);
    cv_free(a);
}

bool cv_session_new(uint64_t *out, struct cv_error *err)
{
    do {
        if (!cv_random_bytes(out, sizeof(*out)))
            return cv_fail(err, CV_ERR_IO, "the system has no random numbers for us");
    } while (*out == 0);
    return true;
}
