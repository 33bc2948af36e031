/* template_filter_list.c - filters over lists and mappings. */
#include <string.h>

#include "text/template_string.h"

static const char *const no_names[] = {NULL};

static bool flag(struct cv_value v)
{
    return cv_tmpl_given(v) && cv_tmpl_truth(v);
}

static struct cv_value undefined_because(const char *why)
{
    struct cv_value v = {.type = CV_VALUE_UNDEFINED, .flavor = CV_UNDEF_HINT, .as.s = why};
    v.len = (uint32_t)strlen(why);
    return v;
}

/* What items are sorted or told apart by: the attribute if given, lower case unless case matters. */
static bool key_of(struct cv_tmpl_run *r, struct cv_value item, struct cv_value attribute, bool case_matters,
                   struct cv_value *out)
{
    *out = item;
    if (cv_tmpl_given(attribute) && attribute.type != CV_VALUE_NULL && !cv_tmpl_get_path(r, item, attribute, out))
        return false;
    if (out->type == CV_VALUE_STRING && !case_matters)
        return cv_str_case(r, *out, CV_CASE_LOWER, out);
    return true;
}

static bool keys_of(struct cv_tmpl_run *r, const struct cv_list *items, struct cv_value attribute, bool case_matters,
                    struct cv_list **out)
{
    if (!cv_tmpl_list_new(r, items->n, out))
        return false;
    for (uint32_t i = 0; i < items->n; i++) {
        struct cv_value key;
        if (!key_of(r, items->item[i], attribute, case_matters, &key) || !cv_tmpl_list_push(r, *out, key))
            return false;
    }
    return true;
}

static bool copy_list(struct cv_tmpl_run *r, struct cv_value self, struct cv_list **out)
{
    const struct cv_list *items;
    if (!cv_tmpl_iterate(r, self, &items) || !cv_tmpl_list_new(r, items->n, out))
        return false;
    for (uint32_t i = 0; i < items->n; i++) {
        if (!cv_tmpl_list_push(r, *out, items->item[i]))
            return false;
    }
    return true;
}

static bool pair_of(struct cv_tmpl_run *r, struct cv_value a, struct cv_value b, struct cv_value *out)
{
    struct cv_list *l;
    if (!cv_tmpl_list_new(r, 2, &l) || !cv_tmpl_list_push(r, l, a) || !cv_tmpl_list_push(r, l, b))
        return false;
    *out = cv_value_of_list(l, CV_LIST_TUPLE);
    return true;
}

/* Lists of n items each, as batch has them; the last one filled up with fill if given. */
static bool filter_batch(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                         struct cv_value *out)
{
    static const char *const names[] = {"linecount", "fill_with"};
    struct cv_value a[2];
    int64_t width;
    const struct cv_list *items;
    struct cv_list *rows, *row = NULL;
    if (!cv_tmpl_bind(r, "batch", args, names, 2, 1, a) || !cv_tmpl_need_int(r, "batch()", a[0], &width) ||
        !cv_tmpl_iterate(r, self, &items) || !cv_tmpl_list_new(r, 0, &rows))
        return false;
    for (uint32_t i = 0; i < items->n; i++) {
        if (row == NULL || row->n == width) {
            if (!cv_tmpl_list_new(r, 0, &row) || !cv_tmpl_list_push(r, rows, cv_value_of_list(row, CV_LIST_LIST)))
                return false;
        }
        if (!cv_tmpl_list_push(r, row, items->item[i]))
            return false;
    }
    while (row != NULL && cv_tmpl_given(a[1]) && a[1].type != CV_VALUE_NULL && row->n < width) {
        if (!cv_tmpl_list_push(r, row, a[1]))
            return false;
    }
    *out = cv_value_of_list(rows, CV_LIST_ITER);
    return true;
}

/* The items dealt out to n lists of nearly equal length. */
static bool filter_slice(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                         struct cv_value *out)
{
    static const char *const names[] = {"slices", "fill_with"};
    struct cv_value a[2];
    int64_t n;
    const struct cv_list *items;
    struct cv_list *rows;
    if (!cv_tmpl_bind(r, "slice", args, names, 2, 1, a) || !cv_tmpl_need_int(r, "slice()", a[0], &n) ||
        !cv_tmpl_iterate(r, self, &items) || !cv_tmpl_list_new(r, 0, &rows))
        return false;
    if (n <= 0)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "slice() needs a number above zero");
    const int64_t each = items->n / n, longer = items->n % n;
    uint32_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        struct cv_list *row;
        if (!cv_tmpl_list_new(r, 0, &row) || !cv_tmpl_list_push(r, rows, cv_value_of_list(row, CV_LIST_LIST)))
            return false;
        for (int64_t k = 0; k < each + (i < longer); k++) {
            if (!cv_tmpl_list_push(r, row, items->item[at++]))
                return false;
        }
        if (i >= longer && cv_tmpl_given(a[1]) && a[1].type != CV_VALUE_NULL && !cv_tmpl_list_push(r, row, a[1]))
            return false;
    }
    *out = cv_value_of_list(rows, CV_LIST_ITER);
    return true;
}

