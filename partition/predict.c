/*
 * predict.c - what a plan will take and how fast it will be, stage by stage and for every goal.
 */
#include <math.h>
#include <stdio.h>

#include "partition/internal.h"

static uint64_t fetch_bytes(const struct costs *k, const struct cv_plan_stage *s)
{
    const struct cv_plan_device *d = &k->cluster->device[s->device];
    uint64_t bytes = 0;
    for (uint32_t i = s->layer_first; i < s->layer_last; i++)
        if (i < d->held_first || i >= d->held_last)
            bytes += k->model->layer[i].weight_bytes;
    return bytes + (d->held_embd ? 0 : s->bytes.embd) + (d->held_head ? 0 : s->bytes.head);
}

static void fill_stage(const struct costs *k, struct cv_plan *plan, uint32_t i)
{
    struct cv_plan_stage *s = &plan->stage[i];
    const uint32_t from = i == 0 ? k->n_dev : plan->stage[i - 1].device, a = s->layer_first, b = s->layer_last;
    s->has_embd = a == 0;
    s->has_head = b == k->n;
    cv_plan_stage_bytes(k->model, a, b, &s->bytes);
    s->free_bytes = k->usable[s->device] >= s->bytes.total ? k->usable[s->device] - s->bytes.total : 0;
    s->fetch_bytes = fetch_bytes(k, s);
    s->token_s = cv_plan_stage_time(k, COST_TOKEN, s->device, a, b);
    s->batch_s = cv_plan_stage_time(k, COST_BATCH, s->device, a, b);
    s->chunk_s = cv_plan_stage_time(k, COST_CHUNK, s->device, a, b);
    s->edge_token_s = cv_plan_edge_time(k, COST_TOKEN, from, s->device);
    s->edge_batch_s = cv_plan_edge_time(k, COST_BATCH, from, s->device);
    s->edge_chunk_s = cv_plan_edge_time(k, COST_CHUNK, from, s->device);
    s->edge_busy_s = cv_plan_edge_busy(k, COST_BATCH, from, s->device);
}

/* The slowest stage (or, with CV_PLAN_NONE in *stage, edge) for rows of one kind. */
static double slowest(const struct costs *k, const struct cv_plan *plan, enum cost_kind kind, uint32_t *stage)
{
    double worst = 0.0;
    for (uint32_t i = 0; i <= plan->n_stage; i++) {
        const uint32_t from = i == 0 ? k->n_dev : plan->stage[i - 1].device;
        const uint32_t to = i == plan->n_stage ? k->n_dev : plan->stage[i].device;
        const double edge = cv_plan_edge_busy(k, kind, from, to);
        if (edge > worst) {
            worst = edge;
            *stage = CV_PLAN_NONE;
        }
        if (i == plan->n_stage)
            break;
        const struct cv_plan_stage *s = &plan->stage[i];
        const double t = cv_plan_stage_time(k, kind, s->device, s->layer_first, s->layer_last);
        if (t > worst) {
            worst = t;
            *stage = i;
        }
    }
    return worst;
}

/* Tokens per second when n_slots users generate: a batch waits for the slowest part, or for its own way round. */
static double served_rate(const struct costs *k, const struct cv_plan *plan)
{
    const double users = k->model->n_slots, most = plan->n_stage + 1.0;
    const double in_flight = users < most ? users : most, rows = users / in_flight;
    double round = 0.0, worst = 0.0;
    for (uint32_t i = 0; i <= plan->n_stage; i++) {
        const uint32_t from = i == 0 ? k->n_dev : plan->stage[i - 1].device;
        const uint32_t to = i == plan->n_stage ? k->n_dev : plan->stage[i].device;
        const double busy = cv_plan_rows_busy(k, rows, from, to);
        worst = fmax(worst, busy);
        round += busy + k->link[(size_t)from * (k->n_dev + 1) + to].delay_s;
        if (i == plan->n_stage)
            break;
        const double t = cv_plan_rows_stage(k, rows, to, plan->stage[i].layer_first, plan->stage[i].layer_last);
        worst = fmax(worst, t);
        round += t;
    }
    return rows / fmax(worst, round / in_flight);
}

static double move_price(const struct costs *k, const struct cv_plan *plan)
{
    double price = 0.0;
    for (uint32_t i = 0; i < plan->n_stage; i++)
        price += k->goal.move_s_per_byte * (double)plan->stage[i].fetch_bytes;
    return price;
}

static double score_of(const struct costs *k, const struct cv_plan *plan)
{
    const double move = move_price(k, plan);
    switch (k->goal.optimize) {
    case CV_PLAN_LATENCY:
        return plan->token_s + move;
    case CV_PLAN_THROUGHPUT:
        return plan->period_s + 1e-3 * plan->token_s + move;
    case CV_PLAN_PROMPT:
        return plan->prompt_s + move;
    default:
        return plan->token_s + plan->period_s + move;
    }
}

