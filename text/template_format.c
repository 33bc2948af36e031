/* template_format.c - "%s of %d" % args and "{} of {n:>5}".format(args), as Python prints them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/template_string.h"

enum { MAX_PRECISION = 300, MAX_NUMBER = 800 /* 309 digits, point, precision, and commas */ };

struct spec {
    struct cv_value fill; /* one character */
    char align;           /* '<', '>', '^', '=' (behind the sign), or '\0' */
    char sign;            /* '+', ' ' or '\0' */
    bool alternate, comma;
    int64_t width, precision; /* precision -1: not given */
    char type;                /* '\0': not given */
};

static bool pad(struct cv_tmpl_run *r, const struct spec *s, struct cv_value text, int where)
{
    struct cv_value padded;
    return cv_str_pad(r, text, s->width, s->fill, where, &padded) &&
           cv_tmpl_put(r, &r->scratch, padded.as.s, padded.len);
}

/* sign and digits with the padding that s asks for */
static bool put_number(struct cv_tmpl_run *r, const struct spec *s, const char *sign, const char *digits)
{
    char text[MAX_NUMBER + 32];
    const int n = snprintf(text, sizeof(text), "%s%s", sign, digits);
    if (n < 0 || (size_t)n >= sizeof(text))
        return cv_tmpl_fail(r, CV_ERR_LIMIT, "a formatted number is too long");
    if (s->align != '=')
        return pad(r, s, cv_value_cstr(text), s->align == '<' ? -1 : s->align == '^' ? 0 : 1);
    struct spec rest = *s;
    rest.width -= (int64_t)strlen(sign);
    return cv_tmpl_put(r, &r->scratch, sign, strlen(sign)) && pad(r, &rest, cv_value_cstr(digits), 1);
}

/* digits with a comma between every three of the whole part */
static void add_commas(char out[MAX_NUMBER], const char *digits)
{
    const size_t whole = strspn(digits, "0123456789");
    size_t n = 0;
    for (size_t i = 0; digits[i] != '\0' && n + 2 < MAX_NUMBER; i++) {
        if (i != 0 && i < whole && (whole - i) % 3 == 0)
            out[n++] = ',';
        out[n++] = digits[i];
    }
    out[n] = '\0';
}

static const char *sign_of(const struct spec *s, bool minus)
{
    return minus ? "-" : s->sign == '+' ? "+" : s->sign == ' ' ? " " : "";
}

static bool put_int(struct cv_tmpl_run *r, const struct spec *s, int64_t v)
{
    const uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    char digits[MAX_NUMBER], plain[80], sign[8];
    size_t n = 0;
    if (s->type == 'b') {
        int bits = 63;
        while (bits > 0 && (u >> bits & 1) == 0)
            bits--;
        for (; bits >= 0; bits--)
            plain[n++] = (char)('0' + (u >> bits & 1));
        plain[n] = '\0';
    } else {
        snprintf(plain, sizeof(plain),
                 s->type == 'x'   ? "%llx"
                 : s->type == 'X' ? "%llX"
                 : s->type == 'o' ? "%llo"
                                  : "%llu",
                 (unsigned long long)u);
    }
    snprintf(digits, sizeof(digits), "%s", plain);
    if (s->comma)
        add_commas(digits, plain);
    /* "%.5d": at least five digits */
    if (s->precision > (int64_t)strlen(plain) && !s->comma)
        snprintf(digits, sizeof(digits), "%0*d%s", (int)(s->precision - (int64_t)strlen(plain)), 0, plain);
    const bool prefixed = s->alternate && s->type != '\0' && strchr("xXob", s->type) != NULL;
    snprintf(sign, sizeof(sign), "%s%s%.1s", sign_of(s, v < 0), prefixed ? "0" : "", prefixed ? &s->type : "");
    return put_number(r, s, sign, digits);
}

