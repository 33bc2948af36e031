/* template_test.c - what chat templates mean: each case is a source and the text that Jinja2 3.1 makes of it. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "tests/check/check.h"
#include "text/template.h"

static const char variables[] = "{\"s\": \"Hello World\", \"u\": \"Zürich ß 😀\", \"l\": [3, 1, 2], \"d\": {\"b\": 1, "
                                "\"a\": \"x\", \"C\": null}, \"n\": null,"
                                " \"i\": 42, \"x\": 1.5, \"objs\": [{\"name\": \"x\", \"v\": 1}, {\"name\": \"Y\", "
                                "\"v\": 3}, {\"name\": \"a\", \"v\": 2}],"
                                " \"q\": \"it's \\\"q\\\"\\n\"}";

/* 2026-03-14 15:09:26 */
enum { NOW = 1773500966 };

static bool render(const char *source, char *out, size_t size, struct cv_error *err)
{
    struct cv_template *t = NULL;
    struct cv_values *v = NULL;
    struct cv_value globals;
    struct cv_buf text;
    json_t *json = json_loads(variables, 0, NULL);
    cv_buf_init(&text, size - 1);
    bool ok = json != NULL && cv_values_new(&v, 1 << 20, err) && cv_value_from_json(&globals, v, json, err) &&
              cv_template_new(&t, source, strlen(source), err) && cv_template_render(t, globals, NOW, &text, err);
    snprintf(out, size, "%s", ok && text.data != NULL ? text.data : "");
    cv_buf_fini(&text);
    cv_values_free(v);
    cv_template_free(t);
    json_decref(json);
    return ok;
}

struct sample {
    const char *source, *text;
};

static void check_samples(const struct sample *samples, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char got[4096];
        struct cv_error err;
        if (!render(samples[i].source, got, sizeof(got), &err)) {
            fprintf(stderr, "%s\n  %s\n", samples[i].source, err.msg);
            CHECK(false);
        }
        if (strcmp(got, samples[i].text) != 0)
            fprintf(stderr, "%s\n", samples[i].source);
        CHECK_STR(got, samples[i].text);
    }
}

/* text: part of the error's message */
static void check_errors(const struct sample *samples, size_t n, enum cv_code code)
{
    for (size_t i = 0; i < n; i++) {
        char got[4096];
        struct cv_error err;
        if (render(samples[i].source, got, sizeof(got), &err)) {
            fprintf(stderr, "%s\n  gave '%s'\n", samples[i].source, got);
            CHECK(false);
        }
        CHECK_CONTAINS(err.msg, samples[i].text);
        CHECK_EQ(err.code, code);
    }
}

static void test_white_space_around_tags_follows_signs_and_lines(void)
{
    static const struct sample samples[] = {
        {"a\n  {% if true %}\n  b\n  {% endif %}\nc", "a\n  b\nc"},
        {"a\n  {%+ if true %}\n  b\n  {% endif +%}\nc", "a\n    b\n\nc"},
        {"a  \n {%- if true -%} \n b \n {%- endif -%} \n c", "abc"},
        {"a {% if true %} b {% endif %} c", "a  b  c"},
        {"  {{ 1 }}\n  {{- 2 -}}  \n3", "  123"},
        {"a\n  {# gone #}\nb", "a\nb"},
        {"a {#- gone -#} b", "ab"},
        {"a\n", "a"},
        {"a\n\n", "a\n"},
        {"a\r\nb\rc", "a\nb\nc"},
        {"{% raw %}{{ x }}{% if %}{% endraw %}", "{{ x }}{% if %}"},
        {" {%- raw -%} a {%- endraw -%} b", "ab"},
        {"{ {a} }% %} #} }}", "{ {a} }% %} #} }}"},
        {"{{ {'a': {'b': 1}}['a']['b'] }}", "1"},
        {"", ""},
    };
    check_samples(samples, CV_COUNT(samples));
}

