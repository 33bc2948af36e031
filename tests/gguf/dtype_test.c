#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/reader.h"
#include "gguf/dtype.h"
#include "tests/check/check.h"

static void test_types_are_known_by_number_and_name(void)
{
    unsigned n = 0;
    for (uint32_t id = 0; id < 100; id++) {
        const struct cv_dtype_info *info = cv_dtype_get(id);
        enum cv_dtype found;
        if (info == NULL)
            continue;
        n++;
        CHECK(cv_dtype_by_name(info->name, &found) && (uint32_t)found == id);
    }
    CHECK_EQ(n, 35);
    enum cv_dtype type;
    CHECK(cv_dtype_by_name("q4_k", &type) && type == CV_DTYPE_Q4_K);
    CHECK(!cv_dtype_by_name("Q4", &type));
    CHECK(cv_dtype_get(4) == NULL && cv_dtype_get(31) == NULL && cv_dtype_get(UINT32_MAX) == NULL);
    CHECK(!cv_dtype_can_dequantize((enum cv_dtype)1000) && !cv_dtype_can_quantize((enum cv_dtype)1000));
}

static void test_row_bytes_wants_whole_blocks(void)
{
    struct cv_error err;
    size_t bytes = 0;
    CHECK_OK(cv_dtype_row_bytes(CV_DTYPE_Q6_K, 512, &bytes, &err), err);
    CHECK_EQ(bytes, 420);
    CHECK(!cv_dtype_row_bytes(CV_DTYPE_Q6_K, 128, &bytes, &err));
    CHECK_CONTAINS(err.msg, "Q6_K");
    CHECK(!cv_dtype_row_bytes(CV_DTYPE_F32, SIZE_MAX / 2, &bytes, &err));
    CHECK_EQ(err.code, CV_ERR_LIMIT);
    CHECK(!cv_dtype_row_bytes((enum cv_dtype)5, 1, &bytes, &err));
    CHECK_EQ(bytes, 420);
}