static bool put_float(struct cv_tmpl_run *r, const struct spec *s, double v)
{
    char digits[MAX_NUMBER], plain[MAX_NUMBER];
    const bool percent = s->type == '%';
    const double d = fabs(percent ? v * 100 : v);
    const int precision = s->precision < 0 ? 6 : (int)s->precision;
    if (!cv_tmpl_charge(r, 50))
        return false;
    if (isnan(d) || isinf(d)) {
        snprintf(plain, sizeof(plain), "%s", isnan(d) ? "nan" : "inf");
    } else if (s->type == '\0' && s->precision < 0) {
        cv_tmpl_float_text(plain, d);
    } else if (s->type == '\0') {
        snprintf(plain, sizeof(plain), "%.*g", precision, d);
        if (strpbrk(plain, ".e") == NULL)
            strcat(plain, ".0");
    } else {
        const char fmt[] = {'%', '.', '*', percent ? 'f' : s->type, '\0'};
        snprintf(plain, sizeof(plain), fmt, precision, d);
    }
    snprintf(digits, sizeof(digits), "%s", plain);
    if (s->comma)
        add_commas(digits, plain);
    if (percent && strlen(digits) + 1 < sizeof(digits))
        strcat(digits, "%");
    return put_number(r, s, sign_of(s, signbit(v) && !isnan(v)), digits);
}

static bool put_text(struct cv_tmpl_run *r, const struct spec *s, struct cv_value v)
{
    if (s->precision >= 0) {
        const char *end = cv_str_skip(v.as.s, v.as.s + v.len, (size_t)s->precision);
        v.len = (uint32_t)(end - v.as.s);
    }
    v.flavor = 0;
    return pad(r, s, v, s->align == '>' || s->align == '=' ? 1 : s->align == '^' ? 0 : -1);
}

static bool check_spec(struct cv_tmpl_run *r, const struct spec *s)
{
    if (s->precision > MAX_PRECISION && s->type != 's' && s->type != '\0')
        return cv_tmpl_fail(r, CV_ERR_LIMIT, "a precision of %lld; at most %d are allowed", (long long)s->precision,
                            (int)MAX_PRECISION);
    return true;
}

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

/* A decimal number at *at, up to 9 digits. */
static int64_t read_number(struct cv_value s, uint32_t *at, bool *any)
{
    int64_t n = 0;
    const uint32_t start = *at;
    while (*at < s.len && s.as.s[*at] >= '0' && s.as.s[*at] <= '9' && *at - start < 9)
        n = n * 10 + (s.as.s[(*at)++] - '0');
    *any = *at != start;
    return n;
}

struct percent {
    struct cv_value fmt, args;
    uint32_t at, next; /* of the format; of a tuple's items */
    bool by_name;
};

static bool next_arg(struct cv_tmpl_run *r, struct percent *p, struct cv_value *out)
{
    const bool tuple = p->args.type == CV_VALUE_LIST && p->args.flavor == CV_LIST_TUPLE;
    if (p->next >= (tuple ? p->args.as.list->n : 1))
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "not enough arguments for the format string");
    *out = tuple ? p->args.as.list->item[p->next] : p->args;
    p->next++;
    return true;
}

static bool read_star(struct cv_tmpl_run *r, struct percent *p, int64_t *out, bool *any)
{
    if (p->at < p->fmt.len && p->fmt.as.s[p->at] == '*') {
        struct cv_value v;
        p->at++;
        *any = true;
        return next_arg(r, p, &v) && cv_tmpl_need_int(r, "'*' in a format", v, out);
    }
    *out = read_number(p->fmt, &p->at, any);
    return true;
}

