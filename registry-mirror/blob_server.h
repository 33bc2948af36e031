/*
 * blob_server.h - a model's bytes by digest, over HTTP with Range:
 *
 *   GET /blobs/sha256-<hex of the model's identity>/part/<n>
 *
 * An object without a socket: its owner hands it the requests of a server whose path begins with "/blobs/".
 */
#ifndef CV_REGISTRY_MIRROR_BLOB_SERVER_H
#define CV_REGISTRY_MIRROR_BLOB_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "gguf/model.h"
#include "net/http_server.h"
#include "registry-mirror/digest.h"

struct cv_blob_server;

/* Opens the model's parts for reading; m and d are not needed afterwards. */
bool cv_blob_server_new(struct cv_blob_server **out, const struct cv_model *m, const struct cv_model_digest *d,
                        struct cv_error *err);
void cv_blob_server_free(struct cv_blob_server *b); /* no server may hand it requests any more */
/* true: the path was ours, and the request has been answered. On the loop thread; does not block. */
bool cv_blob_server_handle(struct cv_blob_server *b, struct cv_http_request *r);
/* Fills a fetcher's URL: base is "http://host:port". Returns false when out is too small. */
bool cv_blob_url(char *out, size_t out_size, const char *base, const char *model_hex, uint32_t part);

#endif
