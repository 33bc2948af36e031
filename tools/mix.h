/*
 * mix.h - which type each tensor of a model gets: one type for all matrices, or a mix that spends more bits where they
 * count.
 *
 * Q4_K_M and Q5_K_M give Q6_K to the output matrix (or the embedding that stands in for it), and to attn_v and ffn_down
 * of the layers that feel rounding most: the first eighth, the last eighth, and every third between.
 */
#ifndef CV_TOOLS_MIX_H
#define CV_TOOLS_MIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gguf/dtype.h"

struct cv_mix {
    const char *name;
    enum cv_dtype base;
    bool more;          /* spends more bits on some tensors */
    uint32_t file_type; /* general.file_type */
};

/* By name, case ignored; NULL: no such mix. */
const struct cv_mix *cv_mix_find(const char *name);
/* "F32 F16 ...", for help texts. */
const char *cv_mix_names(void);
/* The type of one tensor. Vectors, norms and routers stay F32; a row that is no multiple of the block gets the next
 * larger type that fits. tied: there is no output.weight. */
enum cv_dtype cv_mix_type(const struct cv_mix *mix, const char *tensor, const size_t *dim, uint32_t n_dim,
                          uint32_t n_layer, bool tied);

#endif
