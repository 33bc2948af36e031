/* template_text.c - str() and repr() of values, as Python prints them, and the HTML escapes of the escape filter. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/template_string.h"

size_t cv_tmpl_float_text(char *text, double d)
{
    char digits[40];
    if (isnan(d) || isinf(d))
        return (size_t)snprintf(text, 40, "%s", isnan(d) ? "nan" : d < 0 ? "-inf" : "inf");
    /* the fewest digits that give d again */
    int n = 0;
    do {
        snprintf(digits, sizeof(digits), "%.*e", n, d);
    } while (strtod(digits, NULL) != d && ++n < 17);
    const char *e = strchr(digits, 'e');
    const int exponent = e == NULL ? 0 : atoi(e + 1);
    if (exponent < -4 || exponent >= 16) {
        const int mantissa = (int)(e - digits);
        return (size_t)snprintf(text, 40, "%.*se%c%02d", mantissa, digits, exponent < 0 ? '-' : '+', abs(exponent));
    }
    const int decimals = n - exponent > 1 ? n - exponent : 1;
    return (size_t)snprintf(text, 40, "%.*f", decimals, d);
}

static bool put_text(struct cv_tmpl_run *r, struct cv_buf *b, const char *s)
{
    return cv_tmpl_put(r, b, s, strlen(s));
}

static bool repr_string(struct cv_tmpl_run *r, struct cv_buf *b, struct cv_value v)
{
    const bool single = v.len != 0 && memchr(v.as.s, '\'', v.len) != NULL;
    const bool twice = v.len != 0 && memchr(v.as.s, '"', v.len) != NULL;
    const char quote = single && !twice ? '"' : '\'';
    if (!cv_tmpl_put(r, b, &quote, 1))
        return false;
    for (size_t i = 0; i < v.len;) {
        uint32_t cp;
        const size_t used = cv_utf8_decode(v.as.s + i, v.len - i, &cp);
        char text[16];
        size_t n;
        if (cp == '\n' || cp == '\r' || cp == '\t' || cp == '\\' || cp == (uint32_t)quote)
            n = (size_t)snprintf(text, sizeof(text), "\\%c",
                                 cp == '\n'   ? 'n'
                                 : cp == '\r' ? 'r'
                                 : cp == '\t' ? 't'
                                              : (char)cp);
        else if (cv_uni_is(cp, CV_UNI_PRINTABLE))
            n = cv_utf8_encode(cp, text);
        else
            n = (size_t)snprintf(text, sizeof(text),
                                 cp < 0x100     ? "\\x%02x"
                                 : cp < 0x10000 ? "\\u%04x"
                                                : "\\U%08x",
                                 (unsigned)cp);
        if (!cv_tmpl_put(r, b, text, n) || !cv_tmpl_charge(r, 1))
            return false;
        i += used == 0 ? 1 : used;
    }
    return cv_tmpl_put(r, b, &quote, 1);
}

static bool repr_items(struct cv_tmpl_run *r, struct cv_buf *b, const struct cv_list *l)
{
    for (uint32_t i = 0; i < l->n; i++) {
        if ((i != 0 && !put_text(r, b, ", ")) || !cv_tmpl_repr(r, b, l->item[i]))
            return false;
    }
    return true;
}

static bool repr_list(struct cv_tmpl_run *r, struct cv_buf *b, struct cv_value v)
{
    static const char *const open[] = {"[", "(", NULL, NULL, "dict_keys([", "dict_values([", "dict_items(["};
    static const char *const close[] = {"]", ")", NULL, NULL, "])", "])", "])"};
    const struct cv_list *l = v.as.list;
    char text[100];
    if (v.flavor == CV_LIST_ITER)
        return put_text(r, b, "<generator object>");
    if (v.flavor == CV_LIST_RANGE) {
        snprintf(text, sizeof(text), l->step == 1 ? "range(%lld, %lld)" : "range(%lld, %lld, %lld)",
                 (long long)l->first, (long long)l->stop, (long long)l->step);
        return put_text(r, b, text);
    }
    const char *end = v.flavor == CV_LIST_TUPLE && l->n == 1 ? ",)" : close[v.flavor];
    return put_text(r, b, open[v.flavor]) && repr_items(r, b, l) && put_text(r, b, end);
}

static bool repr_map(struct cv_tmpl_run *r, struct cv_buf *b, const struct cv_map_value *m)
{
    if (!put_text(r, b, "{"))
        return false;
    for (uint32_t i = 0; i < m->n; i++) {
        if ((i != 0 && !put_text(r, b, ", ")) || !cv_tmpl_repr(r, b, m->entry[i].key) || !put_text(r, b, ": ") ||
            !cv_tmpl_repr(r, b, m->entry[i].item))
            return false;
    }
    return put_text(r, b, "}");
}

