/* api_ask_test.c - bodies of requests: what is taken, what is refused and with which words, what becomes of a prompt. */
#include "coordinator/api_ask.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "tests/check/check.h"
#include "tests/coordinator/served.h"

static struct cv_served served;
static struct cv_sampling defaults;

static bool read_bytes(struct cv_api_ask *a, enum cv_ask_kind kind, const char *body, size_t n, struct cv_api_error *e)
{
    const struct cv_ask_limits limits = {
        .n_slots = SERVED_SLOTS, .n_vocab = served.hparams.n_vocab, .vocab = served.vocab, .defaults = &defaults};
    *e = (struct cv_api_error){0};
    return cv_api_ask_read(a, kind, body, n, &limits, e);
}

/* rest: further fields, with the comma in front. */
static bool read_chat(struct cv_api_ask *a, const char *rest, struct cv_api_error *e)
{
    char body[4096];
    const int n = snprintf(body, sizeof(body), "{\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]%s}", rest);
    return read_bytes(a, CV_ASK_CHAT, body, (size_t)n, e);
}

static bool read_completion(struct cv_api_ask *a, const char *rest, struct cv_api_error *e)
{
    char body[4096];
    const int n = snprintf(body, sizeof(body), "{\"prompt\":\"hello\"%s}", rest);
    return read_bytes(a, CV_ASK_COMPLETION, body, (size_t)n, e);
}

struct refusal {
    const char *rest, *param, *words;
};

static void check_refusals(bool chat, const struct refusal *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct cv_api_ask a;
        struct cv_api_error e;
        const bool ok = chat ? read_chat(&a, r[i].rest, &e) : read_completion(&a, r[i].rest, &e);
        cv_api_ask_fini(&a);
        if (ok)
            printf("     taken: %s\n", r[i].rest);
        CHECK(!ok);
        CHECK_EQ(e.status, 400);
        if (e.param == NULL || strcmp(e.param, r[i].param) != 0)
            printf("     %s\n", r[i].rest);
        CHECK_STR(e.param, r[i].param);
        CHECK_CONTAINS(e.message, r[i].words);
    }
}

