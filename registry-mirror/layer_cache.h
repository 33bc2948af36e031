/*
 * layer_cache.h - the worker's side: the bytes of its own layers, fetched once, checked, kept.
 *
 *   DIR/<model hex>/part-0.bin ...   sparse files, the model's own offsets
 *   DIR/<model hex>/map              what is there: ranges on disk, tensors checked; replaced atomically after an fsync
 *
 * A crash loses at most what came since the last map; a tensor counts as held only when its SHA-256 was right. Several
 * processes may share a folder: what one has fetched the others find. Each object is owned by one thread.
 */
#ifndef CV_REGISTRY_MIRROR_LAYER_CACHE_H
#define CV_REGISTRY_MIRROR_LAYER_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"

struct cv_layer_cache; /* of one model */

struct cv_layer_tensor {
    const char *name; /* for messages */
    uint32_t part;
    uint64_t offset; /* in the part's file */
    uint64_t size_bytes;
    unsigned char sha256[CV_SHA256_BYTES];
};

/* Makes the folders. Errors: CV_ERR_IO, CV_ERR_NOMEM. A damaged map is an empty one. */
bool cv_layer_cache_open(struct cv_layer_cache **out, const char *dir, const unsigned char model[CV_SHA256_BYTES],
                         struct cv_error *err);
void cv_layer_cache_close(struct cv_layer_cache *c); /* unmaps; NULL is fine */

struct cv_layer_ensure {
    const struct cv_layer_tensor *tensor;
    size_t n_tensor;
    const char *const *source; /* base URLs, tried in order: "http://host:port" */
    size_t n_source;
    unsigned n_connections; /* 0: 4 */
    /* On the calling thread: bytes of the tensors asked for that are there, of all, and fetched now; false stops:
     * CV_ERR_CANCEL. May be NULL. */
    bool (*progress)(void *ctx, uint64_t done_bytes, uint64_t all_bytes, uint64_t fetched_bytes);
    void *ctx;
    const atomic_bool *cancel; /* may be NULL */
};

/*
 * All tensors are there and right when this returns true; *fetched_bytes (may be NULL) came over the network for it.
 * A tensor with a wrong hash is fetched again from the next source. Errors name the tensor or the source: CV_ERR_PEER,
 * CV_ERR_FORMAT (wrong hash everywhere), CV_ERR_IO (disk full: says how much was needed), CV_ERR_CANCEL.
 */
bool cv_layer_cache_ensure(struct cv_layer_cache *c, const struct cv_layer_ensure *what, uint64_t *fetched_bytes,
                           struct cv_error *err);

/* The bytes of a checked tensor, mapped; NULL: not there. Borrowed until close. Tensors' offsets are their own file's. */
const void *cv_layer_cache_data(struct cv_layer_cache *c, const struct cv_layer_tensor *t);
/* Its pages may leave memory again (after repacking). */
void cv_layer_cache_drop_pages(struct cv_layer_cache *c, const struct cv_layer_tensor *t);

/* Checked bytes of each model under dir: what a HELLO tells. The list is cv_free'd by the caller. */
struct cv_layer_held {
    unsigned char model[CV_SHA256_BYTES];
    uint64_t bytes;
};
bool cv_layer_cache_list(const char *dir, struct cv_layer_held **out, size_t *n, struct cv_error *err);
/* The usual place: $CARAVAN_CACHE, else $XDG_CACHE_HOME/caravan, else ~/.cache/caravan. false: no home. */
bool cv_cache_dir(char *out, size_t out_size);

#endif
