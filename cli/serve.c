/* serve.c - caravan serve: the coordinator, and a worker of its own unless told otherwise. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/size.h"
#include "cli/common.h"
#include "cli/options.h"
#include "coordinator/coordinator.h"
#include "net/address.h"
#include "registry-mirror/layer_cache.h"
#include "worker/worker.h"

enum { TOKEN_BYTES = 32, TOKEN_TEXT = 2 * TOKEN_BYTES + 1, DRAIN_MS = 30000 };

/* The cluster's secret: made once, kept for its owner alone. */
static bool load_token(const char *cache_dir, char out[TOKEN_TEXT], struct cv_error *err)
{
    char path[4200];
    unsigned char random[TOKEN_BYTES];
    snprintf(path, sizeof(path), "%s/join-token", cache_dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        const ssize_t n = read(fd, out, TOKEN_TEXT - 1);
        close(fd);
        if (n == TOKEN_TEXT - 1 && cv_hex_decode(out, TOKEN_TEXT - 1, random, sizeof(random))) {
            out[TOKEN_TEXT - 1] = '\0';
            return true;
        }
        return cv_fail(err, CV_ERR_FORMAT, "%s: not a join token; remove the file to have a new one made", path);
    }
    if (errno != ENOENT)
        return cv_fail_errno(err, errno, "%s", path);
    if (!cv_random_bytes(random, sizeof(random)))
        return cv_fail(err, CV_ERR_IO, "the system has no random numbers for us");
    cv_hex_encode(random, sizeof(random), out);
    (void)mkdir(cache_dir, 0700);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return cv_fail_errno(err, errno, "%s", path);
    const bool ok = write(fd, out, TOKEN_TEXT - 1) == TOKEN_TEXT - 1;
    const int e = errno;
    return (close(fd) == 0 && ok) || cv_fail_errno(err, e, "%s", path);
}

struct serve {
    const char *http, *cluster, *name, *token, *api_key, *kv, *carry, *optimize, *cache, *log, *id;
    uint32_t ctx, parallel, batch, workers, threads;
    uint64_t memory;
    double heal;
    bool no_local, no_cluster;
};

static bool make_options(const struct serve *s, const char *path, const char *cache_dir, const char *token,
                         struct cv_coordinator_options *o, struct cv_error *err)
{
    *o = (struct cv_coordinator_options){.model = {.path = path,
                                                   .id = s->id,
                                                   .n_ctx = s->ctx,
                                                   .n_slots = s->parallel,
                                                   .n_batch = s->batch,
                                                   .kv_type = CV_DTYPE_F16,
                                                   .cache_dir = cache_dir},
                                         .http = s->http,
                                         .cluster = s->no_cluster ? NULL : s->cluster,
                                         .name = s->name,
                                         .token = token,
                                         .api_key = s->api_key,
                                         .cache_dir = cache_dir,
                                         .n_workers = s->workers,
                                         .local = !s->no_local};
    enum cv_carry carry;
    if (strcmp(s->kv, "f32") == 0)
        o->model.kv_type = CV_DTYPE_F32;
    else if (strcmp(s->kv, "f16") != 0)
        return cv_fail(err, CV_ERR_ARG, "--kv wants f16 or f32, not '%s'", s->kv);
    if (!cv_carry_parse(s->carry, &carry, err))
        return cv_wrap(err, "--carry");
    o->model.carry_f32 = carry == CV_CARRY_F32;
    if (!cv_plan_optimize_parse(s->optimize, &o->goal.optimize, err))
        return cv_wrap(err, "--optimize");
    if (s->parallel == 0 || s->parallel > CV_MAX_SLOTS)
        return cv_fail(err, CV_ERR_ARG, "--parallel wants 1 to %u", CV_MAX_SLOTS);
    if (s->no_local && s->no_cluster)
        return cv_fail(err, CV_ERR_ARG, "--no-local and --no-cluster together leave nobody to compute");
    if (!(s->heal >= 0 && s->heal <= 3600))
        return cv_fail(err, CV_ERR_ARG, "--heal-timeout wants 0 to 3600 seconds");
    o->heal_timeout_ms = (uint32_t)(s->heal * 1000) + 1;
    cv_sampling_defaults(&o->defaults);
    return true;
}

