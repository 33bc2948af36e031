/* template_access.c - looking into values: attributes, items, slices, membership, iteration. */
#include <string.h>

#include "base/utf8.h"
#include "text/template_run.h"
#include "text/template_string.h"

static bool undefined_of(struct cv_tmpl_run *r, int flavor, struct cv_value owner, struct cv_value name,
                         struct cv_value *out)
{
    struct cv_undef *u = cv_tmpl_alloc(r, sizeof(*u));
    if (u == NULL)
        return false;
    *u = (struct cv_undef){owner, name};
    *out = (struct cv_value){.type = CV_VALUE_UNDEFINED, .flavor = (uint8_t)flavor, .as.p = u};
    return true;
}

/* self.name as a value, if there is such a method; *found says so. */
static bool method_value(struct cv_tmpl_run *r, struct cv_value self, struct cv_value name, bool *found,
                         struct cv_value *out)
{
    const struct cv_tmpl_builtin *b = cv_tmpl_find_method(self, name);
    *found = b != NULL;
    if (b == NULL)
        return true;
    if (b->call == NULL)
        return undefined_of(r, CV_UNDEF_UNSAFE, self, name, out);
    struct cv_tmpl_func *f = cv_tmpl_alloc(r, sizeof(*f));
    if (f == NULL)
        return false;
    *f = (struct cv_tmpl_func){.kind = CV_FUNC_METHOD, .builtin = b, .self = self};
    *out = (struct cv_value){.type = CV_VALUE_FUNC, .as.p = f};
    return true;
}

/* loop.name; false when there is no such attribute. */
static bool loop_attr(const struct cv_tmpl_loop *l, struct cv_value name, struct cv_value *out)
{
    const uint32_t i = l->index0, n = l->items->n;
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {{"index", (int64_t)i + 1},        {"index0", i},         {"length", n},
                   {"revindex", (int64_t)n - i},     {"depth0", l->depth0}, {"revindex0", (int64_t)n - i - 1},
                   {"depth", (int64_t)l->depth0 + 1}};
    for (size_t k = 0; k < CV_COUNT(numbers); k++) {
        if (cv_value_str_is(name, numbers[k].name)) {
            *out = cv_value_int(numbers[k].value);
            return true;
        }
    }
    if (cv_value_str_is(name, "first"))
        *out = cv_value_bool(i == 0);
    else if (cv_value_str_is(name, "last"))
        *out = cv_value_bool(i + 1 == n);
    else if (cv_value_str_is(name, "previtem") && i != 0)
        *out = l->items->item[i - 1];
    else if (cv_value_str_is(name, "nextitem") && i + 1 < n)
        *out = l->items->item[i + 1];
    else
        return false;
    return true;
}

static bool macro_attr(const struct cv_tmpl_func *f, struct cv_value name, struct cv_value *out)
{
    if (f->kind != CV_FUNC_MACRO)
        return false;
    if (cv_value_str_is(name, "name"))
        *out = f->macro->name;
    else if (cv_value_str_is(name, "caller"))
        *out = cv_value_bool(f->macro->uses_caller);
    else if (cv_value_str_is(name, "catch_kwargs"))
        *out = cv_value_bool(f->macro->uses_kwargs);
    else if (cv_value_str_is(name, "catch_varargs"))
        *out = cv_value_bool(f->macro->uses_varargs);
    else
        return false;
    return true;
}

