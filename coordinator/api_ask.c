#include "coordinator/api_ask.h"

#include <math.h>
#include <string.h>

#include <jansson.h>

#include "base/limits.h"
#include "base/mem.h"

/* ---- one field at a time; absent and null leave *out alone ---- */

static const json_t *field(const struct cv_api_ask *a, const char *name)
{
    const json_t *v = json_object_get(a->root, name);
    return v == NULL || json_is_null(v) ? NULL : v;
}

static bool get_bool(const struct cv_api_ask *a, const char *name, bool *out, struct cv_api_error *e)
{
    const json_t *v = field(a, name);
    if (v != NULL && !json_is_boolean(v))
        return cv_api_bad(e, name, "'%s' must be true or false", name);
    if (v != NULL)
        *out = json_is_true(v);
    return true;
}

static bool get_number(const struct cv_api_ask *a, const char *name, double least, double most, double *out,
                       struct cv_api_error *e)
{
    const json_t *v = field(a, name);
    if (v == NULL)
        return true;
    if (!json_is_number(v))
        return cv_api_bad(e, name, "'%s' must be a number", name);
    const double d = json_number_value(v);
    if (!(d >= least && d <= most))
        return cv_api_bad(e, name, "'%s' must be between %g and %g, and is %g", name, least, most, d);
    *out = d;
    return true;
}

static bool get_int(const struct cv_api_ask *a, const char *name, int64_t least, int64_t most, int64_t *out,
                    struct cv_api_error *e)
{
    const json_t *v = field(a, name);
    if (v == NULL)
        return true;
    const double d = json_is_number(v) ? json_number_value(v) : NAN;
    if (!(floor(d) == d) || fabs(d) > 9e15)
        return cv_api_bad(e, name, "'%s' must be a whole number", name);
    const int64_t i = json_is_integer(v) ? json_integer_value(v) : (int64_t)d;
    if (i < least || i > most)
        return cv_api_bad(e, name, "'%s' must be between %lld and %lld, and is %lld", name, (long long)least,
                          (long long)most, (long long)i);
    *out = i;
    return true;
}

static bool get_i32(const struct cv_api_ask *a, const char *name, int32_t least, int32_t *out, struct cv_api_error *e)
{
    int64_t v = *out;
    if (!get_int(a, name, least, INT32_MAX, &v, e))
        return false;
    *out = (int32_t)v;
    return true;
}

/* ---- groups of fields ---- */

static bool read_numbers(struct cv_api_ask *a, struct cv_api_error *e)
{
    struct cv_sampling *s = &a->sampling;
    const double most = 1e9;
    struct {
        const char *name;
        double least, most, *to;
    } number[] = {
        {"temperature", -most, 100, &s->temperature},
        {"dynatemp_range", 0, 100, &s->dynatemp_range},
        {"dynatemp_exponent", -100, 100, &s->dynatemp_exponent},
        {"top_p", 0, 1, &s->top_p},
        {"min_p", 0, 1, &s->min_p},
        {"typical_p", 0, 1, &s->typical_p},
        {"top_n_sigma", -most, most, &s->top_n_sigma},
        {"xtc_probability", 0, 1, &s->xtc_probability},
        {"xtc_threshold", 0, 1, &s->xtc_threshold},
        {"repeat_penalty", 1e-6, 1000, &s->repeat_penalty},
        {"frequency_penalty", -100, 100, &s->frequency_penalty},
        {"presence_penalty", -100, 100, &s->presence_penalty},
        {"dry_multiplier", 0, most, &s->dry_multiplier},
        {"dry_base", 0, most, &s->dry_base},
        {"mirostat_tau", 0, most, &s->mirostat_tau},
        {"mirostat_eta", 0, most, &s->mirostat_eta},
        {"adaptive_target", -most, 1, &s->adaptive_target},
        {"adaptive_decay", 0, 0.99, &s->adaptive_decay},
    };
    for (size_t i = 0; i < CV_COUNT(number); i++)
        if (!get_number(a, number[i].name, number[i].least, number[i].most, number[i].to, e))
            return false;
    struct {
        const char *name;
        int32_t least, *to;
    } whole[] = {
        {"top_k", INT32_MIN, &s->top_k},
        {"repeat_last_n", -1, &s->repeat_last_n},
        {"dry_allowed_length", 0, &s->dry_allowed_length},
        {"dry_penalty_last_n", -1, &s->dry_penalty_last_n},
        {"mirostat", 0, &s->mirostat},
        {"min_keep", 0, &s->min_keep},
    };
    for (size_t i = 0; i < CV_COUNT(whole); i++)
        if (!get_i32(a, whole[i].name, whole[i].least, whole[i].to, e))
            return false;
    int64_t seed = -1;
    if (!get_int(a, "seed", INT64_MIN, INT64_MAX, &seed, e) || !get_bool(a, "ignore_eos", &s->ignore_eos, e))
        return false;
    if (seed != -1) {
        s->has_seed = true;
        s->seed = (uint32_t)(uint64_t)seed;
    }
    return true;
}