static void test_every_wrong_field_is_refused_by_name(void)
{
    static const struct refusal both[] = {
        {",\"temperature\":\"hot\"", "temperature", "number"},
        {",\"temperature\":101", "temperature", "between"},
        {",\"top_p\":1.5", "top_p", "between 0 and 1"},
        {",\"top_p\":-0.1", "top_p", "between 0 and 1"},
        {",\"min_p\":2", "min_p", "between"},
        {",\"top_k\":1.5", "top_k", "whole number"},
        {",\"top_k\":\"3\"", "top_k", "whole number"},
        {",\"top_k\":1e300", "top_k", "whole number"},
        {",\"presence_penalty\":true", "presence_penalty", "number"},
        {",\"repeat_penalty\":0", "repeat_penalty", "between"},
        {",\"max_tokens\":-2", "max_tokens", "between"},
        {",\"max_tokens\":1.25", "max_tokens", "whole"},
        {",\"max_tokens\":99999999999", "max_tokens", "between"},
        {",\"n\":0", "n", "between"},
        {",\"n\":5", "n", "4 sequences"},
        {",\"n\":1000", "n", "between"},
        {",\"best_of\":2", "best_of", "not supported"},
        {",\"seed\":\"x\"", "seed", "whole"},
        {",\"stream\":1", "stream", "true or false"},
        {",\"stream_options\":[]", "stream_options", "object"},
        {",\"stream_options\":{\"include_usage\":1}", "stream_options", "true or false"},
        {",\"stop\":5", "stop", "string or a list"},
        {",\"stop\":[\"a\",5]", "stop", "list of strings"},
        {",\"stop\":{\"a\":1}", "stop", "string or a list"},
        {",\"stop\":\"a\\u0000b\"", "stop", "NUL"},
        {",\"logit_bias\":5", "logit_bias", "object"},
        {",\"logit_bias\":{\"5\":\"x\"}", "logit_bias", "number"},
        {",\"logit_bias\":{\"99999\":1}", "logit_bias", "vocabulary"},
        {",\"logit_bias\":[[-1,1]]", "logit_bias", "vocabulary"},
        {",\"logit_bias\":[[1]]", "logit_bias", "pairs"},
        {",\"logit_bias\":[[1.5,1]]", "logit_bias", "pairs"},
        {",\"logit_bias\":[1,2]", "logit_bias", "pairs"},
        {",\"logit_bias\":{\"5\":1e300}", "logit_bias", "between"},
        {",\"samplers\":5", "samplers", "list of names"},
        {",\"samplers\":[\"sorcery\"]", "samplers", "entry 0"},
        {",\"samplers\":[5]", "samplers", "entry 0"},
        {",\"samplers\":\"k?\"", "samplers", "entry 1"},
        {",\"dry_sequence_breakers\":[]", "dry_sequence_breakers", "list"},
        {",\"dry_sequence_breakers\":[1]", "dry_sequence_breakers", "list of strings"},
        {",\"model\":5", "model", "string"},
        {",\"response_format\":{\"type\":\"json_object\"}", "response_format", "json_object"},
        {",\"response_format\":5", "response_format", "not supported"},
        {",\"suffix\":\"x\"", "suffix", "not supported"},
        {",\"grammar\":\"root ::= x\"", "grammar", "not supported"},
        {",\"tool_choice\":\"required\"", "tool_choice", "auto"},
        {",\"tool_choice\":{\"type\":\"function\"}", "tool_choice", "auto"},
        {",\"modalities\":[\"audio\"]", "modalities", "text"},
    };
    check_refusals(true, both, CV_COUNT(both));
    check_refusals(false, both, CV_COUNT(both));
    static const struct refusal chat[] = {
        {",\"logprobs\":3", "logprobs", "true or false"},
        {",\"top_logprobs\":3", "top_logprobs", "needs 'logprobs'"},
        {",\"logprobs\":true,\"top_logprobs\":21", "top_logprobs", "between 0 and 20"},
        {",\"tools\":5", "tools", "list"},
        {",\"tools\":[5]", "tools", "tools[0]"},
        {",\"tools\":[{\"type\":\"function\",\"function\":{}}]", "tools", "name"},
        {",\"chat_template_kwargs\":5", "chat_template_kwargs", "object"},
    };
    check_refusals(true, chat, CV_COUNT(chat));
    static const struct refusal text[] = {
        {",\"logprobs\":true", "logprobs", "whole"},
        {",\"logprobs\":6", "logprobs", "between 0 and 5"},
        {",\"echo\":5", "echo", "true or false"},
        {",\"echo\":true,\"logprobs\":1", "echo", "not supported"},
    };
    check_refusals(false, text, CV_COUNT(text));
}

