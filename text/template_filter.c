/* template_filter.c - finds filters by name, and the filters that pick from lists: map, select, reject and theirs by
 * attribute. */
#include <string.h>

#include "text/template_run.h"

const struct cv_tmpl_builtin *cv_tmpl_find_in(const struct cv_tmpl_builtin *table, size_t n, struct cv_value name)
{
    size_t low = 0, high = n;
    while (low < high) {
        const size_t mid = (low + high) / 2, len = strlen(table[mid].name);
        int c = memcmp(table[mid].name, name.as.s, len < name.len ? len : name.len);
        if (c == 0)
            c = (len > name.len) - (len < name.len);
        if (c == 0)
            return &table[mid];
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

const struct cv_tmpl_builtin *cv_tmpl_find_filter(struct cv_value name)
{
    const struct cv_tmpl_builtin *f = cv_tmpl_find_in(cv_tmpl_text_filters, cv_tmpl_n_text_filters, name);
    if (f == NULL)
        f = cv_tmpl_find_in(cv_tmpl_list_filters, cv_tmpl_n_list_filters, name);
    return f != NULL ? f : cv_tmpl_find_in(cv_tmpl_pick_filters, cv_tmpl_n_pick_filters, name);
}

bool cv_tmpl_apply_filter(struct cv_tmpl_run *r, struct cv_value name, struct cv_value self,
                          const struct cv_tmpl_args *args, struct cv_value *out)
{
    const struct cv_tmpl_builtin *f = name.type == CV_VALUE_STRING ? cv_tmpl_find_filter(name) : NULL;
    if (f != NULL)
        return f->call(r, self, args, out);
    if (!cv_tmpl_need_str(r, "the name of a filter", name))
        return false;
    return cv_tmpl_fail(r, CV_ERR_FORMAT, "no filter named '%.*s'", (int)(name.len < 60 ? name.len : 60), name.as.s);
}

bool cv_tmpl_apply_test(struct cv_tmpl_run *r, struct cv_value name, struct cv_value self,
                        const struct cv_tmpl_args *args, bool *out)
{
    const struct cv_tmpl_builtin *f = name.type == CV_VALUE_STRING ? cv_tmpl_find_test(name) : NULL;
    struct cv_value v;
    if (f == NULL) {
        if (!cv_tmpl_need_str(r, "the name of a test", name))
            return false;
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "no test named '%.*s'", (int)(name.len < 60 ? name.len : 60), name.as.s);
    }
    if (!f->call(r, self, args, &v))
        return false;
    *out = cv_tmpl_truth(v);
    return true;
}

/* args without its first n positional ones */
static struct cv_tmpl_args rest_of(const struct cv_tmpl_args *args, uint32_t n)
{
    struct cv_tmpl_args rest = *args;
    n = n < args->n_pos ? n : args->n_pos;
    rest.pos = n == 0 ? args->pos : args->pos + n;
    rest.n_pos -= n;
    return rest;
}

/* The items of self; none, if self is false in any way, null included. */
static bool iterate_some(struct cv_tmpl_run *r, struct cv_value self, const struct cv_list **items)
{
    return cv_tmpl_iterate(r, cv_tmpl_truth(self) ? self : (struct cv_value){.type = CV_VALUE_UNDEFINED}, items);
}

/* map(attribute="a.b", default=c) */
static bool map_attribute(struct cv_tmpl_run *r, const struct cv_list *items, const struct cv_tmpl_args *args,
                          struct cv_list *result)
{
    static const char *const names[] = {"attribute", "default"};
    struct cv_value a[2], v;
    if (!cv_tmpl_bind(r, "map", args, names, 2, 1, a))
        return false;
    for (uint32_t i = 0; i < items->n; i++) {
        if (!cv_tmpl_get_path(r, items->item[i], a[0], &v))
            return false;
        if (v.type == CV_VALUE_UNDEFINED && cv_tmpl_given(a[1]))
            v = a[1];
        if (!cv_tmpl_list_push(r, result, v))
            return false;
    }
    return true;
}

static bool filter_map(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out)
{
    const struct cv_list *items;
    struct cv_list *result;
    if (!iterate_some(r, self, &items) || !cv_tmpl_list_new(r, items->n, &result))
        return false;
    *out = cv_value_of_list(result, CV_LIST_ITER);
    if (args->n_pos == 0)
        return args->n_kw != 0 ? map_attribute(r, items, args, result)
                               : cv_tmpl_fail(r, CV_ERR_FORMAT, "map() needs a filter or an attribute");
    const struct cv_tmpl_args rest = rest_of(args, 1);
    for (uint32_t i = 0; i < items->n; i++) {
        struct cv_value v;
        if (!cv_tmpl_apply_filter(r, args->pos[0], items->item[i], &rest, &v) || !cv_tmpl_list_push(r, result, v))
            return false;
    }
    return true;
}

/* The items for which a test of the item (or of its attribute) comes out as "wanted". */
static bool pick(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, bool by_attr,
                 bool wanted, struct cv_value *out)
{
    const struct cv_list *items;
    struct cv_list *result;
    const uint32_t n_own = by_attr ? 1 : 0;
    if (args->n_pos < n_own)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "this filter needs the name of an attribute");
    const struct cv_tmpl_args rest = rest_of(args, n_own + 1);
    if (!iterate_some(r, self, &items) || !cv_tmpl_list_new(r, 0, &result))
        return false;
    for (uint32_t i = 0; i < items->n; i++) {
        struct cv_value v = items->item[i];
        if (by_attr && !cv_tmpl_get_path(r, v, args->pos[0], &v))
            return false;
        bool holds = cv_tmpl_truth(v);
        if (args->n_pos > n_own && !cv_tmpl_apply_test(r, args->pos[n_own], v, &rest, &holds))
            return false;
        if (holds == wanted && !cv_tmpl_list_push(r, result, items->item[i]))
            return false;
    }
    *out = cv_value_of_list(result, CV_LIST_ITER);
    return true;
}

static bool filter_select(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                          struct cv_value *out)
{
    return pick(r, self, args, false, true, out);
}

static bool filter_reject(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                          struct cv_value *out)
{
    return pick(r, self, args, false, false, out);
}

static bool filter_selectattr(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                              struct cv_value *out)
{
    return pick(r, self, args, true, true, out);
}

static bool filter_rejectattr(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                              struct cv_value *out)
{
    return pick(r, self, args, true, false, out);
}

const struct cv_tmpl_builtin cv_tmpl_pick_filters[] = {
    {"map", filter_map},       {"reject", filter_reject},         {"rejectattr", filter_rejectattr},
    {"select", filter_select}, {"selectattr", filter_selectattr},
};
const size_t cv_tmpl_n_pick_filters = CV_COUNT(cv_tmpl_pick_filters);
