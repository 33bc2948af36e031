/* work.h - the processor's own memory for a step, and how its operations share out their work. */
#ifndef CV_ENGINE_CPU_WORK_H
#define CV_ENGINE_CPU_WORK_H

#include "engine/device.h"

enum {
    CV_SPAN_PAGES = 8,     /* attention adds up pages in spans of this many, then spans */
    CV_BLOCK_QUERIES = 64, /* query heads that walk through a page together, about */
    CV_SPLIT_ROWS = 4      /* steps of at most so many rows may share out the spans of one row */
};

/* Rows at consecutive positions of one slot that walk through the pages together. */
struct cv_attend_block {
    uint32_t first, n;
};

struct cv_cpu_work {
    void *acts;    /* activations, prepared for the largest product */
    float *thread; /* [n_threads][thread_floats] scratch of attention */
    size_t thread_floats;
    struct cv_attend_block *block; /* [n_batch] */
    float *partial;                /* [CV_SPLIT_ROWS][n_head][n_span][n_v + 2] */
    size_t n_span;                 /* of a full sequence */
    uint32_t block_rows;           /* rows of a block, at most */
};

/* attend.c */
void cv_cpu_attend(struct cv_exec *e, const struct cv_op *op);
uint32_t cv_attend_block_rows(const struct cv_program *p);
/* Floats of scratch one thread needs. */
bool cv_attend_thread_floats(const struct cv_program *p, size_t *n);

/* Runs n chunks on the pool if there is one and `work` (about one per multiply-add or value) makes a fork pay. */
void cv_share(struct cv_pool *pool, cv_pool_fn *fn, void *ctx, size_t n, size_t work);

#endif
