/* job.h - a request inside the scheduler: its choices, where it stands, how long it took. Scheduler's thread only. */
#ifndef CV_COORDINATOR_JOB_H
#define CV_COORDINATOR_JOB_H

#include "coordinator/sequence.h"

struct cv_job {
    struct cv_gen *gen;
    uint64_t id;
    struct cv_seq **seq; /* [gen->n_choices]; NULL until it has slots */
    uint32_t n_done;
    bool running; /* has slots */
    uint32_t n_cached;
    uint64_t arrived_ns, started_ns, first_token_ns; /* first_token_ns 0: none yet */
    struct cv_job *next;
};

struct cv_job *cv_job_new(struct cv_gen *gen, uint64_t id); /* takes gen; NULL: no memory, gen is still the caller's */
/* The sink's last call, then everything is freed. err NULL: it ended well. */
void cv_job_end(struct cv_job *j, const struct cv_error *err);
/* Milliseconds spent waiting, on the prompt, on the answer. */
struct cv_gen_usage cv_job_usage(const struct cv_job *j);

#endif
