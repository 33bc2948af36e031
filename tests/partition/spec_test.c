/* spec_test.c - clusters as they stand on a command line. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "partition/spec.h"
#include "tests/check/check.h"

static struct cv_arena arena;

static struct cv_plan_spec begin(void)
{
    cv_arena_reset(&arena);
    return (struct cv_plan_spec){.arena = &arena};
}

static struct cv_plan_spec three_nodes(void)
{
    struct cv_plan_spec s = begin();
    struct cv_error err;
    CHECK_OK(cv_plan_spec_node(&s, "pi-1=6G", &err), err);
    CHECK_OK(cv_plan_spec_node(&s, "desk/cpu=30G,50G,1.5T", &err), err);
    CHECK_OK(cv_plan_spec_node(&s, "desk/gpu0=22G,900G,60T", &err), err);
    return s;
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-12 * fabs(b);
}

static void test_reads_nodes_with_one_two_and_three_figures(void)
{
    struct cv_plan_spec s = three_nodes();
    CHECK_EQ(s.n_device, 3);
    CHECK_STR(s.device[0].name, "pi-1");
    CHECK_EQ(s.device[0].memory_bytes, (uint64_t)6 << 30);
    CHECK(s.device[0].bandwidth == 0.0);
    CHECK_EQ(s.device[0].n_rate, 0);
    CHECK(near(s.device[1].bandwidth, 50e9));
    CHECK_EQ(s.device[1].n_rate, 1);
    CHECK(near(s.device[1].rate[0].flops, 1.5e12));
}

static void test_devices_with_the_same_name_before_the_slash_share_a_node(void)
{
    struct cv_plan_spec s = three_nodes();
    CHECK_EQ(s.device[1].node, s.device[2].node);
    CHECK(s.device[0].node != s.device[1].node);
}

static void test_rejects_nodes_that_make_no_sense(void)
{
    static const struct {
        const char *text, *says;
    } bad[] = {{"pi", "expected NAME=SIZE"},
               {"=6G", "expected NAME=SIZE"},
               {"pi=", "expected NAME=SIZE"},
               {"pi=much", "node 'pi': 'much' is not a size"},
               {"pi=6G,fast", "node 'pi': 'fast' is no rate"},
               {"pi=6G,50Q", "'Q' is left over"},
               {"pi=6G,0", "more than nothing"},
               {"pi=6G,-1", "is no rate"},
               {"pi=6G,1G,1T,1", "more than three figures"},
               {"a b=6G", "no blanks"},
               {"coordinator=6G", "links use that name"},
               {"desk/gpu0=1G", "there twice"}};
    for (size_t i = 0; i < CV_COUNT(bad); i++) {
        struct cv_plan_spec s = three_nodes();
        struct cv_error err;
        CHECK(!cv_plan_spec_node(&s, bad[i].text, &err));
        CHECK_EQ(err.code, CV_ERR_ARG);
        CHECK_CONTAINS(err.msg, bad[i].says);
        CHECK_EQ(s.n_device, 3);
    }
}

static void test_every_prefix_of_a_node_is_read_or_refused(void)
{
    static const char whole[] = "desk/gpu0=22.5GiB,900.25Gbit/s,60T";
    for (size_t n = 0; n <= strlen(whole); n++) {
        struct cv_plan_spec s = begin();
        struct cv_error err = {CV_OK, ""};
        char text[sizeof(whole)];
        memcpy(text, whole, n);
        text[n] = '\0';
        const bool ok = cv_plan_spec_node(&s, text, &err);
        CHECK(ok == (s.n_device == 1));
        CHECK(ok || (err.code == CV_ERR_ARG && err.msg[0] != '\0'));
    }
}

static void test_reads_rates_and_delays_with_their_units(void)
{
    static const struct {
        const char *text;
        double value;
    } rate[] = {{"5", 5}, {"2k", 2e3}, {"110M", 110e6}, {"1.5T", 1.5e12}, {"100Mbit", 12.5e6}, {"1GB/s", 1e9}},
      delay[] = {{"300us", 300e-6}, {"0.3ms", 0.3e-3}, {"2s", 2.0}, {"0ms", 0.0}};
    struct cv_error err;
    double v;
    for (size_t i = 0; i < CV_COUNT(rate); i++) {
        CHECK_OK(cv_plan_spec_rate(rate[i].text, &v, &err), err);
        CHECK(near(v, rate[i].value));
    }
    for (size_t i = 0; i < CV_COUNT(delay); i++) {
        CHECK_OK(cv_plan_spec_delay(delay[i].text, &v, &err), err);
        CHECK(v == delay[i].value || near(v, delay[i].value));
    }
    static const char *const no_delay[] = {"", "5", "ms", "5m", "-1ms", "1e3ms", "nan s"};
    for (size_t i = 0; i < CV_COUNT(no_delay); i++)
        CHECK(!cv_plan_spec_delay(no_delay[i], &v, &err));
}

static void test_links_find_names_with_dashes_and_hold_in_both_directions(void)
{
    struct cv_plan_spec s = three_nodes();
    struct cv_plan_cluster c;
    struct cv_error err;
    CHECK_OK(cv_plan_spec_link(&s, "pi-1-desk/gpu0=2ms,1G", &err), err);
    CHECK_OK(cv_plan_spec_link(&s, "coordinator-pi-1=20ms", &err), err);
    CHECK_OK(cv_plan_spec_cluster(&s, NULL, &c, &err), err);
    CHECK(near(c.link[0 * 4 + 2].delay_s, 2e-3));
    CHECK(near(c.link[2 * 4 + 0].bytes_per_s, 1e9));
    CHECK(near(c.link[3 * 4 + 0].delay_s, 20e-3));
    CHECK(near(c.link[0 * 4 + 3].bytes_per_s, CV_PLAN_LINK_RATE));
    CHECK(c.link[0 * 4 + 1].bytes_per_s == 0.0); /* not named: the default holds */
}