static void test_the_fields_arrive(void)
{
    struct cv_api_ask a;
    struct cv_api_error e;
    CHECK(read_chat(&a,
                    ",\"temperature\":0.5,\"top_p\":0.25,\"top_k\":7,\"min_p\":0.125,\"seed\":42,\"n\":3,\"stream\":true,"
                    "\"stream_options\":{\"include_usage\":true},\"stop\":[\"a\",\"\",\"bc\"],\"max_tokens\":9,"
                    "\"max_completion_tokens\":11,\"logprobs\":true,\"top_logprobs\":5,\"model\":\"small\","
                    "\"presence_penalty\":0.5,\"frequency_penalty\":-0.5,\"repeat_penalty\":1.25,\"samplers\":\"kt\","
                    "\"logit_bias\":{\"5\":1.5,\"6\":false},\"user\":\"somebody\",\"unheard_of\":{\"a\":[1]}",
                    &e));
    CHECK(a.sampling.temperature == 0.5 && a.sampling.top_p == 0.25 && a.sampling.top_k == 7 && a.sampling.min_p == 0.125);
    CHECK(a.sampling.has_seed && a.sampling.seed == 42);
    CHECK_EQ(a.n_choices, 3);
    CHECK(a.stream && a.include_usage && a.logprobs);
    CHECK_EQ(a.n_top_logprobs, 5);
    CHECK_EQ(a.n_stop, 2); /* an empty one never matches */
    CHECK_STR(a.stop[1], "bc");
    CHECK_EQ(a.max_tokens, 11);
    CHECK_STR(a.model, "small");
    CHECK(a.sampling.presence_penalty == 0.5 && a.sampling.frequency_penalty == -0.5 && a.sampling.repeat_penalty == 1.25);
    CHECK_EQ(a.sampling.n_chain, 2);
    CHECK_EQ(a.sampling.chain[0], CV_SAMPLER_TOP_K);
    CHECK_EQ(a.sampling.n_bias, 2);
    float sum = 0;
    bool never = false;
    for (size_t i = 0; i < 2; i++) {
        never = never || isinf(a.sampling.bias[i].bias);
        sum += isinf(a.sampling.bias[i].bias) ? 0 : a.sampling.bias[i].bias;
    }
    CHECK(never && sum == 1.5f);
    cv_api_ask_fini(&a);
}

static void test_null_and_absence_are_the_defaults(void)
{
    struct cv_api_ask a;
    struct cv_api_error e;
    CHECK(read_chat(&a,
                    ",\"temperature\":null,\"top_p\":null,\"stop\":null,\"n\":null,\"max_tokens\":null,\"seed\":null,"
                    "\"logit_bias\":null,\"stream\":null,\"stream_options\":null,\"tools\":null,\"response_format\":null",
                    &e));
    CHECK(a.sampling.temperature == defaults.temperature && a.sampling.top_p == defaults.top_p);
    CHECK(!a.sampling.has_seed && !a.stream && a.n_choices == 1 && a.n_stop == 0);
    CHECK_EQ(a.max_tokens, UINT32_MAX);
    cv_api_ask_fini(&a);
    CHECK(read_chat(&a, ",\"seed\":-1,\"max_tokens\":-1", &e)); /* by convention: a random one, no limit */
    CHECK(!a.sampling.has_seed);
    CHECK_EQ(a.max_tokens, UINT32_MAX);
    cv_api_ask_fini(&a);
    CHECK(read_completion(&a, ",\"logprobs\":0", &e)); /* a completion's 0 wants the token's own */
    CHECK(a.logprobs && a.n_top_logprobs == 0);
    cv_api_ask_fini(&a);
    CHECK(read_chat(&a, ",\"max_tokens\":16.0,\"seed\":3.0", &e)); /* whole numbers, however they are spelled */
    CHECK_EQ(a.max_tokens, 16);
    CHECK_EQ(a.sampling.seed, 3);
    cv_api_ask_fini(&a);
}

static void test_bad_json_says_where(void)
{
    static const char *const bad[] = {"", "{", "[]", "5", "\"x\"", "{\"messages\":[}", "{\"a\":1,\"a\":2}", "{} x", "nul"};
    for (size_t i = 0; i < CV_COUNT(bad); i++) {
        struct cv_api_ask a;
        struct cv_api_error e;
        CHECK(!read_bytes(&a, CV_ASK_CHAT, bad[i], strlen(bad[i]), &e));
        CHECK_EQ(e.status, 400);
        CHECK_CONTAINS(e.message, "JSON");
        cv_api_ask_fini(&a);
    }
    char deep[9000];
    memset(deep, '[', sizeof(deep));
    struct cv_api_ask a;
    struct cv_api_error e;
    CHECK(!read_bytes(&a, CV_ASK_CHAT, deep, sizeof(deep), &e));
    CHECK_EQ(e.status, 400);
    cv_api_ask_fini(&a);
}

