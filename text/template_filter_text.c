/* template_filter_text.c - filters over strings and numbers. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/template_string.h"

static const char *const no_names[] = {NULL};

static bool flag(struct cv_value v)
{
    return cv_tmpl_given(v) && cv_tmpl_truth(v);
}

static bool filter_abs(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out)
{
    if (!cv_tmpl_bind(r, "abs", args, no_names, 0, 0, NULL))
        return false;
    *out = self;
    if (self.type == CV_VALUE_DOUBLE) {
        out->as.d = fabs(self.as.d);
        return true;
    }
    if (cv_value_is_int(self) && self.as.i >= 0) {
        *out = cv_value_int(self.as.i);
        return true;
    }
    return cv_tmpl_negate(r, self, true, out);
}

static bool filter_attr(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                        struct cv_value *out)
{
    static const char *const names[] = {"name"};
    struct cv_value name;
    if (!cv_tmpl_bind(r, "attr", args, names, 1, 1, &name) || !cv_tmpl_to_str(r, name, &name))
        return false;
    return cv_tmpl_get_attr(r, self, name, out);
}

/* A filter that changes the case of str(self). */
static bool change_case(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, const char *what,
                        enum cv_str_case how, struct cv_value *out)
{
    return cv_tmpl_bind(r, what, args, no_names, 0, 0, NULL) && cv_tmpl_to_str(r, self, &self) &&
           cv_str_case(r, self, how, out);
}

static bool filter_capitalize(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                              struct cv_value *out)
{
    return change_case(r, self, args, "capitalize", CV_CASE_CAPITALIZE, out);
}

static bool filter_lower(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                         struct cv_value *out)
{
    return change_case(r, self, args, "lower", CV_CASE_LOWER, out);
}

static bool filter_upper(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                         struct cv_value *out)
{
    return change_case(r, self, args, "upper", CV_CASE_UPPER, out);
}

/* Words begin behind white space, dashes and opening brackets: other than the method of the same name. */
static bool filter_title(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                         struct cv_value *out)
{
    if (!cv_tmpl_bind(r, "title", args, no_names, 0, 0, NULL) || !cv_tmpl_to_str(r, self, &self) ||
        !cv_tmpl_charge(r, self.len))
        return false;
    const size_t mark = r->scratch.len;
    const char *end = self.as.s + self.len;
    bool first = true;
    for (const char *p = self.as.s; p < end;) {
        const char *next = cv_str_skip(p, end, 1);
        const struct cv_value c = cv_value_str_view(p, (size_t)(next - p));
        struct cv_value changed;
        if (!cv_str_case(r, c, first ? CV_CASE_UPPER : CV_CASE_LOWER, &changed) ||
            !cv_tmpl_put(r, &r->scratch, changed.as.s, changed.len))
            return false;
        first = *p != '\0' && strchr("-({[< \t\n\v\f\r", *p) != NULL;
        p = next;
    }
    return cv_tmpl_take(r, mark, out);
}

static bool filter_center(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                          struct cv_value *out)
{
    static const char *const names[] = {"width"};
    struct cv_value a;
    int64_t width = 80;
    if (!cv_tmpl_bind(r, "center", args, names, 1, 0, &a) || !cv_tmpl_to_str(r, self, &self) ||
        (cv_tmpl_given(a) && !cv_tmpl_need_int(r, "center()", a, &width)))
        return false;
    return cv_str_pad(r, self, width, (struct cv_value){.type = CV_VALUE_ABSENT}, 0, out);
}

static bool filter_default(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                           struct cv_value *out)
{
    static const char *const names[] = {"default_value", "boolean"};
    struct cv_value a[2];
    if (!cv_tmpl_bind(r, "default", args, names, 2, 0, a))
        return false;
    const bool missing = self.type == CV_VALUE_UNDEFINED || (flag(a[1]) && !cv_tmpl_truth(self));
    *out = !missing ? self : cv_tmpl_given(a[0]) ? a[0] : cv_value_str_view("", 0);
    return true;
}

