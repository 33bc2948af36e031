/*
 * mirostat.c - draws that steer by what was drawn before: mirostat 1 and 2 (Basu et al., arXiv 2007.14966) and adaptive-p.
 *
 * Each returns the index of what it drew; all candidates have a p then, and at least one is above minus infinity.
 */
#include <math.h>

#include "text/sampler_internal.h"

enum { ZIPF_TOKENS = 100 };

/* How many of the sorted candidates version 1 keeps: from the exponent s of Zipf's law, estimated on the first ones. */
static size_t zipf_cut(const struct cv_cands *c, double mu, uint32_t n_vocab)
{
    double products = 0.0, squares = 0.0;
    size_t m = c->n < ZIPF_TOKENS ? c->n : ZIPF_TOKENS;
    for (size_t i = 0; i + 1 < m && c->at[i + 1].p > 0.0; i++) {
        double t = log((double)(i + 2) / (double)(i + 1)), b = log(c->at[i].p / c->at[i + 1].p);
        products += t * b;
        squares += t * t;
    }
    if (squares == 0.0)
        return 1;
    const double s = products / squares, e = s - 1.0;
    double k = pow(e * pow(2.0, mu) / (1.0 - pow((double)n_vocab, -e)), 1.0 / s);
    if (!(k >= 1.0))
        return 1;
    return k < (double)c->n ? (size_t)k : c->n;
}

size_t cv_sample_mirostat(struct cv_cands *c, int version, double tau, double eta, uint32_t n_vocab, double *mu,
                          struct cv_rng *rng)
{
    cv_cands_sort(c);
    cv_cands_softmax(c);
    size_t keep = 1;
    if (version == 1) {
        keep = zipf_cut(c, *mu, n_vocab);
    } else {
        while (keep < c->n && c->at[keep].p > 0.0 && -log2(c->at[keep].p) <= *mu)
            keep++;
    }
    c->n = keep;
    cv_cands_softmax(c);
    size_t drawn = cv_cands_draw(c, cv_rng_double(rng));
    *mu -= eta * (-log2(c->at[drawn].p) - tau);
    return drawn;
}

void cv_adaptive_init(struct cv_adaptive *a, double target, double decay)
{
    decay = decay < 0.0 ? 0.0 : decay > 0.99 ? 0.99 : decay;
    target = target > 1.0 ? 1.0 : target;
    *a = (struct cv_adaptive){.target = target,
                              .decay = decay,
                              .weighted = target / (1.0 - decay),
                              .weight = 1.0 / (1.0 - decay),
                              .picked = -1};
}

size_t cv_sample_adaptive(struct cv_cands *c, struct cv_adaptive *a, struct cv_rng *rng)
{
    cv_cands_softmax(c);
    if (a->target < 0.0)
        return cv_cands_draw(c, cv_rng_double(rng));
    double aim = 2.0 * a->target - a->weighted / a->weight;
    aim = aim < 0.0 ? 0.0 : aim > 1.0 ? 1.0 : aim;
    double best = -INFINITY, total = 0.0;
    for (size_t i = 0; i < c->n; i++)
        c->spare[i].p = c->at[i].p; /* before the bend */
    for (size_t i = 0; i < c->n; i++) {
        if (c->at[i].logit == -INFINITY)
            continue;
        double d = fabs(c->at[i].p - aim) / 0.3;
        c->at[i].p = 5.0 - 10.0 * d * d / (1.0 + d);
        best = c->at[i].p > best ? c->at[i].p : best;
    }
    for (size_t i = 0; i < c->n; i++) {
        c->at[i].p = c->at[i].logit == -INFINITY ? 0.0 : exp(c->at[i].p - best);
        total += c->at[i].p;
    }
    for (size_t i = 0; i < c->n; i++)
        c->at[i].p /= total;
    size_t drawn = cv_cands_draw(c, cv_rng_double(rng));
    a->picked = c->at[drawn].id;
    a->picked_p = c->spare[drawn].p;
    return drawn;
}

void cv_adaptive_accept(struct cv_adaptive *a, int32_t id)
{
    if (a->target < 0.0 || id != a->picked)
        return;
    a->weighted = a->picked_p + a->decay * a->weighted;
    a->weight = 1.0 + a->decay * a->weight;
    a->picked = -1;
}
