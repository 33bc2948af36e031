/* internal.h - files and folders, as the parts of this folder use them. */
#ifndef CV_REGISTRY_MIRROR_INTERNAL_H
#define CV_REGISTRY_MIRROR_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"

/* Like mkdir -p. */
bool cv_make_dirs(const char *path, struct cv_error *err);
/* A whole file; CV_ERR_NOT_FOUND when it is not there, CV_ERR_LIMIT past out's bound. */
bool cv_read_file(const char *path, struct cv_buf *out, struct cv_error *err);
/* dir/name becomes data, or stays what it was: written beside it, synced, renamed. */
bool cv_replace_file(const char *dir, const char *name, const void *data, size_t n, struct cv_error *err);
/* Exactly n bytes at offset. */
bool cv_pread_all(int fd, void *out, size_t n, uint64_t offset, const char *path, struct cv_error *err);
/* SHA-256 of [offset, offset + n), in pieces. progress may be NULL; false stops: CV_ERR_CANCEL. */
struct cv_hash_job {
    struct cv_sha256 *hash;
    unsigned char *buffer;
    size_t buffer_bytes;
    bool (*progress)(void *ctx, uint64_t more_bytes);
    void *ctx;
};
bool cv_hash_job_init(struct cv_hash_job *j, struct cv_error *err);
void cv_hash_job_fini(struct cv_hash_job *j);
bool cv_hash_range(struct cv_hash_job *j, int fd, uint64_t offset, uint64_t n, const char *path,
                   unsigned char out[CV_SHA256_BYTES], struct cv_error *err);

#endif