/* "(name)flags width.precision type", behind the percent sign. */
static bool read_percent(struct cv_tmpl_run *r, struct percent *p, struct spec *s, struct cv_value *arg)
{
    bool any, named = false, zero = false;
    const struct cv_value f = p->fmt;
    *s = (struct spec){.fill = cv_value_cstr(" "), .align = '>', .precision = -1};
    if (p->at < f.len && f.as.s[p->at] == '(') {
        const char *end = memchr(f.as.s + p->at, ')', f.len - p->at);
        if (end == NULL)
            return cv_tmpl_fail(r, CV_ERR_FORMAT, "incomplete name in a format string");
        const uint32_t start = p->at + 1;
        p->at = (uint32_t)(end - f.as.s) + 1;
        if (p->args.type != CV_VALUE_MAP)
            return cv_tmpl_fail(r, CV_ERR_FORMAT, "format requires a mapping");
        const struct cv_map_entry *e = cv_map_value_find_str(p->args.as.map, f.as.s + start, p->at - 1 - start);
        if (e == NULL)
            return cv_tmpl_fail(r, CV_ERR_FORMAT, "no '%.*s' for the format string",
                                (int)(p->at - 1 - start < 60 ? p->at - 1 - start : 60), f.as.s + start);
        *arg = e->item;
        named = p->by_name = true;
    }
    for (; p->at < f.len && is_one_of(f.as.s[p->at], "#0- +"); p->at++) {
        const char c = f.as.s[p->at];
        s->alternate |= c == '#';
        zero |= c == '0';
        s->align = c == '-' ? '<' : s->align;
        s->sign = c == '+' ? '+' : c == ' ' && s->sign == '\0' ? ' ' : s->sign;
    }
    if (!read_star(r, p, &s->width, &any))
        return false;
    if (s->width < 0) {
        s->align = '<';
        s->width = s->width < -(int64_t)CV_MAX_TEMPLATE_OUTPUT ? CV_MAX_TEMPLATE_OUTPUT + 1LL : -s->width;
    }
    if (p->at < f.len && f.as.s[p->at] == '.') {
        p->at++;
        if (!read_star(r, p, &s->precision, &any))
            return false;
        s->precision = s->precision < 0 ? 0 : s->precision;
    }
    while (p->at < f.len && is_one_of(f.as.s[p->at], "hlL"))
        p->at++;
    if (p->at >= f.len)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "incomplete format");
    s->type = f.as.s[p->at++];
    if (zero && s->align != '<' && !is_one_of(s->type, "srac")) {
        s->fill = cv_value_cstr("0");
        s->align = '=';
    }
    return s->type == '%' || named || next_arg(r, p, arg);
}

/* markup: the format string is safe text, so what goes into it is escaped. */
static bool put_percent(struct cv_tmpl_run *r, struct spec *s, struct cv_value v, bool markup)
{
    const size_t mark = r->scratch.len;
    char type = s->type;
    if (is_one_of(type, "sra")) {
        if (type == 's' && markup && !cv_tmpl_escape(r, v, &v))
            return false;
        if (!(type == 's' ? cv_tmpl_print(r, &r->scratch, v) : cv_tmpl_repr(r, &r->scratch, v)) ||
            !cv_tmpl_take(r, mark, &v))
            return false;
        s->align = s->align == '<' ? '<' : '>';
        return put_text(r, s, v);
    }
    if (v.type == CV_VALUE_UNDEFINED)
        return cv_tmpl_fail_undefined(r, v);
    if (type == 'c') {
        if (v.type != CV_VALUE_STRING || cv_str_count(v) != 1)
            return cv_tmpl_fail(r, CV_ERR_FORMAT, "%%c needs one character");
        return put_text(r, s, v);
    }
    if (!is_one_of(type, "diuxXoeEfFgG"))
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "unknown format '%%%c'", type >= ' ' && type < 0x7f ? type : '?');
    if (!cv_value_is_number(v))
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "%%%c needs a number, not %s", type, cv_tmpl_type_name(v));
    if (is_one_of(type, "eEfFgG"))
        return put_float(r, s, cv_value_as_double(v));
    if (v.type == CV_VALUE_DOUBLE && (is_one_of(type, "xXo") || !(fabs(v.as.d) < 0x1p63)))
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "%%%c needs a whole number", type);
    return put_int(r, s, v.type == CV_VALUE_DOUBLE ? (int64_t)v.as.d : v.as.i);
}

bool cv_tmpl_percent(struct cv_tmpl_run *r, struct cv_value fmt, struct cv_value args, struct cv_value *out)
{
    struct percent p = {.fmt = fmt, .args = args};
    const size_t mark = r->scratch.len;
    const bool tuple = args.type == CV_VALUE_LIST && args.flavor == CV_LIST_TUPLE;
    while (p.at < fmt.len) {
        struct spec s;
        struct cv_value v = cv_value_null();
        const char *percent = memchr(fmt.as.s + p.at, '%', fmt.len - p.at);
        const uint32_t next = percent == NULL ? fmt.len : (uint32_t)(percent - fmt.as.s);
        if (!cv_tmpl_charge(r, 1) || !cv_tmpl_put(r, &r->scratch, fmt.as.s + p.at, next - p.at))
            return false;
        p.at = next + 1;
        if (percent == NULL)
            break;
        if (!read_percent(r, &p, &s, &v) || !check_spec(r, &s))
            return false;
        if (s.type == '%' ? !cv_tmpl_put(r, &r->scratch, "%", 1) : !put_percent(r, &s, v, fmt.flavor != 0))
            return false;
    }
    /* what has items by index or by name need not be used up, unless it is a tuple */
    const bool list = args.type == CV_VALUE_LIST && args.flavor <= CV_LIST_RANGE && args.flavor != CV_LIST_ITER;
    const bool indexed = list || args.type == CV_VALUE_MAP || args.type == CV_VALUE_UNDEFINED;
    const bool all = tuple ? p.next >= args.as.list->n : p.next != 0 || p.by_name || indexed;
    if (!all)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "not all arguments converted during string formatting");
    if (!cv_tmpl_take(r, mark, out))
        return false;
    out->flavor = fmt.flavor;
    return true;
}

