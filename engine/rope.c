#include "engine/rope.h"

#include <math.h>

/* The pair that makes n turns over the original context. */
static double pair_of_turns(const struct cv_rope *r, double n)
{
    const double two_pi = 6.283185307179586476925286766559;
    return r->n_rot * log(r->orig_ctx / (n * two_pi)) / (2.0 * log((double)r->freq_base));
}

static double clamp(double v, double lo, double hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

void cv_rope_freqs(const struct cv_rope *r, const float *factors, double *freq, float *mscale)
{
    size_t n_pair = r->n_rot / 2;
    bool scaled = r->scaling == CV_ROPE_LINEAR || r->scaling == CV_ROPE_YARN;
    bool yarn = r->scaling == CV_ROPE_YARN && r->ext_factor != 0.0f;
    double slower = scaled && r->factor != 0.0f ? 1.0 / (double)r->factor : 1.0;
    /* YaRN: pairs that turn fast (below lo) keep their pace, slow ones (above hi) are stretched, a ramp between. */
    double lo = 0.0, hi = 0.0;
    if (yarn) {
        lo = clamp(floor(pair_of_turns(r, (double)r->beta_fast)), 0.0, r->n_rot - 1.0);
        hi = clamp(ceil(pair_of_turns(r, (double)r->beta_slow)), 0.0, r->n_rot - 1.0);
    }
    for (size_t i = 0; i < n_pair; i++) {
        double plain = pow((double)r->freq_base, -2.0 * (double)i / r->n_rot);
        if (factors != NULL)
            plain /= (double)factors[i];
        double keep = 0.0;
        if (yarn)
            keep =
                (1.0 - clamp(((double)i - lo) / (hi - lo > 0.001 ? hi - lo : 0.001), 0.0, 1.0)) * (double)r->ext_factor;
        freq[i] = plain * slower * (1.0 - keep) + plain * keep;
    }
    *mscale = r->scaling == CV_ROPE_YARN ? r->attn_factor : 1.0f;
    if (yarn && slower < 1.0)
        *mscale *= (float)(1.0 - 0.1 * log(slower));
}

void cv_rope_angles(const double *freq, float mscale, size_t n_pair, uint32_t pos, float *cosine, float *sine)
{
    for (size_t i = 0; i < n_pair; i++) {
        double turn = (double)pos * freq[i];
        cosine[i] = (float)(cos(turn) * (double)mscale);
        sine[i] = (float)(sin(turn) * (double)mscale);
    }
}
