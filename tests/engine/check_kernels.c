/*
 * check_kernels.c - every set of matrix kernels against the reference, bit for bit, and the reference against the
 * mathematics.
 *
 *   check_kernels              the cases
 *   check_kernels --bench [N [TYPE]]  the same kernels timed, with N threads (0: all)
 *   check_kernels --self-test  plants wrong results and must see each of them caught
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/check/check.h"
#include "tests/engine/kernel_problem.h"

static const unsigned isa_avx2 = CV_ISA_AVX2;
static const unsigned isa_avxvnni = CV_ISA_AVX2 | CV_ISA_AVX_VNNI;
static const unsigned isa_avx512 = CV_ISA_AVX2 | CV_ISA_AVX512 | CV_ISA_AVX512_VNNI;

static size_t block_len(enum cv_dtype dtype)
{
    return cv_dtype_get((uint32_t)dtype)->block_len;
}

/* What --self-test does to a result before it is compared. */
static enum fault { FAULT_NONE, FAULT_BIT, FAULT_LAST_OUTPUT, FAULT_SWAPPED_ROWS, FAULT_SCALE, FAULT_N } fault;

static void spoil(float *y, const struct problem *p)
{
    size_t n = p->n_row * p->n_out;
    uint32_t bits;
    switch (fault) {
    case FAULT_BIT: /* one bit of one output */
        memcpy(&bits, &y[n / 2], 4);
        bits ^= 1;
        memcpy(&y[n / 2], &bits, 4);
        break;
    case FAULT_LAST_OUTPUT: /* a tail that was never written */
        y[n - 1] = 0;
        break;
    case FAULT_SWAPPED_ROWS:
        for (size_t o = 0; o < p->n_out && p->n_row > 1; o++) {
            float t = y[o];
            y[o] = y[p->n_out + o];
            y[p->n_out + o] = t;
        }
        break;
    case FAULT_SCALE:
        for (size_t i = 0; i < n; i++)
            y[i] *= 1.0625f;
        break;
    default:
        break;
    }
}

static bool same_bits(const float *got, const float *want, const struct problem *p)
{
    for (size_t r = 0; r < p->n_row; r++) {
        for (size_t o = 0; o < p->n_out; o++) {
            size_t at = r * p->n_out + o;
            if (memcmp(&got[at], &want[at], sizeof(*got)) == 0)
                continue;
            printf("    %s n_out %zu k %zu n_row %zu: row %zu output %zu: %.9g, expected %.9g\n",
                   cv_dtype_get((uint32_t)p->dtype)->name, p->n_out, p->k, p->n_row, r, o, (double)got[at],
                   (double)want[at]);
            return false;
        }
    }
    return true;
}

static bool equals_reference(const struct problem *p, unsigned isa)
{
    cv_matrix_init(0);
    const float *want = problem_run(p, NULL);
    cv_matrix_init(isa);
    float *got = problem_run(p, NULL);
    spoil(got, p);
    return same_bits(got, want, p);
}

static void compare_set(unsigned isa)
{
    static const size_t outs[] = {1, 15, 16, 17, 31, 32, 33, 48, 70, 130};
    static const size_t rows[] = {1, 2, 3, 4, 5, 7, 8, 12, 15, 16, 17, 20, 31, 32, 33, 48, 67};
    if ((cv_isa_detect() & isa) != isa)
        SKIP("this processor lacks the instructions");
    for (size_t t = 0; t < CV_COUNT(problem_types); t++) {
        enum cv_dtype dtype = problem_types[t];
        size_t len = block_len(dtype);
        for (size_t i = 0; i < CV_COUNT(rows); i++) {
            struct problem p;
            size_t blocks = len == 1 ? 1 + check_below(130) : len == 32 ? 1 + check_below(21) : 1 + check_below(3);
            problem_make(&p, dtype, outs[check_below(CV_COUNT(outs))], blocks * len, rows[i]);
            CHECK(equals_reference(&p, isa));
        }
    }
    cv_matrix_init(0);
}

static void test_avx2_equals_the_reference(void)
{
    compare_set(isa_avx2);
}

static void test_avx_vnni_equals_the_reference(void)
{
    compare_set(isa_avxvnni);
}

static void test_avx512_equals_the_reference(void)
{
    compare_set(isa_avx512);
}

