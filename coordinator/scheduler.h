/*
 * scheduler.h - owns all sequences: makes batches of them, sends these through the pipeline, and takes the results.
 *
 * One thread. Others talk to it through its queue: submit and cancel from any thread, epochs from the control thread.
 * When an epoch ends, running sequences keep their tokens and are fed again from the beginning to the next one, so a
 * client's stream goes on where it stopped. While the next one is on its way, requests wait; while nobody knows how to
 * make one (cv_scheduler_hope), only until heal_timeout_ms have passed since the last one went silent.
 */
#ifndef CV_COORDINATOR_SCHEDULER_H
#define CV_COORDINATOR_SCHEDULER_H

#include "coordinator/generate.h"
#include "coordinator/pipeline.h"

struct cv_scheduler;

struct cv_scheduler_options {
    const struct cv_vocab *vocab; /* borrowed */
    uint32_t n_slots, n_ctx, n_batch;
    uint32_t max_waiting;      /* requests without a slot; more are refused: CV_ERR_BUSY */
    uint32_t heal_timeout_ms;  /* with no epoch in sight for so long, requests end with an error */
    uint32_t hope_timeout_ms;  /* the same with an epoch in sight */
    uint32_t batch_timeout_ms; /* a result overdue by so much ends the epoch */
    /* The epoch cannot go on. On the scheduler's thread; must not block. */
    void (*on_failure)(void *ctx, uint64_t epoch, const struct cv_error *why);
    void *ctx;
};

struct cv_scheduler_stats {
    uint64_t n_requests, n_failed, n_cancelled;          /* since the start */
    uint64_t n_prompt_tokens, n_cached_tokens, n_generated_tokens;
    uint64_t n_batches, n_rows, n_rerun_tokens;
    double prompt_s, generate_s; /* time requests spent in each, added up */
    uint32_t n_running, n_waiting, n_slots_busy, n_slots;
};

bool cv_scheduler_new(struct cv_scheduler **out, const struct cv_scheduler_options *options, struct cv_error *err);
/* Ends every request with an error; no epoch may be running. NULL is fine. */
void cv_scheduler_free(struct cv_scheduler *s);

/* Takes g on success (its sink will be told the end); on failure the caller still owns it. *id names it for cancel.
 * Errors: CV_ERR_BUSY (too many are waiting), CV_ERR_LIMIT (prompt past the context, more choices than slots). */
bool cv_scheduler_submit(struct cv_scheduler *s, struct cv_gen *g, uint64_t *id, struct cv_error *err);
/* The client went away: the slot is free at once. Harmless when the request is over. */
void cv_scheduler_cancel(struct cv_scheduler *s, uint64_t id);

/* Lends a connected pipeline, until epoch_end has returned. */
void cv_scheduler_epoch_begin(struct cv_scheduler *s, struct cv_pipeline *p);
/* Returns when the scheduler no longer touches the pipeline. why is what clients read if nothing heals. */
void cv_scheduler_epoch_end(struct cv_scheduler *s, const struct cv_error *why);

/* With no epoch running: is another on its way? From a fault on it is believed, until somebody says otherwise. */
void cv_scheduler_hope(struct cv_scheduler *s, bool there_is);

void cv_scheduler_stats(struct cv_scheduler *s, struct cv_scheduler_stats *out);
/* No request is running or waiting. */
bool cv_scheduler_idle(struct cv_scheduler *s);

#endif
