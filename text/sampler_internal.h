/* sampler_internal.h - the parts of a sampler: candidates at work, the windows over the history, the last draws. */
#ifndef CV_TEXT_SAMPLER_INTERNAL_H
#define CV_TEXT_SAMPLER_INTERNAL_H

#include "text/rng.h"
#include "text/sampler.h"

struct cv_cand {
    int32_t id;
    float logit; /* as the chain has made it */
    float raw;   /* as the model made it */
    double p;    /* set by cv_cands_softmax */
};

enum cv_cand_order { CV_BY_ID, CV_BY_LOGIT, CV_BY_NOTHING };

struct cv_cands {
    struct cv_cand *at, *spare;
    size_t n, cap;
    uint64_t *key; /* two halves of cap each */
    enum cv_cand_order order;
};

/* candidates.c */
void cv_cands_fini(struct cv_cands *c);
bool cv_cands_reserve(struct cv_cands *c, size_t n);
/* Takes over cand[0..n), sorts by id, drops repetitions; NaN becomes minus infinity. Room for n is there. */
void cv_cands_load(struct cv_cands *c, const struct cv_candidate *cand, size_t n);
void cv_cands_sort(struct cv_cands *c);         /* by logit descending, then id */
bool cv_cands_softmax(struct cv_cands *c);      /* p, sum 1; false: all are at minus infinity */
size_t cv_cands_best(const struct cv_cands *c); /* index of the largest logit, the lowest id among equals */
/* In the present order the first whose running sum of p reaches u of the total. */
size_t cv_cands_draw(const struct cv_cands *c, double u);

/* truncate.c: the samplers that drop or rescale candidates. keep: at least so many survive. */
void cv_sample_top_k(struct cv_cands *c, int32_t k);
void cv_sample_top_p(struct cv_cands *c, double top_p, size_t keep);
void cv_sample_min_p(struct cv_cands *c, double min_p, size_t keep);
void cv_sample_typical(struct cv_cands *c, double typical_p, size_t keep);
void cv_sample_top_n_sigma(struct cv_cands *c, double n_sigma);
void cv_sample_xtc(struct cv_cands *c, double probability, double threshold, size_t keep, float u);
void cv_sample_temperature(struct cv_cands *c, double temperature, double range, double exponent);

/* penalty.c: how often each token stands in the last n_window of the history. */
struct cv_window {
    uint32_t *count;   /* by id */
    uint32_t *where;   /* by id: place in distinct */
    int32_t *distinct; /* ids with a count */
    uint32_t n_distinct, n_window;
};
bool cv_window_init(struct cv_window *w, uint32_t n_vocab, uint32_t n_window);
void cv_window_fini(struct cv_window *w);
void cv_window_clear(struct cv_window *w);
void cv_window_add(struct cv_window *w, int32_t id);
void cv_window_remove(struct cv_window *w, int32_t id);
void cv_sample_penalties(struct cv_cands *c, const struct cv_window *w, double repeat, double frequency,
                         double presence);

/* dry.c: "don't repeat yourself". */
struct cv_dry_hit {
    int32_t id;
    uint32_t length; /* of the repetition that this token would go on with */
};
struct cv_dry;
bool cv_dry_new(struct cv_dry **out, const struct cv_sampling *p, const struct cv_vocab *vocab, struct cv_error *err);
void cv_dry_free(struct cv_dry *d);
/* Looks through window[0..n), newest last; *hit: n_hit of them, rising ids; borrowed until the next call. */
bool cv_dry_find(struct cv_dry *d, const int32_t *window, size_t n, const struct cv_dry_hit **hit, size_t *n_hit,
                 struct cv_error *err);
void cv_sample_dry(struct cv_cands *c, const struct cv_dry *d); /* with what cv_dry_find found last */

/* mirostat.c: the draws that keep a state. */
size_t cv_sample_mirostat(struct cv_cands *c, int version, double tau, double eta, uint32_t n_vocab, double *mu,
                          struct cv_rng *rng);
struct cv_adaptive {
    double target, decay, weighted, weight;
    int32_t picked; /* and its probability before the bend; -1 */
    double picked_p;
};
void cv_adaptive_init(struct cv_adaptive *a, double target, double decay);
size_t cv_sample_adaptive(struct cv_cands *c, struct cv_adaptive *a, struct cv_rng *rng);
void cv_adaptive_accept(struct cv_adaptive *a, int32_t id);

#endif
