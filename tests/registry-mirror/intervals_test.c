/* intervals_test.c - sets of ranges against a plain array of bits. */
#include <string.h>

#include "registry-mirror/intervals.h"
#include "tests/check/check.h"

enum { N = 200 };

static void agrees(const struct cv_intervals *s, const bool *bit)
{
    for (size_t i = 0; i < s->n; i++) {
        CHECK(s->at[i].from < s->at[i].to);
        CHECK(i == 0 || s->at[i - 1].to < s->at[i].from); /* sorted, and not touching */
    }
    for (uint64_t i = 0; i < N; i++)
        CHECK_EQ(cv_intervals_has(s, i, i + 1), bit[i]);
}

static void test_adding_and_removing_agree_with_bits(void)
{
    for (int round = 0; round < 200; round++) {
        struct cv_intervals s = {0};
        bool bit[N] = {false};
        for (int k = 0; k < 60; k++) {
            uint64_t a = check_below(N), b = a + check_below(k % 7 == 0 ? N - a + 1 : 12);
            b = b < N ? b : N;
            bool add = check_below(3) != 0;
            CHECK(add ? cv_intervals_add(&s, a, b) : cv_intervals_remove(&s, a, b));
            for (uint64_t i = a; i < b; i++)
                bit[i] = add;
        }
        agrees(&s, bit);
        for (int k = 0; k < 50; k++) {
            uint64_t a = check_below(N), b = a + check_below(N - a), i = a;
            struct cv_interval gap;
            bool found = cv_intervals_gap(&s, a, b, &gap);
            while (i < b && bit[i])
                i++;
            CHECK_EQ(found, i < b);
            CHECK_EQ(cv_intervals_has(&s, a, b), !found);
            if (found) {
                CHECK_EQ(gap.from, i);
                while (i < b && !bit[i])
                    i++;
                CHECK_EQ(gap.to, i);
            }
        }
        cv_intervals_fini(&s);
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {CASE(test_adding_and_removing_agree_with_bits)};
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
