/*
 * simulate.c - predictions against a simulated pipeline, and what planning gains over splitting by memory alone.
 *
 *   partition_simulate [CLUSTERS]     (200)
 *
 * Fails when a prediction is more than 10% away from the simulation, or when the median gain in latency or throughput
 * is below 1.2. docs/planning.md quotes its table.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/partition/homes.h"
#include "tests/partition/pipeline_sim.h"

enum { MAX_CLUSTERS = 5000, TOKENS = 50, ROUNDS = 60 };

static struct random_cluster r;
static double gain[CV_PLAN_OPTIMIZE_COUNT][MAX_CLUSTERS], simulated[CV_PLAN_OPTIMIZE_COUNT][MAX_CLUSTERS];
static int n_gain[CV_PLAN_OPTIMIZE_COUNT];
static double worst[4]; /* prediction against simulation: token, throughput, prompt, n_slots users */
static int by_memory_fails, nothing_fits;

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double off_by(double predicted, double measured)
{
    return fabs(predicted - measured) / measured;
}

/* Batches in flight that keep the slowest part busy, and some more for the shaking. */
static uint32_t in_flight(const struct cv_plan *p)
{
    return (uint32_t)(1.5 * p->batch_s / p->period_s) + 3;
}

/* The figure of the goal as the simulation sees it: seconds, smaller is better. */
static double simulate(const struct cv_plan *p, uint64_t seed)
{
    const struct sim_options o = {.shake = 0.05, .seed = seed};
    const double token = sim_token(&r, p, TOKENS, &o);
    const double rate = sim_throughput(&r, p, p->goal.rows, in_flight(p), ROUNDS, &o);
    const double prompt = sim_prompt(&r, p, &o);
    worst[0] = fmax(worst[0], off_by(p->token_s, token));
    worst[1] = fmax(worst[1], off_by(p->tokens_per_s, rate));
    worst[2] = fmax(worst[2], off_by(p->prompt_s, prompt));
    if (r.model.n_slots % (p->n_stage + 1) == 0 || r.model.n_slots <= p->n_stage + 1) /* batches alike */
        worst[3] = fmax(worst[3], off_by(p->served_per_s, sim_served(&r, p, ROUNDS, &o)));
    switch (p->goal.optimize) {
    case CV_PLAN_LATENCY:
        return token;
    case CV_PLAN_THROUGHPUT:
        return p->goal.rows / rate;
    case CV_PLAN_PROMPT:
        return prompt;
    default:
        return token + p->goal.rows / rate;
    }
}

static double figure(const struct cv_plan *p)
{
    switch (p->goal.optimize) {
    case CV_PLAN_LATENCY:
        return p->token_s;
    case CV_PLAN_THROUGHPUT:
        return p->period_s;
    case CV_PLAN_PROMPT:
        return p->prompt_s;
    default:
        return p->token_s + p->period_s;
    }
}

/* Plans r for every goal and beside it by memory; false when a plan is not what it should be. */
static bool one_cluster(uint64_t seed)
{
    bool counted = false;
    for (int goal = 0; goal < CV_PLAN_OPTIMIZE_COUNT; goal++) {
        struct cv_arena arena = {0};
        struct cv_plan plan, other;
        struct cv_error err;
        r.goal.optimize = (enum cv_plan_optimize)goal;
        if (!cv_plan_make(&r.model, &r.cluster, &r.goal, &plan, &arena, &err)) {
            nothing_fits++;
            cv_arena_fini(&arena);
            return err.code == CV_ERR_NOMEM;
        }
        if (!cv_plan_check(&r.model, &r.cluster, &plan, &err)) {
            fprintf(stderr, "cluster %llu: %s\n", (unsigned long long)seed, err.msg);
            return false;
        }
        const double mine = simulate(&plan, seed);
        if (cv_plan_by_memory(&r.model, &r.cluster, &r.goal, &other, &arena, &err)) {
            const double theirs = simulate(&other, seed);
            const int i = n_gain[goal]++;
            gain[goal][i] = figure(&other) / figure(&plan);
            simulated[goal][i] = theirs / mine;
        } else if (!counted) {
            by_memory_fails++;
            counted = true;
        }
        cv_arena_fini(&arena);
    }
    return true;
}

