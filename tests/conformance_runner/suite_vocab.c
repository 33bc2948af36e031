/* suite_vocab.c - tokenizers of real models: text to tokens and back. */
#include "tests/conformance_runner/runner.h"

static void one_file(struct runner *r, const char *dir, const char *name, const json_t *json)
{
    (void)dir;
    (void)json;
    runner_unsupported(r, name, "tokenizers");
}

void suite_vocab(struct runner *r, const char *dir)
{
    runner_each(r, dir, one_file);
}
