#include "text/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "text/sampler_internal.h"

struct cv_sampler {
    struct cv_sampling p; /* clamped; its borrowed pointers are gone */
    const struct cv_vocab *vocab;
    uint32_t n_vocab, seed;
    struct cv_bias *bias; /* by id, one for each */
    size_t n_bias;
    bool greedy, penalize, use_xtc, use_adaptive;

    int32_t *history;
    size_t n_history, cap_history;
    struct cv_window window;
    uint32_t dry_window;
    struct cv_dry *dry; /* NULL: off */
    const struct cv_dry_hit *dry_hit;
    size_t n_dry_hit;
    bool dry_fresh; /* dry_hit belongs to this history */

    struct cv_rng dist, xtc, mirostat, adaptive;
    double mu;
    struct cv_adaptive bend;

    int32_t *ask_id;
    size_t cap_ask;
    struct cv_cands cands;
    struct cv_survivor *survivor;
    size_t n_survivor, cap_survivor;
};

static bool no_memory(struct cv_error *err)
{
    return cv_fail(err, CV_ERR_NOMEM, "sampler: out of memory");
}

static bool in_chain(const struct cv_sampling *p, unsigned kind)
{
    return memchr(p->chain, (int)kind, p->n_chain) != NULL;
}

static double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

static int bias_by_id(const void *pa, const void *pb)
{
    const struct cv_bias *a = pa, *b = pb;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* One entry for each id. Forbidden are what the model's authors say and, with ignore_eos, what ends a generation. */
static bool copy_bias(struct cv_sampler *s, const struct cv_sampling *p)
{
    const unsigned never = CV_TOKEN_NEVER | (p->ignore_eos ? CV_TOKEN_EOG : 0u);
    size_t n_never = 0;
    for (uint32_t id = 0; id < s->n_vocab; id++)
        n_never += (cv_vocab_attr(s->vocab, (int32_t)id) & never) != 0;
    s->bias = cv_calloc(p->n_bias + n_never + 1, sizeof(*s->bias));
    if (s->bias == NULL)
        return false;
    for (size_t i = 0; i < p->n_bias; i++)
        s->bias[s->n_bias++] = p->bias[i];
    for (uint32_t id = 0; n_never > 0 && id < s->n_vocab; id++) {
        if (cv_vocab_attr(s->vocab, (int32_t)id) & never)
            s->bias[s->n_bias++] = (struct cv_bias){.id = (int32_t)id, .bias = -INFINITY};
    }
    qsort(s->bias, s->n_bias, sizeof(*s->bias), bias_by_id);
    size_t kept = 0;
    for (size_t i = 0; i < s->n_bias; i++) {
        if (kept > 0 && s->bias[kept - 1].id == s->bias[i].id)
            s->bias[kept - 1].bias += s->bias[i].bias;
        else
            s->bias[kept++] = s->bias[i];
    }
    s->n_bias = kept;
    return true;
}

static void set_seeds(struct cv_sampler *s)
{
    cv_rng_seed(&s->dist, s->seed);
    cv_rng_seed(&s->xtc, s->seed);
    cv_rng_seed(&s->mirostat, s->seed);
    cv_rng_seed(&s->adaptive, s->seed);
    s->mu = 2.0 * s->p.mirostat_tau;
    cv_adaptive_init(&s->bend, s->p.adaptive_target, s->p.adaptive_decay);
}

static void set_params(struct cv_sampler *s, const struct cv_sampling *p)
{
    struct cv_sampling *q = &s->p;
    *q = *p;
    q->dry_breaker = NULL;
    q->bias = NULL;
    q->temperature = clamp(q->temperature, 0.0, INFINITY);
    q->top_p = clamp(q->top_p, 0.0, 1.0);
    q->min_p = clamp(q->min_p, 0.0, 1.0);
    q->xtc_probability = clamp(q->xtc_probability, 0.0, 1.0);
    q->xtc_threshold = clamp(q->xtc_threshold, 0.0, 1.0);
    q->mirostat = q->mirostat < 0 ? 0 : q->mirostat > 2 ? 2 : q->mirostat;
    q->dry_base = q->dry_base < 1.0 ? 1.75 : q->dry_base;
    s->greedy = q->temperature <= 0.0 && (q->mirostat > 0 || in_chain(q, CV_SAMPLER_TEMPERATURE));
    if (s->greedy)
        q->mirostat = 0;
    if (q->mirostat > 0) { /* it takes the place of the list */
        q->chain[0] = CV_SAMPLER_TEMPERATURE;
        q->n_chain = 1;
        q->dynatemp_range = 0.0;
    }
    s->penalize = in_chain(q, CV_SAMPLER_PENALTIES) && q->repeat_last_n != 0 &&
                  (q->repeat_penalty != 1.0 || q->frequency_penalty != 0.0 || q->presence_penalty != 0.0);
    s->use_xtc = in_chain(q, CV_SAMPLER_XTC) && q->xtc_probability > 0.0 && q->xtc_threshold <= 0.5;
    s->use_adaptive = in_chain(q, CV_SAMPLER_ADAPTIVE_P);
}

bool cv_sampler_new(struct cv_sampler **out, const struct cv_sampling *p, const struct cv_vocab *vocab, uint32_t choice,
                    uint32_t n_ctx, struct cv_error *err)
{
    if (!cv_sampling_check(p, cv_vocab_size(vocab), NULL, err))
        return false;
    struct cv_sampler *s = cv_zalloc(sizeof(*s));
    if (s == NULL)
        return no_memory(err);
    s->vocab = vocab;
    s->n_vocab = cv_vocab_size(vocab);
    set_params(s, p);
    s->seed = p->seed + choice;
    if (!p->has_seed && !cv_random_bytes(&s->seed, sizeof(s->seed))) {
        cv_fail(err, CV_ERR_IO, "sampler: no random seed to be had");
        goto fail;
    }
    set_seeds(s);
    uint32_t window = s->p.repeat_last_n < 0 ? n_ctx : (uint32_t)s->p.repeat_last_n;
    s->dry_window = s->p.dry_penalty_last_n < 0 ? n_ctx : (uint32_t)s->p.dry_penalty_last_n;
    if (!cv_window_init(&s->window, s->n_vocab, s->penalize ? window : 0) || !copy_bias(s, p)) {
        no_memory(err);
        goto fail;
    }
    if (in_chain(&s->p, CV_SAMPLER_DRY) && s->p.dry_multiplier != 0.0 && s->dry_window > 0 &&
        !cv_dry_new(&s->dry, p, vocab, err))
        goto fail;
    *out = s;
    return true;
fail:
    cv_sampler_free(s);
    return false;
}

void cv_sampler_free(struct cv_sampler *s)
{
    if (s == NULL)
        return;
    cv_window_fini(&s->window);
    cv_dry_free(s->dry);
    cv_cands_fini(&s->cands);
    cv_free(s->bias);
    cv_free(s->history);
    cv_free(s->ask_id);
    cv_free(s->survivor);
    cv_free(s);
}

uint32_t cv_sampler_seed(const struct cv_sampler *s)
{
    return s->seed;
}

bool cv_sampler_accept(struct cv_sampler *s, int32_t token, struct cv_error *err)
{
    return cv_sampler_accept_prompt(s, &token, 1, err);
}

bool cv_sampler_accept_prompt(struct cv_sampler *s, const int32_t *token, size_t n, struct cv_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (token[i] < 0 || (uint32_t)token[i] >= s->n_vocab)
            return cv_fail(err, CV_ERR_ARG, "token %d is outside the vocabulary of %u", token[i], s->n_vocab);
    }
    if (n > s->cap_history - s->n_history) {
        size_t cap;
        if (!cv_add_size(s->n_history, n, &cap) || !cv_add_size(cap, cap / 2 + 64, &cap))
            return no_memory(err);
        int32_t *grown = cv_realloc(s->history, cap, sizeof(*grown));
        if (grown == NULL)
            return no_memory(err);
        s->history = grown;
        s->cap_history = cap;
    }
    for (size_t i = 0; i < n; i++) {
        s->history[s->n_history++] = token[i];
        if (s->window.n_window > 0) {
            cv_window_add(&s->window, token[i]);
            if (s->n_history > s->window.n_window)
                cv_window_remove(&s->window, s->history[s->n_history - 1 - s->window.n_window]);
        }
    }
    if (n > 0)
        cv_adaptive_accept(&s->bend, token[n - 1]);
    s->dry_fresh = false;
    return true;
}

