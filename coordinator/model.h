/*
 * model.h - the model that is served, as far as the coordinator knows it: header, sizes, vocabulary, chat template.
 *
 * Never the weights: with --no-local this process stays small whatever the file's size. Read-only once opened.
 */
#ifndef CV_COORDINATOR_MODEL_H
#define CV_COORDINATOR_MODEL_H

#include "gguf/hparams.h"
#include "gguf/model.h"
#include "gguf/sizes.h"
#include "partition/plan.h"
#include "proto/control.h"
#include "registry-mirror/digest.h"
#include "text/template.h"
#include "text/tokenize.h"
#include "text/vocab.h"

struct cv_served_options {
    const char *path;
    const char *id;       /* what clients call it; NULL: the file's name without .gguf and part number */
    uint32_t n_ctx;       /* positions of one sequence; 0: what it was trained for, at most 4096 */
    uint32_t n_slots;     /* sequences at once */
    uint32_t n_batch;     /* rows of the largest step; 0: 512 */
    enum cv_dtype kv_type; /* F16 or F32 */
    bool carry_f32;       /* activations travel unrounded */
    const char *cache_dir; /* for the digests; NULL: none is kept */
};

struct cv_served {
    char *path, *id;
    struct cv_model *file;
    struct cv_hparams hparams;
    struct cv_model_sizes sizes;
    struct cv_vocab *vocab;
    struct cv_template *chat;   /* NULL: the model has none; chat_why says what is wrong with the one it has */
    struct cv_error chat_why;
    char *bos_text, *eos_text;  /* for the template */
    uint32_t n_ctx, n_slots, n_batch;
    enum cv_dtype kv_type;
    enum cv_carry carry;
    struct cv_plan_model plan; /* what the planner counts with */
    struct cv_model_digest *digest; /* NULL until cv_served_digest; needed for workers that fetch */
    int64_t created; /* the file's time, seconds since 1970 */
    struct cv_arena arena;
};

bool cv_served_open(struct cv_served **out, const struct cv_served_options *options, struct cv_error *err);
void cv_served_close(struct cv_served *m); /* NULL is fine */
/* Reads the whole file once (or finds the list in cache_dir). Control thread. */
bool cv_served_digest(struct cv_served *m, const char *cache_dir, cv_digest_progress *progress, void *ctx,
                      struct cv_error *err);

/*
 * The LOAD for one stage: which tensors, their bytes' places and hashes, and a header with the metadata that the engine
 * needs (no tokenizer) and a directory of these tensors alone. Strings and arrays live in arena. local: the worker opens
 * the file itself, and no digests are needed.
 */
bool cv_served_order(const struct cv_served *m, const struct cv_plan_stage *stage, bool local, struct cv_ctl_load *out,
                     struct cv_arena *arena, struct cv_error *err);

#endif
