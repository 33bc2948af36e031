/*
 * call.h - a question and its answer, with a deadline: the transport of the control plane.
 *
 * What is asked must be idempotent: the transport may deliver a question twice. With a join token every message carries
 * proof of it in both directions (net/seal.h); without one a server listens on loopback only.
 */
#ifndef CV_NET_CALL_H
#define CV_NET_CALL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"

struct cv_call_server;
struct cv_caller;

/* Answers one question on a thread of the server's own; may block (the caller waits, and one of n_parallel with it).
 * reply is empty and bounded; false sends err's code and text instead, which the caller's cv_call then fails with. */
typedef bool cv_call_handler(void *ctx, const void *request, size_t len, struct cv_buf *reply, struct cv_error *err);

struct cv_call_server_options {
    const char *address; /* "tcp://host:port", port 0: any free one; "inproc://name" */
    const char *token;   /* NULL: none, loopback and inproc only */
    size_t max_bytes;    /* of one message; 0: CV_MAX_CALL_BYTES */
    unsigned n_parallel; /* questions answered at once; 0 means 4 */
    cv_call_handler *handler;
    void *ctx;
};

/* Errors: CV_ERR_IO (address in use), CV_ERR_AUTH (an address beyond loopback without a token), CV_ERR_NOMEM. */
bool cv_call_server_open(struct cv_call_server **out, const struct cv_call_server_options *options,
                         struct cv_error *err);
const char *cv_call_server_address(const struct cv_call_server *s); /* with the real port */
/* Waits for the handlers that are running. The address becomes free for other processes about half a second later
 * (retire.c). NULL is fine. */
void cv_call_server_close(struct cv_call_server *s);

struct cv_caller_options {
    const char *address;        /* "tcp://host:port" or "inproc://name" */
    const char *token;          /* NULL: none */
    size_t max_bytes;           /* of one answer; 0: CV_MAX_CALL_BYTES */
    void (*on_lost)(void *ctx); /* the connection closed; on a thread of the transport, must not block; may be NULL */
    void *ctx;
};

/* Returns at once; the connection is made behind it, and made again when it is lost. */
bool cv_caller_open(struct cv_caller **out, const struct cv_caller_options *options, struct cv_error *err);
/*
 * Ask and wait for the answer, which is appended to reply. Any thread; one question at a time, others wait their turn
 * (within their own timeout). Errors: CV_ERR_TIMEOUT (says whether there was a connection at all), CV_ERR_AUTH,
 * CV_ERR_CANCEL, CV_ERR_LIMIT, and what the handler failed with.
 */
bool cv_call(struct cv_caller *c, const void *request, size_t len, struct cv_buf *reply, int timeout_ms,
             struct cv_error *err);
bool cv_caller_connected(const struct cv_caller *c);
void cv_caller_shutdown(struct cv_caller *c); /* calls in progress and later ones fail with CV_ERR_CANCEL */
void cv_caller_close(struct cv_caller *c);    /* no call may be in progress; NULL is fine */

#endif
