/* template_compare.c - equality, order and sorting of values, as Python has them. */
#include <string.h>

#include "text/template_run.h"

static bool equal_lists(struct cv_tmpl_run *r, const struct cv_list *a, const struct cv_list *b, bool *out)
{
    *out = a->n == b->n;
    for (uint32_t i = 0; *out && i < a->n; i++) {
        if (!cv_tmpl_equal(r, a->item[i], b->item[i], out))
            return false;
    }
    return true;
}

static bool equal_maps(struct cv_tmpl_run *r, const struct cv_map_value *a, const struct cv_map_value *b, bool *out)
{
    *out = a->n == b->n;
    for (uint32_t i = 0; *out && i < a->n; i++) {
        const struct cv_map_entry *e = cv_map_value_find(b, a->entry[i].key);
        *out = e != NULL;
        if (e != NULL && !cv_tmpl_equal(r, a->entry[i].item, e->item, out))
            return false;
    }
    return true;
}

bool cv_tmpl_equal(struct cv_tmpl_run *r, struct cv_value a, struct cv_value b, bool *out)
{
    if (a.type != b.type || a.type < CV_VALUE_LIST) {
        *out = cv_value_same_scalar(a, b);
        return cv_tmpl_charge(r, 1 + (a.type == CV_VALUE_STRING ? a.len / 32 : 0));
    }
    *out = a.as.p == b.as.p;
    if (*out || a.flavor != b.flavor || a.flavor == CV_LIST_ITER || a.flavor == CV_LIST_VALUES || a.type > CV_VALUE_MAP)
        return true;
    if (!cv_tmpl_push_frame(r))
        return false;
    const bool ok =
        a.type == CV_VALUE_LIST ? equal_lists(r, a.as.list, b.as.list, out) : equal_maps(r, a.as.map, b.as.map, out);
    r->frames--;
    return ok;
}

/* 2: no order, one is not a number */
static int order_numbers(struct cv_value a, struct cv_value b)
{
    if (cv_value_is_int(a) && cv_value_is_int(b))
        return (a.as.i > b.as.i) - (a.as.i < b.as.i);
    const double x = cv_value_as_double(a), y = cv_value_as_double(b);
    return x != x || y != y ? 2 : (x > y) - (x < y);
}

static int order_strings(struct cv_value a, struct cv_value b)
{
    const size_t n = a.len < b.len ? a.len : b.len;
    const int c = n == 0 ? 0 : memcmp(a.as.s, b.as.s, n); /* UTF-8 sorts as its code points do */
    return c != 0 ? (c > 0) - (c < 0) : (a.len > b.len) - (a.len < b.len);
}

static bool order_lists(struct cv_tmpl_run *r, const struct cv_list *a, const struct cv_list *b, int *out)
{
    for (uint32_t i = 0; i < a->n && i < b->n; i++) {
        bool same;
        if (!cv_tmpl_equal(r, a->item[i], b->item[i], &same))
            return false;
        if (!same)
            return cv_tmpl_order(r, a->item[i], b->item[i], out);
    }
    *out = (a->n > b->n) - (a->n < b->n);
    return true;
}

bool cv_tmpl_order(struct cv_tmpl_run *r, struct cv_value a, struct cv_value b, int *out)
{
    if (a.type == CV_VALUE_UNDEFINED || b.type == CV_VALUE_UNDEFINED)
        return cv_tmpl_fail_undefined(r, a.type == CV_VALUE_UNDEFINED ? a : b);
    if (cv_value_is_number(a) && cv_value_is_number(b)) {
        *out = order_numbers(a, b);
        return cv_tmpl_charge(r, 1);
    }
    if (a.type == CV_VALUE_STRING && b.type == CV_VALUE_STRING) {
        *out = order_strings(a, b);
        return cv_tmpl_charge(r, 1 + a.len / 32);
    }
    if (a.type == CV_VALUE_LIST && b.type == CV_VALUE_LIST && a.flavor == b.flavor && a.flavor <= CV_LIST_TUPLE) {
        if (!cv_tmpl_push_frame(r))
            return false;
        const bool ok = order_lists(r, a.as.list, b.as.list, out);
        r->frames--;
        return ok;
    }
    return cv_tmpl_fail(r, CV_ERR_FORMAT, "%s and %s have no order", cv_tmpl_type_name(a), cv_tmpl_type_name(b));
}

struct pair {
    struct cv_value key, item;
};

/* Merges a[0..half) and a[half..n), both sorted, by way of b. */
static bool merge(struct cv_tmpl_run *r, struct pair *a, struct pair *b, size_t half, size_t n, bool reverse)
{
    size_t i = 0, j = half, k = 0;
    while (i < half && j < n) {
        int order;
        if (!cv_tmpl_order(r, a[j].key, a[i].key, &order))
            return false;
        const bool right_first = reverse ? order == 1 : order == -1;
        b[k++] = right_first ? a[j++] : a[i++];
    }
    while (i < half)
        b[k++] = a[i++];
    while (j < n)
        b[k++] = a[j++];
    memcpy(a, b, n * sizeof(*a));
    return true;
}

bool cv_tmpl_sort(struct cv_tmpl_run *r, struct cv_value *keys, struct cv_value *items, size_t n, bool reverse)
{
    struct pair *a = cv_tmpl_alloc(r, n * sizeof(*a)), *b = a == NULL ? NULL : cv_tmpl_alloc(r, n * sizeof(*b));
    if (b == NULL)
        return false;
    for (size_t i = 0; i < n; i++)
        a[i] = (struct pair){keys[i], items[i]};
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t at = 0; at + width < n; at += 2 * width) {
            const size_t len = n - at < 2 * width ? n - at : 2 * width;
            if (!merge(r, a + at, b, width, len, reverse))
                return false;
        }
    }
    for (size_t i = 0; i < n; i++) {
        keys[i] = a[i].key;
        items[i] = a[i].item;
    }
    return true;
}