/* Shows what happens until the pipeline serves. Returns the signal that ended it, or 0. */
static int wait_until_serving(struct cv_coordinator *c)
{
    struct cv_progress progress;
    char said[sizeof(((struct cv_life_view *)NULL)->text)] = "";
    cv_progress_init(&progress, "loading");
    for (;;) {
        struct cv_life_view v;
        cv_coordinator_look(c, &v);
        if (v.state == CV_LIFE_SERVING) {
            cv_progress_end(&progress);
            return 0;
        }
        if (v.state == CV_LIFE_LOADING && v.n_stage > 0) {
            uint64_t all = 0;
            double rate = 0;
            for (uint32_t i = 0; i < v.n_stage && i < CV_COUNT(v.stage); i++) {
                all += v.stage[i].bytes;
                rate += v.stage[i].state == CV_NODE_LOADED ? 0 : v.stage[i].load_bytes_per_s;
            }
            cv_progress_show(&progress, (uint64_t)(v.progress * (double)all), all, rate, NULL);
        } else if (v.text[0] != '\0' && strcmp(v.text, said) != 0) {
            cv_progress_end(&progress);
            fprintf(stderr, "%s\n", v.text);
            snprintf(said, sizeof(said), "%s", v.text);
        }
        const int signal = cv_signals_wait(200);
        if (signal != 0)
            return signal;
    }
}

static void announce(struct cv_coordinator *c)
{
    struct cv_buf plan;
    struct cv_life_view v;
    cv_buf_init(&plan, 1 << 20);
    cv_coordinator_look(c, &v);
    if (cv_coordinator_print_plan(c, &plan) && plan.len > 0)
        printf("%s\n", plan.data);
    cv_buf_fini(&plan);
    printf("Serving %s at http://%s/v1  (one token through %u stage%s: %.1f ms)\n", cv_coordinator_model(c)->id,
           cv_coordinator_http_address(c), v.n_stage, v.n_stage == 1 ? "" : "s", v.warm_ms);
    fflush(stdout);
}

static void print_join_line(struct cv_coordinator *c, const char *token)
{
    const char *address = cv_coordinator_cluster_address(c);
    struct cv_address a;
    struct cv_error unused;
    char text[CV_ADDRESS_TEXT];
    if (address == NULL || !cv_address_parse(address, -1, &a, &unused))
        return;
    if (cv_address_is_wildcard(&a))
        snprintf(a.host, sizeof(a.host), "%s", cv_coordinator_data_host(c));
    printf("Add a machine:  caravan join %s%s%s\n", cv_address_format_plain(&a, text), token == NULL ? "" : " --token ",
           token == NULL ? "" : token);
    fflush(stdout);
}

static int run(struct cv_coordinator *c)
{
    int signal = wait_until_serving(c);
    if (signal == 0)
        announce(c);
    bool serving = signal == 0;
    while (signal == 0) {
        signal = cv_signals_wait(1000);
        struct cv_life_view v;
        cv_coordinator_look(c, &v);
        const bool now = v.state == CV_LIFE_SERVING;
        if (!now && serving && signal == 0)
            fprintf(stderr, "not serving: %s\n", v.text[0] == '\0' ? cv_life_state_name(v.state) : v.text);
        if (now && !serving)
            announce(c);
        serving = now;
    }
    fprintf(stderr, "stopping: no new requests; those in progress get up to %d s (again to stop at once)\n", DRAIN_MS / 1000);
    for (uint64_t until = cv_now_ms() + DRAIN_MS; cv_now_ms() < until;)
        if (cv_coordinator_drain(c, 100) || cv_signals_wait(1) != 0)
            break;
    return 0;
}

