/* template_limits_test.c - hostile templates and values end in an error, soon, whatever they try. */
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "tests/check/check.h"
#include "text/template.h"

static const char variables[] =
    "{\"s\": \"Hello World\", \"l\": [3, 1, 2], \"d\": {\"b\": 1, \"a\": \"x\", \"C\": null},"
    " \"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}";

/* Renders source[0..n) with the variables above; the text is thrown away. */
static bool run(const char *source, size_t n, struct cv_error *err)
{
    struct cv_template *t = NULL;
    struct cv_values *v = NULL;
    struct cv_value globals;
    struct cv_buf text;
    json_t *json = json_loads(variables, 0, NULL);
    cv_buf_init(&text, CV_MAX_TEMPLATE_OUTPUT);
    const bool ok = cv_values_new(&v, 1 << 20, err) && cv_value_from_json(&globals, v, json, err) &&
                    cv_template_new(&t, source, n, err) && cv_template_render(t, globals, 0, &text, err);
    cv_buf_fini(&text);
    cv_values_free(v);
    cv_template_free(t);
    json_decref(json);
    return ok;
}

static void check_limited(const char *source)
{
    struct cv_error err;
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    const bool ok = run(source, strlen(source), &err);
    clock_gettime(CLOCK_MONOTONIC, &b);
    if (ok || err.code != CV_ERR_LIMIT)
        fprintf(stderr, "%.100s\n  %s\n", source, ok ? "was not refused" : err.msg);
    CHECK(!ok);
    CHECK_EQ(err.code, CV_ERR_LIMIT);
    CHECK_CONTAINS(err.msg, "line ");
    CHECK(b.tv_sec - a.tv_sec < 60); /* generous: sanitizers, and a busy machine */
}

/* head, n times unit, tail; cv_free */
static char *repeated(const char *head, const char *unit, size_t n, const char *tail)
{
    struct cv_buf b;
    cv_buf_init(&b, CV_MAX_TEMPLATE_BYTES * 2);
    CHECK(cv_buf_puts(&b, head));
    for (size_t i = 0; i < n; i++)
        CHECK(cv_buf_puts(&b, unit));
    CHECK(cv_buf_puts(&b, tail));
    return cv_buf_take(&b);
}

static void check_repeated(const char *head, const char *unit, size_t n, const char *tail, enum cv_code code)
{
    struct cv_error err = {.code = CV_OK};
    char *source = repeated(head, unit, n, tail);
    const bool ok = run(source, strlen(source), &err);
    cv_free(source);
    if (err.code != code)
        fprintf(stderr, "%s%s...: %s\n", head, unit, ok ? "was not refused" : err.msg);
    CHECK_EQ(err.code, code);
}

static void test_work_is_bounded(void)
{
    check_limited("{% for a in range(100000) %}{% for b in range(100000) %}{{ s }}{% endfor %}{% endfor %}");
    check_limited("{% set a = 'ab' * 9000000 %}{% for i in range(100000) %}{% set x = a|length %}{% endfor %}");
    check_limited("{% set a = 'a' * 30000000 %}{% set b = 'a' * 15000000 ~ 'b' %}{{ b in a }}");
    check_limited("{% set a = 'a' * 30000000 %}{% set b = 'a' * 15000000 ~ 'b' %}{{ a.rfind(b) }}");
    check_limited("{% set a = ('a' * 1000000).strip('b' * 1000000 ~ 'a') %}");
    check_limited("{% set a = range(100000)|list %}{% for i in a %}{% set x = i in a %}{% endfor %}");
    check_limited("{% set a = [1.1] * 100000 %}{% for i in a %}{% set x = a|tojson %}{% endfor %}");
}