static void test_operators_bind_as_in_python(void)
{
    static const struct sample samples[] = {
        {"{{ 1 ~ 2 * 3 }} {{ 1 + 2 * 3 }}", "16 7"},
        {"{{ 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ 7 % 3 * 2 }}", "64 4 2"},
        {"{{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 5 / 2 }} {{ 4 / 2 }} {{ 2 ** -1 }}", "-4 2 -2 2.5 2.0 0.5"},
        {"{{ 1e16 // -3 }} {{ 0.0 // -0.25 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 0 % -0.25 }}",
         "-3333333333333335.0 -0.0 3.0 0.5 -0.0"},
        {"{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 in [1] == true }}", "True False False"},
        {"{{ not 1 == 2 }} {{ not true and false }} {{ none or 0 or 'q' }} {{ 1 and 'z' }}", "True False q z"},
        {"{{ 'a' if i > 41 else 'b' }} {{ 1 if false else 2 if false else 3 }} [{{ 'z' if false }}]", "a 3 []"},
        {"{{ 'a' 'b' ~ 1 ~ none ~ true }}", "ab1NoneTrue"},
        {"{{ [1] + [2] }} {{ 'ab' * 2 }} {{ [0] * 2 }} {{ (1,) + (2,) }}", "[1, 2] abab [0, 0] (1, 2)"},
        {"{{ 1 == 1.0 == true }} {{ [1] == [1.0] }} {{ (1,) == [1] }} {{ {'a': 1} == {'a': 1.0} }}",
         "True True False True"},
        {"{{ 'b' in d }} {{ 'ell' in s }} {{ 5 not in l }} {{ 'x' in undef }}", "True True True False"},
        {"{{ -1|abs }} {{ i is number and i is not string }} {{ 4 is divisibleby 2 }} {{ 3 is odd }}",
         "1 True True True"},
        {"{{ 1_000 + 0x1f + 0b11 + 0o17 }} {{ 1e3 }} {{ 1.5E-2 }}", "1049 1000.0 0.015"},
        {"{{ \"a\\tb\\x41\\u00e9\\101\\q\" }}", "a\tbA\u00e9A\\q"},
    };
    check_samples(samples, CV_COUNT(samples));
}

static void test_values_print_as_python_prints_them(void)
{
    static const struct sample samples[] = {
        {"{{ d }} {{ l }} {{ (1,) }} {{ () }} {{ n }} {{ x }}",
         "{'b': 1, 'a': 'x', 'C': None} [3, 1, 2] (1,) () None 1.5"},
        {"{{ [q, 'a', \"b'\"] }}", "['it\\'s \"q\"\\n', 'a', \"b'\"]"},
        {"{{ ['\\u200b\\x07\\u00e9'] }}", "['\\u200b\\x07\u00e9']"},
        {"{{ 1e16 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ 0.1 + 0.2 }} {{ 5e-324 }} {{ 100.0 }}",
         "1e+16 1000000000000000.0 0.0001 1e-05 0.30000000000000004 5e-324 100.0"},
        {"{{ range(3) }} {{ range(5, 0, -2)|list }} {{ d.keys() }} {{ d.items()|list }}",
         "range(0, 3) [5, 3, 1] dict_keys(['b', 'a', 'C']) [('b', 1), ('a', 'x'), ('C', None)]"},
        {"{{ namespace(a=1) }} {{ true }} {{ [none, undef] }}", "<Namespace {'a': 1}> True [None, Undefined]"},
    };
    check_samples(samples, CV_COUNT(samples));
}

static void test_attributes_items_and_slices(void)
{
    static const struct sample samples[] = {
        {"{{ d.a }} {{ d['a'] }} {{ objs[0].name }} {{ objs.1.v }} {{ objs[-1]['name'] }}", "x x x 3 a"},
        {"{{ u[0] }}{{ u[-1] }}{{ u[7:] }} {{ u[::-1] }} {{ s[1:8:3] }}", "Z😀ß 😀 😀 ß hcir\u00fcZ eoo"},
        {"{{ l[1:] }} {{ l[:-1] }} {{ l[::-1] }} {{ l[5:] }} {{ l[-100:100] }}",
         "[1, 2] [3, 1] [2, 1, 3] [] [3, 1, 2]"},
        {"[{{ d.zz }}{{ l[9] }}{{ n.zz }}{{ s.zz }}{{ undef }}] {{ d.zz is defined }}", "[] False"},
        {"{{ d.get('zz') }} {{ d.get('zz', 5) }} {{ d.items is defined }} {{ d.pop is defined }}", "None 5 True False"},
        {"{{ {1: 'a', true: 'b', '1': 'c'} }} {{ {1: 'a'}[1.0] }}", "{1: 'b', '1': 'c'} a"},
    };
    check_samples(samples, CV_COUNT(samples));
}

