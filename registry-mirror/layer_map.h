/*
 * layer_map.h - what a model's folder holds: ranges that are on disk, tensors that were checked. Private.
 *
 * Text, a line each: "have PART FROM TO", "tensor PART OFFSET SIZE SHA256". Several processes may share the folder: a
 * save takes the lock file, adds what the others have saved meanwhile, and replaces the file atomically.
 */
#ifndef CV_REGISTRY_MIRROR_LAYER_MAP_H
#define CV_REGISTRY_MIRROR_LAYER_MAP_H

#include "base/buf.h"
#include "base/error.h"
#include "registry-mirror/intervals.h"
#include "registry-mirror/layer_cache.h"

struct cv_checked {
    uint32_t part;
    uint64_t offset, size_bytes;
    unsigned char sha256[CV_SHA256_BYTES];
};

struct cv_layer_map {          /* zeroed is empty */
    struct cv_intervals *have; /* by part */
    size_t n_part;
    struct cv_checked *checked; /* sorted by part and offset */
    size_t n_checked, cap_checked;
};

void cv_layer_map_fini(struct cv_layer_map *m);
/* The ranges of a part; NULL: no memory, or part out of bounds. */
struct cv_intervals *cv_layer_map_part(struct cv_layer_map *m, uint32_t part);
const struct cv_checked *cv_layer_map_find(const struct cv_layer_map *m, const struct cv_layer_tensor *t);
bool cv_layer_map_set_checked(struct cv_layer_map *m, const struct cv_layer_tensor *t);
/* Neither checked nor there. */
bool cv_layer_map_forget(struct cv_layer_map *m, const struct cv_layer_tensor *t);

/* Adds what dir/map says. One that is missing or damaged adds nothing. false: no memory. */
bool cv_layer_map_load(struct cv_layer_map *m, const char *dir, struct cv_error *err);
/* without: tensors found wrong, which another process may hold for right; NULL when n is 0. */
bool cv_layer_map_save(struct cv_layer_map *m, const char *dir, const struct cv_layer_tensor *const *without, size_t n,
                       struct cv_error *err);

#endif
