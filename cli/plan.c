/* plan.c - caravan plan: how a model would be split over nodes that are only named. */
#include <stdio.h>
#include <string.h>

#include "cli/common.h"
#include "cli/options.h"
#include "coordinator/model.h"
#include "engine/program.h"
#include "partition/spec.h"

struct cluster_options {
    struct cv_option_list node, link, pin, exclude, reserve;
    const char *home;
};

static bool read_list(struct cv_plan_spec *spec, const struct cv_option_list *list, const char *name,
                      bool (*read)(struct cv_plan_spec *, const char *, struct cv_error *), struct cv_error *err)
{
    for (size_t i = 0; i < list->n; i++)
        if (!read(spec, list->item[i], err))
            return cv_wrap(err, "%s", name);
    return true;
}

static bool print_one(const struct cv_served *m, const struct cv_plan_cluster *cluster, const struct cv_plan *plan,
                      bool as_json, struct cv_error *err)
{
    struct cv_buf out;
    cv_buf_init(&out, 1 << 20);
    const bool ok = as_json ? cv_plan_json(&m->plan, cluster, plan, &out) : cv_plan_print(&m->plan, cluster, plan, &out);
    if (ok)
        printf("%s\n", out.data);
    cv_buf_fini(&out);
    return ok || cv_fail(err, CV_ERR_NOMEM, "out of memory");
}

static bool print_plan(const struct cv_served *m, const struct cluster_options *o, const struct cv_plan_goal *goal,
                       bool as_json, bool compare, struct cv_error *err)
{
    struct cv_arena arena = {0};
    struct cv_plan_spec spec = {.arena = &arena};
    struct cv_plan_cluster cluster;
    struct cv_plan plan;
    bool ok = read_list(&spec, &o->node, "--node", cv_plan_spec_node, err) &&
              read_list(&spec, &o->link, "--link", cv_plan_spec_link, err) &&
              read_list(&spec, &o->pin, "--pin", cv_plan_spec_pin, err) &&
              read_list(&spec, &o->exclude, "--exclude", cv_plan_spec_exclude, err) &&
              read_list(&spec, &o->reserve, "--reserve", cv_plan_spec_reserve, err) &&
              cv_plan_spec_cluster(&spec, o->home, &cluster, err) &&
              cv_plan_make(&m->plan, &cluster, goal, &plan, &arena, err) && print_one(m, &cluster, &plan, as_json, err);
    if (ok && compare) {
        printf("Split by free memory alone, as others do:\n\n");
        ok = cv_plan_by_memory(&m->plan, &cluster, goal, &plan, &arena, err) && print_one(m, &cluster, &plan, as_json, err);
    }
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
    struct cluster_options cluster = {.home = NULL};
    struct cv_served_options o = {.n_slots = 4, .kv_type = CV_DTYPE_F16};
    struct cv_plan_goal goal = {0};
    const char *optimize = "balanced", *kv = "f16", *path = NULL;
    bool as_json = false, program = false, compare = false;
    const struct cv_option option[] = {
        {"--node", "NAME=SIZE[,BANDWIDTH[,RATE]]", CV_OPT_LIST, &cluster.node,
         "a node: the memory it may use and, if known, how many bytes\nand operations per second it manages. Once for each node;\n"
         "desk/gpu0 is a device of desk"},
        {"--link", "A-B=DELAY[,RATE]", CV_OPT_LIST, &cluster.link,
         "the way between two nodes, or a node and 'coordinator'"},
        {"--pin", "NODE=FIRST:LAST", CV_OPT_LIST, &cluster.pin, "these layers, both included, on this node"},
        {"--exclude", "NODE", CV_OPT_LIST, &cluster.exclude, "leave this node out"},
        {"--reserve", "NODE=SIZE", CV_OPT_LIST, &cluster.reserve, "memory of the node that is to be left alone"},
        {"--home", "NODE", CV_OPT_TEXT, &cluster.home, "the coordinator runs on this node"},
        {"--compare", NULL, CV_OPT_FLAG, &compare, "and what a split by free memory alone would give"},
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
                                   .examples = "  caravan plan llama-70b.gguf --node desk=24G --node nas=16G --node pi=7G\n"
                                               "  caravan plan llama-8b.gguf --node desk=12G,50G,2T --node pi=7G,10G,60G \\\n"
                                               "      --link desk-pi=0.4ms,110M --optimize latency --compare",
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
    else if (cluster.node.n == 0 && !program)
        ok = cv_fail(&err, CV_ERR_ARG, "over which nodes? Name each with --node NAME=SIZE");
    else if (o.n_slots == 0)
        ok = cv_fail(&err, CV_ERR_ARG, "--parallel wants at least 1");
    struct cv_served *m = NULL;
    ok = ok && (cv_plan_optimize_parse(optimize, &goal.optimize, &err) || cv_wrap(&err, "--optimize")) &&
         cv_served_open(&m, &o, &err) && (program ? print_program(m, &err) : print_plan(m, &cluster, &goal, as_json, compare, &err));
    cv_served_close(m);
    return ok ? 0 : cv_complain("plan", &err);
}
