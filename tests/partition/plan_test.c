/* plan_test.c - what a plan says: reasons, constraints, errors that help, tables. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "partition/plan.h"
#include "tests/check/check.h"

#define GIB ((uint64_t)1 << 30)
#define MIB ((uint64_t)1 << 20)

static struct cv_arena arena;
static struct cv_plan_layer layers[32];
static struct cv_plan_device devices[4];

/* 32 layers of 100 MiB, 2 KiB of cache a position and layer: about 3.4 GiB and 1 GiB of cache for 4 slots of 4096. */
static struct cv_plan_model small_model(void)
{
    cv_arena_reset(&arena);
    for (int i = 0; i < 32; i++)
        layers[i] =
            (struct cv_plan_layer){.weight_bytes = 100 * MIB, .kv_elems = 1024, .flops = 3e8, .attn_flops = 16384};
    return (struct cv_plan_model){.name = "small",
                                  .layer = layers,
                                  .n_layer = 32,
                                  .n_embd = 2048,
                                  .n_ctx = 4096,
                                  .n_slots = 4,
                                  .n_batch = 128,
                                  .kv_known = 15,
                                  .embd_bytes = 100 * MIB,
                                  .head_bytes = 100 * MIB,
                                  .head_flops = 2e8,
                                  .work = {.fixed = MIB, .per_row = 65536, .head_per_row = 262144}};
}

static struct cv_plan_cluster cluster_of(uint32_t n, const uint64_t *memory)
{
    static const char *const names[] = {"desk", "mini", "pi-1", "pi-2"};
    for (uint32_t i = 0; i < n; i++)
        devices[i] = (struct cv_plan_device){.name = names[i], .node = i, .memory_bytes = memory[i]};
    return (struct cv_plan_cluster){.device = devices, .n_device = n, .home_node = 0};
}

static const struct cv_plan_spare *spare_of(const struct cv_plan *p, uint32_t device)
{
    for (uint32_t i = 0; i < p->n_spare; i++)
        if (p->spare[i].device == device)
            return &p->spare[i];
    return NULL;
}

static void test_one_node_that_holds_all_serves_alone(void)
{
    const struct cv_plan_model m = small_model();
    const struct cv_plan_cluster c = cluster_of(1, (uint64_t[]){8 * GIB});
    const struct cv_plan_goal goal = {0};
    struct cv_plan p;
    struct cv_error err;
    CHECK_OK(cv_plan_make(&m, &c, &goal, &p, &arena, &err), err);
    CHECK_OK(cv_plan_check(&m, &c, &p, &err), err);
    CHECK_EQ(p.n_stage, 1);
    CHECK(p.stage[0].has_embd && p.stage[0].has_head);
    CHECK(p.exact);
    CHECK_EQ(p.goal.rows, 4);
    CHECK_EQ(p.goal.prompt, 2048);
}

static void test_three_nodes_too_small_alone_share_the_model(void)
{
    const struct cv_plan_model m = small_model();
    const struct cv_plan_cluster c = cluster_of(3, (uint64_t[]){2 * GIB, 2 * GIB, 2 * GIB});
    const struct cv_plan_goal goal = {0};
    struct cv_plan p;
    struct cv_error err;
    CHECK_OK(cv_plan_make(&m, &c, &goal, &p, &arena, &err), err);
    CHECK_OK(cv_plan_check(&m, &c, &p, &err), err);
    CHECK_EQ(p.n_stage, 3);
}

static void test_a_slow_node_is_left_out_with_the_reason(void)
{
    const struct cv_plan_model m = small_model();
    const struct cv_plan_cluster c = cluster_of(2, (uint64_t[]){8 * GIB, 8 * GIB});
    const struct cv_plan_goal goal = {.optimize = CV_PLAN_LATENCY};
    devices[1].bandwidth = 2e9;
    struct cv_plan p;
    struct cv_error err;
    CHECK_OK(cv_plan_make(&m, &c, &goal, &p, &arena, &err), err);
    CHECK_EQ(p.n_stage, 1);
    const struct cv_plan_spare *s = spare_of(&p, 1);
    CHECK(s != NULL);
    CHECK_EQ(s->why, CV_PLAN_SLOWER);
    CHECK_CONTAINS(s->text, "with it a token takes");
}

