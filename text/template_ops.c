/* template_ops.c - what operators do: arithmetic on numbers, joining and repeating strings and lists, as Python does it. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "text/template_run.h"

const char *cv_tmpl_type_name(struct cv_value v)
{
    static const char *const lists[] = {"list",      "tuple",       "generator", "range",
                                        "dict_keys", "dict_values", "dict_items"};
    switch (v.type) {
    case CV_VALUE_UNDEFINED:
        return "Undefined";
    case CV_VALUE_NULL:
        return "NoneType";
    case CV_VALUE_BOOL:
        return "bool";
    case CV_VALUE_INT:
        return "int";
    case CV_VALUE_DOUBLE:
        return "float";
    case CV_VALUE_STRING:
        return (v.flavor & CV_STRING_MARKUP) != 0 ? "Markup" : "str";
    case CV_VALUE_LIST:
        return lists[v.flavor];
    case CV_VALUE_MAP:
        return "dict";
    case CV_VALUE_NAMESPACE:
        return "Namespace";
    case CV_VALUE_LOOP:
        return "LoopContext";
    case CV_VALUE_CYCLER:
        return "Cycler";
    case CV_VALUE_JOINER:
        return "Joiner";
    default:
        return "function";
    }
}

bool cv_tmpl_truth(struct cv_value v)
{
    switch (v.type) {
    case CV_VALUE_UNDEFINED:
    case CV_VALUE_NULL:
        return false;
    case CV_VALUE_BOOL:
    case CV_VALUE_INT:
        return v.as.i != 0;
    case CV_VALUE_DOUBLE:
        return v.as.d != 0.0;
    case CV_VALUE_STRING:
        return v.len != 0;
    case CV_VALUE_LIST:
        return v.flavor == CV_LIST_ITER || v.as.list->n != 0;
    case CV_VALUE_MAP:
        return v.as.map->n != 0;
    default:
        return true;
    }
}

bool cv_tmpl_fail_undefined(struct cv_tmpl_run *r, struct cv_value v)
{
    if (v.flavor == CV_UNDEF_NAME) {
        const struct cv_value name = r->t->symbol_of->entry[v.as.i].key;
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "'%.*s' is undefined", (int)(name.len < 100 ? name.len : 100), name.as.s);
    }
    if (v.flavor == CV_UNDEF_HINT)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "undefined value: %.*s", (int)v.len, v.as.s);
    if (v.flavor == CV_UNDEF_PLAIN)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "an undefined value is used");
    const struct cv_undef *u = v.as.p;
    const bool none = u->owner.type == CV_VALUE_NULL;
    const char *owner = none ? "None" : cv_tmpl_type_name(u->owner), *object = none ? "" : " object";
    if (u->name.type != CV_VALUE_STRING) {
        long long index = cv_value_is_int(u->name) ? (long long)u->name.as.i : 0;
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "%s%s has no element %lld", owner, object, index);
    }
    const int len = (int)(u->name.len < 100 ? u->name.len : 100);
    if (v.flavor == CV_UNDEF_UNSAFE)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "access to attribute '%.*s' of '%s' object is unsafe", len, u->name.as.s,
                            owner);
    return cv_tmpl_fail(r, CV_ERR_FORMAT, "'%s%s' has no attribute '%.*s'", owner, object, len, u->name.as.s);
}

bool cv_tmpl_need_str(struct cv_tmpl_run *r, const char *what, struct cv_value v)
{
    if (v.type == CV_VALUE_UNDEFINED)
        return cv_tmpl_fail_undefined(r, v);
    return v.type == CV_VALUE_STRING ||
           cv_tmpl_fail(r, CV_ERR_FORMAT, "%s needs a string, not %s", what, cv_tmpl_type_name(v));
}

bool cv_tmpl_need_int(struct cv_tmpl_run *r, const char *what, struct cv_value v, int64_t *out)
{
    if (v.type == CV_VALUE_UNDEFINED)
        return cv_tmpl_fail_undefined(r, v);
    if (!cv_value_is_int(v))
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "%s needs a whole number, not %s", what, cv_tmpl_type_name(v));
    *out = v.as.i;
    return true;
}

/* a + b for strings. A string that was made by joining, and that nothing was added to yet, grows where it stands. */
static bool join_plain(struct cv_tmpl_run *r, struct cv_value a, struct cv_value b, struct cv_value *out)
{
    enum { WORTH_IT = 256 };
    const size_t n = (size_t)a.len + b.len;
    if (a.len == 0 || b.len == 0) {
        *out = a.len == 0 ? b : a;
        return true;
    }
    if (n > CV_MAX_TEMPLATE_OUTPUT)
        return cv_tmpl_fail(r, CV_ERR_LIMIT, "a string of %zu bytes; at most %u are allowed", n,
                            CV_MAX_TEMPLATE_OUTPUT);
    if (!cv_tmpl_charge(r, b.len / 32))
        return false;
    for (int i = 0; i < CV_TMPL_GROWING; i++) {
        struct cv_tmpl_growing *g = &r->growing[i];
        if (g->s != NULL && g->s == a.as.s && g->used == a.len && g->cap - g->used >= b.len) {
            memmove(g->s + g->used, b.as.s, b.len);
            g->used = n;
            *out = cv_value_str_view(g->s, n);
            return true;
        }
    }
    if (!cv_tmpl_charge(r, a.len / 32))
        return false;
    const size_t cap = n >= WORTH_IT ? 2 * n : n;
    char *s = cv_tmpl_alloc(r, cap);
    if (s == NULL)
        return false;
    memcpy(s, a.as.s, a.len);
    memcpy(s + a.len, b.as.s, b.len);
    if (cap > n) {
        r->growing[r->next_growing] = (struct cv_tmpl_growing){s, n, cap};
        r->next_growing = (r->next_growing + 1) % CV_TMPL_GROWING;
    }
    *out = cv_value_str_view(s, n);
    return true;
}