static bool same_bits(float a, float b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

static void test_every_half_comes_back(void)
{
    for (uint32_t h = 0; h < 65536; h++) {
        const float f = cv_f16_to_f32((uint16_t)h);
        if (isnan(f)) {
            CHECK((cv_f32_to_f16(f) & 0x7fff) > 0x7c00);
            continue;
        }
        CHECK_EQ(cv_f32_to_f16(f), h);
        const int e = (int)(h >> 10 & 31), m = (int)(h & 1023);
        const double want = e == 31 ? HUGE_VAL : e == 0 ? ldexp(m, -24) : ldexp(1024 + m, e - 25);
        CHECK((double)f == (h & 0x8000 ? -want : want));
        CHECK((signbit(f) != 0) == ((h & 0x8000) != 0));
    }
}

/* Between two neighbours the nearer one, and of equally near ones the even one. */
static void test_halves_are_rounded_to_nearest_even(void)
{
    for (int round = 0; round < 200000; round++) {
        const uint16_t low = (uint16_t)check_below(0x7bff); /* finite, and so is the next */
        const float a = cv_f16_to_f32(low), b = cv_f16_to_f32((uint16_t)(low + 1));
        const float middle = a + (b - a) / 2; /* exact */
        CHECK_EQ(cv_f32_to_f16(middle), low % 2 == 0 ? low : low + 1);
        CHECK_EQ(cv_f32_to_f16(nextafterf(middle, 0.0f)), low);
        CHECK_EQ(cv_f32_to_f16(nextafterf(middle, 1e9f)), low + 1);
        CHECK_EQ(cv_f32_to_f16(-nextafterf(middle, 1e9f)), 0x8000 | (low + 1));
    }
    CHECK_EQ(cv_f32_to_f16(65519.99f), 0x7bff);
    CHECK_EQ(cv_f32_to_f16(65520.0f), 0x7c00);
    CHECK_EQ(cv_f32_to_f16(-1e30f), 0xfc00);
    CHECK_EQ(cv_f32_to_f16(0x1p-26f), 0);
    CHECK_EQ(cv_f32_to_f16(-0.0f), 0x8000);
}

static void test_bfloats_are_rounded_to_nearest_even(void)
{
    for (uint32_t h = 0; h < 65536; h++) {
        const float f = cv_bf16_to_f32((uint16_t)h);
        if (isnan(f))
            CHECK(isnan(cv_bf16_to_f32(cv_f32_to_bf16(f))));
        else
            CHECK_EQ(cv_f32_to_bf16(f), h);
    }
    for (int round = 0; round < 100000; round++) {
        const uint32_t low = (uint32_t)check_below(0x7f7f), bits = low << 16 | 0x8000;
        float middle;
        memcpy(&middle, &bits, sizeof(middle));
        CHECK_EQ(cv_f32_to_bf16(middle), low % 2 == 0 ? low : low + 1);
        CHECK_EQ(cv_f32_to_bf16(nextafterf(middle, 0.0f)), low);
        CHECK_EQ(cv_f32_to_bf16(nextafterf(middle, FLT_MAX)), low + 1);
    }
    CHECK_EQ(cv_f32_to_bf16(FLT_MAX), 0x7f80);
}

/* Blocks written by hand, values worked out by hand. */
static void test_known_blocks_have_known_values(void)
{
    unsigned char b[210];
    float v[256];
    memset(b, 0, sizeof(b));
    cv_store_u16(b, 0x4000); /* 2.0 */
    b[2] = 0x9f;             /* value 0: 15, value 16: 9 */
    cv_dequantize(CV_DTYPE_Q4_0, b, v, 32);
    CHECK(v[0] == 14.0f && v[16] == 2.0f && v[1] == -16.0f);
    memset(b, 0, sizeof(b));
    cv_store_u16(b, 0xbc00); /* -1.0 */
    b[2 + 31] = 0x80;
    cv_dequantize(CV_DTYPE_Q8_0, b, v, 32);
    CHECK(v[31] == 128.0f && same_bits(v[0], -0.0f));
    memset(b, 0, sizeof(b));
    cv_store_u16(b, 0x3c00);     /* scale 1 */
    cv_store_u16(b + 2, 0x3800); /* minimum 0.5 */
    b[4] = 3;                    /* part 0: scale 3 */
    b[8] = 4;                    /* part 0: minimum 4 */
    b[12] = 0x21;                /* part 4: low bits of scale 1, of minimum 2 */
    b[4] |= 1 << 6;              /* part 4: scale 1 + 16 */
    b[8] |= 2 << 6;              /* part 4: minimum 2 + 32 */
    b[16] = 0x05;                /* value 0: 5 */
    b[16 + 64] = 0x0a;           /* value 128: 10 */
    cv_dequantize(CV_DTYPE_Q4_K, b, v, 256);
    CHECK(v[0] == 5.0f * 3 - 0.5f * 4);
    CHECK(v[128] == 10.0f * 17 - 0.5f * 34);
    CHECK(v[32] == 0.0f);
    memset(b, 0, sizeof(b));
    cv_store_u16(b + 208, 0x3c00);
    b[192] = 2;                      /* values 0..15 */
    b[192 + 15] = (unsigned char)-3; /* values 240..255 */
    b[0] = 0x01;                     /* value 0: 1 + 16 * 2 - 32 */
    b[128] = 0x02;                   /* its high bits */
    cv_dequantize(CV_DTYPE_Q6_K, b, v, 256);
    CHECK(v[0] == 2.0f && v[1] == -64.0f && v[255] == 96.0f && v[16] == 0.0f);
}

static const struct {
    enum cv_dtype type;
    double most; /* of the root mean square error on normal numbers, relative to theirs */
} quantized[] = {
    {CV_DTYPE_F32, 0.0},   {CV_DTYPE_F16, 3e-4},   {CV_DTYPE_BF16, 3e-3}, {CV_DTYPE_Q8_0, 0.008},
    {CV_DTYPE_Q6_K, 0.02}, {CV_DTYPE_Q5_K, 0.04},  {CV_DTYPE_Q5_0, 0.05}, {CV_DTYPE_Q5_1, 0.04},
    {CV_DTYPE_Q4_K, 0.08}, {CV_DTYPE_Q4_0, 0.095}, {CV_DTYPE_Q4_1, 0.08},
};

enum { N = 4096 };

static double round_trip(enum cv_dtype type, const float *x, const float *w, float *back)
{
    static unsigned char packed[N * 4];
    double error = 0.0, power = 0.0;
    cv_quantize(type, x, w, packed, N);
    cv_dequantize(type, packed, back, N);
    for (int i = 0; i < N; i++) {
        CHECK(isfinite(back[i]));
        error += ((double)back[i] - x[i]) * ((double)back[i] - x[i]);
        power += (double)x[i] * x[i];
    }
    return power > 0.0 ? sqrt(error / power) : sqrt(error);
}

static void test_quantizers_stay_close_to_normal_numbers(void)
{
    static float x[N], back[N];
    for (int i = 0; i < N; i++)
        x[i] = check_normal() * 0.02f;
    for (size_t k = 0; k < CV_COUNT(quantized); k++) {
        CHECK(cv_dtype_can_quantize(quantized[k].type));
        const double error = round_trip(quantized[k].type, x, NULL, back);
        printf("    %-5s %.5f\n", cv_dtype_get(quantized[k].type)->name, error);
        CHECK(error <= quantized[k].most);
    }
}

static void test_quantizers_take_odd_rows(void)
{
    static float x[N], back[N];
    for (size_t k = 0; k < CV_COUNT(quantized); k++) {
        const enum cv_dtype type = quantized[k].type;
        memset(x, 0, sizeof(x));
        CHECK(round_trip(type, x, NULL, back) == 0.0);
        for (int i = 0; i < N; i++)
            x[i] = 0.75f; /* all the same, above zero and below */
        CHECK(round_trip(type, x, NULL, back) < 0.01);
        for (int i = 0; i < N; i++)
            x[i] = -0.75f;
        CHECK(round_trip(type, x, NULL, back) < 0.01);
        for (int i = 0; i < N; i++)
            x[i] = i % 256 == 77 ? -100.0f : 0.01f; /* one far from the others */
        CHECK(round_trip(type, x, NULL, back) < 0.02);
        for (int i = 0; i < N; i++)
            x[i] = ldexpf(check_normal(), (int)check_below(60) - 30);
        (void)round_trip(type, x, NULL, back);
        for (int i = 0; i < N; i++)
            x[i] = ldexpf(check_normal(), (int)check_below(200) - 100); /* beyond what a half can scale: finite still */
        (void)round_trip(type, x, NULL, back);
        for (int i = 0; i < N; i++)
            x[i] = i % 2 == 0 ? 1e-38f : -1e-40f;
        (void)round_trip(type, x, NULL, back);
    }
}

/* What was rounded once hardly moves when it is rounded again. */
static void test_quantizing_twice_changes_little(void)
{
    static float x[N], once[N], twice[N];
    for (int i = 0; i < N; i++)
        x[i] = check_normal();
    for (size_t k = 0; k < CV_COUNT(quantized); k++) {
        const double first = round_trip(quantized[k].type, x, NULL, once);
        CHECK(round_trip(quantized[k].type, once, NULL, twice) <= first * 0.4);
    }
}

static void test_importance_moves_the_error(void)
{
    static const enum cv_dtype types[] = {CV_DTYPE_Q4_0, CV_DTYPE_Q4_1, CV_DTYPE_Q5_0,
                                          CV_DTYPE_Q4_K, CV_DTYPE_Q5_K, CV_DTYPE_Q6_K};
    static float x[N], w[N], back[N];
    for (size_t k = 0; k < CV_COUNT(types); k++) {
        double plain = 0.0, weighted = 0.0;
        for (int i = 0; i < N; i++) {
            x[i] = check_normal();
            w[i] = i % 8 == 3 ? 100.0f : 1.0f;
        }
        (void)round_trip(types[k], x, NULL, back);
        for (int i = 3; i < N; i += 8)
            plain += ((double)back[i] - x[i]) * ((double)back[i] - x[i]);
        (void)round_trip(types[k], x, w, back);
        for (int i = 3; i < N; i += 8)
            weighted += ((double)back[i] - x[i]) * ((double)back[i] - x[i]);
        CHECK(weighted < 0.9 * plain);
    }
}

/* Reads and writes no byte too many: buffers end at an unreadable page. */
static void test_kernels_stay_within_their_blocks(void)
{
    for (uint32_t id = 0; id < CV_DTYPE_COUNT; id++) {
        const struct cv_dtype_info *info = cv_dtype_get(id);
        if (info == NULL || !cv_dtype_can_dequantize((enum cv_dtype)id))
            continue;
        const size_t n = 3 * (size_t)info->block_len, bytes = 3 * (size_t)info->block_bytes;
        unsigned char *packed = check_guarded(bytes);
        float *x = check_guarded(n * sizeof(float));
        for (size_t i = 0; i < bytes; i++)
            packed[i] = (unsigned char)check_rand();
        cv_dequantize((enum cv_dtype)id, packed, x, n);
        if (!cv_dtype_can_quantize((enum cv_dtype)id))
            continue;
        for (size_t i = 0; i < n; i++)
            x[i] = check_normal();
        cv_quantize((enum cv_dtype)id, x, NULL, packed, n);
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_types_are_known_by_number_and_name),
        CASE(test_row_bytes_wants_whole_blocks),
        CASE(test_every_half_comes_back),
        CASE(test_halves_are_rounded_to_nearest_even),
        CASE(test_bfloats_are_rounded_to_nearest_even),
        CASE(test_known_blocks_have_known_values),
        CASE(test_quantizers_stay_close_to_normal_numbers),
        CASE(test_quantizers_take_odd_rows),
        CASE(test_quantizing_twice_changes_little),
        CASE(test_importance_moves_the_error),
        CASE(test_kernels_stay_within_their_blocks),
    };
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
