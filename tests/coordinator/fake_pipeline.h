/*
 * fake_pipeline.h - a pipeline without a model: a thread plays all stages behind real edges (inproc://).
 *
 * It keeps the tokens of each slot as the stages' memory would, checks every command and row against them, and answers
 * with logits that are a function of the slot's tokens and nothing else. So whatever the scheduler does with batches,
 * slots and epochs, a sequence's text has one right value: fake_expect.
 */
#ifndef CV_TESTS_COORDINATOR_FAKE_PIPELINE_H
#define CV_TESTS_COORDINATOR_FAKE_PIPELINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "coordinator/pipeline.h"
#include "text/sampler.h"

struct fake_slot {
    int32_t *token;
    uint32_t n;
};

struct fake {
    /* set before fake_start */
    uint32_t n_stage, n_slots, n_ctx, n_batch, n_vocab;
    unsigned delay_ms;     /* per batch */
    long die_after;        /* that many batches, the connection breaks; < 0: never */
    long error_after;      /* ... a stage reports an error */
    long silent_after;     /* ... nothing comes back any more */
    long garbage_after;    /* ... a result of another batch comes */
    /* results */
    atomic_uint n_bad;     /* batches that no stage would have taken */
    char bad[256];         /* the first of them */
    atomic_uint n_batches, n_rows, n_prompt_rows, most_rows;

    struct cv_pipeline pipeline;
    struct cv_pull *pull; /* the stages' end */
    struct cv_push *push;
    struct fake_slot *slot;
    pthread_t thread;
    bool started;
};

/* Zeroes f and fills in harmless values. */
void fake_init(struct fake *f, uint32_t n_vocab);
/* A new epoch with empty slots; f->pipeline is ready for cv_scheduler_epoch_begin. */
bool fake_start(struct fake *f, uint64_t epoch, struct cv_error *err);
/* After cv_scheduler_epoch_end. */
void fake_stop(struct fake *f);

/* The logits after token[0..n). */
void fake_logits(const int32_t *token, uint32_t n, uint32_t n_vocab, float *out);
/*
 * What a sampler picks from whole rows, at most max tokens, until an end of generation (which is not stored) or the
 * context's end. out holds max tokens; returns how many. prompt is not changed.
 */
uint32_t fake_expect(const int32_t *prompt, uint32_t n_prompt, const struct cv_sampling *sampling, uint32_t choice,
                     const struct cv_vocab *vocab, uint32_t n_ctx, uint32_t max, int32_t *out);

#endif
