/*
 * input.c - what came in, checked once: sizes that cannot overflow any sum, speeds that are numbers, constraints that can
 * be kept. Nothing behind this looks at them again.
 */
#include <math.h>

#include "base/mem.h"
#include "partition/internal.h"

#define MAX_BYTES ((uint64_t)1 << 60) /* of a whole model: far from overflow in every sum below */

static bool bounded_sum(uint64_t *sum, uint64_t a, uint64_t b)
{
    size_t product = 0, total = 0;
    if (!cv_mul_size((size_t)a, (size_t)b, &product) || !cv_add_size((size_t)*sum, product, &total) ||
        total >= MAX_BYTES)
        return false;
    *sum = total;
    return true;
}

static bool finite_positive(double x)
{
    return isfinite(x) && x >= 0.0;
}

static bool check_model(const struct cv_plan_model *m, struct cv_error *err)
{
    if (m->n_layer == 0 || m->n_layer > CV_MAX_LAYERS)
        return cv_fail(err, CV_ERR_LIMIT, "model has %u layers, expected 1 to %u", m->n_layer, CV_MAX_LAYERS);
    if (m->n_ctx == 0 || m->n_ctx > CV_MAX_CTX)
        return cv_fail(err, CV_ERR_LIMIT, "context of %u positions, expected 1 to %u", m->n_ctx, CV_MAX_CTX);
    if (m->n_slots == 0 || m->n_slots > CV_MAX_SLOTS)
        return cv_fail(err, CV_ERR_LIMIT, "%u slots, expected 1 to %u", m->n_slots, CV_MAX_SLOTS);
    if (m->n_batch == 0 || m->n_batch > CV_MAX_BATCH_ROWS)
        return cv_fail(err, CV_ERR_LIMIT, "batch of %u rows, expected 1 to %u", m->n_batch, CV_MAX_BATCH_ROWS);
    if (m->n_embd > CV_MAX_EMBD)
        return cv_fail(err, CV_ERR_LIMIT, "carry of %u elements, expected at most %u", m->n_embd, CV_MAX_EMBD);
    if ((unsigned)m->kv >= CV_PLAN_KV_COUNT)
        return cv_fail(err, CV_ERR_ARG, "unknown type %d of the sequence memory", (int)m->kv);
    uint64_t sum = 0;
    bool ok = bounded_sum(&sum, m->embd_bytes, 1) && bounded_sum(&sum, m->head_bytes, 1) &&
              bounded_sum(&sum, m->work.fixed, 1) && bounded_sum(&sum, m->work.per_ctx, m->n_ctx) &&
              bounded_sum(&sum, m->work.per_row, m->n_batch) && bounded_sum(&sum, m->work.embd_per_row, m->n_batch) &&
              bounded_sum(&sum, m->work.head_per_row, m->n_batch) && finite_positive(m->head_flops);
    for (uint32_t i = 0; ok && i < m->n_layer; i++) {
        const struct cv_plan_layer *l = &m->layer[i];
        uint64_t position = cv_plan_kv_bytes(m->kv, l->kv_elems); /* below 2^35 */
        ok = bounded_sum(&sum, l->weight_bytes, 1) &&
             bounded_sum(&sum, position * (m->n_ctx + (uint64_t)COST_PAGE), m->n_slots) &&
             bounded_sum(&sum, l->state_bytes, m->n_slots) && l->expert_bytes <= l->weight_bytes &&
             l->n_expert_used <= l->n_expert && finite_positive(l->flops) && finite_positive(l->attn_flops);
        if (!ok)
            return cv_fail(err, CV_ERR_LIMIT, "layer %u: its sizes make no sense, or the model is past 2^60 bytes", i);
    }
    return ok || cv_fail(err, CV_ERR_LIMIT, "the model's sizes make no sense, or it is past 2^60 bytes");
}

static bool check_device(const struct cv_plan_device *d, uint32_t n_layer, struct cv_error *err)
{
    bool ok = finite_positive(d->bandwidth) && finite_positive(d->layer_s) && finite_positive(d->stage_s) &&
              d->n_rate <= CV_PLAN_RATES;
    for (uint32_t i = 0; ok && i < d->n_rate; i++) {
        ok = isfinite(d->rate[i].rows) && isfinite(d->rate[i].flops) && d->rate[i].flops > 0.0 &&
             (i == 0 || d->rate[i].rows > d->rate[i - 1].rows);
    }
    if (!ok)
        return cv_fail(err, CV_ERR_ARG, "node '%s': its speeds make no sense", d->name);
    if (!d->pinned)
        return true;
    if (d->excluded)
        return cv_fail(err, CV_ERR_ARG, "node '%s' is both pinned and excluded", d->name);
    if (d->pin_first >= d->pin_last || d->pin_last > n_layer)
        return cv_fail(err, CV_ERR_ARG, "node '%s': pinned to layers %u to %u, the model has 0 to %u", d->name,
                       d->pin_first, d->pin_last - 1, n_layer - 1);
    return true;
}

static bool check_cluster(const struct cv_plan_model *m, const struct cv_plan_cluster *c, struct cv_error *err)
{
    if (c->n_device == 0)
        return cv_fail(err, CV_ERR_ARG, "no node to plan for");
    if (c->n_device > CV_MAX_NODES)
        return cv_fail(err, CV_ERR_LIMIT, "%u devices, at most %u", c->n_device, CV_MAX_NODES);
    for (uint32_t i = 0; i < c->n_device; i++) {
        if (!check_device(&c->device[i], m->n_layer, err))
            return false;
        for (uint32_t j = 0; j < i && c->device[i].pinned; j++) {
            const struct cv_plan_device *a = &c->device[j], *b = &c->device[i];
            if (a->pinned && a->pin_first < b->pin_last && b->pin_first < a->pin_last)
                return cv_fail(err, CV_ERR_ARG, "nodes '%s' and '%s' are pinned to the same layer %u", a->name, b->name,
                               a->pin_first > b->pin_first ? a->pin_first : b->pin_first);
        }
    }
    size_t n_link = c->link == NULL ? 0 : ((size_t)c->n_device + 1) * (c->n_device + 1);
    for (size_t i = 0; i < n_link + 2; i++) {
        const struct cv_plan_link *l = i < n_link ? &c->link[i] : i == n_link ? &c->local : &c->remote;
        if (!finite_positive(l->delay_s) || !finite_positive(l->bytes_per_s))
            return cv_fail(err, CV_ERR_ARG, "a link's delay or rate makes no sense");
    }
    return true;
}

bool cv_plan_input_check(const struct cv_plan_model *m, const struct cv_plan_cluster *c, const struct cv_plan_goal *g,
                         struct cv_error *err)
{
    if (!check_model(m, err) || !check_cluster(m, c, err))
        return false;
    if ((unsigned)g->optimize >= CV_PLAN_OPTIMIZE_COUNT || !finite_positive(g->move_s_per_byte))
        return cv_fail(err, CV_ERR_ARG, "the goal of the plan makes no sense");
    if (g->max_stages != 0 && g->min_stages > g->max_stages)
        return cv_fail(err, CV_ERR_ARG, "at least %u stages and at most %u", g->min_stages, g->max_stages);
    return true;
}
