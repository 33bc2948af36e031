#include "coordinator/api_error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool cv_api_bad(struct cv_api_error *e, const char *param, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    *e = (struct cv_api_error){.status = 400, .param = param, .code = "invalid_value"};
    vsnprintf(e->message, sizeof(e->message), fmt, ap);
    va_end(ap);
    return false;
}

bool cv_api_refuse(struct cv_api_error *e, int status, const char *code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    *e = (struct cv_api_error){.status = status, .code = code};
    vsnprintf(e->message, sizeof(e->message), fmt, ap);
    va_end(ap);
    return false;
}

bool cv_api_from(struct cv_api_error *e, const struct cv_error *err)
{
    *e = (struct cv_api_error){.status = 500};
    snprintf(e->message, sizeof(e->message), "%s", err->msg);
    switch (err->code) {
    case CV_ERR_ARG:
    case CV_ERR_FORMAT:
    case CV_ERR_LIMIT:
    case CV_ERR_UNSUPPORTED:
        e->status = 400;
        e->code = err->code == CV_ERR_UNSUPPORTED ? "unsupported" : "invalid_value";
        break;
    case CV_ERR_AUTH:
        e->status = 401;
        break;
    case CV_ERR_NOT_FOUND:
        e->status = 404;
        break;
    case CV_ERR_BUSY:
    case CV_ERR_PEER:
    case CV_ERR_CANCEL: /* the server is stopping; a client that went away reads nothing */
        e->status = 503;
        break;
    case CV_ERR_TIMEOUT:
        e->status = 504;
        e->code = "timeout";
        break;
    default:
        break;
    }
    return false;
}

static const char *type_of(int status)
{
    switch (status) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 404:
        return "not_found_error";
    case 429:
        return "rate_limit_error";
    case 501:
        return "not_supported_error";
    case 503:
        return "unavailable_error";
    default:
        return status < 500 ? "invalid_request_error" : "server_error";
    }
}

static bool put_text(struct cv_buf *out, const char *key, const char *value)
{
    if (value == NULL)
        return cv_buf_printf(out, ",\"%s\":null", key);
    return cv_buf_printf(out, ",\"%s\":\"", key) && cv_buf_json(out, value, strlen(value)) && cv_buf_putc(out, '"');
}

bool cv_api_error_json(const struct cv_api_error *e, struct cv_buf *out)
{
    bool ok = cv_buf_puts(out, "{\"error\":{\"message\":\"") && cv_buf_json(out, e->message, strlen(e->message)) &&
              cv_buf_putc(out, '"') && put_text(out, "type", e->type != NULL ? e->type : type_of(e->status)) &&
              put_text(out, "param", e->param) && put_text(out, "code", e->code);
    if (ok && e->n_ctx != 0)
        ok = cv_buf_printf(out, ",\"n_prompt_tokens\":%u,\"n_ctx\":%u", e->n_prompt, e->n_ctx);
    return ok && cv_buf_puts(out, "}}");
}

void cv_api_reply_error(struct cv_http_request *r, const struct cv_api_error *e)
{
    struct cv_buf body;
    cv_buf_init(&body, 16384);
    if (e->status == 503 || e->status == 429)
        cv_http_add_header(r, "Retry-After", "2");
    if (cv_api_error_json(e, &body))
        cv_http_reply(r, e->status, "application/json", body.data, body.len);
    else
        cv_http_reply(r, 500, "text/plain", "out of memory\n", 14);
    cv_buf_fini(&body);
}