static bool filter_dictsort(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                            struct cv_value *out)
{
    static const char *const names[] = {"case_sensitive", "by", "reverse"};
    struct cv_value a[3];
    struct cv_list *keys, *pairs;
    if (!cv_tmpl_bind(r, "dictsort", args, names, 3, 0, a))
        return false;
    if (self.type == CV_VALUE_UNDEFINED)
        return cv_tmpl_fail_undefined(r, self);
    if (self.type != CV_VALUE_MAP)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "dictsort needs a mapping, not %s", cv_tmpl_type_name(self));
    const bool by_value = cv_tmpl_given(a[1]) && cv_value_str_is(a[1], "value");
    if (cv_tmpl_given(a[1]) && !by_value && !cv_value_str_is(a[1], "key"))
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "dictsort sorts by 'key' or by 'value'");
    const struct cv_map_value *m = self.as.map;
    if (!cv_tmpl_list_new(r, m->n, &keys) || !cv_tmpl_list_new(r, m->n, &pairs))
        return false;
    for (uint32_t i = 0; i < m->n; i++) {
        struct cv_value key, pair;
        if (!key_of(r, by_value ? m->entry[i].item : m->entry[i].key, (struct cv_value){.type = CV_VALUE_ABSENT},
                    flag(a[0]), &key) ||
            !pair_of(r, m->entry[i].key, m->entry[i].item, &pair) || !cv_tmpl_list_push(r, keys, key) ||
            !cv_tmpl_list_push(r, pairs, pair))
            return false;
    }
    *out = cv_value_of_list(pairs, CV_LIST_LIST);
    return cv_tmpl_sort(r, keys->item, pairs->item, m->n, flag(a[2]));
}

static bool filter_first(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                         struct cv_value *out)
{
    const struct cv_list *items;
    if (!cv_tmpl_bind(r, "first", args, no_names, 0, 0, NULL))
        return false;
    if (self.type == CV_VALUE_LIST && self.flavor == CV_LIST_ITER) {
        struct cv_list *l = self.as.list;
        *out = l->pos < l->n ? l->item[l->pos++] : undefined_because("no first item, the sequence is empty");
        return true;
    }
    if (!cv_tmpl_iterate(r, self, &items))
        return false;
    *out = items->n != 0 ? items->item[0] : undefined_because("no first item, the sequence is empty");
    return true;
}

static bool filter_last(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                        struct cv_value *out)
{
    const struct cv_list *items;
    if (!cv_tmpl_bind(r, "last", args, no_names, 0, 0, NULL))
        return false;
    if (self.type == CV_VALUE_LIST && self.flavor == CV_LIST_ITER)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "a generator has no last item; make a list of it first");
    if (!cv_tmpl_iterate(r, self, &items))
        return false;
    *out = items->n != 0 ? items->item[items->n - 1] : undefined_because("no last item, the sequence is empty");
    return true;
}

static bool filter_groupby(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                           struct cv_value *out)
{
    static const char *const names[] = {"attribute", "default", "case_sensitive"};
    struct cv_value a[3], pair;
    struct cv_list *items, *keys, *groups, *group = NULL;
    if (!cv_tmpl_bind(r, "groupby", args, names, 3, 1, a) || !copy_list(r, self, &items) ||
        !cv_tmpl_list_new(r, items->n, &keys) || !cv_tmpl_list_new(r, 0, &groups))
        return false;
    for (uint32_t i = 0; i < items->n; i++) {
        struct cv_value key;
        if (!key_of(r, items->item[i], a[0], flag(a[2]), &key))
            return false;
        if (key.type == CV_VALUE_UNDEFINED && cv_tmpl_given(a[1]) &&
            !key_of(r, a[1], (struct cv_value){.type = CV_VALUE_ABSENT}, flag(a[2]), &key))
            return false;
        if (!cv_tmpl_list_push(r, keys, key))
            return false;
    }
    if (!cv_tmpl_sort(r, keys->item, items->item, items->n, false))
        return false;
    for (uint32_t i = 0; i < items->n; i++) {
        bool same = false;
        if (i != 0 && !cv_tmpl_equal(r, keys->item[i - 1], keys->item[i], &same))
            return false;
        if (!same) {
            struct cv_value shown;
            if (!cv_tmpl_list_new(r, 0, &group) || !key_of(r, items->item[i], a[0], true, &shown))
                return false;
            if (shown.type == CV_VALUE_UNDEFINED && cv_tmpl_given(a[1]))
                shown = a[1];
            if (!pair_of(r, shown, cv_value_of_list(group, CV_LIST_LIST), &pair) || !cv_tmpl_list_push(r, groups, pair))
                return false;
        }
        if (!cv_tmpl_list_push(r, group, items->item[i]))
            return false;
    }
    *out = cv_value_of_list(groups, CV_LIST_LIST);
    return true;
}