bool cv_tmpl_get_attr(struct cv_tmpl_run *r, struct cv_value a, struct cv_value name, struct cv_value *out)
{
    bool found = false;
    if (a.type == CV_VALUE_UNDEFINED)
        return cv_tmpl_fail_undefined(r, a);
    if (a.type == CV_VALUE_NAMESPACE || a.type == CV_VALUE_MAP) {
        if (a.type == CV_VALUE_MAP && !method_value(r, a, name, &found, out))
            return false;
        const struct cv_map_entry *e = found ? NULL : cv_map_value_find(a.as.map, name);
        if (e != NULL)
            *out = e->item;
        return found || e != NULL || undefined_of(r, CV_UNDEF_ATTR, a, name, out);
    }
    if (a.type == CV_VALUE_LOOP)
        found = loop_attr(a.as.p, name, out);
    else if (a.type == CV_VALUE_FUNC)
        found = macro_attr(a.as.p, name, out);
    else if (a.type == CV_VALUE_CYCLER && cv_value_str_is(name, "current")) {
        *out = a.as.list->item[a.as.list->pos];
        found = true;
    }
    if (!found && !method_value(r, a, name, &found, out))
        return false;
    if (found)
        return true;
    const bool hidden = name.len > 1 && name.as.s[0] == '_' && name.as.s[1] == '_';
    return undefined_of(r, hidden ? CV_UNDEF_UNSAFE : CV_UNDEF_ATTR, a, name, out);
}

static bool string_item(struct cv_tmpl_run *r, struct cv_value a, int64_t index, bool *found, struct cv_value *out)
{
    const char *start = a.as.s, *end = a.as.s + a.len, *p;
    *found = false;
    if (index >= (int64_t)a.len || index < -(int64_t)a.len)
        return true;
    if (index >= 0) {
        p = cv_str_skip(start, end, (size_t)index);
    } else {
        p = cv_str_back(start, end, (size_t)-index - 1);
        p = p == start ? end : cv_str_back(start, p, 1);
    }
    if (p < end) {
        *found = true;
        *out = cv_value_str_view(p, (size_t)(cv_str_skip(p, end, 1) - p));
    }
    return cv_tmpl_charge(r, (size_t)(index < 0 ? -index : index) / 32);
}

bool cv_tmpl_get_item(struct cv_tmpl_run *r, struct cv_value a, struct cv_value index, struct cv_value *out)
{
    bool found = false;
    if (a.type == CV_VALUE_UNDEFINED)
        return cv_tmpl_fail_undefined(r, a);
    if (index.type == CV_VALUE_STRING && !cv_tmpl_charge(r, index.len / 32))
        return false;
    if (a.type == CV_VALUE_MAP && cv_value_hashable(index)) {
        const struct cv_map_entry *e = cv_map_value_find(a.as.map, index);
        if (e != NULL) {
            *out = e->item;
            return true;
        }
    }
    const bool indexed = a.type == CV_VALUE_LIST && a.flavor != CV_LIST_ITER && a.flavor <= CV_LIST_RANGE;
    if (indexed && cv_value_is_int(index)) {
        const int64_t n = a.as.list->n, i = index.as.i < 0 ? index.as.i + n : index.as.i;
        if (i >= 0 && i < n) {
            *out = a.as.list->item[i];
            return true;
        }
    }
    if (a.type == CV_VALUE_STRING && cv_value_is_int(index)) {
        if (!string_item(r, a, index.as.i, &found, out))
            return false;
        if (found)
            return true;
    }
    if (index.type == CV_VALUE_STRING && a.type != CV_VALUE_MAP)
        return cv_tmpl_get_attr(r, a, index, out);
    if (index.type == CV_VALUE_STRING && (!method_value(r, a, index, &found, out) || found))
        return found;
    return undefined_of(r, CV_UNDEF_ATTR, a, index, out);
}

/* Python's rules for a slice of n things: *start and *step, and the number of things. */
static bool slice_range(struct cv_tmpl_run *r, const struct cv_value part[3], int64_t n, int64_t *start, int64_t *step,
                        int64_t *count)
{
    int64_t v[3];
    for (int i = 0; i < 3; i++) {
        if (part[i].type != CV_VALUE_NULL && !cv_tmpl_need_int(r, "a slice", part[i], &v[i]))
            return false;
    }
    *step = part[2].type == CV_VALUE_NULL ? 1 : v[2];
    if (*step == 0)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "the step of a slice must not be zero");
    const int64_t low = *step < 0 ? -1 : 0, high = *step < 0 ? n - 1 : n;
    int64_t bound[2] = {*step < 0 ? high : low, *step < 0 ? low : high};
    for (int i = 0; i < 2; i++) {
        if (part[i].type == CV_VALUE_NULL)
            continue;
        int64_t b = v[i] < 0 ? v[i] + n : v[i];
        bound[i] = b < low ? low : b > high ? high : b;
    }
    *start = bound[0];
    const int64_t span = *step > 0 ? bound[1] - bound[0] : bound[0] - bound[1];
    const uint64_t stride = *step > 0 ? (uint64_t)*step : 0 - (uint64_t)*step;
    *count = span <= 0 ? 0 : (int64_t)(((uint64_t)span - 1) / stride) + 1;
    return true;
}

