/*
 * flow.h - what flows through a pipeline of stages: commands, rows, and what is wanted of the last stage.
 *
 * These structs are the units of the data plane as well (proto/batch.h): 16 bytes each, little-endian, no padding, so
 * that they are read in place out of a message. A stage is a pure function of the commands and rows it has seen.
 */
#ifndef CV_BASE_FLOW_H
#define CV_BASE_FLOW_H

#include <stdint.h>

enum cv_cmd_op {
    CV_CMD_NEW = 1,  /* slot becomes an empty sequence (whatever it was before) */
    CV_CMD_FORK = 2, /* slot becomes a copy of the first pos positions of sequence other */
    CV_CMD_TRIM = 3, /* slot keeps its positions [0, pos) */
    CV_CMD_FREE = 4  /* slot gives its memory back */
};

struct cv_cmd {
    uint32_t op; /* enum cv_cmd_op */
    uint32_t slot;
    uint32_t other; /* FORK: where from */
    uint32_t pos;   /* FORK, TRIM: how many positions stay */
};

enum { CV_ROW_WANT = 1 /* the head's output of this row is wanted */ };

/* One token of one sequence. Rows of one slot stand in rising positions without gaps, from the slot's length on. */
struct cv_row {
    uint32_t slot;
    uint32_t pos;
    int32_t token;
    uint32_t flags;
};

/* What the coordinator wants to know of one wanted row: the n_top best, and the logits of ids[ids_first ..+n_ids). */
struct cv_ask {
    uint32_t row;   /* index into the batch's rows; that row has CV_ROW_WANT */
    uint32_t n_top; /* CV_ASK_ALL: the whole row, in order of ids */
    uint32_t ids_first, n_ids;
};

#define CV_ASK_ALL UINT32_MAX

struct cv_candidate {
    int32_t id;
    float logit;
};

_Static_assert(sizeof(struct cv_cmd) == 16 && sizeof(struct cv_row) == 16 && sizeof(struct cv_ask) == 16 &&
                   sizeof(struct cv_candidate) == 8,
               "these are read in place out of messages");

#endif