/* "[[fill]align][sign][#][0][width][,][.precision][type]" */
static bool read_spec(struct cv_tmpl_run *r, struct cv_value t, struct spec *s)
{
    uint32_t at = 0;
    bool any;
    *s = (struct spec){.fill = cv_value_cstr(" "), .precision = -1};
    const uint32_t first = (uint32_t)(cv_str_skip(t.as.s, t.as.s + t.len, 1) - t.as.s);
    if (first < t.len && is_one_of(t.as.s[first], "<>^=")) {
        s->fill = cv_value_str_view(t.as.s, first);
        s->align = t.as.s[first];
        at = first + 1;
    } else if (t.len != 0 && is_one_of(t.as.s[0], "<>^=")) {
        s->align = t.as.s[at++];
    }
    if (at < t.len && is_one_of(t.as.s[at], "+- "))
        s->sign = t.as.s[at] == '-' ? '\0' : t.as.s[at], at++;
    if (at < t.len && t.as.s[at] == '#')
        s->alternate = true, at++;
    if (at < t.len && t.as.s[at] == '0' && s->align == '\0') {
        s->fill = cv_value_cstr("0");
        s->align = '=';
    }
    s->width = read_number(t, &at, &any);
    if (at < t.len && t.as.s[at] == ',')
        s->comma = true, at++;
    if (at < t.len && t.as.s[at] == '.') {
        at++;
        s->precision = read_number(t, &at, &any);
        if (!any)
            return cv_tmpl_fail(r, CV_ERR_FORMAT, "format specifier missing precision");
    }
    if (at < t.len)
        s->type = t.as.s[at++];
    return at == t.len ||
           cv_tmpl_fail(r, CV_ERR_FORMAT, "invalid format specifier '%.*s'", (int)(t.len < 60 ? t.len : 60), t.as.s);
}

static bool put_formatted(struct cv_tmpl_run *r, struct cv_value v, struct cv_value text)
{
    struct spec s;
    if (text.len == 0)
        return cv_tmpl_print(r, &r->scratch, v);
    if (!read_spec(r, text, &s) || !check_spec(r, &s))
        return false;
    if (v.type == CV_VALUE_STRING && (s.type == 's' || s.type == '\0'))
        return put_text(r, &s, v);
    const bool whole = v.type == CV_VALUE_INT || (v.type == CV_VALUE_BOOL && s.type != '\0');
    if (whole && is_one_of(s.type, "dxXob"))
        return put_int(r, &s, v.as.i);
    if (whole && s.type == '\0' && s.precision < 0)
        return put_int(r, &s, v.as.i);
    if (cv_value_is_number(v) && v.type != CV_VALUE_BOOL &&
        (is_one_of(s.type, "eEfFgG%") || v.type == CV_VALUE_DOUBLE) &&
        (s.type == '\0' || is_one_of(s.type, "eEfFgG%")) && s.precision <= MAX_PRECISION)
        return put_float(r, &s, cv_value_as_double(v));
    return cv_tmpl_fail(r, CV_ERR_FORMAT, "the format '%.*s' does not work for %s",
                        (int)(text.len < 60 ? text.len : 60), text.as.s, cv_tmpl_type_name(v));
}

struct format {
    struct cv_value fmt;
    const struct cv_tmpl_args *args;
    uint32_t at, next;
    bool automatic, manual;
};