static void test_memory_is_bounded(void)
{
    check_limited("{{ range(10 ** 9) }}");
    check_limited("{{ range(-9223372036854775807, 9223372036854775807) }}");
    check_limited("{{ 'a' * 10 ** 9 }}");
    check_limited("{{ [1] * 10 ** 9 }}");
    check_limited("{{ 'a' * 9223372036854775807 }}");
    check_limited(
        "{% set ns = namespace(a='aaaaaaaa') %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}");
    check_limited("{% set ns = namespace(a=[1]) %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}");
    check_limited(
        "{% set ns = namespace(a=[1]) %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}{{ ns.a }}");
    check_limited("{% set ns = namespace(a=[1]) %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}"
                  "{{ ns.a|tojson }}");
    check_limited("{{ 'x'.center(10 ** 12) }}");
    check_limited("{{ '%999999999d' % 1 }}");
    check_limited("{{ '{:999999999}'.format(1) }}");
    check_limited("{{ '%.999999f' % 1.5 }}");
    check_limited("{{ 'a\nb'|indent(10 ** 10) }}");
    check_limited("{% set a = 'a' * 1000 %}{{ a.replace('', 'b' * 1000000) }}");
}

static void test_numbers_are_bounded(void)
{
    check_limited("{{ 9223372036854775807 + 1 }}");
    check_limited("{{ -9223372036854775807 - 2 }}");
    check_limited("{{ 10 ** 19 }}");
    check_limited("{{ (-9223372036854775807 - 1) // -1 }}");
    check_limited("{{ -(-9223372036854775807 - 1) }}");
    check_limited("{{ 9223372036854775808 }}");
    check_limited("{{ 1e300|int }}");
    struct cv_error err;
    static const char fine[] =
        "{{ (-9223372036854775807 - 1) % -1 }}{{ [1][-9223372036854775807 - 1] }}{{ 's'[::-9223372036854775807 - 1] }}"
        "{{ l[:9223372036854775807:9223372036854775807] }}{{ (0 - 1) ** 9223372036854775807 }}"
        "{{ 's'[-9223372036854775807 - 1:9223372036854775807] }}{{ 'a'[9223372036854775807] }}";
    CHECK_OK(run(fine, sizeof(fine) - 1, &err), err);
}

static void test_nesting_is_bounded(void)
{
    check_limited("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}");
    check_limited("{% macro m() %}{% call m() %}{% endcall %}{{ caller }}{% endmacro %}{{ m() }}");
    check_limited("{% macro m(a=m()) %}{% endmacro %}{{ m() }}");
    check_limited("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}");
    check_limited("{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}");
    check_limited(
        "{% set ns = namespace(a=1) %}{% for i in range(9999) %}{% set ns.a = [ns.a] %}{% endfor %}{{ ns.a }}");
    check_limited(
        "{% set ns = namespace(a=1) %}{% for i in range(9999) %}{% set ns.a = [ns.a] %}{% endfor %}{{ ns.a|tojson }}");
    check_limited(
        "{% set n = namespace(a=1, b=1) %}{% for i in range(9999) %}{% set n.a = [n.a] %}{% set n.b = [n.b] %}"
        "{% endfor %}{{ n.a == n.b }}");
    check_limited(
        "{% set n = namespace(a=1, b=1) %}{% for i in range(9999) %}{% set n.a = [n.a] %}{% set n.b = [n.b] %}"
        "{% endfor %}{{ n.a < n.b }}");
    check_repeated("{{ ", "(", 300000, "", CV_ERR_LIMIT);
    check_repeated("{{ ", "[", 300000, "", CV_ERR_LIMIT);
    check_repeated("{{ ", "{1:", 300000, "", CV_ERR_LIMIT);
    check_repeated("{{ ", "not ", 300000, "1 }}", CV_ERR_LIMIT);
    check_repeated("{{ ", "-", 300000, "1 }}", CV_ERR_LIMIT);
    check_repeated("{{ ", "1 if 1 else ", 300000, "1 }}", CV_ERR_LIMIT);
    check_repeated("", "{% if 1 %}", 300000, "", CV_ERR_LIMIT);
    check_repeated("", "{% for a in b %}", 200000, "", CV_ERR_LIMIT);
    check_repeated("{% set ", "(", 300000, "", CV_ERR_LIMIT);
    check_repeated("{{ 1", " + 1", 300000, " }}", CV_ERR_LIMIT);
    check_repeated("{{ 1", " and 1", 300000, " }}", CV_ERR_LIMIT);
    check_repeated("{{ d", ".x", 300000, " }}", CV_ERR_LIMIT);
    check_repeated("{{ d", "|list", 300000, " }}", CV_ERR_LIMIT);
    check_repeated("{{ d", " is none", 300000, " }}", CV_ERR_LIMIT);
    check_repeated("{% filter upper", "|upper", 300000, " %}{% endfilter %}", CV_ERR_LIMIT);
    check_repeated("{{ 1", " < 1", 300000, " }}", CV_ERR_LIMIT);
    /* long, but flat */
    check_repeated("{{ 1", " ~ 1", 300000, " }}", CV_OK);
    check_repeated("{% if 0 %}", "{% elif 0 %}", 200000, "{% endif %}", CV_OK);
    check_repeated("{{ [1", ", 1", 300000, "]|length }}", CV_OK);
    check_repeated("{{ 'a'", " 'a'", 1000, " }}", CV_OK);
}