static bool slice_string(struct cv_tmpl_run *r, struct cv_value a, const struct cv_value part[3], struct cv_value *out)
{
    int64_t start, step, count;
    const size_t n = cv_str_count(a);
    const char *end = a.as.s + a.len;
    if (!cv_tmpl_charge(r, a.len / 32) || !slice_range(r, part, (int64_t)n, &start, &step, &count))
        return false;
    if (count == 0) {
        *out = cv_value_str_view("", 0);
    } else if (step == 1) {
        const char *from = cv_str_skip(a.as.s, end, (size_t)start);
        *out = cv_value_str_view(from, (size_t)(cv_str_skip(from, end, (size_t)count) - from));
    } else {
        const size_t mark = r->scratch.len;
        const char *p = cv_str_skip(a.as.s, end, (size_t)start);
        if (!cv_tmpl_charge(r, a.len))
            return false;
        for (int64_t i = 0; i < count; i++) {
            const char *next = cv_str_skip(p, end, 1);
            if (!cv_tmpl_put(r, &r->scratch, p, (size_t)(next - p)))
                return false;
            if (i + 1 < count)
                p = step > 0 ? cv_str_skip(p, end, (size_t)step) : cv_str_back(a.as.s, p, 0 - (uint64_t)step);
        }
        if (!cv_tmpl_take(r, mark, out))
            return false;
    }
    out->flavor = a.flavor;
    return true;
}

bool cv_tmpl_slice(struct cv_tmpl_run *r, struct cv_value a, const struct cv_value part[3], struct cv_value *out)
{
    if (a.type == CV_VALUE_UNDEFINED)
        return cv_tmpl_fail_undefined(r, a);
    if (a.type == CV_VALUE_STRING)
        return slice_string(r, a, part, out);
    if (a.type != CV_VALUE_LIST || a.flavor == CV_LIST_ITER || a.flavor > CV_LIST_RANGE)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "%s cannot be sliced", cv_tmpl_type_name(a));
    int64_t start, step, count;
    struct cv_list *l;
    if (!slice_range(r, part, a.as.list->n, &start, &step, &count) || !cv_tmpl_list_new(r, (size_t)count, &l))
        return false;
    for (int64_t i = 0; i < count; i++) {
        if (!cv_tmpl_list_push(r, l, a.as.list->item[start + i * step]))
            return false;
    }
    if (a.flavor == CV_LIST_RANGE) {
        l->first = count == 0 ? 0 : l->item[0].as.i;
        l->step = count < 2 ? 1 : l->item[1].as.i - l->item[0].as.i;
        l->stop = l->first + count * l->step;
    }
    *out = cv_value_of_list(l, a.flavor);
    return true;
}

bool cv_tmpl_length(struct cv_tmpl_run *r, struct cv_value v, int64_t *out)
{
    *out = 0;
    if (v.type == CV_VALUE_UNDEFINED)
        return true;
    if (v.type == CV_VALUE_STRING) {
        *out = (int64_t)cv_str_count(v);
        return cv_tmpl_charge(r, v.len / 32);
    }
    if (v.type == CV_VALUE_MAP)
        *out = v.as.map->n;
    else if (v.type == CV_VALUE_LIST && v.flavor != CV_LIST_ITER)
        *out = v.as.list->n;
    else
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "%s has no length", cv_tmpl_type_name(v));
    return true;
}