/* Looks for repetitions, unless this was done for the same history. */
static bool refresh_dry(struct cv_sampler *s, struct cv_error *err)
{
    if (s->dry == NULL || s->dry_fresh)
        return true;
    size_t n = s->n_history < s->dry_window ? s->n_history : s->dry_window;
    const int32_t *window = s->history == NULL ? NULL : s->history + s->n_history - n;
    s->n_dry_hit = 0;
    s->dry_fresh = cv_dry_find(s->dry, window, n, &s->dry_hit, &s->n_dry_hit, err);
    return s->dry_fresh;
}

/*
 * How many of the best must be there so that what the chain leaves over is what the whole row would leave over, if only
 * the named ids change: 0 means that there is no such number. Up to the first top_k nothing else may look at more than
 * single candidates and the maximum; min_p does that, with keep as its least number.
 */
static uint32_t needed(const struct cv_sampler *s)
{
    const struct cv_sampling *p = &s->p;
    if (s->greedy)
        return 1;
    if (p->mirostat > 0)
        return 0;
    for (size_t i = 0; i < p->n_chain; i++) {
        bool idle = false;
        switch (p->chain[i]) {
        case CV_SAMPLER_PENALTIES:
        case CV_SAMPLER_DRY:
        case CV_SAMPLER_MIN_P:
        case CV_SAMPLER_ADAPTIVE_P:
            idle = true;
            break;
        case CV_SAMPLER_TOP_K:
            if (p->top_k > 0)
                return (uint32_t)(p->top_k > p->min_keep ? p->top_k : p->min_keep);
            idle = true;
            break;
        case CV_SAMPLER_TOP_N_SIGMA:
            idle = p->top_n_sigma <= 0.0;
            break;
        case CV_SAMPLER_TYPICAL:
            idle = p->typical_p >= 1.0;
            break;
        case CV_SAMPLER_TOP_P:
            idle = p->top_p >= 1.0;
            break;
        case CV_SAMPLER_XTC:
            idle = !s->use_xtc;
            break;
        case CV_SAMPLER_TEMPERATURE:
            idle = p->temperature == 1.0 && p->dynatemp_range <= 0.0;
            break;
        }
        if (!idle)
            return 0;
    }
    return 0;
}