/* Many rows and a long k: more than one block of rows, tiles and panels of every kind. */
static void test_large_products_equal_the_reference(void)
{
    unsigned all = cv_isa_detect();
    static const unsigned sets[] = {isa_avx2, isa_avxvnni, isa_avx512};
    for (size_t t = 3; t < CV_COUNT(problem_types); t++) {
        struct problem p;
        problem_make(&p, problem_types[t], 80, 4096, 297);
        for (size_t s = 0; s < CV_COUNT(sets); s++)
            CHECK((all & sets[s]) != sets[s] || equals_reference(&p, sets[s]));
    }
    cv_matrix_init(0);
}

/*
 * The exact product within a bound for each output. Quantizing moves an activation by half a step at most. Each group
 * of 32 adds a few roundings of terms that are no larger than the sum of |code * scale| + |minimum| over its
 * activations; and |minimum| <= 63 * PROBLEM_SCALE_MAX, |code * scale| <= |w| + |minimum|.
 */
static bool within_bound(const struct problem *p, const float *y)
{
    float *w = check_guarded(p->k * sizeof(*w));
    bool quantized = cv_dtype_wants_quantized_acts(p->dtype);
    const double minimum = p->dtype == CV_DTYPE_Q4_K || p->dtype == CV_DTYPE_Q5_K ? 63.0 * PROBLEM_SCALE_MAX : 0;
    for (size_t o = 0; o < p->n_out; o++) {
        cv_dequantize(p->dtype, p->src + o * p->row_bytes, w, p->k);
        for (size_t r = 0; r < p->n_row; r++) {
            const float *x = p->x + r * p->k;
            double sum = 0, size = 0, all = 0, moved = 0, step = 0;
            for (size_t i = 0; i < p->k; i++) {
                if (quantized && i % 32 == 0) {
                    step = 0;
                    for (size_t j = i; j < i + 32; j++)
                        step = fmax(step, fabs((double)x[j]) / 127);
                }
                sum += (double)w[i] * (double)x[i];
                all += fabs((double)w[i]);
                size += (fabs((double)w[i]) + 2 * minimum) * (fabs((double)x[i]) + step);
                moved += fabs((double)w[i]) * step * 0.5;
            }
            double steps = quantized ? 4.0 * (double)(p->k / 32) + 4 : (double)p->k + 2;
            /* activations below 2^-100 may count as zero */
            double bound = moved * 1.0001 + steps * 0x1p-24 * size + 0x1p-100 * all;
            if (fabs((double)y[r * p->n_out + o] - sum) <= bound)
                continue;
            printf("    %s n_out %zu k %zu: row %zu output %zu: %.9g, exact %.9g, bound %.3g\n",
                   cv_dtype_get((uint32_t)p->dtype)->name, p->n_out, p->k, r, o, (double)y[r * p->n_out + o], sum,
                   bound);
            return false;
        }
    }
    return true;
}

static void test_reference_is_the_mathematics(void)
{
    cv_matrix_init(0);
    for (size_t t = 0; t < CV_COUNT(problem_types); t++) {
        for (int round = 0; round < 6; round++) {
            struct problem p;
            size_t len = block_len(problem_types[t]);
            problem_make(&p, problem_types[t], 1 + check_below(40), len * (1 + check_below(1024 / len)), 3);
            float *y = problem_run(&p, NULL);
            spoil(y, &p);
            CHECK(within_bound(&p, y));
        }
    }
}

/* The mean error must be that of rounding in groups of 32, not of a scale or an offset gone wrong. */
static void test_quantized_activations_lose_what_eight_bits_lose(void)
{
    cv_matrix_init(0);
    for (size_t t = 3; t < CV_COUNT(problem_types); t++) {
        struct problem p;
        problem_make(&p, problem_types[t], 64, 1024, 48);
        float *x = check_guarded(p.n_row * p.k * sizeof(*x)), *w = check_guarded(p.k * sizeof(*w));
        for (size_t i = 0; i < p.n_row * p.k; i++)
            x[i] = check_normal();
        p.x = x;
        const float *y = problem_run(&p, NULL);
        double error = 0, power = 0;
        for (size_t o = 0; o < p.n_out; o++) {
            cv_dequantize(p.dtype, p.src + o * p.row_bytes, w, p.k);
            for (size_t r = 0; r < p.n_row; r++) {
                double sum = 0;
                for (size_t i = 0; i < p.k; i++)
                    sum += (double)w[i] * (double)x[r * p.k + i];
                error += pow((double)y[r * p.n_out + o] - sum, 2);
                power += sum * sum;
            }
        }
        /* The largest magnitude of 32 normal values is about 2.35: (2.35 / 127)^2 / 12 = 2.9e-5. Of 256, 3.0: 4.6e-5. */
        CHECK(power > 0 && error / power < 3.8e-5);
    }
}