static bool filter_items(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                         struct cv_value *out)
{
    struct cv_list *pairs;
    if (!cv_tmpl_bind(r, "items", args, no_names, 0, 0, NULL) || !cv_tmpl_list_new(r, 0, &pairs))
        return false;
    *out = cv_value_of_list(pairs, CV_LIST_ITER);
    if (self.type == CV_VALUE_UNDEFINED)
        return true;
    if (self.type != CV_VALUE_MAP)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "can only get item pairs from a mapping, not from %s",
                            cv_tmpl_type_name(self));
    for (uint32_t i = 0; i < self.as.map->n; i++) {
        struct cv_value pair;
        if (!pair_of(r, self.as.map->entry[i].key, self.as.map->entry[i].item, &pair) ||
            !cv_tmpl_list_push(r, pairs, pair))
            return false;
    }
    return true;
}

static bool filter_join(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                        struct cv_value *out)
{
    static const char *const names[] = {"d", "attribute"};
    struct cv_value a[2], d = cv_value_str_view("", 0);
    const struct cv_list *items;
    if (!cv_tmpl_bind(r, "join", args, names, 2, 0, a) || (cv_tmpl_given(a[0]) && !cv_tmpl_to_str(r, a[0], &d)) ||
        !cv_tmpl_iterate(r, self, &items))
        return false;
    const size_t mark = r->scratch.len;
    for (uint32_t i = 0; i < items->n; i++) {
        struct cv_value v = items->item[i];
        if (cv_tmpl_given(a[1]) && a[1].type != CV_VALUE_NULL && !cv_tmpl_get_path(r, v, a[1], &v))
            return false;
        if ((i != 0 && !cv_tmpl_put(r, &r->scratch, d.as.s, d.len)) || !cv_tmpl_print(r, &r->scratch, v))
            return false;
    }
    return cv_tmpl_take(r, mark, out);
}

static bool filter_list(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                        struct cv_value *out)
{
    struct cv_list *l;
    if (!cv_tmpl_bind(r, "list", args, no_names, 0, 0, NULL) || !copy_list(r, self, &l))
        return false;
    *out = cv_value_of_list(l, CV_LIST_LIST);
    return true;
}

/* The smallest (sign -1) or largest (1) item. */
static bool extreme(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, int sign,
                    struct cv_value *out)
{
    static const char *const names[] = {"case_sensitive", "attribute"};
    struct cv_value a[2], best, key;
    const struct cv_list *items;
    if (!cv_tmpl_bind(r, sign < 0 ? "min" : "max", args, names, 2, 0, a) || !cv_tmpl_iterate(r, self, &items))
        return false;
    *out = undefined_because("no smallest or largest item, the sequence is empty");
    for (uint32_t i = 0; i < items->n; i++) {
        int order = sign;
        if (!key_of(r, items->item[i], a[1], flag(a[0]), &key) || (i != 0 && !cv_tmpl_order(r, key, best, &order)))
            return false;
        if (order == sign) {
            best = key;
            *out = items->item[i];
        }
    }
    return true;
}

static bool filter_min(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out)
{
    return extreme(r, self, args, -1, out);
}

static bool filter_max(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out)
{
    return extreme(r, self, args, 1, out);
}

static bool filter_reverse(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                           struct cv_value *out)
{
    const struct cv_list *items;
    struct cv_list *l;
    if (!cv_tmpl_bind(r, "reverse", args, no_names, 0, 0, NULL))
        return false;
    if (self.type == CV_VALUE_STRING) {
        const struct cv_value part[3] = {cv_value_null(), cv_value_null(), cv_value_int(-1)};
        return cv_tmpl_slice(r, self, part, out);
    }
    if (!cv_tmpl_iterate(r, self, &items) || !cv_tmpl_list_new(r, items->n, &l))
        return false;
    for (uint32_t i = items->n; i > 0; i--) {
        if (!cv_tmpl_list_push(r, l, items->item[i - 1]))
            return false;
    }
    const bool was_iterator = self.type == CV_VALUE_LIST && self.flavor == CV_LIST_ITER;
    *out = cv_value_of_list(l, was_iterator ? CV_LIST_LIST : CV_LIST_ITER);
    return true;
}

