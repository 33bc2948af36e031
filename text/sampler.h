/*
 * sampler.h - from the logits of one row to the next token, exactly as if the whole row were here.
 *
 * One sampler belongs to one sequence: its parameters, its history (prompt included), its random numbers. Each token:
 *
 *   cv_sampler_ask     what must the last stage send? (n_top best, and some ids by name; or the whole row)
 *   cv_sampler_pick    run the chain on that, draw a token
 *   cv_sampler_accept  the token is part of the text now
 *
 * The chain: logit bias, then the samplers in the order of the list, then a draw in proportion to the probabilities left.
 * Candidates are ordered by logit descending, then id ascending, wherever an order matters; before the first sampler
 * that orders them they stand by id. Probabilities are float64.
 */
#ifndef CV_TEXT_SAMPLER_H
#define CV_TEXT_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/flow.h"
#include "text/vocab.h"

enum cv_sampler_kind {
    CV_SAMPLER_PENALTIES = 1,
    CV_SAMPLER_DRY,
    CV_SAMPLER_TOP_N_SIGMA,
    CV_SAMPLER_TOP_K,
    CV_SAMPLER_TYPICAL,
    CV_SAMPLER_TOP_P,
    CV_SAMPLER_MIN_P,
    CV_SAMPLER_XTC,
    CV_SAMPLER_TEMPERATURE,
    CV_SAMPLER_ADAPTIVE_P /* replaces the last draw, wherever in the list it stands */
};

enum { CV_MAX_CHAIN = 16, CV_MAX_BREAKERS = 64, CV_MAX_BIAS = 65536 };

struct cv_bias {
    int32_t id;
    float bias; /* added to the logit; minus infinity: never */
};

/* Names, defaults and meaning are those of the API; docs/sampling.md has the exact definitions. */
struct cv_sampling {
    bool has_seed; /* false: a random one */
    uint32_t seed;
    double temperature; /* 0.8; <= 0 takes the best token */
    double dynatemp_range, dynatemp_exponent;
    int32_t top_k; /* 40; <= 0 off */
    double top_p;  /* 0.95; 1 off */
    double min_p;  /* 0.05; 0 off */
    double typical_p;
    double top_n_sigma;
    double xtc_probability, xtc_threshold;
    int32_t repeat_last_n; /* 64; -1 the context; 0 off */
    double repeat_penalty, frequency_penalty, presence_penalty;
    double dry_multiplier, dry_base;
    int32_t dry_allowed_length, dry_penalty_last_n; /* -1 the context; 0 off */
    const char *const *dry_breaker;                 /* borrowed until cv_sampler_new returns */
    size_t n_dry_breaker;
    int32_t mirostat; /* 0 off, 1, 2 */
    double mirostat_tau, mirostat_eta;
    double adaptive_target, adaptive_decay;
    int32_t min_keep;
    bool ignore_eos;
    const struct cv_bias *bias; /* borrowed until cv_sampler_new returns; biases of one id add up */
    size_t n_bias;
    uint8_t chain[CV_MAX_CHAIN]; /* enum cv_sampler_kind, in order */
    size_t n_chain;
};

void cv_sampling_defaults(struct cv_sampling *p);
/* By name ("top_k", "top-k", "temp", ...; case ignored) or letter ("edskypmxt" is the default order); 0 if unknown. */
unsigned cv_sampler_by_name(const char *name, size_t n);
unsigned cv_sampler_by_letter(char letter);
/* CV_ERR_ARG: the message begins with the field's name. *field (may be NULL) is set to that name then. */
bool cv_sampling_check(const struct cv_sampling *p, uint32_t n_vocab, const char **field, struct cv_error *err);

struct cv_sampler;

/*
 * choice: 0.. of a request's n; a given seed becomes seed + choice. n_ctx: what -1 stands for in the windows. vocab is
 * borrowed. Clamps what the API clamps, refuses the rest (cv_sampling_check).
 */
bool cv_sampler_new(struct cv_sampler **out, const struct cv_sampling *p, const struct cv_vocab *vocab, uint32_t choice,
                    uint32_t n_ctx, struct cv_error *err);
void cv_sampler_free(struct cv_sampler *s);           /* NULL is fine */
uint32_t cv_sampler_seed(const struct cv_sampler *s); /* the one in use, for the answer's settings */

/* The token is part of the sequence now: of the prompt, or as it was picked. CV_ERR_NOMEM, CV_ERR_ARG (no such token). */
bool cv_sampler_accept(struct cv_sampler *s, int32_t token, struct cv_error *err);
bool cv_sampler_accept_prompt(struct cv_sampler *s, const int32_t *token, size_t n, struct cv_error *err);

struct cv_sampler_ask {
    uint32_t n_top;     /* CV_ASK_ALL: the whole row, ids are then empty */
    const int32_t *ids; /* rising; borrowed until the sampler is used again */
    size_t n_ids;
};

/*
 * What cv_sampler_pick needs so that it picks what it would pick from the whole row. n_top_logprobs: how many of the best
 * the caller wants to report. CV_ERR_NOMEM.
 */
bool cv_sampler_ask(struct cv_sampler *s, uint32_t n_top_logprobs, struct cv_sampler_ask *out, struct cv_error *err);

struct cv_pick {
    int32_t token;
    float logit;    /* as it came from the model */
    double logprob; /* logit - lse: over the whole vocabulary, before any sampler */
    double prob;    /* among those that the chain left over */
};

/*
 * cand[0..n): what was asked for, or more, in any order, a named id may come twice; logits as the model made them (or
 * minus infinity for what a grammar forbids). lse is the whole row's. Draws its random numbers; the history stays as it is
 * until accept. Errors: CV_ERR_ARG (every candidate is forbidden), CV_ERR_NOMEM.
 */
bool cv_sampler_pick(struct cv_sampler *s, const struct cv_candidate *cand, size_t n, double lse, struct cv_pick *out,
                     struct cv_error *err);
/* What the chain left over at the last pick, with their probabilities, in the chain's order; borrowed. */
struct cv_survivor {
    int32_t id;
    double prob;
};
const struct cv_survivor *cv_sampler_survivors(const struct cv_sampler *s, size_t *n);

/*
 * The state after the sequence token[0..n), of which the first n_prompt were the prompt and the others were picked one by
 * one. CV_ERR_UNSUPPORTED with mirostat and adaptive_p when n > n_prompt: their state is not a function of the tokens.
 */
bool cv_sampler_reset_to(struct cv_sampler *s, const int32_t *token, size_t n_prompt, size_t n, struct cv_error *err);

#endif
