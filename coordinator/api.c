#include "coordinator/api.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/queue.h"
#include "coordinator/api_answer.h"
#include "coordinator/api_info.h"
#include "text/detokenize.h"

enum { QUEUED = 1024 };

struct cv_api {
    struct cv_api_options o;
    struct cv_http_server *server;
    struct cv_queue *queue; /* of struct job */
    pthread_t thread;
    bool started;
    atomic_bool draining;
};

enum what { DO_CHAT, DO_COMPLETION, DO_TOKENIZE, DO_DETOKENIZE, DO_TEMPLATE };

struct job {
    enum what what;
    struct cv_http_request *r;
};

/* ---- the API thread ---- */

static void reply_json(struct cv_http_request *r, bool ok, struct cv_buf *body)
{
    struct cv_api_error e;
    if (ok) {
        cv_http_reply(r, 200, "application/json", body->data, body->len);
    } else {
        cv_api_refuse(&e, 500, NULL, "out of memory");
        cv_api_reply_error(r, &e);
    }
}

static bool check_model(const struct cv_api *a, const char *asked, struct cv_api_error *e)
{
    if (asked == NULL || strcmp(asked, a->o.model->id) == 0)
        return true;
    cv_api_refuse(e, 404, "model_not_found", "the model '%.200s' does not exist here: this server has '%.200s'", asked,
                  a->o.model->id);
    e->param = "model";
    return false;
}

static bool not_ready(struct cv_api *a, struct cv_api_error *e);

static void generate(struct cv_api *a, enum cv_ask_kind kind, struct cv_http_request *r)
{
    struct cv_api_ask ask;
    struct cv_api_error e;
    size_t len;
    const void *body = cv_http_body(r, &len);
    const struct cv_ask_limits limits = {.n_slots = a->o.model->n_slots,
                                         .n_vocab = a->o.model->hparams.n_vocab,
                                         .vocab = a->o.model->vocab,
                                         .defaults = &a->o.defaults};
    if (cv_api_ask_read(&ask, kind, body, len, &limits, &e) && check_model(a, ask.model, &e))
        cv_api_answer(&ask, r, a->o.model, a->o.scheduler);
    else
        cv_api_reply_error(r, &e);
    cv_api_ask_fini(&ask);
}