static bool filter_escape(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                          struct cv_value *out)
{
    return cv_tmpl_bind(r, "escape", args, no_names, 0, 0, NULL) && cv_tmpl_escape(r, self, out);
}

static bool filter_forceescape(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                               struct cv_value *out)
{
    if (!cv_tmpl_bind(r, "forceescape", args, no_names, 0, 0, NULL) || !cv_tmpl_to_str(r, self, &self))
        return false;
    self.flavor = 0;
    return cv_tmpl_escape(r, self, out);
}

static bool filter_safe(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                        struct cv_value *out)
{
    if (!cv_tmpl_bind(r, "safe", args, no_names, 0, 0, NULL) || !cv_tmpl_to_str(r, self, out))
        return false;
    out->flavor = CV_STRING_MARKUP;
    return true;
}

/* Text of a number as Python's int() and float() take it: blanks around it and underscores between digits. False: it is
 * none, or too long to be one that we can hold. */
static bool number_text(struct cv_tmpl_run *r, struct cv_value v, char text[100])
{
    size_t n = 0;
    if (!cv_str_strip(r, v, cv_value_null(), CV_STRIP_BOTH, &v))
        return false;
    for (uint32_t i = 0; i < v.len; i++) {
        const char c = v.as.s[i];
        if (c == '_' && i > 0 && isalnum((unsigned char)v.as.s[i - 1]) && i + 1 < v.len &&
            isalnum((unsigned char)v.as.s[i + 1]))
            continue;
        if (n == 99 || !(isalnum((unsigned char)c) || c == '+' || c == '-' || c == '.'))
            return false;
        text[n++] = c;
    }
    text[n] = '\0';
    return n != 0;
}

