/*
 * runner.h - what the suites of the conformance runner share: cases by name, counts, and the files of the data set.
 *
 * A suite gets its folder and walks over the *.json files in it, whatever they are. It prints one line per case with
 * runner_pass, runner_fail or runner_unsupported. What the project cannot do (yet) is unsupported and names what is
 * missing; anything else that keeps a case from being tried is a failure.
 */
#ifndef CV_TESTS_CONFORMANCE_RUNNER_H
#define CV_TESTS_CONFORMANCE_RUNNER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct runner {
    const char *suite; /* "quant": stands before every case's name */
    const char *only;  /* NULL, or part of the names of the files to take */
    unsigned n_pass, n_fail, n_skip;
};

/* The suites. dir: the suite's own folder, for instance DIR/quant. */
void suite_arch(struct runner *r, const char *dir); /* serves types/ too: the files have the same form */
void suite_quant(struct runner *r, const char *dir);
void suite_vocab(struct runner *r, const char *dir);
void suite_chat(struct runner *r, const char *dir);

/* "ok   quant/Q4_K dequantize: note", "FAIL ...: why", "SKIP ...: unsupported: what". The note may be "". */
void runner_pass(struct runner *r, const char *name, const char *fmt, ...) CV_PRINTF(3, 4);
void runner_fail(struct runner *r, const char *name, const char *fmt, ...) CV_PRINTF(3, 4);
void runner_unsupported(struct runner *r, const char *name, const char *fmt, ...) CV_PRINTF(3, 4);

/* Calls fn for every *.json of dir in the order of their names; name is the file's name without ".json". A file that is
 * no JSON object is a failed case. */
typedef void runner_fn(struct runner *r, const char *dir, const char *name, const json_t *json);
void runner_each(struct runner *r, const char *dir, runner_fn *fn);

/* dir/file read whole, with a NUL behind it; cv_free. NULL: could not be read, and the case `name` has failed. */
char *runner_file(struct runner *r, const char *name, const char *dir, const char *file, size_t *len);
/* The same for bare float32; n: how many there must be. */
float *runner_floats(struct runner *r, const char *name, const char *dir, const char *file, size_t n);

/* Members of a JSON object with a fallback. */
const char *json_text(const json_t *object, const char *key, const char *fallback);
int64_t json_int(const json_t *object, const char *key, int64_t fallback);
double json_num(const json_t *object, const char *key, double fallback);
bool json_flag(const json_t *object, const char *key, bool fallback);
/* The member's array of integers, cv_free; *n of them. NULL: no such array, or no memory. */
int32_t *json_ids(const json_t *object, const char *key, size_t *n);
/* "base64" text decoded, with a NUL behind it; cv_free. NULL: not base64. */
char *json_base64(const char *text, size_t *n);
/* sum((a-b)^2) / sum(b^2), in double. */
double runner_nmse(const float *a, const float *b, size_t n);

#endif
