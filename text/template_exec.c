/* template_exec.c - runs statements: output, assignments, loops, scopes. */
#include <string.h>

#include "text/template_run.h"

struct cv_tmpl_scope *cv_tmpl_scope_new(struct cv_tmpl_run *r, struct cv_tmpl_scope *parent)
{
    struct cv_tmpl_scope *s = cv_tmpl_alloc(r, sizeof(*s));
    if (s != NULL)
        *s = (struct cv_tmpl_scope){.parent = parent};
    return s;
}

bool cv_tmpl_scope_set(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, uint32_t symbol, struct cv_value value)
{
    if (s->parent == NULL) {
        r->root_value[symbol] = value;
        return true;
    }
    r->steps += s->n / 16;
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->var[i].symbol == symbol) {
            s->var[i].value = value;
            return true;
        }
    }
    if (s->n == s->cap) {
        const uint32_t cap = s->cap == 0 ? 4 : s->cap * 2;
        struct cv_tmpl_var *var = cv_tmpl_alloc(r, cap * sizeof(*var));
        if (var == NULL)
            return false;
        if (s->n != 0)
            memcpy(var, s->var, s->n * sizeof(*var));
        s->var = var;
        s->cap = cap;
    }
    s->var[s->n++] = (struct cv_tmpl_var){symbol, value};
    return true;
}

struct cv_value cv_tmpl_lookup(struct cv_tmpl_run *r, const struct cv_tmpl_scope *s, uint32_t symbol)
{
    for (; s->parent != NULL; s = s->parent) {
        r->steps += s->n / 16; /* the next charge sees it */
        for (uint32_t i = 0; i < s->n; i++) {
            if (s->var[i].symbol == symbol)
                return s->var[i].value;
        }
    }
    return r->root_value[symbol].type != CV_VALUE_ABSENT ? r->root_value[symbol] : r->global[symbol];
}

/* a, b = value; or namespace.attr = value */
static bool assign(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *target,
                   struct cv_value value)
{
    if (target->kind == CV_NODE_NAME)
        return cv_tmpl_scope_set(r, s, target->symbol, value);
    r->at = target->at;
    if (target->kind == CV_NODE_ATTR) {
        const struct cv_value ns = cv_tmpl_lookup(r, s, target->a->symbol);
        if (ns.type != CV_VALUE_NAMESPACE)
            return cv_tmpl_fail(r, CV_ERR_FORMAT, "cannot assign an attribute of %s, only of a namespace",
                                cv_tmpl_type_name(ns));
        return cv_tmpl_map_put(r, ns.as.map, target->value, value);
    }
    const struct cv_list *items;
    if (!cv_tmpl_iterate(r, value, &items))
        return false;
    if (items->n != target->n_list)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "%u values to unpack, expected %u", items->n, target->n_list);
    if (!cv_tmpl_push_frame(r))
        return false;
    for (uint32_t i = 0; i < target->n_list; i++) {
        if (!assign(r, s, target->u.list[i], items->item[i]))
            return false;
    }
    r->frames--;
    return true;
}

bool cv_tmpl_capture(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n, struct cv_value *out)
{
    struct cv_buf *const outer = r->out;
    const size_t limit = r->out_limit, mark = r->scratch.len;
    r->out = &r->scratch;
    r->out_limit = CV_MAX_TEMPLATE_OUTPUT;
    const bool ok = cv_tmpl_exec(r, s, n) != CV_FLOW_FAIL;
    r->out = outer;
    r->out_limit = limit;
    return ok && cv_tmpl_take(r, mark, out);
}

/* The items that pass the loop's own "if". */
static bool select_items(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_for *f,
                         const struct cv_list **items)
{
    struct cv_list *kept;
    struct cv_tmpl_scope *inner = cv_tmpl_scope_new(r, s);
    if (inner == NULL || !cv_tmpl_list_new(r, 0, &kept))
        return false;
    for (uint32_t i = 0; i < (*items)->n; i++) {
        struct cv_value test;
        if (!assign(r, inner, f->target, (*items)->item[i]) || !cv_tmpl_eval(r, inner, f->test, &test))
            return false;
        if (cv_tmpl_truth(test) && !cv_tmpl_list_push(r, kept, (*items)->item[i]))
            return false;
    }
    *items = kept;
    return true;
}