static void say_limit(const struct costs *k, struct cv_plan *plan)
{
    const bool alone = plan->goal.optimize == CV_PLAN_LATENCY;
    const struct cv_plan_device *dev = k->cluster->device;
    double edges = plan->return_s;
    uint32_t longest = 0;
    for (uint32_t i = 0; i < plan->n_stage; i++) {
        edges += plan->stage[i].edge_token_s;
        if (plan->stage[i].token_s > plan->stage[longest].token_s)
            longest = i;
    }
    const struct cv_plan_stage *s = &plan->stage[alone || plan->slowest == CV_PLAN_NONE ? longest : plan->slowest];
    const char *name = dev[s->device].name;
    if (alone)
        snprintf(plan->limit, sizeof(plan->limit), "%.40s is %.3g of %.3g ms per token, the links are %.3g", name,
                 1e3 * s->token_s, 1e3 * plan->token_s, 1e3 * edges);
    else if (plan->slowest == CV_PLAN_NONE)
        snprintf(plan->limit, sizeof(plan->limit), "a link is the slowest part: %.3g ms per batch of %u rows",
                 1e3 * plan->period_s, plan->goal.rows);
    else
        snprintf(plan->limit, sizeof(plan->limit), "%.40s is the slowest stage: %.3g ms per batch of %u rows", name,
                 1e3 * s->batch_s, plan->goal.rows);
}

void cv_plan_fill(const struct costs *k, struct cv_plan *plan)
{
    plan->goal = k->goal;
    plan->token_s = plan->batch_s = plan->prompt_s = 0.0;
    for (uint32_t i = 0; i < plan->n_stage; i++) {
        fill_stage(k, plan, i);
        const struct cv_plan_stage *s = &plan->stage[i];
        plan->token_s += s->edge_token_s + s->token_s;
        plan->batch_s += s->edge_batch_s + s->batch_s;
        plan->prompt_s += s->edge_chunk_s + s->chunk_s;
    }
    const uint32_t last = plan->stage[plan->n_stage - 1].device;
    plan->return_s = cv_plan_edge_time(k, COST_TOKEN, last, k->n_dev);
    plan->token_s += plan->return_s;
    plan->batch_s += cv_plan_edge_time(k, COST_BATCH, last, k->n_dev);
    uint32_t ignored = 0;
    plan->prompt_s += cv_plan_edge_time(k, COST_CHUNK, last, k->n_dev) + k->head[COST_CHUNK][last] +
                      (k->n_chunk - 1.0) * slowest(k, plan, COST_CHUNK, &ignored);
    plan->period_s = slowest(k, plan, COST_BATCH, &plan->slowest);
    plan->tokens_per_s = plan->goal.rows / plan->period_s;
    plan->served_per_s = served_rate(k, plan);
    for (uint32_t i = 0; i < plan->n_stage; i++)
        plan->stage[i].busy = plan->stage[i].batch_s / plan->period_s;
    plan->score = score_of(k, plan);
    say_limit(k, plan);
}

bool cv_plan_predict(const struct cv_plan_model *model, const struct cv_plan_cluster *cluster,
                     const struct cv_plan_goal *goal, struct cv_plan *plan, struct cv_error *err)
{
    struct cv_arena arena = {0};
    struct costs k;
    bool ok = cv_plan_costs_make(&k, model, cluster, goal, &arena, err);
    uint32_t at = 0;
    for (uint32_t i = 0; ok && i < plan->n_stage; i++) {
        const struct cv_plan_stage *s = &plan->stage[i];
        if (s->device >= cluster->n_device || s->layer_first != at || s->layer_last <= at || s->layer_last > k.n)
            ok = cv_fail(err, CV_ERR_ARG, "stage %u: no such device, or layers [%u, %u) out of order", i,
                         s->layer_first, s->layer_last);
        else if (!cv_plan_stage_fits(&k, s->device, s->layer_first, s->layer_last))
            ok = cv_fail(err, CV_ERR_NOMEM, "node '%s': layers %u to %u take %.2f GiB, it may use %.2f GiB",
                         cluster->device[s->device].name, s->layer_first, s->layer_last - 1,
                         (double)cv_plan_stage_total(&k, s->layer_first, s->layer_last) / 0x1p30,
                         (double)k.usable[s->device] / 0x1p30);
        at = s->layer_last;
    }
    if (ok && at != k.n)
        ok = cv_fail(err, CV_ERR_ARG, "the stages end at layer %u of %u", at, k.n);
    if (ok) {
        cv_plan_fill(&k, plan);
        plan->exact = false;
        plan->lower_bound = 0.0;
    }
    cv_arena_fini(&arena);
    return ok;
}
