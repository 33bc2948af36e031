/* size.h - sizes as people write them: "512M", "3.5G", "8GiB", "1000000". Units are powers of 1024. */
#ifndef CV_BASE_SIZE_H
#define CV_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { CV_SIZE_TEXT = 16 };

bool cv_size_parse(const char *text, uint64_t *bytes, struct cv_error *err);
/* "3.5 GiB", "812 MiB", "17 B"; out has CV_SIZE_TEXT bytes; returns out. */
const char *cv_size_format(uint64_t bytes, char *out);

#endif