/* The value that "name.attr[key]" stands for; an empty name or a number means an argument by position. */
static bool find_field(struct cv_tmpl_run *r, struct format *f, struct cv_value name, struct cv_value *out)
{
    uint32_t at = 0;
    bool number;
    int64_t index = read_number(name, &at, &number);
    const uint32_t n = name.len;
    uint32_t end = at;
    while (end < n && name.as.s[end] != '.' && name.as.s[end] != '[')
        end++;
    const struct cv_value first = cv_value_str_view(name.as.s, end);
    bool found = false;
    if (end == 0 || (number && end == at)) {
        f->automatic |= end == 0;
        f->manual |= end != 0;
        if (f->automatic && f->manual)
            return cv_tmpl_fail(r, CV_ERR_FORMAT, "numbered and unnumbered fields in one format string");
        index = end == 0 ? (int64_t)f->next++ : index;
        found = index < (int64_t)f->args->n_pos;
        if (found)
            *out = f->args->pos[index];
    }
    if (!cv_tmpl_charge(r, f->args->n_kw / 8))
        return false;
    for (uint32_t i = 0; end != 0 && !found && i < f->args->n_kw; i++) {
        if (cv_value_same_scalar(f->args->kw[i].name, first)) {
            *out = f->args->kw[i].value;
            found = true;
        }
    }
    if (!found)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "no argument for '{%.*s}'", (int)(end < 60 ? end : 60), name.as.s);
    while (end < n) {
        const bool bracket = name.as.s[end] == '[';
        const uint32_t start = ++end;
        while (end < n && (bracket ? name.as.s[end] != ']' : name.as.s[end] != '.' && name.as.s[end] != '['))
            end++;
        struct cv_value key = cv_value_str_view(name.as.s + start, end - start);
        at = 0;
        index = read_number(key, &at, &number);
        if (bracket && number && at == key.len)
            key = cv_value_int(index);
        if (!(bracket ? cv_tmpl_get_item(r, *out, key, out) : cv_tmpl_get_attr(r, *out, key, out)))
            return false;
        end += bracket;
    }
    return true;
}

/* One "{name!conversion:spec}"; f->at is behind the opening brace. */
static bool put_field(struct cv_tmpl_run *r, struct format *f)
{
    const struct cv_value t = f->fmt;
    const uint32_t start = f->at;
    uint32_t end = start, colon, name_end;
    struct cv_value v;
    while (end < t.len && t.as.s[end] != '}') {
        if (t.as.s[end] == '{')
            return cv_tmpl_fail(r, CV_ERR_UNSUPPORTED, "fields inside fields of a format string are not supported");
        end++;
    }
    if (end >= t.len)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "expected '}' before the end of the format string");
    f->at = end + 1;
    for (colon = start; colon < end && t.as.s[colon] != ':'; colon++) {
    }
    for (name_end = start; name_end < colon && t.as.s[name_end] != '!'; name_end++) {
    }
    if (!find_field(r, f, cv_value_str_view(t.as.s + start, name_end - start), &v))
        return false;
    if (name_end < colon) {
        const char how = name_end + 1 < colon ? t.as.s[name_end + 1] : '\0';
        const size_t mark = r->scratch.len;
        if (!is_one_of(how, "rsa") || name_end + 2 != colon)
            return cv_tmpl_fail(r, CV_ERR_FORMAT, "a conversion in a format string is !r, !s or !a");
        if (!(how == 's' ? cv_tmpl_print(r, &r->scratch, v) : cv_tmpl_repr(r, &r->scratch, v)) ||
            !cv_tmpl_take(r, mark, &v))
            return false;
    }
    const uint32_t spec = colon < end ? colon + 1 : end;
    return put_formatted(r, v, cv_value_str_view(t.as.s + spec, end - spec));
}

bool cv_tmpl_format(struct cv_tmpl_run *r, struct cv_value fmt, const struct cv_tmpl_args *args, struct cv_value *out)
{
    struct format f = {.fmt = fmt, .args = args};
    const size_t mark = r->scratch.len;
    while (f.at < fmt.len) {
        const char c = fmt.as.s[f.at++];
        const bool twice = f.at < fmt.len && fmt.as.s[f.at] == c;
        if (!cv_tmpl_charge(r, 1))
            return false;
        if ((c == '{' || c == '}') && twice) {
            f.at++;
        } else if (c == '{') {
            if (!put_field(r, &f))
                return false;
            continue;
        } else if (c == '}') {
            return cv_tmpl_fail(r, CV_ERR_FORMAT, "single '}' in a format string");
        }
        if (!cv_tmpl_put(r, &r->scratch, &c, 1))
            return false;
    }
    if (!cv_tmpl_take(r, mark, out))
        return false;
    out->flavor = fmt.flavor;
    return true;
}
