/*
 * stop.h - stop strings in a stream of text.
 *
 * Holds back what may be the beginning of a stop string, and no more; never lets any byte of one through. The earliest
 * end wins, among stop strings that end at the same byte the longest. Time is linear in the text, whatever the strings.
 */
#ifndef CV_TEXT_STOP_H
#define CV_TEXT_STOP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/error.h"

struct cv_stop;

/* Copies the strings. Errors: CV_ERR_ARG (an empty one), CV_ERR_LIMIT (too many or too long), CV_ERR_NOMEM. n = 0 is fine. */
bool cv_stop_new(struct cv_stop **out, const char *const *text, size_t n, struct cv_error *err);
void cv_stop_free(struct cv_stop *s); /* NULL is fine */
/*
 * Appends to out what of the text so far is certain not to belong to a stop string. *hit: index of the stop string that
 * was completed, or -1. After a hit everything that follows is swallowed. false: out is full or memory is out.
 */
bool cv_stop_push(struct cv_stop *s, const char *text, size_t n, struct cv_buf *out, int *hit);
/* Nothing more comes: what was held back appears after all. */
bool cv_stop_finish(struct cv_stop *s, struct cv_buf *out);

#endif
