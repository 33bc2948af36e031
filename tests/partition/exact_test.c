/* exact_test.c - the planner against trying everything, and the properties that every best plan has. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/check/check.h"
#include "tests/partition/random_cluster.h"

/* Sanitizers make everything several times slower: they see fewer of the same instances. */
#ifdef CV_ASAN
enum { SLOW = 8 };
#else
enum { SLOW = 1 };
#endif

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-8 * fmax(fabs(a), fabs(b));
}

/* Plans; on success checks all that any plan must satisfy. Infinity when nothing fits. */
static double plan_score(const struct random_cluster *r, struct cv_plan *plan, struct cv_arena *arena)
{
    struct cv_error err;
    if (!cv_plan_make(&r->model, &r->cluster, &r->goal, plan, arena, &err)) {
        CHECK(err.code == CV_ERR_NOMEM || err.code == CV_ERR_ARG);
        return INFINITY;
    }
    CHECK_OK(cv_plan_check(&r->model, &r->cluster, plan, &err), err);
    for (uint32_t i = 0; i < plan->n_stage; i++)
        CHECK_EQ(plan->stage[i].bytes.total, rc_stage_bytes(r, plan->stage[i].layer_first, plan->stage[i].layer_last));
    CHECK(plan->n_stage + plan->n_spare == r->cluster.n_device);
    CHECK(near(plan->score, rc_score(r, plan)));
    return plan->score;
}

static void compare(uint32_t rounds, uint32_t most_devices, uint32_t most_layers)
{
    static struct random_cluster r;
    uint32_t planned = 0;
    for (uint32_t i = 0; i < rounds; i++) {
        struct cv_arena arena = {0};
        struct cv_plan plan;
        const struct rc_options o = {.n_layer = (uint32_t)(1 + check_below(most_layers)),
                                     .n_device = (uint32_t)(1 + check_below(most_devices)),
                                     .fill = 0.8 + 2.5 * check_uniform(),
                                     .links = check_below(2) == 0,
                                     .constraints = check_below(3) == 0,
                                     .alike = check_below(3) == 0};
        rc_make(&r, &o);
        const double want = rc_brute_force(&r), got = plan_score(&r, &plan, &arena);
        if (!(want < INFINITY ? near(want, got) : got == want))
            fprintf(stderr, "round %u: %u layers, %u devices, goal %s: by trying everything %.17g, planned %.17g\n", i,
                    o.n_layer, o.n_device, cv_plan_optimize_name(r.goal.optimize), want, got);
        CHECK(want < INFINITY ? near(want, got) : got == want);
        CHECK(!(got < INFINITY) || plan.exact);
        planned += got < INFINITY;
        cv_arena_fini(&arena);
    }
    CHECK(planned > rounds / 2);
}

static void test_equals_brute_force_on_up_to_four_devices_and_24_layers(void)
{
    compare(3000 / SLOW, 4, 24);
}

static void test_equals_brute_force_on_up_to_six_devices_and_12_layers(void)
{
    compare(1500 / SLOW, 6, 12);
}

static void test_equals_brute_force_on_up_to_six_devices_and_24_layers(void)
{
    compare(500 / SLOW, 6, 24);
}

static void test_more_memory_never_makes_a_plan_worse(void)
{
    static struct random_cluster r;
    for (int i = 0; i < 300 / SLOW; i++) {
        struct cv_arena arena = {0};
        struct cv_plan plan;
        const struct rc_options o = {.n_layer = (uint32_t)(1 + check_below(48)),
                                     .n_device = (uint32_t)(1 + check_below(8)),
                                     .fill = 0.9 + check_uniform(),
                                     .links = check_below(2) == 0};
        rc_make(&r, &o);
        const double before = plan_score(&r, &plan, &arena);
        struct cv_plan_device *d = &r.device[check_below(o.n_device)];
        d->memory_bytes += d->memory_bytes / 3;
        const double after = plan_score(&r, &plan, &arena);
        CHECK(after <= before * (1.0 + 1e-9));
        cv_arena_fini(&arena);
    }
}