static void test_min_stages_uses_nodes_that_would_be_left_out(void)
{
    const struct cv_plan_model m = small_model();
    const struct cv_plan_cluster c = cluster_of(3, (uint64_t[]){8 * GIB, 8 * GIB, 8 * GIB});
    const struct cv_plan_goal goal = {.optimize = CV_PLAN_LATENCY, .min_stages = 3};
    struct cv_plan p;
    struct cv_error err;
    CHECK_OK(cv_plan_make(&m, &c, &goal, &p, &arena, &err), err);
    CHECK_EQ(p.n_stage, 3);
    const struct cv_plan_goal too_many = {.min_stages = 4};
    CHECK(!cv_plan_make(&m, &c, &too_many, &p, &arena, &err));
    CHECK_EQ(err.code, CV_ERR_ARG);
    CHECK_CONTAINS(err.msg, "only 3 nodes can hold a layer");
}

static void test_excluded_and_small_nodes_are_left_out_with_the_reason(void)
{
    const struct cv_plan_model m = small_model();
    const struct cv_plan_cluster c = cluster_of(3, (uint64_t[]){8 * GIB, 8 * GIB, 64 * MIB});
    const struct cv_plan_goal goal = {0};
    devices[1].excluded = true;
    struct cv_plan p;
    struct cv_error err;
    CHECK_OK(cv_plan_make(&m, &c, &goal, &p, &arena, &err), err);
    CHECK_EQ(spare_of(&p, 1)->why, CV_PLAN_EXCLUDED);
    CHECK_EQ(spare_of(&p, 2)->why, CV_PLAN_TOO_SMALL);
    CHECK_CONTAINS(spare_of(&p, 2)->text, "too small: 64 MiB");
}

static void test_a_pinned_node_holds_exactly_its_layers(void)
{
    const struct cv_plan_model m = small_model();
    const struct cv_plan_cluster c = cluster_of(3, (uint64_t[]){8 * GIB, 8 * GIB, 8 * GIB});
    const struct cv_plan_goal goal = {0};
    devices[2].pinned = true;
    devices[2].pin_first = 5;
    devices[2].pin_last = 9;
    struct cv_plan p;
    struct cv_error err;
    CHECK_OK(cv_plan_make(&m, &c, &goal, &p, &arena, &err), err);
    CHECK_OK(cv_plan_check(&m, &c, &p, &err), err);
    CHECK_EQ(p.n_stage, 3);
    CHECK_EQ(p.stage[1].device, 2);
    CHECK_EQ(p.stage[1].layer_first, 5);
    CHECK_EQ(p.stage[1].layer_last, 9);
}

static void test_rejects_pins_that_cannot_be(void)
{
    const struct cv_plan_model m = small_model();
    const struct cv_plan_goal goal = {0};
    struct cv_plan p;
    struct cv_error err;
    struct cv_plan_cluster c = cluster_of(2, (uint64_t[]){8 * GIB, 8 * GIB});
    devices[0].pinned = devices[1].pinned = true;
    devices[0].pin_last = 10;
    devices[1].pin_first = 9;
    devices[1].pin_last = 32;
    CHECK(!cv_plan_make(&m, &c, &goal, &p, &arena, &err));
    CHECK_EQ(err.code, CV_ERR_ARG);
    CHECK_CONTAINS(err.msg, "pinned to the same layer 9");
    devices[1].pin_last = 33;
    CHECK(!cv_plan_make(&m, &c, &goal, &p, &arena, &err));
    CHECK_CONTAINS(err.msg, "the model has 0 to 31");
    c = cluster_of(2, (uint64_t[]){8 * GIB, GIB});
    devices[1].pinned = true;
    devices[1].pin_last = 20;
    CHECK(!cv_plan_make(&m, &c, &goal, &p, &arena, &err));
    CHECK_EQ(err.code, CV_ERR_NOMEM);
    CHECK_CONTAINS(err.msg, "pinned layers 0 to 19 take");
    c = cluster_of(2, (uint64_t[]){8 * GIB, 8 * GIB});
    devices[1].pinned = devices[1].excluded = true;
    devices[1].pin_last = 20;
    CHECK(!cv_plan_make(&m, &c, &goal, &p, &arena, &err));
    CHECK_CONTAINS(err.msg, "both pinned and excluded");
}

