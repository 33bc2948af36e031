/*
 * http_client.h - HTTP requests over libcurl: one at a time, or many ranges of large files at once.
 *
 * Calls block; any thread may make them. cv_http_client_init comes first, in main.
 */
#ifndef CV_NET_HTTP_CLIENT_H
#define CV_NET_HTTP_CLIENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

/* Once per process, before threads are started. Tests may call it again. */
bool cv_http_client_init(struct cv_error *err);

struct cv_http_ask {
    const char *method;        /* NULL: GET */
    const char *url;           /* http:// or https:// */
    const char *const *header; /* "Name: value", NULL-terminated; may be NULL */
    const void *body;
    size_t body_len;
    bool has_range;
    uint64_t range_first, range_last; /* inclusive; the answer must then be a 206 of exactly these bytes */
    unsigned connect_timeout_ms;      /* 0: 5000 */
    unsigned timeout_ms;              /* the whole request; 0: none, then stall_s guards it */
    unsigned stall_s;                 /* fewer than 1 KiB/s for so long is an error; 0: 30 */
    size_t max_body_bytes;            /* of the answer, when it is collected; 0: 64 MiB */
    /* Takes the answer's bytes as they come instead of their being collected; false cancels. May be NULL. */
    bool (*on_data)(void *ctx, const void *data, size_t n);
    void *ctx;
    const atomic_bool *cancel; /* set by another thread: CV_ERR_CANCEL within a second; may be NULL */
};

struct cv_http_answer { /* zeroed is empty */
    int status;
    struct cv_buf body; /* unless on_data took it */
    char content_type[128];
    char etag[128];
    uint64_t index; /* X-Consul-Index; 0: absent */
};

/* true: there was an answer, whatever its status. Errors: CV_ERR_IO, CV_ERR_PEER (no connection, broke off),
 * CV_ERR_TIMEOUT, CV_ERR_CANCEL, CV_ERR_LIMIT. */
bool cv_http_do(const struct cv_http_ask *ask, struct cv_http_answer *out, struct cv_error *err);
void cv_http_answer_fini(struct cv_http_answer *a);

/* ---- many ranges at once ---- */

struct cv_http_range {
    const char *url;
    uint64_t offset, len; /* len > 0 */
};

struct cv_http_ranges_options {
    unsigned n_connections; /* at once; 0: 4 */
    unsigned
        n_retries; /* of one range, with pauses of 100, 200, 400 ... ms; 0: 4. What has arrived is not asked for again. */
    unsigned stall_s; /* 0: 30 */
    /* All on the calling thread. data belongs at offset of range i's file; false stops everything with CV_ERR_CANCEL
     * or, when the callback set it, with err. */
    bool (*on_data)(void *ctx, size_t i, uint64_t offset, const void *data, size_t n, struct cv_error *err);
    /* All bytes of range i have been given out; may be NULL. */
    bool (*on_done)(void *ctx, size_t i, struct cv_error *err);
    void *ctx;
    const atomic_bool *cancel;
};

/* Every byte of every range is given out exactly once. Fails at the first range whose retries are used up; *failed (may
 * be NULL) then says which. Only a 206 with the right Content-Range counts. */
bool cv_http_fetch_ranges(const struct cv_http_range *range, size_t n, const struct cv_http_ranges_options *options,
                          size_t *failed, struct cv_error *err);

#endif
