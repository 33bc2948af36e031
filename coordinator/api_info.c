#include "coordinator/api_info.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"

static bool put_string(struct cv_buf *b, const char *s)
{
    return cv_buf_putc(b, '"') && cv_buf_json(b, s, strlen(s)) && cv_buf_putc(b, '"');
}

bool cv_api_model_json(const struct cv_served *m, struct cv_buf *out)
{
    return cv_buf_puts(out, "{\"id\":") && put_string(out, m->id) &&
           cv_buf_printf(out, ",\"object\":\"model\",\"created\":%" PRId64 ",\"owned_by\":\"caravan\",\"meta\":{", m->created) &&
           cv_buf_puts(out, "\"arch\":") && put_string(out, m->hparams.arch) &&
           cv_buf_printf(out,
                         ",\"n_vocab\":%u,\"n_ctx\":%u,\"n_ctx_train\":%u,\"n_embd\":%u,\"n_layer\":%u,\"n_params\":%" PRIu64
                         ",\"size\":%" PRIu64 "}}",
                         m->hparams.n_vocab, m->n_ctx, m->hparams.n_ctx_train, m->hparams.n_embd, m->hparams.n_layer,
                         m->file->n_params, m->file->n_bytes);
}

bool cv_api_models_json(const struct cv_served *m, struct cv_buf *out)
{
    return cv_buf_puts(out, "{\"object\":\"list\",\"data\":[") && cv_api_model_json(m, out) && cv_buf_puts(out, "]}\n");
}

bool cv_api_props_json(const struct cv_served *m, struct cv_buf *out)
{
    struct cv_str source = {"", 0};
    struct cv_error unused;
    (void)cv_gguf_str(m->file->gguf, "tokenizer.chat_template", &source, &unused);
    return cv_buf_printf(out, "{\"total_slots\":%u,\"default_generation_settings\":{\"n_ctx\":%u},\"model_alias\":", m->n_slots,
                         m->n_ctx) &&
           put_string(out, m->id) && cv_buf_puts(out, ",\"bos_token\":") && put_string(out, m->bos_text) &&
           cv_buf_puts(out, ",\"eos_token\":") && put_string(out, m->eos_text) &&
           cv_buf_puts(out, ",\"build_info\":\"caravan " CARAVAN_VERSION "\",\"chat_template\":\"") &&
           cv_buf_json(out, source.p, source.n) && cv_buf_puts(out, "\"}\n");
}

static bool put_node(struct cv_buf *out, const struct cv_node *n, uint64_t now_ms)
{
    const struct cv_ctl_device *d = &n->device[0];
    return cv_buf_printf(out, "{\"id\":%" PRIu64 ",\"name\":", n->id) && put_string(out, n->name) &&
           cv_buf_printf(out, ",\"alive\":%s,\"seen_ms_ago\":%" PRIu64 ",\"state\":\"%s\",\"epoch\":%" PRIu64 ",\"text\":",
                         n->alive ? "true" : "false", now_ms - n->seen_ms, cv_node_state_name(n->status.state),
                         n->status.epoch) &&
           put_string(out, n->alive ? n->status.text : n->lost_why) && cv_buf_puts(out, ",\"version\":") &&
           put_string(out, n->build_version) && cv_buf_puts(out, ",\"address\":") && put_string(out, n->call_address) &&
           cv_buf_puts(out, ",\"device\":{\"kind\":") && put_string(out, d->kind) && cv_buf_puts(out, ",\"name\":") &&
           put_string(out, d->name) &&
           cv_buf_printf(out,
                         ",\"n_threads\":%u,\"memory_total_bytes\":%" PRIu64 ",\"memory_usable_bytes\":%" PRIu64
                         ",\"bandwidth_bytes_per_s\":%.0f,\"matmul_flops_per_s\":%.0f}",
                         d->n_threads, d->memory_total_bytes, d->memory_free_bytes, d->bandwidth_bytes_per_s,
                         d->matmul_flops_per_s) &&
           cv_buf_printf(out,
                         ",\"memory_used_bytes\":%" PRIu64 ",\"fetched_bytes\":%" PRIu64 ",\"batches\":%" PRIu64
                         ",\"rows\":%" PRIu64 ",\"busy_us\":%" PRIu64 "}",
                         n->status.memory_used_bytes, n->status.fetched_bytes, n->status.n_batches, n->status.n_rows,
                         n->status.busy_us);
}

