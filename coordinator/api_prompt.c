/* api_prompt.c - from a request to the tokens of its prompt: through the chat template, or as given. */
#include <string.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "coordinator/api_ask.h"
#include "text/detokenize.h"

enum { VALUE_BYTES = 256 << 20 };

/* Texts of the parts, joined: templates know strings. */
static json_t *joined_parts(const json_t *content)
{
    struct cv_buf text;
    cv_buf_init(&text, CV_MAX_HTTP_BODY);
    bool ok = true;
    for (size_t i = 0; ok && i < json_array_size(content); i++) {
        const json_t *part = json_array_get(content, i);
        const json_t *s = json_object_get(part, json_string_value(json_object_get(part, "type")));
        ok = cv_buf_append(&text, json_string_value(s), json_string_length(s));
    }
    json_t *out = ok ? json_stringn(text.len > 0 ? text.data : "", text.len) : NULL;
    cv_buf_fini(&text);
    return out;
}

/* The name of the function that an earlier assistant message called under this id. */
static const json_t *name_of_call(const json_t *messages, size_t before, const char *id)
{
    for (size_t i = before; id != NULL && i-- > 0;) {
        const json_t *calls = json_object_get(json_array_get(messages, i), "tool_calls");
        for (size_t k = 0; k < json_array_size(calls); k++) {
            const json_t *call = json_array_get(calls, k);
            const char *its = json_string_value(json_object_get(call, "id"));
            if (its != NULL && strcmp(its, id) == 0)
                return json_object_get(json_object_get(call, "function"), "name");
        }
    }
    return NULL;
}

/* Arguments travel as a JSON text; templates want the object. A text that is none stays as it is. */
static void open_arguments(json_t *message)
{
    json_t *calls = json_object_get(message, "tool_calls");
    for (size_t i = 0; i < json_array_size(calls); i++) {
        json_t *function = json_object_get(json_array_get(calls, i), "function");
        const json_t *text = json_object_get(function, "arguments");
        json_t *object = json_is_string(text) ? json_loadb(json_string_value(text), json_string_length(text), 0, NULL) : NULL;
        if (object != NULL)
            (void)json_object_set_new(function, "arguments", object);
    }
}

/* A copy of the messages in the form that templates expect. */
static json_t *normal_messages(const json_t *messages)
{
    json_t *out = json_deep_copy(messages);
    for (size_t i = 0; i < json_array_size(out); i++) {
        json_t *m = json_array_get(out, i);
        const char *role = json_string_value(json_object_get(m, "role"));
        if (strcmp(role, "developer") == 0) /* role goes with the value it stands in */
            (void)json_object_set_new(m, "role", json_string("system"));
        else if (strcmp(role, "function") == 0)
            (void)json_object_set_new(m, "role", json_string("tool"));
        if (json_is_array(json_object_get(m, "content")))
            (void)json_object_set_new(m, "content", joined_parts(json_object_get(m, "content")));
        const json_t *name = name_of_call(out, i, json_string_value(json_object_get(m, "tool_call_id")));
        if (name != NULL && json_object_get(m, "name") == NULL)
            (void)json_object_set(m, "name", (json_t *)(uintptr_t)name);
        open_arguments(m);
    }
    return out;
}

/* The variables of a chat template. */
static json_t *template_globals(const struct cv_api_ask *a, const struct cv_served *m)
{
    const char *last = json_string_value(
        json_object_get(json_array_get(a->messages, json_array_size(a->messages) - 1), "role"));
    const json_t *ask = json_object_get(a->root, "add_generation_prompt");
    const bool begin = json_is_boolean(ask) ? json_is_true(ask) : strcmp(last, "assistant") != 0;
    json_t *g = json_object();
    if (a->template_kwargs != NULL)
        (void)json_object_update(g, (json_t *)(uintptr_t)a->template_kwargs);
    (void)json_object_set_new(g, "messages", normal_messages(a->messages));
    (void)json_object_set_new(g, "tools", json_array_size(a->tools) > 0 ? json_deep_copy(a->tools) : json_null());
    (void)json_object_set_new(g, "documents", json_null());
    (void)json_object_set_new(g, "add_generation_prompt", json_boolean(begin));
    (void)json_object_set_new(g, "bos_token", json_string(m->bos_text));
    (void)json_object_set_new(g, "eos_token", json_string(m->eos_text));
    return g;
}

bool cv_api_render(const struct cv_api_ask *a, const struct cv_served *m, struct cv_buf *out, struct cv_api_error *e)
{
    struct cv_values *values = NULL;
    struct cv_value globals;
    struct cv_error err;
    if (m->chat == NULL)
        return cv_api_bad(e, "messages", "%s", m->chat_why.msg);
    json_t *g = template_globals(a, m);
    const bool ok = cv_values_new(&values, VALUE_BYTES, &err) && cv_value_from_json(&globals, values, g, &err) &&
                    cv_template_render(m->chat, globals, cv_unix_s(), out, &err);
    cv_values_free(values);
    json_decref(g);
    if (ok)
        return true;
    cv_wrap(&err, "chat template");
    cv_api_from(e, &err);
    e->param = "messages";
    return false;
}

static bool starts_with(const struct cv_buf *text, const char *s)
{
    const size_t n = strlen(s);
    return n > 0 && text->len >= n && memcmp(text->data, s, n) == 0;
}