static json_t *read_object(struct cv_http_request *r, struct cv_api_error *e)
{
    size_t len;
    const void *body = cv_http_body(r, &len);
    json_error_t why;
    json_t *root = json_loadb(body, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    if (!json_is_object(root)) {
        json_decref(root);
        cv_api_bad(e, NULL, "the body must be a JSON object");
        return NULL;
    }
    return root;
}

static bool flag(const json_t *root, const char *name, bool otherwise)
{
    const json_t *v = json_object_get(root, name);
    return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

static void tokenize(struct cv_api *a, struct cv_http_request *r)
{
    struct cv_api_error e;
    struct cv_error err;
    struct cv_tokens t = {0};
    struct cv_buf out;
    cv_buf_init(&out, CV_MAX_HTTP_BODY * 4);
    json_t *root = read_object(r, &e);
    const json_t *text = json_object_get(root, "content");
    bool ok = root != NULL;
    if (ok && !json_is_string(text))
        ok = cv_api_bad(&e, "content", "'content' must be a string");
    const unsigned flags = (flag(root, "add_special", false) ? CV_ADD_SPECIAL : 0) |
                           (flag(root, "parse_special", true) ? CV_PARSE_SPECIAL : 0);
    if (ok && !cv_tokenize(a->o.model->vocab, json_string_value(text), json_string_length(text), flags, &t, &err))
        ok = cv_api_from(&e, &err);
    if (ok) {
        bool fits = cv_buf_puts(&out, "{\"tokens\":[");
        for (size_t i = 0; fits && i < t.n; i++)
            fits = cv_buf_printf(&out, i > 0 ? ",%d" : "%d", t.id[i]);
        reply_json(r, fits && cv_buf_puts(&out, "]}\n"), &out);
    } else {
        cv_api_reply_error(r, &e);
    }
    cv_tokens_free(&t);
    cv_buf_fini(&out);
    json_decref(root);
}

static void detokenize(struct cv_api *a, struct cv_http_request *r)
{
    struct cv_api_error e;
    struct cv_buf text, out;
    cv_buf_init(&text, CV_MAX_HTTP_BODY);
    cv_buf_init(&out, CV_MAX_HTTP_BODY * 4);
    json_t *root = read_object(r, &e);
    const json_t *list = json_object_get(root, "tokens");
    bool ok = root != NULL;
    if (ok && !json_is_array(list))
        ok = cv_api_bad(&e, "tokens", "'tokens' must be a list of token ids");
    for (size_t i = 0; ok && i < json_array_size(list); i++) {
        const json_int_t id = json_integer_value(json_array_get(list, i));
        if (!json_is_integer(json_array_get(list, i)) || id < 0 || id >= a->o.model->hparams.n_vocab) {
            ok = cv_api_bad(&e, "tokens", "'tokens': entry %zu is no token", i);
        } else {
            const int32_t token = (int32_t)id;
            if (!cv_detokenize(a->o.model->vocab, &token, 1, CV_RENDER_SPECIAL, &text))
                ok = cv_api_refuse(&e, 500, NULL, "out of memory");
        }
    }
    if (ok)
        reply_json(r, cv_buf_puts(&out, "{\"content\":\"") && cv_buf_json(&out, text.len > 0 ? text.data : "", text.len) &&
                          cv_buf_puts(&out, "\"}\n"), &out);
    else
        cv_api_reply_error(r, &e);
    cv_buf_fini(&text);
    cv_buf_fini(&out);
    json_decref(root);
}

static void apply_template(struct cv_api *a, struct cv_http_request *r)
{
    struct cv_api_ask ask;
    struct cv_api_error e;
    struct cv_buf text, out;
    size_t len;
    const void *body = cv_http_body(r, &len);
    const struct cv_ask_limits limits = {.n_slots = a->o.model->n_slots,
                                         .n_vocab = a->o.model->hparams.n_vocab,
                                         .vocab = a->o.model->vocab,
                                         .defaults = &a->o.defaults};
    cv_buf_init(&text, CV_MAX_TEMPLATE_OUTPUT);
    cv_buf_init(&out, CV_MAX_TEMPLATE_OUTPUT * 2u);
    if (cv_api_ask_read(&ask, CV_ASK_CHAT, body, len, &limits, &e) && cv_api_render(&ask, a->o.model, &text, &e))
        reply_json(r, cv_buf_puts(&out, "{\"prompt\":\"") && cv_buf_json(&out, text.len > 0 ? text.data : "", text.len) &&
                          cv_buf_puts(&out, "\"}\n"), &out);
    else
        cv_api_reply_error(r, &e);
    cv_api_ask_fini(&ask);
    cv_buf_fini(&text);
    cv_buf_fini(&out);
}

static void *api_main(void *arg)
{
    struct cv_api *a = arg;
    void *item;
    while (cv_queue_pop(a->queue, &item, -1) == CV_QUEUE_OK) {
        struct job *j = item;
        switch (j->what) {
        case DO_CHAT:
            generate(a, CV_ASK_CHAT, j->r);
            break;
        case DO_COMPLETION:
            generate(a, CV_ASK_COMPLETION, j->r);
            break;
        case DO_TOKENIZE:
            tokenize(a, j->r);
            break;
        case DO_DETOKENIZE:
            detokenize(a, j->r);
            break;
        case DO_TEMPLATE:
            apply_template(a, j->r);
            break;
        }
        cv_free(j);
    }
    return NULL;
}

/* ---- the HTTP loop ---- */

static void enqueue(struct cv_api *a, enum what what, struct cv_http_request *r)
{
    struct cv_api_error e;
    struct job *j = cv_alloc(sizeof(*j));
    if (j != NULL)
        *j = (struct job){.what = what, .r = r};
    if (j != NULL && cv_queue_push(a->queue, j, 0) == CV_QUEUE_OK)
        return;
    cv_free(j);
    cv_api_refuse(&e, 429, "rate_limit_exceeded", "too many requests at once");
    cv_api_reply_error(r, &e);
}

static bool is_authorized(const struct cv_api *a, struct cv_http_request *r)
{
    const char *key = a->o.api_key, *given = cv_http_header(r, "Authorization");
    if (key == NULL)
        return true;
    if (given != NULL && strncmp(given, "Bearer ", 7) == 0)
        given += 7;
    if (given == NULL)
        given = cv_http_header(r, "x-api-key");
    /* Hashes of both, so that the time to compare tells nothing about the key. */
    unsigned char want[CV_SHA256_BYTES], got[CV_SHA256_BYTES];
    return given != NULL && cv_sha256_once(key, strlen(key), want) && cv_sha256_once(given, strlen(given), got) &&
           cv_equal_ct(want, got, sizeof(want));
}

static void add_common_headers(struct cv_http_request *r)
{
    unsigned char random[12] = {0};
    char id[32] = "req_";
    (void)cv_random_bytes(random, sizeof(random));
    cv_hex_encode(random, sizeof(random), id + 4);
    cv_http_add_header(r, "x-request-id", id);
    const char *origin = cv_http_header(r, "Origin");
    if (origin != NULL) {
        cv_http_add_header(r, "Access-Control-Allow-Origin", origin);
        cv_http_add_header(r, "Vary", "Origin");
    }
}

static void answer_options(struct cv_http_request *r)
{
    const char *asked = cv_http_header(r, "Access-Control-Request-Headers");
    cv_http_add_header(r, "Access-Control-Allow-Methods", "GET, POST, OPTIONS, HEAD");
    cv_http_add_header(r, "Access-Control-Allow-Headers", asked != NULL ? asked : "*");
    cv_http_reply(r, 204, "text/plain", "", 0);
}

/* Why no request can be taken just now; false: one can. */
static bool not_ready(struct cv_api *a, struct cv_api_error *e)
{
    struct cv_life_view v;
    cv_life_look(a->o.life, &v);
    if (atomic_load(&a->draining) || v.state == CV_LIFE_DRAINING || v.state == CV_LIFE_ENDED) {
        cv_api_refuse(e, 503, "unavailable", "the server is stopping");
        return true;
    }
    if (v.state == CV_LIFE_SERVING)
        return false;
    if (v.state == CV_LIFE_LOADING)
        cv_api_refuse(e, 503, "unavailable", "Loading model: %.0f %% of its bytes are in place", v.progress * 100);
    else
        cv_api_refuse(e, 503, "unavailable", "Loading model: %s%s%.400s", cv_life_state_name(v.state),
                      v.text[0] == '\0' ? "" : ": ", v.text);
    return true;
}

static void answer_health(struct cv_api *a, struct cv_http_request *r)
{
    struct cv_api_error e;
    if (not_ready(a, &e))
        cv_api_reply_error(r, &e);
    else
        cv_http_reply(r, 200, "application/json", "{\"status\":\"ok\"}\n", 16);
}

static void answer_model(struct cv_api *a, struct cv_http_request *r, const char *id)
{
    struct cv_api_error e;
    struct cv_buf out;
    cv_buf_init(&out, 1 << 16);
    if (check_model(a, id, &e))
        reply_json(r, cv_api_model_json(a->o.model, &out), &out);
    else
        cv_api_reply_error(r, &e);
    cv_buf_fini(&out);
}

static void answer_info(struct cv_api *a, struct cv_http_request *r, const char *path)
{
    struct cv_buf out;
    cv_buf_init(&out, 16 << 20);
    if (strcmp(path, "/metrics") == 0) {
        if (cv_api_metrics(&a->o, &out))
            cv_http_reply(r, 200, "text/plain; version=0.0.4; charset=utf-8", out.data, out.len);
        else
            reply_json(r, false, &out);
    } else if (strcmp(path, "/api/cluster") == 0) {
        reply_json(r, cv_api_cluster_json(&a->o, &out), &out);
    } else if (strcmp(path, "/props") == 0) {
        reply_json(r, cv_api_props_json(a->o.model, &out), &out);
    } else {
        reply_json(r, cv_api_models_json(a->o.model, &out), &out);
    }
    cv_buf_fini(&out);
}

static void answer_root(struct cv_http_request *r)
{
    static const char page[] = "Caravan is running. The OpenAI-compatible API is under /v1: see /v1/models, /health, "
                               "/metrics, /api/cluster.\n";
    cv_http_reply(r, 200, "text/plain; charset=utf-8", page, sizeof(page) - 1);
}

struct route {
    const char *path;
    enum cv_http_method method;
    enum what what; /* of a POST */
};

static const struct route routes[] = {
    {"/v1/chat/completions", CV_HTTP_POST, DO_CHAT}, {"/chat/completions", CV_HTTP_POST, DO_CHAT},
    {"/v1/completions", CV_HTTP_POST, DO_COMPLETION}, {"/completions", CV_HTTP_POST, DO_COMPLETION},
    {"/tokenize", CV_HTTP_POST, DO_TOKENIZE},         {"/detokenize", CV_HTTP_POST, DO_DETOKENIZE},
    {"/apply-template", CV_HTTP_POST, DO_TEMPLATE},   {"/v1/models", CV_HTTP_GET, 0},
    {"/models", CV_HTTP_GET, 0},                      {"/metrics", CV_HTTP_GET, 0},
    {"/api/cluster", CV_HTTP_GET, 0},                 {"/props", CV_HTTP_GET, 0},
};

static const struct route *find_route(const char *path)
{
    for (size_t i = 0; i < CV_COUNT(routes); i++)
        if (strcmp(routes[i].path, path) == 0)
            return &routes[i];
    return NULL;
}

static void handle(void *ctx, struct cv_http_request *r)
{
    struct cv_api *a = ctx;
    struct cv_api_error e;
    const char *path = cv_http_path(r);
    enum cv_http_method method = cv_http_method(r);
    add_common_headers(r);
    if (method == CV_HTTP_OPTIONS) {
        answer_options(r);
        return;
    }
    if (method == CV_HTTP_HEAD)
        method = CV_HTTP_GET;
    if (strcmp(path, "/health") == 0 || strcmp(path, "/v1/health") == 0) {
        answer_health(a, r);
        return;
    }
    if (strcmp(path, "/") == 0) {
        answer_root(r);
        return;
    }
    if (!is_authorized(a, r)) {
        cv_api_refuse(&e, 401, "invalid_api_key", "%s", cv_http_header(r, "Authorization") == NULL
                                                            ? "this server wants an API key: send it as 'Authorization: Bearer KEY'"
                                                            : "the API key is not the one this server was started with");
        cv_api_reply_error(r, &e);
        return;
    }
    const struct route *route = find_route(path);
    if (route == NULL && strncmp(path, "/v1/models/", 11) == 0 && method == CV_HTTP_GET) {
        answer_model(a, r, path + 11);
    } else if (route == NULL) {
        cv_api_refuse(&e, 404, "not_found", "there is no %s %.200s here", cv_http_method_name(method), path);
        cv_api_reply_error(r, &e);
    } else if (route->method != method) {
        cv_api_refuse(&e, 405, "method_not_allowed", "%s wants %s, not %s", path, cv_http_method_name(route->method),
                      cv_http_method_name(method));
        cv_http_add_header(r, "Allow", cv_http_method_name(route->method));
        cv_api_reply_error(r, &e);
    } else if (method == CV_HTTP_GET) {
        answer_info(a, r, path);
    } else if ((route->what == DO_CHAT || route->what == DO_COMPLETION) && not_ready(a, &e)) {
        cv_api_reply_error(r, &e);
    } else {
        enqueue(a, route->what, r);
    }
}

/* ---- life ---- */

bool cv_api_open(struct cv_api **out, const struct cv_api_options *options, struct cv_error *err)
{
    struct cv_api *a = cv_zalloc(sizeof(*a));
    if (a == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "out of memory");
    a->o = *options;
    a->queue = cv_queue_new(QUEUED);
    a->started = a->queue != NULL && pthread_create(&a->thread, NULL, api_main, a) == 0;
    if (!a->started) {
        cv_api_close(a);
        return cv_fail(err, CV_ERR_NOMEM, "could not start a thread");
    }
    const struct cv_http_server_options server = {.address = options->address, .handler = handle, .ctx = a};
    if (!cv_http_server_open(&a->server, &server, err)) {
        cv_api_close(a);
        return false;
    }
    *out = a;
    return true;
}

const char *cv_api_address(const struct cv_api *a)
{
    return cv_http_server_address(a->server);
}

void cv_api_drain(struct cv_api *a)
{
    atomic_store(&a->draining, true);
}

void cv_api_stop(struct cv_api *a)
{
    if (a == NULL || !a->started)
        return;
    atomic_store(&a->draining, true);
    cv_queue_close(a->queue);
    pthread_join(a->thread, NULL);
    a->started = false;
}

void cv_api_close(struct cv_api *a)
{
    if (a == NULL)
        return;
    cv_api_stop(a);
    cv_http_server_close(a->server, 1000);
    cv_queue_free(a->queue);
    cv_free(a);
}