static void test_loops_know_where_they_are(void)
{
    static const struct sample samples[] = {
        {"{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.first }}{{ loop.last }} {% "
         "endfor %}",
         "103TrueFalse 212FalseFalse 321FalseTrue "},
        {"{% for i in l if i > 1 %}{{ loop.length }}:{{ i }}<{{ loop.previtem }}>{{ loop.nextitem }} {% endfor %}",
         "2:3<>2 2:2<3> "},
        {"{% for i in [] %}a{% else %}none{% endfor %}", "none"},
        {"{% for a, b in d.items() %}{{ a }}={{ b }};{% endfor %}", "b=1;a=x;C=None;"},
        {"{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i "
         "}}{% endfor %}",
         "0134"},
        {"{% for o in [{'n': 1, 'k': [{'n': 2, 'k': [{'n': 3}]}]}] recursive %}[{{ loop.depth }}{{ o.n }}"
         "{% if o.k %}{{ loop(o.k) }}{% endif %}]{% endfor %}",
         "[11[22[33]]]"},
        {"{% for i in [1, 1, 2] %}{{ loop.changed(i) }}{{ loop.cycle('a', 'b') }} {% endfor %}", "Truea Falseb Truea "},
        {"{% for c in 'a\u00f1b' %}{{ c }}.{% endfor %}{% for k in d %}{{ k }}{% endfor %}", "a.\u00f1.b.baC"},
    };
    check_samples(samples, CV_COUNT(samples));
}

static void test_names_live_in_their_block(void)
{
    static const struct sample samples[] = {
        {"{% set z = 0 %}{% for i in l %}{{ z }}{% set z = i %}{{ z }}{% endfor %}{{ z }}", "0301020"},
        {"{% if true %}{% set z = 1 %}{% endif %}{{ z }}", "1"},
        {"{% set ns = namespace(a=0) %}{% for i in l %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}", "6"},
        {"{% with a=1, b=2 %}{{ a }}{% set a = 9 %}{{ a }}{% endwith %}{{ a is defined }}", "19False"},
        {"{% generation %}{% set z = 3 %}{{ z }}{% endgeneration %}{{ z is defined }}", "3False"},
        {"{% set z %}a{{ i }}{% endset %}[{{ z }}]{% set z | upper | trim %} b {% endset %}[{{ z }}]", "[a42][B]"},
        {"{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (c, e) = [3, 4] %}{{ c }}{{ e }}", "1234"},
        {"{% filter upper %}a{{ s }}{% endfilter %}", "AHELLO WORLD"},
        {"{% set d = 5 %}{{ d }}{% for d in [6] %}{{ d }}{% endfor %}{{ d }}", "565"},
    };
    check_samples(samples, CV_COUNT(samples));
}

