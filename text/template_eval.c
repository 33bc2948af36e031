/* template_eval.c - evaluates expressions. */
#include <string.h>

#include "text/template_run.h"

static bool eval_name(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n,
                      struct cv_value *out)
{
    *out = cv_tmpl_lookup(r, s, n->symbol);
    return true;
}

static bool eval_attr(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n,
                      struct cv_value *out)
{
    struct cv_value a;
    if (!cv_tmpl_eval(r, s, n->a, &a))
        return false;
    r->at = n->at;
    return cv_tmpl_get_attr(r, a, n->value, out);
}

static bool eval_item(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n,
                      struct cv_value *out)
{
    struct cv_value a, index;
    if (!cv_tmpl_eval(r, s, n->a, &a) || !cv_tmpl_eval(r, s, n->b, &index))
        return false;
    r->at = n->at;
    return cv_tmpl_get_item(r, a, index, out);
}

static bool eval_slice(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n,
                       struct cv_value *out)
{
    struct cv_value a, part[3];
    if (!cv_tmpl_eval(r, s, n->a, &a))
        return false;
    for (int i = 0; i < 3; i++) {
        part[i] = cv_value_null();
        if (n->u.list[i] != NULL && !cv_tmpl_eval(r, s, n->u.list[i], &part[i]))
            return false;
    }
    r->at = n->at;
    return cv_tmpl_slice(r, a, part, out);
}

/* *l as the arguments of a call: the items of "*star" at the end of the positional ones. */
static bool spread_list(struct cv_tmpl_run *r, struct cv_value star, struct cv_list *pos)
{
    const struct cv_list *more;
    if (!cv_tmpl_iterate(r, star, &more))
        return false;
    for (uint32_t i = 0; i < more->n; i++) {
        if (!cv_tmpl_list_push(r, pos, more->item[i]))
            return false;
    }
    return true;
}

static bool spread_map(struct cv_tmpl_run *r, struct cv_value v, struct cv_tmpl_kwarg **kw, uint32_t *n)
{
    if (v.type != CV_VALUE_MAP)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "what follows '**' must be a mapping, not %s", cv_tmpl_type_name(v));
    const struct cv_map_value *m = v.as.map;
    struct cv_tmpl_kwarg *all = cv_tmpl_alloc(r, ((size_t)*n + m->n) * sizeof(*all));
    if (all == NULL || !cv_tmpl_charge(r, m->n))
        return false;
    if (*n != 0)
        memcpy(all, *kw, *n * sizeof(*all));
    for (uint32_t i = 0; i < m->n; i++) {
        if (m->entry[i].key.type != CV_VALUE_STRING)
            return cv_tmpl_fail(r, CV_ERR_FORMAT, "the names of arguments must be strings");
        all[(*n)++] = (struct cv_tmpl_kwarg){m->entry[i].key, m->entry[i].item};
    }
    *kw = all;
    return true;
}

bool cv_tmpl_eval_args(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_args_node *n,
                       struct cv_tmpl_args *out)
{
    *out = (struct cv_tmpl_args){0};
    if (n == NULL)
        return true;
    struct cv_list *pos;
    struct cv_value v;
    if (!cv_tmpl_list_new(r, n->n_pos, &pos))
        return false;
    for (uint32_t i = 0; i < n->n_pos; i++) {
        if (!cv_tmpl_eval(r, s, n->pos[i], &v) || !cv_tmpl_list_push(r, pos, v))
            return false;
    }
    if (n->star != NULL && (!cv_tmpl_eval(r, s, n->star, &v) || !spread_list(r, v, pos)))
        return false;
    struct cv_tmpl_kwarg *kw = NULL;
    uint32_t n_kw = n->n_kw;
    if (n_kw != 0) {
        kw = cv_tmpl_alloc(r, n_kw * sizeof(*kw));
        if (kw == NULL)
            return false;
        for (uint32_t i = 0; i < n_kw; i++) {
            kw[i].name = n->kw[i].name;
            if (!cv_tmpl_eval(r, s, n->kw[i].value, &kw[i].value))
                return false;
        }
    }
    if (n->star_star != NULL && (!cv_tmpl_eval(r, s, n->star_star, &v) || !spread_map(r, v, &kw, &n_kw)))
        return false;
    *out = (struct cv_tmpl_args){pos->item, kw, pos->n, n_kw};
    return true;
}