bool cv_api_cluster_json(const struct cv_api_options *o, struct cv_buf *out)
{
    struct cv_life_view v;
    struct cv_arena arena = {0};
    struct cv_node *node = NULL;
    size_t n = 0;
    struct cv_error err;
    const uint64_t now = cv_now_ms();
    cv_life_look(o->life, &v);
    bool ok = cv_members_list(o->members, true, &node, &n, &arena, &err) && cv_buf_puts(out, "{\"model\":") &&
              put_string(out, o->model->id) &&
              cv_buf_printf(out, ",\"state\":\"%s\",\"epoch\":%" PRIu64 ",\"epochs\":%u,\"lost\":%u,\"progress\":%.4f,"
                                 "\"token_ms\":%.3f,\"text\":",
                            cv_life_state_name(v.state), v.epoch, v.n_epochs, v.n_lost, v.progress, v.warm_ms) &&
              put_string(out, v.text) && cv_buf_puts(out, ",\"stages\":[");
    for (uint32_t i = 0; ok && i < v.n_stage && i < CV_COUNT(v.stage); i++) {
        const struct cv_life_stage *s = &v.stage[i];
        ok = cv_buf_puts(out, i > 0 ? ",{\"node\":" : "{\"node\":") && put_string(out, s->node) &&
             cv_buf_printf(out,
                           ",\"node_id\":%" PRIu64 ",\"layer_first\":%u,\"layer_last\":%u,\"has_embd\":%s,\"has_head\":%s,"
                           "\"bytes\":%" PRIu64 ",\"token_ms_predicted\":%.3f,\"state\":\"%s\",\"load_done_bytes\":%" PRIu64
                           ",\"load_all_bytes\":%" PRIu64 ",\"load_bytes_per_s\":%.0f}",
                           s->node_id, s->layer_first, s->layer_last, s->has_embd ? "true" : "false",
                           s->has_head ? "true" : "false", s->bytes, s->token_s * 1000, cv_node_state_name(s->state),
                           s->load_done_bytes, s->load_all_bytes, s->load_bytes_per_s);
    }
    ok = ok && cv_buf_puts(out, "],\"nodes\":[");
    for (size_t i = 0; ok && i < n; i++)
        ok = (i == 0 || cv_buf_putc(out, ',')) && put_node(out, &node[i], now);
    struct cv_buf plan;
    cv_buf_init(&plan, 1 << 20);
    ok = ok && cv_life_print_plan(o->life, &plan) && cv_buf_puts(out, "],\"plan\":\"") &&
         cv_buf_json(out, plan.len > 0 ? plan.data : "", plan.len) && cv_buf_puts(out, "\"}\n");
    cv_buf_fini(&plan);
    cv_arena_fini(&arena);
    return ok;
}

static bool put_metric(struct cv_buf *b, const char *name, const char *type, const char *help, double value)
{
    return cv_buf_printf(b, "# HELP caravan_%s %s\n# TYPE caravan_%s %s\ncaravan_%s %.17g\n", name, help, name, type, name,
                         value);
}

bool cv_api_metrics(const struct cv_api_options *o, struct cv_buf *out)
{
    struct cv_scheduler_stats s;
    struct cv_life_view v;
    struct cv_arena arena = {0};
    struct cv_node *node = NULL;
    size_t n = 0;
    struct cv_error err;
    cv_scheduler_stats(o->scheduler, &s);
    cv_life_look(o->life, &v);
    const struct {
        const char *name, *type, *help;
        double value;
    } metric[] = {
        {"requests_total", "counter", "Requests that ended, well or not.", (double)s.n_requests},
        {"requests_failed_total", "counter", "Requests that ended with an error.", (double)s.n_failed},
        {"requests_cancelled_total", "counter", "Requests whose client went away.", (double)s.n_cancelled},
        {"prompt_tokens_total", "counter", "Tokens of prompts.", (double)s.n_prompt_tokens},
        {"prompt_tokens_cached_total", "counter", "Of these, still held from an earlier request.", (double)s.n_cached_tokens},
        {"prompt_seconds_total", "counter", "Time that requests spent on their prompts.", s.prompt_s},
        {"tokens_generated_total", "counter", "Tokens generated.", (double)s.n_generated_tokens},
        {"tokens_generated_seconds_total", "counter", "Time that requests spent generating.", s.generate_s},
        {"tokens_rerun_total", "counter", "Tokens fed again after an epoch was lost.", (double)s.n_rerun_tokens},
        {"batches_total", "counter", "Batches sent through the pipeline.", (double)s.n_batches},
        {"rows_total", "counter", "Rows in these batches.", (double)s.n_rows},
        {"epochs_total", "counter", "Epochs begun.", v.n_epochs},
        {"epochs_lost_total", "counter", "Epochs that ended by a fault.", v.n_lost},
        {"requests_processing", "gauge", "Requests that have slots.", s.n_running},
        {"requests_waiting", "gauge", "Requests that wait for slots.", s.n_waiting},
        {"slots_busy", "gauge", "Sequences in progress.", s.n_slots_busy},
        {"slots", "gauge", "Sequences possible at once.", s.n_slots},
        {"serving", "gauge", "1 when a pipeline serves.", v.state == CV_LIFE_SERVING || v.state == CV_LIFE_DRAINING},
        {"stages", "gauge", "Stages of the pipeline.", v.n_stage},
    };
    bool ok = true;
    for (size_t i = 0; ok && i < CV_COUNT(metric); i++)
        ok = put_metric(out, metric[i].name, metric[i].type, metric[i].help, metric[i].value);
    ok = ok && cv_members_list(o->members, false, &node, &n, &arena, &err) &&
         put_metric(out, "nodes", "gauge", "Nodes that have joined.", (double)n) &&
         cv_buf_puts(out, "# HELP caravan_node_busy_seconds_total Time a node's stage has computed in this epoch.\n"
                          "# TYPE caravan_node_busy_seconds_total counter\n");
    for (size_t i = 0; ok && i < n; i++)
        ok = cv_buf_puts(out, "caravan_node_busy_seconds_total{node=") && put_string(out, node[i].name) &&
             cv_buf_printf(out, "} %.6f\n", (double)node[i].status.busy_us * 1e-6);
    cv_arena_fini(&arena);
    return ok;
}
