#include "text/rng.h"

enum { MIDDLE = 397 };

void cv_rng_seed(struct cv_rng *r, uint32_t seed)
{
    r->word[0] = seed;
    for (uint32_t i = 1; i < CV_RNG_WORDS; i++)
        r->word[i] = 1812433253u * (r->word[i - 1] ^ (r->word[i - 1] >> 30)) + i;
    r->at = CV_RNG_WORDS;
}

static void refill(struct cv_rng *r)
{
    for (uint32_t i = 0; i < CV_RNG_WORDS; i++) {
        uint32_t y = (r->word[i] & 0x80000000u) | (r->word[(i + 1) % CV_RNG_WORDS] & 0x7fffffffu);
        r->word[i] = r->word[(i + MIDDLE) % CV_RNG_WORDS] ^ (y >> 1) ^ ((y & 1) ? 0x9908b0dfu : 0);
    }
    r->at = 0;
}

uint32_t cv_rng_u32(struct cv_rng *r)
{
    if (r->at >= CV_RNG_WORDS)
        refill(r);
    uint32_t y = r->word[r->at++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

double cv_rng_double(struct cv_rng *r)
{
    double low = cv_rng_u32(r), high = cv_rng_u32(r);
    double u = (low + high * 4294967296.0) / 18446744073709551616.0;
    return u < 1.0 ? u : 0x1.fffffffffffffp-1;
}

float cv_rng_float(struct cv_rng *r)
{
    float u = (float)cv_rng_u32(r) / 4294967296.0f;
    return u < 1.0f ? u : 0x1.fffffep-1f;
}

void cv_rng_discard(struct cv_rng *r, uint64_t n_words)
{
    while (n_words-- > 0)
        cv_rng_u32(r);
}
