/*
 * http_server.h - HTTP/1.1 over evhttp: one event loop on a thread of its own, one handler, streams from any thread.
 *
 * A request object lives from the handler's call until it is answered: by cv_http_reply, by cv_http_reply_file, or by
 * cv_http_stream_begin ... cv_http_stream_end. It must be answered exactly once, also when its client is long gone (the
 * answer then goes nowhere), and is the server's again from that call on. The handler runs on the loop thread and must
 * not block; it may keep the request and let another thread answer. All answering functions may be called from any
 * thread, by one thread at a time for each request.
 */
#ifndef CV_NET_HTTP_SERVER_H
#define CV_NET_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct cv_http_server;
struct cv_http_request;

enum cv_http_method { CV_HTTP_GET, CV_HTTP_HEAD, CV_HTTP_POST, CV_HTTP_PUT, CV_HTTP_DELETE, CV_HTTP_OPTIONS };

struct cv_http_server_options {
    const char *address;     /* "host:port"; port 0: any free one */
    size_t max_body_bytes;   /* 413 beyond it; 0: CV_MAX_HTTP_BODY */
    size_t max_header_bytes; /* 400 beyond it; 0: CV_MAX_HTTP_HEADERS */
    size_t max_queued_bytes; /* of one stream; beyond it the client is cut off; 0: 4 MiB */
    unsigned idle_timeout_s; /* a silent connection without a request is closed; 0: 60 */
    void (*handler)(void *ctx, struct cv_http_request *r);
    void *ctx;
};

/* Errors: CV_ERR_IO (address in use or not ours), CV_ERR_ARG, CV_ERR_NOMEM. */
bool cv_http_server_open(struct cv_http_server **out, const struct cv_http_server_options *options,
                         struct cv_error *err);
const char *cv_http_server_address(const struct cv_http_server *s); /* "host:port" with the real port */
/* No new connections from now on; requests in progress go on. */
void cv_http_server_drain(struct cv_http_server *s);
/* Drains for at most drain_ms, then cuts what is left off (on_close fires), stops the loop. Every request must be
 * answered before this returns to a freed server: it waits for owners that have been told by on_close. NULL is fine. */
void cv_http_server_close(struct cv_http_server *s, unsigned drain_ms);

/* ---- what was asked; valid until answered ---- */

enum cv_http_method cv_http_method(const struct cv_http_request *r);
const char *cv_http_method_name(enum cv_http_method m);
const char *cv_http_path(const struct cv_http_request *r);                     /* decoded, without the query */
const char *cv_http_query(const struct cv_http_request *r, const char *name);  /* decoded value; NULL: absent */
const char *cv_http_header(const struct cv_http_request *r, const char *name); /* case ignored; NULL: absent */
const char *cv_http_peer(const struct cv_http_request *r);                     /* "127.0.0.1" */
/* The body in one piece. */
const void *cv_http_body(const struct cv_http_request *r, size_t *len);

/* ---- the client ---- */

/* fn is called once, on the loop thread, when the client goes away (also when it only closes its sending half) before
 * the answer is complete; at once if it has gone already. It must not block, and may answer. Not called any more once
 * the answering call has returned: that call waits for an fn in progress on another thread, so hold no lock then that
 * fn takes. */
void cv_http_on_close(struct cv_http_request *r, void (*fn)(void *ctx), void *ctx);
bool cv_http_gone(const struct cv_http_request *r);

/* ---- the answer ---- */

/* Before the answer begins; a header of that name given twice stands twice. Values with line breaks are dropped. */
void cv_http_add_header(struct cv_http_request *r, const char *name, const char *value);

/* The whole answer at once. body is copied. */
void cv_http_reply(struct cv_http_request *r, int status, const char *content_type, const void *body, size_t len);
/* {"error": ...} is the API's shape; this is plain text with the code's usual status: for everything else. */
void cv_http_reply_error(struct cv_http_request *r, const struct cv_error *e);
/* The status that fits a code: ARG 400, AUTH 401, NOT_FOUND 404, LIMIT 413, BUSY 503, TIMEOUT 504, ... */
int cv_http_status(enum cv_code code);

/* A file, or the part of it that the request's Range header asks for (200, 206 with Content-Range, or 416; If-Range is
 * respected), sent by the kernel without being copied. fd is borrowed (duplicated). etag: with its quotes, may be NULL.
 * HEAD gets the headers alone. */
void cv_http_reply_file(struct cv_http_request *r, int fd, uint64_t file_bytes, const char *content_type,
                        const char *etag);

/* Chunks as they come. false: the client is gone, or was cut off because more than max_queued_bytes were waiting; end is
 * called all the same. */
bool cv_http_stream_begin(struct cv_http_request *r, int status, const char *content_type);
bool cv_http_stream_write(struct cv_http_request *r, const void *data, size_t n);
/* Bytes written that the kernel has not taken yet: a producer that can pause does so past 64 KiB. */
size_t cv_http_stream_queued(const struct cv_http_request *r);
void cv_http_stream_end(struct cv_http_request *r);

#endif
