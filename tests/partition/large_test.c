/* large_test.c - clusters past the exact search: classes, local improvement, and the bound that says how good it is. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "partition/internal.h"
#include "tests/check/check.h"
#include "tests/partition/random_cluster.h"

/* Sanitizers make everything several times slower: they see fewer clusters. */
#ifdef CV_ASAN
enum { SLOW = 5 };
#else
enum { SLOW = 1 };
#endif

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Layers alike, as models have them, and devices with memory for one to a dozen of them. */
static void make_large(struct random_cluster *r, uint32_t n_device, bool alike)
{
    const struct rc_options o = {
        .n_layer = 80, .n_device = n_device, .fill = 1.5 + 2.0 * check_uniform(), .alike = alike};
    rc_make(r, &o);
    for (uint32_t i = 1; i < r->model.n_layer; i++)
        r->layer[i] = r->layer[0];
    struct cv_plan_bytes all;
    cv_plan_stage_bytes(&r->model, 0, r->model.n_layer, &all);
    for (uint32_t d = 0; d < n_device; d++) {
        r->device[d].memory_bytes = (uint64_t)((double)all.total / n_device * (1.5 + 2.5 * check_uniform())) + all.work;
        if (alike && d > 2)
            r->device[d] = r->device[d % 3];
        r->device[d].name = r->name[d];
        r->device[d].node = d;
        r->device[d].held_last = r->device[d].held_first = 0;
    }
    r->cluster.home_node = CV_PLAN_NONE;
    r->goal.move_s_per_byte = 0.0;
}

/* The heuristic on clusters that the exact search can do: how far is it off? */
static void test_local_improvement_comes_close_to_the_exact_plan(void)
{
    static struct random_cluster r;
    double worst = 1.0, sum = 0.0;
    int n = 0;
    for (int i = 0; i < 60 / SLOW; i++) {
        struct cv_arena arena = {0};
        struct cv_error err;
        struct costs k;
        struct classes s;
        struct chain best, near;
        bool found = false, near_found = false;
        double bound = 0.0, low = 0.0;
        const struct rc_options o = {.n_layer = (uint32_t)(8 + check_below(24)),
                                     .n_device = (uint32_t)(3 + check_below(5)),
                                     .fill = 1.2 + check_uniform(),
                                     .links = check_below(2) == 0};
        rc_make(&r, &o);
        CHECK_OK(cv_plan_costs_make(&k, &r.model, &r.cluster, &r.goal, &arena, &err), err);
        CHECK_OK(cv_plan_classes_make(&s, &k, &arena, &err), err);
        CHECK_OK(cv_plan_chain_new(&best, k.n_dev, &arena, &err), err);
        CHECK_OK(cv_plan_chain_new(&near, k.n_dev, &arena, &err), err);
        if (s.n > 0) {
            CHECK_OK(cv_plan_search(&k, &s, &best, &bound, &found, &arena, &err), err);
            CHECK_OK(cv_plan_improve(&k, &s, (uint64_t)4 << 20, &near, &near_found, &arena, &err), err);
        }
        CHECK(found || !near_found);
        if (near_found) {
            CHECK(near.score >= best.score * (1.0 - 1e-9));
            CHECK_OK(cv_plan_bound(&k, &s, near.score, &low, &arena, &err), err);
            CHECK(low <= best.score * (1.0 + 1e-9)); /* the bound is a bound */
            worst = fmax(worst, near.score / best.score);
            sum += near.score / best.score;
            n++;
        }
        cv_arena_fini(&arena);
    }
    printf("  %d clusters: mean %.4f of the exact score, worst %.4f\n", n, sum / n, worst);
    CHECK(n > 30 / SLOW);
    CHECK(sum / n < 1.05);
}

static void gaps_of(enum cv_plan_optimize goal, bool alike, double *gap, int n)
{
    static struct random_cluster r;
    for (int i = 0; i < n; i++) {
        struct cv_arena arena = {0};
        struct cv_plan plan;
        struct cv_error err;
        make_large(&r, 64, alike);
        r.goal.optimize = goal;
        CHECK_OK(cv_plan_make(&r.model, &r.cluster, &r.goal, &plan, &arena, &err), err);
        CHECK_OK(cv_plan_check(&r.model, &r.cluster, &plan, &err), err);
        CHECK(fabs(plan.score - rc_score(&r, &plan)) <= 1e-8 * plan.score);
        CHECK(plan.lower_bound <= plan.score);
        gap[i] = plan.score / plan.lower_bound - 1.0;
        CHECK(gap[i] < 0.5);
        cv_arena_fini(&arena);
    }
    qsort(gap, (size_t)n, sizeof(*gap), by_value);
}

static void test_64_devices_are_planned_with_a_known_gap(void)
{
    enum { N = 5 / SLOW };
    for (int goal = 0; goal < CV_PLAN_OPTIMIZE_COUNT; goal++) {
        double gap[N];
        gaps_of((enum cv_plan_optimize)goal, false, gap, N);
        CHECK(gap[N / 2] < 0.03);
        printf("  64 unlike devices, %s: gap to the bound: median %.2f%%, worst %.2f%%\n",
               cv_plan_optimize_name((enum cv_plan_optimize)goal), 100.0 * gap[N / 2], 100.0 * gap[N - 1]);
    }
}

static void test_64_devices_of_three_kinds_are_planned(void)
{
    double gap[2];
    gaps_of(CV_PLAN_LATENCY, true, gap, 2);
    printf("  64 devices of three kinds, latency: gap %.2f%% and %.2f%%\n", 100.0 * gap[0], 100.0 * gap[1]);
    CHECK(gap[1] < 1e-6); /* 23^3 states: still exact */
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_local_improvement_comes_close_to_the_exact_plan),
        CASE(test_64_devices_are_planned_with_a_known_gap),
        CASE(test_64_devices_of_three_kinds_are_planned),
    };
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
