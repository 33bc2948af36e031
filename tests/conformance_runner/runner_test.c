/* runner_test.c - the conformance runner sees what is wrong: a data set of one type, right and then spoilt. */
#define _XOPEN_SOURCE 700
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/check/check.h"

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", check_tmpdir(), name);
    return path;
}

static void write_file(const char *name, const void *data, size_t n)
{
    FILE *f = fopen(path_of(name), "wb");
    CHECK(f != NULL);
    const bool ok = fwrite(data, 1, n, f) == n;
    CHECK(fclose(f) == 0 && ok);
}

static int run(const char *arguments)
{
    char command[1024];
    snprintf(command, sizeof(command), "CARAVAN_REQUIRE_CONFORMANCE=1 '%s' %s '%s' >'%s/said' 2>&1", RUNNER, arguments,
             check_tmpdir(), check_tmpdir());
    const int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const char *said(void)
{
    static char text[8192];
    FILE *f = fopen(path_of("said"), "rb");
    CHECK(f != NULL);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    return text;
}

/* One block of Q8_0 with scale 1, its values, and a row for the quantizer. */
static void write_data(float first, double rmse, const char *name)
{
    unsigned char block[34] = {0x00, 0x3c};
    float values[32], row[32];
    char json[512];
    for (int i = 0; i < 32; i++) {
        block[2 + i] = (unsigned char)i;
        values[i] = (float)i;
        row[i] = (float)i / 7.0f;
    }
    values[0] = first;
    (void)mkdir(path_of("quant"), 0700); /* may be there from before */
    write_file("quant/b.bin", block, sizeof(block));
    write_file("quant/b.f32", values, sizeof(values));
    write_file("quant/r.f32", row, sizeof(row));
    const int n =
        snprintf(json, sizeof(json),
                 "{\"name\":\"%s\",\"type_id\":8,\"block_bytes\":34,\"block_values\":32,\"blocks\":1,"
                 "\"blocks_file\":\"b.bin\",\"expected\":\"b.f32\",\"quantize\":{\"input\":\"r.f32\",\"rows\":1,"
                 "\"row_values\":32,\"rmse\":%g,\"limit_factor\":1.02}}",
                 name, rmse);
    write_file("quant/case.json", json, (size_t)n);
}

static void test_right_data_passes(void)
{
    write_data(0.0f, 0.02, "Q8_0");
    CHECK_EQ(run("quant"), 0);
    CHECK_CONTAINS(said(), "ok   quant/case dequantize");
    CHECK_CONTAINS(said(), "3 passed, 0 failed, 0 skipped\n");
}

static void test_a_wrong_value_fails(void)
{
    write_data(0.001f, 0.02, "Q8_0");
    CHECK_EQ(run("quant"), 1);
    CHECK_CONTAINS(said(), "FAIL quant/case dequantize: block 0");
    CHECK_CONTAINS(said(), "2 passed, 1 failed, 0 skipped\n");
}

static void test_a_quantizer_above_its_limit_fails(void)
{
    write_data(0.0f, 1e-6, "Q8_0");
    CHECK_EQ(run("quant"), 1);
    CHECK_CONTAINS(said(), "FAIL quant/case quantize: rmse");
}

static void test_an_unknown_type_is_skipped_by_name(void)
{
    write_data(0.0f, 0.02, "Q9_9");
    CHECK_EQ(run("quant"), 0);
    CHECK_CONTAINS(said(), "unsupported: tensor type");
    CHECK_CONTAINS(said(), "0 passed, 0 failed, 1 skipped\n");
}

static void test_missing_data_is_a_failure_when_it_is_required(void)
{
    CHECK_EQ(run("quant"), 1);
    CHECK_CONTAINS(said(), "is not there");
    write_data(0.0f, 0.02, "Q8_0");
    CHECK(remove(path_of("quant/b.f32")) == 0);
    CHECK_EQ(run("quant"), 1);
    CHECK_CONTAINS(said(), "b.f32: cannot be read");
    write_file("quant/case.json", "[1]", 3);
    CHECK_EQ(run("quant"), 1);
    CHECK_CONTAINS(said(), "not an object");
    CHECK_EQ(run("--nonsense"), 2);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_right_data_passes),
        CASE(test_a_wrong_value_fails),
        CASE(test_a_quantizer_above_its_limit_fails),
        CASE(test_an_unknown_type_is_skipped_by_name),
        CASE(test_missing_data_is_a_failure_when_it_is_required),
    };
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