static bool read_limits(struct cv_api_ask *a, uint32_t n_slots, struct cv_api_error *e)
{
    int64_t n = 1, most = -1, top = 0, best_of;
    if (!get_int(a, "n", 1, CV_MAX_CHOICES, &n, e) || !get_int(a, "max_tokens", -1, INT32_MAX, &most, e) ||
        !get_int(a, "max_completion_tokens", -1, INT32_MAX, &most, e) ||
        !get_int(a, "n_predict", -1, INT32_MAX, &most, e))
        return false;
    if (n > n_slots)
        return cv_api_bad(e, "n", "'n' is %d, and this server runs %u sequences at once", (int)n, n_slots);
    best_of = n;
    if (!get_int(a, "best_of", 1, CV_MAX_CHOICES, &best_of, e))
        return false;
    if (best_of != n)
        return cv_api_bad(e, "best_of", "'best_of' other than 'n' is not supported");
    a->n_choices = (uint32_t)n;
    a->max_tokens = most < 0 ? UINT32_MAX : (uint32_t)most;
    if (a->kind == CV_ASK_CHAT) {
        if (!get_bool(a, "logprobs", &a->logprobs, e) || !get_int(a, "top_logprobs", 0, 20, &top, e))
            return false;
        if (top > 0 && !a->logprobs)
            return cv_api_bad(e, "top_logprobs", "'top_logprobs' needs 'logprobs': true");
    } else {
        a->logprobs = field(a, "logprobs") != NULL;
        if (!get_int(a, "logprobs", 0, 5, &top, e))
            return false;
    }
    a->n_top_logprobs = (uint32_t)top;
    return true;
}

static bool read_stop(struct cv_api_ask *a, struct cv_api_error *e)
{
    const json_t *v = field(a, "stop");
    if (v == NULL)
        return true;
    const size_t n = json_is_string(v) ? 1 : json_array_size(v);
    if (!json_is_string(v) && !json_is_array(v))
        return cv_api_bad(e, "stop", "'stop' must be a string or a list of strings");
    if (n > CV_MAX_STOP_STRINGS)
        return cv_api_bad(e, "stop", "'stop' has %zu strings, at most %u are possible", n, CV_MAX_STOP_STRINGS);
    a->stop = cv_calloc(n, sizeof(*a->stop));
    if (a->stop == NULL)
        return cv_api_refuse(e, 500, NULL, "out of memory");
    for (size_t i = 0; i < n; i++) {
        const json_t *s = json_is_string(v) ? v : json_array_get(v, i);
        if (!json_is_string(s))
            return cv_api_bad(e, "stop", "'stop' must be a string or a list of strings");
        if (json_string_length(s) > CV_MAX_STOP_BYTES || memchr(json_string_value(s), 0, json_string_length(s)) != NULL)
            return cv_api_bad(e, "stop", "a stop string is at most %u bytes and has no NUL", CV_MAX_STOP_BYTES);
        if (json_string_length(s) > 0)
            a->stop[a->n_stop++] = json_string_value(s);
    }
    return true;
}

static bool add_bias(struct cv_api_ask *a, size_t *cap, int32_t id, float bias, struct cv_api_error *e)
{
    if (a->sampling.n_bias == CV_MAX_BIAS)
        return cv_api_bad(e, "logit_bias", "'logit_bias' names more than %d tokens", CV_MAX_BIAS);
    if (a->sampling.n_bias == *cap) {
        const size_t more = *cap == 0 ? 16 : *cap * 2;
        struct cv_bias *p = cv_realloc(a->bias, more, sizeof(*p));
        if (p == NULL)
            return cv_api_refuse(e, 500, NULL, "out of memory");
        a->bias = p;
        *cap = more;
    }
    a->bias[a->sampling.n_bias++] = (struct cv_bias){.id = id, .bias = bias};
    a->sampling.bias = a->bias;
    return true;
}

