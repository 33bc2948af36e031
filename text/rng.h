/*
 * rng.h - the Mersenne Twister MT19937 (Matsumoto & Nishimura 1998): what a seed means everywhere, so a seed means the
 * same here.
 */
#ifndef CV_TEXT_RNG_H
#define CV_TEXT_RNG_H

#include <stdint.h>

enum { CV_RNG_WORDS = 624 };

struct cv_rng {
    uint32_t word[CV_RNG_WORDS];
    uint32_t at;
};

void cv_rng_seed(struct cv_rng *r, uint32_t seed);
uint32_t cv_rng_u32(struct cv_rng *r);
double cv_rng_double(struct cv_rng *r); /* [0, 1): two words, the second the more significant */
float cv_rng_float(struct cv_rng *r);   /* [0, 1): one word */
void cv_rng_discard(struct cv_rng *r, uint64_t n_words);

#endif
