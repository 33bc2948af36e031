/* join.c - caravan join: this machine becomes a worker. */
#include <stdio.h>
#include <stdlib.h>

#include "base/size.h"
#include "cli/common.h"
#include "cli/options.h"
#include "net/address.h"
#include "worker/worker.h"

static void show(struct cv_worker *w)
{
    struct cv_progress progress;
    enum cv_node_state said = CV_NODE_STATE_LAST + 1;
    bool joined = false;
    cv_progress_init(&progress, "fetching");
    while (cv_signals_wait(0) == 0) {
        struct cv_ctl_status s;
        char text[256];
        cv_worker_status(w, &s, text);
        if (cv_worker_joined(w) != joined) {
            joined = !joined;
            printf("%s\n", joined ? "joined: waiting for layers" : "lost the coordinator: trying again");
            fflush(stdout);
        }
        if (s.state == CV_NODE_FETCHING || s.state == CV_NODE_LOADING) {
            progress.what = s.state == CV_NODE_FETCHING ? "fetching" : "loading";
            cv_progress_show(&progress, s.load_done_bytes, s.load_all_bytes, s.load_bytes_per_s, NULL);
        } else {
            cv_progress_end(&progress);
        }
        if (s.state != said && joined) {
            char a[CV_SIZE_TEXT];
            if (s.state == CV_NODE_LOADED)
                printf("loaded: this process takes %s\n", cv_size_format(s.memory_used_bytes, a));
            else if (s.state == CV_NODE_SERVING)
                printf("serving\n");
            else if (s.state == CV_NODE_FAILED)
                printf("failed: %s\n", text);
            fflush(stdout);
            said = s.state;
        }
        if (cv_signals_wait(200) != 0)
            return;
    }
}

int cv_cmd_join(int argc, char **argv)
{
    struct cv_worker_options o = {0};
    const char *log = "warn", *address = NULL;
    uint32_t threads = 0;
    const struct cv_option option[] = {
        {"--name", "NAME", CV_OPT_TEXT, &o.name, "what this node is called (the host's name)"},
        {"--memory", "SIZE", CV_OPT_SIZE, &o.memory_bytes,
         "budget for everything this process holds (what is free)"},
        {"--threads", "N", CV_OPT_COUNT, &threads, "threads to compute with (all processors)"},
        {"--cache", "DIR", CV_OPT_TEXT, &o.cache_dir, "where layers are kept (~/.cache/caravan)"},
        {"--token", "TOKEN", CV_OPT_TEXT, &o.token, "the cluster's secret, as 'caravan serve' showed it ($CARAVAN_TOKEN)"},
        {"--data-host", "HOST", CV_OPT_TEXT, &o.data_host,
         "this machine's address as the others reach it\n(the one from which the coordinator is reached)"},
        {"--log", "LEVEL", CV_OPT_TEXT, &log, "error, warn, info or debug (warn)"},
    };
    const struct cv_usage usage = {.command = "join",
                                   .synopsis = "ADDR:PORT [options]",
                                   .about = "Joins the coordinator at ADDR:PORT: loads the layers it is given and computes them. Fetches only\n"
                                            "its own layers, checks them, and keeps them for the next time. Ctrl-C leaves.",
                                   .examples = "  caravan join 192.168.1.10:7400 --token 5f1c...\n"
                                               "  caravan join 127.0.0.1:7400 --name small --memory 700M --threads 1",
                                   .option = option,
                                   .n_option = CV_COUNT(option)};
    size_t n_word;
    bool helped;
    struct cv_error err;
    o.token = getenv("CARAVAN_TOKEN");
    if (!cv_options_read(&usage, argc, argv, &address, 1, &n_word, &helped, &err))
        return cv_complain("join", &err);
    if (helped)
        return 0;
    if (n_word == 0) {
        cv_fail(&err, CV_ERR_ARG, "join whom? Give the address that 'caravan serve' printed: caravan join ADDR:PORT");
        return cv_complain("join", &err);
    }
    struct cv_address parsed;
    char text[CV_ADDRESS_TEXT];
    struct cv_worker *w = NULL;
    cv_signals_block();
    if (!cv_start(log, o.name == NULL ? "worker" : o.name, &err) || !cv_address_parse(address, 7400, &parsed, &err))
        return cv_complain("join", &err);
    o.coordinator = cv_address_format(&parsed, text);
    o.n_threads = threads;
    if (!cv_worker_open(&w, &o, &err))
        return cv_complain("join", &err);
    show(w);
    cv_worker_close(w);
    return 0;
}
