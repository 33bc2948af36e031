/* carry_test.c - packed activations: exact where they must be, close where they may be, the same on every path. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "proto/carry.h"
#include "tests/check/check.h"

static double nmse(const float *want, const float *got, size_t n)
{
    double e = 0, s = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)want[i] - got[i];
        e += d * d;
        s += (double)want[i] * want[i];
    }
    return s > 0 ? e / s : e;
}

static void there_and_back(enum cv_carry type, const float *rows, uint32_t n_row, uint32_t width, float *back)
{
    void *packed = check_guarded(n_row * cv_carry_row_bytes(type, width));
    cv_carry_encode(type, rows, n_row, width, packed);
    cv_carry_decode(type, packed, n_row, width, back);
}

static void test_f32_is_exact(void)
{
    float x[3 * 7], y[3 * 7];
    for (int i = 0; i < 21; i++)
        x[i] = check_normal() * 1e9f;
    there_and_back(CV_CARRY_F32, x, 3, 7, y);
    CHECK(memcmp(x, y, sizeof(x)) == 0);
}

static void test_f16_keeps_its_precision_at_every_magnitude(void)
{
    enum { N = 2048 };
    float *x = check_guarded(N * 4), *y = check_guarded(N * 4);
    for (int e = -140; e <= 120; e += 4) {
        for (int i = 0; i < N; i++)
            x[i] = check_normal() * ldexpf(1.0f, e);
        there_and_back(CV_CARRY_F16, x, 1, N, y);
        CHECK(nmse(x, y, N) < (e > -100 ? 1e-7 : 1e-2)); /* below 2^-126 floats themselves lose their bits */
    }
    for (int i = 0; i < N; i++) /* a residual stream with a few huge entries */
        x[i] = check_normal() * (i % 500 == 0 ? 1e5f : 1.0f);
    there_and_back(CV_CARRY_F16, x, 1, N, y);
    CHECK(nmse(x, y, N) < 1e-7);
    for (int i = 0; i < N; i++)
        CHECK(fabsf(x[i] - y[i]) <= fabsf(x[i]) * 0x1p-11f + 1e5f * 5 * 0x1p-39f);
}

static void test_f16_takes_what_is_no_number(void)
{
    float x[] = {INFINITY, -INFINITY, NAN, 0.0f, -0.0f, 70000.0f, -1.0f}, y[7];
    there_and_back(CV_CARRY_F16, x, 1, 7, y);
    CHECK(isinf(y[0]) && y[0] > 0 && isinf(y[1]) && y[1] < 0 && isnan(y[2]));
    CHECK(y[3] == 0 && !signbit(y[3]) && y[4] == 0 && signbit(y[4]));
    CHECK(y[5] == 70016.0f || y[5] == 69984.0f || y[5] == 70000.0f);
    CHECK(y[6] == -1.0f);
    float zero[4] = {0}, back[4];
    there_and_back(CV_CARRY_F16, zero, 1, 4, back);
    CHECK(memcmp(zero, back, sizeof(zero)) == 0);
}

