/* template_global.c - the functions that every template finds: range, dict, namespace, cycler, joiner, raise_exception,
 * strftime_now. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/utf8.h"
#include "text/template_run.h"

static bool call_range(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out)
{
    int64_t v[3] = {0, 0, 1};
    (void)self;
    if (args->n_kw != 0 || args->n_pos == 0 || args->n_pos > 3)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "range() takes one to three numbers");
    for (uint32_t i = 0; i < args->n_pos; i++) {
        if (!cv_tmpl_need_int(r, "range()", args->pos[i], &v[args->n_pos == 1 ? 1 : i]))
            return false;
    }
    if (v[2] == 0)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "the third argument of range() must not be zero");
    /* in unsigned numbers, where a difference cannot overflow */
    const uint64_t span = v[2] > 0 ? (uint64_t)v[1] - (uint64_t)v[0] : (uint64_t)v[0] - (uint64_t)v[1];
    const uint64_t step = v[2] > 0 ? (uint64_t)v[2] : 0 - (uint64_t)v[2];
    const bool empty = v[2] > 0 ? v[0] >= v[1] : v[0] <= v[1];
    const uint64_t n = empty ? 0 : (span - 1) / step + 1;
    if (n > CV_MAX_TEMPLATE_RANGE)
        return cv_tmpl_fail(r, CV_ERR_LIMIT, "a range of %llu numbers; at most %u are allowed", (unsigned long long)n,
                            CV_MAX_TEMPLATE_RANGE);
    struct cv_list *l;
    if (!cv_tmpl_list_new(r, (size_t)n, &l))
        return false;
    l->first = v[0];
    l->stop = v[1];
    l->step = v[2];
    for (uint64_t i = 0; i < n; i++) {
        if (!cv_tmpl_list_push(r, l, cv_value_int((int64_t)((uint64_t)v[0] + i * (uint64_t)v[2]))))
            return false;
    }
    *out = cv_value_of_list(l, CV_LIST_RANGE);
    return true;
}

/* The arguments' names and values added to m. */
static bool put_kwargs(struct cv_tmpl_run *r, struct cv_map_value *m, const struct cv_tmpl_args *args)
{
    for (uint32_t i = 0; i < args->n_kw; i++) {
        if (!cv_tmpl_map_put(r, m, args->kw[i].name, args->kw[i].value))
            return false;
    }
    return true;
}

/* A mapping, or a list of pairs, added to m. */
static bool put_all(struct cv_tmpl_run *r, struct cv_map_value *m, struct cv_value from)
{
    if (from.type == CV_VALUE_MAP) {
        for (uint32_t i = 0; i < from.as.map->n; i++) {
            if (!cv_tmpl_map_put(r, m, from.as.map->entry[i].key, from.as.map->entry[i].item))
                return false;
        }
        return true;
    }
    const struct cv_list *pairs, *pair;
    if (!cv_tmpl_iterate(r, from, &pairs))
        return false;
    for (uint32_t i = 0; i < pairs->n; i++) {
        if (!cv_tmpl_iterate(r, pairs->item[i], &pair))
            return false;
        if (pair->n != 2)
            return cv_tmpl_fail(r, CV_ERR_FORMAT, "element %u has %u items, a pair is needed", i, pair->n);
        if (!cv_tmpl_map_put(r, m, pair->item[0], pair->item[1]))
            return false;
    }
    return true;
}

static bool make_map(struct cv_tmpl_run *r, const char *what, const struct cv_tmpl_args *args, struct cv_value *out)
{
    struct cv_map_value *m = cv_map_value_new(&r->values, 0);
    if (m == NULL)
        return cv_tmpl_nomem(r);
    if (args->n_pos > 1)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "%s() takes at most one argument without a name", what);
    *out = cv_value_of_map(m);
    return (args->n_pos == 0 || put_all(r, m, args->pos[0])) && put_kwargs(r, m, args);
}

static bool call_dict(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                      struct cv_value *out)
{
    (void)self;
    return make_map(r, "dict", args, out);
}

static bool call_namespace(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                           struct cv_value *out)
{
    (void)self;
    if (!make_map(r, "namespace", args, out))
        return false;
    out->type = CV_VALUE_NAMESPACE;
    return true;
}

static bool call_cycler(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                        struct cv_value *out)
{
    struct cv_list *l;
    (void)self;
    if (args->n_pos == 0 || args->n_kw != 0)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "cycler() needs at least one item");
    if (!cv_tmpl_list_new(r, args->n_pos, &l))
        return false;
    for (uint32_t i = 0; i < args->n_pos; i++) {
        if (!cv_tmpl_list_push(r, l, args->pos[i]))
            return false;
    }
    *out = (struct cv_value){.type = CV_VALUE_CYCLER, .as.list = l};
    return true;
}

