/*
 * template_run.h - one render: its state, and what the parts of the interpreter call of one another. Internal to the
 * template engine.
 *
 * Every function that returns bool fills in r->err when it returns false. What a render makes lives in r->values and goes
 * with it.
 */
#ifndef CV_TEXT_TEMPLATE_RUN_H
#define CV_TEXT_TEMPLATE_RUN_H

#include "text/template_ast.h"
#include "text/template_builtin.h"

struct cv_tmpl_var {
    uint32_t symbol;
    struct cv_value value;
};

/* Where names are looked up: here, then in the parent. The root scope has parent NULL. */
struct cv_tmpl_scope {
    struct cv_tmpl_scope *parent;
    struct cv_tmpl_var *var;
    uint32_t n, cap;
    bool captured; /* a macro was defined here: it must outlive its block */
};

/* A string that grows at its end: a loop that appends to one does not copy it each time. */
struct cv_tmpl_growing {
    char *s;
    size_t used, cap;
};

enum { CV_TMPL_GROWING = 4 };

struct cv_tmpl_run {
    const struct cv_template *t;
    struct cv_values values;
    struct cv_value *global; /* by symbol: the caller's variables and the engine's functions */
    struct cv_tmpl_scope root;
    struct cv_value *root_value; /* by symbol: CV_VALUE_ABSENT when not set */
    struct cv_buf *out;          /* the caller's, or scratch while something is captured */
    size_t out_limit;            /* bytes that out may hold */
    struct cv_buf scratch;       /* text in the making, used as a stack */
    struct cv_tmpl_growing growing[CV_TMPL_GROWING];
    unsigned next_growing;
    uint64_t steps;
    uint32_t frames, calls;
    uint32_t at; /* of the source: what is being evaluated, for errors */
    int64_t unix_time;
    struct cv_error *err;
};

/* Fails with line and column of what is being evaluated. */
bool cv_tmpl_fail(struct cv_tmpl_run *r, enum cv_code code, const char *fmt, ...) CV_PRINTF(3, 4);
bool cv_tmpl_nomem(struct cv_tmpl_run *r);
/* Counts work; n is in units of about one node or 32 bytes. */
bool cv_tmpl_charge(struct cv_tmpl_run *r, size_t n);
/* One frame deeper, and a step; undone by r->frames--. */
bool cv_tmpl_push_frame(struct cv_tmpl_run *r);

/* ---- arguments */

struct cv_tmpl_kwarg {
    struct cv_value name, value;
};

struct cv_tmpl_args {
    const struct cv_value *pos;
    const struct cv_tmpl_kwarg *kw;
    uint32_t n_pos, n_kw;
};

/* Sorts args into out[0..n) by names; what is not given is CV_VALUE_ABSENT. The first n_needed must be given.
 * what names the function in errors. */
bool cv_tmpl_bind(struct cv_tmpl_run *r, const char *what, const struct cv_tmpl_args *args, const char *const *names,
                  uint32_t n, uint32_t n_needed, struct cv_value *out);
/* No arguments at all, or an error. */
bool cv_tmpl_no_args(struct cv_tmpl_run *r, const char *what, const struct cv_tmpl_args *args);
static inline bool cv_tmpl_given(struct cv_value v)
{
    return v.type != CV_VALUE_ABSENT;
}

/* ---- functions */

enum cv_tmpl_func_kind { CV_FUNC_METHOD, CV_FUNC_GLOBAL, CV_FUNC_MACRO };

struct cv_tmpl_func {
    enum cv_tmpl_func_kind kind;
    const struct cv_tmpl_builtin *builtin; /* a method or a global */
    struct cv_value self;
    const struct cv_tmpl_macro *macro;
    struct cv_tmpl_scope *scope; /* where the macro was defined */
};

struct cv_tmpl_loop {
    const struct cv_tmpl_for *node;
    struct cv_tmpl_scope *scope; /* around the loop */
    const struct cv_list *items;
    uint32_t index0, depth0;
    struct cv_value last_changed;
};

extern const struct cv_tmpl_builtin cv_tmpl_globals[CV_SYM_COUNT]; /* by symbol; no name: not a function */

/* template_eval.c, template_call.c, template_exec.c */
bool cv_tmpl_eval(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n, struct cv_value *out);
bool cv_tmpl_eval_args(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_args_node *n,
                       struct cv_tmpl_args *out);
bool cv_tmpl_call(struct cv_tmpl_run *r, struct cv_value callee, const struct cv_tmpl_args *args, struct cv_value *out);
/* self through a filter block's chain of filters. */
bool cv_tmpl_filter(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n, struct cv_value self,
                    struct cv_value *out);
/* A filter or test by name, as map and select call them; test: whose result is a bool. */
bool cv_tmpl_apply_filter(struct cv_tmpl_run *r, struct cv_value name, struct cv_value self,
                          const struct cv_tmpl_args *args, struct cv_value *out);
bool cv_tmpl_apply_test(struct cv_tmpl_run *r, struct cv_value name, struct cv_value self,
                        const struct cv_tmpl_args *args, bool *out);

enum cv_tmpl_flow { CV_FLOW_FAIL, CV_FLOW_ON, CV_FLOW_BREAK, CV_FLOW_CONTINUE };
enum cv_tmpl_flow cv_tmpl_exec(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n);
/* Runs n and gives its output as a string. */
bool cv_tmpl_capture(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, const struct cv_tmpl_node *n,
                     struct cv_value *out);