static void test_sizes_are_bounded(void)
{
    check_repeated("", "a", CV_MAX_TEMPLATE_BYTES, "", CV_OK);
    check_repeated("", "a", CV_MAX_TEMPLATE_BYTES, "b", CV_ERR_LIMIT);
    check_repeated("", "{%%}", 100, "", CV_ERR_FORMAT);
    /* a deep tree of values */
    struct cv_error err;
    struct cv_values *v;
    struct cv_value out;
    json_t *deep = json_array();
    for (int i = 0; i < 100; i++) {
        json_t *outer = json_array();
        json_array_append_new(outer, deep);
        deep = outer;
    }
    CHECK_OK(cv_values_new(&v, 1 << 16, &err), err);
    CHECK(!cv_value_from_json(&out, v, deep, &err));
    CHECK_EQ(err.code, CV_ERR_LIMIT);
    json_decref(deep);
    /* and one that is larger than its context */
    json_t *wide = json_array();
    for (int i = 0; i < 10000; i++)
        json_array_append_new(wide, json_string("0123456789012345678901234567890123456789"));
    CHECK(!cv_value_from_json(&out, v, wide, &err));
    CHECK_EQ(err.code, CV_ERR_NOMEM);
    json_decref(wide);
    cv_values_free(v);
}

/* Something of everything. */
static const char busy[] =
    "{%- macro m(a, b=[1, 2.5]) -%}{{ a ~ b }}{{ caller() if caller is defined }}{%- endmacro %}\n"
    "{% set ns = namespace(n=0, t='') %}{# note #}\n"
    "{% for k, v in d.items() if k != 'z' %}{{ loop.index }}{{ k }}{{ v|default('-')|string|upper }}\n"
    "{% set ns.t = ns.t + 'some longer text that grows and grows and grows and grows and grows ' %}{% else %}e{% "
    "endfor %}\n"
    "{% call m(l|sort|map('string')|join(','), b=none) %}in{{ s[1:-1]|replace('l', 'L') }}{% endcall %}\n"
    "{% set x | trim %} {{ d|tojson(indent=2) }} {% endset %}{{ x }}{{ l|batch(2)|list }}{{ '%s %5.2f' % (s, 2) }}\n"
    "{% if s.split(' ')|length > 1 and not l is mapping %}{{ 'a{}b{x:>4}'.format(1, x=2) }}{% elif x %}{% endif %}\n"
    "{% with q = {'a': (1, 2)} %}{{ q.a[0] }}{{ messages[0]['content']|e }}{% endwith %}{% filter title %}ab{% "
    "endfilter %}\n"
    "{{ [['b', 1], ['a', 2]]|groupby(0) }}{{ ['x', 'X']|unique|list }}{{ strftime_now('%Y') }}{{ ns.t|length }}";

static void test_every_failing_allocation_is_an_error(void)
{
    struct cv_error err;
    CHECK_OK(run(busy, sizeof(busy) - 1, &err), err);
    unsigned failed = 0;
    for (long n = 0;; n++) {
        cv_mem_fail_after(n);
        const bool ok = run(busy, sizeof(busy) - 1, &err);
        cv_mem_fail_after(-1);
        if (ok)
            break;
        CHECK_EQ(err.code, CV_ERR_NOMEM);
        failed++;
    }
    CHECK(failed > 10);
}