static bool plan_works(const struct cv_plan_model *m, const struct cv_plan_cluster *c, const struct cv_plan_goal *goal)
{
    struct cv_plan p;
    return cv_plan_make(m, c, goal, &p, &arena, NULL);
}

/* Each advice is true, and no larger value would do. */
static void test_what_would_fit_fits_and_no_more_does(void)
{
    struct cv_plan_model m = small_model();
    const struct cv_plan_cluster c = cluster_of(2, (uint64_t[]){2 * GIB, 2 * GIB});
    const struct cv_plan_goal goal = {0};
    struct cv_plan_help h;
    struct cv_error err;
    CHECK(!plan_works(&m, &c, &goal));
    CHECK_OK(cv_plan_would_fit(&m, &c, &goal, &h, &err), err);
    CHECK(h.n_ctx > 0 && h.n_ctx < 4096 && h.n_slots > 0 && h.n_slots < 4 && h.weight_percent > 0);
    m.n_ctx = h.n_ctx;
    CHECK(plan_works(&m, &c, &goal));
    m.n_ctx = h.n_ctx + 256;
    CHECK(!plan_works(&m, &c, &goal));
    m = small_model();
    m.n_slots = h.n_slots;
    CHECK(plan_works(&m, &c, &goal));
    m.n_slots = h.n_slots + 1;
    CHECK(!plan_works(&m, &c, &goal));
    m = small_model();
    CHECK_EQ(h.kv, CV_PLAN_KV_Q8_0);
    m.kv = h.kv;
    CHECK(plan_works(&m, &c, &goal));
    m = small_model();
    struct cv_plan_cluster more = cluster_of(3, (uint64_t[]){2 * GIB, 2 * GIB, h.more_bytes});
    CHECK(plan_works(&m, &more, &goal));
    devices[2].memory_bytes -= 64 * MIB;
    CHECK(!plan_works(&m, &more, &goal));
}

static void test_the_error_of_what_does_not_fit_says_what_would(void)
{
    const struct cv_plan_model m = small_model();
    const struct cv_plan_cluster c = cluster_of(2, (uint64_t[]){2 * GIB, 2 * GIB});
    const struct cv_plan_goal goal = {0};
    struct cv_plan p;
    struct cv_error err;
    CHECK(!cv_plan_make(&m, &c, &goal, &p, &arena, &err));
    CHECK_EQ(err.code, CV_ERR_NOMEM);
    CHECK_CONTAINS(err.msg, "it needs 4.4 GiB");
    CHECK_CONTAINS(err.msg, "desk has 2.0 GiB, mini has 2.0 GiB (4.0 GiB together)");
    CHECK_CONTAINS(err.msg, "with a context of ");
    CHECK_CONTAINS(err.msg, "(now 4096)");
    CHECK_CONTAINS(err.msg, "with a cache of q8_0 (now f16)");
    CHECK_CONTAINS(err.msg, "with one more node of ");
}

static void test_a_cache_type_that_the_engine_lacks_is_not_advised(void)
{
    struct cv_plan_model m = small_model();
    const struct cv_plan_cluster c = cluster_of(2, (uint64_t[]){2 * GIB, 2 * GIB});
    const struct cv_plan_goal goal = {0};
    struct cv_plan_help h;
    struct cv_error err;
    m.kv_known = 0;
    CHECK_OK(cv_plan_would_fit(&m, &c, &goal, &h, &err), err);
    CHECK_EQ(h.kv, CV_PLAN_KV_COUNT);
    CHECK_EQ(h.small_kv, CV_PLAN_KV_COUNT);
    CHECK(h.n_ctx > 0);
}

static void test_the_error_names_the_constraint_that_is_in_the_way(void)
{
    const struct cv_plan_model m = small_model();
    const struct cv_plan_cluster c = cluster_of(2, (uint64_t[]){3 * GIB, 3 * GIB});
    const struct cv_plan_goal goal = {0};
    struct cv_plan p;
    struct cv_error err;
    devices[1].excluded = true;
    CHECK(!cv_plan_make(&m, &c, &goal, &p, &arena, &err));
    CHECK_CONTAINS(err.msg, "it would fit with the excluded nodes");
    devices[1].excluded = false;
    devices[0].reserve_bytes = 2 * GIB;
    CHECK(!cv_plan_make(&m, &c, &goal, &p, &arena, &err));
    CHECK_CONTAINS(err.msg, "without the reserves");
}

