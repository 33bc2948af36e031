/*
 * peer.h - control messages as typed questions and answers: the two ends of a call, with the codec in between.
 */
#ifndef CV_CLUSTER_PEER_H
#define CV_CLUSTER_PEER_H

#include "base/arena.h"
#include "base/error.h"
#include "proto/control.h"

struct cv_peer;     /* asks one address */
struct cv_answerer; /* answers at one */

/* address: "tcp://host:port" or "inproc://name". on_lost: see cv_caller_options. Returns at once. */
bool cv_peer_open(struct cv_peer **out, const char *address, const char *token, uint64_t session,
                  void (*on_lost)(void *ctx), void *ctx, struct cv_error *err);
/* r: kind and u filled in. The reply lives in arena. A refusal is an error with the peer's words. Any thread. */
bool cv_peer_ask(struct cv_peer *p, struct cv_ctl_request *r, struct cv_ctl_reply *reply, struct cv_arena *arena,
                 int timeout_ms, struct cv_error *err);
void cv_peer_shutdown(struct cv_peer *p); /* questions in progress fail with CV_ERR_CANCEL */
void cv_peer_close(struct cv_peer *p);    /* NULL is fine */

/* Fills in reply; whatever it points at lives in arena or longer. On a thread of the answerer; may block. */
typedef void cv_answer_fn(void *ctx, const struct cv_ctl_request *r, struct cv_ctl_reply *reply,
                          struct cv_arena *arena);

bool cv_answerer_open(struct cv_answerer **out, const char *address, const char *token, uint64_t session,
                      cv_answer_fn *fn, void *ctx, struct cv_error *err);
const char *cv_answerer_address(const struct cv_answerer *a); /* with the real port */
void cv_answerer_close(struct cv_answerer *a);                /* NULL is fine */

/* A random session number, never 0. */
bool cv_session_new(uint64_t *out, struct cv_error *err);

#endif
