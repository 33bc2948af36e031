/* run.c - caravan run: chat with a server in the terminal, or ask it one question. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#ifdef CARAVAN_LIBEDIT
#include <editline/readline.h>
#endif

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "cli/common.h"
#include "cli/options.h"
#include "net/http_client.h"

struct chat {
    const char *url, *api_key, *system;
    double temperature;
    uint32_t max_tokens, seed;
    bool has_temperature, verbose;
    json_t *messages;
    /* the answer that is coming in */
    struct cv_buf line, answer, error;
    uint64_t start_ns, first_ns;
    unsigned n_generated, n_prompt;
};

static void take_event(struct chat *c, const char *data, size_t n)
{
    if (n == 6 && memcmp(data, "[DONE]", 6) == 0)
        return;
    json_t *e = json_loadb(data, n, 0, NULL);
    const json_t *error = json_object_get(json_object_get(e, "error"), "message");
    if (json_is_string(error))
        (void)cv_buf_puts(&c->error, json_string_value(error));
    const json_t *usage = json_object_get(e, "usage");
    if (json_is_object(usage)) {
        c->n_prompt = (unsigned)json_integer_value(json_object_get(usage, "prompt_tokens"));
        c->n_generated = (unsigned)json_integer_value(json_object_get(usage, "completion_tokens"));
    }
    const json_t *delta = json_object_get(json_array_get(json_object_get(e, "choices"), 0), "delta");
    const json_t *text = json_object_get(delta, "content");
    if (json_string_length(text) > 0) {
        if (c->first_ns == 0)
            c->first_ns = cv_now_ns();
        fwrite(json_string_value(text), 1, json_string_length(text), stdout);
        fflush(stdout);
        (void)cv_buf_append(&c->answer, json_string_value(text), json_string_length(text));
    }
    json_decref(e);
}

/* The stream's bytes, cut into lines. A body that is no stream (an error) ends up in line. */
static bool take_bytes(void *ctx, const void *data, size_t n)
{
    struct chat *c = ctx;
    const char *at = data;
    while (n > 0) {
        const char *end = memchr(at, '\n', n);
        const size_t len = end == NULL ? n : (size_t)(end - at);
        if (!cv_buf_append(&c->line, at, len))
            return false;
        if (end == NULL)
            return true;
        if (c->line.len > 6 && memcmp(c->line.data, "data: ", 6) == 0) {
            take_event(c, c->line.data + 6, c->line.len - 6);
            cv_buf_clear(&c->line);
        } else if (c->line.len == 0) {
            cv_buf_clear(&c->line);
        }
        at += len + 1;
        n -= len + 1;
    }
    return true;
}

/* A sentence that says what went wrong, out of whatever the server sent. */
static void explain(struct chat *c, int status, struct cv_error *err)
{
    json_t *e = c->line.len > 0 ? json_loadb(c->line.data, c->line.len, 0, NULL) : NULL;
    const char *text = json_string_value(json_object_get(json_object_get(e, "error"), "message"));
    if (c->error.len > 0)
        text = c->error.data;
    cv_fail(err, CV_ERR_PEER, "%s", text != NULL ? text : "the server's answer makes no sense to us");
    if (text == NULL)
        cv_wrap(err, "%s: status %d", c->url, status);
    json_decref(e);
}

static bool ask(struct chat *c, const char *question, struct cv_error *err)
{
    char url[2048], authorization[1100];
    const char *header[3] = {"Content-Type: application/json", NULL, NULL};
    json_array_append_new(c->messages, json_pack("{s:s,s:s}", "role", "user", "content", question));
    json_t *body = json_pack("{s:O,s:b,s:{s:b}}", "messages", c->messages, "stream", 1, "stream_options", "include_usage", 1);
    if (c->has_temperature)
        json_object_set_new(body, "temperature", json_real(c->temperature));
    if (c->max_tokens != 0)
        json_object_set_new(body, "max_tokens", json_integer(c->max_tokens));
    if (c->seed != UINT32_MAX)
        json_object_set_new(body, "seed", json_integer(c->seed));
    char *text = json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(body);
    if (text == NULL)
        return cv_fail(err, CV_ERR_FORMAT, "the question is not UTF-8 text");
    snprintf(url, sizeof(url), "%s/v1/chat/completions", c->url);
    if (c->api_key != NULL) {
        snprintf(authorization, sizeof(authorization), "Authorization: Bearer %.1000s", c->api_key);
        header[1] = authorization;
    }
    cv_buf_clear(&c->line);
    cv_buf_clear(&c->answer);
    cv_buf_clear(&c->error);
    c->start_ns = cv_now_ns();
    c->first_ns = 0;
    c->n_generated = c->n_prompt = 0;
    const struct cv_http_ask request = {.method = "POST",
                                        .url = url,
                                        .header = header,
                                        .body = text,
                                        .body_len = strlen(text),
                                        .stall_s = 600,
                                        .on_data = take_bytes,
                                        .ctx = c};
    struct cv_http_answer answer = {0};
    bool ok = cv_http_do(&request, &answer, err);
    if (ok && (answer.status != 200 || c->error.len > 0)) {
        explain(c, answer.status, err);
        ok = false;
    }
    cv_http_answer_fini(&answer);
    free(text);
    if (ok) {
        putchar('\n');
        fflush(stdout);
        if (c->verbose) {
            const double first_ms = (double)(c->first_ns - c->start_ns) * 1e-6;
            const double s = (double)(cv_now_ns() - c->first_ns) * 1e-9;
            fprintf(stderr, "(%u prompt tokens, first token after %.0f ms, %u tokens, %.1f per second)\n", c->n_prompt,
                    first_ms, c->n_generated, s > 0 && c->n_generated > 1 ? (c->n_generated - 1) / s : 0.0);
        }
        json_array_append_new(c->messages, json_pack("{s:s,s:s%}", "role", "assistant", "content",
                                                     c->answer.len > 0 ? c->answer.data : "", c->answer.len));
    } else {
        json_array_remove(c->messages, json_array_size(c->messages) - 1);
    }
    return ok;
}

