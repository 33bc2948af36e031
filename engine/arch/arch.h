/* arch.h - the model families: each turns metadata into a layer program. */
#ifndef CV_ENGINE_ARCH_ARCH_H
#define CV_ENGINE_ARCH_ARCH_H

#include "engine/program.h"

/* Writes the whole program of b->p->part; p->hp is read. Failures go through cv_build_fail. */
typedef void cv_arch_fn(struct cv_builder *b);

/* NULL: a family we do not have. */
cv_arch_fn *cv_arch_find(const char *name);

cv_arch_fn cv_arch_llama, cv_arch_qwen2, cv_arch_qwen3;

/*
 * The layer that most decoders share (arch/dense.c): norm, q k v, rope, attention, output, norm, gated feed-forward,
 * each half added to what came in.
 */
struct cv_dense {
    enum cv_rope_mode rope;
    bool qk_norm;      /* each head of q and k is normalized before rope */
    bool rope_factors; /* rope_freqs.weight may be there */
};

void cv_arch_dense(struct cv_builder *b, const struct cv_dense *d);
/* Fails if the key ARCH.KEY is there and not 0: a feature we would compute wrongly without. */
void cv_arch_refuse(struct cv_builder *b, const char *key, const char *feature);

#endif
