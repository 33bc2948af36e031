/*
 * edge.h - one direction between two stages for one epoch: PUSH dials, PULL listens. Opened once, closed once.
 *
 * The sender's first message is a HELLO (proto/batch.h) that names epoch and link and shows the secret; a listener takes
 * messages from the first peer that shows the right one and from no other. Nothing is repaired: an edge whose peer
 * went away stays broken, and the next epoch opens another. A send that succeeded proves nothing (the peer's death loses
 * what the kernel held); what counts is the result that comes back.
 *
 * A close says BYE, which the other side reports as CV_ERR_PEER; the socket itself is closed a little later (retire.c).
 * A peer of a closed PULL hears of it then, or, where the process ends, at once.
 *
 * Each edge is used by one thread at a time; the shutdown functions may be called by any other to wake that one, and
 * close comes when nobody uses the edge any more.
 */
#ifndef CV_NET_EDGE_H
#define CV_NET_EDGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "net/message.h"
#include "proto/batch.h"

struct cv_push;
struct cv_pull;

/* The peer is gone. Called once, on a thread of the transport or the one in recv: must not block, nor call into the edge.
 * A PULL that holds a message which nobody takes notices its peer's end only after that. */
typedef void cv_edge_lost_fn(void *ctx);

struct cv_push_options {
    const char *address; /* "tcp://host:port" or "inproc://name" */
    struct cv_edge_hello hello;
    unsigned send_buffer;     /* messages that may wait, 1..64; 0 means 2. Small: a slow stage pushes back at once. */
    cv_edge_lost_fn *on_lost; /* may be NULL */
    void *ctx;
};

/* Returns at once; the connection is made behind it (again every 50..500 ms until the peer listens). */
bool cv_push_open(struct cv_push **out, const struct cv_push_options *options, struct cv_error *err);
/* Takes m on success; on failure the caller still owns it. timeout_ms < 0 waits for ever.
 * Errors: CV_ERR_TIMEOUT, CV_ERR_PEER (gone), CV_ERR_CANCEL (shut down). */
bool cv_push_send(struct cv_push *p, struct cv_msg *m, int timeout_ms, struct cv_error *err);
/* Has the peer been reached, and is it still there? */
bool cv_push_connected(const struct cv_push *p);
/* A waiting send returns with CV_ERR_CANCEL, and so does every later one. */
void cv_push_shutdown(struct cv_push *p);
/* A message sent less than linger_ms ago gets the rest of that time to leave. NULL is fine. */
void cv_push_close(struct cv_push *p, int linger_ms);

struct cv_pull_options {
    const char *address;        /* "tcp://host:0" finds a free port by itself; "inproc://" a free name */
    struct cv_edge_hello hello; /* what the peer must show */
    size_t max_message_bytes;   /* cv_batch_max_bytes or cv_results_max_bytes; longer ones end the edge */
    cv_edge_lost_fn *on_lost;   /* of the accepted peer; may be NULL */
    void *ctx;
};

bool cv_pull_open(struct cv_pull **out, const struct cv_pull_options *options, struct cv_error *err);
/* With the real port or name. */
const char *cv_pull_address(const struct cv_pull *p);
/* The next message is the caller's. timeout_ms < 0 waits for ever, 0 does not wait.
 * Errors: CV_ERR_TIMEOUT; CV_ERR_PEER once the accepted peer is gone and what it sent before is taken;
 * CV_ERR_CANCEL (shut down). */
bool cv_pull_recv(struct cv_pull *p, struct cv_msg **out, int timeout_ms, struct cv_error *err);
bool cv_pull_connected(const struct cv_pull *p); /* the right peer is there (known once its HELLO was received) */
void cv_pull_shutdown(struct cv_pull *p);        /* a waiting recv returns with CV_ERR_CANCEL */
void cv_pull_close(struct cv_pull *p);           /* NULL is fine */

#endif