static void test_macros_take_defaults_names_and_callers(void)
{
    static const struct sample samples[] = {
        {"{% macro m(a, b='x', c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, c=2) }} {{ m(*[1, 2], "
         "**{'c': 3}) }}",
         "1x1 1x2 123"},
        {"{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}", "(1, 2){'x': 3}"},
        {"{% macro m() %}<{{ caller(1, 2) }}>{% endmacro %}{% call(a, b) m() %}{{ a }}-{{ b }}{% endcall %}", "<1-2>"},
        {"{% macro m() %}{{ caller() if caller is defined else 'no' }}{% endmacro %}{{ m() }}{% call m() %}yes{% "
         "endcall %}",
         "noyes"},
        {"{% macro f(n) %}{% if n <= 1 %}1{% else %}{{ n * f(n - 1)|int }}{% endif %}{% endmacro %}{{ f(5) }}", "120"},
        {"{% macro m() %}{{ late }}{% endmacro %}{% set late = 5 %}{{ m() }}", "5"},
        {"{% macro m() %}{{ z }}{% endmacro %}{% for z in [1] %}[{{ m() }}]{% endfor %}", "[]"},
        {"{% for z in [1, 2] %}{% macro m() %}{{ z }}{% endmacro %}{{ m() }}{% endfor %}{{ m is defined }}", "12False"},
        {"{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}{{ m.name }}", "Falsem"},
    };
    check_samples(samples, CV_COUNT(samples));
}

static void test_filters_of_lists(void)
{
    static const struct sample samples[] = {
        {"{{ l|sort }} {{ l|sort(reverse=true)|join('-') }} {{ ['b', 'A']|sort }} {{ "
         "objs|sort(attribute='v')|map(attribute='name')|join }}",
         "[1, 2, 3] 3-2-1 ['A', 'b'] xaY"},
        {"{{ objs|selectattr('v', 'ge', 2)|map(attribute='name')|list }} {{ l|reject('equalto', 1)|list }}",
         "['Y', 'a'] [3, 2]"},
        {"{{ l|map('string')|join(',') }} {{ n|map('upper')|list }} {{ l|select|list }}", "3,1,2 [] [3, 1, 2]"},
        {"{{ d|dictsort }} {{ d|items|list }}",
         "[('a', 'x'), ('b', 1), ('C', None)] [('b', 1), ('a', 'x'), ('C', None)]"},
        {"{{ l|first }}{{ l|last }}{{ l|length }}{{ l|sum }}{{ l|min }}{{ l|max }} {{ l|reverse|list }}",
         "323613 [2, 1, 3]"},
        {"{{ ['a', 'B', 'A']|unique|list }} {{ l|batch(2, 0)|list }}", "['a', 'B'] [[3, 1], [2, 0]]"},
        {"{% for k, v in objs|groupby('v') %}{{ k }}{{ v|length }};{% endfor %}", "11;21;31;"},
        {"{{ l|map('string')|string }}", "<generator object>"},
    };
    check_samples(samples, CV_COUNT(samples));
}

static void test_filters_of_text_and_numbers(void)
{
    static const struct sample samples[] = {
        {"{{ ' a '|trim }}|{{ s|upper }}|{{ s|lower }}|{{ 'a b-c'|title }}|{{ 'aB'|capitalize }}",
         "a|HELLO WORLD|hello world|A B-C|Ab"},
        {"{{ u|upper }} {{ 'ΣΑΣ'|lower }} {{ u|length }}", "ZÜRICH SS 😀 σας 10"},
        {"{{ s|replace('o', '0', 1) }} {{ 'a\nb\n\nc'|indent(2) }} {{ n|default('z', true) }}{{ undef|default('y') }}",
         "Hell0 World a\n  b\n\n  c zy"},
        {"{{ '3.7'|int }} {{ 'x'|int(9) }} {{ '0x1f'|int(base=16) }} {{ '1_0'|float }} {{ 2.5|round }} {{ "
         "1.25|round(1) }} {{ 1234|round(-2) }}",
         "3 9 31 10.0 2.0 1.2 1200"},
        {"{{ '%s|%05.1f|%-4d|%x' | format('a', 2.25, 7, 255) }} {{ '%(k)s' % {'k': 1} }}", "a|002.2|7   |ff 1"},
        {"{{ '{} {n:>4} {0!r:^5}|{1:,}'.replace('{} ', '').format('a', 1234567, n=1) }}", "   1  'a' |1,234,567"},
        {"{{ '<a>'|e }} {{ '<' + ('<'|safe) }} {{ ('<'|safe) ~ '<' }} {{ ['<'|safe]|join }}", "&lt;a&gt; &lt;< << <"},
        {"{{ 'a b'|urlencode }} {{ 'a b c'|wordcount }} {{ 'abcdefghij'|truncate(5, true, '.', 0) }}", "a%20b 3 abcd."},
    };
    check_samples(samples, CV_COUNT(samples));
}