static void test_a_row_alone_equals_the_row_among_many(void)
{
    unsigned isa = cv_isa_detect();
    for (size_t t = 0; t < CV_COUNT(problem_types); t++) {
        struct problem p;
        problem_make(&p, problem_types[t], 53, 512, 41);
        cv_matrix_init(t % 2 == 0 ? isa : isa & isa_avx2);
        const float *all = problem_run(&p, NULL);
        for (size_t first = 0, n; first < p.n_row; first += n) {
            struct problem some = p;
            n = 1 + check_below(9);
            n = n < p.n_row - first ? n : p.n_row - first;
            some.x = p.x + first * p.k;
            some.n_row = n;
            CHECK(same_bits(problem_run(&some, NULL), all + first * p.n_out, &some));
        }
    }
    cv_matrix_init(0);
}

static void test_threads_change_nothing(void)
{
    struct cv_error err;
    cv_matrix_init(cv_isa_detect());
    for (unsigned n = 1; n <= 3; n++) {
        struct cv_pool *pool;
        CHECK_OK(cv_pool_new(&pool, n, &err), err);
        bool same = true;
        for (size_t t = 0; t < CV_COUNT(problem_types) && same; t++) {
            struct problem p;
            problem_make(&p, problem_types[t], 200, 768, t % 2 == 0 ? 1 : 83);
            same = same_bits(problem_run(&p, pool), problem_run(&p, NULL), &p);
        }
        cv_pool_free(pool);
        CHECK(same);
    }
    cv_matrix_init(0);
}

static void test_many_matrices_at_once_equal_one_by_one(void)
{
    enum { N = 10 };
    struct problem p[N];
    struct cv_error err;
    struct cv_pool *pool;
    cv_matrix_init(cv_isa_detect());
    for (size_t n_row = 1; n_row <= 40; n_row += 13) {
        float *y[N];
        const float *want[N];
        size_t ldy[N];
        const struct cv_matrix *w[N];
        problem_make(&p[0], CV_DTYPE_Q4_K, 64, 512, n_row);
        for (size_t i = 0; i < N; i++) {
            if (i > 0)
                problem_make(&p[i], problem_types[3 + check_below(5)], 1 + check_below(90), 512, n_row);
            p[i].x = p[0].x;
            w[i] = &p[i].m;
            ldy[i] = p[i].n_out + 3;
            y[i] = check_guarded((n_row * ldy[i] - 3) * sizeof(float));
            want[i] = problem_run(&p[i], NULL);
        }
        struct cv_acts acts;
        cv_acts_prepare(&acts, CV_DTYPE_Q4_K, p[0].x, 512, n_row, 512,
                        check_guarded(cv_acts_bytes(CV_DTYPE_Q4_K, n_row, 512)), NULL);
        CHECK_OK(cv_pool_new(&pool, 2, &err), err);
        cv_matmul_many(y, ldy, w, N, &acts, pool);
        cv_pool_free(pool);
        for (size_t i = 0; i < N; i++) {
            for (size_t r = 0; r < n_row; r++)
                CHECK(memcmp(y[i] + r * ldy[i], want[i] + r * p[i].n_out, p[i].n_out * sizeof(float)) == 0);
        }
    }
    cv_matrix_init(0);
}

static void test_a_row_unpacks_to_what_the_file_says(void)
{
    for (size_t t = 0; t < CV_COUNT(problem_types); t++) {
        struct problem p;
        problem_make(&p, problem_types[t], 37, 512, 1);
        float *got = check_guarded(p.k * sizeof(*got)), *want = check_guarded(p.k * sizeof(*want));
        for (size_t o = 0; o < p.n_out; o++) {
            cv_matrix_get_row(&p.m, o, got);
            cv_dequantize(p.dtype, p.src + o * p.row_bytes, want, p.k);
            CHECK(memcmp(got, want, p.k * sizeof(*got)) == 0);
        }
    }
}

