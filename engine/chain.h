/*
 * chain.h - a whole model in one process, as one stage or as several in a row.
 *
 * What tests and `caravan bench` compute with: the same stages that workers run, without a network between them. Owned
 * by one thread, like the stages.
 */
#ifndef CV_ENGINE_CHAIN_H
#define CV_ENGINE_CHAIN_H

#include "engine/stage.h"
#include "gguf/model.h"

struct cv_chain;

struct cv_chain_spec {
    uint32_t n_stage; /* 0 and 1: one; never more than layers; cut as evenly as can be */
    uint32_t n_slots, n_ctx, n_batch;
    enum cv_dtype kv_type;
};

bool cv_chain_new(struct cv_chain **out, const struct cv_gguf *meta, const struct cv_weight_source *source,
                  const struct cv_chain_spec *spec, struct cv_pool *pool, const struct cv_load_progress *progress,
                  struct cv_error *err);
void cv_chain_free(struct cv_chain *c); /* NULL is fine */
/* As cv_stage_step with embedding and head: carry_in and carry_out are not used. */
bool cv_chain_step(struct cv_chain *c, const struct cv_step *step, struct cv_error *err);
uint32_t cv_chain_n_vocab(const struct cv_chain *c);
uint32_t cv_chain_n_stage(const struct cv_chain *c);
struct cv_stage *cv_chain_stage(struct cv_chain *c, uint32_t i); /* borrowed */

/* The tensors of a mapped model (CV_MODEL_MAP). Pages are dropped as soon as a tensor is repacked. m is borrowed. */
struct cv_weight_source cv_model_weights(struct cv_model *m);

#endif
