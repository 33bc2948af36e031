/*
 * internal.h - what the files of the planner share: the tables of cost, and the search over classes of devices.
 */
#ifndef CV_PARTITION_INTERNAL_H
#define CV_PARTITION_INTERNAL_H

#include "partition/plan.h"

enum { COST_PAGE = 64 /* positions of a page of sequence memory */ };

enum cost_kind {
    COST_TOKEN, /* one row */
    COST_BATCH, /* goal.rows rows of as many sequences */
    COST_CHUNK, /* n_batch rows of one prompt, without the head */
    COST_KINDS
};

/*
 * What is minimized: alpha times the sum of u over stages and edges, plus beta times the largest v of them. Every goal
 * has this form.
 */
struct weights {
    enum cost_kind u, v;
    double alpha, beta;
};

/*
 * Every cost that the search looks at, as prefix sums over the layers: layers [a, b) on device d take
 * t[kind][d * (n + 1) + b] - t[kind][d * (n + 1) + a]. Lives in an arena; borrows model and cluster.
 */
struct costs {
    const struct cv_plan_model *model;
    const struct cv_plan_cluster *cluster;
    struct cv_plan_goal goal; /* defaults filled in */
    uint32_t n, n_dev;
    struct weights w;
    uint32_t n_chunk; /* chunks of the long prompt */
    double chunk_rows;
    uint64_t *mem;     /* [n + 1] weights and sequence memory */
    uint64_t *weights; /* [n + 1] */
    uint64_t work[4];  /* [has_embd + 2 * has_head] */
    uint64_t *usable;  /* [n_dev] memory without the reserve; 0 for an excluded device */
    double *t[COST_KINDS];
    double *embd[COST_KINDS], *head[COST_KINDS]; /* [n_dev]; head[COST_CHUNK] is that of one row, counted once */
    double *move;                                /* [n_dev * (n + 1)] prefix sums of the price of fetching */
    double *move_embd, *move_head;
    struct cv_plan_link *link; /* [(n_dev + 1)^2] all filled in */
};

/* input.c: is there anything in it that makes no sense? */
bool cv_plan_input_check(const struct cv_plan_model *m, const struct cv_plan_cluster *c, const struct cv_plan_goal *g,
                         struct cv_error *err);
bool cv_plan_costs_make(struct costs *k, const struct cv_plan_model *model, const struct cv_plan_cluster *cluster,
                        const struct cv_plan_goal *goal, struct cv_arena *arena, struct cv_error *err);
/* Time of a stage without its edges; the head of a chunk is not in it. */
double cv_plan_stage_time(const struct costs *k, enum cost_kind kind, uint32_t dev, uint32_t first, uint32_t last);
/* The same and an edge for any number of rows of as many sequences, computed afresh. */
double cv_plan_rows_stage(const struct costs *k, double rows, uint32_t dev, uint32_t first, uint32_t last);
double cv_plan_rows_busy(const struct costs *k, double rows, uint32_t from, uint32_t to);
/* Bytes that pass from one device to the next (n_dev: the coordinator). */
double cv_plan_edge_bytes(const struct costs *k, enum cost_kind kind, uint32_t from, uint32_t to);
double cv_plan_edge_time(const struct costs *k, enum cost_kind kind, uint32_t from, uint32_t to);
double cv_plan_edge_busy(const struct costs *k, enum cost_kind kind, uint32_t from, uint32_t to);
uint64_t cv_plan_stage_total(const struct costs *k, uint32_t first, uint32_t last);
bool cv_plan_stage_fits(const struct costs *k, uint32_t dev, uint32_t first, uint32_t last);

/* What a stage or an edge adds to the sum, and what it needs at most. */
double cv_plan_u_stage(const struct costs *k, uint32_t dev, uint32_t first, uint32_t last);
double cv_plan_u_edge(const struct costs *k, uint32_t from, uint32_t to);
double cv_plan_v_stage(const struct costs *k, uint32_t dev, uint32_t first, uint32_t last);
double cv_plan_v_edge(const struct costs *k, uint32_t from, uint32_t to);