static void test_a_broken_activation_shows_in_its_row_alone(void)
{
    unsigned isa = cv_isa_detect();
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t t = 3; t < CV_COUNT(problem_types); t++) {
        struct problem p;
        problem_make(&p, problem_types[t], 20, 512, 6);
        cv_matrix_init(t % 2 == 0 ? isa : 0);
        const float *before = problem_run(&p, NULL);
        float *x = check_guarded(p.n_row * p.k * sizeof(*x));
        memcpy(x, p.x, p.n_row * p.k * sizeof(*x));
        x[2 * p.k + 77] = bad[t % 3];
        p.x = x;
        const float *after = problem_run(&p, NULL);
        for (size_t r = 0; r < p.n_row; r++) {
            for (size_t o = 0; o < p.n_out; o++) {
                size_t at = r * p.n_out + o;
                CHECK(r == 2 ? isnan(after[at]) != 0 : memcmp(&before[at], &after[at], 4) == 0);
            }
        }
    }
    cv_matrix_init(0);
}

static void test_sizes_that_make_no_sense_are_refused(void)
{
    struct cv_error err;
    size_t bytes;
    CHECK(!cv_matrix_bytes(CV_DTYPE_IQ2_XXS, 16, 256, &bytes, &err));
    CHECK_EQ(err.code, CV_ERR_UNSUPPORTED);
    CHECK_CONTAINS(err.msg, "IQ2_XXS");
    CHECK(!cv_matrix_bytes(CV_DTYPE_Q4_K, 16, 128, &bytes, &err));
    CHECK_EQ(err.code, CV_ERR_FORMAT);
    CHECK(!cv_matrix_bytes(CV_DTYPE_F32, 0, 128, &bytes, &err));
    CHECK(!cv_matrix_bytes(CV_DTYPE_F32, 16, SIZE_MAX / 8, &bytes, &err));
    CHECK_EQ(err.code, CV_ERR_LIMIT);
    CHECK(!cv_matrix_bytes(CV_DTYPE_Q4_K, SIZE_MAX / 64, 2048, &bytes, &err));
    CHECK_EQ(err.code, CV_ERR_LIMIT);
    CHECK_OK(cv_matrix_bytes(CV_DTYPE_Q4_K, 17, 512, &bytes, &err), err);
    CHECK_EQ(bytes, 32 * 2 * 144);
}

static bool caught;

static void plant_in_the_comparison(void)
{
    struct problem p;
    unsigned isa = cv_isa_detect();
    for (size_t t = 0; t < CV_COUNT(problem_types); t++) {
        problem_make(&p, problem_types[t], 33, 512, 5);
        caught = caught && !equals_reference(&p, isa);
    }
    cv_matrix_init(0);
}

static void plant_in_the_mathematics(void)
{
    struct problem p;
    cv_matrix_init(0);
    for (size_t t = 0; t < CV_COUNT(problem_types); t++) {
        problem_make(&p, problem_types[t], 33, 512, 5);
        float *y = problem_run(&p, NULL);
        spoil(y, &p);
        caught = caught && !within_bound(&p, y);
    }
}

/* Every fault must be caught for every type; a wrong scale also by the comparison with exact sums. */
static int self_test(void)
{
    static const struct check_case comparison = CASE(plant_in_the_comparison), exact = CASE(plant_in_the_mathematics);
    char *no_args[] = {NULL};
    for (fault = FAULT_BIT; fault < FAULT_N; fault++) {
        caught = true;
        bool ran = check_main(0, no_args, &comparison, 1) == 0;
        if (ran && caught && (fault == FAULT_SCALE || fault == FAULT_SWAPPED_ROWS))
            ran = check_main(0, no_args, &exact, 1) == 0;
        if (!ran || !caught) {
            printf("self-test: fault %d was not caught\n", (int)fault);
            return 1;
        }
    }
    printf("self-test: every planted fault was caught\n");
    return 0;
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_avx2_equals_the_reference),
        CASE(test_avx_vnni_equals_the_reference),
        CASE(test_avx512_equals_the_reference),
        CASE(test_large_products_equal_the_reference),
        CASE(test_reference_is_the_mathematics),
        CASE(test_quantized_activations_lose_what_eight_bits_lose),
        CASE(test_a_row_alone_equals_the_row_among_many),
        CASE(test_threads_change_nothing),
        CASE(test_many_matrices_at_once_equal_one_by_one),
        CASE(test_a_row_unpacks_to_what_the_file_says),
        CASE(test_a_broken_activation_shows_in_its_row_alone),
        CASE(test_sizes_that_make_no_sense_are_refused),
    };
    if (argc > 1 && strcmp(argv[1], "--bench") == 0)
        return bench_kernels(argc > 2 ? (unsigned)atoi(argv[2]) : 0, argc > 3 ? argv[3] : NULL);
    if (argc > 1 && strcmp(argv[1], "--self-test") == 0)
        return self_test();
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
