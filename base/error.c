#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool cv_fail(struct cv_error *err, enum cv_code code, const char *fmt, ...)
{
    if (err == NULL)
        return false;
    va_list ap;
    va_start(ap, fmt);
    err->code = code;
    vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    return false;
}

bool cv_fail_errno(struct cv_error *err, int errno_value, const char *fmt, ...)
{
    if (err == NULL)
        return false;
    va_list ap;
    va_start(ap, fmt);
    err->code = errno_value == ENOMEM ? CV_ERR_NOMEM : errno_value == ENOENT ? CV_ERR_NOT_FOUND : CV_ERR_IO;
    int n = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    size_t at = n < 0 ? 0 : (size_t)n;
    if (at + 3 < sizeof(err->msg)) {
        memcpy(err->msg + at, ": ", 3);
        /* POSIX strerror_r; the message is for people, so a failure to find one is no failure of ours. */
        if (strerror_r(errno_value, err->msg + at + 2, sizeof(err->msg) - at - 2) != 0)
            snprintf(err->msg + at + 2, sizeof(err->msg) - at - 2, "errno %d", errno_value);
    }
    return false;
}

bool cv_wrap(struct cv_error *err, const char *fmt, ...)
{
    if (err == NULL)
        return false;
    char inner[sizeof(err->msg)];
    memcpy(inner, err->msg, sizeof(inner));
    inner[sizeof(inner) - 1] = '\0';
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
    va_end(ap);
    size_t at = n < 0 ? 0 : (size_t)n;
    if (at + 3 > sizeof(err->msg))
        return false;
    memcpy(err->msg + at, ": ", 2);
    at += 2;
    size_t rest = strlen(inner), room = sizeof(err->msg) - 1 - at;
    memcpy(err->msg + at, inner, rest < room ? rest : room);
    err->msg[at + (rest < room ? rest : room)] = '\0';
    return false;
}

const char *cv_code_name(enum cv_code code)
{
    static const char *const name[] = {"ok",      "nomem", "io",   "format",  "limit", "arg",  "unsupported",
                                       "not_found", "auth",  "timeout", "peer",  "busy",  "cancel", "internal"};
    return (unsigned)code < CV_COUNT(name) ? name[code] : "unknown";
}
