/*
 * slots.h - the sequences' places on the stages, and what each still holds of the one before.
 *
 * A slot that falls free keeps its memory until somebody needs it: a request that begins with the same tokens (the next
 * turn of a chat) goes on from there. Because a row's result does not depend on how it was batched, this changes no text.
 */
#ifndef CV_COORDINATOR_SLOTS_H
#define CV_COORDINATOR_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/flow.h"

struct cv_slots;

bool cv_slots_new(struct cv_slots **out, uint32_t n, struct cv_error *err);
void cv_slots_free(struct cv_slots *s);
uint32_t cv_slots_n_free(const struct cv_slots *s);

/*
 * The free slot that shares most with token[0..n), else the one unused for longest; it is busy now. *n_kept positions of
 * it can be kept (less than n: the last token has to run); cmd is what to tell the stages. One slot at least is free.
 */
uint32_t cv_slots_take(struct cv_slots *s, const int32_t *token, uint32_t n, uint32_t *n_kept, struct cv_cmd *cmd);
/* The sequence is over; the stages hold token[0..n_fed) of it. */
void cv_slots_give(struct cv_slots *s, uint32_t slot, const int32_t *token, uint32_t n_fed);
/* The stages are new: nobody holds anything. Busy slots stay busy. */
void cv_slots_forget(struct cv_slots *s);

#endif