static bool chat_prompt(const struct cv_api_ask *a, const struct cv_served *m, struct cv_tokens *out, struct cv_buf *text,
                        struct cv_api_error *e)
{
    struct cv_buf own;
    cv_buf_init(&own, CV_MAX_TEMPLATE_OUTPUT);
    struct cv_error err;
    bool ok = cv_api_render(a, m, &own, e);
    /* Most templates write the beginning-of-text token themselves: it must not stand there twice. */
    const unsigned flags = CV_PARSE_SPECIAL | (starts_with(&own, m->bos_text) ? 0 : CV_ADD_SPECIAL);
    if (ok && !cv_tokenize(m->vocab, own.len > 0 ? own.data : "", own.len, flags, out, &err))
        ok = cv_api_from(e, &err);
    if (ok && text != NULL && !cv_buf_append(text, own.data, own.len))
        ok = cv_api_refuse(e, 500, NULL, "out of memory");
    cv_buf_fini(&own);
    return ok;
}

static bool token_prompt(const json_t *list, const struct cv_served *m, struct cv_tokens *out, struct cv_api_error *e)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_int_t id = json_integer_value(json_array_get(list, i));
        if (id < 0 || id >= m->hparams.n_vocab)
            return cv_api_bad(e, "prompt", "'prompt' has token %lld, the vocabulary has %u", (long long)id, m->hparams.n_vocab);
        if (!cv_tokens_push(out, (int32_t)id))
            return cv_api_refuse(e, 500, NULL, "out of memory");
    }
    return true;
}

bool cv_api_prompt(const struct cv_api_ask *a, uint32_t i, const struct cv_served *m, struct cv_tokens *out,
                   struct cv_buf *text, struct cv_api_error *e)
{
    bool ok;
    struct cv_error err;
    if (a->kind == CV_ASK_CHAT) {
        ok = chat_prompt(a, m, out, text, e);
    } else {
        const bool one = json_is_string(a->prompt) || json_is_integer(json_array_get(a->prompt, 0));
        const json_t *p = one ? a->prompt : json_array_get(a->prompt, i);
        if (json_is_string(p)) {
            ok = cv_tokenize(m->vocab, json_string_value(p), json_string_length(p), CV_ADD_SPECIAL | CV_PARSE_SPECIAL, out, &err) ||
                 cv_api_from(e, &err);
            if (ok && text != NULL && !cv_buf_append(text, json_string_value(p), json_string_length(p)))
                ok = cv_api_refuse(e, 500, NULL, "out of memory");
        } else {
            ok = token_prompt(p, m, out, e);
            if (ok && text != NULL && !cv_detokenize(m->vocab, out->id, out->n, CV_RENDER_SPECIAL, text))
                ok = cv_api_refuse(e, 500, NULL, "out of memory");
        }
    }
    if (!ok)
        return false;
    const char *param = a->kind == CV_ASK_CHAT ? "messages" : "prompt";
    if (out->n == 0)
        return cv_api_bad(e, param, "the prompt is empty");
    if (out->n > m->n_ctx) {
        cv_api_refuse(e, 400, "context_length_exceeded",
                      "the prompt has %zu tokens, and the context holds %u: shorten it, or serve with a larger --ctx", out->n,
                      m->n_ctx);
        e->param = param;
        e->n_prompt = (unsigned)out->n;
        e->n_ctx = m->n_ctx;
        return false;
    }
    return true;
}

struct cv_gen *cv_api_gen(const struct cv_api_ask *a, struct cv_tokens *prompt)
{
    struct cv_gen *g = cv_gen_new();
    if (g == NULL)
        return NULL;
    g->n_choices = a->n_choices;
    g->max_tokens = a->max_tokens;
    g->logprobs = a->logprobs;
    g->n_top_logprobs = a->n_top_logprobs;
    g->sampling = a->sampling;
    g->stop = cv_calloc(a->n_stop, sizeof(*g->stop));
    g->bias = cv_calloc(a->sampling.n_bias, sizeof(*g->bias));
    g->breaker = cv_calloc(a->sampling.n_dry_breaker, sizeof(*g->breaker));
    bool ok = g->stop != NULL && g->bias != NULL && g->breaker != NULL;
    for (; ok && g->n_stop < a->n_stop; g->n_stop++)
        ok = (g->stop[g->n_stop] = cv_strdup(a->stop[g->n_stop])) != NULL;
    /* The request's own strings go with its body; the server's defaults stay. */
    for (; ok && a->breaker != NULL && g->n_breaker < a->sampling.n_dry_breaker; g->n_breaker++)
        ok = (g->breaker[g->n_breaker] = cv_strdup(a->breaker[g->n_breaker])) != NULL;
    if (!ok) {
        cv_gen_free(g);
        return NULL;
    }
    if (a->sampling.n_bias > 0)
        memcpy(g->bias, a->bias, a->sampling.n_bias * sizeof(*g->bias));
    g->sampling.bias = g->bias;
    if (a->breaker != NULL)
        g->sampling.dry_breaker = (const char *const *)g->breaker;
    g->prompt = prompt->id;
    g->n_prompt = (uint32_t)prompt->n;
    *prompt = (struct cv_tokens){0};
    return g;
}