bool cv_tmpl_join(struct cv_tmpl_run *r, struct cv_value a, struct cv_value b, struct cv_value *out)
{
    if (((a.flavor | b.flavor) & CV_STRING_MARKUP) == 0)
        return join_plain(r, a, b, out);
    if (!cv_tmpl_escape(r, a, &a) || !cv_tmpl_escape(r, b, &b) || !join_plain(r, a, b, out))
        return false;
    out->flavor = CV_STRING_MARKUP;
    return true;
}

static bool join_lists(struct cv_tmpl_run *r, struct cv_value a, struct cv_value b, struct cv_value *out)
{
    struct cv_list *l;
    if (!cv_tmpl_list_new(r, (size_t)a.as.list->n + b.as.list->n, &l))
        return false;
    for (uint32_t i = 0; i < a.as.list->n; i++) {
        if (!cv_tmpl_list_push(r, l, a.as.list->item[i]))
            return false;
    }
    for (uint32_t i = 0; i < b.as.list->n; i++) {
        if (!cv_tmpl_list_push(r, l, b.as.list->item[i]))
            return false;
    }
    *out = cv_value_of_list(l, a.flavor);
    return true;
}

/* "ab" * 3, [1] * 3 */
static bool repeat(struct cv_tmpl_run *r, struct cv_value a, int64_t times, struct cv_value *out)
{
    const size_t n = a.type == CV_VALUE_STRING ? a.len : a.as.list->n;
    const size_t limit = a.type == CV_VALUE_STRING ? CV_MAX_TEMPLATE_OUTPUT : CV_MAX_TEMPLATE_STEPS;
    size_t total;
    if (times < 0 || n == 0)
        times = 0;
    if (!cv_mul_size(n, (size_t)times, &total) || total > limit)
        return cv_tmpl_fail(r, CV_ERR_LIMIT, "%zu times %lld is too long", n, (long long)times);
    if (a.type == CV_VALUE_LIST) {
        struct cv_list *l;
        if (!cv_tmpl_charge(r, total) || !cv_tmpl_list_new(r, total, &l))
            return false;
        for (size_t i = 0; i < total; i++)
            l->item[i] = a.as.list->item[i % n];
        l->n = (uint32_t)total;
        *out = cv_value_of_list(l, a.flavor);
        return true;
    }
    char *s = cv_tmpl_charge(r, total / 32 + (size_t)times) ? cv_tmpl_alloc(r, total) : NULL;
    if (s == NULL)
        return false;
    for (size_t i = 0; i < total; i += n)
        memcpy(s + i, a.as.s, n);
    *out = cv_value_str_view(s, total);
    out->flavor = a.flavor;
    return true;
}

