/*
 * pipeline.h - one epoch as the scheduler sees it: batches go in at one end, results come out at the other.
 *
 * Made by the control thread (life.c) when every stage is connected; lent to the scheduler until the epoch ends.
 */
#ifndef CV_COORDINATOR_PIPELINE_H
#define CV_COORDINATOR_PIPELINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "net/edge.h"
#include "proto/result.h"

struct cv_pipeline {
    uint64_t epoch;
    uint64_t next_seq; /* of the next batch sent */
    struct cv_push *push;
    struct cv_pull *pull;
    uint32_t n_stage, n_slots, n_ctx, n_batch, n_vocab;
};

/* Sends b (its sections are copied) under the next sequence number. Errors: as cv_push_send. */
bool cv_pipeline_send(struct cv_pipeline *p, const struct cv_batch *b, struct cv_error *err);
/* Checks a message that came back; a stage's ERROR becomes err. *out borrows m. */
bool cv_pipeline_read(const struct cv_pipeline *p, struct cv_msg *m, struct cv_results *out, struct cv_error *err);
/* The largest message that may come back. */
size_t cv_pipeline_max_result(uint32_t n_slots, uint32_t n_vocab);

#endif
