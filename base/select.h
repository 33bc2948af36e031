/*
 * select.h - what the last stage answers with: the best few of a row of logits, those that were named, and the row's
 * log-sum-exp.
 *
 * Order everywhere: by logit descending, then by id ascending. A NaN counts as minus infinity. The result depends on the
 * row alone (sums are taken in one fixed order).
 */
#ifndef CV_BASE_SELECT_H
#define CV_BASE_SELECT_H

#include <stddef.h>
#include <stdint.h>

#include "base/flow.h"

/* How many candidates cv_candidates_select writes. */
size_t cv_candidates_count(size_t n_vocab, uint32_t n_top, size_t n_ids);

/*
 * out[0 .. min(n_top, n_vocab)): the best, in order; after them one for each of ids[0..n_ids), in the order given, also
 * when it is among the best already; an id outside the vocabulary gets minus infinity. n_top CV_ASK_ALL: the whole row
 * in order of ids, and nothing for ids. out holds cv_candidates_count(...) entries; that number is returned.
 * *lse (may be NULL) = ln(sum exp(row[i])), float64; relative error of the sum below 1e-6.
 */
size_t cv_candidates_select(const float *row, size_t n_vocab, uint32_t n_top, const int32_t *ids, size_t n_ids,
                            struct cv_candidate *out, double *lse);

/* ln(sum exp(row[i])) alone. */
double cv_log_sum_exp(const float *row, size_t n);

#endif