static void test_rejects_figures_that_make_no_sense(void)
{
    struct cv_plan_model m = small_model();
    struct cv_plan_cluster c = cluster_of(1, (uint64_t[]){8 * GIB});
    const struct cv_plan_goal goal = {0};
    struct cv_plan p;
    struct cv_error err;
    devices[0].bandwidth = NAN;
    CHECK(!cv_plan_make(&m, &c, &goal, &p, &arena, &err));
    CHECK_CONTAINS(err.msg, "node 'desk': its speeds make no sense");
    devices[0].bandwidth = 0;
    layers[3].weight_bytes = UINT64_MAX / 2;
    CHECK(!cv_plan_make(&m, &c, &goal, &p, &arena, &err));
    CHECK_CONTAINS(err.msg, "layer 3");
    m = small_model();
    m.n_ctx = 0;
    CHECK(!cv_plan_make(&m, &c, &goal, &p, &arena, &err));
    CHECK_EQ(err.code, CV_ERR_LIMIT);
    m = small_model();
    c.n_device = 0;
    CHECK(!cv_plan_make(&m, &c, &goal, &p, &arena, &err));
    CHECK_CONTAINS(err.msg, "no node");
}

static void test_layers_held_already_are_kept_when_moving_costs(void)
{
    const struct cv_plan_model m = small_model();
    const struct cv_plan_cluster c = cluster_of(2, (uint64_t[]){3 * GIB, 3 * GIB});
    struct cv_plan_goal goal = {.move_s_per_byte = 1e-8};
    devices[0].held_first = 20;
    devices[0].held_last = 32;
    devices[0].held_head = true;
    devices[1].held_last = 20;
    devices[1].held_embd = true;
    struct cv_plan p;
    struct cv_error err;
    CHECK_OK(cv_plan_make(&m, &c, &goal, &p, &arena, &err), err);
    CHECK_EQ(p.n_stage, 2);
    CHECK_EQ(p.stage[0].device, 1);
    CHECK_EQ(p.stage[0].layer_last, 20);
    CHECK_EQ(p.stage[0].fetch_bytes + p.stage[1].fetch_bytes, 0);
}

static void test_splitting_by_memory_alone_forgets_the_cache_and_says_so(void)
{
    struct cv_plan_model m = small_model();
    struct cv_plan_cluster c = cluster_of(2, (uint64_t[]){6 * GIB, 3 * GIB});
    const struct cv_plan_goal goal = {0};
    struct cv_plan p;
    struct cv_error err;
    CHECK_OK(cv_plan_by_memory(&m, &c, &goal, &p, &arena, &err), err);
    CHECK_OK(cv_plan_check(&m, &c, &p, &err), err);
    CHECK_EQ(p.n_stage, 2);
    CHECK_EQ(p.stage[0].layer_last, 21);
    c = cluster_of(2, (uint64_t[]){(uint64_t)(3.1 * (double)GIB), (uint64_t)(1.55 * (double)GIB)});
    m.head_bytes = 300 * MIB; /* the last stage gets what nobody counted */
    CHECK(!cv_plan_by_memory(&m, &c, &goal, &p, &arena, &err));
    CHECK_EQ(err.code, CV_ERR_NOMEM);
    CHECK_CONTAINS(err.msg, "by memory alone, layers 21 to 31 go to 'mini'");
    CHECK_OK(cv_plan_make(&m, &c, &goal, &p, &arena, &err), err);
}

