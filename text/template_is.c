/* template_is.c - tests: what may stand behind "is". */
#include <math.h>
#include <string.h>

#include "text/template_string.h"

static bool answer(struct cv_tmpl_run *r, const struct cv_tmpl_args *args, bool b, struct cv_value *out)
{
    *out = cv_value_bool(b);
    return cv_tmpl_no_args(r, "this test", args);
}

static bool is_boolean(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out)
{
    return answer(r, args, self.type == CV_VALUE_BOOL, out);
}

static bool is_callable(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                        struct cv_value *out)
{
    return answer(r, args,
                  self.type == CV_VALUE_FUNC || self.type == CV_VALUE_LOOP || self.type == CV_VALUE_JOINER ||
                      self.type == CV_VALUE_UNDEFINED,
                  out);
}

static bool is_defined(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out)
{
    return answer(r, args, self.type != CV_VALUE_UNDEFINED, out);
}

static bool is_undefined(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                         struct cv_value *out)
{
    return answer(r, args, self.type == CV_VALUE_UNDEFINED, out);
}

static bool is_none(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out)
{
    return answer(r, args, self.type == CV_VALUE_NULL, out);
}

static bool is_true(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out)
{
    return answer(r, args, self.type == CV_VALUE_BOOL && self.as.i != 0, out);
}

static bool is_false(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out)
{
    return answer(r, args, self.type == CV_VALUE_BOOL && self.as.i == 0, out);
}

static bool is_string(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                      struct cv_value *out)
{
    return answer(r, args, self.type == CV_VALUE_STRING, out);
}

static bool is_mapping(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out)
{
    return answer(r, args, self.type == CV_VALUE_MAP, out);
}

static bool is_number(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                      struct cv_value *out)
{
    return answer(r, args, cv_value_is_number(self), out);
}

static bool is_integer(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out)
{
    return answer(r, args, self.type == CV_VALUE_INT, out);
}

static bool is_float(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out)
{
    return answer(r, args, self.type == CV_VALUE_DOUBLE, out);
}

static bool is_escaped(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out)
{
    return answer(r, args, self.type == CV_VALUE_STRING && (self.flavor & CV_STRING_MARKUP) != 0, out);
}

static bool is_iterable(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                        struct cv_value *out)
{
    return answer(r, args,
                  self.type == CV_VALUE_STRING || self.type == CV_VALUE_LIST || self.type == CV_VALUE_MAP ||
                      self.type == CV_VALUE_UNDEFINED || self.type == CV_VALUE_LOOP,
                  out);
}

static bool is_sequence(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                        struct cv_value *out)
{
    const bool list = self.type == CV_VALUE_LIST && self.flavor <= CV_LIST_RANGE && self.flavor != CV_LIST_ITER;
    return answer(r, args,
                  list || self.type == CV_VALUE_STRING || self.type == CV_VALUE_MAP || self.type == CV_VALUE_UNDEFINED,
                  out);
}

/* str(self) has letters with a case, and all of them this one. */
static bool all_case(struct cv_tmpl_run *r, struct cv_value self, const char *method, const struct cv_tmpl_args *args,
                     struct cv_value *out)
{
    const struct cv_tmpl_builtin *m = cv_tmpl_find_method(cv_value_cstr(""), cv_value_cstr(method));
    return cv_tmpl_to_str(r, self, &self) && m->call(r, self, args, out);
}

static bool is_lower(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out)
{
    return all_case(r, self, "islower", args, out);
}

static bool is_upper(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out)
{
    return all_case(r, self, "isupper", args, out);
}

static bool is_filter(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                      struct cv_value *out)
{
    return answer(r, args, self.type == CV_VALUE_STRING && cv_tmpl_find_filter(self) != NULL, out);
}

static bool is_test(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out)
{
    return answer(r, args, self.type == CV_VALUE_STRING && cv_tmpl_find_test(self) != NULL, out);
}