/* One candidate: devices in order with their cuts; stage i has layers [cut[i], cut[i + 1]). */
struct chain {
    uint32_t n;
    uint32_t *dev; /* [n], room for all devices */
    uint32_t *cut; /* [n + 1], cut[0] == 0 */
    double sum;    /* of u */
    double max;    /* of v */
    double score;
};
bool cv_plan_chain_new(struct chain *c, uint32_t n_dev, struct cv_arena *arena, struct cv_error *err);
void cv_plan_chain_copy(struct chain *to, const struct chain *from);
/* Fills in sum, max, score from dev and cut. */
void cv_plan_chain_score(const struct costs *k, struct chain *c);

/* Devices that the search cannot tell apart, in classes. A pinned device is a class of its own. */
struct classes {
    uint32_t n;
    uint32_t *first; /* [n] a member */
    uint32_t *count; /* [n] */
    uint32_t *of;    /* [n_dev] class of a device; CV_PLAN_NONE: not usable at all */
};
bool cv_plan_classes_make(struct classes *s, const struct costs *k, struct cv_arena *arena, struct cv_error *err);

/* Does every pinned device hold its layers? */
bool cv_plan_pins_hold(const struct costs *k, const struct classes *s);

/* exact.c: dynamic programming over (how many of each class are used, the last class, layers placed). */
struct exact;
/* False with CV_ERR_LIMIT when the table would be too large: use cv_plan_improve then. */
bool cv_plan_exact_new(struct exact **out, const struct costs *k, const struct classes *s, struct cv_arena *arena,
                       struct cv_error *err);
void cv_plan_exact_free(struct exact *x);
/* The least sum of u with every v <= max_v and sum < max_sum; false if there is none. */
bool cv_plan_exact_sum(struct exact *x, double max_v, double max_sum, struct chain *out);
/* Any chain with every v <= max_v. */
bool cv_plan_exact_reach(struct exact *x, double max_v, struct chain *out);
/* No chain with every v <= max_v has a smaller sum of u: a quick look, without the table. */
double cv_plan_exact_bound(struct exact *x, double max_v);
/* Steps of work done so far: our clock. */
uint64_t cv_plan_exact_work(const struct exact *x);

/* search.c: the least score, by bisecting over the largest v. found is false when nothing fits. */
bool cv_plan_search(const struct costs *k, const struct classes *s, struct chain *best, double *lower_bound,
                    bool *found, struct cv_arena *arena, struct cv_error *err);

/* improve.c: for clusters that exact.c cannot hold. max_work 0: only the orders it starts from. found is false when no order that was tried fits. */
bool cv_plan_improve(const struct costs *k, const struct classes *s, uint64_t max_work, struct chain *best, bool *found,
                     struct cv_arena *arena, struct cv_error *err);
/* bound.c: no plan has a smaller score; at most score, the best one known. */
bool cv_plan_bound(const struct costs *k, const struct classes *s, double score, double *out, struct cv_arena *arena,
                   struct cv_error *err);

/* plan.c: whichever of the two searches can. */
bool cv_plan_solve(const struct costs *k, const struct classes *s, struct chain *best, double *bound, bool *exact,
                   bool *found, struct cv_arena *arena, struct cv_error *err);
/* fit.c: the error of a model that does not fit; returns false. */
bool cv_plan_say_no(const struct costs *k, struct cv_error *err);
/* spare.c: why each device that best does not use is left out. */
bool cv_plan_spares(const struct costs *k, const struct classes *s, const struct chain *best, struct cv_plan *plan,
                    struct cv_arena *arena, struct cv_error *err);

/* predict.c: fills in a plan whose stages have device, layer_first and layer_last. */
void cv_plan_fill(const struct costs *k, struct cv_plan *plan);

#endif