static void test_every_prefix_of_a_body_is_an_error(void)
{
    static const char body[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"h\\u00e4llo\"}],\"stop\":[\"x\"],\"n\":2}";
    for (size_t n = 0; n < sizeof(body) - 1; n++) {
        struct cv_api_ask a;
        struct cv_api_error e;
        char *exact = check_guarded(n);
        memcpy(exact, body, n);
        CHECK(!read_bytes(&a, CV_ASK_CHAT, exact, n, &e));
        cv_api_ask_fini(&a);
    }
}

static void test_messages_are_checked_one_by_one(void)
{
    static const struct refusal bad[] = {
        {"{}", "messages", "at least one"},
        {"{\"messages\":[]}", "messages", "at least one"},
        {"{\"messages\":\"hi\"}", "messages", "list"},
        {"{\"messages\":[5]}", "messages", "messages[0].role"},
        {"{\"messages\":[{\"role\":\"king\",\"content\":\"x\"}]}", "messages", "messages[0].role"},
        {"{\"messages\":[{\"role\":\"user\"}]}", "messages", "no content"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":null}]}", "messages", "no content"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":5}]}", "messages", "string or a list"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{}}]}]}", "messages", "image_url"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}", "messages", "must be a string"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[5]}]}", "messages", "content[0]"},
    };
    for (size_t i = 0; i < CV_COUNT(bad); i++) {
        struct cv_api_ask a;
        struct cv_api_error e;
        CHECK(!read_bytes(&a, CV_ASK_CHAT, bad[i].rest, strlen(bad[i].rest), &e));
        CHECK_EQ(e.status, 400);
        CHECK_STR(e.param, bad[i].param);
        CHECK_CONTAINS(e.message, bad[i].words);
        cv_api_ask_fini(&a);
    }
}

static void render(const char *body, struct cv_buf *out)
{
    struct cv_api_ask a;
    struct cv_api_error e;
    cv_buf_init(out, 1 << 20);
    const bool ok = read_bytes(&a, CV_ASK_CHAT, body, strlen(body), &e) && cv_api_render(&a, &served, out, &e);
    if (!ok)
        printf("     %s\n", e.message);
    cv_api_ask_fini(&a);
    CHECK(ok);
}

static void test_the_template_gets_messages_in_its_own_form(void)
{
    struct cv_buf text;
    render("{\"messages\":[{\"role\":\"developer\",\"content\":\"be brief\"},{\"role\":\"user\",\"content\":[{\"type\":"
           "\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]}]}",
           &text);
    CHECK_STR(text.data, "<|bos|><|system|>be brief<|endoftext|><|user|>ab<|endoftext|><|assistant|>");
    cv_buf_fini(&text);
    render("{\"messages\":[{\"role\":\"assistant\",\"content\":\"so\"}],\"chat_template_kwargs\":{\"style\":\"terse\"}}", &text);
    CHECK_STR(text.data, "<|bos|><|assistant|>so<|endoftext|>terse"); /* an answer begun is gone on with */
    cv_buf_fini(&text);
    render("{\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{"
           "\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"add\",\"arguments\":\"{\\\"a\\\":1}\"}}]},{\"role\":"
           "\"tool\",\"tool_call_id\":\"c1\",\"content\":\"2\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":"
           "\"add\"}}]}",
           &text);
    CHECK_STR(text.data, "<|bos|><|user|>x<|endoftext|><|assistant|>[add {\"a\": 1}]<|endoftext|><|tool|>2(add)"
                         "<|endoftext|>add;<|assistant|>");
    cv_buf_fini(&text);
    render("{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"tool_choice\":\"none\",\"tools\":[{\"type\":\"function\","
           "\"function\":{\"name\":\"add\"}}]}",
           &text);
    CHECK_STR(text.data, "<|bos|><|user|>x<|endoftext|><|assistant|>");
    cv_buf_fini(&text);
}

