/*
 * random_cluster.h - small random models and clusters, and the best plan found by trying everything.
 *
 * The costs are computed here a second time, straight from the formulas of docs/planning.md and without any table, so
 * that a mistake in partition/cost.c does not hide in both.
 */
#ifndef CV_TESTS_PARTITION_RANDOM_CLUSTER_H
#define CV_TESTS_PARTITION_RANDOM_CLUSTER_H

#include "partition/plan.h"

enum { RC_LAYERS = 96, RC_DEVICES = 80 };

struct random_cluster {
    struct cv_plan_model model;
    struct cv_plan_cluster cluster;
    struct cv_plan_goal goal;
    struct cv_plan_layer layer[RC_LAYERS];
    struct cv_plan_device device[RC_DEVICES];
    struct cv_plan_link link[(RC_DEVICES + 1) * (RC_DEVICES + 1)];
    char name[RC_DEVICES][16];
};

struct rc_options {
    uint32_t n_layer, n_device;
    double fill;      /* memory of all devices over what the model takes, about */
    bool links;       /* every link of its own */
    bool constraints; /* now and then a pin, an excluded node, a reserve, a bound on the stages */
    bool alike;       /* devices out of a few kinds */
};

void rc_make(struct random_cluster *r, const struct rc_options *o);

/* Costs, again. kind: 0 a token, 1 a batch, 2 a chunk. */
double rc_stage_time(const struct random_cluster *r, int kind, uint32_t dev, uint32_t first, uint32_t last);
double rc_edge_time(const struct random_cluster *r, int kind, uint32_t from, uint32_t to);
double rc_edge_busy(const struct random_cluster *r, int kind, uint32_t from, uint32_t to);
uint64_t rc_stage_bytes(const struct random_cluster *r, uint32_t first, uint32_t last);

/* The least score over all subsets, orders and cuts; infinity when nothing fits. Branches that already cost as much as
 * the best found so far are cut off; nothing else is. */
double rc_brute_force(const struct random_cluster *r);
/* The score of a plan, stage by stage. */
double rc_score(const struct random_cluster *r, const struct cv_plan *plan);

#endif
