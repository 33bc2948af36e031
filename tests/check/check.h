/*
 * check.h - what every test program shares: cases by name, a seed, CHECK, and one closing line.
 *
 *   static void test_rejects_an_empty_file(void) { CHECK(...); }
 *   int main(int argc, char **argv)
 *   {
 *       static const struct check_case cases[] = {CASE(test_rejects_an_empty_file)};
 *       return check_main(argc, argv, cases, CV_COUNT(cases));
 *   }
 *
 * Arguments: --seed N, --list, or part of a case's name to run only those. A case that calls SKIP counts as skipped.
 * The random numbers start again from the seed before each case, so that one case replays alone.
 */
#ifndef CV_TESTS_CHECK_H
#define CV_TESTS_CHECK_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct check_case {
    const char *name;
    void (*run)(void);
};

#define CASE(fn) {#fn, fn}

int check_main(int argc, char **argv, const struct check_case *cases, size_t n_cases);

/* A failed CHECK ends its case (longjmp) and names file, line and the expression; the program goes on with the next. */
#define CHECK(cond)           check_true((cond) ? true : false, #cond, __FILE__, __LINE__)
#define CHECK_EQ(a, b)        check_eq((int64_t)(a), (int64_t)(b), #a " == " #b, __FILE__, __LINE__)
#define CHECK_STR(a, b)       check_str((a), (b), #a " == " #b, __FILE__, __LINE__)
#define CHECK_CONTAINS(s, in) check_contains((s), (in), #s, __FILE__, __LINE__)
/* A call of the form bool f(..., struct cv_error *err): prints err.msg when it failed. */
#define CHECK_OK(call, err) check_ok((call), &(err), #call, __FILE__, __LINE__)
#define SKIP(why)           check_skip((why))

struct cv_error;
void check_true(bool ok, const char *what, const char *file, int line);
void check_eq(int64_t a, int64_t b, const char *what, const char *file, int line);
void check_str(const char *a, const char *b, const char *what, const char *file, int line);
void check_contains(const char *s, const char *part, const char *what, const char *file, int line);
void check_ok(bool ok, const struct cv_error *err, const char *what, const char *file, int line);
void check_skip(const char *why);

/* Random numbers of the case (splitmix64). check_rewind: from the seed again. */
void check_rewind(void);
uint64_t check_rand(void);
uint64_t check_below(uint64_t n); /* 0..n-1 */
double check_uniform(void);       /* [0, 1) */
float check_normal(void);         /* about N(0, 1) */

/* n bytes that end right before an unreadable page, so that reading one too far crashes here. Freed after the case. */
void *check_guarded(size_t n);

/* A directory that is removed after the case. */
const char *check_tmpdir(void);

#endif
