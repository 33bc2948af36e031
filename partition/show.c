/* show.c - a plan as a table for people and as JSON for programs. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "partition/plan.h"

enum { BAR = 40 };

/* Milliseconds with as many digits as help. */
static const char *ms(double s, char out[16])
{
    const double v = 1e3 * s;
    snprintf(out, 16, v >= 999.5 ? "%.0f" : v >= 99.95 ? "%.1f" : "%.2f", v);
    return out;
}

static bool print_stage(const struct cv_plan_cluster *c, const struct cv_plan_stage *s, struct cv_buf *out)
{
    char layers[24], weights[CV_SIZE_TEXT], kv[CV_SIZE_TEXT], work[CV_SIZE_TEXT], left[CV_SIZE_TEXT];
    char token[16], chunk[16], edge[16];
    snprintf(layers, sizeof(layers), "%u..%u%s%s", s->layer_first, s->layer_last - 1, s->has_embd ? " e" : "",
             s->has_head ? " h" : "");
    return cv_buf_printf(out, "%-20.20s %-12s %10s %10s %10s %10s %9s %9s %9s %5.0f%%\n", c->device[s->device].name,
                         layers, cv_size_format(s->bytes.weights + s->bytes.embd + s->bytes.head, weights),
                         cv_size_format(s->bytes.kv, kv), cv_size_format(s->bytes.work, work),
                         cv_size_format(s->free_bytes, left), ms(s->edge_token_s, edge), ms(s->token_s, token),
                         ms(s->chunk_s, chunk), 100.0 * s->busy);
}

static bool print_bar(const struct cv_plan_cluster *c, const struct cv_plan_stage *s, struct cv_buf *out)
{
    const double all = (double)(s->bytes.total + s->free_bytes);
    const double end[] = {(double)(s->bytes.weights + s->bytes.embd + s->bytes.head), (double)s->bytes.kv,
                          (double)s->bytes.work};
    char bar[BAR + 1], used[CV_SIZE_TEXT], have[CV_SIZE_TEXT];
    double at = 0.0;
    int pos = 0;
    for (int part = 0; part < 3; part++) {
        at += end[part];
        const int to = all > 0.0 ? (int)(BAR * at / all + 0.5) : 0;
        while (pos < to && pos < BAR)
            bar[pos++] = "#=+"[part];
    }
    while (pos < BAR)
        bar[pos++] = '.';
    bar[BAR] = '\0';
    return cv_buf_printf(out, "%-20.20s [%s] %s of %s\n", c->device[s->device].name, bar,
                         cv_size_format(s->bytes.total, used), cv_size_format(s->bytes.total + s->free_bytes, have));
}

static bool print_figures(const struct cv_plan *p, uint32_t n_slots, struct cv_buf *out)
{
    char token[16], period[16];
    bool ok =
        cv_buf_printf(out, "one user      %s ms a token: %.1f tokens/s\n", ms(p->token_s, token), 1.0 / p->token_s) &&
        cv_buf_printf(out, "many users    %.1f tokens/s in %u slots; at most %.1f, a batch of %u rows every %s ms\n",
                      p->served_per_s, n_slots, p->tokens_per_s, p->goal.rows, ms(p->period_s, period)) &&
        cv_buf_printf(out, "long prompt   %u tokens in %.2f s: %.0f tokens/s\n", p->goal.prompt, p->prompt_s,
                      p->goal.prompt / p->prompt_s) &&
        cv_buf_printf(out, "limited by    %s\n", p->limit);
    if (ok && !p->exact && p->lower_bound > 0.0)
        ok = cv_buf_printf(out, "not proven    no plan is more than %.1f%% better than this one\n",
                           100.0 * (1.0 - p->lower_bound / p->score));
    return ok;
}

bool cv_plan_print(const struct cv_plan_model *m, const struct cv_plan_cluster *c, const struct cv_plan *p,
                   struct cv_buf *out)
{
    bool ok =
        cv_buf_printf(out, "%s: %u layers, context %u, %u slot%s, cache %s; optimized for %s\n\n",
                      m->name != NULL ? m->name : "model", m->n_layer, m->n_ctx, m->n_slots, m->n_slots == 1 ? "" : "s",
                      cv_plan_kv_name(m->kv), cv_plan_optimize_name(p->goal.optimize)) &&
        cv_buf_printf(out, "%-20s %-12s %10s %10s %10s %10s %9s %9s %9s %6s\n", "node", "layers", "weights", "cache",
                      "buffers", "free", "link ms", "token ms", "chunk ms", "busy");
    for (uint32_t i = 0; ok && i < p->n_stage; i++)
        ok = print_stage(c, &p->stage[i], out);
    ok = ok && cv_buf_putc(out, '\n');
    for (uint32_t i = 0; ok && i < p->n_stage; i++)
        ok = print_bar(c, &p->stage[i], out);
    ok = ok && cv_buf_printf(out, "%21s# weights  = cache  + buffers  . free;   e embedding  h head\n\n", "") &&
         print_figures(p, m->n_slots, out);
    for (uint32_t i = 0; ok && i < p->n_spare; i++)
        ok = cv_buf_printf(out, "left out      %s: %s\n", c->device[p->spare[i].device].name, p->spare[i].text);
    return ok;
}

static const char *const why_names[] = {"excluded", "too_small", "slower", "not_better", "limited"};

