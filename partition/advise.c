/*
 * advise.c - which node would gain most from more memory, and how much of it: planning again with one node enlarged.
 */
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "partition/internal.h"

#define STEP  ((uint64_t)256 << 20)
#define WORTH 0.02 /* less than this share is not worth a word */
#define MOST  0.9  /* of what unlimited memory would bring */

struct advisor {
    const struct cv_plan_model *model;
    struct cv_plan_cluster cluster; /* device: a copy */
    struct cv_plan_goal goal;
};

/* The best score with device d given more bytes. */
static bool score_with(struct advisor *a, struct cv_plan_device *d, uint64_t more, double *score, struct cv_error *err)
{
    struct cv_arena arena = {0};
    struct costs k;
    struct classes s;
    struct chain best;
    double bound;
    bool exact, found = false;
    const uint64_t before = d->memory_bytes;
    d->memory_bytes += more;
    const bool ok = cv_plan_costs_make(&k, a->model, &a->cluster, &a->goal, &arena, err) &&
                    cv_plan_classes_make(&s, &k, &arena, err) && cv_plan_chain_new(&best, k.n_dev, &arena, err) &&
                    cv_plan_solve(&k, &s, &best, &bound, &exact, &found, &arena, err);
    d->memory_bytes = before;
    if (ok)
        *score = found ? best.score : *score;
    cv_arena_fini(&arena);
    return ok;
}

/* The least that reaches target, in steps; most does. */
static bool least_more(struct advisor *a, struct cv_plan_device *d, double target, uint64_t most, uint64_t *out,
                       struct cv_error *err)
{
    uint64_t lo = 0, hi = most / STEP + 1;
    while (hi - lo > 1) {
        const uint64_t mid = lo + (hi - lo) / 2;
        double score = target * 2.0;
        if (!score_with(a, d, mid * STEP, &score, err))
            return false;
        if (score <= target)
            hi = mid;
        else
            lo = mid;
    }
    *out = hi * STEP;
    return true;
}

bool cv_plan_advise(const struct cv_plan_model *model, const struct cv_plan_cluster *cluster,
                    const struct cv_plan *plan, struct cv_plan_advice *out, struct cv_error *err)
{
    struct cv_arena arena = {0};
    struct advisor a = {.model = model, .cluster = *cluster, .goal = plan->goal};
    struct cv_plan_device *dev = cv_arena_calloc(&arena, cluster->n_device, sizeof(*dev));
    struct cv_plan_bytes all;
    cv_plan_stage_bytes(model, 0, model->n_layer, &all);
    memset(out, 0, sizeof(*out));
    out->device = CV_PLAN_NONE;
    double best = plan->score * (1.0 - WORTH);
    bool ok = dev != NULL || cv_fail(err, CV_ERR_NOMEM, "no memory for the planner's tables");
    if (ok)
        memcpy(dev, cluster->device, cluster->n_device * sizeof(*dev));
    a.cluster.device = dev;
    for (uint32_t d = 0; ok && d < cluster->n_device; d++) {
        double score = plan->score;
        ok = dev[d].excluded || score_with(&a, &dev[d], all.total, &score, err);
        if (ok && score < best) {
            best = score;
            out->device = d;
        }
    }
    if (ok && out->device != CV_PLAN_NONE) {
        const double target = plan->score - MOST * (plan->score - best);
        char size[CV_SIZE_TEXT];
        ok = least_more(&a, &dev[out->device], target, all.total, &out->more_bytes, err) &&
             score_with(&a, &dev[out->device], out->more_bytes, &out->score, err);
        snprintf(out->text, sizeof(out->text), "%s more on %.40s would make it %.2f times as fast",
                 cv_size_format(out->more_bytes, size), dev[out->device].name,
                 out->score > 0.0 ? plan->score / out->score : 1.0);
    }
    cv_arena_fini(&arena);
    return ok;
}