static void test_rejects_links_that_make_no_sense(void)
{
    static const struct {
        const char *text, *says;
    } bad[] = {{"pi-1=2ms", "two known nodes"},
               {"pi-1-mac=2ms", "two known nodes"},
               {"pi-1-desk=2ms", "two known nodes"}, /* desk has two devices */
               {"pi-1-pi-1=2ms", "both ends are the same"},
               {"pi-1-desk/cpu=fast", "is no delay"},
               {"pi-1-desk/cpu=1ms,slow", "is no rate"},
               {"pi-1-desk/cpu", "expected A-B"}};
    for (size_t i = 0; i < CV_COUNT(bad); i++) {
        struct cv_plan_spec s = three_nodes();
        struct cv_error err;
        CHECK(!cv_plan_spec_link(&s, bad[i].text, &err));
        CHECK_CONTAINS(err.msg, bad[i].says);
        CHECK_EQ(s.n_link, 0);
    }
}

static void test_a_link_that_can_be_read_in_two_ways_is_refused(void)
{
    struct cv_plan_spec s = begin();
    struct cv_error err;
    static const char *const nodes[] = {"a=1G", "b-c=1G", "a-b=1G", "c=1G"};
    for (size_t i = 0; i < CV_COUNT(nodes); i++)
        CHECK_OK(cv_plan_spec_node(&s, nodes[i], &err), err);
    CHECK(!cv_plan_spec_link(&s, "a-b-c=1ms", &err));
    CHECK_CONTAINS(err.msg, "2 ways");
}

static void test_pins_count_both_ends(void)
{
    struct cv_plan_spec s = three_nodes();
    struct cv_error err;
    CHECK_OK(cv_plan_spec_pin(&s, "pi-1=0:11", &err), err);
    CHECK(s.device[0].pinned);
    CHECK_EQ(s.device[0].pin_first, 0);
    CHECK_EQ(s.device[0].pin_last, 12);
    CHECK(!cv_plan_spec_pin(&s, "pi-1=12:13", &err));
    CHECK_CONTAINS(err.msg, "already");
}