/* attribute may name several, with commas between; a key by attribute is a list, so that undefined ones compare equal. */
static bool sort_key(struct cv_tmpl_run *r, struct cv_value item, struct cv_value attribute, bool case_matters,
                     struct cv_value *out)
{
    struct cv_list *keys;
    if (!cv_tmpl_given(attribute) || attribute.type == CV_VALUE_NULL)
        return key_of(r, item, attribute, case_matters, out);
    if (!cv_tmpl_list_new(r, 0, &keys))
        return false;
    *out = cv_value_of_list(keys, CV_LIST_LIST);
    for (uint32_t at = 0; at <= attribute.len;) {
        const bool text = attribute.type == CV_VALUE_STRING;
        const char *comma = text && at < attribute.len ? memchr(attribute.as.s + at, ',', attribute.len - at) : NULL;
        const uint32_t end = comma == NULL ? attribute.len : (uint32_t)(comma - attribute.as.s);
        const struct cv_value one = text ? cv_value_str_view(attribute.as.s + at, end - at) : attribute;
        struct cv_value key;
        if (!key_of(r, item, one, case_matters, &key) || !cv_tmpl_list_push(r, keys, key))
            return false;
        at = end + 1;
    }
    return true;
}

static bool filter_sort(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                        struct cv_value *out)
{
    static const char *const names[] = {"reverse", "case_sensitive", "attribute"};
    struct cv_value a[3];
    struct cv_list *items, *keys;
    if (!cv_tmpl_bind(r, "sort", args, names, 3, 0, a) || !copy_list(r, self, &items) ||
        !cv_tmpl_list_new(r, items->n, &keys))
        return false;
    for (uint32_t i = 0; i < items->n; i++) {
        struct cv_value key;
        if (!sort_key(r, items->item[i], a[2], flag(a[1]), &key) || !cv_tmpl_list_push(r, keys, key))
            return false;
    }
    *out = cv_value_of_list(items, CV_LIST_LIST);
    return cv_tmpl_sort(r, keys->item, items->item, items->n, flag(a[0]));
}

static bool filter_sum(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out)
{
    static const char *const names[] = {"attribute", "start"};
    struct cv_value a[2];
    const struct cv_list *items;
    if (!cv_tmpl_bind(r, "sum", args, names, 2, 0, a) || !cv_tmpl_iterate(r, self, &items))
        return false;
    *out = cv_tmpl_given(a[1]) ? a[1] : cv_value_int(0);
    if (out->type == CV_VALUE_STRING)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "sum() does not add strings; use join");
    for (uint32_t i = 0; i < items->n; i++) {
        struct cv_value v = items->item[i];
        if (cv_tmpl_given(a[0]) && a[0].type != CV_VALUE_NULL && !cv_tmpl_get_path(r, v, a[0], &v))
            return false;
        if (!cv_tmpl_binary(r, CV_TOK_ADD, *out, v, out))
            return false;
    }
    return true;
}

static bool filter_unique(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                          struct cv_value *out)
{
    static const char *const names[] = {"case_sensitive", "attribute"};
    struct cv_value a[2];
    const struct cv_list *items;
    struct cv_list *keys, *kept;
    struct cv_map_value *seen = cv_map_value_new(&r->values, 0);
    if (seen == NULL)
        return cv_tmpl_nomem(r);
    if (!cv_tmpl_bind(r, "unique", args, names, 2, 0, a) || !cv_tmpl_iterate(r, self, &items) ||
        !keys_of(r, items, a[1], flag(a[0]), &keys) || !cv_tmpl_list_new(r, 0, &kept))
        return false;
    for (uint32_t i = 0; i < items->n; i++) {
        const uint32_t before = seen->n;
        if (!cv_tmpl_map_put(r, seen, keys->item[i], cv_value_null()))
            return false;
        if (seen->n != before && !cv_tmpl_list_push(r, kept, items->item[i]))
            return false;
    }
    *out = cv_value_of_list(kept, CV_LIST_ITER);
    return true;
}

const struct cv_tmpl_builtin cv_tmpl_list_filters[] = {
    {"batch", filter_batch}, {"dictsort", filter_dictsort}, {"first", filter_first},     {"groupby", filter_groupby},
    {"items", filter_items}, {"join", filter_join},         {"last", filter_last},       {"list", filter_list},
    {"max", filter_max},     {"min", filter_min},           {"reverse", filter_reverse}, {"slice", filter_slice},
    {"sort", filter_sort},   {"sum", filter_sum},           {"unique", filter_unique},
};
const size_t cv_tmpl_n_list_filters = CV_COUNT(cv_tmpl_list_filters);
