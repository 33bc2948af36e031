/* main.c - finds the data, runs the suites asked for, closes with the counts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/conformance_runner/runner.h"

static const struct {
    const char *name;
    void (*run)(struct runner *r, const char *dir);
} suites[] = {
    {"arch", suite_arch}, {"types", suite_arch}, {"quant", suite_quant}, {"vocab", suite_vocab}, {"chat", suite_chat},
};

static const char help[] =
    "Compares this build with the expected results of the conformance data.\n"
    "\n"
    "  conformance [arch|types|quant|vocab|chat] [DIR] [--only TEXT]\n"
    "\n"
    "DIR holds a folder of each suite's name; default: $CONFORMANCE_DIR, then ../shared/conformance, beside the\n"
    "current directory and beside the sources. --only takes the files whose name contains TEXT.\n"
    "A line per case: ok, FAIL, or SKIP with what is missing. Exit code 1 when a case failed.\n"
    "Without data nothing is tested and that counts as one skipped case; with CARAVAN_REQUIRE_CONFORMANCE=1 in the\n"
    "environment it is a failure.\n";

static bool is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static const char *find_data(void)
{
    const char *env = getenv("CONFORMANCE_DIR");
    const char *const places[] = {"../shared/conformance", CARAVAN_SOURCE_DIR "/../shared/conformance"};
    if (env != NULL && env[0] != '\0')
        return env;
    for (size_t i = 0; i < CV_COUNT(places); i++)
        if (is_dir(places[i]))
            return places[i];
    return places[0];
}

static bool is_suite(const char *name)
{
    for (size_t i = 0; i < CV_COUNT(suites); i++)
        if (strcmp(suites[i].name, name) == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    const char *suite = NULL, *dir = NULL;
    struct runner r = {0};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(help, stdout);
            return 0;
        }
        if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
            r.only = argv[++i];
        } else if (suite == NULL && dir == NULL && is_suite(argv[i])) {
            suite = argv[i];
        } else if (dir == NULL && argv[i][0] != '-') {
            dir = argv[i];
        } else {
            fprintf(stderr, "conformance: what is '%s'?\n\n%s", argv[i], help);
            return 2;
        }
    }
    if (dir == NULL)
        dir = find_data();
    const char *must = getenv("CARAVAN_REQUIRE_CONFORMANCE");
    const bool required = must != NULL && strcmp(must, "1") == 0;
    for (size_t i = 0; i < CV_COUNT(suites); i++) {
        char path[4096];
        if (suite != NULL && strcmp(suite, suites[i].name) != 0)
            continue;
        r.suite = suites[i].name;
        snprintf(path, sizeof(path), "%s/%s", dir, suites[i].name);
        const unsigned before = r.n_pass + r.n_fail + r.n_skip;
        if (is_dir(path)) {
            suites[i].run(&r, path);
            if (r.n_pass + r.n_fail + r.n_skip == before && r.only == NULL)
                runner_fail(&r, "*", "%s holds no case", path);
        } else if (required) {
            runner_fail(&r, "*", "%s is not there", path);
        } else {
            runner_unsupported(&r, "*", "%s is not there", path);
        }
    }
    printf("%u passed, %u failed, %u skipped\n", r.n_pass, r.n_fail, r.n_skip);
    return r.n_fail != 0;
}
