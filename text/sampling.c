/* sampling.c - the parameters of sampling: defaults, names, what is refused. */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "text/sampler.h"

static const struct {
    const char *name;
    char letter;
    uint8_t kind;
} names[] = {
    {"penalties", 'e', CV_SAMPLER_PENALTIES},
    {"dry", 'd', CV_SAMPLER_DRY},
    {"top_n_sigma", 's', CV_SAMPLER_TOP_N_SIGMA},
    {"top_k", 'k', CV_SAMPLER_TOP_K},
    {"topk", 0, CV_SAMPLER_TOP_K},
    {"typ_p", 'y', CV_SAMPLER_TYPICAL},
    {"typical_p", 0, CV_SAMPLER_TYPICAL},
    {"typical", 0, CV_SAMPLER_TYPICAL},
    {"typ", 0, CV_SAMPLER_TYPICAL},
    {"top_p", 'p', CV_SAMPLER_TOP_P},
    {"topp", 0, CV_SAMPLER_TOP_P},
    {"nucleus", 0, CV_SAMPLER_TOP_P},
    {"min_p", 'm', CV_SAMPLER_MIN_P},
    {"minp", 0, CV_SAMPLER_MIN_P},
    {"xtc", 'x', CV_SAMPLER_XTC},
    {"temperature", 't', CV_SAMPLER_TEMPERATURE},
    {"temp", 0, CV_SAMPLER_TEMPERATURE},
    {"adaptive_p", 'a', CV_SAMPLER_ADAPTIVE_P},
};

unsigned cv_sampler_by_name(const char *name, size_t n)
{
    for (size_t i = 0; i < CV_COUNT(names); i++) {
        size_t at = 0;
        while (at < n && names[i].name[at] != '\0') {
            char c = name[at] == '-' ? '_' : (char)tolower((unsigned char)name[at]);
            if (c != names[i].name[at])
                break;
            at++;
        }
        if (at == n && names[i].name[at] == '\0' && n > 0)
            return names[i].kind;
    }
    return 0;
}

unsigned cv_sampler_by_letter(char letter)
{
    for (size_t i = 0; i < CV_COUNT(names); i++) {
        if (letter != 0 && names[i].letter == letter)
            return names[i].kind;
    }
    return 0;
}

void cv_sampling_defaults(struct cv_sampling *p)
{
    static const char *const breakers[] = {"\n", ":", "\"", "*"};
    *p = (struct cv_sampling){
        .temperature = 0.8,
        .dynatemp_exponent = 1.0,
        .top_k = 40,
        .top_p = 0.95,
        .min_p = 0.05,
        .typical_p = 1.0,
        .top_n_sigma = -1.0,
        .xtc_threshold = 0.1,
        .repeat_last_n = 64,
        .repeat_penalty = 1.0,
        .dry_base = 1.75,
        .dry_allowed_length = 2,
        .dry_penalty_last_n = 64,
        .dry_breaker = breakers,
        .n_dry_breaker = CV_COUNT(breakers),
        .mirostat_tau = 5.0,
        .mirostat_eta = 0.1,
        .adaptive_target = -1.0,
        .adaptive_decay = 0.9,
        .chain = {CV_SAMPLER_PENALTIES, CV_SAMPLER_DRY, CV_SAMPLER_TOP_N_SIGMA, CV_SAMPLER_TOP_K, CV_SAMPLER_TYPICAL,
                  CV_SAMPLER_TOP_P, CV_SAMPLER_MIN_P, CV_SAMPLER_XTC, CV_SAMPLER_TEMPERATURE},
        .n_chain = 9,
    };
}

static bool refuse(const char *name, const char *why, const char **field, struct cv_error *err)
{
    if (field != NULL)
        *field = name;
    return cv_fail(err, CV_ERR_ARG, "%s %s", name, why);
}

bool cv_sampling_check(const struct cv_sampling *p, uint32_t n_vocab, const char **field, struct cv_error *err)
{
    const struct {
        const char *name;
        double value;
    } reals[] = {
        {"temperature", p->temperature},
        {"dynatemp_range", p->dynatemp_range},
        {"dynatemp_exponent", p->dynatemp_exponent},
        {"top_p", p->top_p},
        {"min_p", p->min_p},
        {"typical_p", p->typical_p},
        {"top_n_sigma", p->top_n_sigma},
        {"xtc_probability", p->xtc_probability},
        {"xtc_threshold", p->xtc_threshold},
        {"repeat_penalty", p->repeat_penalty},
        {"frequency_penalty", p->frequency_penalty},
        {"presence_penalty", p->presence_penalty},
        {"dry_multiplier", p->dry_multiplier},
        {"dry_base", p->dry_base},
        {"mirostat_tau", p->mirostat_tau},
        {"mirostat_eta", p->mirostat_eta},
        {"adaptive_target", p->adaptive_target},
        {"adaptive_decay", p->adaptive_decay},
    };
    for (size_t i = 0; i < CV_COUNT(reals); i++) {
        if (!isfinite(reals[i].value) || fabs(reals[i].value) > 1e6)
            return refuse(reals[i].name, "must be a number between -1000000 and 1000000", field, err);
    }
    if (p->repeat_penalty <= 0.0)
        return refuse("repeat_penalty", "must be greater than 0", field, err);
    if (p->repeat_last_n < -1)
        return refuse("repeat_last_n", "must be at least -1", field, err);
    if (p->dry_penalty_last_n < -1)
        return refuse("dry_penalty_last_n", "must be at least -1", field, err);
    if (p->dry_allowed_length < 0)
        return refuse("dry_allowed_length", "must be at least 0", field, err);
    if (p->min_keep < 0)
        return refuse("min_keep", "must be at least 0", field, err);
    if (p->dry_multiplier != 0.0 && p->n_dry_breaker == 0)
        return refuse("dry_sequence_breakers", "must hold at least one text", field, err);
    if (p->n_dry_breaker > CV_MAX_BREAKERS)
        return refuse("dry_sequence_breakers", "holds more than 64 texts", field, err);
    if (p->n_bias > CV_MAX_BIAS)
        return refuse("logit_bias", "names more than 65536 tokens", field, err);
    for (size_t i = 0; i < p->n_bias; i++) {
        if (p->bias[i].id < 0 || (uint32_t)p->bias[i].id >= n_vocab)
            return refuse("logit_bias", "names a token that the vocabulary does not have", field, err);
        if (isnan(p->bias[i].bias) || p->bias[i].bias == INFINITY)
            return refuse("logit_bias", "holds a value that is not a number", field, err);
    }
    if (p->n_chain > CV_MAX_CHAIN)
        return refuse("samplers", "holds more than 16 names", field, err);
    for (size_t i = 0; i < p->n_chain; i++) {
        if (p->chain[i] < CV_SAMPLER_PENALTIES || p->chain[i] > CV_SAMPLER_ADAPTIVE_P)
            return refuse("samplers", "holds a sampler that does not exist", field, err);
    }
    return true;
}
