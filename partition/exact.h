/*
 * exact.h - the table that exact.c (least sum) and reach.c (is there any chain) share.
 */
#ifndef CV_PARTITION_EXACT_H
#define CV_PARTITION_EXACT_H

#include "base/compiler.h"
#include "partition/internal.h"

/* Ways to weigh a layer. */
enum { SAND_U, SAND_V, SAND_BYTES, EXACT_SANDS };

struct exact {
    const struct costs *k;
    const struct classes *s;
    uint32_t n, n_class, n_state, n_row; /* n_row rows of n + 1 cells per state */
    uint32_t *stride, *digit;            /* [n_class] */
    uint32_t *lo;                        /* [n_class][n + 1]: first a >= 1 of a stage [a, l) within T and memory */
    uint32_t *first_hi, *last_lo;        /* [n_class]: most layers with the embedding, first layer with the head */
    bool *full;                          /* [n_class]: the whole model */
    double *u;                           /* [n_class][n + 1] prefix sums */
    double *u_fix, *u_embd, *u_head;     /* [n_class] */
    double *eu, *ev;                     /* [n_class + 1][n_class + 1], last is the coordinator */
    double *rest;                        /* [n + 1] lower bound of what layers [l, n) still cost, on any devices */
    double *rest_now;                    /* [n + 1] the same on the devices that the state at hand leaves */
    double *sand[EXACT_SANDS];           /* [n + 1] prefix sums of the layers' weights: see room.c */
    double *room[EXACT_SANDS];           /* [n_class] the heaviest range that one device holds */
    double *price;                       /* [n_class] least u of a unit of sand[SAND_U] */
    uint32_t *by_price;                  /* [n_class] classes, the cheapest first */
    double *cell;                        /* [n_state][n_row][n + 1] */
    uint16_t *live;                      /* [n_state][n_row][2]: cells outside are infinite */
    bool *alive;                         /* [n_state]: has a live cell, or any bit */
    uint64_t *bits;                      /* [n_state][n_class][n_word]: reach */
    uint32_t n_word;
    uint32_t *hi;    /* [n_class][n + 1]: the same from the other end, for reach */
    uint64_t *enter; /* [n_word] scratch */
    double *h, *q;   /* [n + 1] scratch */
    uint32_t *queue;
    uint64_t work;
};

CV_INLINE double in_edge(const struct exact *x, uint32_t from, uint32_t to)
{
    return x->eu[from * (x->n_class + 1) + to];
}

CV_INLINE double edge_v(const struct exact *x, uint32_t from, uint32_t to)
{
    return x->ev[from * (x->n_class + 1) + to];
}

CV_INLINE const struct cv_plan_device *device_of(const struct exact *x, uint32_t c)
{
    return &x->k->cluster->device[x->s->first[c]];
}

/* Which stages are possible at all with every v <= max_v: fills in lo, first_hi, last_lo, full. */
void cv_plan_exact_windows(struct exact *x, double max_v);
/* Turns the counter of states in digit[]; returns how many devices the next state uses. */
uint32_t cv_plan_exact_next(struct exact *x, uint32_t used);
/* May a chain that uses the devices counted in digit[] be a plan? */
bool cv_plan_exact_whole(const struct exact *x, uint32_t used);
/* Puts devices in the place of the classes in out->dev, and the score. */
void cv_plan_exact_name(struct exact *x, struct chain *out);

/* room.c: bounds that let states be dropped. Sands are weighed once; rooms and prices change with the windows. */
bool cv_plan_exact_sands(struct exact *x, struct cv_arena *arena);
void cv_plan_exact_rooms(struct exact *x, double max_v);
/* The first cut l such that what digit[] leaves may still hold layers [l, n). */
uint32_t cv_plan_exact_least_cut(const struct exact *x);
/* Fills in rest_now[from..n) for digit[]; no less than rest. */
void cv_plan_exact_rest(struct exact *x, uint32_t from);

#endif
