/* template_method.c - the methods of strings, as far as they make sense in a template. */
#include <string.h>

#include "base/utf8.h"
#include "text/template_string.h"

static bool str_capitalize(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                           struct cv_value *out)
{
    return cv_tmpl_no_args(r, "capitalize", args) && cv_str_case(r, self, CV_CASE_CAPITALIZE, out);
}

static bool str_lower(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                      struct cv_value *out)
{
    return cv_tmpl_no_args(r, "lower", args) && cv_str_case(r, self, CV_CASE_LOWER, out);
}

static bool str_upper(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                      struct cv_value *out)
{
    return cv_tmpl_no_args(r, "upper", args) && cv_str_case(r, self, CV_CASE_UPPER, out);
}

static bool str_title(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                      struct cv_value *out)
{
    return cv_tmpl_no_args(r, "title", args) && cv_str_case(r, self, CV_CASE_TITLE, out);
}

static bool str_swapcase(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                         struct cv_value *out)
{
    return cv_tmpl_no_args(r, "swapcase", args) && cv_str_case(r, self, CV_CASE_SWAP, out);
}

static bool strip(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, int sides,
                  struct cv_value *out)
{
    static const char *const names[] = {"chars"};
    struct cv_value chars;
    return cv_tmpl_bind(r, "strip", args, names, 1, 0, &chars) && cv_str_strip(r, self, chars, sides, out);
}

static bool str_strip(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                      struct cv_value *out)
{
    return strip(r, self, args, CV_STRIP_BOTH, out);
}

static bool str_lstrip(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out)
{
    return strip(r, self, args, CV_STRIP_LEFT, out);
}

static bool str_rstrip(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out)
{
    return strip(r, self, args, CV_STRIP_RIGHT, out);
}

static bool pad(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, int where,
                struct cv_value *out)
{
    static const char *const names[] = {"width", "fillchar"};
    struct cv_value a[2];
    int64_t width;
    return cv_tmpl_bind(r, "a padding", args, names, 2, 1, a) && cv_tmpl_need_int(r, "a padding", a[0], &width) &&
           cv_str_pad(r, self, width, a[1], where, out);
}

static bool str_center(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out)
{
    return pad(r, self, args, 0, out);
}

static bool str_ljust(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                      struct cv_value *out)
{
    return pad(r, self, args, -1, out);
}

static bool str_rjust(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                      struct cv_value *out)
{
    return pad(r, self, args, 1, out);
}

static bool str_zfill(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                      struct cv_value *out)
{
    static const char *const names[] = {"width"};
    struct cv_value a, sign = cv_value_str_view("", 0);
    int64_t width;
    if (!cv_tmpl_bind(r, "zfill", args, names, 1, 1, &a) || !cv_tmpl_need_int(r, "zfill", a, &width))
        return false;
    if (self.len != 0 && (self.as.s[0] == '+' || self.as.s[0] == '-')) {
        sign = cv_value_str_view(self.as.s, 1);
        self = cv_value_str_view(self.as.s + 1, self.len - 1);
        width = width > 0 ? width - 1 : 0;
    }
    return cv_str_pad(r, self, width, cv_value_cstr("0"), 1, &a) && cv_tmpl_join(r, sign, a, out);
}

/* The part of self that start and end (characters, as in a slice) leave. *from: its first byte. */
static bool window(struct cv_tmpl_run *r, struct cv_value self, struct cv_value start, struct cv_value end,
                   size_t *from, struct cv_value *out)
{
    struct cv_value part[3] = {cv_value_null(), cv_value_null(), cv_value_null()};
    if (cv_tmpl_given(start))
        part[0] = start;
    if (cv_tmpl_given(end))
        part[1] = end;
    *from = 0;
    *out = self;
    if (part[0].type == CV_VALUE_NULL && part[1].type == CV_VALUE_NULL)
        return true;
    if (!cv_tmpl_slice(r, self, part, out))
        return false;
    *from = out->len == 0 ? self.len : (size_t)(out->as.s - self.as.s);
    return true;
}

/* find and index, from the left or from the right; the answer counts characters. */
static bool find(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, bool last, bool must,
                 struct cv_value *out)
{
    static const char *const names[] = {"sub", "start", "end"};
    struct cv_value a[3], part;
    size_t from, at = 0;
    bool found;
    if (!cv_tmpl_bind(r, "find", args, names, 3, 1, a) || !cv_tmpl_need_str(r, "find()", a[0]) ||
        !window(r, self, a[1], a[2], &from, &part))
        return false;
    if (last ? !cv_str_find_last(r, part, a[0], part.len, &found, &at) : !cv_str_find(r, part, a[0], 0, &found, &at))
        return false;
    if (!found && must)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "substring not found");
    *out = cv_value_int(found ? (int64_t)cv_str_count(cv_value_str_view(self.as.s, from + at)) : -1);
    return true;
}

static bool str_find(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out)
{
    return find(r, self, args, false, false, out);
}