/* self % n == rest */
static bool divides(struct cv_tmpl_run *r, struct cv_value self, struct cv_value n, int64_t rest, struct cv_value *out)
{
    if (self.type == CV_VALUE_STRING)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "this test needs a number, not a string");
    if (!cv_tmpl_binary(r, CV_TOK_MOD, self, n, out))
        return false;
    *out = cv_value_bool(cv_value_same_scalar(*out, cv_value_int(rest)));
    return true;
}

static bool is_even(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out)
{
    return cv_tmpl_no_args(r, "even", args) && divides(r, self, cv_value_int(2), 0, out);
}

static bool is_odd(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out)
{
    return cv_tmpl_no_args(r, "odd", args) && divides(r, self, cv_value_int(2), 1, out);
}

static bool one_arg(struct cv_tmpl_run *r, const char *what, const struct cv_tmpl_args *args, struct cv_value *out)
{
    static const char *const names[] = {"other"};
    return cv_tmpl_bind(r, what, args, names, 1, 1, out);
}

static bool is_divisibleby(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                           struct cv_value *out)
{
    struct cv_value n;
    return one_arg(r, "divisibleby", args, &n) && divides(r, self, n, 0, out);
}

static bool is_in(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out)
{
    struct cv_value other;
    bool b;
    if (!one_arg(r, "in", args, &other) || !cv_tmpl_contains(r, other, self, &b))
        return false;
    *out = cv_value_bool(b);
    return true;
}

static bool is_sameas(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                      struct cv_value *out)
{
    struct cv_value other;
    if (!one_arg(r, "sameas", args, &other))
        return false;
    const bool pointer = self.type >= CV_VALUE_LIST;
    *out = cv_value_bool(self.type == other.type &&
                         (pointer ? self.as.p == other.as.p : cv_value_same_scalar(self, other)));
    return true;
}

static bool is_eq(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out)
{
    struct cv_value other;
    bool b;
    if (!one_arg(r, "eq", args, &other) || !cv_tmpl_equal(r, self, other, &b))
        return false;
    *out = cv_value_bool(b);
    return true;
}

static bool is_ne(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out)
{
    if (!is_eq(r, self, args, out))
        return false;
    *out = cv_value_bool(!cv_tmpl_truth(*out));
    return true;
}

/* self ordered before (-1), with (0) or behind (1) the argument, as bits 1, 2 and 4 of wanted. */
static bool ordered(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, int wanted,
                    struct cv_value *out)
{
    struct cv_value other;
    int order;
    if (!one_arg(r, "a comparison", args, &other) || !cv_tmpl_order(r, self, other, &order))
        return false;
    *out = cv_value_bool(order != 2 && (wanted & 1 << (order + 1)) != 0);
    return true;
}

static bool is_lt(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out)
{
    return ordered(r, self, args, 1, out);
}

static bool is_le(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out)
{
    return ordered(r, self, args, 3, out);
}

static bool is_gt(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out)
{
    return ordered(r, self, args, 4, out);
}

static bool is_ge(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out)
{
    return ordered(r, self, args, 6, out);
}

static const struct cv_tmpl_builtin tests[] = {
    {"boolean", is_boolean},
    {"callable", is_callable},
    {"defined", is_defined},
    {"divisibleby", is_divisibleby},
    {"eq", is_eq},
    {"equalto", is_eq},
    {"escaped", is_escaped},
    {"even", is_even},
    {"false", is_false},
    {"filter", is_filter},
    {"float", is_float},
    {"ge", is_ge},
    {"greaterthan", is_gt},
    {"gt", is_gt},
    {"in", is_in},
    {"integer", is_integer},
    {"iterable", is_iterable},
    {"le", is_le},
    {"lessthan", is_lt},
    {"lower", is_lower},
    {"lt", is_lt},
    {"mapping", is_mapping},
    {"ne", is_ne},
    {"none", is_none},
    {"number", is_number},
    {"odd", is_odd},
    {"sameas", is_sameas},
    {"sequence", is_sequence},
    {"string", is_string},
    {"test", is_test},
    {"true", is_true},
    {"undefined", is_undefined},
    {"upper", is_upper},
};

const struct cv_tmpl_builtin *cv_tmpl_find_test(struct cv_value name)
{
    return cv_tmpl_find_in(tests, CV_COUNT(tests), name);
}