static void test_rejects_pins_that_make_no_sense(void)
{
    static const struct {
        const char *text, *says;
    } bad[] = {{"mac=0:3", "there is no node 'mac'"},     {"desk=0:3", "has 2 devices; name one of them"},
               {"pi-1=3", "expected NODE=FIRST:LAST"},    {"pi-1=3:", "expected NODE=FIRST:LAST"},
               {"pi-1=5:2", "layer 5 comes after"},       {"pi-1=0:99999999999", "expected NODE=FIRST:LAST"},
               {"pi-1=0:3x", "expected NODE=FIRST:LAST"}, {"pi-1", "expected NODE=FIRST:LAST"}};
    for (size_t i = 0; i < CV_COUNT(bad); i++) {
        struct cv_plan_spec s = three_nodes();
        struct cv_error err;
        CHECK(!cv_plan_spec_pin(&s, bad[i].text, &err));
        CHECK_CONTAINS(err.msg, bad[i].says);
        CHECK(!s.device[0].pinned);
    }
}

static void test_excluding_a_node_excludes_all_its_devices(void)
{
    struct cv_plan_spec s = three_nodes();
    struct cv_error err;
    CHECK_OK(cv_plan_spec_exclude(&s, "desk", &err), err);
    CHECK(!s.device[0].excluded && s.device[1].excluded && s.device[2].excluded);
    CHECK(!cv_plan_spec_exclude(&s, "mac", &err));
    CHECK_EQ(err.code, CV_ERR_NOT_FOUND);
}

static void test_reserves_are_sizes(void)
{
    struct cv_plan_spec s = three_nodes();
    struct cv_error err;
    CHECK_OK(cv_plan_spec_reserve(&s, "desk/cpu=2G", &err), err);
    CHECK_EQ(s.device[1].reserve_bytes, (uint64_t)2 << 30);
    CHECK(!cv_plan_spec_reserve(&s, "desk/cpu=lots", &err));
    CHECK_CONTAINS(err.msg, "reserve of 'desk/cpu'");
}

static void test_the_coordinators_node_is_found_by_name(void)
{
    struct cv_plan_spec s = three_nodes();
    struct cv_plan_cluster c;
    struct cv_error err;
    CHECK_OK(cv_plan_spec_cluster(&s, "desk", &c, &err), err);
    CHECK_EQ(c.home_node, s.device[1].node);
    CHECK(!cv_plan_spec_cluster(&s, "mac", &c, &err));
    CHECK_EQ(err.code, CV_ERR_NOT_FOUND);
}

static void test_a_failing_allocation_is_an_error_everywhere(void)
{
    for (long n = 0; n < 8; n++) {
        struct cv_plan_spec s = begin();
        struct cv_plan_cluster c;
        struct cv_error err = {CV_OK, ""};
        cv_mem_fail_after(n);
        const bool ok = cv_plan_spec_node(&s, "a=1G,2G", &err) && cv_plan_spec_node(&s, "b=1G", &err) &&
                        cv_plan_spec_link(&s, "a-b=1ms", &err) && cv_plan_spec_cluster(&s, NULL, &c, &err);
        cv_mem_fail_after(-1);
        CHECK(ok || err.code == CV_ERR_NOMEM);
    }
    cv_arena_fini(&arena);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_reads_nodes_with_one_two_and_three_figures),
        CASE(test_devices_with_the_same_name_before_the_slash_share_a_node),
        CASE(test_rejects_nodes_that_make_no_sense),
        CASE(test_every_prefix_of_a_node_is_read_or_refused),
        CASE(test_reads_rates_and_delays_with_their_units),
        CASE(test_links_find_names_with_dashes_and_hold_in_both_directions),
        CASE(test_rejects_links_that_make_no_sense),
        CASE(test_a_link_that_can_be_read_in_two_ways_is_refused),
        CASE(test_pins_count_both_ends),
        CASE(test_rejects_pins_that_make_no_sense),
        CASE(test_excluding_a_node_excludes_all_its_devices),
        CASE(test_reserves_are_sizes),
        CASE(test_the_coordinators_node_is_found_by_name),
        CASE(test_a_failing_allocation_is_an_error_everywhere),
    };
    const int rc = check_main(argc, argv, cases, CV_COUNT(cases));
    cv_arena_fini(&arena);
    return rc;
}