static int by_value(const void *pa, const void *pb)
{
    const int32_t *a = pa, *b = pb;
    return *a < *b ? -1 : *a > *b;
}

bool cv_sampler_ask(struct cv_sampler *s, uint32_t n_top_logprobs, struct cv_sampler_ask *out, struct cv_error *err)
{
    *out = (struct cv_sampler_ask){.n_top = CV_ASK_ALL};
    const uint32_t best = needed(s);
    if (best == 0)
        return true;
    if (!refresh_dry(s, err))
        return false;
    const size_t n_max = s->n_bias + s->window.n_distinct + s->n_dry_hit;
    if (n_max > s->cap_ask) {
        int32_t *grown = cv_realloc(s->ask_id, 2 * n_max, sizeof(*grown));
        if (grown == NULL)
            return no_memory(err);
        s->ask_id = grown;
        s->cap_ask = 2 * n_max;
    }
    size_t n = 0;
    for (size_t i = 0; i < s->n_bias; i++)
        s->ask_id[n++] = s->bias[i].id;
    for (uint32_t i = 0; i < s->window.n_distinct; i++)
        s->ask_id[n++] = s->window.distinct[i];
    for (size_t i = 0; i < s->n_dry_hit; i++)
        s->ask_id[n++] = s->dry_hit[i].id;
    size_t kept = 0;
    if (n > 0)
        qsort(s->ask_id, n, sizeof(*s->ask_id), by_value);
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || s->ask_id[kept - 1] != s->ask_id[i])
            s->ask_id[kept++] = s->ask_id[i];
    }
    /* each changed id may push one of the others out of the best, or have stood there itself */
    uint64_t n_top = (uint64_t)best + kept;
    n_top = n_top > n_top_logprobs ? n_top : n_top_logprobs;
    if (n_top + kept > s->n_vocab / 2)
        return true; /* then the row is no longer */
    *out = (struct cv_sampler_ask){.n_top = (uint32_t)n_top, .ids = s->ask_id, .n_ids = kept};
    return true;
}

