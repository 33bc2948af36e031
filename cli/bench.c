/* bench.c - caravan bench: how fast this machine runs a model, without sockets and without sampling. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/common.h"
#include "cli/options.h"
#include "engine/cpu/matrix.h"
#include "engine/stage.h"
#include "gguf/hparams.h"
#include "gguf/model.h"

struct bench {
    struct cv_model *model;
    struct cv_stage *stage;
    struct cv_pool *pool;
    uint32_t n_vocab, n_batch;
    struct cv_row *row;
    float *logits;
    uint64_t random;
    double load_s;
};

static bool get_data(void *ctx, const struct cv_gguf_tensor *t, const void **data, struct cv_error *err)
{
    (void)err;
    *data = cv_model_tensor_data(ctx, t);
    return true;
}

static void drop_data(void *ctx, const struct cv_gguf_tensor *t)
{
    const struct cv_model *m = ctx;
    cv_map_drop(&m->part[t->part].map, m->part[t->part].data_offset + t->offset, t->size_bytes);
}

static int32_t random_token(struct bench *b)
{
    b->random = b->random * 6364136223846793005u + 1442695040888963407u;
    return (int32_t)((b->random >> 33) % b->n_vocab);
}

static bool reset(struct bench *b, uint32_t n, struct cv_error *err)
{
    for (uint32_t s = 0; s < n; s++) {
        const struct cv_cmd cmd = {.op = CV_CMD_NEW, .slot = s};
        const struct cv_step step = {.cmd = &cmd, .n_cmd = 1};
        if (!cv_stage_step(b->stage, &step, err))
            return false;
    }
    return true;
}

static bool run_prompt(struct bench *b, uint32_t n, struct cv_error *err)
{
    for (uint32_t at = 0; at < n;) {
        const uint32_t m = n - at < b->n_batch ? n - at : b->n_batch;
        for (uint32_t i = 0; i < m; i++)
            b->row[i] = (struct cv_row){
                .slot = 0, .pos = at + i, .token = random_token(b), .flags = at + i + 1 == n ? CV_ROW_WANT : 0};
        const struct cv_step step = {.row = b->row, .n_row = m, .logits = b->logits};
        if (!cv_stage_step(b->stage, &step, err))
            return false;
        at += m;
    }
    return true;
}

static bool run_gen(struct bench *b, uint32_t n, uint32_t streams, struct cv_error *err)
{
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t s = 0; s < streams; s++)
            b->row[s] = (struct cv_row){.slot = s, .pos = i, .token = random_token(b), .flags = CV_ROW_WANT};
        const struct cv_step step = {.row = b->row, .n_row = streams, .logits = b->logits};
        if (!cv_stage_step(b->stage, &step, err))
            return false;
    }
    return true;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct figure {
    double median, least, most;
};

/* n: tokens of one run. */
static bool measure(struct bench *b, uint32_t prompt, uint32_t gen, uint32_t streams, uint32_t repeat, struct figure *out,
                    struct cv_error *err)
{
    double rate[64];
    repeat = repeat < 1 ? 1 : repeat > 64 ? 64 : repeat;
    for (int run = -1; run < (int)repeat; run++) { /* run -1 warms up */
        if (!reset(b, streams, err))
            return false;
        const uint64_t start = cv_now_ns();
        if (prompt > 0 ? !run_prompt(b, prompt, err) : !run_gen(b, gen, streams, err))
            return false;
        const double s = (double)(cv_now_ns() - start) * 1e-9;
        if (run >= 0)
            rate[run] = (prompt > 0 ? prompt : (double)gen * streams) / s;
    }
    qsort(rate, repeat, sizeof(rate[0]), compare);
    *out = (struct figure){.median = rate[repeat / 2], .least = rate[0], .most = rate[repeat - 1]};
    return true;
}

static bool open_bench(struct bench *b, const char *path, uint32_t threads, const struct cv_stage_spec *wanted,
                       struct cv_error *err)
{
    struct cv_hparams h;
    if (!cv_model_open(&b->model, path, CV_MODEL_MAP, err))
        return false;
    if (!cv_hparams_read(&h, b->model->gguf, err) || !cv_pool_new(&b->pool, threads, err))
        return cv_wrap(err, "%s", path);
    struct cv_stage_spec spec = *wanted;
    spec.layer_last = h.n_layer;
    const struct cv_weight_source source = {.ctx = b->model, .get = get_data, .done = drop_data};
    const uint64_t start = cv_now_ns();
    if (!cv_stage_new(&b->stage, b->model->gguf, &source, &spec, b->pool, NULL, err))
        return cv_wrap(err, "%s", path);
    b->load_s = (double)(cv_now_ns() - start) * 1e-9;
    b->n_vocab = cv_stage_n_vocab(b->stage);
    b->n_batch = spec.n_batch;
    b->row = cv_calloc(spec.n_batch > spec.n_slots ? spec.n_batch : spec.n_slots, sizeof(*b->row));
    b->logits = cv_alloc_aligned((size_t)spec.n_slots * b->n_vocab * sizeof(float));
    return (b->row != NULL && b->logits != NULL) || cv_fail(err, CV_ERR_NOMEM, "out of memory");
}