static void test_tojson_writes_what_json_dumps_writes(void)
{
    static const struct sample samples[] = {
        {"{{ d|tojson }} {{ l|tojson }} {{ x|tojson }} {{ '<é\"\\n\\x7f\\x01'|tojson }}",
         "{\"b\": 1, \"a\": \"x\", \"C\": null} [3, 1, 2] 1.5 \"<\u00e9\\\"\\n\x7f\\u0001\""},
        {"{{ {'a': [1, {}], 'b': []}|tojson(indent=2) }}", "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}"},
        {"{{ d|tojson(separators=(',', ':'), sort_keys=true) }}", "{\"C\":null,\"a\":\"x\",\"b\":1}"},
        {"{{ '\u00e9😀'|tojson(ensure_ascii=true) }} {{ 1.0|tojson }} {{ 1e100|tojson }} {{ {1: true}|tojson }}",
         "\"\\u00e9\\ud83d\\ude00\" 1.0 1e+100 {\"1\": true}"},
    };
    check_samples(samples, CV_COUNT(samples));
}

static void test_methods_of_strings(void)
{
    static const struct sample samples[] = {
        {"{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'a</t>b'.split('</t>')[-1] "
         "}}",
         "['a', 'b', '', 'c'] ['a', 'b'] ['a,b', 'c'] b"},
        {"{{ '  a '.strip() }}|{{ 'xxax'.lstrip('x') }}|{{ 'a\\n\\n'.rstrip('\\n') }}|{{ 'xax'.strip('x') }}",
         "a|ax|a|a"},
        {"{{ s.startswith('He') }}{{ s.endswith(('x', 'ld')) }} {{ s.find('o') }} {{ s.rfind('o') }} {{ s.find('zz') "
         "}} {{ u.find('😀') }}",
         "TrueTrue 4 7 -1 9"},
        {"{{ 'ab'.replace('', '-') }} {{ '-'.join(['a', 'b']) }} {{ 'a-b'.partition('-') }} {{ 'x'.zfill(3) }}",
         "-a-b- a-b ('a', '-', 'b') 00x"},
        {"{{ 'a1'.isalnum() }}{{ 'a1'.isalpha() }}{{ '12'.isdigit() }}{{ ' '.isspace() }}{{ 'aB'.islower() }}",
         "TrueFalseTrueTrueFalse"},
        {"{{ 'a\\r\\nb\\n'.splitlines() }} {{ 'abc'.removeprefix('a').removesuffix('c') }} {{ 'aa'.count('a') }}",
         "['a', 'b'] b 2"},
    };
    check_samples(samples, CV_COUNT(samples));
}

static void test_tests_tell_types(void)
{
    static const struct sample samples[] = {
        {"{{ s is string }}{{ d is mapping }}{{ l is sequence }}{{ d is sequence }}{{ i is iterable }}{{ undef is "
         "iterable }}",
         "TrueTrueTrueTrueFalseTrue"},
        {"{{ true is boolean }}{{ true is number }}{{ true is integer }}{{ 1.0 is float }}{{ n is none }}{{ undef is "
         "none }}",
         "TrueTrueFalseTrueTrueFalse"},
        {"{{ l|map('string') is sequence }}{{ l|map('string') is iterable }}{{ d.items() is sequence }}",
         "FalseTrueFalse"},
        {"{{ true is true }}{{ 1 is true }}{{ 'a' is in ['a'] }}{{ 1 is eq 1 }}{{ range is callable }}{{ 'trim' is "
         "filter }}",
         "TrueFalseTrueTrueTrueTrue"},
        {"{{ 'x' if s is defined else 'y' }}", "x"},
    };
    check_samples(samples, CV_COUNT(samples));
}