static void test_predicts_what_it_was_told_to(void)
{
    const struct cv_plan_model m = small_model();
    const struct cv_plan_cluster c = cluster_of(2, (uint64_t[]){8 * GIB, 8 * GIB});
    const struct cv_plan_goal goal = {0};
    struct cv_plan_stage stage[2] = {{.device = 1, .layer_last = 10},
                                     {.device = 0, .layer_first = 10, .layer_last = 32}};
    struct cv_plan p = {.stage = stage, .n_stage = 2};
    struct cv_error err;
    for (int i = 0; i < 2; i++) {
        devices[i].rate[0] = (struct cv_plan_rate){1.0, 1e12};
        devices[i].n_rate = 1;
    }
    CHECK_OK(cv_plan_predict(&m, &c, &goal, &p, &err), err);
    CHECK_OK(cv_plan_check(&m, &c, &p, &err), err);
    /* A layer reads 100 MiB and 2 KiB for each of 2048 positions at 20 GB/s. */
    const double layer = (100.0 * MIB + 2048.0 * 2048.0) / CV_PLAN_BANDWIDTH;
    CHECK(fabs(stage[0].token_s - 10 * layer - 2048 * 4 / CV_PLAN_BANDWIDTH) < 1e-12);
    CHECK(fabs(stage[1].token_s - 22 * layer - 100.0 * MIB / CV_PLAN_BANDWIDTH) < 1e-12);
    stage[1].layer_first = 11;
    CHECK(!cv_plan_predict(&m, &c, &goal, &p, &err));
    CHECK_EQ(err.code, CV_ERR_ARG);
}

static void test_advises_memory_for_the_node_that_would_gain_most(void)
{
    const struct cv_plan_model m = small_model();
    struct cv_plan_cluster c = cluster_of(2, (uint64_t[]){2 * GIB, 8 * GIB});
    const struct cv_plan_goal goal = {.optimize = CV_PLAN_LATENCY};
    struct cv_plan p, bigger;
    struct cv_plan_advice a;
    struct cv_error err;
    for (int i = 0; i < 2; i++) {
        devices[i].rate[0] = (struct cv_plan_rate){1.0, 1e13};
        devices[i].n_rate = 1;
    }
    devices[0].bandwidth = 400e9; /* fast, and too small for all */
    CHECK_OK(cv_plan_make(&m, &c, &goal, &p, &arena, &err), err);
    CHECK_OK(cv_plan_advise(&m, &c, &p, &a, &err), err);
    CHECK_EQ(a.device, 0);
    CHECK(a.score < p.score / 2);
    CHECK_CONTAINS(a.text, "more on desk would make it");
    devices[0].memory_bytes += a.more_bytes;
    CHECK_OK(cv_plan_make(&m, &c, &goal, &bigger, &arena, &err), err);
    CHECK(fabs(bigger.score - a.score) < 1e-9);
    devices[0].memory_bytes = 16 * GIB; /* nothing to gain any more */
    CHECK_OK(cv_plan_make(&m, &c, &goal, &p, &arena, &err), err);
    CHECK_OK(cv_plan_advise(&m, &c, &p, &a, &err), err);
    CHECK_EQ(a.device, CV_PLAN_NONE);
    CHECK_STR(a.text, "");
}

static void test_the_table_names_every_node_and_every_figure(void)
{
    const struct cv_plan_model m = small_model();
    const struct cv_plan_cluster c = cluster_of(3, (uint64_t[]){3 * GIB, 3 * GIB, 64 * MIB});
    const struct cv_plan_goal goal = {0};
    struct cv_plan p;
    struct cv_error err;
    struct cv_buf b;
    CHECK_OK(cv_plan_make(&m, &c, &goal, &p, &arena, &err), err);
    cv_buf_init(&b, 1 << 16);
    CHECK(cv_plan_print(&m, &c, &p, &b));
    static const char *const parts[] = {"small: 32 layers, context 4096, 4 slots, cache f16; optimized for balanced",
                                        "desk",
                                        "mini",
                                        "one user",
                                        "many users",
                                        "long prompt",
                                        "limited by",
                                        "left out      pi-1: too small",
                                        "##",
                                        "=",
                                        " of 3.0 GiB"};
    for (size_t i = 0; i < CV_COUNT(parts); i++)
        CHECK_CONTAINS(b.data, parts[i]);
    const size_t all = b.len;
    cv_buf_fini(&b);
    for (size_t max = 0; max < all; max += 37) { /* a buffer that is too small is noticed */
        cv_buf_init(&b, max);
        CHECK(!cv_plan_print(&m, &c, &p, &b));
        cv_buf_fini(&b);
    }
}

