/* ps.c - caravan ps: what a server's /api/cluster says, as a table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/size.h"
#include "cli/common.h"
#include "cli/options.h"
#include "net/http_client.h"

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s == NULL ? "" : s;
}

static double number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static const char *size(const json_t *o, const char *key, char *out)
{
    return cv_size_format((uint64_t)number(o, key), out);
}

static void print_stages(const json_t *root)
{
    const json_t *stages = json_object_get(root, "stages");
    size_t i;
    const json_t *s;
    if (json_array_size(stages) == 0)
        return;
    printf("\n%-5s %-20s %-12s %-10s %10s %14s\n", "STAGE", "NODE", "LAYERS", "STATE", "MEMORY", "MS PER TOKEN");
    json_array_foreach(stages, i, s)
    {
        char layers[64], a[CV_SIZE_TEXT];
        snprintf(layers, sizeof(layers), "%.0f..%.0f%s%s", number(s, "layer_first"), number(s, "layer_last") - 1,
                 json_is_true(json_object_get(s, "has_embd")) ? " e" : "", json_is_true(json_object_get(s, "has_head")) ? " h" : "");
        printf("%-5zu %-20.20s %-12s %-10s %10s %14.2f\n", i, text(s, "node"), layers, text(s, "state"), size(s, "bytes", a),
               number(s, "token_ms_predicted"));
    }
    puts("(e: holds the embedding, h: the head; milliseconds as the plan predicts them)");
}

static void print_nodes(const json_t *root)
{
    const json_t *nodes = json_object_get(root, "nodes");
    size_t i;
    const json_t *n;
    if (json_array_size(nodes) == 0)
        return;
    printf("\n%-20s %-10s %10s %10s %9s %10s %10s  %s\n", "NODE", "STATE", "USABLE", "USED", "GB/S", "FETCHED", "BATCHES", "DEVICE");
    json_array_foreach(nodes, i, n)
    {
        char a[CV_SIZE_TEXT], b[CV_SIZE_TEXT], c[CV_SIZE_TEXT];
        const json_t *d = json_object_get(n, "device");
        const bool alive = json_is_true(json_object_get(n, "alive"));
        printf("%-20.20s %-10s %10s %10s %9.1f %10s %10.0f  %s%s%s\n", text(n, "name"), alive ? text(n, "state") : "lost",
               size(d, "memory_usable_bytes", a), size(n, "memory_used_bytes", b), number(d, "bandwidth_bytes_per_s") * 1e-9,
               size(n, "fetched_bytes", c), number(n, "batches"), text(d, "name"), text(n, "text")[0] != '\0' ? ": " : "",
               text(n, "text"));
    }
}

int cv_cmd_ps(int argc, char **argv)
{
    const char *url = "http://127.0.0.1:8080", *key = getenv("CARAVAN_API_KEY");
    bool as_json = false, plan = false;
    const struct cv_option option[] = {
        {"--url", "URL", CV_OPT_TEXT, &url, "the server (http://127.0.0.1:8080)"},
        {"--plan", NULL, CV_OPT_FLAG, &plan, "the plan too, with its predictions"},
        {"--json", NULL, CV_OPT_FLAG, &as_json, "everything, as the server sends it"},
        {"--api-key", "KEY", CV_OPT_TEXT, &key, "of the server ($CARAVAN_API_KEY)"},
    };
    const struct cv_usage usage = {.command = "ps",
                                   .synopsis = "[options]",
                                   .about = "Shows a server's nodes, the stages of its pipeline, and its state.",
                                   .option = option,
                                   .n_option = CV_COUNT(option)};
    size_t n_word;
    bool helped;
    struct cv_error err;
    if (!cv_options_read(&usage, argc, argv, NULL, 0, &n_word, &helped, &err))
        return cv_complain("ps", &err);
    if (helped)
        return 0;
    char full[2048], authorization[1100];
    const char *header[2] = {NULL, NULL};
    snprintf(full, sizeof(full), "%s/api/cluster", url);
    if (key != NULL) {
        snprintf(authorization, sizeof(authorization), "Authorization: Bearer %.1000s", key);
        header[0] = authorization;
    }
    const struct cv_http_ask ask = {.url = full, .header = header, .timeout_ms = 10000};
    struct cv_http_answer answer = {0};
    if (!cv_http_client_init(&err) || !cv_http_do(&ask, &answer, &err))
        return cv_complain("ps", &err);
    json_t *root = json_loadb(answer.body.len > 0 ? answer.body.data : "", answer.body.len, 0, NULL);
    int code = 0;
    if (answer.status != 200 || root == NULL) {
        const char *why = text(json_object_get(root, "error"), "message");
        cv_fail(&err, CV_ERR_PEER, "%s: status %d%s%s", url, answer.status, why[0] != '\0' ? ": " : "", why);
        code = cv_complain("ps", &err);
    } else if (as_json) {
        fwrite(answer.body.data, 1, answer.body.len, stdout);
    } else {
        printf("%s: %s, epoch %.0f", text(root, "model"), text(root, "state"), number(root, "epoch"));
        if (number(root, "token_ms") > 0)
            printf(", one token %.1f ms when it began", number(root, "token_ms"));
        printf("%s%s\n", text(root, "text")[0] != '\0' ? ": " : "", text(root, "text"));
        print_stages(root);
        print_nodes(root);
        if (plan)
            printf("\n%s", text(root, "plan"));
    }
    json_decref(root);
    cv_http_answer_fini(&answer);
    return code;
}
