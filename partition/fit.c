/*
 * fit.c - what would make a model fit that does not. Every figure comes from planning again with one thing changed.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "partition/internal.h"

struct trial {
    const struct costs *k; /* what did not fit */
    struct cv_plan_model model;
    struct cv_plan_cluster cluster;
    struct cv_plan_goal goal;
    struct cv_arena *layers; /* scaled copies live here */
    bool broken;             /* out of memory: say nothing instead of something wrong */
};

/* Does what stands in t fit? */
static bool fits(struct trial *t)
{
    struct cv_arena arena = {0};
    struct costs k;
    struct classes s;
    struct chain best;
    struct cv_error err = {CV_OK, ""};
    bool found = false;
    bool ok = cv_plan_costs_make(&k, &t->model, &t->cluster, &t->goal, &arena, &err) &&
              cv_plan_classes_make(&s, &k, &arena, &err) && cv_plan_chain_new(&best, k.n_dev, &arena, &err);
    if (ok && s.n != 0 && cv_plan_pins_hold(&k, &s)) {
        struct exact *x = NULL;
        if (cv_plan_exact_new(&x, &k, &s, &arena, &err)) {
            found = cv_plan_exact_reach(x, INFINITY, &best);
            cv_plan_exact_free(x);
        } else if (err.code == CV_ERR_LIMIT) {
            ok = cv_plan_improve(&k, &s, 0, &best, &found, &arena, &err);
        }
    }
    t->broken = t->broken || err.code == CV_ERR_NOMEM;
    cv_arena_fini(&arena);
    return ok && found;
}

static void reset(struct trial *t)
{
    t->model = *t->k->model;
    t->cluster = *t->k->cluster;
    t->cluster.link = NULL; /* links do not decide what fits */
    t->goal = t->k->goal;
    t->goal.optimize = CV_PLAN_LATENCY;
}

/* The largest value of *field in [1, most) that fits, in steps; 0 if none does. */
static uint32_t largest(struct trial *t, uint32_t *field, uint32_t most, uint32_t step)
{
    uint32_t lo = 0, hi = (most - 1) / step + 1; /* in steps: lo fits (or is 0), hi does not */
    while (hi - lo > 1) {
        const uint32_t mid = lo + (hi - lo) / 2;
        *field = mid * step;
        if (fits(t))
            lo = mid;
        else
            hi = mid;
    }
    return lo * step;
}

static bool is_known(const struct cv_plan_model *m, enum cv_plan_kv kv)
{
    const uint32_t known = m->kv_known != 0 ? m->kv_known : 1u << CV_PLAN_KV_F32 | 1u << CV_PLAN_KV_F16;
    return (known >> kv & 1) != 0 && cv_plan_kv_bytes(kv, 256) < cv_plan_kv_bytes(m->kv, 256);
}

static const enum cv_plan_kv kv_by_size[] = {CV_PLAN_KV_F32, CV_PLAN_KV_F16, CV_PLAN_KV_Q8_0, CV_PLAN_KV_Q4_0};

/* The largest cache type below the present one that fits. */
static enum cv_plan_kv smaller_kv(struct trial *t)
{
    for (size_t i = 0; i < CV_COUNT(kv_by_size); i++) {
        if (!is_known(t->k->model, kv_by_size[i]))
            continue;
        t->model.kv = kv_by_size[i];
        if (fits(t))
            return kv_by_size[i];
    }
    return CV_PLAN_KV_COUNT;
}

static enum cv_plan_kv smallest_kv(const struct cv_plan_model *m)
{
    for (size_t i = CV_COUNT(kv_by_size); i-- > 0;)
        if (is_known(m, kv_by_size[i]))
            return kv_by_size[i];
    return CV_PLAN_KV_COUNT;
}

static bool scale_weights(struct trial *t, struct cv_plan_layer *copy, uint32_t percent)
{
    const struct cv_plan_model *m = t->k->model;
    for (uint32_t i = 0; i < m->n_layer; i++) {
        copy[i] = m->layer[i];
        copy[i].weight_bytes = copy[i].weight_bytes / 100 * percent;
        copy[i].expert_bytes = copy[i].expert_bytes / 100 * percent;
    }
    t->model.layer = copy;
    t->model.embd_bytes = m->embd_bytes / 100 * percent;
    t->model.head_bytes = m->head_bytes / 100 * percent;
    return fits(t);
}

