/*
 * digest.h - who a model is: the SHA-256 of each tensor's bytes, and one digest over all of it.
 *
 * identity = SHA-256 over the header hash of each part (bytes [0, data_offset)) and every tensor's hash, in order. The
 * file is read once, with plain reads and a small buffer, and never mapped; the list is kept in a cache directory under
 * the file's path, size, time and inode, so that the second start costs nothing.
 */
#ifndef CV_REGISTRY_MIRROR_DIGEST_H
#define CV_REGISTRY_MIRROR_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"
#include "gguf/model.h"

struct cv_model_digest {
    unsigned char id[CV_SHA256_BYTES];
    char id_hex[CV_SHA256_HEX];
    size_t n_tensor;
    unsigned char (*tensor)[CV_SHA256_BYTES]; /* in the order of model->gguf->tensor */
    bool from_cache;
};

/* Called now and then on the calling thread; false stops: CV_ERR_CANCEL. */
typedef bool cv_digest_progress(void *ctx, uint64_t done_bytes, uint64_t all_bytes);

/* cache_dir: made if it is not there; NULL: no cache. A cache that cannot be written is no error.
 * Errors: CV_ERR_IO, CV_ERR_NOMEM, CV_ERR_CANCEL, CV_ERR_FORMAT (file shorter than its header says). */
bool cv_model_digest_get(struct cv_model_digest **out, const struct cv_model *m, const char *cache_dir,
                         cv_digest_progress *progress, void *ctx, struct cv_error *err);
void cv_model_digest_free(struct cv_model_digest *d); /* NULL is fine */

#endif
