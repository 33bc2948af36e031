/* slots_test.c - who gets which slot, and what of the one before stays. */
#include "coordinator/slots.h"

#include "tests/check/check.h"

static struct cv_slots *three(void)
{
    struct cv_slots *s;
    struct cv_error err;
    CHECK_OK(cv_slots_new(&s, 3, &err), err);
    return s;
}

static void test_a_fresh_slot_is_new(void)
{
    struct cv_slots *s = three();
    const int32_t t[] = {1, 2, 3};
    uint32_t kept = 99;
    struct cv_cmd cmd;
    const uint32_t slot = cv_slots_take(s, t, 3, &kept, &cmd);
    CHECK_EQ(kept, 0);
    CHECK_EQ(cmd.op, CV_CMD_NEW);
    CHECK_EQ(cmd.slot, slot);
    CHECK_EQ(cv_slots_n_free(s), 2);
    cv_slots_give(s, slot, t, 3);
    CHECK_EQ(cv_slots_n_free(s), 3);
    cv_slots_free(s);
}

static void test_the_longest_common_beginning_wins_but_the_last_token_runs(void)
{
    struct cv_slots *s = three();
    const int32_t a[] = {1, 2, 3, 4, 5}, b[] = {1, 2, 9};
    uint32_t kept;
    struct cv_cmd cmd;
    const uint32_t slot_a = cv_slots_take(s, a, 5, &kept, &cmd), slot_b = cv_slots_take(s, b, 3, &kept, &cmd);
    cv_slots_give(s, slot_a, a, 5);
    cv_slots_give(s, slot_b, b, 3);
    CHECK_EQ(cv_slots_take(s, a, 5, &kept, &cmd), slot_a);
    CHECK_EQ(kept, 4); /* all are held, and yet somebody has to answer */
    CHECK_EQ(cmd.op, CV_CMD_TRIM);
    CHECK_EQ(cmd.pos, 4);
    const int32_t c[] = {1, 2, 3, 4, 5, 6};
    CHECK_EQ(cv_slots_take(s, c, 6, &kept, &cmd), slot_b); /* slot_a is busy: what it held is nobody's */
    CHECK_EQ(kept, 2);
    cv_slots_free(s);
}

static void test_the_one_unused_for_longest_is_overwritten(void)
{
    struct cv_slots *s = three();
    const int32_t a[] = {1, 1}, b[] = {2, 2}, c[] = {3, 3}, d[] = {4, 4};
    uint32_t kept, slot[3];
    struct cv_cmd cmd;
    slot[0] = cv_slots_take(s, a, 2, &kept, &cmd);
    slot[1] = cv_slots_take(s, b, 2, &kept, &cmd);
    slot[2] = cv_slots_take(s, c, 2, &kept, &cmd);
    CHECK(slot[0] != slot[1] && slot[1] != slot[2] && slot[0] != slot[2]);
    cv_slots_give(s, slot[1], b, 2);
    cv_slots_give(s, slot[0], a, 2);
    cv_slots_give(s, slot[2], c, 2);
    CHECK_EQ(cv_slots_take(s, d, 2, &kept, &cmd), slot[1]);
    CHECK_EQ(kept, 0);
    CHECK_EQ(cv_slots_take(s, a, 2, &kept, &cmd), slot[0]);
    CHECK_EQ(kept, 1);
    cv_slots_free(s);
}

static void test_only_what_was_fed_is_kept(void)
{
    struct cv_slots *s = three();
    const int32_t a[] = {1, 2, 3, 4};
    uint32_t kept;
    struct cv_cmd cmd;
    cv_slots_give(s, cv_slots_take(s, a, 4, &kept, &cmd), a, 2);
    (void)cv_slots_take(s, a, 4, &kept, &cmd);
    CHECK_EQ(kept, 2);
    cv_slots_free(s);
}

static void test_new_stages_hold_nothing(void)
{
    struct cv_slots *s = three();
    const int32_t a[] = {1, 2, 3, 4};
    uint32_t kept;
    struct cv_cmd cmd;
    cv_slots_give(s, cv_slots_take(s, a, 4, &kept, &cmd), a, 4);
    const uint32_t busy = cv_slots_take(s, a, 1, &kept, &cmd);
    cv_slots_forget(s);
    CHECK_EQ(cv_slots_n_free(s), 2);
    CHECK(cv_slots_take(s, a, 4, &kept, &cmd) != busy);
    CHECK_EQ(kept, 0);
    CHECK_EQ(cmd.op, CV_CMD_NEW);
    cv_slots_free(s);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_a_fresh_slot_is_new),
        CASE(test_the_longest_common_beginning_wins_but_the_last_token_runs),
        CASE(test_the_one_unused_for_longest_is_overwritten),
        CASE(test_only_what_was_fed_is_kept),
        CASE(test_new_stages_hold_nothing),
    };
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
