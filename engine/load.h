/* load.h - the weights of a program in memory: repacked matrices and f32 vectors in one block, tables in place. */
#ifndef CV_ENGINE_LOAD_H
#define CV_ENGINE_LOAD_H

#include "engine/device.h"
#include "engine/stage.h"

struct cv_weights {
    struct cv_loaded *item; /* one for each weight of the program */
    unsigned char *block;
    size_t block_bytes; /* as the allocator takes it */
};

bool cv_weights_measure(const struct cv_program *p, size_t *bytes, struct cv_error *err);
/* Errors as cv_stage_new. Packs with the pool (may be NULL). */
bool cv_weights_load(struct cv_weights *w, const struct cv_program *p, const struct cv_gguf *meta,
                     const struct cv_weight_source *source, struct cv_pool *pool,
                     const struct cv_load_progress *progress, struct cv_error *err);
void cv_weights_fini(struct cv_weights *w); /* a zeroed one is fine */

#endif
