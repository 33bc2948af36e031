/* suite_chat.c - chat templates of real models: messages to text. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "tests/conformance_runner/runner.h"
#include "text/template.h"

/* "2026-03-14T15:09:26" as seconds, without a zone; 0 if it is no date. */
static int64_t seconds_of(const char *date)
{
    int year, month, day, hour, minute, second;
    if (sscanf(date, "%d-%d-%dT%d:%d:%d", &year, &month, &day, &hour, &minute, &second) != 6)
        return 0;
    /* days since 1970-01-01, with years that begin in March so that the leap day is the last */
    const int64_t y = year - (month <= 2), m = (month + 9) % 12;
    const int64_t days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
    return ((days * 24 + hour) * 60 + minute) * 60 + second;
}

/* The variables of one case. */
static bool set_variables(struct cv_value *out, struct cv_values *v, const json_t *file, const json_t *one,
                          struct cv_error *err)
{
    const char *key;
    json_t *item, *all = json_object();
    bool ok = all != NULL;
    static const char *const from_case[] = {"messages", "tools"};
    for (size_t i = 0; ok && i < CV_COUNT(from_case); i++) {
        item = json_object_get(one, from_case[i]);
        ok = json_object_set_new(all, from_case[i], item != NULL ? json_incref(item) : json_null()) == 0;
    }
    ok = ok && json_object_set_new(all, "documents", json_null()) == 0 &&
         json_object_set_new(all, "add_generation_prompt",
                             json_boolean(json_flag(one, "add_generation_prompt", false))) == 0 &&
         json_object_set(all, "bos_token", json_object_get(file, "bos_token")) == 0 &&
         json_object_set(all, "eos_token", json_object_get(file, "eos_token")) == 0;
    json_object_foreach(json_object_get(one, "kwargs"), key, item)
    {
        ok = ok && json_object_set(all, key, item) == 0;
    }
    ok = ok ? cv_value_from_json(out, v, all, err) : cv_fail(err, CV_ERR_FORMAT, "the case has no variables");
    json_decref(all);
    return ok;
}

/* Where two texts differ, with a little of both. */
static void fail_text(struct runner *r, const char *name, const char *got, const char *want)
{
    size_t i = 0;
    while (got[i] != '\0' && got[i] == want[i])
        i++;
    const size_t from = i < 20 ? 0 : i - 20;
    runner_fail(r, name, "differs at byte %zu: got '%.60s', expected '%.60s'", i, got + from, want + from);
}

static void one_case(struct runner *r, const char *name, const struct cv_template *t, const json_t *file,
                     const json_t *one)
{
    struct cv_error err;
    struct cv_values *v = NULL;
    struct cv_value variables;
    struct cv_buf text;
    const char *want = json_string_value(json_object_get(one, "expected"));
    const bool must_fail = json_object_get(one, "error") != NULL;
    cv_buf_init(&text, CV_MAX_TEMPLATE_OUTPUT);
    if (!cv_values_new(&v, 0, &err) || !set_variables(&variables, v, file, one, &err)) {
        runner_fail(r, name, "%s", err.msg);
    } else if (!cv_template_render(t, variables, seconds_of(json_text(file, "date", "")), &text, &err)) {
        if (must_fail)
            runner_pass(r, name, "%s", err.msg);
        else
            runner_fail(r, name, "%s", err.msg);
    } else if (must_fail || want == NULL) {
        runner_fail(r, name, "an error was expected");
    } else if (!cv_buf_puts(&text, "")) {
        runner_fail(r, name, "out of memory");
    } else if (strlen(want) != text.len || strcmp(want, text.data) != 0) {
        fail_text(r, name, text.data, want);
    } else {
        runner_pass(r, name, "%s", "");
    }
    cv_buf_fini(&text);
    cv_values_free(v);
}

static void one_file(struct runner *r, const char *dir, const char *name, const json_t *json)
{
    struct cv_error err;
    struct cv_template *t;
    size_t n, i;
    json_t *one;
    char *source = runner_file(r, name, dir, json_text(json, "template", ""), &n);
    if (source == NULL)
        return;
    const bool ok = cv_template_new(&t, source, n, &err);
    cv_free(source);
    if (!ok) {
        if (err.code == CV_ERR_UNSUPPORTED)
            runner_unsupported(r, name, "%s", err.msg);
        else
            runner_fail(r, name, "%s", err.msg);
        return;
    }
    json_array_foreach(json_object_get(json, "cases"), i, one)
    {
        char full[200];
        snprintf(full, sizeof(full), "%s %s", name, json_text(one, "name", "?"));
        one_case(r, full, t, json, one);
    }
    cv_template_free(t);
}

void suite_chat(struct runner *r, const char *dir)
{
    runner_each(r, dir, one_file);
}
