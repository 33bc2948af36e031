/*
 * suite_arch.c - logits and greedy tokens of whole models: one per architecture (arch/) and per weight type (types/).
 *
 * The expected logits are met within the case's limit by the prompt in one batch and the rest token by token; every
 * other way to feed the same tokens (all at once, one by one, in sevens, over two stages, over one stage per layer, with
 * another number of threads) has to give the same bits. With sequence memory in f16 they may be four times as far off as
 * the reference's own f16 modes.
 */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "engine/chain.h"
#include "gguf/hparams.h"
#include "tests/conformance_runner/runner.h"

struct model_case {
    struct runner *r;
    const char *name;
    struct cv_model *model;
    uint32_t n_ctx, n_vocab;
    int32_t *tokens; /* the prompt, then all generated ones but the last */
    size_t n_prompt, n_rows;
};

/* How the rows are fed: steps of `chunk` rows, the first one of `first`. */
struct feed {
    const char *name;
    size_t first, chunk; /* 0: all that is left */
    uint32_t n_stage;
    unsigned n_threads;
    enum cv_dtype kv_type;
};

static bool one_step(struct cv_chain *c, const int32_t *tokens, size_t at, size_t n, float *logits,
                     struct cv_error *err)
{
    struct cv_cmd begin = {.op = CV_CMD_NEW, .slot = 0};
    struct cv_row *row = cv_calloc(n, sizeof(*row));
    if (row == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "rows: out of memory");
    for (size_t i = 0; i < n; i++)
        row[i] = (struct cv_row){.pos = (uint32_t)(at + i), .token = tokens[at + i], .flags = CV_ROW_WANT};
    struct cv_step step = {.cmd = &begin, .n_cmd = at == 0, .row = row, .n_row = (uint32_t)n, .logits = logits};
    bool ok = cv_chain_step(c, &step, err);
    cv_free(row);
    return ok;
}

static bool open_chain(const struct model_case *m, const struct feed *f, struct cv_chain **chain, struct cv_pool **pool,
                       struct cv_error *err)
{
    struct cv_weight_source source = cv_model_weights(m->model);
    struct cv_chain_spec spec = {
        .n_stage = f->n_stage, .n_slots = 1, .n_ctx = m->n_ctx, .n_batch = (uint32_t)m->n_rows, .kv_type = f->kv_type};
    *pool = NULL;
    if (!cv_pool_new(pool, f->n_threads, err))
        return false;
    if (cv_chain_new(chain, m->model->gguf, &source, &spec, *pool, NULL, err))
        return true;
    cv_pool_free(*pool);
    return false;
}

static bool run_feed(const struct model_case *m, const struct feed *f, float *logits, struct cv_error *err)
{
    struct cv_chain *chain;
    struct cv_pool *pool;
    if (!open_chain(m, f, &chain, &pool, err))
        return false;
    bool ok = true;
    for (size_t at = 0, n; at < m->n_rows && ok; at += n) {
        size_t left = m->n_rows - at, want = at == 0 ? f->first : f->chunk;
        n = want == 0 || want > left ? left : want;
        ok = one_step(chain, m->tokens, at, n, logits + at * m->n_vocab, err);
    }
    cv_chain_free(chain);
    cv_pool_free(pool);
    return ok;
}

static int32_t largest(const float *logits, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return (int32_t)best;
}

/* A token that differs where the two best were closer than 0.05 ends the comparison and is no failure. */
static bool compare_greedy(const struct model_case *m, const float *logits, const json_t *json, char *why, size_t why_n)
{
    const json_t *generated = json_object_get(json, "generated"), *margins = json_object_get(json, "margins");
    for (size_t i = 0; i < json_array_size(generated); i++) {
        int32_t want = (int32_t)json_integer_value(json_array_get(generated, i));
        int32_t got = largest(logits + (m->n_prompt - 1 + i) * m->n_vocab, m->n_vocab);
        if (got == want)
            continue;
        if (json_number_value(json_array_get(margins, i)) < 0.05)
            return true;
        snprintf(why, why_n, "token %zu is %d, must be %d", i, got, want);
        return false;
    }
    return true;
}

/* The other ways, which have to give the bits of the first. */
static bool compare_feeds(const struct model_case *m, const float *want, float *got, char *why, size_t why_n)
{
    const struct feed feeds[] = {
        {"all in one batch", 0, 0, 1, 2, CV_DTYPE_F32},
        {"token by token", 1, 1, 1, 1, CV_DTYPE_F32},
        {"in sevens", 7, 7, 1, 2, CV_DTYPE_F32},
        {"over two stages", m->n_prompt, 1, 2, 1, CV_DTYPE_F32},
        {"over a stage per layer", 7, 7, 1000, 2, CV_DTYPE_F32},
    };
    for (size_t i = 0; i < CV_COUNT(feeds); i++) {
        struct cv_error err;
        if (!run_feed(m, &feeds[i], got, &err)) {
            snprintf(why, why_n, "%s: %.300s", feeds[i].name, err.msg);
            return false;
        }
        for (size_t j = 0; j < m->n_rows * m->n_vocab; j++) {
            if (memcmp(&got[j], &want[j], sizeof(float)) == 0)
                continue;
            snprintf(why, why_n, "%s: row %zu, logit %zu is %.9g instead of %.9g", feeds[i].name, j / m->n_vocab,
                     j % m->n_vocab, (double)got[j], (double)want[j]);
            return false;
        }
    }
    return true;
}

