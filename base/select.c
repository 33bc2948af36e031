#include "base/select.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/*
 * Fixed lanes: the compiler may turn them into vectors of any width, but the order of additions never changes.
 */
enum { LANES = 16, BLOCK = 64 };

static float max_of(const float *x, size_t n)
{
    float lane[LANES];
    for (size_t j = 0; j < LANES; j++)
        lane[j] = -INFINITY;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t j = 0; j < LANES; j++)
            lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
    }
    float best = -INFINITY;
    for (size_t j = 0; j < LANES; j++)
        best = lane[j] > best ? lane[j] : best;
    for (; i < n; i++)
        best = x[i] > best ? x[i] : best;
    return best;
}

/*
 * e^t for t <= 0, relative error below 2e-7: t = k ln 2 + r, |r| <= ln 2 / 2, the Taylor polynomial of degree 6 in r, k
 * put into the exponent. Below -86 the result counts as e^-86: far under what a sum that contains 1 can show. NaN: 0.
 */
static inline float exp_nonpositive(float t)
{
    t = t > -86.0f ? t : -86.0f;     /* also catches NaN, which the caller's sum must not see */
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
    float shifted = t * 1.44269504f + magic;
    float k = shifted - magic;
    float r = (t - k * 0.693145752f) - k * 1.42860677e-6f;
    float p = 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    uint32_t bits, power;
    memcpy(&bits, &shifted, sizeof(bits));
    power = (bits + 127u) << 23; /* the magic number's own bits are shifted out */
    float scale;
    memcpy(&scale, &power, sizeof(scale));
    return p * scale;
}

double cv_log_sum_exp(const float *row, size_t n)
{
    const float best = max_of(row, n);
    if (!isfinite(best))
        return best; /* nothing finite, or plus infinity */
    double lane[LANES] = {0};
    size_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK) {
        float e[LANES] = {0}; /* few enough for float32 */
        for (size_t k = 0; k < BLOCK; k += LANES) {
            for (size_t j = 0; j < LANES; j++)
                e[j] += exp_nonpositive(row[i + k + j] - best);
        }
        for (size_t j = 0; j < LANES; j++)
            lane[j] += (double)e[j];
    }
    for (; i < n; i++)
        lane[i % LANES] += (double)exp_nonpositive(row[i] - best);
    double sum = 0.0;
    for (size_t j = 0; j < LANES; j++)
        sum += lane[j];
    return (double)best + log(sum);
}

size_t cv_candidates_count(size_t n_vocab, uint32_t n_top, size_t n_ids)
{
    if (n_top == CV_ASK_ALL)
        return n_vocab;
    return (n_top < n_vocab ? n_top : n_vocab) + n_ids;
}

static bool worse(struct cv_candidate a, struct cv_candidate b)
{
    return a.logit < b.logit || (a.logit == b.logit && a.id > b.id);
}

/* heap[0] is the worst; moves heap[i] down to where it belongs. */
static void sift_down(struct cv_candidate *heap, size_t n, size_t i)
{
    struct cv_candidate moving = heap[i];
    for (size_t child = 2 * i + 1; child < n; child = 2 * i + 1) {
        if (child + 1 < n && worse(heap[child + 1], heap[child]))
            child++;
        if (!worse(heap[child], moving))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = moving;
}

static bool any_above(const float *x, size_t n, float limit)
{
    int any = 0;
    for (size_t i = 0; i < n; i++)
        any |= x[i] > limit;
    return any != 0;
}

static struct cv_candidate candidate(const float *row, size_t i)
{
    return (struct cv_candidate){.id = (int32_t)i, .logit = isnan(row[i]) ? -INFINITY : row[i]};
}

static void best_of(const float *row, size_t n_vocab, size_t n, struct cv_candidate *heap)
{
    for (size_t i = 0; i < n; i++)
        heap[i] = candidate(row, i);
    for (size_t i = n / 2; i-- > 0;)
        sift_down(heap, n, i);
    /* ids rise, so an equal logit further on is never better than the worst one kept: strictly larger is enough */
    for (size_t i = n; i < n_vocab; i += BLOCK) {
        size_t end = i + BLOCK < n_vocab ? i + BLOCK : n_vocab;
        if (!any_above(row + i, end - i, heap[0].logit))
            continue;
        for (size_t j = i; j < end; j++) {
            if (row[j] > heap[0].logit) {
                heap[0] = candidate(row, j);
                sift_down(heap, n, 0);
            }
        }
    }
    for (size_t left = n; left > 1; left--) { /* the worst to the end, again and again */
        struct cv_candidate last = heap[left - 1];
        heap[left - 1] = heap[0];
        heap[0] = last;
        sift_down(heap, left - 1, 0);
    }
}

size_t cv_candidates_select(const float *row, size_t n_vocab, uint32_t n_top, const int32_t *ids, size_t n_ids,
                            struct cv_candidate *out, double *lse)
{
    if (lse != NULL)
        *lse = cv_log_sum_exp(row, n_vocab);
    if (n_top == CV_ASK_ALL) {
        for (size_t i = 0; i < n_vocab; i++)
            out[i] = candidate(row, i);
        return n_vocab;
    }
    size_t n = n_top < n_vocab ? n_top : n_vocab;
    if (n > 0)
        best_of(row, n_vocab, n, out);
    for (size_t i = 0; i < n_ids; i++) {
        bool inside = ids[i] >= 0 && (size_t)ids[i] < n_vocab;
        out[n + i] = inside ? candidate(row, (size_t)ids[i]) : (struct cv_candidate){.id = ids[i], .logit = -INFINITY};
    }
    return n + n_ids;
}