static bool parse_float(const char *text, double *out)
{
    char *end;
    const char *digits = text + (*text == '+' || *text == '-');
    /* strtod also reads hexadecimal, and nan(...) */
    if (digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X'))
        return false;
    *out = strtod(text, &end);
    return *end == '\0' && end != text;
}

static bool parse_int(const char *text, int base, int64_t *out)
{
    char *end;
    const char *digits = text + (*text == '+' || *text == '-');
    const char mark = (char)tolower((unsigned char)(digits[0] == '0' ? digits[1] : '\0'));
    const bool prefixed = (base == 16 && mark == 'x') || (base == 8 && mark == 'o') || (base == 2 && mark == 'b');
    char plain[104];
    snprintf(plain, sizeof(plain), "%s%s", *text == '-' ? "-" : "", digits + (prefixed ? 2 : 0));
    if (base < 2 || base > 36 || !isalnum((unsigned char)digits[0]) || (base == 16 && mark == 'x' && !prefixed))
        return false;
    errno = 0;
    *out = strtoll(plain, &end, base);
    return errno == 0 && *end == '\0' && end != plain;
}

static bool filter_int(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out)
{
    static const char *const names[] = {"default", "base"};
    struct cv_value a[2];
    int64_t base = 10, i;
    double d = 0;
    char text[100];
    if (!cv_tmpl_bind(r, "int", args, names, 2, 0, a) ||
        (cv_tmpl_given(a[1]) && !cv_tmpl_need_int(r, "int()", a[1], &base)))
        return false;
    if (self.type == CV_VALUE_UNDEFINED)
        return cv_tmpl_fail_undefined(r, self);
    *out = cv_tmpl_given(a[0]) ? a[0] : cv_value_int(0);
    bool is_float = self.type == CV_VALUE_DOUBLE;
    if (is_float)
        d = self.as.d;
    if (cv_value_is_int(self)) {
        *out = cv_value_int(self.as.i);
    } else if (self.type == CV_VALUE_STRING && number_text(r, self, text)) {
        if (parse_int(text, (int)base, &i))
            *out = cv_value_int(i);
        else
            is_float = parse_float(text, &d);
    }
    if (!is_float || isnan(d) || isinf(d))
        return true;
    if (d >= 0x1p63 || d < -0x1p63)
        return cv_tmpl_fail(r, CV_ERR_LIMIT, "%g does not fit into 64 bits", d);
    *out = cv_value_int((int64_t)d);
    return true;
}

static bool filter_float(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                         struct cv_value *out)
{
    static const char *const names[] = {"default"};
    struct cv_value a;
    char text[100];
    double d;
    if (!cv_tmpl_bind(r, "float", args, names, 1, 0, &a))
        return false;
    if (self.type == CV_VALUE_UNDEFINED)
        return cv_tmpl_fail_undefined(r, self);
    *out = cv_tmpl_given(a) ? a : cv_value_double(0.0);
    if (cv_value_is_number(self))
        *out = cv_value_double(cv_value_as_double(self));
    else if (self.type == CV_VALUE_STRING && number_text(r, self, text) && parse_float(text, &d))
        *out = cv_value_double(d);
    return true;
}

static bool filter_round(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                         struct cv_value *out)
{
    static const char *const names[] = {"precision", "method"};
    struct cv_value a[2];
    int64_t precision = 0;
    if (!cv_tmpl_bind(r, "round", args, names, 2, 0, a) ||
        (cv_tmpl_given(a[0]) && !cv_tmpl_need_int(r, "round()", a[0], &precision)))
        return false;
    if (!cv_value_is_number(self))
        return self.type == CV_VALUE_UNDEFINED
                   ? cv_tmpl_fail_undefined(r, self)
                   : cv_tmpl_fail(r, CV_ERR_FORMAT, "%s cannot be rounded", cv_tmpl_type_name(self));
    if (precision > 300 || precision < -300)
        return cv_tmpl_fail(r, CV_ERR_LIMIT, "a precision of %lld", (long long)precision);
    const bool ceils = cv_tmpl_given(a[1]) && cv_value_str_is(a[1], "ceil");
    const bool floors = cv_tmpl_given(a[1]) && cv_value_str_is(a[1], "floor");
    if (cv_tmpl_given(a[1]) && !ceils && !floors && !cv_value_str_is(a[1], "common"))
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "round() knows the methods common, ceil and floor");
    const double d = cv_value_as_double(self), scale = pow(10.0, (double)precision);
    if (ceils || floors) {
        const double scaled = ceils ? ceil(d * scale) : floor(d * scale);
        *out = cv_value_double(scaled / scale);
        return true;
    }
    if (cv_value_is_int(self) && precision >= 0) {
        *out = cv_value_int(self.as.i);
        return true;
    }
    char text[700]; /* 309 digits, a point, 300 digits */
    double rounded = d;
    if (precision < 0) {
        rounded = rint(d * scale) / scale;
    } else if (isfinite(d)) {
        snprintf(text, sizeof(text), "%.*f", (int)precision, d);
        rounded = strtod(text, NULL);
    }
    *out = cv_value_is_int(self) ? cv_value_int((int64_t)rounded) : cv_value_double(rounded);
    return true;
}

static bool filter_format(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                          struct cv_value *out)
{
    if (!cv_tmpl_to_str(r, self, &self))
        return false;
    if (args->n_pos != 0 && args->n_kw != 0)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "format takes arguments with names or without, not both");
    if (args->n_kw == 0) {
        struct cv_list *l;
        if (!cv_tmpl_list_new(r, args->n_pos, &l))
            return false;
        for (uint32_t i = 0; i < args->n_pos; i++) {
            if (!cv_tmpl_list_push(r, l, args->pos[i]))
                return false;
        }
        return cv_tmpl_percent(r, self, cv_value_of_list(l, CV_LIST_TUPLE), out);
    }
    struct cv_map_value *m = cv_map_value_new(&r->values, args->n_kw);
    if (m == NULL)
        return cv_tmpl_nomem(r);
    for (uint32_t i = 0; i < args->n_kw; i++) {
        if (!cv_tmpl_map_put(r, m, args->kw[i].name, args->kw[i].value))
            return false;
    }
    return cv_tmpl_percent(r, self, cv_value_of_map(m), out);
}

