/* plan.c - caravan plan: how a model would be split over nodes that are only named. */
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "cli/common.h"
#include "cli/options.h"
#include "coordinator/model.h"
#include "engine/program.h"

/* "NAME=SIZE" */
static bool read_node(const char *text, struct cv_plan_device *d, struct cv_arena *arena, struct cv_error *err)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text)
        return cv_fail(err, CV_ERR_ARG, "--node wants NAME=SIZE, for example pi=6G, not '%s'", text);
    d->name = cv_arena_strndup(arena, text, (size_t)(equals - text));
    return d->name != NULL ? cv_size_parse(equals + 1, &d->memory_bytes, err) || cv_wrap(err, "--node %s", d->name)
                           : cv_fail(err, CV_ERR_NOMEM, "out of memory");
}

static bool print_plan(const struct cv_served *m, const struct cv_option_list *nodes, const struct cv_plan_goal *goal,
                       bool as_json, struct cv_error *err)
{
    struct cv_arena arena = {0};
    struct cv_plan_device *device = cv_arena_calloc(&arena, nodes->n, sizeof(*device));
    struct cv_plan_cluster cluster = {.device = device, .n_device = (uint32_t)nodes->n, .home_node = CV_PLAN_NONE};
    struct cv_plan plan;
    struct cv_buf out;
    cv_buf_init(&out, 1 << 20);
    bool ok = device != NULL || cv_fail(err, CV_ERR_NOMEM, "out of memory");
    for (size_t i = 0; ok && i < nodes->n; i++) {
        device[i].node = (uint32_t)i;
        ok = read_node(nodes->item[i], &device[i], &arena, err);
    }
    ok = ok && cv_plan_make(&m->plan, &cluster, goal, &plan, &arena, err);
    if (ok && !(as_json ? cv_plan_json(&m->plan, &cluster, &plan, &out) : cv_plan_print(&m->plan, &cluster, &plan, &out)))
        ok = cv_fail(err, CV_ERR_NOMEM, "out of memory");
    if (ok)
        printf("%s\n", out.data);
    cv_buf_fini(&out);
    cv_arena_fini(&arena);
    return ok;
}

static bool print_program(const struct cv_served *m, struct cv_error *err)
{
    struct cv_program p;
    struct cv_buf out;
    const struct cv_part part = {.layer_first = 0, .layer_last = m->hparams.n_layer, .has_embd = true, .has_head = true};
    cv_buf_init(&out, 4 << 20);
    bool ok = cv_program_build(&p, m->file->gguf, &part, err);
    if (ok) {
        ok = cv_program_print(&p, &out) || cv_fail(err, CV_ERR_NOMEM, "out of memory");
        cv_program_fini(&p);
    }
    if (ok)
        fputs(out.data, stdout);
    cv_buf_fini(&out);
    return ok;
}

int cv_cmd_plan(int argc, char **argv)
{
    struct cv_option_list nodes = {.n = 0};
    struct cv_served_options o = {.n_slots = 4, .kv_type = CV_DTYPE_F16};
    struct cv_plan_goal goal = {0};
    const char *optimize = "balanced", *kv = "f16", *path = NULL;
    bool as_json = false, program = false;
    const struct cv_option option[] = {
        {"--node", "NAME=SIZE", CV_OPT_LIST, &nodes, "a node and the memory it may use; once for each node"},
        {"--ctx", "N", CV_OPT_COUNT, &o.n_ctx, "positions of one conversation (the model's own, at most 4096)"},
        {"--parallel", "N", CV_OPT_COUNT, &o.n_slots, "conversations at once (4)"},
        {"--kv", "TYPE", CV_OPT_TEXT, &kv, "sequence memory: f16 or f32 (f16)"},
        {"--optimize", "GOAL", CV_OPT_TEXT, &optimize, "latency, throughput, prompt or balanced (balanced)"},
        {"--json", NULL, CV_OPT_FLAG, &as_json, "the plan as JSON"},
        {"--program", NULL, CV_OPT_FLAG, &program, "instead of a plan: what the model computes, a line per operation"},
    };
    const struct cv_usage usage = {.command = "plan",
                                   .synopsis = "MODEL.gguf --node NAME=SIZE ... [options]",
                                   .about = "Shows how the model's layers would be split over the nodes, or what would have to change for it to\n"
                                            "fit. Reads the file's header only; asks nobody.",
                                   .examples = "  caravan plan llama-70b.gguf --node desk=24G --node nas=16G --node pi=7G",
                                   .option = option,
                                   .n_option = CV_COUNT(option)};
    size_t n_word;
    bool helped;
    struct cv_error err;
    if (!cv_options_read(&usage, argc, argv, &path, 1, &n_word, &helped, &err))
        return cv_complain("plan", &err);
    if (helped)
        return 0;
    o.path = path;
    o.kv_type = strcmp(kv, "f32") == 0 ? CV_DTYPE_F32 : CV_DTYPE_F16;
    bool ok = true;
    if (path == NULL)
        ok = cv_fail(&err, CV_ERR_ARG, "which model? Name a .gguf file");
    else if (nodes.n == 0 && !program)
        ok = cv_fail(&err, CV_ERR_ARG, "over which nodes? Name each with --node NAME=SIZE");
    else if (o.n_slots == 0)
        ok = cv_fail(&err, CV_ERR_ARG, "--parallel wants at least 1");
    struct cv_served *m = NULL;
    ok = ok && (cv_plan_optimize_parse(optimize, &goal.optimize, &err) || cv_wrap(&err, "--optimize")) &&
         cv_served_open(&m, &o, &err) && (program ? print_program(m, &err) : print_plan(m, &nodes, &goal, as_json, &err));
    cv_served_close(m);
    return ok ? 0 : cv_complain("plan", &err);
}
