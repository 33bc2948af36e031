/*
 * plan.c - the life of a plan: checked input, search, predictions, reasons.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "partition/internal.h"

#define IMPROVE_WORK ((uint64_t)400 << 20) /* about a second */

static const char *const optimize_names[CV_PLAN_OPTIMIZE_COUNT] = {"balanced", "latency", "throughput", "prompt"};

const char *cv_plan_optimize_name(enum cv_plan_optimize o)
{
    return (unsigned)o < CV_PLAN_OPTIMIZE_COUNT ? optimize_names[o] : "unknown";
}

bool cv_plan_optimize_parse(const char *text, enum cv_plan_optimize *out, struct cv_error *err)
{
    for (int i = 0; i < CV_PLAN_OPTIMIZE_COUNT; i++) {
        if (strcmp(text, optimize_names[i]) == 0) {
            *out = (enum cv_plan_optimize)i;
            return true;
        }
    }
    return cv_fail(err, CV_ERR_ARG, "'%s' is no goal; expected balanced, latency, throughput or prompt", text);
}

bool cv_plan_check(const struct cv_plan_model *model, const struct cv_plan_cluster *cluster, const struct cv_plan *plan,
                   struct cv_error *err)
{
    uint32_t at = 0;
    if (plan->n_stage == 0)
        return cv_fail(err, CV_ERR_INTERNAL, "the plan has no stage");
    for (uint32_t i = 0; i < plan->n_stage; i++) {
        const struct cv_plan_stage *s = &plan->stage[i];
        if (s->device >= cluster->n_device)
            return cv_fail(err, CV_ERR_INTERNAL, "stage %u: there is no device %u", i, s->device);
        const struct cv_plan_device *d = &cluster->device[s->device];
        if (s->layer_first != at || s->layer_last <= at || s->layer_last > model->n_layer)
            return cv_fail(err, CV_ERR_INTERNAL, "stage %u: layers [%u, %u), expected them to begin at %u", i,
                           s->layer_first, s->layer_last, at);
        at = s->layer_last;
        if (s->has_embd != (i == 0) || s->has_head != (i + 1 == plan->n_stage))
            return cv_fail(err, CV_ERR_INTERNAL, "stage %u: embedding or head in the wrong place", i);
        for (uint32_t j = 0; j < i; j++)
            if (plan->stage[j].device == s->device)
                return cv_fail(err, CV_ERR_INTERNAL, "stages %u and %u are both on '%s'", j, i, d->name);
        struct cv_plan_bytes b;
        cv_plan_stage_bytes(model, s->layer_first, s->layer_last, &b);
        if (d->reserve_bytes > d->memory_bytes || b.total > d->memory_bytes - d->reserve_bytes)
            return cv_fail(err, CV_ERR_INTERNAL, "stage %u: takes %llu bytes, '%s' has %llu", i,
                           (unsigned long long)b.total, d->name, (unsigned long long)d->memory_bytes);
        if (b.total != s->bytes.total)
            return cv_fail(err, CV_ERR_INTERNAL, "stage %u: counted %llu bytes, the plan says %llu", i,
                           (unsigned long long)b.total, (unsigned long long)s->bytes.total);
        if (d->excluded || (d->pinned && (d->pin_first != s->layer_first || d->pin_last != s->layer_last)))
            return cv_fail(err, CV_ERR_INTERNAL, "stage %u: '%s' is excluded or pinned elsewhere", i, d->name);
    }
    if (at != model->n_layer)
        return cv_fail(err, CV_ERR_INTERNAL, "the plan ends at layer %u of %u", at, model->n_layer);
    for (uint32_t d = 0; d < cluster->n_device; d++) {
        bool used = false;
        for (uint32_t i = 0; i < plan->n_stage; i++)
            used = used || plan->stage[i].device == d;
        if (cluster->device[d].pinned && !used)
            return cv_fail(err, CV_ERR_INTERNAL, "'%s' is pinned and not used", cluster->device[d].name);
    }
    return true;
}

