/* template_call.c - calls: sorting arguments into parameters, macros, and the engine's own callable objects. */
#include <stdio.h>
#include <string.h>

#include "text/template_run.h"

bool cv_tmpl_bind(struct cv_tmpl_run *r, const char *what, const struct cv_tmpl_args *args, const char *const *names,
                  uint32_t n, uint32_t n_needed, struct cv_value *out)
{
    if (args->n_pos > n)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "%s() takes at most %u arguments, got %u", what, n, args->n_pos);
    for (uint32_t i = 0; i < n; i++)
        out[i] = i < args->n_pos ? args->pos[i] : (struct cv_value){.type = CV_VALUE_ABSENT};
    for (uint32_t k = 0; k < args->n_kw; k++) {
        uint32_t i = 0;
        while (i < n && !cv_value_str_is(args->kw[k].name, names[i]))
            i++;
        const int len = (int)(args->kw[k].name.len < 60 ? args->kw[k].name.len : 60);
        if (i == n)
            return cv_tmpl_fail(r, CV_ERR_FORMAT, "%s() takes no argument '%.*s'", what, len, args->kw[k].name.as.s);
        if (cv_tmpl_given(out[i]))
            return cv_tmpl_fail(r, CV_ERR_FORMAT, "%s() got two values for argument '%s'", what, names[i]);
        out[i] = args->kw[k].value;
    }
    for (uint32_t i = 0; i < n_needed; i++) {
        if (!cv_tmpl_given(out[i]))
            return cv_tmpl_fail(r, CV_ERR_FORMAT, "%s() needs the argument '%s'", what, names[i]);
    }
    return true;
}

bool cv_tmpl_no_args(struct cv_tmpl_run *r, const char *what, const struct cv_tmpl_args *args)
{
    return cv_tmpl_bind(r, what, args, NULL, 0, 0, NULL);
}

static bool macro_fail(struct cv_tmpl_run *r, const struct cv_tmpl_macro *m, const char *why)
{
    const int len = (int)(m->name.len < 60 ? m->name.len : 60);
    return cv_tmpl_fail(r, CV_ERR_FORMAT, "macro '%.*s' %s", len, m->name.as.s, why);
}

/* The value that args give for parameter i, or absent. */
static bool macro_argument(struct cv_tmpl_run *r, const struct cv_tmpl_macro *m, uint32_t i,
                           const struct cv_tmpl_args *args, struct cv_value *out)
{
    *out = i < args->n_pos ? args->pos[i] : (struct cv_value){.type = CV_VALUE_ABSENT};
    for (uint32_t k = 0; k < args->n_kw; k++) {
        if (!cv_value_same_scalar(args->kw[k].name, m->param[i].name))
            continue;
        if (cv_tmpl_given(*out))
            return macro_fail(r, m, "got two values for one argument");
        *out = args->kw[k].value;
    }
    return true;
}

/* varargs, kwargs and caller: what is left over, as far as the macro's body asks for it. */
static bool bind_rest(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_macro *m,
                      const struct cv_tmpl_args *args)
{
    struct cv_list *rest;
    struct cv_map_value *more = cv_map_value_new(&r->values, 0);
    struct cv_value caller = {.type = CV_VALUE_UNDEFINED, .flavor = CV_UNDEF_NAME, .as.i = CV_SYM_CALLER};
    if (more == NULL)
        return cv_tmpl_nomem(r);
    if (!cv_tmpl_list_new(r, 0, &rest))
        return false;
    for (uint32_t i = m->n_param; i < args->n_pos; i++) {
        if (!m->uses_varargs)
            return macro_fail(r, m, "got too many arguments");
        if (!cv_tmpl_list_push(r, rest, args->pos[i]))
            return false;
    }
    for (uint32_t k = 0; k < args->n_kw; k++) {
        uint32_t i = 0;
        while (i < m->n_param && !cv_value_same_scalar(m->param[i].name, args->kw[k].name))
            i++;
        if (i < m->n_param)
            continue;
        if (m->uses_caller && cv_value_str_is(args->kw[k].name, "caller"))
            caller = args->kw[k].value;
        else if (!m->uses_kwargs)
            return macro_fail(r, m, "got an argument of a name that it does not have");
        else if (!cv_tmpl_map_put(r, more, args->kw[k].name, args->kw[k].value))
            return false;
    }
    if (m->uses_caller && !cv_tmpl_scope_set(r, s, CV_SYM_CALLER, caller))
        return false;
    if (m->uses_varargs && !cv_tmpl_scope_set(r, s, CV_SYM_VARARGS, cv_value_of_list(rest, CV_LIST_TUPLE)))
        return false;
    return !m->uses_kwargs || cv_tmpl_scope_set(r, s, CV_SYM_KWARGS, cv_value_of_map(more));
}

