/* rope.h - rotary position embedding: how far each pair of values turns per position. */
#ifndef CV_ENGINE_ROPE_H
#define CV_ENGINE_ROPE_H

#include "engine/program.h"

/*
 * freq[i], i < n_rot / 2: radians per position of pair i; the cosine and sine are multiplied by *mscale.
 * factors: a divisor for each pair, or NULL. Su et al. 2021; YaRN: Peng et al. 2023, section 3.
 */
void cv_rope_freqs(const struct cv_rope *r, const float *factors, double *freq, float *mscale);

/* cos[i], sin[i], i < n_pair, of one position. */
void cv_rope_angles(const double *freq, float mscale, size_t n_pair, uint32_t pos, float *cosine, float *sine);

#endif
