/* intervals.h - a set of bytes of a file, as sorted ranges that do not touch. Private to registry-mirror/. */
#ifndef CV_REGISTRY_MIRROR_INTERVALS_H
#define CV_REGISTRY_MIRROR_INTERVALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cv_interval {
    uint64_t from, to; /* [from, to) */
};

struct cv_intervals { /* zeroed is empty */
    struct cv_interval *at;
    size_t n, cap;
};

void cv_intervals_fini(struct cv_intervals *s);
/* Both false when there is no memory; the set is then as before. */
bool cv_intervals_add(struct cv_intervals *s, uint64_t from, uint64_t to);
bool cv_intervals_remove(struct cv_intervals *s, uint64_t from, uint64_t to);
bool cv_intervals_has(const struct cv_intervals *s, uint64_t from, uint64_t to);
/* The first gap in [from, to); false: there is none. */
bool cv_intervals_gap(const struct cv_intervals *s, uint64_t from, uint64_t to, struct cv_interval *out);

#endif