/* The candidates stand by id, and so do the biases. */
static void apply_bias(struct cv_sampler *s)
{
    size_t b = 0;
    for (size_t i = 0; i < s->cands.n && b < s->n_bias; i++) {
        while (b < s->n_bias && s->bias[b].id < s->cands.at[i].id)
            b++;
        if (b < s->n_bias && s->bias[b].id == s->cands.at[i].id)
            s->cands.at[i].logit += s->bias[b].bias;
    }
}

static void run_one(struct cv_sampler *s, unsigned kind, float xtc_u)
{
    const struct cv_sampling *p = &s->p;
    struct cv_cands *c = &s->cands;
    const size_t keep = (size_t)p->min_keep;
    switch (kind) {
    case CV_SAMPLER_PENALTIES:
        if (s->penalize)
            cv_sample_penalties(c, &s->window, p->repeat_penalty, p->frequency_penalty, p->presence_penalty);
        break;
    case CV_SAMPLER_DRY:
        if (s->dry != NULL)
            cv_sample_dry(c, s->dry);
        break;
    case CV_SAMPLER_TOP_N_SIGMA:
        cv_sample_top_n_sigma(c, p->top_n_sigma);
        break;
    case CV_SAMPLER_TOP_K:
        cv_sample_top_k(c, p->top_k);
        break;
    case CV_SAMPLER_TYPICAL:
        cv_sample_typical(c, p->typical_p, keep);
        break;
    case CV_SAMPLER_TOP_P:
        cv_sample_top_p(c, p->top_p, keep);
        break;
    case CV_SAMPLER_MIN_P:
        cv_sample_min_p(c, p->min_p, keep);
        break;
    case CV_SAMPLER_XTC:
        if (s->use_xtc)
            cv_sample_xtc(c, p->xtc_probability, p->xtc_threshold, keep, xtc_u);
        break;
    case CV_SAMPLER_TEMPERATURE:
        cv_sample_temperature(c, p->temperature, p->dynatemp_range, p->dynatemp_exponent);
        break;
    }
}

/* The index of the chosen candidate. */
static size_t choose(struct cv_sampler *s)
{
    const struct cv_sampling *p = &s->p;
    struct cv_cands *c = &s->cands;
    if (s->greedy) { /* what drops candidates cannot change which one is best */
        for (size_t i = 0; i < p->n_chain; i++) {
            if (p->chain[i] == CV_SAMPLER_PENALTIES || p->chain[i] == CV_SAMPLER_DRY)
                run_one(s, p->chain[i], 0.0f);
        }
        c->at[0] = c->at[cv_cands_best(c)];
        c->at[0].p = 1.0;
        c->n = 1;
        return 0;
    }
    /* one number for each token, needed or not, so that a replay knows how many were drawn */
    const float xtc_u = s->use_xtc ? cv_rng_float(&s->xtc) : 0.0f;
    for (size_t i = 0; i < p->n_chain; i++)
        run_one(s, p->chain[i], xtc_u);
    if (p->mirostat > 0)
        return cv_sample_mirostat(c, p->mirostat, p->mirostat_tau, p->mirostat_eta, s->n_vocab, &s->mu, &s->mirostat);
    if (s->use_adaptive)
        return cv_sample_adaptive(c, &s->bend, &s->adaptive);
    cv_cands_softmax(c);
    return cv_cands_draw(c, cv_rng_double(&s->dist));
}