/* The next line from the user; NULL: the end. Freed with free. */
static char *next_line(bool terminal)
{
#ifdef CARAVAN_LIBEDIT
    if (terminal) {
        char *typed = readline("> ");
        if (typed != NULL && typed[0] != '\0')
            add_history(typed);
        return typed;
    }
#endif
    char *line = NULL;
    size_t cap = 0;
    if (terminal) {
        fputs("> ", stdout);
        fflush(stdout);
    }
    const ssize_t n = getline(&line, &cap, stdin);
    if (n < 0) {
        free(line);
        return NULL;
    }
    if (n > 0 && line[n - 1] == '\n')
        line[n - 1] = '\0';
    return line;
}

static void begin(struct chat *c)
{
    json_decref(c->messages);
    c->messages = json_array();
    if (c->system != NULL)
        json_array_append_new(c->messages, json_pack("{s:s,s:s}", "role", "system", "content", c->system));
}

static int talk(struct chat *c)
{
    const bool terminal = isatty(STDIN_FILENO) == 1;
    struct cv_error err;
    int code = 0;
    if (terminal)
        printf("Chatting with %s. /new begins again, /bye (or Ctrl-D) ends.\n", c->url);
    for (char *line; (line = next_line(terminal)) != NULL; free(line)) {
        if (line[0] == '\0')
            continue;
        if (strcmp(line, "/bye") == 0 || strcmp(line, "/exit") == 0) {
            free(line);
            break;
        }
        if (strcmp(line, "/new") == 0) {
            begin(c);
        } else if (!ask(c, line, &err)) {
            code = cv_complain("run", &err);
            if (!terminal) {
                free(line);
                break;
            }
            code = 0;
        }
    }
    return code;
}

int cv_cmd_run(int argc, char **argv)
{
    struct chat c = {.url = "http://127.0.0.1:8080", .temperature = -1, .seed = UINT32_MAX};
    const char *word[1] = {NULL};
    const struct cv_option option[] = {
        {"--url", "URL", CV_OPT_TEXT, &c.url, "the server (http://127.0.0.1:8080)"},
        {"--system", "TEXT", CV_OPT_TEXT, &c.system, "how the model should behave"},
        {"--temperature", "T", CV_OPT_NUMBER, &c.temperature, "0 always takes the likeliest token (the server's: 0.8)"},
        {"--max-tokens", "N", CV_OPT_COUNT, &c.max_tokens, "length of an answer, at most"},
        {"--seed", "N", CV_OPT_COUNT, &c.seed, "the same seed gives the same answer"},
        {"--api-key", "KEY", CV_OPT_TEXT, &c.api_key, "of the server ($CARAVAN_API_KEY)"},
        {"--verbose", NULL, CV_OPT_FLAG, &c.verbose, "tokens and speed after each answer"},
    };
    const struct cv_usage usage = {.command = "run",
                                   .synopsis = "[QUESTION] [options]",
                                   .about = "Chats with a running server; the answer appears as it comes. With a QUESTION, asks it and ends.",
                                   .examples = "  caravan run\n  caravan run \"Who are you?\" --temperature 0\n"
                                               "  echo \"Tell me a story\" | caravan run --url http://desk:8080",
                                   .option = option,
                                   .n_option = CV_COUNT(option)};
    size_t n_word;
    bool helped;
    struct cv_error err;
    c.api_key = getenv("CARAVAN_API_KEY");
    if (!cv_options_read(&usage, argc, argv, word, 1, &n_word, &helped, &err))
        return cv_complain("run", &err);
    if (helped)
        return 0;
    c.has_temperature = c.temperature >= 0;
    if (!cv_http_client_init(&err))
        return cv_complain("run", &err);
    cv_buf_init(&c.line, CV_MAX_HTTP_BODY);
    cv_buf_init(&c.answer, CV_MAX_HTTP_BODY);
    cv_buf_init(&c.error, 1 << 16);
    begin(&c);
    int code = 0;
    if (n_word == 1)
        code = ask(&c, word[0], &err) ? 0 : cv_complain("run", &err);
    else
        code = talk(&c);
    json_decref(c.messages);
    cv_buf_fini(&c.line);
    cv_buf_fini(&c.answer);
    cv_buf_fini(&c.error);
    return code;
}
