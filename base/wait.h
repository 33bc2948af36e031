/*
 * wait.h - deadlines on the monotonic clock, and conditions that wait until one.
 *
 * A deadline is a moment in ms; CV_NEVER does not come. Waiting for several things in a row, or again after having been
 * woken for nothing, takes the same deadline each time.
 */
#ifndef CV_BASE_WAIT_H
#define CV_BASE_WAIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define CV_NEVER INT64_MAX

/* In timeout_ms from now; CV_NEVER for a negative one. */
int64_t cv_deadline_ms(int64_t timeout_ms);
/* What is left of it: 0 when it has passed, -1 for CV_NEVER. */
int cv_remaining_ms(int64_t deadline_ms);

/* A condition that waits by the monotonic clock; pthread_cond_destroy ends it. */
bool cv_cond_init(pthread_cond_t *c);
/* false when the deadline has passed. May also return true for nothing, as conditions do. */
bool cv_cond_wait(pthread_cond_t *c, pthread_mutex_t *m, int64_t deadline_ms);

#endif