static double quantile(double *v, int n, double q)
{
    return n == 0 ? NAN : v[(int)(q * (n - 1) + 0.5)];
}

static bool print_table(int n)
{
    bool ok = true;
    printf("%d random clusters of 3 to 10 nodes; splitting by memory alone does not fit on %d of them\n", n,
           by_memory_fails);
    printf("%-12s %28s   %28s\n", "goal", "predicted gain (quartiles)", "simulated gain (quartiles)");
    for (int goal = 0; goal < CV_PLAN_OPTIMIZE_COUNT; goal++) {
        const int m = n_gain[goal];
        qsort(gain[goal], (size_t)m, sizeof(double), by_value);
        qsort(simulated[goal], (size_t)m, sizeof(double), by_value);
        printf("%-12s %9.2f %9.2f %8.2f   %9.2f %9.2f %8.2f\n", cv_plan_optimize_name((enum cv_plan_optimize)goal),
               quantile(gain[goal], m, 0.25), quantile(gain[goal], m, 0.5), quantile(gain[goal], m, 0.75),
               quantile(simulated[goal], m, 0.25), quantile(simulated[goal], m, 0.5),
               quantile(simulated[goal], m, 0.75));
        if (goal == CV_PLAN_LATENCY || goal == CV_PLAN_THROUGHPUT)
            ok = ok && m > 0 && quantile(simulated[goal], m, 0.5) >= 1.2;
    }
    printf("largest difference between prediction and simulation: token %.1f%%, throughput %.1f%%, prompt %.1f%%, "
           "as many users as slots %.1f%%\n",
           100.0 * worst[0], 100.0 * worst[1], 100.0 * worst[2], 100.0 * worst[3]);
    return ok && worst[0] <= 0.1 && worst[1] <= 0.1 && worst[2] <= 0.1 && worst[3] <= 0.1;
}

/* A named home: what each way of planning gives, for the four goals. */
static bool print_home(int which)
{
    home_named(&r, which);
    printf("\n%s, model %s\n", home_name(which), r.model.name);
    for (int goal = 0; goal < CV_PLAN_OPTIMIZE_COUNT; goal++) {
        struct cv_arena arena = {0};
        struct cv_plan plan, other;
        struct cv_error err;
        r.goal.optimize = (enum cv_plan_optimize)goal;
        if (!cv_plan_make(&r.model, &r.cluster, &r.goal, &plan, &arena, &err)) {
            printf("  %s\n", err.msg);
            cv_arena_fini(&arena);
            return false;
        }
        printf("  %-10s  %u of %u nodes  %8.2f tokens/s alone  %8.2f tokens/s together  prompt %7.2f s",
               cv_plan_optimize_name((enum cv_plan_optimize)goal), plan.n_stage, r.cluster.n_device, 1.0 / plan.token_s,
               plan.tokens_per_s, plan.prompt_s);
        if (cv_plan_by_memory(&r.model, &r.cluster, &r.goal, &other, &arena, &err))
            printf("  (%.2fx of by memory)\n", figure(&other) / figure(&plan));
        else
            printf("  (by memory it does not fit)\n");
        cv_arena_fini(&arena);
    }
    return true;
}

int main(int argc, char **argv)
{
    int n = argc > 1 ? atoi(argv[1]) : 200;
    n = n < 1 ? 1 : n > MAX_CLUSTERS ? MAX_CLUSTERS : n;
    bool ok = true;
    for (int i = 0; ok && i < n; i++) {
        home_random(&r, 1 + (uint64_t)i * 7919);
        ok = one_cluster(1 + (uint64_t)i);
    }
    ok = ok && print_table(n);
    for (int i = 0; i < HOME_NAMED; i++)
        ok = print_home(i) && ok;
    if (nothing_fits > 0)
        printf("\nnothing fits on %d clusters\n", nothing_fits);
    printf("%d passed, %d failed, 0 skipped\n", ok, !ok);
    return ok ? 0 : 1;
}
