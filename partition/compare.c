/*
 * compare.c - the plan that splitting by memory alone gives: every device in the order they came, layers in proportion
 * to its memory. What it forgets (caches, the head, speeds, links) is what the comparison shows.
 */
#include <string.h>

#include "base/size.h"
#include "partition/internal.h"

static uint32_t split(const struct costs *k, struct cv_plan_stage *stage)
{
    double all = 0.0, before = 0.0;
    uint32_t n = 0, at = 0;
    for (uint32_t d = 0; d < k->n_dev; d++)
        all += (double)k->usable[d];
    for (uint32_t d = 0; d < k->n_dev; d++) {
        before += (double)k->usable[d];
        const uint32_t to = all > 0.0 ? (uint32_t)(before / all * k->n + 0.5) : 0;
        if (to <= at)
            continue;
        stage[n++] = (struct cv_plan_stage){.device = d, .layer_first = at, .layer_last = to};
        at = to;
    }
    return at == k->n ? n : 0;
}

bool cv_plan_by_memory(const struct cv_plan_model *model, const struct cv_plan_cluster *cluster,
                       const struct cv_plan_goal *goal, struct cv_plan *out, struct cv_arena *arena,
                       struct cv_error *err)
{
    struct cv_arena scratch = {0};
    struct costs k;
    struct cv_plan plan = {0};
    bool ok = cv_plan_costs_make(&k, model, cluster, goal, &scratch, err);
    if (ok && (plan.stage = cv_arena_calloc(arena, k.n_dev, sizeof(*plan.stage))) == NULL)
        ok = cv_fail(err, CV_ERR_NOMEM, "no memory for the plan");
    if (ok && (plan.n_stage = split(&k, plan.stage)) == 0)
        ok = cv_fail(err, CV_ERR_NOMEM, "by memory alone: no node has any memory");
    for (uint32_t i = 0; ok && i < plan.n_stage; i++) {
        const struct cv_plan_stage *s = &plan.stage[i];
        const uint64_t need = cv_plan_stage_total(&k, s->layer_first, s->layer_last);
        char want[CV_SIZE_TEXT], have[CV_SIZE_TEXT];
        if (need > k.usable[s->device])
            ok = cv_fail(err, CV_ERR_NOMEM, "by memory alone, layers %u to %u go to '%s': they take %s, it has %s",
                         s->layer_first, s->layer_last - 1, cluster->device[s->device].name, cv_size_format(need, want),
                         cv_size_format(k.usable[s->device], have));
    }
    if (ok) {
        cv_plan_fill(&k, &plan);
        *out = plan;
    }
    cv_arena_fini(&scratch);
    return ok;
}
