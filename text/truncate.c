/* truncate.c - samplers that drop candidates or bend their logits. Definitions: docs/sampling.md. */
#include <math.h>
#include <stdlib.h>

#include "text/sampler_internal.h"

/* Sums of probabilities are compared with a bound that people write in decimals: .5 + .3 does reach .8. */
#define SUM_ERROR 1e-6

static size_t at_least_one(size_t keep)
{
    return keep > 1 ? keep : 1;
}

void cv_sample_top_k(struct cv_cands *c, int32_t k)
{
    if (k <= 0)
        return;
    cv_cands_sort(c);
    if ((size_t)k < c->n)
        c->n = (size_t)k;
}

void cv_sample_top_p(struct cv_cands *c, double top_p, size_t keep)
{
    if (top_p >= 1.0 || !cv_cands_softmax(c))
        return;
    /* All that are below this, taken together, hold less than half of what may be left out: no need to sort them. */
    const double least = (1.0 - top_p - SUM_ERROR) / 2.0 / (double)c->n;
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        n += c->at[i].p >= least;
    if (n >= at_least_one(keep) && least > 0.0) {
        n = 0;
        for (size_t i = 0; i < c->n; i++) {
            if (c->at[i].p >= least)
                c->at[n++] = c->at[i];
        }
        c->n = n;
    }
    cv_cands_sort(c);
    double sum = 0.0;
    for (size_t i = 0; i < c->n; i++) {
        sum += c->at[i].p;
        if (sum + SUM_ERROR >= top_p && i + 1 >= at_least_one(keep)) {
            c->n = i + 1;
            return;
        }
    }
}

void cv_sample_min_p(struct cv_cands *c, double min_p, size_t keep)
{
    if (min_p <= 0.0 || c->n == 0)
        return;
    const double least = (double)c->at[cv_cands_best(c)].logit + log(min_p < 1.0 ? min_p : 1.0);
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        n += (double)c->at[i].logit >= least;
    if (n < at_least_one(keep)) {
        cv_cands_sort(c);
        c->n = at_least_one(keep) < c->n ? at_least_one(keep) : c->n;
        return;
    }
    n = 0;
    for (size_t i = 0; i < c->n; i++) {
        if ((double)c->at[i].logit >= least)
            c->at[n++] = c->at[i];
    }
    c->n = n;
}

static double surprise(double p)
{
    return p > 0.0 ? -log(p) : INFINITY;
}

static double entropy(const struct cv_cands *c)
{
    double h = 0.0;
    for (size_t i = 0; i < c->n; i++)
        h += c->at[i].p > 0.0 ? -c->at[i].p * log(c->at[i].p) : 0.0;
    return h;
}

static int nearest_first(const void *pa, const void *pb)
{
    const struct cv_cand *a = pa, *b = pb;
    if (a->p != b->p)
        return a->p < b->p ? -1 : 1;
    if (a->logit != b->logit)
        return a->logit > b->logit ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

void cv_sample_typical(struct cv_cands *c, double typical_p, size_t keep)
{
    if (typical_p >= 1.0 || !cv_cands_softmax(c))
        return;
    const double h = entropy(c);
    for (size_t i = 0; i < c->n; i++)
        c->at[i].p = fabs(surprise(c->at[i].p) - h); /* for the time of the sort */
    qsort(c->at, c->n, sizeof(*c->at), nearest_first);
    c->order = CV_BY_NOTHING;
    cv_cands_softmax(c);
    double sum = 0.0;
    for (size_t i = 0; i < c->n; i++) {
        sum += c->at[i].p;
        if (sum > typical_p && i + 1 >= at_least_one(keep)) {
            c->n = i + 1;
            return;
        }
    }
}

void cv_sample_top_n_sigma(struct cv_cands *c, double n_sigma)
{
    if (n_sigma <= 0.0 || c->n < 2)
        return;
    double sum = 0.0, squares = 0.0;
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (isfinite(c->at[i].logit)) {
            sum += (double)c->at[i].logit;
            n++;
        }
    }
    if (n == 0)
        return;
    const double mean = sum / (double)n;
    for (size_t i = 0; i < c->n; i++) {
        double from_mean = (double)c->at[i].logit - mean;
        squares += isfinite(c->at[i].logit) ? from_mean * from_mean : 0.0;
    }
    const double least = (double)c->at[cv_cands_best(c)].logit - n_sigma * sqrt(squares / (double)n);
    for (size_t i = 0; i < c->n; i++) {
        if ((double)c->at[i].logit < least)
            c->at[i].logit = -INFINITY;
    }
    if (c->order == CV_BY_LOGIT)
        c->order = CV_BY_NOTHING; /* the forbidden ones are equal now, and equals stand by id */
}

void cv_sample_xtc(struct cv_cands *c, double probability, double threshold, size_t keep, float u)
{
    if (probability <= 0.0 || threshold > 0.5 || c->n < 2 || (double)u > probability)
        return;
    cv_cands_sort(c);
    if (!cv_cands_softmax(c))
        return;
    size_t m = 0;
    while (m < c->n && c->at[m].p >= threshold)
        m++;
    if (m < 2 || c->n - (m - 1) < at_least_one(keep))
        return;
    c->n -= m - 1;
    for (size_t i = 0; i < c->n; i++)
        c->at[i] = c->at[i + m - 1];
}

void cv_sample_temperature(struct cv_cands *c, double temperature, double range, double exponent)
{
    double t = temperature;
    if (range > 0.0 && c->n > 1 && cv_cands_softmax(c)) {
        const double low = temperature - range > 0.0 ? temperature - range : 0.0, high = temperature + range;
        t = low + (high - low) * pow(entropy(c) / log((double)c->n), exponent);
    }
    if (t == 1.0 || c->n == 0)
        return;
    if (!(t > 0.0)) {
        size_t best = cv_cands_best(c);
        for (size_t i = 0; i < c->n; i++)
            c->at[i].logit = i == best ? c->at[i].logit : -INFINITY;
    } else {
        for (size_t i = 0; i < c->n; i++)
            c->at[i].logit = (float)((double)c->at[i].logit / t);
    }
    if (c->order == CV_BY_LOGIT)
        c->order = CV_BY_NOTHING; /* rounding makes equals, and equals stand by id */
}
