/* select_test.c - the candidates of a row against a plain sort of it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/select.h"
#include "tests/check/check.h"

enum { MAX_ROW = 5000 };

static float row[MAX_ROW];
static struct cv_candidate want[MAX_ROW], got[2 * MAX_ROW];

static int by_logit_then_id(const void *pa, const void *pb)
{
    const struct cv_candidate *a = pa, *b = pb;
    if (a->logit != b->logit)
        return a->logit < b->logit ? 1 : -1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static void test_selects_what_a_sort_selects(void)
{
    for (int round = 0; round < 300; round++) {
        size_t n = 1 + check_below(MAX_ROW - 1);
        for (size_t i = 0; i < n; i++) {
            row[i] = round % 3 == 0 ? (float)check_below(7) : 3.0f * check_normal(); /* many ties, or none */
            if (check_below(50) == 0)
                row[i] = -INFINITY;
            if (check_below(200) == 0)
                row[i] = NAN;
            want[i] = (struct cv_candidate){(int32_t)i, isnan(row[i]) ? -INFINITY : row[i]};
        }
        qsort(want, n, sizeof(want[0]), by_logit_then_id);
        uint32_t n_top = (uint32_t)check_below(n + 3);
        int32_t ids[3] = {(int32_t)check_below(n), -1, (int32_t)n};
        size_t count = cv_candidates_select(row, n, n_top, ids, 3, got, NULL);
        size_t kept = n_top < n ? n_top : n;
        CHECK_EQ(count, kept + 3);
        CHECK_EQ(count, cv_candidates_count(n, n_top, 3));
        for (size_t i = 0; i < kept; i++) {
            CHECK_EQ(got[i].id, want[i].id);
            CHECK(got[i].logit == want[i].logit);
        }
        CHECK_EQ(got[kept].id, ids[0]);
        CHECK(got[kept].logit == (isnan(row[ids[0]]) ? -INFINITY : row[ids[0]]));
        CHECK(got[kept + 1].logit == -INFINITY && got[kept + 2].logit == -INFINITY);
    }
}

static void test_all_is_the_row_in_order_of_ids(void)
{
    for (size_t i = 0; i < 100; i++)
        row[i] = check_normal();
    CHECK_EQ(cv_candidates_select(row, 100, CV_ASK_ALL, NULL, 0, got, NULL), 100);
    for (size_t i = 0; i < 100; i++)
        CHECK(got[i].id == (int32_t)i && got[i].logit == row[i]);
}

static void test_log_sum_exp_agrees_with_the_library(void)
{
    for (int round = 0; round < 300; round++) {
        size_t n = 1 + check_below(MAX_ROW - 1);
        float spread = (float)(1 << check_below(8)), shift = 100.0f * check_normal();
        double best = -INFINITY, sum = 0.0;
        for (size_t i = 0; i < n; i++) {
            row[i] = spread * check_normal() + shift;
            best = row[i] > best ? row[i] : best;
        }
        for (size_t i = 0; i < n; i++)
            sum += exp((double)row[i] - best);
        CHECK(fabs(cv_log_sum_exp(row, n) - (best + log(sum))) < 1e-6);
    }
}

static void test_log_sum_exp_of_rows_without_a_finite_maximum(void)
{
    row[0] = -INFINITY, row[1] = NAN;
    CHECK(cv_log_sum_exp(row, 2) == -INFINITY);
    row[2] = INFINITY;
    CHECK(cv_log_sum_exp(row, 3) == INFINITY);
    row[2] = 4.0f;
    CHECK(fabs(cv_log_sum_exp(row, 3) - 4.0) < 1e-6);
}

static void test_does_not_read_past_the_row(void)
{
    float *guarded = check_guarded(67 * sizeof(float));
    for (size_t i = 0; i < 67; i++)
        guarded[i] = (float)i;
    double lse;
    CHECK_EQ(cv_candidates_select(guarded, 67, 5, NULL, 0, got, &lse), 5);
    CHECK_EQ(got[0].id, 66);
}

static void test_is_quick_enough_for_every_token(void)
{
    enum { N = 131072 };
    static float big[N];
    for (size_t i = 0; i < N; i++)
        big[i] = 3.0f * check_normal();
    uint64_t best = UINT64_MAX;
    for (int round = 0; round < 20; round++) {
        double lse;
        uint64_t begin = cv_now_ns();
        cv_candidates_select(big, N, 104, NULL, 0, got, &lse);
        uint64_t took = cv_now_ns() - begin;
        best = took < best ? took : best;
    }
    printf("    top 104 and log-sum-exp of %d logits: %.0f us\n", N, (double)best / 1e3);
    CHECK(best < 20 * 1000 * 1000); /* generous: sanitizers and loaded machines */
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_selects_what_a_sort_selects),         CASE(test_all_is_the_row_in_order_of_ids),
        CASE(test_log_sum_exp_agrees_with_the_library), CASE(test_log_sum_exp_of_rows_without_a_finite_maximum),
        CASE(test_does_not_read_past_the_row),          CASE(test_is_quick_enough_for_every_token),
    };
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