/* What only a render has: functions, loops, namespaces. */
static bool repr_object(struct cv_tmpl_run *r, struct cv_buf *b, struct cv_value v)
{
    char text[200];
    if (v.type == CV_VALUE_NAMESPACE)
        return put_text(r, b, "<Namespace ") && repr_map(r, b, v.as.map) && put_text(r, b, ">");
    if (v.type == CV_VALUE_LOOP) {
        const struct cv_tmpl_loop *l = v.as.p;
        snprintf(text, sizeof(text), "<LoopContext %u/%u>", l->index0 + 1, l->items->n);
        return put_text(r, b, text);
    }
    if (v.type == CV_VALUE_FUNC) {
        const struct cv_tmpl_func *f = v.as.p;
        if (f->kind == CV_FUNC_MACRO)
            snprintf(text, sizeof(text), "<Macro '%.*s'>", (int)(f->macro->name.len < 100 ? f->macro->name.len : 100),
                     f->macro->name.as.s);
        else
            snprintf(text, sizeof(text), "<function %s>", f->builtin->name);
        return put_text(r, b, text);
    }
    snprintf(text, sizeof(text), "<%s object>", cv_tmpl_type_name(v));
    return put_text(r, b, text);
}

static bool print_value(struct cv_tmpl_run *r, struct cv_buf *b, struct cv_value v)
{
    char text[40];
    switch (v.type) {
    case CV_VALUE_UNDEFINED:
        return true;
    case CV_VALUE_NULL:
        return put_text(r, b, "None");
    case CV_VALUE_BOOL:
        return put_text(r, b, v.as.i ? "True" : "False");
    case CV_VALUE_INT:
        snprintf(text, sizeof(text), "%lld", (long long)v.as.i);
        return put_text(r, b, text);
    case CV_VALUE_DOUBLE:
        return cv_tmpl_charge(r, 50) && cv_tmpl_put(r, b, text, cv_tmpl_float_text(text, v.as.d));
    case CV_VALUE_STRING:
        return cv_tmpl_put(r, b, v.as.s, v.len);
    case CV_VALUE_LIST:
        return repr_list(r, b, v);
    case CV_VALUE_MAP:
        return repr_map(r, b, v.as.map);
    default:
        return repr_object(r, b, v);
    }
}

bool cv_tmpl_print(struct cv_tmpl_run *r, struct cv_buf *b, struct cv_value v)
{
    if (v.type < CV_VALUE_LIST)
        return print_value(r, b, v);
    if (!cv_tmpl_push_frame(r))
        return false;
    const bool ok = print_value(r, b, v);
    r->frames--;
    return ok;
}

bool cv_tmpl_repr(struct cv_tmpl_run *r, struct cv_buf *b, struct cv_value v)
{
    if (v.type == CV_VALUE_UNDEFINED)
        return put_text(r, b, "Undefined");
    if (v.type != CV_VALUE_STRING)
        return cv_tmpl_print(r, b, v);
    const bool markup = (v.flavor & CV_STRING_MARKUP) != 0;
    return (!markup || put_text(r, b, "Markup(")) && repr_string(r, b, v) && (!markup || put_text(r, b, ")"));
}

bool cv_tmpl_to_str(struct cv_tmpl_run *r, struct cv_value v, struct cv_value *out)
{
    *out = v;
    if (v.type == CV_VALUE_STRING)
        return true;
    if (v.type == CV_VALUE_UNDEFINED) {
        *out = cv_value_str_view("", 0);
        return true;
    }
    const size_t mark = r->scratch.len;
    return cv_tmpl_print(r, &r->scratch, v) && cv_tmpl_take(r, mark, out);
}

bool cv_tmpl_escape(struct cv_tmpl_run *r, struct cv_value v, struct cv_value *out)
{
    static const char special[] = "&<>'\"";
    static const char *const entity[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    const size_t mark = r->scratch.len;
    if (!cv_tmpl_to_str(r, v, out))
        return false;
    const struct cv_value s = *out;
    out->flavor = CV_STRING_MARKUP;
    if ((s.flavor & CV_STRING_MARKUP) != 0)
        return true;
    if (!cv_tmpl_charge(r, s.len / 4))
        return false;
    uint32_t from = 0;
    for (uint32_t i = 0; i < s.len; i++) {
        const char *at = s.as.s[i] == '\0' ? NULL : strchr(special, s.as.s[i]);
        if (at == NULL)
            continue;
        if (!cv_tmpl_put(r, &r->scratch, s.as.s + from, i - from) || !put_text(r, &r->scratch, entity[at - special]))
            return false;
        from = i + 1;
    }
    if (from == 0)
        return true;
    if (!cv_tmpl_put(r, &r->scratch, s.as.s + from, s.len - from) || !cv_tmpl_take(r, mark, out))
        return false;
    out->flavor = CV_STRING_MARKUP;
    return true;
}