static void test_every_prefix_of_a_template_is_read_safely(void)
{
    struct cv_error err;
    for (size_t n = 0; n < sizeof(busy) - 1; n++) {
        char *copy = check_guarded(n == 0 ? 1 : n); /* one byte too far crashes */
        memcpy(copy, busy, n);
        (void)run(copy, n, &err);
    }
    CHECK_OK(run(busy, sizeof(busy) - 1, &err), err);
}

static void *render_often(void *arg)
{
    const struct cv_template *t = arg;
    struct cv_error err;
    struct cv_values *v = NULL;
    struct cv_value globals;
    struct cv_buf text;
    void *result = NULL;
    cv_buf_init(&text, 1 << 20);
    if (cv_values_new(&v, 1 << 20, &err) && cv_value_map(&globals, v, &err)) {
        for (int i = 0; i < 200; i++) {
            cv_buf_clear(&text);
            if (!cv_template_render(t, globals, i, &text, &err) || strcmp(text.data, "0123456789") != 0)
                goto done;
        }
        result = arg;
    }
done:
    cv_values_free(v);
    cv_buf_fini(&text);
    return result;
}

static void test_threads_share_a_template(void)
{
    static const char source[] = "{% for i in range(10) %}{{ i }}{% endfor %}";
    struct cv_template *t;
    struct cv_error err;
    pthread_t threads[4];
    CHECK_OK(cv_template_new(&t, source, sizeof(source) - 1, &err), err);
    for (size_t i = 0; i < CV_COUNT(threads); i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, render_often, t), 0);
    for (size_t i = 0; i < CV_COUNT(threads); i++) {
        void *result;
        CHECK_EQ(pthread_join(threads[i], &result), 0);
        CHECK(result == t);
    }
    cv_template_free(t);
}

/* Random pieces of templates put together: nothing may crash; what comes of it does not matter. */
static void test_random_templates_are_survived(void)
{
    static const char *const pieces[] = {
        "{{ ",        " }}",
        "{% ",        " %}",
        "{%- ",       " -%}",
        "{# ",        " #}",
        "if ",        "for x in l",
        "endif",      "endfor",
        "set x = ",   "else",
        "elif ",      "x",
        "l",          "d",
        "s",          "messages",
        "loop.index", "namespace(a=1)",
        "'a'",        "1",
        "2.5",        "none",
        "[",          "]",
        "(",          ")",
        "{",          "}",
        ":",          ",",
        "|",          ".",
        "join",       "map(",
        "'upper'",    "tojson",
        "items()",    "not ",
        " in ",       " is ",
        "defined",    " and ",
        " or ",       " + ",
        " ~ ",        " * ",
        " ** ",       " // ",
        "macro m(a)", "endmacro",
        "m(1)",       "call m()",
        "endcall",    "\n",
        " ",          "text",
        "endset",     "filter upper",
        "endfilter",  "raw",
        "endraw",     "range(3)",
        "break",      "continue",
        "%",          "{{ x }}",
        "{% if 1 %}", "{% endif %}",
    };
    for (int round = 0; round < 5000; round++) {
        char source[400] = "";
        const uint64_t n = check_below(16);
        for (uint64_t i = 0; i < n; i++)
            strcat(source, pieces[check_below(CV_COUNT(pieces))]);
        struct cv_error err;
        if (!run(source, strlen(source), &err))
            CHECK(err.msg[0] != '\0');
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_work_is_bounded),
        CASE(test_memory_is_bounded),
        CASE(test_numbers_are_bounded),
        CASE(test_nesting_is_bounded),
        CASE(test_sizes_are_bounded),
        CASE(test_every_failing_allocation_is_an_error),
        CASE(test_every_prefix_of_a_template_is_read_safely),
        CASE(test_threads_share_a_template),
        CASE(test_random_templates_are_survived),
    };
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