static bool eval_call(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n,
                      struct cv_value *out)
{
    struct cv_value a;
    struct cv_tmpl_args args;
    const struct cv_tmpl_builtin *method = NULL;
    /* a.name(...): a method is called without making a value of it first */
    if (n->a->kind == CV_NODE_ATTR) {
        if (!cv_tmpl_eval(r, s, n->a->a, &a))
            return false;
        method = cv_tmpl_find_method(a, n->a->value);
        r->at = n->a->at;
        if ((method == NULL || method->call == NULL) && !cv_tmpl_get_attr(r, a, n->a->value, &a))
            return false;
    } else if (!cv_tmpl_eval(r, s, n->a, &a)) {
        return false;
    }
    if (!cv_tmpl_eval_args(r, s, n->u.args, &args))
        return false;
    r->at = n->at;
    if (method != NULL && method->call != NULL)
        return method->call(r, a, &args, out);
    return cv_tmpl_call(r, a, &args, out);
}

static bool run_filter(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n,
                       struct cv_value self, struct cv_value *out)
{
    struct cv_tmpl_args args;
    if (!cv_tmpl_eval_args(r, s, n->u.args, &args))
        return false;
    r->at = n->at;
    if (n->x.builtin == NULL)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "no filter named '%.*s'", (int)(n->value.len < 60 ? n->value.len : 60),
                            n->value.as.s);
    return n->x.builtin->call(r, self, &args, out);
}

bool cv_tmpl_filter(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n, struct cv_value self,
                    struct cv_value *out)
{
    if (!cv_tmpl_push_frame(r) || (n->a != NULL && !cv_tmpl_filter(r, s, n->a, self, &self)))
        return false;
    r->frames--;
    return run_filter(r, s, n, self, out);
}

static bool eval_filter(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n,
                        struct cv_value *out)
{
    struct cv_value self;
    return cv_tmpl_eval(r, s, n->a, &self) && run_filter(r, s, n, self, out);
}

static bool eval_test(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n,
                      struct cv_value *out)
{
    struct cv_value self;
    struct cv_tmpl_args args;
    if (!cv_tmpl_eval(r, s, n->a, &self) || !cv_tmpl_eval_args(r, s, n->u.args, &args))
        return false;
    r->at = n->at;
    if (n->x.builtin == NULL)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "no test named '%.*s'", (int)(n->value.len < 60 ? n->value.len : 60),
                            n->value.as.s);
    if (!n->x.builtin->call(r, self, &args, out))
        return false;
    if (n->negated)
        *out = cv_value_bool(!cv_tmpl_truth(*out));
    return true;
}

static bool eval_binary(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n,
                        struct cv_value *out)
{
    struct cv_value a, b;
    if (!cv_tmpl_eval(r, s, n->a, &a) || !cv_tmpl_eval(r, s, n->b, &b))
        return false;
    r->at = n->at;
    return cv_tmpl_binary(r, n->op, a, b, out);
}

static bool eval_logic(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n,
                       struct cv_value *out)
{
    if (!cv_tmpl_eval(r, s, n->a, out))
        return false;
    if (cv_tmpl_truth(*out) == (n->kind == CV_NODE_OR))
        return true;
    return cv_tmpl_eval(r, s, n->b, out);
}

static bool eval_concat(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n,
                        struct cv_value *out)
{
    struct cv_value v;
    if (!cv_tmpl_eval(r, s, n->u.list[0], out) || !cv_tmpl_to_str(r, *out, out))
        return false;
    out->flavor = 0; /* without autoescape, "~" makes plain strings of safe ones */
    for (uint32_t i = 1; i < n->n_list; i++) {
        if (!cv_tmpl_eval(r, s, n->u.list[i], &v))
            return false;
        r->at = n->at;
        if (!cv_tmpl_to_str(r, v, &v))
            return false;
        v.flavor = 0;
        if (!cv_tmpl_join(r, *out, v, out))
            return false;
    }
    return true;
}

static bool compare(struct cv_tmpl_run *r, int op, struct cv_value a, struct cv_value b, bool *out)
{
    int order;
    switch (op) {
    case CV_TOK_EQ:
        return cv_tmpl_equal(r, a, b, out);
    case CV_TOK_NE:
        if (!cv_tmpl_equal(r, a, b, out))
            return false;
        *out = !*out;
        return true;
    case CV_OP_IN:
        return cv_tmpl_contains(r, b, a, out);
    case CV_OP_NOT_IN:
        if (!cv_tmpl_contains(r, b, a, out))
            return false;
        *out = !*out;
        return true;
    default:
        if (!cv_tmpl_order(r, a, b, &order))
            return false;
    }
    if (order == 2) /* one of them is not a number: every comparison is false */
        *out = false;
    else
        *out = op == CV_TOK_LT ? order < 0 : op == CV_TOK_LE ? order <= 0 : op == CV_TOK_GT ? order > 0 : order >= 0;
    return true;
}