static bool str_index(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                      struct cv_value *out)
{
    return find(r, self, args, false, true, out);
}

static bool str_rfind(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                      struct cv_value *out)
{
    return find(r, self, args, true, false, out);
}

static bool str_rindex(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out)
{
    return find(r, self, args, true, true, out);
}

static bool str_count(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                      struct cv_value *out)
{
    static const char *const names[] = {"sub", "start", "end"};
    struct cv_value a[3], part;
    size_t from, at = 0;
    int64_t n = 0;
    if (!cv_tmpl_bind(r, "count", args, names, 3, 1, a) || !cv_tmpl_need_str(r, "count()", a[0]) ||
        !window(r, self, a[1], a[2], &from, &part))
        return false;
    if (a[0].len == 0) {
        n = (int64_t)cv_str_count(part) + 1;
    } else {
        for (bool found = true; found; at += a[0].len) {
            if (!cv_str_find(r, part, a[0], at, &found, &at) || !cv_tmpl_charge(r, 1))
                return false;
            n += found;
        }
    }
    *out = cv_value_int(n);
    return true;
}

static bool has_edge(struct cv_value s, struct cv_value edge, bool at_end)
{
    return edge.len <= s.len &&
           (edge.len == 0 || memcmp(s.as.s + (at_end ? s.len - edge.len : 0), edge.as.s, edge.len) == 0);
}

/* startswith and endswith; the argument is a string or a tuple of them. */
static bool test_edge(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, bool at_end,
                      struct cv_value *out)
{
    static const char *const names[] = {"prefix", "start", "end"};
    struct cv_value a[3], part;
    size_t from;
    bool holds = false;
    if (!cv_tmpl_bind(r, at_end ? "endswith" : "startswith", args, names, 3, 1, a) ||
        !window(r, self, a[1], a[2], &from, &part))
        return false;
    if (a[0].type == CV_VALUE_LIST && a[0].flavor == CV_LIST_TUPLE) {
        for (uint32_t i = 0; i < a[0].as.list->n; i++) {
            if (!cv_tmpl_need_str(r, "startswith()", a[0].as.list->item[i]))
                return false;
            holds |= has_edge(part, a[0].as.list->item[i], at_end);
        }
    } else if (!cv_tmpl_need_str(r, at_end ? "endswith()" : "startswith()", a[0])) {
        return false;
    } else {
        holds = has_edge(part, a[0], at_end);
    }
    *out = cv_value_bool(holds);
    return cv_tmpl_charge(r, 1 + a[0].len / 32);
}

static bool str_startswith(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                           struct cv_value *out)
{
    return test_edge(r, self, args, false, out);
}

static bool str_endswith(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                         struct cv_value *out)
{
    return test_edge(r, self, args, true, out);
}

static bool remove_edge(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, bool at_end,
                        struct cv_value *out)
{
    static const char *const names[] = {"prefix"};
    struct cv_value edge;
    if (!cv_tmpl_bind(r, "removeprefix", args, names, 1, 1, &edge) || !cv_tmpl_need_str(r, "removeprefix()", edge))
        return false;
    *out = self;
    if (has_edge(self, edge, at_end)) {
        out->len -= edge.len;
        out->as.s += at_end ? 0 : edge.len;
    }
    return true;
}

static bool str_removeprefix(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                             struct cv_value *out)
{
    return remove_edge(r, self, args, false, out);
}

static bool str_removesuffix(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                             struct cv_value *out)
{
    return remove_edge(r, self, args, true, out);
}

static bool str_replace(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                        struct cv_value *out)
{
    static const char *const names[] = {"old", "new", "count"};
    struct cv_value a[3];
    int64_t count = -1;
    return cv_tmpl_bind(r, "replace", args, names, 3, 2, a) && cv_tmpl_need_str(r, "replace()", a[0]) &&
           cv_tmpl_need_str(r, "replace()", a[1]) &&
           (!cv_tmpl_given(a[2]) || cv_tmpl_need_int(r, "replace()", a[2], &count)) &&
           cv_str_replace(r, self, a[0], a[1], count, out);
}

static bool str_join(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out)
{
    static const char *const names[] = {"iterable"};
    struct cv_value a;
    const struct cv_list *items;
    if (!cv_tmpl_bind(r, "join", args, names, 1, 1, &a))
        return false;
    if (a.type == CV_VALUE_UNDEFINED)
        return cv_tmpl_fail_undefined(r, a);
    if (!cv_tmpl_iterate(r, a, &items))
        return false;
    const size_t mark = r->scratch.len;
    for (uint32_t i = 0; i < items->n; i++) {
        const struct cv_value v = items->item[i];
        if (!cv_tmpl_need_str(r, "join()", v) || (i != 0 && !cv_tmpl_put(r, &r->scratch, self.as.s, self.len)) ||
            !cv_tmpl_put(r, &r->scratch, v.as.s, v.len))
            return false;
    }
    return cv_tmpl_take(r, mark, out);
}

static bool str_format(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out)
{
    return cv_tmpl_format(r, self, args, out);
}