/* Bits of floats drawn evenly over all exponents, and the edges of the format. */
static float any_float(void)
{
    static const float edge[] = {65504.0f,   65519.99f,    65520.0f, 65536.0f, 0x1p-14f,        0x1p-24f, 0x1p-25f,
                                 0x1.8p-25f, 0x1.ffcp-15f, 2049.0f,  2051.0f,  0x1.fffffep127f, 0x1p-149f};
    uint64_t r = check_rand();
    if (r % 16 == 0)
        return edge[check_below(CV_COUNT(edge))];
    uint32_t bits = (uint32_t)(r >> 8);
    if (r % 4 == 1) /* within the range of halves */
        bits = (bits & 0x807fffffu) | (uint32_t)(100 + check_below(50)) << 23;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static void test_the_fast_path_gives_the_same_bytes(void)
{
    enum { MOST = 100 };
    const size_t most_bytes = cv_carry_row_bytes(CV_CARRY_F16, MOST);
    float *x_end = (float *)check_guarded(MOST * 4) + MOST, *y_end = (float *)check_guarded(MOST * 4) + MOST;
    unsigned char *a_end = (unsigned char *)check_guarded(most_bytes) + most_bytes;
    unsigned char *b_end = (unsigned char *)check_guarded(most_bytes) + most_bytes;
    for (int round = 0; round < 3000; round++) {
        uint32_t width = 1 + (uint32_t)check_below(MOST);
        float *x = x_end - width, *y = y_end - width, z[MOST];
        for (uint32_t i = 0; i < width; i++)
            x[i] = any_float();
        size_t n = cv_carry_row_bytes(CV_CARRY_F16, width);
        unsigned char *a = a_end - n, *b = b_end - n;
        memset(b, 0, n);
        cv_carry_encode(CV_CARRY_F16, x, 1, width, a);
        cv_carry_pack_f16_ref(x, width, b);
        CHECK(memcmp(a, b, n) == 0);
        for (size_t i = 4; i < n; i++) /* any bytes may arrive */
            a[i] = (unsigned char)check_rand();
        cv_carry_decode(CV_CARRY_F16, a, 1, width, y);
        cv_carry_unpack_f16_ref(a, width, z);
        CHECK(memcmp(y, z, width * 4) == 0);
    }
}

static void test_an_odd_width_leaves_no_byte_unwritten(void)
{
    float x[3] = {1, 2, 3};
    unsigned char p[12];
    memset(p, 0xee, sizeof(p));
    CHECK_EQ(cv_carry_row_bytes(CV_CARRY_F16, 3), 12);
    cv_carry_encode(CV_CARRY_F16, x, 1, 3, p);
    CHECK(p[10] == 0 && p[11] == 0);
}

static void test_names_are_parsed(void)
{
    enum cv_carry type;
    struct cv_error err;
    CHECK(cv_carry_parse("f32", &type, &err) && type == CV_CARRY_F32);
    CHECK(cv_carry_parse("F16", &type, &err) && type == CV_CARRY_F16);
    CHECK(!cv_carry_parse("q8", &type, &err) && err.code == CV_ERR_UNSUPPORTED);
    CHECK(!cv_carry_parse("f64", &type, &err) && err.code == CV_ERR_ARG);
    CHECK_CONTAINS(err.msg, "'f64'");
    CHECK_STR(cv_carry_name(CV_CARRY_Q8), "q8");
}

static void test_a_row_takes_microseconds(void)
{
    enum { N = 2048, ROUNDS = 2000 };
    float *x = check_guarded(N * 4), *y = check_guarded(N * 4);
    void *p = check_guarded(cv_carry_row_bytes(CV_CARRY_F16, N));
    for (int i = 0; i < N; i++)
        x[i] = check_normal();
    uint64_t t0 = cv_now_ns();
    for (int r = 0; r < ROUNDS; r++)
        cv_carry_encode(CV_CARRY_F16, x, 1, N, p);
    uint64_t t1 = cv_now_ns();
    for (int r = 0; r < ROUNDS; r++)
        cv_carry_decode(CV_CARRY_F16, p, 1, N, y);
    uint64_t t2 = cv_now_ns();
    printf("  %d floats: packed in %.2f us, unpacked in %.2f us\n", N, (double)(t1 - t0) / ROUNDS / 1e3,
           (double)(t2 - t1) / ROUNDS / 1e3);
    CHECK(t2 - t0 < (uint64_t)ROUNDS * 1000000); /* a thousand times slower than it should be */
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_f32_is_exact),
        CASE(test_f16_keeps_its_precision_at_every_magnitude),
        CASE(test_f16_takes_what_is_no_number),
        CASE(test_the_fast_path_gives_the_same_bytes),
        CASE(test_an_odd_width_leaves_no_byte_unwritten),
        CASE(test_names_are_parsed),
        CASE(test_a_row_takes_microseconds),
    };
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
