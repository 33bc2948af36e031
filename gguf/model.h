/*
 * model.h - a model on disk: one GGUF file or all parts of a split one (NAME-00001-of-00003.gguf), seen as one.
 *
 * Two ways to open: CV_MODEL_MAP maps every part, so that weights can be read in place; CV_MODEL_HEADER reads only the
 * headers, for a coordinator that never holds weights (memory stays at the size of the metadata).
 */
#ifndef CV_GGUF_MODEL_H
#define CV_GGUF_MODEL_H

#include "base/arena.h"
#include "base/error.h"
#include "base/map.h"
#include "gguf/gguf.h"

enum cv_model_mode { CV_MODEL_MAP, CV_MODEL_HEADER };

struct cv_model_part {
    char *path;
    size_t len;         /* of the file */
    size_t data_offset; /* of its data section */
    struct cv_map map;  /* CV_MODEL_MAP only */
};

struct cv_model {
    struct cv_gguf *gguf; /* metadata of the first part, tensors of all (their field part says where) */
    struct cv_model_part *part;
    size_t n_part;
    uint64_t n_params; /* sum of all tensors' elements */
    uint64_t n_bytes;  /* sum of all tensors' bytes */
    struct cv_arena arena;
    void *header; /* CV_MODEL_HEADER: the bytes that gguf borrows */
};

/* path: a .gguf file; of a split model any part. Errors name the file. */
bool cv_model_open(struct cv_model **out, const char *path, enum cv_model_mode mode, struct cv_error *err);
void cv_model_close(struct cv_model *m); /* NULL is fine */
/* The packed bytes of a tensor (CV_MODEL_MAP). Borrowed from the map. */
const void *cv_model_tensor_data(const struct cv_model *m, const struct cv_gguf_tensor *t);

#endif
