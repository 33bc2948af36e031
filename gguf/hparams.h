/*
 * hparams.h - a model's sizes, read once from its metadata and checked: what the engine computes with and what the
 * planner counts with are the same numbers.
 *
 * Names as in the GGUF keys. Works from a header alone; tensors need not be at hand.
 */
#ifndef CV_GGUF_HPARAMS_H
#define CV_GGUF_HPARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"
#include "gguf/gguf.h"

enum cv_rope_scaling { CV_ROPE_NONE, CV_ROPE_LINEAR, CV_ROPE_YARN, CV_ROPE_LONGROPE };

struct cv_hparams {
    char arch[32];        /* general.architecture */
    uint32_t n_layer;     /* block_count */
    uint32_t n_embd;      /* embedding_length */
    uint32_t n_vocab;     /* rows of token_embd.weight, else vocab_size, else number of tokens */
    uint32_t n_ctx_train; /* context_length */
    uint32_t n_head;      /* attention.head_count */
    uint32_t n_head_kv;   /* attention.head_count_kv; n_head when absent */
    uint32_t n_embd_head_k, n_embd_head_v; /* attention.key_length, value_length; n_embd / n_head when absent */
    uint32_t n_ff;        /* feed_forward_length */
    uint32_t n_rot;       /* rope.dimension_count; n_embd_head_k when absent */
    float norm_rms_eps;   /* attention.layer_norm_rms_epsilon */
    float rope_freq_base; /* rope.freq_base; 10000 when absent */
    enum cv_rope_scaling rope_scaling; /* rope.scaling.type; a bare rope.scale_linear counts as linear */
    float rope_factor;                 /* rope.scaling.factor */
    uint32_t rope_orig_ctx;            /* rope.scaling.original_context_length; n_ctx_train when absent */
    float yarn_ext_factor, yarn_attn_factor, yarn_beta_fast, yarn_beta_slow; /* rope.scaling.*, with their defaults */
    float yarn_log_mul;   /* rope.scaling.yarn_log_multiplier; 0 when absent */
    float attn_scale;     /* attention.scale; 0 = 1 / sqrt(n_embd_head_k) */
    bool varies;          /* n_head, n_head_kv or n_ff differ from layer to layer: the numbers here are the largest */
};

/* Errors: CV_ERR_FORMAT (missing or senseless), CV_ERR_LIMIT, CV_ERR_UNSUPPORTED (rope scaling of another type). A
 * recurrent family without attention has n_head = n_head_kv = 0; everywhere else they are at least 1. Knows the keys of every decoder family; a family that
 * the engine lacks is still read, so that a plan can be shown for it. */
bool cv_hparams_read(struct cv_hparams *out, const struct cv_gguf *g, struct cv_error *err);
/* The number of layer `layer` under the key ARCH.name, which may hold one number or one per layer; fallback when there
 * is no such key, too few elements, or no whole number. */
uint32_t cv_hparams_of_layer(const struct cv_hparams *h, const struct cv_gguf *g, const char *name, uint32_t layer,
                             uint32_t fallback);

#endif
