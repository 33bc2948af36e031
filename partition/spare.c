/*
 * spare.c - why a device is left out: the plan with it, as good as a search around the chosen one finds it, is worse.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "partition/order.h"

enum { MAX_TRIED = 24, MAX_PLACES = 16 };

/* The best score of plans that use d: put anywhere between the devices of best, some of which may then drop out. */
static double score_with(struct order *o, const struct chain *best, uint32_t d, uint32_t *dev, bool *must,
                         struct chain *now)
{
    const double limits[] = {INFINITY, best->max * 1.5, best->max * 1.1, best->max};
    const uint32_t n_limit = o->k->w.beta > 0.0 ? 4 : 1, step = 1 + best->n / MAX_PLACES;
    double least = INFINITY;
    for (uint32_t l = 0; l < n_limit; l++) {
        cv_plan_order_limit(o, limits[l]);
        for (uint32_t place = 0; place <= best->n; place += step) {
            for (uint32_t i = 0; i <= best->n; i++) {
                dev[i] = i == place ? d : best->dev[i > place ? i - 1 : i];
                must[i] = i == place;
            }
            if (cv_plan_order_best(o, dev, best->n + 1, must, now))
                least = fmin(least, now->score);
        }
    }
    return least;
}

static void say_slower(struct cv_plan_spare *s, const struct costs *k, const struct chain *best, double with)
{
    static const char *const unit[CV_PLAN_OPTIMIZE_COUNT] = {"a token plus the slowest stage", "a token",
                                                             "the slowest stage", "the prompt"};
    const char *what = unit[k->goal.optimize];
    if (!(with < INFINITY)) {
        s->why = CV_PLAN_NOT_BETTER;
        snprintf(s->text, sizeof(s->text), "spare: no place for it beside the others");
    } else if (with <= best->score * (1.0 + 1e-6)) {
        s->why = CV_PLAN_NOT_BETTER;
        snprintf(s->text, sizeof(s->text), "spare: %s is no faster with it", what);
    } else {
        s->why = CV_PLAN_SLOWER;
        snprintf(s->text, sizeof(s->text), "spare: with it %s takes %.4g ms, without %.4g ms", what, 1e3 * with,
                 1e3 * best->score);
    }
}

/* The shortest thing that d could hold: for the reason of one that is too small. */
static uint64_t least_stage(const struct costs *k)
{
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < k->n; i++) {
        const uint64_t b = cv_plan_stage_total(k, i, i + 1);
        least = b < least ? b : least;
    }
    return least;
}

static const struct cv_plan_spare *like_one_before(const struct cv_plan *plan, const struct classes *s, uint32_t d)
{
    for (uint32_t i = 0; i < plan->n_spare; i++)
        if (s->of[d] != CV_PLAN_NONE && s->of[plan->spare[i].device] == s->of[d])
            return &plan->spare[i];
    return NULL;
}

static void say_why(struct order *o, const struct classes *s, const struct chain *best, const struct cv_plan *plan,
                    struct cv_plan_spare *spare, uint32_t *dev, bool *must, struct chain *now)
{
    const struct costs *k = o->k;
    const uint32_t d = spare->device;
    const struct cv_plan_spare *before = like_one_before(plan, s, d);
    if (k->cluster->device[d].excluded) {
        spare->why = CV_PLAN_EXCLUDED;
        snprintf(spare->text, sizeof(spare->text), "excluded");
    } else if (s->of[d] == CV_PLAN_NONE) {
        spare->why = CV_PLAN_TOO_SMALL;
        snprintf(spare->text, sizeof(spare->text), "too small: %.0f MiB, one layer with its buffers takes %.0f MiB",
                 (double)k->usable[d] / 0x1p20, (double)least_stage(k) / 0x1p20);
    } else if (k->goal.max_stages != 0 && best->n >= k->goal.max_stages) {
        spare->why = CV_PLAN_LIMITED;
        snprintf(spare->text, sizeof(spare->text), "spare: at most %u stages were asked for", k->goal.max_stages);
    } else if (before != NULL) {
        spare->why = before->why;
        memcpy(spare->text, before->text, sizeof(spare->text));
    } else if (plan->n_spare >= MAX_TRIED) {
        spare->why = CV_PLAN_NOT_BETTER;
        snprintf(spare->text, sizeof(spare->text), "spare: the best plan does without it");
    } else {
        say_slower(spare, k, best, score_with(o, best, d, dev, must, now));
    }
}

bool cv_plan_spares(const struct costs *k, const struct classes *s, const struct chain *best, struct cv_plan *plan,
                    struct cv_arena *arena, struct cv_error *err)
{
    struct order o;
    struct chain now;
    uint32_t *dev = cv_arena_calloc(arena, (size_t)k->n_dev + 1, sizeof(*dev));
    bool *must = cv_arena_calloc(arena, (size_t)k->n_dev + 1, sizeof(*must));
    if (dev == NULL || must == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for the planner's tables");
    if (!cv_plan_chain_new(&now, k->n_dev, arena, err) || !cv_plan_order_new(&o, k, arena, err))
        return false;
    for (uint32_t d = 0; d < k->n_dev; d++) {
        bool used = false;
        for (uint32_t i = 0; i < best->n; i++)
            used = used || best->dev[i] == d;
        if (used)
            continue;
        struct cv_plan_spare *spare = &plan->spare[plan->n_spare];
        spare->device = d;
        say_why(&o, s, best, plan, spare, dev, must, &now);
        plan->n_spare++;
    }
    return true;
}
