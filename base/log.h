/*
 * log.h - one line per event on standard error: time, level, text.
 *
 * Set up in main before a thread starts; read-only afterwards. Any thread may log; a line is written in one piece.
 */
#ifndef CV_BASE_LOG_H
#define CV_BASE_LOG_H

#include <stdbool.h>

#include "base/compiler.h"

enum cv_log_level { CV_LOG_ERROR, CV_LOG_WARN, CV_LOG_INFO, CV_LOG_DEBUG };

/* name stands in every line ("coordinator", "worker pi-3"); borrowed for the life of the process. */
void cv_log_init(enum cv_log_level least, const char *name);
bool cv_log_parse_level(const char *text, enum cv_log_level *out); /* "error" "warn" "info" "debug" */
void cv_log(enum cv_log_level level, const char *fmt, ...) CV_PRINTF(2, 3);

#endif
