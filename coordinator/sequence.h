/*
 * sequence.h - one choice of one request: its tokens, how far the stages have them, and the text they become.
 *
 * Owned by the scheduler's thread. The tokens are the truth; what the stages hold of them (n_fed) can be built again at
 * any time by feeding them from the beginning.
 */
#ifndef CV_COORDINATOR_SEQUENCE_H
#define CV_COORDINATOR_SEQUENCE_H

#include "coordinator/generate.h"
#include "proto/result.h"
#include "text/detokenize.h"
#include "text/stop.h"

struct cv_job;

struct cv_seq {
    struct cv_job *job;
    uint32_t choice, slot;
    int32_t *token; /* prompt, then what was generated */
    uint32_t n_token, n_prompt, cap;
    uint32_t n_fed;     /* the stages have been sent token[0 .. n_fed) */
    bool waits_for_fork; /* of choice 0's prompt */
    bool awaited;       /* the result of the last token is on its way */
    bool done;
    bool given; /* its slot is free again */
    uint32_t n_generated;
    struct cv_sampler *sampler;
    struct cv_detok detok;
    struct cv_stop *stop;
    struct cv_buf text, shown;
};

bool cv_seq_new(struct cv_seq **out, struct cv_job *job, const struct cv_gen *gen, uint32_t choice, uint32_t n_ctx,
                const struct cv_vocab *vocab, struct cv_error *err);
void cv_seq_free(struct cv_seq *q); /* NULL is fine */

/* What a row gave: candidates, best first (n_top of them), named ones behind. */
struct cv_row_result {
    const struct cv_candidate *cand;
    size_t n_cand, n_top;
    double lse;
};

/*
 * Samples the next token, tells the sink about it, and finishes the choice (done) at an end-of-generation token, a stop
 * string, max_tokens or the context's end. Errors: what the sampler says, CV_ERR_NOMEM; the request is to be ended.
 */
bool cv_seq_take(struct cv_seq *q, const struct cv_gen *gen, const struct cv_row_result *row, uint32_t n_ctx,
                 struct cv_error *err);

#endif
