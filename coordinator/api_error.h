/* api_error.h - errors in OpenAI's shape: {"error":{"message","type","param","code"}}. */
#ifndef CV_COORDINATOR_API_ERROR_H
#define CV_COORDINATOR_API_ERROR_H

#include "base/buf.h"
#include "base/error.h"
#include "net/http_server.h"

struct cv_api_error {
    int status;        /* 400, 401, 404, 429, 500, 503 ... */
    const char *type;  /* "invalid_request_error" ...; NULL: what fits the status */
    const char *param; /* the field that is wrong; NULL: none */
    const char *code;  /* "context_length_exceeded" ...; NULL: none */
    char message[600];
    unsigned n_prompt, n_ctx; /* both told when n_ctx is not 0: a prompt past the context */
};

/* All return false. param and code are borrowed for as long as e lives: string constants. */
bool cv_api_bad(struct cv_api_error *e, const char *param, const char *fmt, ...) CV_PRINTF(3, 4); /* 400 */
bool cv_api_refuse(struct cv_api_error *e, int status, const char *code, const char *fmt, ...) CV_PRINTF(4, 5);
/* A failure inside, as a client should read it. */
bool cv_api_from(struct cv_api_error *e, const struct cv_error *err);

/* Appends the body; false: out is full. */
bool cv_api_error_json(const struct cv_api_error *e, struct cv_buf *out);
/* Answers r with it; 503 and 429 carry Retry-After. */
void cv_api_reply_error(struct cv_http_request *r, const struct cv_api_error *e);

#endif