/* key is an id (as number or decimal text) or a text all of whose tokens get the bias. */
static bool bias_one(struct cv_api_ask *a, size_t *cap, const json_t *number, const char *text, const json_t *value,
                     const struct cv_ask_limits *l, struct cv_api_error *e)
{
    if (!json_is_number(value) && !json_is_false(value))
        return cv_api_bad(e, "logit_bias", "a bias is a number, or false for never");
    const double d = json_is_false(value) ? -INFINITY : json_number_value(value);
    if (json_is_number(value) && !(d >= -1e6 && d <= 1e6))
        return cv_api_bad(e, "logit_bias", "a bias is between -100 and 100, and here is %g", d);
    long long id = -1;
    bool by_id = number != NULL;
    if (by_id) {
        id = json_integer_value(number);
    } else if (text[0] != '\0' && strspn(text, "0123456789") == strlen(text) && strlen(text) < 10) {
        id = strtoll(text, NULL, 10);
        by_id = true;
    }
    if (by_id) {
        if (id < 0 || id >= l->n_vocab)
            return cv_api_bad(e, "logit_bias", "'logit_bias' names token %lld, the vocabulary has %u", id, l->n_vocab);
        return add_bias(a, cap, (int32_t)id, (float)d, e);
    }
    struct cv_tokens t = {0};
    struct cv_error err;
    bool ok = cv_tokenize(l->vocab, text, strlen(text), 0, &t, &err) || cv_api_from(e, &err);
    for (size_t i = 0; ok && i < t.n; i++)
        ok = add_bias(a, cap, t.id[i], (float)d, e);
    cv_tokens_free(&t);
    return ok;
}

static bool read_bias(struct cv_api_ask *a, const struct cv_ask_limits *l, struct cv_api_error *e)
{
    const json_t *v = field(a, "logit_bias");
    size_t cap = 0;
    if (v == NULL)
        return true;
    if (json_is_object(v)) {
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)(uintptr_t)v, key, value) if (!bias_one(a, &cap, NULL, key, value, l, e)) return false;
        return true;
    }
    if (!json_is_array(v))
        return cv_api_bad(e, "logit_bias", "'logit_bias' must be an object of token ids and numbers");
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *pair = json_array_get(v, i), *key = json_array_get(pair, 0);
        if (json_array_size(pair) != 2 || (!json_is_integer(key) && !json_is_string(key)))
            return cv_api_bad(e, "logit_bias", "'logit_bias' as a list has pairs of a token and a number");
        if (!bias_one(a, &cap, json_is_integer(key) ? key : NULL, json_string_value(key), json_array_get(pair, 1), l, e))
            return false;
    }
    return true;
}

static bool read_chain(struct cv_api_ask *a, struct cv_api_error *e)
{
    const json_t *v = field(a, "samplers");
    struct cv_sampling *s = &a->sampling;
    if (v == NULL)
        return true;
    const size_t n = json_is_string(v) ? json_string_length(v) : json_array_size(v);
    if (!json_is_string(v) && !json_is_array(v))
        return cv_api_bad(e, "samplers", "'samplers' must be a list of names or a string of letters");
    if (n > CV_MAX_CHAIN)
        return cv_api_bad(e, "samplers", "'samplers' has %zu entries, at most %d are possible", n, CV_MAX_CHAIN);
    s->n_chain = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *name = json_is_array(v) ? json_array_get(v, i) : NULL;
        const unsigned kind = name == NULL            ? cv_sampler_by_letter(json_string_value(v)[i])
                              : json_is_string(name) ? cv_sampler_by_name(json_string_value(name), json_string_length(name))
                                                     : 0;
        if (kind == 0)
            return cv_api_bad(e, "samplers", "'samplers': entry %zu is no sampler that is known here", i);
        s->chain[s->n_chain++] = (uint8_t)kind;
    }
    return true;
}

static bool read_breakers(struct cv_api_ask *a, struct cv_api_error *e)
{
    const json_t *v = field(a, "dry_sequence_breakers");
    if (v == NULL)
        return true;
    const size_t n = json_array_size(v);
    if (n == 0 || n > CV_MAX_BREAKERS)
        return cv_api_bad(e, "dry_sequence_breakers", "'dry_sequence_breakers' must be a list of 1 to %d strings", CV_MAX_BREAKERS);
    a->breaker = cv_calloc(n, sizeof(*a->breaker));
    if (a->breaker == NULL)
        return cv_api_refuse(e, 500, NULL, "out of memory");
    for (size_t i = 0; i < n; i++) {
        a->breaker[i] = json_string_value(json_array_get(v, i));
        if (a->breaker[i] == NULL)
            return cv_api_bad(e, "dry_sequence_breakers", "'dry_sequence_breakers' must be a list of strings");
    }
    a->sampling.dry_breaker = a->breaker;
    a->sampling.n_dry_breaker = n;
    return true;
}