static void test_a_chat_begins_with_one_bos(void)
{
    struct cv_api_ask a;
    struct cv_api_error e;
    struct cv_tokens t = {0};
    CHECK(read_chat(&a, "", &e));
    CHECK(cv_api_prompt(&a, 0, &served, &t, NULL, &e));
    const int32_t bos = cv_vocab_find(served.vocab, "<|bos|>", 7);
    CHECK_EQ(t.id[0], bos);
    for (size_t i = 1; i < t.n; i++)
        CHECK(t.id[i] != bos);
    cv_tokens_free(&t);
    cv_api_ask_fini(&a);
}

static void test_prompts_of_all_four_forms(void)
{
    static const struct {
        const char *body;
        uint32_t n_prompts;
        const char *text[2];
    } good[] = {
        {"{\"prompt\":\"hello\"}", 1, {"hello"}},
        {"{\"prompt\":[\"he\",\"llo\"]}", 2, {"he", "llo"}},
        {"{\"prompt\":[97,98]}", 1, {NULL}},
        {"{\"prompt\":[[97],[98,99]]}", 2, {NULL, NULL}},
    };
    for (size_t i = 0; i < CV_COUNT(good); i++) {
        struct cv_api_ask a;
        struct cv_api_error e;
        CHECK(read_bytes(&a, CV_ASK_COMPLETION, good[i].body, strlen(good[i].body), &e));
        CHECK_EQ(cv_api_n_prompts(&a), good[i].n_prompts);
        for (uint32_t k = 0; k < good[i].n_prompts; k++) {
            struct cv_tokens t = {0};
            struct cv_buf text;
            cv_buf_init(&text, 1 << 16);
            CHECK(cv_api_prompt(&a, k, &served, &t, &text, &e));
            CHECK(t.n > 0 && text.len > 0);
            if (good[i].text[k] != NULL)
                CHECK_STR(text.data, good[i].text[k]);
            cv_tokens_free(&t);
            cv_buf_fini(&text);
        }
        cv_api_ask_fini(&a);
    }
    static const char *const bad[] = {"{}", "{\"prompt\":5}", "{\"prompt\":[]}", "{\"prompt\":[1,\"a\"]}", "{\"prompt\":[[]]}",
                                      "{\"prompt\":[[1],5]}", "{\"prompt\":{}}", "{\"prompt\":[1.5]}"};
    for (size_t i = 0; i < CV_COUNT(bad); i++) {
        struct cv_api_ask a;
        struct cv_api_error e;
        CHECK(!read_bytes(&a, CV_ASK_COMPLETION, bad[i], strlen(bad[i]), &e));
        CHECK_STR(e.param, "prompt");
        cv_api_ask_fini(&a);
    }
}

static void check_prompt_refused(const char *body, int status, const char *code, const char *words)
{
    struct cv_api_ask a;
    struct cv_api_error e;
    struct cv_tokens t = {0};
    CHECK(read_bytes(&a, CV_ASK_COMPLETION, body, strlen(body), &e));
    const bool ok = cv_api_prompt(&a, 0, &served, &t, NULL, &e);
    cv_tokens_free(&t);
    cv_api_ask_fini(&a);
    CHECK(!ok);
    CHECK_EQ(e.status, status);
    CHECK_STR(e.code, code);
    CHECK_STR(e.param, "prompt");
    CHECK_CONTAINS(e.message, words);
}

static void test_a_prompt_that_cannot_be_is_refused(void)
{
    check_prompt_refused("{\"prompt\":[99999]}", 400, "invalid_value", "99999");
    check_prompt_refused("{\"prompt\":[-1]}", 400, "invalid_value", "-1");
    char body[4096];
    size_t n = (size_t)snprintf(body, sizeof(body), "{\"prompt\":[");
    for (unsigned i = 0; i < SERVED_CTX + 1; i++)
        n += (size_t)snprintf(body + n, sizeof(body) - n, i > 0 ? ",%u" : "%u", 97 + i % 20);
    snprintf(body + n, sizeof(body) - n, "]}");
    check_prompt_refused(body, 400, "context_length_exceeded", "257 tokens");
    check_prompt_refused(body, 400, "context_length_exceeded", "holds 256");
}

