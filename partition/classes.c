/*
 * classes.c - devices that no plan can tell apart: the same memory, speeds, layers held and links. The search counts how
 * many of a class it uses, so twelve equal boards make thirteen states and not four thousand.
 */
#include <string.h>

#include "base/mem.h"
#include "partition/internal.h"

static bool same_rates(const struct cv_plan_device *a, const struct cv_plan_device *b)
{
    if (a->n_rate != b->n_rate)
        return false;
    for (uint32_t i = 0; i < a->n_rate; i++)
        if (a->rate[i].rows != b->rate[i].rows || a->rate[i].flops != b->rate[i].flops)
            return false;
    return true;
}

static bool same_link(const struct cv_plan_link *a, const struct cv_plan_link *b)
{
    return a->delay_s == b->delay_s && a->bytes_per_s == b->bytes_per_s;
}

static bool same_device(const struct costs *k, uint32_t i, uint32_t j)
{
    const struct cv_plan_device *a = &k->cluster->device[i], *b = &k->cluster->device[j];
    if (a->pinned || b->pinned || k->usable[i] != k->usable[j] || a->bandwidth != b->bandwidth ||
        a->layer_s != b->layer_s || a->stage_s != b->stage_s || !same_rates(a, b))
        return false;
    if (k->goal.move_s_per_byte > 0.0 && (a->held_first != b->held_first || a->held_last != b->held_last ||
                                          a->held_embd != b->held_embd || a->held_head != b->held_head))
        return false;
    const size_t w = (size_t)k->n_dev + 1;
    if (!same_link(&k->link[i * w + j], &k->link[j * w + i]))
        return false;
    for (uint32_t x = 0; x <= k->n_dev; x++) {
        if (x != i && x != j &&
            (!same_link(&k->link[i * w + x], &k->link[j * w + x]) ||
             !same_link(&k->link[x * w + i], &k->link[x * w + j])))
            return false;
    }
    return true;
}

static bool holds_anything(const struct costs *k, uint32_t d)
{
    const struct cv_plan_device *dev = &k->cluster->device[d];
    if (dev->pinned)
        return cv_plan_stage_fits(k, d, dev->pin_first, dev->pin_last);
    for (uint32_t i = 0; i < k->n; i++)
        if (cv_plan_stage_fits(k, d, i, i + 1))
            return true;
    return false;
}

bool cv_plan_classes_make(struct classes *s, const struct costs *k, struct cv_arena *arena, struct cv_error *err)
{
    memset(s, 0, sizeof(*s));
    s->first = cv_arena_calloc(arena, k->n_dev, sizeof(*s->first));
    s->count = cv_arena_calloc(arena, k->n_dev, sizeof(*s->count));
    s->of = cv_arena_calloc(arena, k->n_dev, sizeof(*s->of));
    if (s->first == NULL || s->count == NULL || s->of == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for the planner's tables");
    for (uint32_t d = 0; d < k->n_dev; d++) {
        s->of[d] = CV_PLAN_NONE;
        if (!holds_anything(k, d))
            continue;
        for (uint32_t c = 0; c < s->n && s->of[d] == CV_PLAN_NONE; c++)
            if (same_device(k, s->first[c], d))
                s->of[d] = c;
        if (s->of[d] == CV_PLAN_NONE) {
            s->of[d] = s->n;
            s->first[s->n++] = d;
        }
        s->count[s->of[d]]++;
    }
    return true;
}

bool cv_plan_pins_hold(const struct costs *k, const struct classes *s)
{
    for (uint32_t d = 0; d < k->n_dev; d++)
        if (k->cluster->device[d].pinned && s->of[d] == CV_PLAN_NONE)
            return false;
    return true;
}