/* What we know and cannot do (yet) is refused by name, so that nobody believes it was done. */
static bool refuse_unsupported(const struct cv_api_ask *a, struct cv_api_error *e)
{
    static const char *const absent_only[] = {"suffix",    "audio",     "functions",   "function_call", "grammar",
                                              "json_schema", "web_search_options", "prefix"};
    for (size_t i = 0; i < CV_COUNT(absent_only); i++)
        if (field(a, absent_only[i]) != NULL)
            return cv_api_bad(e, absent_only[i], "'%s' is not supported here", absent_only[i]);
    const json_t *format = field(a, "response_format");
    const char *type = json_string_value(json_object_get(format, "type"));
    if (format != NULL && (type == NULL || strcmp(type, "text") != 0))
        return cv_api_bad(e, "response_format", "'response_format' of type '%.40s' is not supported here: only 'text'",
                          type == NULL ? "?" : type);
    const json_t *choice = field(a, "tool_choice");
    const char *which = json_string_value(choice);
    if (choice != NULL && (which == NULL || (strcmp(which, "auto") != 0 && strcmp(which, "none") != 0)))
        return cv_api_bad(e, "tool_choice", "'tool_choice' can be 'auto' or 'none' here");
    const json_t *modalities = field(a, "modalities");
    if (modalities != NULL && (json_array_size(modalities) != 1 || json_string_value(json_array_get(modalities, 0)) == NULL ||
                               strcmp(json_string_value(json_array_get(modalities, 0)), "text") != 0))
        return cv_api_bad(e, "modalities", "'modalities' can only be [\"text\"] here");
    return true;
}

/* ---- messages ---- */

/* A message's content: text, or parts that are all text. */
static bool check_content(const json_t *content, size_t i, struct cv_api_error *e)
{
    if (content == NULL || json_is_null(content) || json_is_string(content))
        return true;
    if (!json_is_array(content))
        return cv_api_bad(e, "messages", "messages[%zu].content must be a string or a list of parts", i);
    for (size_t k = 0; k < json_array_size(content); k++) {
        const json_t *part = json_array_get(content, k);
        const char *type = json_string_value(json_object_get(part, "type"));
        if (type == NULL || (strcmp(type, "text") != 0 && strcmp(type, "refusal") != 0))
            return cv_api_bad(e, "messages", "messages[%zu].content[%zu]: parts of type '%.40s' are not supported by this model",
                              i, k, type == NULL ? "?" : type);
        if (!json_is_string(json_object_get(part, type)))
            return cv_api_bad(e, "messages", "messages[%zu].content[%zu].%s must be a string", i, k, type);
    }
    return true;
}

static bool check_messages(struct cv_api_ask *a, struct cv_api_error *e)
{
    static const char *const role_name[] = {"developer", "system", "user", "assistant", "tool", "function"};
    const json_t *v = field(a, "messages");
    const size_t n = json_array_size(v);
    if (!json_is_array(v) || n == 0)
        return cv_api_bad(e, "messages", "'messages' must be a list with at least one message");
    if (n > CV_MAX_MESSAGES)
        return cv_api_bad(e, "messages", "'messages' has %zu entries, at most %u are possible", n, CV_MAX_MESSAGES);
    for (size_t i = 0; i < n; i++) {
        const json_t *m = json_array_get(v, i), *content = json_object_get(m, "content");
        const char *role = json_string_value(json_object_get(m, "role"));
        bool known = false;
        for (size_t k = 0; role != NULL && k < CV_COUNT(role_name); k++)
            known = known || strcmp(role, role_name[k]) == 0;
        if (!known)
            return cv_api_bad(e, "messages", "messages[%zu].role must be system, developer, user, assistant or tool", i);
        const bool assistant = strcmp(role, "assistant") == 0;
        if ((content == NULL || json_is_null(content)) && !(assistant && json_is_array(json_object_get(m, "tool_calls"))))
            return cv_api_bad(e, "messages", "messages[%zu] (%s) has no content", i, role);
        if (!check_content(content, i, e))
            return false;
    }
    a->messages = v;
    a->tools = field(a, "tools");
    if (a->tools != NULL && !json_is_array(a->tools))
        return cv_api_bad(e, "tools", "'tools' must be a list");
    for (size_t i = 0; i < json_array_size(a->tools); i++) {
        const json_t *function = json_object_get(json_array_get(a->tools, i), "function");
        if (json_string_value(json_object_get(function, "name")) == NULL)
            return cv_api_bad(e, "tools", "tools[%zu] must be a function with a name", i);
    }
    const char *choice = json_string_value(field(a, "tool_choice"));
    if (choice != NULL && strcmp(choice, "none") == 0)
        a->tools = NULL;
    a->template_kwargs = field(a, "chat_template_kwargs");
    if (a->template_kwargs != NULL && !json_is_object(a->template_kwargs))
        return cv_api_bad(e, "chat_template_kwargs", "'chat_template_kwargs' must be an object");
    return true;
}