static bool eval_compare(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n,
                         struct cv_value *out)
{
    struct cv_value left, right;
    bool holds = true;
    if (!cv_tmpl_eval(r, s, n->u.list[0], &left))
        return false;
    for (uint32_t i = 1; holds && i < n->n_list; i++) {
        if (!cv_tmpl_eval(r, s, n->u.list[i], &right))
            return false;
        r->at = n->at;
        if (!compare(r, n->x.ops[i - 1], left, right, &holds))
            return false;
        left = right;
    }
    *out = cv_value_bool(holds);
    return true;
}

static bool eval_cond(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n,
                      struct cv_value *out)
{
    static const char why[] = "the inline if-expression evaluated to false and no else section was defined";
    struct cv_value test;
    if (!cv_tmpl_eval(r, s, n->a, &test))
        return false;
    if (cv_tmpl_truth(test))
        return cv_tmpl_eval(r, s, n->b, out);
    if (n->c != NULL)
        return cv_tmpl_eval(r, s, n->c, out);
    *out = (struct cv_value){.type = CV_VALUE_UNDEFINED, .flavor = CV_UNDEF_HINT, .len = sizeof(why) - 1, .as.s = why};
    return true;
}

static bool eval_list(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n,
                      struct cv_value *out)
{
    struct cv_list *l;
    struct cv_value v;
    if (!cv_tmpl_list_new(r, n->n_list, &l))
        return false;
    for (uint32_t i = 0; i < n->n_list; i++) {
        if (!cv_tmpl_eval(r, s, n->u.list[i], &v) || !cv_tmpl_list_push(r, l, v))
            return false;
    }
    *out = cv_value_of_list(l, n->kind == CV_NODE_TUPLE ? CV_LIST_TUPLE : CV_LIST_LIST);
    return true;
}

static bool eval_dict(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n,
                      struct cv_value *out)
{
    struct cv_map_value *m = cv_map_value_new(&r->values, n->n_list / 2);
    struct cv_value key, item;
    if (m == NULL)
        return cv_tmpl_nomem(r);
    for (uint32_t i = 0; i < n->n_list; i += 2) {
        if (!cv_tmpl_eval(r, s, n->u.list[i], &key) || !cv_tmpl_eval(r, s, n->u.list[i + 1], &item))
            return false;
        r->at = n->at;
        if (!cv_tmpl_map_put(r, m, key, item))
            return false;
    }
    *out = cv_value_of_map(m);
    return true;
}

static bool eval_unary(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n,
                       struct cv_value *out)
{
    struct cv_value a;
    if (!cv_tmpl_eval(r, s, n->a, &a))
        return false;
    r->at = n->at;
    if (n->kind != CV_NODE_NOT)
        return cv_tmpl_negate(r, a, n->kind == CV_NODE_NEG, out);
    *out = cv_value_bool(!cv_tmpl_truth(a));
    return true;
}

bool cv_tmpl_eval(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n, struct cv_value *out)
{
    bool ok;
    if (n->kind == CV_NODE_CONST) {
        *out = n->value;
        return cv_tmpl_charge(r, 1);
    }
    r->at = n->at;
    if (!cv_tmpl_push_frame(r))
        return false;
    switch ((enum cv_tmpl_kind)n->kind) {
    case CV_NODE_NAME:
        ok = eval_name(r, s, n, out);
        break;
    case CV_NODE_ATTR:
        ok = eval_attr(r, s, n, out);
        break;
    case CV_NODE_ITEM:
        ok = eval_item(r, s, n, out);
        break;
    case CV_NODE_SLICE:
        ok = eval_slice(r, s, n, out);
        break;
    case CV_NODE_CALL:
        ok = eval_call(r, s, n, out);
        break;
    case CV_NODE_FILTER:
        ok = eval_filter(r, s, n, out);
        break;
    case CV_NODE_TEST:
        ok = eval_test(r, s, n, out);
        break;
    case CV_NODE_NOT:
    case CV_NODE_NEG:
    case CV_NODE_POS:
        ok = eval_unary(r, s, n, out);
        break;
    case CV_NODE_BINARY:
        ok = eval_binary(r, s, n, out);
        break;
    case CV_NODE_AND:
    case CV_NODE_OR:
        ok = eval_logic(r, s, n, out);
        break;
    case CV_NODE_CONCAT:
        ok = eval_concat(r, s, n, out);
        break;
    case CV_NODE_COMPARE:
        ok = eval_compare(r, s, n, out);
        break;
    case CV_NODE_COND:
        ok = eval_cond(r, s, n, out);
        break;
    case CV_NODE_LIST:
    case CV_NODE_TUPLE:
        ok = eval_list(r, s, n, out);
        break;
    case CV_NODE_DICT:
        ok = eval_dict(r, s, n, out);
        break;
    default:
        ok = cv_tmpl_fail(r, CV_ERR_INTERNAL, "node %d is no expression", n->kind);
    }
    r->frames--;
    return ok;
}