static enum cv_tmpl_flow run_loop(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_for *f,
                                  struct cv_value over, uint32_t depth0)
{
    const struct cv_list *items;
    if (!cv_tmpl_iterate(r, over, &items) || (f->test != NULL && !select_items(r, s, f, &items)))
        return CV_FLOW_FAIL;
    struct cv_tmpl_scope *inner = cv_tmpl_scope_new(r, s);
    if (inner == NULL)
        return CV_FLOW_FAIL;
    if (items->n == 0)
        return f->orelse == NULL ? CV_FLOW_ON : cv_tmpl_exec(r, inner, f->orelse);
    struct cv_tmpl_loop *l = cv_tmpl_alloc(r, sizeof(*l));
    if (l == NULL)
        return CV_FLOW_FAIL;
    *l = (struct cv_tmpl_loop){.node = f, .scope = s, .items = items, .depth0 = depth0};
    l->last_changed.type = CV_VALUE_ABSENT;
    for (uint32_t i = 0; i < items->n; i++) {
        l->index0 = i;
        if (inner->captured) {
            inner = cv_tmpl_scope_new(r, s);
            if (inner == NULL)
                return CV_FLOW_FAIL;
        }
        inner->n = 0;
        if (!cv_tmpl_scope_set(r, inner, CV_SYM_LOOP, (struct cv_value){.type = CV_VALUE_LOOP, .as.p = l}) ||
            !assign(r, inner, f->target, items->item[i]))
            return CV_FLOW_FAIL;
        const enum cv_tmpl_flow flow = cv_tmpl_exec(r, inner, f->body);
        if (flow == CV_FLOW_FAIL)
            return flow;
        if (flow == CV_FLOW_BREAK)
            break;
    }
    return CV_FLOW_ON;
}

bool cv_tmpl_loop_again(struct cv_tmpl_run *r, const struct cv_tmpl_loop *l, struct cv_value items,
                        struct cv_value *out)
{
    if (!l->node->recursive)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "this loop is called, but it is not marked as recursive");
    struct cv_buf *const outer = r->out;
    const size_t limit = r->out_limit, mark = r->scratch.len;
    if (r->calls >= CV_MAX_TEMPLATE_DEPTH)
        return cv_tmpl_fail(r, CV_ERR_LIMIT, "calls nested deeper than %u", CV_MAX_TEMPLATE_DEPTH);
    r->calls++;
    r->out = &r->scratch;
    r->out_limit = CV_MAX_TEMPLATE_OUTPUT;
    const bool ok = run_loop(r, l->scope, l->node, items, l->depth0 + 1) != CV_FLOW_FAIL;
    r->calls--;
    r->out = outer;
    r->out_limit = limit;
    return ok && cv_tmpl_take(r, mark, out);
}

static enum cv_tmpl_flow exec_body(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n)
{
    for (uint32_t i = 0; i < n->n_list; i++) {
        const enum cv_tmpl_flow flow = cv_tmpl_exec(r, s, n->u.list[i]);
        if (flow != CV_FLOW_ON)
            return flow;
    }
    return CV_FLOW_ON;
}

static enum cv_tmpl_flow exec_if(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n)
{
    for (uint32_t i = 0; i < n->n_list; i += 2) {
        struct cv_value test;
        if (!cv_tmpl_eval(r, s, n->u.list[i], &test))
            return CV_FLOW_FAIL;
        if (cv_tmpl_truth(test))
            return exec_body(r, s, n->u.list[i + 1]);
    }
    return n->c == NULL ? CV_FLOW_ON : exec_body(r, s, n->c);
}

static bool exec_print(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n)
{
    struct cv_value v;
    if (!cv_tmpl_eval(r, s, n->a, &v))
        return false;
    r->at = n->at;
    return cv_tmpl_print(r, r->out, v);
}

static bool exec_set(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n)
{
    struct cv_value v;
    return cv_tmpl_eval(r, s, n->b, &v) && assign(r, s, n->a, v);
}

static bool exec_set_block(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n)
{
    struct cv_value v;
    struct cv_tmpl_scope *inner = cv_tmpl_scope_new(r, s);
    return inner != NULL && cv_tmpl_capture(r, inner, n->b, &v) &&
           (n->c == NULL || cv_tmpl_filter(r, inner, n->c, v, &v)) && assign(r, s, n->a, v);
}

/* The macro as a value that remembers this scope. */
static bool make_macro(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_macro *m,
                       struct cv_value *out)
{
    struct cv_tmpl_func *f = cv_tmpl_alloc(r, sizeof(*f));
    if (f == NULL)
        return false;
    for (struct cv_tmpl_scope *p = s; p != NULL && !p->captured; p = p->parent)
        p->captured = true;
    *f = (struct cv_tmpl_func){.kind = CV_FUNC_MACRO, .macro = m, .scope = s};
    *out = (struct cv_value){.type = CV_VALUE_FUNC, .as.p = f};
    return true;
}