static void test_json_balances_and_escapes(void)
{
    const struct cv_plan_model m = small_model();
    const struct cv_plan_cluster c = cluster_of(2, (uint64_t[]){8 * GIB, 64 * MIB});
    const struct cv_plan_goal goal = {0};
    struct cv_plan p;
    struct cv_error err;
    struct cv_buf b;
    devices[0].name = "de\"sk";
    CHECK_OK(cv_plan_make(&m, &c, &goal, &p, &arena, &err), err);
    cv_buf_init(&b, 1 << 16);
    CHECK(cv_plan_json(&m, &c, &p, &b));
    CHECK_CONTAINS(b.data, "\"node\":\"de\\\"sk\"");
    CHECK_CONTAINS(b.data, "\"layer_first\":0,\"layer_end\":32");
    CHECK_CONTAINS(b.data, "\"why\":\"too_small\"");
    CHECK_CONTAINS(b.data, "\"exact\":true");
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < b.len; i++) {
        if (b.data[i] == '\\')
            i++;
        else if (b.data[i] == '"')
            quoted = !quoted;
        else if (!quoted)
            depth += (b.data[i] == '{' || b.data[i] == '[') - (b.data[i] == '}' || b.data[i] == ']');
        CHECK(depth > 0 || i + 1 == b.len);
    }
    CHECK_EQ(depth, 0);
    cv_buf_fini(&b);
}

static void test_goals_are_read_by_name(void)
{
    enum cv_plan_optimize o;
    struct cv_error err;
    for (int i = 0; i < CV_PLAN_OPTIMIZE_COUNT; i++) {
        CHECK_OK(cv_plan_optimize_parse(cv_plan_optimize_name((enum cv_plan_optimize)i), &o, &err), err);
        CHECK_EQ(o, i);
    }
    CHECK(!cv_plan_optimize_parse("speed", &o, &err));
    CHECK_CONTAINS(err.msg, "balanced, latency, throughput or prompt");
}

static void test_a_failing_allocation_is_an_error_everywhere(void)
{
    const struct cv_plan_model m = small_model();
    const struct cv_plan_cluster c = cluster_of(3, (uint64_t[]){2 * GIB, 2 * GIB, 2 * GIB});
    const struct cv_plan_goal goal = {0};
    int failed = 0;
    for (long n = 0; n < 40; n++) {
        struct cv_arena own = {0};
        struct cv_plan p;
        struct cv_error err = {CV_OK, ""};
        cv_mem_fail_after(n);
        const bool ok = cv_plan_make(&m, &c, &goal, &p, &own, &err);
        cv_mem_fail_after(-1);
        CHECK(ok || err.code == CV_ERR_NOMEM);
        failed += !ok;
        cv_arena_fini(&own);
    }
    CHECK(failed > 3);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_one_node_that_holds_all_serves_alone),
        CASE(test_three_nodes_too_small_alone_share_the_model),
        CASE(test_a_slow_node_is_left_out_with_the_reason),
        CASE(test_min_stages_uses_nodes_that_would_be_left_out),
        CASE(test_excluded_and_small_nodes_are_left_out_with_the_reason),
        CASE(test_a_pinned_node_holds_exactly_its_layers),
        CASE(test_rejects_pins_that_cannot_be),
        CASE(test_what_would_fit_fits_and_no_more_does),
        CASE(test_the_error_of_what_does_not_fit_says_what_would),
        CASE(test_a_cache_type_that_the_engine_lacks_is_not_advised),
        CASE(test_the_error_names_the_constraint_that_is_in_the_way),
        CASE(test_rejects_figures_that_make_no_sense),
        CASE(test_layers_held_already_are_kept_when_moving_costs),
        CASE(test_splitting_by_memory_alone_forgets_the_cache_and_says_so),
        CASE(test_predicts_what_it_was_told_to),
        CASE(test_advises_memory_for_the_node_that_would_gain_most),
        CASE(test_the_table_names_every_node_and_every_figure),
        CASE(test_json_balances_and_escapes),
        CASE(test_goals_are_read_by_name),
        CASE(test_a_failing_allocation_is_an_error_everywhere),
    };
    const int rc = check_main(argc, argv, cases, CV_COUNT(cases));
    cv_arena_fini(&arena);
    return rc;
}
