/*
 * pipeline_sim.h - a discrete-event simulation of a plan at work: every stage and every edge serves one batch at a time,
 * in the order in which batches arrive; a delay passes beside it. Service times come from the formulas of
 * random_cluster.c, not from the plan's own figures, and shake by a few percent.
 */
#ifndef CV_TESTS_PARTITION_PIPELINE_SIM_H
#define CV_TESTS_PARTITION_PIPELINE_SIM_H

#include "tests/partition/random_cluster.h"

struct sim_options {
    double shake; /* 0.1: each service takes 0.9 to 1.1 of its time */
    uint64_t seed;
};

/* Seconds of one token of one user: the mean of n tokens one after the other. */
double sim_token(const struct random_cluster *r, const struct cv_plan *p, uint32_t n, const struct sim_options *o);
/* Tokens per second with so many batches of rows in flight, each sent again as soon as it is back; n batches each. */
double sim_throughput(const struct random_cluster *r, const struct cv_plan *p, uint32_t rows, uint32_t in_flight,
                      uint32_t n, const struct sim_options *o);
/* The same as the coordinator does it: n_slots users shared out over as many batches as there are stages, and one. */
double sim_served(const struct random_cluster *r, const struct cv_plan *p, uint32_t n, const struct sim_options *o);
/* Seconds until the last chunk of the long prompt is through. */
double sim_prompt(const struct random_cluster *r, const struct cv_plan *p, const struct sim_options *o);

#endif
