/* suite_chat.c - chat templates of real models: messages to text. */
#include "tests/conformance_runner/runner.h"

static void one_file(struct runner *r, const char *dir, const char *name, const json_t *json)
{
    (void)dir;
    (void)json;
    runner_unsupported(r, name, "chat templates");
}

void suite_chat(struct runner *r, const char *dir)
{
    runner_each(r, dir, one_file);
}