static void test_the_clock_is_given(void)
{
    static const struct sample samples[] = {
        {"{{ strftime_now('%Y-%m-%d %H:%M:%S %d %b %Y %B %A %j %-d %p %I %% %y') }}",
         "2026-03-14 15:09:26 14 Mar 2026 March Saturday 073 14 PM 03 % 26"},
    };
    check_samples(samples, CV_COUNT(samples));
}

static void test_errors_of_syntax_name_line_and_column(void)
{
    static const struct sample samples[] = {
        {"a\n{% if x %}", "line 2, column 11: the template ends inside 'if'"},
        {"{{ a b }}", "line 1, column 6: expected }}, got b"},
        {"\n\n{{ 'abc }}", "line 3, column 4: this string is never closed"},
        {"{{ (1 }}", "expected '"},
        {"{{ 1) }}", "line 1, column 5: unexpected ')'"},
        {"{{ [1) }}", "unexpected ')', expected ']'"},
        {"{% foo %}", "line 1, column 4: unknown statement 'foo'"},
        {"{% if 1 %}{% endfor %}", "unknown statement 'endfor' inside 'if'"},
        {"{# a", "line 1, column 1: this comment is never closed"},
        {"{% raw %}a", "'{% raw %}' is never closed"},
        {"{{ a. }}", "expected a name or a number after '.'"},
        {"{{ }}", "line 1, column 4: unexpected }}"},
        {"{{ f(a=1, 2) }}", "an argument without a name follows one with a name"},
        {"{% set true = 1 %}", "cannot assign to 'true'"},
        {"{% break %}", "'break' outside of a loop"},
        {"{% for x y %}{% endfor %}", "expected 'in'"},
        {"é{{ ! }}", "line 1, column 5: unexpected character '!'"},
        {"\xff", "line 1, column 1: not UTF-8"},
        {"{{ '\\ud800' }}", "names no Unicode character"},
    };
    static const struct sample unsupported[] = {
        {"{% include 'x' %}", "line 1, column 4: 'include' is not supported"},
        {"{% extends 'x' %}", "'extends' is not supported"},
        {"{{ '\\N{DASH}' }}", "not supported"},
    };
    check_errors(samples, CV_COUNT(samples), CV_ERR_FORMAT);
    check_errors(unsupported, CV_COUNT(unsupported), CV_ERR_UNSUPPORTED);
}

