/*
 * order.h - the best subset and cuts for devices in a given order: what local improvement asks again and again.
 */
#ifndef CV_PARTITION_ORDER_H
#define CV_PARTITION_ORDER_H

#include "partition/internal.h"

struct order {
    const struct costs *k;
    uint32_t n;
    bool alike;                   /* the way into a device does not depend on where it comes from */
    double max_v;                 /* the bound that the windows below were made for */
    uint32_t *lo;                 /* [n_dev][n + 1] first a >= 1 of a stage [a, l) */
    uint32_t *first_hi, *last_lo; /* [n_dev] */
    double *g, *h;                /* [n_dev][n + 1], [n + 1] */
    uint32_t *queue;
    double *q;
    uint64_t work;
};

bool cv_plan_order_new(struct order *o, const struct costs *k, struct cv_arena *arena, struct cv_error *err);
/* Stages within memory and with v <= max_v from now on. */
void cv_plan_order_limit(struct order *o, double max_v);
/* The least sum over subsets of dev[0..n_dev) in that order. must[i] (may be NULL): device dev[i] has to be used; a
 * pinned one always has to. False if there is none. */
bool cv_plan_order_best(struct order *o, const uint32_t *dev, uint32_t n_dev, const bool *must, struct chain *out);
/* May a stage [first, last) stand on dev, within the bound? */
bool cv_plan_order_stage(const struct order *o, uint32_t dev, uint32_t first, uint32_t last);

#endif