static bool exec_call_block(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n)
{
    struct cv_value callee, v;
    struct cv_tmpl_args args;
    if (!cv_tmpl_eval(r, s, n->a->a, &callee) || !cv_tmpl_eval_args(r, s, n->a->u.args, &args))
        return false;
    struct cv_tmpl_kwarg *kw = cv_tmpl_alloc(r, (args.n_kw + 1) * sizeof(*kw));
    if (kw == NULL || !make_macro(r, s, n->u.macro, &kw[args.n_kw].value))
        return false;
    if (args.n_kw != 0)
        memcpy(kw, args.kw, args.n_kw * sizeof(*kw));
    kw[args.n_kw++].name = cv_value_cstr("caller");
    args.kw = kw;
    r->at = n->at;
    return cv_tmpl_call(r, callee, &args, &v) && cv_tmpl_print(r, r->out, v);
}

static bool exec_filter_block(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n)
{
    struct cv_value v;
    struct cv_tmpl_scope *inner = cv_tmpl_scope_new(r, s);
    return inner != NULL && cv_tmpl_capture(r, inner, n->b, &v) && cv_tmpl_filter(r, inner, n->c, v, &v) &&
           cv_tmpl_print(r, r->out, v);
}

static enum cv_tmpl_flow exec_with(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n)
{
    struct cv_tmpl_scope *inner = cv_tmpl_scope_new(r, s);
    if (inner == NULL)
        return CV_FLOW_FAIL;
    for (uint32_t i = 0; i < n->n_list; i += 2) {
        struct cv_value v;
        /* the values do not see one another */
        if (!cv_tmpl_eval(r, s, n->u.list[i + 1], &v) || !assign(r, inner, n->u.list[i], v))
            return CV_FLOW_FAIL;
    }
    return cv_tmpl_exec(r, inner, n->b);
}

static enum cv_tmpl_flow flow_of(bool ok)
{
    return ok ? CV_FLOW_ON : CV_FLOW_FAIL;
}

static enum cv_tmpl_flow exec_for(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n)
{
    struct cv_value over;
    if (!cv_tmpl_eval(r, s, n->u.loop->iter, &over))
        return CV_FLOW_FAIL;
    r->at = n->u.loop->iter->at;
    return run_loop(r, s, n->u.loop, over, 0);
}

static enum cv_tmpl_flow exec_macro(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n)
{
    struct cv_value v;
    return flow_of(make_macro(r, s, n->u.macro, &v) && cv_tmpl_scope_set(r, s, n->u.macro->symbol, v));
}

enum cv_tmpl_flow cv_tmpl_exec(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n)
{
    enum cv_tmpl_flow flow = CV_FLOW_ON;
    r->at = n->at;
    if (!cv_tmpl_push_frame(r))
        return CV_FLOW_FAIL;
    switch ((enum cv_tmpl_kind)n->kind) {
    case CV_NODE_BODY:
        flow = exec_body(r, s, n);
        break;
    case CV_NODE_TEXT:
        flow = flow_of(cv_tmpl_put(r, r->out, n->value.as.s, n->value.len));
        break;
    case CV_NODE_PRINT:
        flow = flow_of(exec_print(r, s, n));
        break;
    case CV_NODE_IF:
        flow = exec_if(r, s, n);
        break;
    case CV_NODE_FOR:
        flow = exec_for(r, s, n);
        break;
    case CV_NODE_SET:
        flow = flow_of(exec_set(r, s, n));
        break;
    case CV_NODE_SET_BLOCK:
        flow = flow_of(exec_set_block(r, s, n));
        break;
    case CV_NODE_MACRO:
        flow = exec_macro(r, s, n);
        break;
    case CV_NODE_CALL_BLOCK:
        flow = flow_of(exec_call_block(r, s, n));
        break;
    case CV_NODE_FILTER_BLOCK:
        flow = flow_of(exec_filter_block(r, s, n));
        break;
    case CV_NODE_WITH:
    case CV_NODE_SCOPE: /* no variables of its own */
        flow = exec_with(r, s, n);
        break;
    case CV_NODE_BREAK:
        flow = CV_FLOW_BREAK;
        break;
    case CV_NODE_CONTINUE:
        flow = CV_FLOW_CONTINUE;
        break;
    default:
        flow = flow_of(cv_tmpl_fail(r, CV_ERR_INTERNAL, "node %d is no statement", n->kind));
    }
    r->frames--;
    return flow;
}