static const char *op_text(int op)
{
    return cv_tmpl_tok_name((enum cv_tmpl_tok)op);
}

static bool overflow(struct cv_tmpl_run *r, int op)
{
    return cv_tmpl_fail(r, CV_ERR_LIMIT, "the result of '%s' does not fit into 64 bits", op_text(op));
}

static bool add_int(int64_t a, int64_t b, int64_t *out)
{
    if (b > 0 ? a > INT64_MAX - b : a < INT64_MIN - b)
        return false;
    *out = a + b;
    return true;
}

static bool mul_int(int64_t a, int64_t b, int64_t *out)
{
    /* magnitudes, so that INT64_MIN has one */
    const uint64_t ua = a < 0 ? 0 - (uint64_t)a : (uint64_t)a, ub = b < 0 ? 0 - (uint64_t)b : (uint64_t)b;
    const bool minus = (a < 0) != (b < 0);
    if (ua != 0 && ub > UINT64_MAX / ua)
        return false;
    const uint64_t u = ua * ub;
    if (u > (uint64_t)INT64_MAX + (minus ? 1 : 0))
        return false;
    *out = !minus ? (int64_t)u : u == 0 ? 0 : -(int64_t)(u - 1) - 1;
    return true;
}

static bool pow_int(int64_t base, int64_t exponent, int64_t *out)
{
    int64_t result = 1;
    if (base == 0 || base == 1 || base == -1) {
        *out = exponent == 0 ? 1 : base == -1 && exponent % 2 == 0 ? 1 : base;
        return true;
    }
    for (; exponent > 0; exponent--) {
        if (!mul_int(result, base, &result))
            return false;
    }
    *out = result;
    return true;
}

/* Rounds towards minus infinity; the remainder has the divisor's sign. b is not zero, and not -1 for INT64_MIN. */
static void floor_divide(int64_t a, int64_t b, int64_t *quotient, int64_t *rest)
{
    *quotient = a / b;
    *rest = a % b;
    if (*rest != 0 && (*rest < 0) != (b < 0)) {
        *rest += b;
        (*quotient)--;
    }
}

static bool int_binary(struct cv_tmpl_run *r, int op, int64_t a, int64_t b, struct cv_value *out)
{
    int64_t v = 0, rest;
    bool ok = true;
    switch (op) {
    case CV_TOK_ADD:
        ok = add_int(a, b, &v);
        break;
    case CV_TOK_SUB:
        ok = b == INT64_MIN ? a < 0 : add_int(a, -b, &v);
        if (b == INT64_MIN && ok)
            v = a - b;
        break;
    case CV_TOK_MUL:
        ok = mul_int(a, b, &v);
        break;
    case CV_TOK_POW:
        ok = pow_int(a, b, &v);
        break;
    default: /* whole division and its remainder */
        if (b == -1) {
            ok = op == CV_TOK_MOD || a != INT64_MIN;
            v = op == CV_TOK_MOD || !ok ? 0 : -a;
        } else {
            floor_divide(a, b, &v, &rest);
            v = op == CV_TOK_MOD ? rest : v;
        }
    }
    *out = cv_value_int(v);
    return ok || overflow(r, op);
}

/* floor(a / b), by way of the remainder, which is exact: a / b may round up to a whole number. */
static double floor_quotient(double a, double b)
{
    const double rest = fmod(a, b);
    double q = (a - rest) / b;
    if (rest != 0.0 && (rest < 0.0) != (b < 0.0))
        q -= 1.0;
    if (q == 0.0)
        return copysign(0.0, a / b);
    return q - floor(q) > 0.5 ? floor(q) + 1.0 : floor(q);
}