/* Every character is of one of two classes, and there is one. */
static bool all_of(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, enum cv_uni_class a,
                   enum cv_uni_class b, bool empty, struct cv_value *out)
{
    bool holds = self.len != 0 || empty;
    for (uint32_t i = 0; holds && i < self.len;) {
        uint32_t cp;
        const size_t used = cv_utf8_decode(self.as.s + i, self.len - i, &cp);
        holds = cv_uni_is(cp, a) || cv_uni_is(cp, b);
        i += used == 0 ? 1 : (uint32_t)used;
    }
    *out = cv_value_bool(holds);
    return cv_tmpl_no_args(r, "this method", args) && cv_tmpl_charge(r, self.len / 4);
}

static bool str_isalpha(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                        struct cv_value *out)
{
    return all_of(r, self, args, CV_UNI_ALPHA, CV_UNI_ALPHA, false, out);
}

static bool str_isalnum(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                        struct cv_value *out)
{
    return all_of(r, self, args, CV_UNI_ALPHA, CV_UNI_NUMERIC, false, out);
}

static bool str_isdecimal(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                          struct cv_value *out)
{
    return all_of(r, self, args, CV_UNI_DECIMAL, CV_UNI_DECIMAL, false, out);
}

static bool str_isdigit(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                        struct cv_value *out)
{
    return all_of(r, self, args, CV_UNI_DIGIT, CV_UNI_DIGIT, false, out);
}

static bool str_isnumeric(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                          struct cv_value *out)
{
    return all_of(r, self, args, CV_UNI_NUMERIC, CV_UNI_NUMERIC, false, out);
}

static bool str_isspace(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                        struct cv_value *out)
{
    return all_of(r, self, args, CV_UNI_SPACE, CV_UNI_SPACE, false, out);
}

static bool str_isprintable(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                            struct cv_value *out)
{
    return all_of(r, self, args, CV_UNI_PRINTABLE, CV_UNI_PRINTABLE, true, out);
}

static bool str_isascii(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                        struct cv_value *out)
{
    bool ascii = true;
    for (uint32_t i = 0; i < self.len; i++)
        ascii = ascii && (unsigned char)self.as.s[i] < 0x80;
    *out = cv_value_bool(ascii);
    return cv_tmpl_no_args(r, "isascii", args) && cv_tmpl_charge(r, self.len / 32);
}

/* There is a letter of this case, and none of the other. */
static bool one_case(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, bool upper,
                     struct cv_value *out)
{
    bool any = false, other = false;
    for (uint32_t i = 0; i < self.len;) {
        uint32_t cp;
        const size_t used = cv_utf8_decode(self.as.s + i, self.len - i, &cp);
        any |= cv_uni_is(cp, upper ? CV_UNI_UPPER : CV_UNI_LOWER);
        other |= cv_uni_is(cp, upper ? CV_UNI_LOWER : CV_UNI_UPPER);
        i += used == 0 ? 1 : (uint32_t)used;
    }
    *out = cv_value_bool(any && !other);
    return cv_tmpl_no_args(r, "this method", args) && cv_tmpl_charge(r, self.len / 4);
}

static bool str_islower(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                        struct cv_value *out)
{
    return one_case(r, self, args, false, out);
}

static bool str_isupper(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                        struct cv_value *out)
{
    return one_case(r, self, args, true, out);
}

/* Sorted; the ones that cut strings are in template_split.c. */
const struct cv_tmpl_builtin cv_tmpl_str_methods[] = {
    {"capitalize", str_capitalize},
    {"center", str_center},
    {"count", str_count},
    {"endswith", str_endswith},
    {"find", str_find},
    {"format", str_format},
    {"index", str_index},
    {"isalnum", str_isalnum},
    {"isalpha", str_isalpha},
    {"isascii", str_isascii},
    {"isdecimal", str_isdecimal},
    {"isdigit", str_isdigit},
    {"islower", str_islower},
    {"isnumeric", str_isnumeric},
    {"isprintable", str_isprintable},
    {"isspace", str_isspace},
    {"isupper", str_isupper},
    {"join", str_join},
    {"ljust", str_ljust},
    {"lower", str_lower},
    {"lstrip", str_lstrip},
    {"partition", cv_str_partition},
    {"removeprefix", str_removeprefix},
    {"removesuffix", str_removesuffix},
    {"replace", str_replace},
    {"rfind", str_rfind},
    {"rindex", str_rindex},
    {"rjust", str_rjust},
    {"rpartition", cv_str_rpartition},
    {"rsplit", cv_str_rsplit},
    {"rstrip", str_rstrip},
    {"split", cv_str_split},
    {"splitlines", cv_str_splitlines},
    {"startswith", str_startswith},
    {"strip", str_strip},
    {"swapcase", str_swapcase},
    {"title", str_title},
    {"upper", str_upper},
    {"zfill", str_zfill},
};
const size_t cv_tmpl_n_str_methods = CV_COUNT(cv_tmpl_str_methods);
