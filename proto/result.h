/*
 * result.h - the answer of the last stage to one batch: candidates, or a whole row, for each ask. Input is hostile.
 *
 * Every batch is answered, one that asks for nothing with an empty result: what counts is the result that comes back.
 * Message: head, results (32 bytes each), candidates (8 bytes each), whole rows (n_vocab floats each).
 */
#ifndef CV_PROTO_RESULT_H
#define CV_PROTO_RESULT_H

#include "proto/batch.h"

struct cv_result { /* as it stands on the wire */
    uint32_t row;  /* index into the batch's rows; rising from result to result */
    uint32_t slot, pos;
    uint32_t first;   /* first candidate; for a whole row: which one */
    uint32_t n_top;   /* that many best candidates, best first; CV_ASK_ALL: a whole row instead of candidates */
    uint32_t n_named; /* then that many candidates for the ids asked for by name, in their order; 0 with a whole row */
    double lse;       /* log of the sum of exp(logit) over the whole row */
};

struct cv_results {
    uint64_t epoch, seq, batch_id;
    uint32_t compute_us;
    uint32_t n_result, n_cand, n_whole, n_vocab;
    const struct cv_result *result; /* borrowed from the message, as the rest */
    const struct cv_candidate *cand;
    const float *whole; /* [n_whole][n_vocab] */
};

struct cv_results_out {
    struct cv_result *result;
    struct cv_candidate *cand;
    float *whole;
};

struct cv_result_limits {
    uint32_t n_row, n_slots, n_ctx, n_vocab; /* of the batch and the plan */
    uint32_t n_result, n_cand, n_whole;      /* at most */
};

/* Bytes of a message with r's counts (pointers are not looked at); 0: past base/limits.h. */
size_t cv_results_measure(const struct cv_results *r);
/* Writes the head and tells where the sections go; what r points at, where not NULL, is copied. */
void cv_results_encode_into(void *body, const struct cv_results *r, struct cv_results_out *out);
/* Errors: CV_ERR_FORMAT, CV_ERR_LIMIT. Checked: counts, length, ids, that every result's candidates are inside. */
bool cv_results_decode(const void *data, size_t len, const struct cv_result_limits *limits, struct cv_results *out,
                       struct cv_error *err);
size_t cv_results_max_bytes(const struct cv_result_limits *limits);

_Static_assert(sizeof(struct cv_result) == 32, "results are read in place out of messages");

#endif
