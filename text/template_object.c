/* template_object.c - the methods of mappings, lists, loops and cyclers, and the search for a method by name. */
#include <math.h>
#include <string.h>

#include "text/template_string.h"

static bool map_copy(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out)
{
    *out = self; /* nobody can change either of them */
    return cv_tmpl_no_args(r, "copy", args);
}

static bool map_get(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out)
{
    static const char *const names[] = {"key", "default"};
    struct cv_value a[2];
    if (!cv_tmpl_bind(r, "get", args, names, 2, 1, a))
        return false;
    if (!cv_value_hashable(a[0]))
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "unhashable type: '%s'", cv_tmpl_type_name(a[0]));
    const struct cv_map_entry *e = cv_map_value_find(self.as.map, a[0]);
    *out = e != NULL ? e->item : cv_tmpl_given(a[1]) ? a[1] : cv_value_null();
    return cv_tmpl_charge(r, 1 + (a[0].type == CV_VALUE_STRING ? a[0].len / 32 : 0));
}

static bool view(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, int flavor,
                 struct cv_value *out)
{
    const struct cv_map_value *m = self.as.map;
    struct cv_list *l;
    if (!cv_tmpl_no_args(r, "a view", args) || !cv_tmpl_list_new(r, m->n, &l))
        return false;
    for (uint32_t i = 0; i < m->n; i++) {
        struct cv_value v = flavor == CV_LIST_KEYS ? m->entry[i].key : m->entry[i].item;
        if (flavor == CV_LIST_ITEMS) {
            struct cv_list *pair;
            if (!cv_tmpl_list_new(r, 2, &pair) || !cv_tmpl_list_push(r, pair, m->entry[i].key) ||
                !cv_tmpl_list_push(r, pair, v))
                return false;
            v = cv_value_of_list(pair, CV_LIST_TUPLE);
        }
        if (!cv_tmpl_list_push(r, l, v))
            return false;
    }
    *out = cv_value_of_list(l, flavor);
    return true;
}

static bool map_items(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                      struct cv_value *out)
{
    return view(r, self, args, CV_LIST_ITEMS, out);
}

static bool map_keys(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out)
{
    return view(r, self, args, CV_LIST_KEYS, out);
}

static bool map_values(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out)
{
    return view(r, self, args, CV_LIST_VALUES, out);
}

static bool list_copy(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                      struct cv_value *out)
{
    *out = self;
    return cv_tmpl_no_args(r, "copy", args);
}

static bool list_count(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out)
{
    static const char *const names[] = {"value"};
    struct cv_value v;
    int64_t n = 0;
    if (!cv_tmpl_bind(r, "count", args, names, 1, 1, &v))
        return false;
    for (uint32_t i = 0; i < self.as.list->n; i++) {
        bool same;
        if (!cv_tmpl_equal(r, self.as.list->item[i], v, &same))
            return false;
        n += same;
    }
    *out = cv_value_int(n);
    return true;
}

static bool list_index(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out)
{
    static const char *const names[] = {"value"};
    struct cv_value v;
    if (!cv_tmpl_bind(r, "index", args, names, 1, 1, &v))
        return false;
    for (uint32_t i = 0; i < self.as.list->n; i++) {
        bool same;
        if (!cv_tmpl_equal(r, self.as.list->item[i], v, &same))
            return false;
        if (same) {
            *out = cv_value_int(i);
            return true;
        }
    }
    return cv_tmpl_fail(r, CV_ERR_FORMAT, "the value is not in the list");
}

static bool loop_cycle(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out)
{
    const struct cv_tmpl_loop *l = self.as.p;
    if (args->n_pos == 0 || args->n_kw != 0)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "loop.cycle() needs at least one item");
    *out = args->pos[l->index0 % args->n_pos];
    return true;
}

static bool loop_changed(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                         struct cv_value *out)
{
    struct cv_tmpl_loop *l = self.as.p;
    struct cv_list *now;
    bool same = false;
    if (args->n_kw != 0)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "loop.changed() takes no names");
    if (!cv_tmpl_list_new(r, args->n_pos, &now))
        return false;
    for (uint32_t i = 0; i < args->n_pos; i++) {
        if (!cv_tmpl_list_push(r, now, args->pos[i]))
            return false;
    }
    const struct cv_value values = cv_value_of_list(now, CV_LIST_TUPLE);
    if (cv_tmpl_given(l->last_changed) && !cv_tmpl_equal(r, l->last_changed, values, &same))
        return false;
    l->last_changed = values;
    *out = cv_value_bool(!same);
    return true;
}

static bool cycler_next(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                        struct cv_value *out)
{
    struct cv_list *l = self.as.list;
    *out = l->item[l->pos];
    l->pos = (l->pos + 1) % l->n;
    return cv_tmpl_no_args(r, "next", args);
}

static bool cycler_reset(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                         struct cv_value *out)
{
    self.as.list->pos = 0;
    *out = cv_value_null();
    return cv_tmpl_no_args(r, "reset", args);
}

static bool float_is_integer(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                             struct cv_value *out)
{
    *out = cv_value_bool(isfinite(self.as.d) && floor(self.as.d) == self.as.d);
    return cv_tmpl_no_args(r, "is_integer", args);
}

/* A method without a function would change its object: the sandbox hides it. */
static const struct cv_tmpl_builtin map_methods[] = {
    {"clear", NULL}, {"copy", map_copy}, {"get", map_get},     {"items", map_items}, {"keys", map_keys},
    {"pop", NULL},   {"popitem", NULL},  {"setdefault", NULL}, {"update", NULL},     {"values", map_values},
};

static const struct cv_tmpl_builtin list_methods[] = {
    {"append", NULL}, {"clear", NULL},       {"copy", list_copy}, {"count", list_count},
    {"extend", NULL}, {"index", list_index}, {"insert", NULL},    {"pop", NULL},
    {"remove", NULL}, {"reverse", NULL},     {"sort", NULL},
};

static const struct cv_tmpl_builtin tuple_methods[] = {{"count", list_count}, {"index", list_index}};
static const struct cv_tmpl_builtin loop_methods[] = {{"changed", loop_changed}, {"cycle", loop_cycle}};
static const struct cv_tmpl_builtin cycler_methods[] = {{"next", cycler_next}, {"reset", cycler_reset}};
static const struct cv_tmpl_builtin float_methods[] = {{"is_integer", float_is_integer}};

const struct cv_tmpl_builtin *cv_tmpl_find_method(struct cv_value self, struct cv_value name)
{
    switch (self.type) {
    case CV_VALUE_STRING:
        return cv_tmpl_find_in(cv_tmpl_str_methods, cv_tmpl_n_str_methods, name);
    case CV_VALUE_MAP:
        return cv_tmpl_find_in(map_methods, CV_COUNT(map_methods), name);
    case CV_VALUE_LIST:
        if (self.flavor == CV_LIST_LIST)
            return cv_tmpl_find_in(list_methods, CV_COUNT(list_methods), name);
        if (self.flavor == CV_LIST_TUPLE || self.flavor == CV_LIST_RANGE)
            return cv_tmpl_find_in(tuple_methods, CV_COUNT(tuple_methods), name);
        return NULL;
    case CV_VALUE_LOOP:
        return cv_tmpl_find_in(loop_methods, CV_COUNT(loop_methods), name);
    case CV_VALUE_CYCLER:
        return cv_tmpl_find_in(cycler_methods, CV_COUNT(cycler_methods), name);
    case CV_VALUE_DOUBLE:
        return cv_tmpl_find_in(float_methods, CV_COUNT(float_methods), name);
    default:
        return NULL;
    }
}