static bool float_binary(struct cv_tmpl_run *r, int op, double a, double b, struct cv_value *out)
{
    double v;
    switch (op) {
    case CV_TOK_ADD:
        v = a + b;
        break;
    case CV_TOK_SUB:
        v = a - b;
        break;
    case CV_TOK_MUL:
        v = a * b;
        break;
    case CV_TOK_DIV:
        v = a / b;
        break;
    case CV_TOK_FLOORDIV:
        v = floor_quotient(a, b);
        break;
    case CV_TOK_MOD:
        v = fmod(a, b);
        if (v == 0.0)
            v = copysign(0.0, b);
        else if ((v < 0.0) != (b < 0.0))
            v += b;
        break;
    default:
        if (a == 0.0 && b < 0.0)
            return cv_tmpl_fail(r, CV_ERR_FORMAT, "zero cannot be raised to a negative power");
        if (a < 0.0 && b != floor(b))
            return cv_tmpl_fail(r, CV_ERR_UNSUPPORTED, "complex numbers are not supported");
        v = pow(a, b);
    }
    *out = cv_value_double(v);
    return true;
}

static bool number_binary(struct cv_tmpl_run *r, int op, struct cv_value a, struct cv_value b, struct cv_value *out)
{
    const bool divides = op == CV_TOK_DIV || op == CV_TOK_FLOORDIV || op == CV_TOK_MOD;
    if (divides && cv_value_as_double(b) == 0.0)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "division by zero");
    const bool whole =
        cv_value_is_int(a) && cv_value_is_int(b) && op != CV_TOK_DIV && !(op == CV_TOK_POW && b.as.i < 0);
    if (whole)
        return int_binary(r, op, a.as.i, b.as.i, out);
    return float_binary(r, op, cv_value_as_double(a), cv_value_as_double(b), out);
}

static bool is_sequence(struct cv_value v)
{
    return v.type == CV_VALUE_STRING ||
           (v.type == CV_VALUE_LIST && (v.flavor == CV_LIST_LIST || v.flavor == CV_LIST_TUPLE));
}

bool cv_tmpl_binary(struct cv_tmpl_run *r, int op, struct cv_value a, struct cv_value b, struct cv_value *out)
{
    if (op == CV_TOK_MOD && a.type == CV_VALUE_STRING)
        return cv_tmpl_percent(r, a, b, out);
    if (a.type == CV_VALUE_UNDEFINED || b.type == CV_VALUE_UNDEFINED)
        return cv_tmpl_fail_undefined(r, a.type == CV_VALUE_UNDEFINED ? a : b);
    if (cv_value_is_number(a) && cv_value_is_number(b))
        return number_binary(r, op, a, b, out);
    if (op == CV_TOK_ADD && is_sequence(a)) {
        if (a.type == CV_VALUE_STRING && b.type == CV_VALUE_STRING)
            return cv_tmpl_join(r, a, b, out);
        if (a.type == CV_VALUE_LIST && b.type == CV_VALUE_LIST && a.flavor == b.flavor)
            return join_lists(r, a, b, out);
        const char *name = cv_tmpl_type_name(a);
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "can only concatenate %s (not \"%s\") to %s", name, cv_tmpl_type_name(b),
                            name);
    }
    if (op == CV_TOK_MUL && is_sequence(a) && cv_value_is_int(b))
        return repeat(r, a, b.as.i, out);
    if (op == CV_TOK_MUL && is_sequence(b) && cv_value_is_int(a))
        return repeat(r, b, a.as.i, out);
    return cv_tmpl_fail(r, CV_ERR_FORMAT, "'%s' does not work between %s and %s", op_text(op), cv_tmpl_type_name(a),
                        cv_tmpl_type_name(b));
}

bool cv_tmpl_negate(struct cv_tmpl_run *r, struct cv_value a, bool minus, struct cv_value *out)
{
    if (a.type == CV_VALUE_UNDEFINED)
        return cv_tmpl_fail_undefined(r, a);
    if (!cv_value_is_number(a))
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "a sign does not work with %s", cv_tmpl_type_name(a));
    if (a.type == CV_VALUE_DOUBLE) {
        *out = cv_value_double(minus ? -a.as.d : a.as.d);
        return true;
    }
    if (minus && a.as.i == INT64_MIN)
        return overflow(r, CV_TOK_SUB);
    *out = cv_value_int(minus ? -a.as.i : a.as.i);
    return true;
}