static uint32_t smaller_weights(struct trial *t)
{
    struct cv_plan_layer *copy = cv_arena_calloc(t->layers, t->model.n_layer, sizeof(*copy));
    if (copy == NULL) {
        t->broken = true;
        return 0;
    }
    uint32_t lo = 0, hi = 100;
    while (hi - lo > 1) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (scale_weights(t, copy, mid))
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

/* The smallest node that helps, in steps of 64 MiB; of 1 MiB for small models. */
static uint64_t one_more(struct trial *t, uint64_t need)
{
    const struct cv_plan_cluster *c = t->k->cluster;
    const uint64_t step = (uint64_t)(need < (uint64_t)4 << 30 ? 1 : 64) << 20;
    struct cv_plan_device *dev = cv_arena_calloc(t->layers, (size_t)c->n_device + 1, sizeof(*dev));
    if (dev == NULL || c->n_device == CV_MAX_NODES) {
        t->broken = t->broken || dev == NULL;
        return 0;
    }
    memcpy(dev, c->device, c->n_device * sizeof(*dev));
    dev[c->n_device] = (struct cv_plan_device){.name = "one more", .node = CV_PLAN_NONE - 1};
    t->cluster.device = dev;
    t->cluster.n_device = c->n_device + 1;
    uint64_t lo = 0, hi = need / step + 1;
    dev[c->n_device].memory_bytes = hi * step;
    if (!fits(t))
        return 0;
    while (hi - lo > 1) {
        const uint64_t mid = lo + (hi - lo) / 2;
        dev[c->n_device].memory_bytes = mid * step;
        if (fits(t))
            hi = mid;
        else
            lo = mid;
    }
    return hi * step;
}

static void seek_help(struct trial *t, struct cv_plan_help *out)
{
    const struct costs *k = t->k;
    const struct cv_plan_model *m = k->model;
    memset(out, 0, sizeof(*out));
    struct cv_plan_bytes all;
    cv_plan_stage_bytes(m, 0, m->n_layer, &all);
    out->need_bytes = all.total;
    for (uint32_t d = 0; d < k->n_dev; d++)
        out->have_bytes += k->usable[d];
    const uint32_t step = m->n_ctx > 256 ? 256 : 1;
    reset(t);
    out->n_ctx = largest(t, &t->model.n_ctx, m->n_ctx, step);
    reset(t);
    out->n_slots = largest(t, &t->model.n_slots, m->n_slots, 1);
    reset(t);
    out->n_batch = largest(t, &t->model.n_batch, m->n_batch, 1);
    reset(t);
    out->kv = smaller_kv(t);
    reset(t);
    out->small_kv = smallest_kv(m);
    if (out->small_kv != CV_PLAN_KV_COUNT) {
        t->model.kv = out->small_kv;
        out->small_n_ctx = fits(t) ? m->n_ctx : largest(t, &t->model.n_ctx, m->n_ctx, step);
    }
    if (out->small_n_ctx == 0)
        out->small_kv = CV_PLAN_KV_COUNT;
    reset(t);
    out->weight_percent = smaller_weights(t);
    reset(t);
    out->more_bytes = one_more(t, all.total);
}

bool cv_plan_would_fit(const struct cv_plan_model *model, const struct cv_plan_cluster *cluster,
                       const struct cv_plan_goal *goal, struct cv_plan_help *out, struct cv_error *err)
{
    struct cv_arena arena = {0};
    struct costs k;
    bool ok = cv_plan_costs_make(&k, model, cluster, goal, &arena, err);
    if (ok) {
        struct trial t = {.k = &k, .layers = &arena};
        seek_help(&t, out);
        if (t.broken)
            ok = cv_fail(err, CV_ERR_NOMEM, "no memory to look for what would fit");
    }
    cv_arena_fini(&arena);
    return ok;
}

static void say_nodes(const struct costs *k, struct cv_buf *b)
{
    enum { SHOWN = 6 };
    uint32_t shown = 0;
    for (uint32_t d = 0; d < k->n_dev; d++) {
        const struct cv_plan_device *dev = &k->cluster->device[d];
        char size[CV_SIZE_TEXT];
        if (shown == SHOWN) {
            cv_buf_printf(b, ", and %u more", k->n_dev - d);
            return;
        }
        cv_buf_printf(b, "%s%.24s has %s", shown++ == 0 ? "" : ", ", dev->name,
                      dev->excluded ? "been excluded" : cv_size_format(k->usable[d], size));
    }
}

static void say_one(struct cv_buf *b, bool *any, const char *fmt, ...) CV_PRINTF(3, 4);
static void say_one(struct cv_buf *b, bool *any, const char *fmt, ...)
{
    char text[96];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    cv_buf_printf(b, "%s%s", *any ? ", or " : "; it would fit ", text);
    *any = true;
}

static void say_constraints(struct trial *t, struct cv_buf *b, bool *any)
{
    const struct cv_plan_cluster *c = t->k->cluster;
    bool pins = false, excludes = false, reserves = false;
    for (uint32_t d = 0; d < c->n_device; d++) {
        pins = pins || c->device[d].pinned;
        excludes = excludes || c->device[d].excluded;
        reserves = reserves || c->device[d].reserve_bytes != 0;
    }
    const char *const without[] = {"without the pins", "with the excluded nodes", "without the reserves"};
    const bool has[] = {pins, excludes, reserves};
    for (int i = 0; i < 3; i++) {
        struct cv_plan_device *dev = cv_arena_calloc(t->layers, c->n_device, sizeof(*dev));
        if (!has[i] || dev == NULL)
            continue;
        memcpy(dev, c->device, c->n_device * sizeof(*dev));
        for (uint32_t d = 0; d < c->n_device; d++) {
            dev[d].pinned = dev[d].pinned && i != 0;
            dev[d].excluded = dev[d].excluded && i != 1;
            dev[d].reserve_bytes = i == 2 ? 0 : dev[d].reserve_bytes;
        }
        reset(t);
        t->cluster.device = dev;
        if (fits(t))
            say_one(b, any, "%s", without[i]);
    }
    reset(t);
    if (t->goal.min_stages > 1 || t->goal.max_stages != 0) {
        t->goal.min_stages = t->goal.max_stages = 0;
        if (fits(t))
            say_one(b, any, "without the bound on the number of stages");
    }
}

static void say_help(const struct costs *k, const struct cv_plan_help *h, struct cv_buf *b, bool *any)
{
    const struct cv_plan_model *m = k->model;
    char size[CV_SIZE_TEXT];
    if (h->n_ctx != 0)
        say_one(b, any, "with a context of %u (now %u)", h->n_ctx, m->n_ctx);
    if (h->n_slots != 0)
        say_one(b, any, "with %u slots (now %u)", h->n_slots, m->n_slots);
    if (h->kv != CV_PLAN_KV_COUNT)
        say_one(b, any, "with a cache of %s (now %s)", cv_plan_kv_name(h->kv), cv_plan_kv_name(m->kv));
    else if (h->small_kv != CV_PLAN_KV_COUNT && h->small_n_ctx > h->n_ctx)
        say_one(b, any, "with a cache of %s and a context of %u", cv_plan_kv_name(h->small_kv), h->small_n_ctx);
    if (h->more_bytes != 0)
        say_one(b, any, "with one more node of %s", cv_size_format(h->more_bytes, size));
    if (h->weight_percent != 0)
        say_one(b, any, "with weights of %u%% of this size (another quantization)", h->weight_percent);
    if (h->n_batch != 0)
        say_one(b, any, "with batches of %u rows (now %u)", h->n_batch, m->n_batch);
}

bool cv_plan_say_no(const struct costs *k, struct cv_error *err)
{
    struct cv_arena arena = {0};
    struct trial t = {.k = k, .layers = &arena};
    struct cv_plan_help h;
    struct cv_plan_bytes all;
    struct cv_buf b;
    char need[CV_SIZE_TEXT], weights[CV_SIZE_TEXT], kv[CV_SIZE_TEXT], work[CV_SIZE_TEXT], have[CV_SIZE_TEXT];
    cv_plan_stage_bytes(k->model, 0, k->n, &all);
    seek_help(&t, &h);
    cv_buf_init(&b, 4096);
    cv_buf_printf(&b, "the model does not fit: it needs %s (weights %s, cache %s, buffers %s); ",
                  cv_size_format(all.total, need), cv_size_format(all.weights + all.embd + all.head, weights),
                  cv_size_format(all.kv, kv), cv_size_format(all.work, work));
    say_nodes(k, &b);
    if (k->n_dev > 1)
        cv_buf_printf(&b, " (%s together)", cv_size_format(h.have_bytes, have));
    bool any = false;
    say_constraints(&t, &b, &any);
    say_help(k, &h, &b, &any);
    if (t.broken || b.len == 0)
        cv_fail(err, CV_ERR_NOMEM, "the model does not fit: it needs %s", need);
    else
        cv_fail(err, CV_ERR_NOMEM, "%s", b.data);
    cv_buf_fini(&b);
    cv_arena_fini(&arena);
    return false;
}