static bool json_text(struct cv_buf *out, const char *key, const char *text)
{
    return cv_buf_printf(out, "\"%s\":\"", key) && cv_buf_json(out, text, strlen(text)) && cv_buf_putc(out, '"');
}

/* JSON has no infinity and no NaN. */
static bool json_number(struct cv_buf *out, const char *key, double v)
{
    return isfinite(v) ? cv_buf_printf(out, "\"%s\":%.9g", key, v) : cv_buf_printf(out, "\"%s\":null", key);
}

static bool json_count(struct cv_buf *out, const char *key, uint64_t v)
{
    return cv_buf_printf(out, "\"%s\":%llu", key, (unsigned long long)v);
}

struct field {
    const char *key;
    double value;
};

static bool json_numbers(struct cv_buf *out, const struct field *f, size_t n)
{
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++)
        ok = json_number(out, f[i].key, f[i].value) && (i + 1 == n || cv_buf_putc(out, ','));
    return ok;
}

static bool json_counts(struct cv_buf *out, const struct cv_plan_stage *s)
{
    const struct {
        const char *key;
        uint64_t value;
    } f[] = {{"layer_first", s->layer_first}, {"layer_end", s->layer_last},    {"weight_bytes", s->bytes.weights},
             {"embd_bytes", s->bytes.embd},   {"head_bytes", s->bytes.head},   {"kv_bytes", s->bytes.kv},
             {"work_bytes", s->bytes.work},   {"total_bytes", s->bytes.total}, {"free_bytes", s->free_bytes},
             {"fetch_bytes", s->fetch_bytes}};
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof(f) / sizeof(f[0]); i++)
        ok = json_count(out, f[i].key, f[i].value) && cv_buf_putc(out, ',');
    return ok && cv_buf_printf(out, "\"has_embd\":%s,\"has_head\":%s,", s->has_embd ? "true" : "false",
                               s->has_head ? "true" : "false");
}

static bool json_stage(const struct cv_plan_cluster *c, const struct cv_plan_stage *s, struct cv_buf *out)
{
    const struct field f[] = {{"token_s", s->token_s},
                              {"batch_s", s->batch_s},
                              {"chunk_s", s->chunk_s},
                              {"edge_token_s", s->edge_token_s},
                              {"edge_batch_s", s->edge_batch_s},
                              {"edge_chunk_s", s->edge_chunk_s},
                              {"busy", s->busy}};
    return cv_buf_putc(out, '{') && json_text(out, "node", c->device[s->device].name) && cv_buf_putc(out, ',') &&
           json_counts(out, s) && json_numbers(out, f, sizeof(f) / sizeof(f[0])) && cv_buf_putc(out, '}');
}

static bool json_spare(const struct cv_plan_cluster *c, const struct cv_plan_spare *s, struct cv_buf *out)
{
    return cv_buf_putc(out, '{') && json_text(out, "node", c->device[s->device].name) && cv_buf_putc(out, ',') &&
           json_text(out, "why", why_names[s->why]) && cv_buf_putc(out, ',') && json_text(out, "text", s->text) &&
           cv_buf_putc(out, '}');
}

static bool json_model(const struct cv_plan_model *m, struct cv_buf *out)
{
    return json_text(out, "model", m->name != NULL ? m->name : "") && cv_buf_putc(out, ',') &&
           json_count(out, "n_layer", m->n_layer) && cv_buf_putc(out, ',') && json_count(out, "n_ctx", m->n_ctx) &&
           cv_buf_putc(out, ',') && json_count(out, "n_slots", m->n_slots) && cv_buf_putc(out, ',') &&
           json_count(out, "n_batch", m->n_batch) && cv_buf_putc(out, ',') &&
           json_text(out, "cache", cv_plan_kv_name(m->kv)) && cv_buf_putc(out, ',');
}

bool cv_plan_json(const struct cv_plan_model *m, const struct cv_plan_cluster *c, const struct cv_plan *p,
                  struct cv_buf *out)
{
    bool ok = cv_buf_putc(out, '{') && json_model(m, out) &&
              json_text(out, "optimize", cv_plan_optimize_name(p->goal.optimize)) && cv_buf_puts(out, ",\"stages\":[");
    for (uint32_t i = 0; ok && i < p->n_stage; i++)
        ok = (i == 0 || cv_buf_putc(out, ',')) && json_stage(c, &p->stage[i], out);
    ok = ok && cv_buf_puts(out, "],\"spares\":[");
    for (uint32_t i = 0; ok && i < p->n_spare; i++)
        ok = (i == 0 || cv_buf_putc(out, ',')) && json_spare(c, &p->spare[i], out);
    const struct field f[] = {{"rows", p->goal.rows},    {"context", p->goal.context},      {"prompt", p->goal.prompt},
                              {"token_s", p->token_s},   {"return_s", p->return_s},         {"batch_s", p->batch_s},
                              {"period_s", p->period_s}, {"tokens_per_s", p->tokens_per_s}, {"prompt_s", p->prompt_s},
                              {"score", p->score},       {"lower_bound", p->lower_bound}};
    return ok && cv_buf_puts(out, "],") && json_numbers(out, f, sizeof(f) / sizeof(f[0])) &&
           cv_buf_printf(out, ",\"exact\":%s,", p->exact ? "true" : "false") && json_text(out, "limit", p->limit) &&
           cv_buf_putc(out, '}');
}