static bool filter_indent(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                          struct cv_value *out)
{
    static const char *const names[] = {"width", "first", "blank"};
    struct cv_value a[3], by = cv_value_cstr("    "), end;
    struct cv_list *lines;
    if (!cv_tmpl_bind(r, "indent", args, names, 3, 0, a) || !cv_tmpl_need_str(r, "indent", self))
        return false;
    if (cv_tmpl_given(a[0]) && a[0].type == CV_VALUE_STRING) {
        by = a[0];
    } else if (cv_tmpl_given(a[0])) {
        int64_t width;
        if (!cv_tmpl_need_int(r, "indent()", a[0], &width) ||
            !cv_str_pad(r, cv_value_str_view("", 0), width, (struct cv_value){.type = CV_VALUE_ABSENT}, 1, &by))
            return false;
    }
    /* a newline at the end, so that an empty last line counts */
    const uint8_t flavor = self.flavor;
    self.flavor = 0;
    if (!cv_tmpl_join(r, self, cv_value_cstr("\n"), &end) || !cv_str_lines(r, end, false, &lines))
        return false;
    const size_t mark = r->scratch.len;
    for (uint32_t i = 0; i < lines->n; i++) {
        const struct cv_value line = lines->item[i];
        const bool indented = i == 0 ? flag(a[1]) : line.len != 0 || flag(a[2]);
        if ((i != 0 && !cv_tmpl_put(r, &r->scratch, "\n", 1)) ||
            (indented && !cv_tmpl_put(r, &r->scratch, by.as.s, by.len)) ||
            !cv_tmpl_put(r, &r->scratch, line.as.s, line.len))
            return false;
    }
    if (!cv_tmpl_take(r, mark, out))
        return false;
    out->flavor = flavor;
    return true;
}

static bool filter_length(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                          struct cv_value *out)
{
    int64_t n;
    if (!cv_tmpl_bind(r, "length", args, no_names, 0, 0, NULL) || !cv_tmpl_length(r, self, &n))
        return false;
    *out = cv_value_int(n);
    return true;
}

static bool filter_replace(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                           struct cv_value *out)
{
    static const char *const names[] = {"old", "new", "count"};
    struct cv_value a[3];
    int64_t count = -1;
    if (!cv_tmpl_bind(r, "replace", args, names, 3, 2, a) || !cv_tmpl_to_str(r, self, &self) ||
        !cv_tmpl_to_str(r, a[0], &a[0]) || !cv_tmpl_to_str(r, a[1], &a[1]))
        return false;
    if (cv_tmpl_given(a[2]) && a[2].type != CV_VALUE_NULL && !cv_tmpl_need_int(r, "replace()", a[2], &count))
        return false;
    self.flavor = 0;
    return cv_str_replace(r, self, a[0], a[1], count, out);
}

static bool filter_string(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                          struct cv_value *out)
{
    return cv_tmpl_bind(r, "string", args, no_names, 0, 0, NULL) && cv_tmpl_to_str(r, self, out);
}

static bool filter_trim(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                        struct cv_value *out)
{
    static const char *const names[] = {"chars"};
    struct cv_value chars;
    return cv_tmpl_bind(r, "trim", args, names, 1, 0, &chars) && cv_tmpl_to_str(r, self, &self) &&
           cv_str_strip(r, self, chars, CV_STRIP_BOTH, out);
}