static bool is_token_list(const json_t *v)
{
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!json_is_integer(json_array_get(v, i)))
            return false;
    return json_array_size(v) > 0;
}

static bool check_prompt(struct cv_api_ask *a, struct cv_api_error *e)
{
    const json_t *v = field(a, "prompt");
    if (v == NULL)
        return cv_api_bad(e, "prompt", "'prompt' is missing");
    bool ok = json_is_string(v) || is_token_list(v);
    if (!ok && json_array_size(v) > 0) {
        ok = true;
        for (size_t i = 0; ok && i < json_array_size(v); i++)
            ok = json_is_string(json_array_get(v, i)) || is_token_list(json_array_get(v, i));
    }
    if (!ok)
        return cv_api_bad(e, "prompt", "'prompt' must be a string, a list of strings, a list of token ids, or a list of such lists");
    a->prompt = v;
    if (cv_api_n_prompts(a) > CV_MAX_CHOICES)
        return cv_api_bad(e, "prompt", "at most %u prompts in one request", CV_MAX_CHOICES);
    if (!get_bool(a, "echo", &a->echo, e))
        return false;
    if (a->echo && a->logprobs)
        return cv_api_bad(e, "echo", "'echo' together with 'logprobs' is not supported here");
    return true;
}

uint32_t cv_api_n_prompts(const struct cv_api_ask *a)
{
    if (a->kind == CV_ASK_CHAT || json_is_string(a->prompt) || is_token_list(a->prompt))
        return 1;
    const size_t n = json_array_size(a->prompt);
    return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

bool cv_api_ask_read(struct cv_api_ask *out, enum cv_ask_kind kind, const void *body, size_t len,
                     const struct cv_ask_limits *l, struct cv_api_error *e)
{
    *out = (struct cv_api_ask){.kind = kind, .sampling = *l->defaults};
    json_error_t why;
    out->root = json_loadb(body, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    if (out->root == NULL)
        return cv_api_bad(e, NULL, "the body is not JSON: line %d, column %d: %s", why.line, why.column, why.text);
    if (!json_is_object(out->root))
        return cv_api_bad(e, NULL, "the body must be a JSON object");
    const json_t *model = field(out, "model"), *options = field(out, "stream_options");
    if (model != NULL && !json_is_string(model))
        return cv_api_bad(e, "model", "'model' must be a string");
    out->model = json_string_value(model);
    if (options != NULL && !json_is_object(options))
        return cv_api_bad(e, "stream_options", "'stream_options' must be an object");
    const json_t *usage = json_object_get(options, "include_usage");
    if (usage != NULL && !json_is_null(usage) && !json_is_boolean(usage))
        return cv_api_bad(e, "stream_options", "'stream_options.include_usage' must be true or false");
    out->include_usage = json_is_true(usage);
    if (!get_bool(out, "stream", &out->stream, e) || !refuse_unsupported(out, e) || !read_numbers(out, e) ||
        !read_limits(out, l->n_slots, e) || !read_stop(out, e) || !read_bias(out, l, e) || !read_chain(out, e) ||
        !read_breakers(out, e) || !(kind == CV_ASK_CHAT ? check_messages(out, e) : check_prompt(out, e)))
        return false;
    const char *param = NULL;
    struct cv_error err;
    if (!cv_sampling_check(&out->sampling, l->n_vocab, &param, &err))
        return cv_api_bad(e, param, "%s", err.msg);
    return true;
}

void cv_api_ask_fini(struct cv_api_ask *a)
{
    json_decref(a->root);
    cv_free(a->bias);
    cv_free((void *)a->breaker);
    cv_free((void *)a->stop);
    *a = (struct cv_api_ask){0};
}