/* What loop(items) gives in a recursive loop. */
bool cv_tmpl_loop_again(struct cv_tmpl_run *r, const struct cv_tmpl_loop *l, struct cv_value items,
                        struct cv_value *out);
struct cv_tmpl_scope *cv_tmpl_scope_new(struct cv_tmpl_run *r, struct cv_tmpl_scope *parent);
bool cv_tmpl_scope_set(struct cv_tmpl_run *r, struct cv_tmpl_scope *s, uint32_t symbol, struct cv_value value);
struct cv_value cv_tmpl_lookup(struct cv_tmpl_run *r, const struct cv_tmpl_scope *s, uint32_t symbol);

/* ---- values (template_ops.c, template_compare.c, template_text.c, template_json.c) */

const char *cv_tmpl_type_name(struct cv_value v);
bool cv_tmpl_truth(struct cv_value v);
/* Fails with what Jinja says when an undefined value is used. */
bool cv_tmpl_fail_undefined(struct cv_tmpl_run *r, struct cv_value v);
bool cv_tmpl_equal(struct cv_tmpl_run *r, struct cv_value a, struct cv_value b, bool *out);
/* -1, 0, 1; fails where Python has no order. */
bool cv_tmpl_order(struct cv_tmpl_run *r, struct cv_value a, struct cv_value b, int *out);
/* Stable. */
bool cv_tmpl_sort(struct cv_tmpl_run *r, struct cv_value *keys, struct cv_value *items, size_t n, bool reverse);
bool cv_tmpl_contains(struct cv_tmpl_run *r, struct cv_value in, struct cv_value item, bool *out);
bool cv_tmpl_binary(struct cv_tmpl_run *r, int op, struct cv_value a, struct cv_value b, struct cv_value *out);
bool cv_tmpl_negate(struct cv_tmpl_run *r, struct cv_value a, bool minus, struct cv_value *out);
bool cv_tmpl_get_attr(struct cv_tmpl_run *r, struct cv_value a, struct cv_value name, struct cv_value *out);
bool cv_tmpl_get_item(struct cv_tmpl_run *r, struct cv_value a, struct cv_value index, struct cv_value *out);
/* part: start, stop, step; null where not given. */
bool cv_tmpl_slice(struct cv_tmpl_run *r, struct cv_value a, const struct cv_value part[3], struct cv_value *out);
bool cv_tmpl_length(struct cv_tmpl_run *r, struct cv_value v, int64_t *out);
/* Everything that can be iterated over, as a list; an iterator is used up. A list is not copied: do not change it. */
bool cv_tmpl_iterate(struct cv_tmpl_run *r, struct cv_value v, const struct cv_list **out);
bool cv_tmpl_list_new(struct cv_tmpl_run *r, size_t n, struct cv_list **out);
bool cv_tmpl_list_push(struct cv_tmpl_run *r, struct cv_list *l, struct cv_value item);
bool cv_tmpl_map_put(struct cv_tmpl_run *r, struct cv_map_value *m, struct cv_value key, struct cv_value item);

/* str() and repr() appended to b, which is r->scratch or r->out. */
bool cv_tmpl_print(struct cv_tmpl_run *r, struct cv_buf *b, struct cv_value v);
bool cv_tmpl_repr(struct cv_tmpl_run *r, struct cv_buf *b, struct cv_value v);
/* v itself if it is a string, else str(v). */
bool cv_tmpl_to_str(struct cv_tmpl_run *r, struct cv_value v, struct cv_value *out);
/* As to_str, but fails for everything that is no string: what a method of str wants. */
bool cv_tmpl_need_str(struct cv_tmpl_run *r, const char *what, struct cv_value v);
bool cv_tmpl_need_int(struct cv_tmpl_run *r, const char *what, struct cv_value v, int64_t *out);
/* Python's repr of a float; text has 40 bytes. Returns the length. */
size_t cv_tmpl_float_text(char *text, double d);
bool cv_tmpl_to_json(struct cv_tmpl_run *r, struct cv_value v, const struct cv_tmpl_args *args, struct cv_value *out);
bool cv_tmpl_join(struct cv_tmpl_run *r, struct cv_value a, struct cv_value b, struct cv_value *out); /* a + b */
bool cv_tmpl_escape(struct cv_tmpl_run *r, struct cv_value v, struct cv_value *out);

/* Text in the making: put to r->scratch behind mark, then take it as a string. */
bool cv_tmpl_put(struct cv_tmpl_run *r, struct cv_buf *b, const char *s, size_t n);
bool cv_tmpl_take(struct cv_tmpl_run *r, size_t mark, struct cv_value *out);
/* Memory of the render; NULL with the error filled in. */
void *cv_tmpl_alloc(struct cv_tmpl_run *r, size_t n);

/* "fmt % args" and fmt.format(args) */
bool cv_tmpl_percent(struct cv_tmpl_run *r, struct cv_value fmt, struct cv_value args, struct cv_value *out);
bool cv_tmpl_format(struct cv_tmpl_run *r, struct cv_value fmt, const struct cv_tmpl_args *args, struct cv_value *out);
/* A dotted path, "a.b.0", as attribute= of filters has it. */
bool cv_tmpl_get_path(struct cv_tmpl_run *r, struct cv_value v, struct cv_value path, struct cv_value *out);

#endif