static void test_errors_of_a_render_name_line_and_column(void)
{
    static const struct sample samples[] = {
        {"a\n {{ undef.x }}", "line 2, column 10: 'undef' is undefined"},
        {"{{ d.foo.bar }}", "line 1, column 9: 'dict object' has no attribute 'foo'"},
        {"{{ l[7].x }}", "list object has no element 7"},
        {"{{ 'a' + 1 }}", "can only concatenate str (not \"int\") to str"},
        {"{{ undef + 'a' }}", "'undef' is undefined"},
        {"{{ l.append(1) }}", "access to attribute 'append' of 'list' object is unsafe"},
        {"{{ ''.__class__.x }}", "unsafe"},
        {"{% set d.x = 1 %}", "only of a namespace"},
        {"{{ n|length }}", "NoneType has no length"},
        {"{% for x in 5 %}{% endfor %}", "line 1, column 13: int is not iterable"},
        {"{{ 'a' < 1 }}", "have no order"},
        {"{{ s|nofilter }}", "no filter named 'nofilter'"},
        {"{{ s is notest }}", "no test named 'notest'"},
        {"{{ 1 / 0 }}{{ 1 }}", "division by zero"},
        {"{{ s() }}", "'str' object is not callable"},
        {"{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "macro 'm' got too many arguments"},
        {"{% macro m(a) %}{% endmacro %}{{ m(b=2) }}", "macro 'm' got an argument"},
        {"{{ undef|tojson }}", "cannot be written as JSON"},
        {"{{ [1, 'a']|sort }}", "have no order"},
        {"{% set a, b = 1, 2, 3 %}", "3 values to unpack, expected 2"},
        {"{{ 'x'.split('') }}", "empty separator"},
    };
    static const struct sample raised[] = {
        {"{{ raise_exception('Only user roles: ' ~ i) }}", "Only user roles: 42"},
        {"{{ raise_exception('a\\x00b') }}", "a b"},
        {"{{ raise_exception('') }}", "the chat template refuses these messages"},
    };
    check_errors(samples, CV_COUNT(samples), CV_ERR_FORMAT);
    check_errors(raised, CV_COUNT(raised), CV_ERR_ARG);
    struct cv_error err;
    char got[100];
    CHECK(!render("{{ raise_exception('Mine') }}", got, sizeof(got), &err));
    CHECK_STR(err.msg, "Mine");
    /* what is never run may be wrong */
    CHECK(render("{% if false %}{{ s|nofilter }}{{ undef.x }}{% endif %}", got, sizeof(got), &err));
}

static void test_values_are_built_by_hand(void)
{
    struct cv_error err;
    struct cv_values *v;
    struct cv_value map, list, item;
    CHECK_OK(cv_values_new(&v, 1 << 16, &err), err);
    CHECK_OK(cv_value_map(&map, v, &err), err);
    CHECK_OK(cv_value_list(&list, v, &err), err);
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        CHECK_OK(cv_value_list_add(list, cv_value_int(i), &err), err);
        CHECK_OK(cv_value_map_set(map, key, cv_value_double(i / 2.0), &err), err);
    }
    CHECK_OK(cv_value_map_set(map, "k7", cv_value_bool(true), &err), err);
    CHECK_OK(cv_value_map_set(map, "list", list, &err), err);
    CHECK_OK(cv_value_string(&item, v, "a\0b", 3, &err), err);
    CHECK_OK(cv_value_map_set(map, "nul", item, &err), err);
    CHECK_EQ(cv_value_get(map, "k7").type, CV_VALUE_BOOL);
    CHECK(cv_value_get(map, "k99").as.d == 49.5);
    CHECK_EQ(cv_value_get(map, "k100").type, CV_VALUE_UNDEFINED);
    CHECK_EQ(cv_value_get(list, "k1").type, CV_VALUE_UNDEFINED);
    CHECK(!cv_value_string(&item, v, "a\xff", 2, &err));
    CHECK_EQ(err.code, CV_ERR_FORMAT);
    CHECK(!cv_value_map_set(list, "a", item, &err));
    CHECK(!cv_value_list_add(map, item, &err));

    struct cv_template *t;
    struct cv_buf out;
    cv_buf_init(&out, 100);
    CHECK(cv_buf_puts(&out, "kept "));
    static const char source[] = "{{ list|length }}{{ k3 }}{{ k7 }}{{ nul|length }}";
    CHECK_OK(cv_template_new(&t, source, strlen(source), &err), err);
    CHECK_OK(cv_template_render(t, map, 0, &out, &err), err);
    CHECK_STR(out.data, "kept 1001.5True3");
    cv_template_free(t);
    CHECK_OK(cv_template_new(&t, "abc{{ x.y }}", 12, &err), err);
    CHECK(!cv_template_render(t, map, 0, &out, &err));
    CHECK_STR(out.data, "kept 1001.5True3"); /* as before */
    cv_template_free(t);
    cv_buf_fini(&out);
    cv_values_free(v);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_white_space_around_tags_follows_signs_and_lines),
        CASE(test_operators_bind_as_in_python),
        CASE(test_values_print_as_python_prints_them),
        CASE(test_attributes_items_and_slices),
        CASE(test_loops_know_where_they_are),
        CASE(test_names_live_in_their_block),
        CASE(test_macros_take_defaults_names_and_callers),
        CASE(test_filters_of_lists),
        CASE(test_filters_of_text_and_numbers),
        CASE(test_tojson_writes_what_json_dumps_writes),
        CASE(test_methods_of_strings),
        CASE(test_tests_tell_types),
        CASE(test_the_clock_is_given),
        CASE(test_errors_of_syntax_name_line_and_column),
        CASE(test_errors_of_a_render_name_line_and_column),
        CASE(test_values_are_built_by_hand),
    };
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