int cv_cmd_serve(int argc, char **argv)
{
    struct serve s = {.http = "127.0.0.1:8080",
                      .cluster = "127.0.0.1:7400",
                      .name = "caravan",
                      .kv = "f16",
                      .carry = "f16",
                      .optimize = "balanced",
                      .log = "warn",
                      .heal = 2.5,
                      .parallel = 4};
    const struct cv_option option[] = {
        {"--http", "ADDR:PORT", CV_OPT_TEXT, &s.http, "where clients ask (127.0.0.1:8080)"},
        {"--cluster", "ADDR:PORT", CV_OPT_TEXT, &s.cluster,
         "where workers join (127.0.0.1:7400). Any address but loopback\nneeds a token, which is made and shown"},
        {"--no-cluster", NULL, CV_OPT_FLAG, &s.no_cluster, "this machine alone: nobody can join"},
        {"--workers", "N", CV_OPT_COUNT, &s.workers, "wait for N workers and give each a share"},
        {"--no-local", NULL, CV_OPT_FLAG, &s.no_local, "this machine only coordinates: it never holds the weights"},
        {"--ctx", "N", CV_OPT_COUNT, &s.ctx, "positions of one conversation (the model's own, at most 4096)"},
        {"--parallel", "N", CV_OPT_COUNT, &s.parallel, "conversations at once (4)"},
        {"--memory", "SIZE", CV_OPT_SIZE, &s.memory, "budget of this machine's share (what is free)"},
        {"--threads", "N", CV_OPT_COUNT, &s.threads, "threads of this machine's share (all processors)"},
        {"--kv", "TYPE", CV_OPT_TEXT, &s.kv, "sequence memory: f16 or f32 (f16)"},
        {"--carry", "TYPE", CV_OPT_TEXT, &s.carry, "activations between machines: f16 or f32 (f16)"},
        {"--batch", "N", CV_OPT_COUNT, &s.batch, "rows of one step, at most (512)"},
        {"--optimize", "GOAL", CV_OPT_TEXT, &s.optimize, "latency, throughput, prompt or balanced (balanced)"},
        {"--name", "NAME", CV_OPT_TEXT, &s.id, "what clients call the model (the file's name)"},
        {"--api-key", "KEY", CV_OPT_TEXT, &s.api_key, "ask clients for this key ($CARAVAN_API_KEY)"},
        {"--token", "TOKEN", CV_OPT_TEXT, &s.token, "the cluster's secret ($CARAVAN_TOKEN; made at the first start)"},
        {"--heal-timeout", "SECONDS", CV_OPT_NUMBER, &s.heal,
         "how long requests wait when a node is lost and the others\ncannot hold the model, before they end with an error (2.5)"},
        {"--cache", "DIR", CV_OPT_TEXT, &s.cache, "hashes of models, the token (~/.cache/caravan)"},
        {"--log", "LEVEL", CV_OPT_TEXT, &s.log, "error, warn, info or debug (warn)"},
    };
    const struct cv_usage usage = {
        .command = "serve",
        .synopsis = "MODEL.gguf [options]",
        .about = "Serves a GGUF model behind one OpenAI-compatible endpoint. The model's layers are split over this\n"
                 "machine and the workers that join, by the memory each has.",
        .examples = "  caravan serve model.gguf                                      this machine alone\n"
                    "  caravan serve model.gguf --cluster 0.0.0.0:7400 --workers 2   with two others; prints the line to\n"
                    "                                                                type on them\n"
                    "  caravan serve model.gguf --no-local --workers 3               only coordinate three others",
        .option = option,
        .n_option = CV_COUNT(option)};
    const char *path = NULL;
    size_t n_word;
    bool helped;
    struct cv_error err;
    s.api_key = getenv("CARAVAN_API_KEY");
    s.token = getenv("CARAVAN_TOKEN");
    if (!cv_options_read(&usage, argc, argv, &path, 1, &n_word, &helped, &err))
        return cv_complain("serve", &err);
    if (helped)
        return 0;
    if (n_word == 0) {
        cv_fail(&err, CV_ERR_ARG, "which model? Name a .gguf file; see caravan serve --help");
        return cv_complain("serve", &err);
    }
    char cache_dir[4096], made_token[TOKEN_TEXT];
    struct cv_address cluster;
    const char *token = s.token;
    cv_signals_block();
    if (s.cache != NULL)
        snprintf(cache_dir, sizeof(cache_dir), "%s", s.cache);
    else if (!cv_cache_dir(cache_dir, sizeof(cache_dir)))
        snprintf(cache_dir, sizeof(cache_dir), "/tmp/caravan");
    struct cv_coordinator_options options;
    bool ok = cv_start(s.log, "coordinator", &err);
    if (ok && !s.no_cluster) {
        ok = cv_address_parse(s.cluster, -1, &cluster, &err) || cv_wrap(&err, "--cluster");
        if (ok && token == NULL && !cv_address_is_loopback(&cluster)) {
            ok = load_token(cache_dir, made_token, &err);
            token = made_token;
        }
    }
    struct cv_coordinator *c = NULL;
    struct cv_worker *w = NULL;
    ok = ok && make_options(&s, path, cache_dir, token, &options, &err) && cv_coordinator_open(&c, &options, &err);
    if (ok) {
        print_join_line(c, token);
        const struct cv_worker_options local = {.name = "local",
                                                .coordinator = cv_coordinator_local_address(c),
                                                .data_host = cv_coordinator_data_host(c),
                                                .cache_dir = cache_dir,
                                                .memory_bytes = s.memory,
                                                .n_threads = s.threads,
                                                .local_files = true};
        ok = s.no_local || cv_worker_open(&w, &local, &err);
    }
    const int code = ok ? run(c) : cv_complain("serve", &err);
    if (c != NULL)
        cv_coordinator_stop(c);
    cv_worker_close(w);
    cv_coordinator_close(c);
    return code;
}
