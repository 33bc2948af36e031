/*
 * stage.h - one stage of a model on one device: layers [layer_first, layer_last), perhaps the embedding and the head,
 * and the sequence memory of those layers.
 *
 * A stage is a pure function of the commands and rows it has been fed (base/flow.h), in order. A row's result depends on
 * that row's inputs and its sequence alone: not on the rest of the batch, nor on the thread count, nor on where the
 * layers are cut. Owned by one thread (the worker's step thread); the pool below is its own.
 */
#ifndef CV_ENGINE_STAGE_H
#define CV_ENGINE_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/flow.h"
#include "base/pool.h"
#include "gguf/dtype.h"
#include "gguf/gguf.h"

struct cv_stage;

struct cv_stage_spec {
    uint32_t layer_first, layer_last; /* [first, last) */
    bool has_embd;                    /* rows come as tokens; without it as carry */
    bool has_head;                    /* wanted rows leave as logits; without it all rows leave as carry */
    uint32_t n_slots;                 /* sequences held at once */
    uint32_t n_ctx;                   /* positions of one sequence */
    uint32_t n_batch;                 /* rows of one step, at most */
    enum cv_dtype kv_type;            /* F32 or F16 */
    uint32_t n_threads;               /* cv_stage_measure: of the pool there will be; 0 = cv_cpu_count() */
};

/*
 * Chooses the kernels (bits of cv_isa_detect, engine/cpu/matrix.h) for this process. Without it the first stage takes
 * all the processor has. While no stage steps.
 */
void cv_engine_init(unsigned isa);

/*
 * Where the packed bytes of a tensor come from. get returns borrowed bytes of exactly t->size_bytes, valid until done
 * is called for the same tensor (after it was repacked) or, for tensors that stay in place, until the stage is freed.
 */
struct cv_weight_source {
    void *ctx;
    bool (*get)(void *ctx, const struct cv_gguf_tensor *t, const void **data, struct cv_error *err);
    void (*done)(void *ctx, const struct cv_gguf_tensor *t); /* may be NULL */
};

/* Called on the loading thread after each tensor; done_bytes of all_bytes are loaded. false stops: CV_ERR_CANCEL. */
struct cv_load_progress {
    void *ctx;
    bool (*report)(void *ctx, uint64_t done_bytes, uint64_t all_bytes); /* may be NULL */
};

/* What a stage takes, in bytes, as the allocator will really take it. */
struct cv_stage_memory {
    uint64_t weights; /* repacked; an embedding without a tied head stays where its source has it and is not counted */
    uint64_t kv;      /* n_slots sequences of n_ctx positions, all pages in use */
    uint64_t work;    /* buffers for the largest step */
};

/*
 * meta: metadata of the model and a directory that holds at least the stage's tensors; borrowed for the call only.
 * Errors: CV_ERR_UNSUPPORTED (architecture, weight type: named), CV_ERR_FORMAT (missing tensor, wrong shape),
 * CV_ERR_NOMEM, CV_ERR_CANCEL, and what the source says.
 */
bool cv_stage_new(struct cv_stage **out, const struct cv_gguf *meta, const struct cv_weight_source *source,
                  const struct cv_stage_spec *spec, struct cv_pool *pool, const struct cv_load_progress *progress,
                  struct cv_error *err);
void cv_stage_free(struct cv_stage *s);

/* The same arithmetic without loading anything. */
bool cv_stage_measure(const struct cv_gguf *meta, const struct cv_stage_spec *spec, struct cv_stage_memory *out,
                      struct cv_error *err);

/* What a stage has taken; the pages of the sequence memory are touched only as they come into use. */
void cv_stage_taken(const struct cv_stage *s, struct cv_stage_memory *out);

/* Is this tensor one of the stage's? (By name; what a worker has to fetch.) */
bool cv_stage_needs(const struct cv_gguf *meta, const struct cv_stage_spec *spec, const char *tensor_name);

struct cv_step {
    const struct cv_cmd *cmd; /* obeyed before the rows, in order */
    uint32_t n_cmd;
    const struct cv_row *row;
    uint32_t n_row;        /* <= n_batch; 0 is fine */
    const float *carry_in; /* [n_row][n_embd]; unused with has_embd */
    float *carry_out;      /* [n_row][n_embd]; unused with has_head. May be carry_in. */
    float *logits;         /* [number of wanted rows][n_vocab], in the order of the rows; unused without has_head */
};

/*
 * One step. Errors: CV_ERR_ARG for a command or row that breaks the rules (slot out of range, a gap in the positions,
 * past n_ctx, token outside the vocabulary), CV_ERR_NOMEM when the pages are used up. After an error the state is as
 * before the step for rows, but commands before the faulty one have been obeyed: the epoch is to be ended.
 */
bool cv_stage_step(struct cv_stage *s, const struct cv_step *step, struct cv_error *err);

uint32_t cv_stage_n_embd(const struct cv_stage *s);
uint32_t cv_stage_n_vocab(const struct cv_stage *s);
/* How many positions a slot holds; 0 for an empty or unused one. */
uint32_t cv_stage_slot_len(const struct cv_stage *s, uint32_t slot);
/* The program as text, a line per operation: what the model computes. */
bool cv_stage_print(const struct cv_stage *s, struct cv_buf *out);

#endif