static bool check_f16(const struct model_case *m, const json_t *json, const float *want, float *got, double limit,
                      char *why, size_t why_n)
{
    const json_t *variation = json_object_get(json, "reference_variation");
    const struct feed f16 = {"f16", 0, 0, 1, 2, CV_DTYPE_F16};
    struct cv_error err;
    double kv = json_num(variation, "kv_f16", 0.0), flash = json_num(variation, "flash_attention", 0.0);
    double most = 4.0 * (kv > flash ? kv : flash);
    if (most == 0.0)
        return true; /* the reference cannot run it, or does not say */
    most = most > limit ? most : limit;
    if (!run_feed(m, &f16, got, &err)) {
        snprintf(why, why_n, "sequence memory in f16: %.300s", err.msg);
        return false;
    }
    double nmse = runner_nmse(got, want, m->n_rows * m->n_vocab);
    if (nmse <= most)
        return true;
    snprintf(why, why_n, "sequence memory in f16: NMSE %.3g, at most %.3g", nmse, most);
    return false;
}

static void check_case(struct model_case *m, const char *dir, const json_t *json)
{
    size_t n = m->n_rows * m->n_vocab;
    float *want = runner_floats(m->r, m->name, dir, json_text(json, "expected", ""), n);
    float *got = cv_calloc(n, sizeof(*got)), *other = cv_calloc(n, sizeof(*other));
    const struct feed plain = {"the prompt, then token by token", m->n_prompt, 1, 1, 1, CV_DTYPE_F32};
    struct cv_error err;
    char why[512];
    double limit = json_num(json, "nmse_limit", 0.0);
    if (want == NULL || got == NULL || other == NULL) {
        if (want != NULL)
            runner_fail(m->r, m->name, "out of memory");
    } else if (!run_feed(m, &plain, got, &err)) {
        if (err.code == CV_ERR_UNSUPPORTED)
            runner_unsupported(m->r, m->name, "%s", err.msg);
        else
            runner_fail(m->r, m->name, "%s", err.msg);
    } else {
        double nmse = runner_nmse(got, want, n);
        if (!(nmse <= limit))
            runner_fail(m->r, m->name, "NMSE %.3g, at most %.3g", nmse, limit);
        else if (!compare_greedy(m, got, json, why, sizeof(why)) || !compare_feeds(m, got, other, why, sizeof(why)) ||
                 !check_f16(m, json, want, other, limit, why, sizeof(why)))
            runner_fail(m->r, m->name, "%s", why);
        else
            runner_pass(m->r, m->name, "NMSE %.2g of %.2g; the same bits in every split", nmse, limit);
    }
    cv_free(other);
    cv_free(got);
    cv_free(want);
}

/* Prompt and generated tokens as the rows to feed. */
static bool read_tokens(struct model_case *m, const json_t *json)
{
    size_t n_generated = 0;
    int32_t *prompt = json_ids(json, "prompt", &m->n_prompt), *generated = json_ids(json, "generated", &n_generated);
    m->n_rows = (size_t)json_int(json, "n_rows", 0);
    bool ok = prompt != NULL && generated != NULL && m->n_prompt > 0 && n_generated > 0 &&
              m->n_rows < CV_MAX_BATCH_ROWS && m->n_rows == m->n_prompt + n_generated - 1;
    m->tokens = ok ? cv_calloc(m->n_rows, sizeof(*m->tokens)) : NULL;
    for (size_t i = 0; m->tokens != NULL && i < m->n_rows; i++)
        m->tokens[i] = i < m->n_prompt ? prompt[i] : generated[i - m->n_prompt];
    cv_free(generated);
    cv_free(prompt);
    return m->tokens != NULL;
}

static void one_file(struct runner *r, const char *dir, const char *name, const json_t *json)
{
    if (strcmp(json_text(json, "kind", ""), "logits") != 0) {
        runner_unsupported(r, name, "cases of kind %s", json_text(json, "kind", "?"));
        return;
    }
    struct model_case m = {.r = r,
                           .name = name,
                           .n_ctx = (uint32_t)json_int(json, "n_ctx", 256),
                           .n_vocab = (uint32_t)json_int(json, "n_vocab", 0)};
    char path[4096];
    struct cv_error err;
    struct cv_hparams hp;
    snprintf(path, sizeof(path), "%s/%s", dir, json_text(json, "gguf", ""));
    if (!read_tokens(&m, json))
        runner_fail(r, name, "prompt, generated and n_rows do not fit together");
    else if (!cv_model_open(&m.model, path, CV_MODEL_MAP, &err))
        runner_fail(r, name, "%s", err.msg);
    else if (!cv_hparams_read(&hp, m.model->gguf, &err) || hp.n_vocab != m.n_vocab)
        runner_unsupported(r, name, "%s", err.msg);
    else
        check_case(&m, dir, json);
    cv_model_close(m.model);
    cv_free(m.tokens);
}

void suite_arch(struct runner *r, const char *dir)
{
    runner_each(r, dir, one_file);
}