static bool check_constraints(const struct costs *k, const struct classes *s, struct cv_error *err)
{
    uint32_t usable = 0;
    for (uint32_t d = 0; d < k->n_dev; d++) {
        const struct cv_plan_device *dev = &k->cluster->device[d];
        usable += s->of[d] != CV_PLAN_NONE;
        if (dev->pinned && s->of[d] == CV_PLAN_NONE)
            return cv_fail(
                err, CV_ERR_NOMEM, "node '%s': its pinned layers %u to %u take %.2f GiB, it may use %.2f GiB",
                dev->name, dev->pin_first, dev->pin_last - 1,
                (double)cv_plan_stage_total(k, dev->pin_first, dev->pin_last) / 0x1p30, (double)k->usable[d] / 0x1p30);
    }
    if (k->goal.min_stages > k->n)
        return cv_fail(err, CV_ERR_ARG, "at least %u stages asked for, the model has %u layers", k->goal.min_stages,
                       k->n);
    if (k->goal.min_stages > usable)
        return cv_fail(err, CV_ERR_ARG, "at least %u stages asked for, only %u nodes can hold a layer",
                       k->goal.min_stages, usable);
    return true;
}

static bool make_stages(const struct costs *k, const struct chain *c, struct cv_plan *plan, struct cv_arena *arena,
                        struct cv_error *err)
{
    plan->stage = cv_arena_calloc(arena, c->n, sizeof(*plan->stage));
    plan->spare = cv_arena_calloc(arena, k->n_dev, sizeof(*plan->spare));
    if (plan->stage == NULL || plan->spare == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for the plan");
    plan->n_stage = c->n;
    for (uint32_t i = 0; i < c->n; i++) {
        plan->stage[i].device = c->dev[i];
        plan->stage[i].layer_first = c->cut[i];
        plan->stage[i].layer_last = c->cut[i + 1];
    }
    return true;
}

bool cv_plan_solve(const struct costs *k, const struct classes *s, struct chain *best, double *bound, bool *exact,
                   bool *found, struct cv_arena *arena, struct cv_error *err)
{
    struct cv_error why;
    *exact = true;
    *bound = 0.0;
    *found = false;
    if (s->n == 0)
        return true;
    if (cv_plan_search(k, s, best, bound, found, arena, &why)) {
        *exact = *found && *bound >= best->score * (1.0 - 1e-9);
        return true;
    }
    if (why.code != CV_ERR_LIMIT) {
        if (err != NULL)
            *err = why;
        return false;
    }
    *exact = false;
    return cv_plan_improve(k, s, IMPROVE_WORK, best, found, arena, err) &&
           (!*found || cv_plan_bound(k, s, best->score, bound, arena, err));
}

bool cv_plan_make(const struct cv_plan_model *model, const struct cv_plan_cluster *cluster,
                  const struct cv_plan_goal *goal, struct cv_plan *out, struct cv_arena *arena, struct cv_error *err)
{
    struct cv_arena scratch = {0};
    struct costs k;
    struct classes s;
    struct chain best;
    struct cv_plan plan = {0};
    bool found = false;
    bool ok = cv_plan_costs_make(&k, model, cluster, goal, &scratch, err) &&
              cv_plan_classes_make(&s, &k, &scratch, err) && check_constraints(&k, &s, err) &&
              cv_plan_chain_new(&best, k.n_dev, &scratch, err) &&
              cv_plan_solve(&k, &s, &best, &plan.lower_bound, &plan.exact, &found, &scratch, err);
    if (ok && !found)
        ok = cv_plan_say_no(&k, err);
    ok = ok && make_stages(&k, &best, &plan, arena, err) && cv_plan_spares(&k, &s, &best, &plan, &scratch, err);
    if (ok) {
        cv_plan_fill(&k, &plan);
        plan.lower_bound = plan.exact ? plan.score : fmin(plan.lower_bound, plan.score);
        *out = plan;
    }
    cv_arena_fini(&scratch);
    return ok;
}
