/* map.h - a file mapped into memory, read-only. A file that shrinks under us is a SIGBUS: we say so in the README. */
#ifndef CV_BASE_MAP_H
#define CV_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct cv_map {
    const unsigned char *data; /* NULL when not open */
    size_t len;
};

bool cv_map_open(struct cv_map *m, const char *path, struct cv_error *err);
void cv_map_close(struct cv_map *m); /* a zeroed one is fine */
/* The pages of [offset, offset + n) may leave memory; they are read again from the file when touched. */
void cv_map_drop(const struct cv_map *m, size_t offset, size_t n);
/* [offset, offset + n) will be read soon, in order. */
void cv_map_will_need(const struct cv_map *m, size_t offset, size_t n);

#endif
