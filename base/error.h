/*
 * error.h - how a failure reaches the person who can fix it.
 *
 * A function that can fail returns bool, takes struct cv_error *err last, and writes it only when it returns false.
 * Whoever finds the fault says what it saw and what it expected; each caller that knows more wraps it.
 */
#ifndef CV_BASE_ERROR_H
#define CV_BASE_ERROR_H

#include <stdbool.h>

#include "base/compiler.h"

enum cv_code {
    CV_OK = 0,
    CV_ERR_NOMEM,       /* an allocation failed, or a memory budget is too small */
    CV_ERR_IO,          /* the operating system said no: open, read, write, bind */
    CV_ERR_FORMAT,      /* bytes from outside are not what they claim to be */
    CV_ERR_LIMIT,       /* well formed, but past a named maximum */
    CV_ERR_ARG,         /* a user or a caller asked for something that makes no sense */
    CV_ERR_UNSUPPORTED, /* understood, and not (yet) able to do it */
    CV_ERR_NOT_FOUND,
    CV_ERR_AUTH,
    CV_ERR_TIMEOUT,
    CV_ERR_PEER,   /* the other side went away or broke the protocol */
    CV_ERR_BUSY,   /* not now; try again */
    CV_ERR_CANCEL, /* we were told to stop */
    CV_ERR_INTERNAL
};

struct cv_error {
    enum cv_code code; /* what a program branches on: HTTP status, retry or not */
    char msg[512];     /* what a person reads, outermost context first */
};

/* Fill err (may be NULL) and return false, so that "return cv_fail(...)" reads well. */
bool cv_fail(struct cv_error *err, enum cv_code code, const char *fmt, ...) CV_PRINTF(3, 4);

/* Like cv_fail, with ": " and the text of errno_value appended. */
bool cv_fail_errno(struct cv_error *err, int errno_value, const char *fmt, ...) CV_PRINTF(3, 4);

/* Prepend "context: " to err's message; keeps the code; returns false. A message that gets too long loses its end. */
bool cv_wrap(struct cv_error *err, const char *fmt, ...) CV_PRINTF(2, 3);

/* Short lower-case name of a code, for logs: "nomem", "io", ... */
const char *cv_code_name(enum cv_code code);

#endif