static bool call_macro(struct cv_tmpl_run *r, const struct cv_tmpl_func *f, const struct cv_tmpl_args *args,
                       struct cv_value *out)
{
    static const char missing[] = "a parameter was not provided";
    const struct cv_tmpl_macro *m = f->macro;
    const uint32_t at = r->at;
    if (r->calls >= CV_MAX_TEMPLATE_DEPTH)
        return cv_tmpl_fail(r, CV_ERR_LIMIT, "calls nested deeper than %u", CV_MAX_TEMPLATE_DEPTH);
    struct cv_tmpl_scope *s = cv_tmpl_scope_new(r, f->scope);
    if (s == NULL || !cv_tmpl_charge(r, (size_t)m->n_param * args->n_kw))
        return false;
    r->calls++;
    for (uint32_t i = 0; i < m->n_param; i++) {
        struct cv_value v;
        if (!macro_argument(r, m, i, args, &v))
            return false;
        if (!cv_tmpl_given(v)) {
            v = (struct cv_value){
                .type = CV_VALUE_UNDEFINED, .flavor = CV_UNDEF_HINT, .len = sizeof(missing) - 1, .as.s = missing};
            if (m->param[i].preset != NULL && !cv_tmpl_eval(r, s, m->param[i].preset, &v))
                return false;
        }
        if (!cv_tmpl_scope_set(r, s, m->param[i].symbol, v))
            return false;
    }
    if (!bind_rest(r, s, m, args) || !cv_tmpl_capture(r, s, m->body, out))
        return false;
    r->calls--;
    r->at = at;
    return true;
}

static bool call_loop(struct cv_tmpl_run *r, const struct cv_tmpl_loop *l, const struct cv_tmpl_args *args,
                      struct cv_value *out)
{
    static const char *const names[] = {"iterable"};
    struct cv_value items;
    return cv_tmpl_bind(r, "loop", args, names, 1, 1, &items) && cv_tmpl_loop_again(r, l, items, out);
}

static bool call_joiner(struct cv_tmpl_run *r, struct cv_list *l, const struct cv_tmpl_args *args, struct cv_value *out)
{
    if (!cv_tmpl_no_args(r, "joiner", args))
        return false;
    *out = l->pos != 0 ? l->item[0] : cv_value_str_view("", 0);
    l->pos = 1;
    return true;
}

bool cv_tmpl_call(struct cv_tmpl_run *r, struct cv_value callee, const struct cv_tmpl_args *args, struct cv_value *out)
{
    if (callee.type == CV_VALUE_UNDEFINED)
        return cv_tmpl_fail_undefined(r, callee);
    if (callee.type == CV_VALUE_LOOP)
        return call_loop(r, callee.as.p, args, out);
    if (callee.type == CV_VALUE_JOINER)
        return call_joiner(r, callee.as.list, args, out);
    if (callee.type != CV_VALUE_FUNC)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "'%s' object is not callable", cv_tmpl_type_name(callee));
    const struct cv_tmpl_func *f = callee.as.p;
    if (f->kind == CV_FUNC_MACRO)
        return call_macro(r, f, args, out);
    return f->builtin->call(r, f->self, args, out);
}