static void test_the_error_object_names_both_numbers(void)
{
    const struct cv_api_error e = {
        .status = 400, .param = "messages", .code = "context_length_exceeded", .message = "too \"long\"\n", .n_prompt = 300, .n_ctx = 256};
    struct cv_buf b;
    cv_buf_init(&b, 1 << 16);
    CHECK(cv_api_error_json(&e, &b));
    CHECK_STR(b.data, "{\"error\":{\"message\":\"too \\\"long\\\"\\n\",\"type\":\"invalid_request_error\",\"param\":\"messages\","
                      "\"code\":\"context_length_exceeded\",\"n_prompt_tokens\":300,\"n_ctx\":256}}");
    cv_buf_fini(&b);
}

static void test_failures_inside_become_statuses(void)
{
    static const struct {
        enum cv_code code;
        int status;
    } one[] = {{CV_ERR_ARG, 400},  {CV_ERR_LIMIT, 400}, {CV_ERR_UNSUPPORTED, 400}, {CV_ERR_AUTH, 401}, {CV_ERR_NOT_FOUND, 404},
               {CV_ERR_BUSY, 503}, {CV_ERR_PEER, 503},  {CV_ERR_TIMEOUT, 504},     {CV_ERR_NOMEM, 500}, {CV_ERR_INTERNAL, 500}};
    for (size_t i = 0; i < CV_COUNT(one); i++) {
        struct cv_error err;
        struct cv_api_error e;
        cv_fail(&err, one[i].code, "words");
        CHECK(!cv_api_from(&e, &err));
        CHECK_EQ(e.status, one[i].status);
        CHECK_STR(e.message, "words");
    }
}

static void test_a_gen_owns_all_it_points_at(void)
{
    struct cv_api_ask a;
    struct cv_api_error e;
    struct cv_tokens t = {0};
    CHECK(read_chat(&a, ",\"stop\":[\"one\",\"two\"],\"logit_bias\":{\"5\":2},\"dry_sequence_breakers\":[\"x\",\"y\"],\"n\":2", &e));
    CHECK(cv_api_prompt(&a, 0, &served, &t, NULL, &e));
    struct cv_gen *g = cv_api_gen(&a, &t);
    CHECK(g != NULL && t.n == 0);
    cv_api_ask_fini(&a); /* the body is gone */
    CHECK_EQ(g->n_stop, 2);
    CHECK_STR(g->stop[1], "two");
    CHECK(g->sampling.bias == g->bias && g->bias[0].id == 5 && g->bias[0].bias == 2);
    CHECK_EQ(g->sampling.n_dry_breaker, 2);
    CHECK_STR(g->sampling.dry_breaker[1], "y");
    CHECK_EQ(g->n_choices, 2);
    cv_gen_free(g);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_every_wrong_field_is_refused_by_name),
        CASE(test_the_fields_arrive),
        CASE(test_null_and_absence_are_the_defaults),
        CASE(test_bad_json_says_where),
        CASE(test_every_prefix_of_a_body_is_an_error),
        CASE(test_messages_are_checked_one_by_one),
        CASE(test_the_template_gets_messages_in_its_own_form),
        CASE(test_a_chat_begins_with_one_bos),
        CASE(test_prompts_of_all_four_forms),
        CASE(test_a_prompt_that_cannot_be_is_refused),
        CASE(test_the_error_object_names_both_numbers),
        CASE(test_failures_inside_become_statuses),
        CASE(test_a_gen_owns_all_it_points_at),
    };
    struct cv_error err;
    if (!served_init(&served, &err)) {
        printf("FAIL the small model: %s\n", err.msg);
        return 1;
    }
    cv_sampling_defaults(&defaults);
    const int code = check_main(argc, argv, cases, CV_COUNT(cases));
    served_fini(&served);
    return code;
}