static void test_a_faster_node_never_makes_a_plan_worse(void)
{
    static struct random_cluster r;
    for (int i = 0; i < 300 / SLOW; i++) {
        struct cv_arena arena = {0};
        struct cv_plan plan;
        const struct rc_options o = {.n_layer = (uint32_t)(1 + check_below(48)),
                                     .n_device = (uint32_t)(1 + check_below(8)),
                                     .fill = 1.0 + 2.0 * check_uniform(),
                                     .links = check_below(2) == 0};
        rc_make(&r, &o);
        const double before = plan_score(&r, &plan, &arena);
        struct cv_plan_device *d = &r.device[check_below(o.n_device)];
        d->bandwidth = 1.5 * (d->bandwidth > 0.0 ? d->bandwidth : CV_PLAN_BANDWIDTH);
        for (uint32_t j = 0; j < d->n_rate; j++)
            d->rate[j].flops *= 1.5;
        d->layer_s *= 0.5;
        const double after = plan_score(&r, &plan, &arena);
        CHECK(after <= before * (1.0 + 1e-9));
        cv_arena_fini(&arena);
    }
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* A model of usual shape, 70 billion weights in about five bits: layers alike but for the first and every fourth. */
static void make_usual(struct random_cluster *r)
{
    struct cv_plan_model *m = &r->model;
    *m = (struct cv_plan_model){.name = "usual", .layer = r->layer, .n_layer = 80};
    m->n_embd = 8192;
    m->n_ctx = 8192;
    m->n_slots = 4;
    m->n_batch = 256;
    m->embd_bytes = m->head_bytes = (uint64_t)700 << 20;
    m->head_flops = 2.0 * 8192 * 128256;
    m->work = (struct cv_plan_work){.fixed = 1 << 20, .per_row = 400000, .head_per_row = 4 * 128256};
    for (uint32_t i = 0; i < 80; i++) {
        struct cv_plan_layer *l = &r->layer[i];
        *l = (struct cv_plan_layer){.weight_bytes = (uint64_t)520 << 20, .kv_elems = 2048, .flops = 2.0 * 855e6};
        l->weight_bytes += i == 0 ? (uint64_t)200 << 20 : i % 4 == 0 ? (uint64_t)40 << 20 : 0;
        l->attn_flops = 4.0 * 8192;
    }
}

/* Says how long twelve unlike devices take. The time itself is checked nowhere: machines are shared. */
static void time_twelve(struct random_cluster *r, bool usual, bool links, enum cv_plan_optimize goal)
{
    double worst = 0.0, sum = 0.0;
    int n = 0;
    for (int i = 0; i < 6; i += SLOW) {
        struct cv_arena arena = {0};
        struct cv_plan plan;
        struct cv_plan_bytes before, after;
        const struct rc_options o = {
            .n_layer = 80, .n_device = 12, .fill = SLOW > 1 ? 2.6 : 1.2 + i * 0.4, .links = links};
        rc_make(r, &o);
        if (usual) { /* the random cluster, scaled to the usual model */
            cv_plan_stage_bytes(&r->model, 0, 80, &before);
            make_usual(r);
            cv_plan_stage_bytes(&r->model, 0, 80, &after);
            for (uint32_t d = 0; d < 12; d++)
                r->device[d].memory_bytes =
                    (uint64_t)((double)r->device[d].memory_bytes / (double)before.total * (double)after.total);
        }
        r->goal = (struct cv_plan_goal){.optimize = goal};
        const double begin = now_ms();
        const double score = plan_score(r, &plan, &arena);
        const double ms = now_ms() - begin;
        cv_arena_fini(&arena);
        if (!(score < INFINITY))
            continue;
        CHECK(plan.exact);
        worst = fmax(worst, ms);
        sum += ms;
        n++;
    }
    CHECK(n > 0);
    printf("  %s layers, %s links, %s: mean %.1f ms, worst %.1f ms\n", usual ? "usual" : "random",
           links ? "unlike" : "alike", cv_plan_optimize_name(goal), sum / n, worst);
}

static void test_twelve_unlike_devices_and_80_layers_are_planned_exactly(void)
{
    static struct random_cluster r;
    for (int i = 0; i < 4; i++)
        for (int goal = 0; goal < CV_PLAN_OPTIMIZE_COUNT; goal++)
            time_twelve(&r, i < 2, i % 2 != 0, (enum cv_plan_optimize)goal);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_equals_brute_force_on_up_to_four_devices_and_24_layers),
        CASE(test_equals_brute_force_on_up_to_six_devices_and_12_layers),
        CASE(test_equals_brute_force_on_up_to_six_devices_and_24_layers),
        CASE(test_more_memory_never_makes_a_plan_worse),
        CASE(test_a_faster_node_never_makes_a_plan_worse),
        CASE(test_twelve_unlike_devices_and_80_layers_are_planned_exactly),
    };
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