static bool note_survivors(struct cv_sampler *s)
{
    if (s->cands.n > s->cap_survivor) {
        struct cv_survivor *grown = cv_realloc(s->survivor, s->cands.n, sizeof(*grown));
        if (grown == NULL)
            return false;
        s->survivor = grown;
        s->cap_survivor = s->cands.n;
    }
    s->n_survivor = 0;
    for (size_t i = 0; i < s->cands.n; i++) {
        if (s->cands.at[i].p > 0.0)
            s->survivor[s->n_survivor++] = (struct cv_survivor){.id = s->cands.at[i].id, .prob = s->cands.at[i].p};
    }
    return true;
}

bool cv_sampler_pick(struct cv_sampler *s, const struct cv_candidate *cand, size_t n, double lse, struct cv_pick *out,
                     struct cv_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (cand[i].id < 0 || (uint32_t)cand[i].id >= s->n_vocab)
            return cv_fail(err, CV_ERR_ARG, "candidate %d is outside the vocabulary of %u", cand[i].id, s->n_vocab);
    }
    if (!refresh_dry(s, err))
        return false;
    if (!cv_cands_reserve(&s->cands, n))
        return no_memory(err);
    cv_cands_load(&s->cands, cand, n);
    apply_bias(s);
    if (s->cands.n == 0 || s->cands.at[cv_cands_best(&s->cands)].logit == -INFINITY)
        return cv_fail(err, CV_ERR_ARG, "no token is left: every candidate is forbidden");
    const size_t index = choose(s); /* this may move the candidates, so it comes first */
    const struct cv_cand *chosen = &s->cands.at[index];
    if (chosen->logit == -INFINITY)
        return cv_fail(err, CV_ERR_ARG, "no token is left: the samplers have forbidden every candidate");
    if (!note_survivors(s))
        return no_memory(err);
    *out = (struct cv_pick){
        .token = chosen->id, .logit = chosen->raw, .logprob = (double)chosen->raw - lse, .prob = chosen->p};
    return true;
}

const struct cv_survivor *cv_sampler_survivors(const struct cv_sampler *s, size_t *n)
{
    *n = s->n_survivor;
    return s->survivor;
}

bool cv_sampler_reset_to(struct cv_sampler *s, const int32_t *token, size_t n_prompt, size_t n, struct cv_error *err)
{
    if (n_prompt > n)
        return cv_fail(err, CV_ERR_ARG, "a prompt of %zu tokens in a sequence of %zu", n_prompt, n);
    const bool steered = s->p.mirostat > 0 || (s->use_adaptive && s->p.adaptive_target >= 0.0);
    if (steered && n > n_prompt)
        return cv_fail(err, CV_ERR_UNSUPPORTED, "the state of mirostat or adaptive_p does not follow from the tokens");
    s->n_history = 0;
    cv_window_clear(&s->window);
    set_seeds(s);
    if (!cv_sampler_accept_prompt(s, token, n, err))
        return false;
    if (s->greedy)
        return true;
    if (s->use_xtc)
        cv_rng_discard(&s->xtc, n - n_prompt);
    cv_rng_discard(s->use_adaptive ? &s->adaptive : &s->dist, 2 * (uint64_t)(n - n_prompt));
    return true;
}
