/*
 * buf.h - a growable run of bytes that is told its largest size at birth.
 *
 * data is always NUL-terminated behind len (once anything was appended), so text can be used as a C string.
 */
#ifndef CV_BASE_BUF_H
#define CV_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

struct cv_buf {
    char *data;
    size_t len, cap;
    size_t max; /* bytes; an append past it fails and changes nothing */
};

void cv_buf_init(struct cv_buf *b, size_t max);
void cv_buf_fini(struct cv_buf *b);
void cv_buf_clear(struct cv_buf *b); /* len = 0; keeps the memory */
/* All false when the bound is reached or memory is out; the buffer is then as before. */
bool cv_buf_reserve(struct cv_buf *b, size_t more);
bool cv_buf_append(struct cv_buf *b, const void *data, size_t n);
bool cv_buf_puts(struct cv_buf *b, const char *s);
bool cv_buf_putc(struct cv_buf *b, char c);
bool cv_buf_printf(struct cv_buf *b, const char *fmt, ...) CV_PRINTF(2, 3);
/* s[0..n) as the inside of a JSON string: quotes not included; bytes that are not UTF-8 become U+FFFD. */
bool cv_buf_json(struct cv_buf *b, const char *s, size_t n);
/* Drop the first n bytes. */
void cv_buf_shift(struct cv_buf *b, size_t n);
/* The memory is the caller's now (cv_free); the buffer is empty. NULL if nothing was ever appended. */
char *cv_buf_take(struct cv_buf *b);

#endif
