/* suite_arch.c - logits and greedy tokens of whole models: one per architecture (arch/) and per weight type (types/). */
#include "tests/conformance_runner/runner.h"

static void one_file(struct runner *r, const char *dir, const char *name, const json_t *json)
{
    (void)dir;
    (void)json;
    runner_unsupported(r, name, "running a model");
}

void suite_arch(struct runner *r, const char *dir)
{
    runner_each(r, dir, one_file);
}
