/*
 * sizes.h - where a model's bytes lie: per layer, in the embedding, in the head. What the planner counts with.
 *
 * Works from a header alone. The bytes are those of the file; a device may round up (engine/stage.h measures that).
 */
#ifndef CV_GGUF_SIZES_H
#define CV_GGUF_SIZES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "gguf/gguf.h"
#include "gguf/hparams.h"

struct cv_layer_sizes {
    uint32_t n_tensor;
    uint64_t weight_bytes;   /* all tensors named blk.N. */
    uint64_t expert_bytes;   /* the part of them that belongs to routed experts */
    uint64_t n_weight;       /* elements of matrices */
    uint64_t n_weight_used;  /* of these, how many one row is multiplied with: of the experts only those that are used */
    uint32_t n_head;         /* of queries; 0 where the layer does not attend */
    uint32_t k_elems, v_elems; /* that one position leaves in the sequence memory; 0 where the layer does not attend */
};

struct cv_model_sizes {
    struct cv_layer_sizes *layer; /* [n_layer] */
    uint32_t n_layer;
    uint32_t n_expert, n_expert_used; /* 0: dense */
    uint64_t embd_bytes;              /* token_embd and what else stands before the first layer */
    uint64_t head_bytes;              /* the output matrix; a tied one counts the embedding's bytes */
    uint64_t output_norm_bytes;       /* and what else stands behind the last layer */
    uint64_t shared_bytes;            /* in no layer and needed by any stage (rope_freqs) */
    uint64_t total_bytes;             /* of the file: a tied head is not counted twice */
    uint64_t largest_tensor_bytes;
    bool tied; /* there is no output.weight */
};

/* The layers' array lives in arena. Errors: CV_ERR_FORMAT (a layer without tensors, or beyond block_count), CV_ERR_NOMEM. */
bool cv_model_sizes_make(struct cv_model_sizes *out, const struct cv_gguf *g, const struct cv_hparams *h,
                         struct cv_arena *arena, struct cv_error *err);

/* Bytes that one position leaves in the layer's sequence memory. CV_ERR_FORMAT when the rows are no whole blocks. */
bool cv_layer_kv_bytes(const struct cv_layer_sizes *l, enum cv_dtype kv, uint64_t *bytes, struct cv_error *err);

/* "blk.12.attn_q.weight" -> 12 and "attn_q.weight" (rest may be NULL); false: the tensor belongs to no layer. */
bool cv_tensor_layer(const char *name, uint32_t *layer, const char **rest);

#endif