/* The characters of a string, or the keys of a map. */
static bool list_of(struct cv_tmpl_run *r, struct cv_value v, struct cv_list **out)
{
    if (!cv_tmpl_list_new(r, 0, out))
        return false;
    if (v.type == CV_VALUE_MAP) {
        for (uint32_t i = 0; i < v.as.map->n; i++) {
            if (!cv_tmpl_list_push(r, *out, v.as.map->entry[i].key))
                return false;
        }
        return true;
    }
    const char *end = v.as.s + v.len;
    for (const char *p = v.as.s; p < end;) {
        const char *next = cv_str_skip(p, end, 1);
        if (!cv_tmpl_list_push(r, *out, cv_value_str_view(p, (size_t)(next - p))))
            return false;
        p = next;
    }
    return true;
}

bool cv_tmpl_iterate(struct cv_tmpl_run *r, struct cv_value v, const struct cv_list **out)
{
    struct cv_list *l;
    if (v.type == CV_VALUE_UNDEFINED) {
        *out = NULL;
        if (!cv_tmpl_list_new(r, 0, &l))
            return false;
        *out = l;
        return true;
    }
    if (v.type == CV_VALUE_STRING || v.type == CV_VALUE_MAP) {
        if (!list_of(r, v, &l))
            return false;
        *out = l;
        return true;
    }
    if (v.type != CV_VALUE_LIST)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "%s is not iterable", cv_tmpl_type_name(v));
    *out = v.as.list;
    if (v.flavor != CV_LIST_ITER || v.as.list->n == 0)
        return true;
    /* what is left of it, and then nothing is */
    if (!cv_tmpl_list_new(r, 0, &l))
        return false;
    l->item = v.as.list->item + v.as.list->pos;
    l->n = l->cap = v.as.list->n - v.as.list->pos;
    v.as.list->pos = v.as.list->n;
    *out = l;
    return true;
}

bool cv_tmpl_contains(struct cv_tmpl_run *r, struct cv_value in, struct cv_value item, bool *out)
{
    *out = false;
    if (in.type == CV_VALUE_STRING) {
        size_t at;
        if (item.type != CV_VALUE_STRING)
            return cv_tmpl_fail(r, CV_ERR_FORMAT, "'in' a string needs a string, not %s", cv_tmpl_type_name(item));
        return cv_str_find(r, in, item, 0, out, &at);
    }
    if (in.type == CV_VALUE_MAP) {
        const bool mutable = item.type == CV_VALUE_MAP || (item.type == CV_VALUE_LIST && item.flavor == CV_LIST_LIST);
        if (!cv_value_hashable(item) && !mutable)
            return true; /* a tuple is no key of ours */
        if (mutable)
            return cv_tmpl_fail(r, CV_ERR_FORMAT, "unhashable type: '%s'", cv_tmpl_type_name(item));
        *out = cv_map_value_find(in.as.map, item) != NULL;
        return cv_tmpl_charge(r, 1 + (item.type == CV_VALUE_STRING ? item.len / 32 : 0));
    }
    const struct cv_list *items;
    if (!cv_tmpl_iterate(r, in, &items))
        return false;
    for (uint32_t i = 0; !*out && i < items->n; i++) {
        if (!cv_tmpl_equal(r, items->item[i], item, out))
            return false;
    }
    return true;
}

bool cv_tmpl_get_path(struct cv_tmpl_run *r, struct cv_value v, struct cv_value path, struct cv_value *out)
{
    if (path.type != CV_VALUE_STRING)
        return cv_tmpl_get_item(r, v, path, out);
    size_t at = 0;
    *out = v;
    do {
        const char *dot = at < path.len ? memchr(path.as.s + at, '.', path.len - at) : NULL;
        const size_t n = (dot == NULL ? path.len : (size_t)(dot - path.as.s)) - at;
        struct cv_value name = cv_value_str_view(path.as.s + at, n);
        bool number = n != 0 && n < 10;
        int64_t index = 0;
        for (size_t i = 0; number && i < n; i++) {
            number = name.as.s[i] >= '0' && name.as.s[i] <= '9';
            index = index * 10 + (name.as.s[i] - '0');
        }
        if (!cv_tmpl_charge(r, 1) || !cv_tmpl_get_item(r, *out, number ? cv_value_int(index) : name, out))
            return false;
        at += n + 1;
    } while (at <= path.len);
    return true;
}