static bool filter_truncate(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                            struct cv_value *out)
{
    static const char *const names[] = {"length", "killwords", "end", "leeway"};
    struct cv_value a[4], dots = cv_value_cstr("...");
    int64_t length = 255, leeway = 5;
    int64_t n;
    if (!cv_tmpl_bind(r, "truncate", args, names, 4, 0, a) || !cv_tmpl_length(r, self, &n) ||
        (cv_tmpl_given(a[0]) && !cv_tmpl_need_int(r, "truncate()", a[0], &length)) ||
        (cv_tmpl_given(a[2]) && !cv_tmpl_to_str(r, a[2], &dots)) ||
        (cv_tmpl_given(a[3]) && a[3].type != CV_VALUE_NULL && !cv_tmpl_need_int(r, "truncate()", a[3], &leeway)))
        return false;
    const int64_t n_end = (int64_t)cv_str_count(dots);
    if (length < n_end || leeway < 0)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "truncate() needs a length of at least %lld", (long long)n_end);
    *out = self;
    if (n - length <= leeway)
        return true;
    if (!cv_tmpl_need_str(r, "truncate", self))
        return false;
    const char *cut = cv_str_skip(self.as.s, self.as.s + self.len, (size_t)(length - n_end));
    struct cv_value kept = cv_value_str_view(self.as.s, (size_t)(cut - self.as.s));
    for (uint32_t i = kept.len; !flag(a[1]) && i > 0; i--) {
        if (kept.as.s[i - 1] == ' ') {
            kept.len = i - 1;
            break;
        }
    }
    return cv_tmpl_join(r, kept, dots, out);
}

static bool filter_tojson(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                          struct cv_value *out)
{
    return cv_tmpl_to_json(r, self, args, out);
}

static bool filter_urlencode(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                             struct cv_value *out)
{
    const bool structured = self.type == CV_VALUE_LIST || self.type == CV_VALUE_MAP;
    if (!cv_tmpl_bind(r, "urlencode", args, no_names, 0, 0, NULL) || !cv_tmpl_to_str(r, self, &self))
        return false;
    if (structured)
        return cv_tmpl_fail(r, CV_ERR_UNSUPPORTED, "urlencode works for strings only");
    const size_t mark = r->scratch.len;
    for (uint32_t i = 0; i < self.len; i++) {
        const unsigned char c = (unsigned char)self.as.s[i];
        char text[4] = {(char)c, '\0'};
        if (c == '\0' || (!isalnum(c) && strchr("_.-~/", c) == NULL))
            snprintf(text, sizeof(text), "%%%02X", c);
        if (!cv_tmpl_put(r, &r->scratch, text, strlen(text)) || !cv_tmpl_charge(r, 1))
            return false;
    }
    return cv_tmpl_take(r, mark, out);
}

static bool filter_wordcount(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                             struct cv_value *out)
{
    int64_t n = 0;
    bool inside = false;
    if (!cv_tmpl_bind(r, "wordcount", args, no_names, 0, 0, NULL) || !cv_tmpl_to_str(r, self, &self) ||
        !cv_tmpl_charge(r, self.len))
        return false;
    for (uint32_t i = 0; i < self.len; i++) {
        uint32_t cp;
        const size_t used = cv_utf8_decode(self.as.s + i, self.len - i, &cp);
        const bool word = cp == '_' || cv_uni_is(cp, CV_UNI_ALPHA) || cv_uni_is(cp, CV_UNI_NUMERIC);
        n += word && !inside;
        inside = word;
        i += used > 1 ? (uint32_t)used - 1 : 0;
    }
    *out = cv_value_int(n);
    return true;
}

const struct cv_tmpl_builtin cv_tmpl_text_filters[] = {
    {"abs", filter_abs},
    {"attr", filter_attr},
    {"capitalize", filter_capitalize},
    {"center", filter_center},
    {"count", filter_length},
    {"d", filter_default},
    {"default", filter_default},
    {"e", filter_escape},
    {"escape", filter_escape},
    {"float", filter_float},
    {"forceescape", filter_forceescape},
    {"format", filter_format},
    {"indent", filter_indent},
    {"int", filter_int},
    {"length", filter_length},
    {"lower", filter_lower},
    {"replace", filter_replace},
    {"round", filter_round},
    {"safe", filter_safe},
    {"string", filter_string},
    {"title", filter_title},
    {"tojson", filter_tojson},
    {"trim", filter_trim},
    {"truncate", filter_truncate},
    {"upper", filter_upper},
    {"urlencode", filter_urlencode},
    {"wordcount", filter_wordcount},
};
const size_t cv_tmpl_n_text_filters = CV_COUNT(cv_tmpl_text_filters);
