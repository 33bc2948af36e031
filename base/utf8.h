/* utf8.h - strict UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing past U+10FFFF. */
#ifndef CV_BASE_UTF8_H
#define CV_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the character at s (1..4) and its code point; 0 if s[0..n) does not begin with a whole valid one. */
size_t cv_utf8_decode(const char *s, size_t n, uint32_t *cp);
/* Writes 1..4 bytes; 0 if cp is no scalar value. */
size_t cv_utf8_encode(uint32_t cp, char out[4]);
/* Offset of the first byte that is not valid UTF-8; n if all is. */
size_t cv_utf8_valid_prefix(const char *s, size_t n);
/* How many bytes at the end of s are the beginning of a character that may still be completed (0..3). */
size_t cv_utf8_open_tail(const char *s, size_t n);

#endif
