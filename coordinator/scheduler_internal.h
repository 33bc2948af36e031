/*
 * scheduler_internal.h - the scheduler's own state and parts. All of it belongs to the scheduler's thread, except what
 * stands behind the lock and the atomics.
 *
 *   scheduler.c          the thread: events, epochs, times; what others call
 *   scheduler_jobs.c     requests: waiting, running, ended
 *   scheduler_batch.c    batches out, results in
 */
#ifndef CV_COORDINATOR_SCHEDULER_INTERNAL_H
#define CV_COORDINATOR_SCHEDULER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/limits.h"
#include "base/queue.h"
#include "coordinator/job.h"
#include "coordinator/scheduler.h"
#include "coordinator/slots.h"

/* A batch that is on its way: which sequence waits for which of its results. */
struct flight {
    uint64_t seq_no, sent_ms;
    uint32_t n_want;
    struct flight *next;
    struct {
        struct cv_seq *seq; /* NULL: it is gone */
        uint32_t slot, pos;
    } want[];
};

struct cv_scheduler {
    struct cv_scheduler_options o;
    struct cv_queue *events;
    pthread_t thread, receiver;
    bool thread_started;
    struct cv_slots *slots;
    struct cv_job *waiting, **waiting_last; /* in order of arrival */
    struct cv_job *running, **running_last;
    uint32_t turn; /* the sequence that is looked at first, so that nobody starves */

    struct cv_pipeline *pipeline; /* NULL: no epoch */
    bool receiver_started, broken;
    uint64_t down_since_ms; /* when the last epoch gave its last sign of life */
    uint64_t result_ms;     /* when the last result came */
    struct cv_error down_why;
    struct flight *first, **last;
    uint32_t n_flight;

    /* the batch being made */
    struct cv_cmd cmd[CV_MAX_BATCH_CMDS];
    uint32_t n_cmd;
    struct cv_row *row;
    struct cv_ask *ask;
    int32_t *id;
    uint32_t n_row, n_ask, n_id;
    struct cv_seq **asker;
    struct cv_candidate *whole; /* [n_vocab]: a whole row as candidates */

    atomic_uint_fast64_t next_id;
    atomic_uint n_waiting;
    atomic_bool hope;
    pthread_mutex_t lock; /* guards stats and released; a leaf */
    pthread_cond_t changed;
    struct cv_scheduler_stats stats;
    uint64_t released; /* how many epochs have been given back */
};

/* ---- scheduler_jobs.c ---- */

void cv_jobs_append(struct cv_job ***last, struct cv_job *j);
/* Tells the sink, frees the slots and the job. err NULL: it ended well. */
void cv_scheduler_end_job(struct cv_scheduler *s, struct cv_job *j, const struct cv_error *err);
void cv_scheduler_end_all(struct cv_scheduler *s, const struct cv_error *err);
/* Gives the next request its slots, or ends it with an error. false: none waits, or it has to wait on. */
bool cv_scheduler_start_next(struct cv_scheduler *s);

/* ---- scheduler_batch.c ---- */

/* A message that came back: samples, tells the sinks, ends what is over. false: the epoch is broken. */
bool cv_scheduler_take_results(struct cv_scheduler *s, struct cv_msg *m, struct cv_error *err);
/* Chooses the rows of the next batch; false: there is nothing to run. */
bool cv_scheduler_fill_batch(struct cv_scheduler *s);
bool cv_scheduler_send_batch(struct cv_scheduler *s, struct cv_error *err);

#endif