static bool call_make_joiner(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                             struct cv_value *out)
{
    static const char *const names[] = {"sep"};
    struct cv_value sep;
    struct cv_list *l;
    (void)self;
    if (!cv_tmpl_bind(r, "joiner", args, names, 1, 0, &sep) || !cv_tmpl_list_new(r, 1, &l) ||
        !cv_tmpl_list_push(r, l, cv_tmpl_given(sep) ? sep : cv_value_cstr(", ")))
        return false;
    *out = (struct cv_value){.type = CV_VALUE_JOINER, .as.list = l};
    return true;
}

static bool call_raise(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out)
{
    static const char *const names[] = {"message"};
    struct cv_value message;
    (void)self;
    (void)out;
    if (!cv_tmpl_bind(r, "raise_exception", args, names, 1, 1, &message) || !cv_tmpl_to_str(r, message, &message))
        return false;
    /* the template's own words, without a place: they are meant for the user. A NUL would hide the rest. */
    char text[500];
    const size_t n = message.len < sizeof(text) ? message.len : sizeof(text) - 1;
    for (size_t k = 0; k < n; k++)
        text[k] = message.as.s[k] == '\0' ? ' ' : message.as.s[k];
    text[cv_utf8_valid_prefix(text, n)] = '\0';
    return cv_fail(r->err, CV_ERR_ARG, "%s", text[0] == '\0' ? "the chat template refuses these messages" : text);
}

/* One directive; text has 64 bytes. False: Python's C library would not know it either. */
static bool time_part(const struct tm *tm, char directive, char *text)
{
    const int hour12 = tm->tm_hour % 12 == 0 ? 12 : tm->tm_hour % 12;
    switch (directive) {
    case 'e':
        snprintf(text, 64, "%2d", tm->tm_mday);
        return true;
    case 'k':
        snprintf(text, 64, "%2d", tm->tm_hour);
        return true;
    case 'l':
        snprintf(text, 64, "%2d", hour12);
        return true;
    case 'f':
        snprintf(text, 64, "000000");
        return true;
    case 'z':
    case 'Z': /* a time without a zone */
        text[0] = '\0';
        return true;
    default:
        break;
    }
    /* the C library in the C locale, which nobody here changes */
    static const char known[] = "aAbBcCdDFgGhHIjmMnpRStTuUVwWxXyY%";
    const char fmt[] = {'%', directive, '\0'};
    text[0] = '\0';
    if (directive == '\0' || strchr(known, directive) == NULL)
        return false;
    return strftime(text, 64, fmt, tm) != 0 || directive == 'p';
}

static bool call_strftime_now(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                              struct cv_value *out)
{
    static const char *const names[] = {"format"};
    struct cv_value fmt;
    struct tm tm;
    const time_t now = (time_t)r->unix_time;
    (void)self;
    if (!cv_tmpl_bind(r, "strftime_now", args, names, 1, 1, &fmt) || !cv_tmpl_need_str(r, "strftime_now()", fmt))
        return false;
    if (gmtime_r(&now, &tm) == NULL)
        return cv_tmpl_fail(r, CV_ERR_ARG, "the time %lld is out of range", (long long)r->unix_time);
    const size_t mark = r->scratch.len;
    for (uint32_t i = 0; i < fmt.len;) {
        const char *percent = memchr(fmt.as.s + i, '%', fmt.len - i);
        const uint32_t next = percent == NULL ? fmt.len : (uint32_t)(percent - fmt.as.s);
        if (!cv_tmpl_put(r, &r->scratch, fmt.as.s + i, next - i))
            return false;
        if (next + 1 >= fmt.len)
            break;
        char text[64];
        const bool no_zero = fmt.as.s[next + 1] == '-'; /* "%-d": a day without its leading zero */
        const uint32_t at = next + 1 + no_zero;
        const char directive = at < fmt.len ? fmt.as.s[at] : '\0';
        if (!time_part(&tm, directive, text))
            return cv_tmpl_fail(r, CV_ERR_UNSUPPORTED, "strftime_now() does not know '%%%c'", directive);
        const char *shown = text;
        while (no_zero && (shown[0] == '0' || shown[0] == ' ') && shown[1] != '\0')
            shown++;
        if (!cv_tmpl_put(r, &r->scratch, shown, strlen(shown)))
            return false;
        i = at + 1;
    }
    return cv_tmpl_take(r, mark, out);
}

const struct cv_tmpl_builtin cv_tmpl_globals[CV_SYM_COUNT] = {
    [CV_SYM_RANGE] = {"range", call_range},
    [CV_SYM_DICT] = {"dict", call_dict},
    [CV_SYM_NAMESPACE] = {"namespace", call_namespace},
    [CV_SYM_CYCLER] = {"cycler", call_cycler},
    [CV_SYM_JOINER] = {"joiner", call_make_joiner},
    [CV_SYM_RAISE_EXCEPTION] = {"raise_exception", call_raise},
    [CV_SYM_STRFTIME_NOW] = {"strftime_now", call_strftime_now},
};