static void close_bench(struct bench *b)
{
    cv_stage_free(b->stage);
    cv_pool_free(b->pool);
    cv_model_close(b->model);
    cv_free(b->row);
    cv_free(b->logits);
}

int cv_cmd_bench(int argc, char **argv)
{
    uint32_t threads = 0, prompt = 512, gen = 64, streams = 1, repeat = 5, batch = 512;
    const char *kv = "f16", *path = NULL;
    bool as_json = false;
    const struct cv_option option[] = {
        {"--threads", "N", CV_OPT_COUNT, &threads, "threads (all processors)"},
        {"--prompt", "N", CV_OPT_COUNT, &prompt, "tokens of the prompt, 0 for none (512)"},
        {"--gen", "N", CV_OPT_COUNT, &gen, "tokens generated by each stream, 0 for none (64)"},
        {"--streams", "N", CV_OPT_COUNT, &streams, "sequences that generate at the same time (1)"},
        {"--batch", "N", CV_OPT_COUNT, &batch, "rows of one step, at most (512)"},
        {"--kv", "TYPE", CV_OPT_TEXT, &kv, "sequence memory: f16 or f32 (f16)"},
        {"--repeat", "N", CV_OPT_COUNT, &repeat, "runs after one that warms up; the median counts (5)"},
        {"--json", NULL, CV_OPT_FLAG, &as_json, "figures as JSON"},
    };
    const struct cv_usage usage = {.command = "bench",
                                   .synopsis = "MODEL.gguf [options]",
                                   .about = "Measures how many tokens per second this machine computes, of a prompt and generating, with the\n"
                                            "whole model in this process. CARAVAN_ISA=ref, avx2, avxvnni or avx512 narrows the kernels.",
                                   .option = option,
                                   .n_option = CV_COUNT(option)};
    size_t n_word;
    bool helped;
    struct cv_error err;
    if (!cv_options_read(&usage, argc, argv, &path, 1, &n_word, &helped, &err))
        return cv_complain("bench", &err);
    if (helped)
        return 0;
    if (n_word == 0) {
        cv_fail(&err, CV_ERR_ARG, "which model? Name a .gguf file");
        return cv_complain("bench", &err);
    }
    const uint32_t longest = prompt > gen ? prompt : gen;
    const struct cv_stage_spec spec = {.has_embd = true,
                                       .has_head = true,
                                       .n_slots = streams == 0 ? 1 : streams,
                                       .n_ctx = longest == 0 ? 1 : longest,
                                       .n_batch = batch > streams ? batch : streams,
                                       .kv_type = strcmp(kv, "f32") == 0 ? CV_DTYPE_F32 : CV_DTYPE_F16};
    struct bench b = {.random = 1};
    struct figure p = {0}, g = {0};
    bool ok = cv_start("warn", "bench", &err) && open_bench(&b, path, threads, &spec, &err) &&
              (prompt == 0 || measure(&b, prompt, 0, 1, repeat, &p, &err)) &&
              (gen == 0 || measure(&b, 0, gen, spec.n_slots, repeat, &g, &err));
    if (ok) {
        struct rusage usage_now;
        getrusage(RUSAGE_SELF, &usage_now);
        const unsigned n_threads = cv_pool_threads(b.pool);
        const char *isa = cv_isa_name(cv_isa_detect());
        if (as_json)
            printf("{\"model\":\"%s\",\"threads\":%u,\"isa\":\"%s\",\"prompt\":%u,\"prompt_tokens_per_s\":{\"median\":%.3f,"
                   "\"min\":%.3f,\"max\":%.3f},\"gen\":%u,\"streams\":%u,\"gen_tokens_per_s\":{\"median\":%.3f,\"min\":%.3f,"
                   "\"max\":%.3f},\"load_s\":%.3f,\"peak_rss_mib\":%ld}\n",
                   path, n_threads, isa, prompt, p.median, p.least, p.most, gen, spec.n_slots, g.median, g.least, g.most,
                   b.load_s, usage_now.ru_maxrss / 1024);
        else
            printf("%s: %u threads, %s, loaded in %.1f s, peak %ld MiB\n"
                   "  prompt of %-5u            %9.2f tokens/s  (%.2f .. %.2f)\n"
                   "  generating %-4u x %-4u     %9.2f tokens/s  (%.2f .. %.2f)\n",
                   path, n_threads, isa, b.load_s, usage_now.ru_maxrss / 1024, prompt, p.median, p.least, p.most, gen,
                   spec.n_slots, g.median, g.least, g.most);
    }
    close_bench(&b);
    return ok ? 0 : cv_complain("bench", &err);
}
