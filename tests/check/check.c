/* mkdtemp, nftw */
#define _XOPEN_SOURCE 700
#include "tests/check/check.h"

#include <ftw.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"

enum { MAX_GUARDED = 4096 };

static jmp_buf case_end;
static uint64_t seed = 1, state;
static bool failed, skipped;
static struct {
    void *base;
    size_t len;
} guarded[MAX_GUARDED];
static size_t n_guarded;
static char tmpdir[64];

static void fail_at(const char *file, int line)
{
    failed = true;
    printf("    at %s:%d (seed %" PRIu64 ")\n", file, line, seed);
    longjmp(case_end, 1);
}

void check_true(bool ok, const char *what, const char *file, int line)
{
    if (ok)
        return;
    printf("    CHECK failed: %s\n", what);
    fail_at(file, line);
}

void check_eq(int64_t a, int64_t b, const char *what, const char *file, int line)
{
    if (a == b)
        return;
    printf("    CHECK failed: %s: %" PRId64 " is not %" PRId64 "\n", what, a, b);
    fail_at(file, line);
}

void check_str(const char *a, const char *b, const char *what, const char *file, int line)
{
    if (a != NULL && b != NULL && strcmp(a, b) == 0)
        return;
    printf("    CHECK failed: %s: '%s' is not '%s'\n", what, a == NULL ? "(null)" : a, b == NULL ? "(null)" : b);
    fail_at(file, line);
}

void check_contains(const char *s, const char *part, const char *what, const char *file, int line)
{
    if (s != NULL && strstr(s, part) != NULL)
        return;
    printf("    CHECK failed: %s: '%s' does not contain '%s'\n", what, s == NULL ? "(null)" : s, part);
    fail_at(file, line);
}

void check_ok(bool ok, const struct cv_error *err, const char *what, const char *file, int line)
{
    if (ok)
        return;
    printf("    CHECK failed: %s: %s\n", what, err->msg);
    fail_at(file, line);
}

void check_skip(const char *why)
{
    printf("    skipped: %s\n", why);
    skipped = true;
    longjmp(case_end, 1);
}

void check_rewind(void)
{
    state = seed;
}

uint64_t check_rand(void)
{
    uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

uint64_t check_below(uint64_t n)
{
    return n == 0 ? 0 : check_rand() % n;
}

double check_uniform(void)
{
    return (double)(check_rand() >> 11) * 0x1p-53;
}

float check_normal(void)
{
    double u = 1.0 - check_uniform(), v = check_uniform();
    return (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v));
}

void *check_guarded(size_t n)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t body = (n + page - 1) / page * page;
    CHECK(n_guarded < MAX_GUARDED);
    unsigned char *p = mmap(NULL, body + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED && mprotect(p + body, page, PROT_NONE) == 0);
    guarded[n_guarded].base = p;
    guarded[n_guarded++].len = body + page;
    return p + body - n;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

const char *check_tmpdir(void)
{
    if (tmpdir[0] == '\0') {
        strcpy(tmpdir, "/tmp/caravan-test-XXXXXX");
        CHECK(mkdtemp(tmpdir) != NULL);
    }
    return tmpdir;
}

static void clean_up(void)
{
    while (n_guarded > 0) {
        n_guarded--;
        munmap(guarded[n_guarded].base, guarded[n_guarded].len);
    }
    if (tmpdir[0] != '\0')
        nftw(tmpdir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    tmpdir[0] = '\0';
}

int check_main(int argc, char **argv, const struct check_case *cases, size_t n_cases)
{
    const char *volatile only = NULL; /* read again after a longjmp */
    volatile unsigned n_pass = 0, n_fail = 0, n_skip = 0; /* they live across the longjmp */
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            seed = strtoull(argv[++i], NULL, 0);
        } else if (strcmp(argv[i], "--list") == 0) {
            for (size_t k = 0; k < n_cases; k++)
                puts(cases[k].name);
            return 0;
        } else {
            only = argv[i];
        }
    }
    for (volatile size_t i = 0; i < n_cases; i++) {
        if (only != NULL && strstr(cases[i].name, only) == NULL)
            continue;
        state = seed;
        failed = skipped = false;
        if (setjmp(case_end) == 0)
            cases[i].run();
        clean_up();
        n_fail += failed;
        n_skip += skipped;
        n_pass += !failed && !skipped;
        printf("%s %s\n", failed ? "FAIL" : skipped ? "SKIP" : "ok  ", cases[i].name);
    }
    printf("%u passed, %u failed, %u skipped\n", n_pass, n_fail, n_skip);
    return n_fail != 0;
}
