/*
 * template_builtin.h - what templates find ready: filters, tests, methods. Internal to the template engine.
 *
 * All have one shape: self is what stands before "|", "is" or ".".
 */
#ifndef CV_TEXT_TEMPLATE_BUILTIN_H
#define CV_TEXT_TEMPLATE_BUILTIN_H

#include "text/template_value.h"

struct cv_tmpl_run;
struct cv_tmpl_args;

struct cv_tmpl_builtin {
    const char *name;
    /* NULL for a method that would change its object: the sandbox hides it */
    bool (*call)(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out);
};

/* Sorted by name; ended by their count. */
extern const struct cv_tmpl_builtin cv_tmpl_text_filters[], cv_tmpl_list_filters[], cv_tmpl_pick_filters[];
extern const size_t cv_tmpl_n_text_filters, cv_tmpl_n_list_filters, cv_tmpl_n_pick_filters;

/* NULL if there is none. */
const struct cv_tmpl_builtin *cv_tmpl_find_filter(struct cv_value name);
const struct cv_tmpl_builtin *cv_tmpl_find_test(struct cv_value name);
/* A method of values like self. */
const struct cv_tmpl_builtin *cv_tmpl_find_method(struct cv_value self, struct cv_value name);

const struct cv_tmpl_builtin *cv_tmpl_find_in(const struct cv_tmpl_builtin *table, size_t n, struct cv_value name);

#endif
