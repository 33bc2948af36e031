/* template_json.c - values from JSON trees, and the tojson filter, which writes what Python's json.dumps writes. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "text/template_run.h"

static bool from_json(struct cv_value *out, struct cv_values *v, const json_t *json, unsigned depth,
                      struct cv_error *err);

static bool list_from_json(struct cv_value *out, struct cv_values *v, const json_t *json, unsigned depth,
                           struct cv_error *err)
{
    struct cv_list *l = cv_list_new(v, json_array_size(json));
    if (l == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for a list of %zu items", json_array_size(json));
    for (size_t i = 0; i < json_array_size(json); i++) {
        struct cv_value item;
        if (!from_json(&item, v, json_array_get(json, i), depth + 1, err))
            return false;
        if (!cv_list_push(l, item))
            return cv_fail(err, CV_ERR_NOMEM, "no memory for a list");
    }
    *out = cv_value_of_list(l, CV_LIST_LIST);
    return true;
}

static bool map_from_json(struct cv_value *out, struct cv_values *v, const json_t *json, unsigned depth,
                          struct cv_error *err)
{
    struct cv_map_value *m = cv_map_value_new(v, json_object_size(json));
    if (m == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for a map of %zu items", json_object_size(json));
    /* iteration wants a tree that is not const, and leaves it as it is */
    json_t *object = (json_t *)(uintptr_t)json;
    for (void *i = json_object_iter(object); i != NULL; i = json_object_iter_next(object, i)) {
        const char *name = json_object_iter_key(i);
        struct cv_value key, item;
        if (!cv_value_string(&key, v, name, strlen(name), err) ||
            !from_json(&item, v, json_object_iter_value(i), depth + 1, err))
            return false;
        if (!cv_map_value_put(m, key, item))
            return cv_fail(err, CV_ERR_NOMEM, "no memory for a map");
    }
    *out = cv_value_of_map(m);
    return true;
}

static bool from_json(struct cv_value *out, struct cv_values *v, const json_t *json, unsigned depth,
                      struct cv_error *err)
{
    if (depth > CV_MAX_JSON_DEPTH)
        return cv_fail(err, CV_ERR_LIMIT, "nested deeper than %u levels", CV_MAX_JSON_DEPTH);
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return map_from_json(out, v, json, depth, err);
    case JSON_ARRAY:
        return list_from_json(out, v, json, depth, err);
    case JSON_STRING:
        return cv_value_string(out, v, json_string_value(json), json_string_length(json), err);
    case JSON_INTEGER:
        *out = cv_value_int(json_integer_value(json));
        return true;
    case JSON_REAL:
        *out = cv_value_double(json_real_value(json));
        return true;
    case JSON_TRUE:
    case JSON_FALSE:
        *out = cv_value_bool(json_is_true(json));
        return true;
    case JSON_NULL:
        break;
    }
    *out = cv_value_null();
    return true;
}

bool cv_value_from_json(struct cv_value *out, struct cv_values *v, const struct json_t *json, struct cv_error *err)
{
    return from_json(out, v, json, 0, err);
}

struct style {
    bool ascii, sort, pretty;
    struct cv_value indent, item_end, key_end; /* one level; ", "; ": " */
};

static bool put_value(struct cv_tmpl_run *r, struct cv_value s)
{
    return cv_tmpl_put(r, &r->scratch, s.as.s, s.len);
}

static bool write_string(struct cv_tmpl_run *r, const struct style *style, struct cv_value v)
{
    static const char plain[] = "\"\\\n\r\t\f\b", letter[] = "\"\\nrtfb";
    struct cv_buf *b = &r->scratch;
    size_t from = 0;
    if (!cv_tmpl_put(r, b, "\"", 1) || !cv_tmpl_charge(r, v.len / 8))
        return false;
    for (size_t i = 0; i < v.len;) {
        const unsigned char c = (unsigned char)v.as.s[i];
        const char *at = c == '\0' ? NULL : strchr(plain, c);
        if (c >= 0x20 && at == NULL && !(style->ascii && c >= 0x7f)) {
            i++;
            continue;
        }
        uint32_t cp;
        const size_t used = cv_utf8_decode(v.as.s + i, v.len - i, &cp);
        char text[16];
        if (at != NULL)
            snprintf(text, sizeof(text), "\\%c", letter[at - plain]);
        else if (cp == 0x7f)
            snprintf(text, sizeof(text), "\x7f");
        else if (cp < 0x10000)
            snprintf(text, sizeof(text), "\\u%04x", (unsigned)cp);
        else
            snprintf(text, sizeof(text), "\\u%04x\\u%04x", (unsigned)(0xd800 + ((cp - 0x10000) >> 10)),
                     (unsigned)(0xdc00 + ((cp - 0x10000) & 0x3ff)));
        if (!cv_tmpl_put(r, b, v.as.s + from, i - from) || !cv_tmpl_put(r, b, text, strlen(text)))
            return false;
        i += used == 0 ? 1 : used;
        from = i;
    }
    return cv_tmpl_put(r, b, v.as.s + from, v.len - from) && cv_tmpl_put(r, b, "\"", 1);
}

static bool write_value(struct cv_tmpl_run *r, const struct style *style, struct cv_value v, unsigned depth);

static bool new_line(struct cv_tmpl_run *r, const struct style *style, unsigned depth)
{
    if (!style->pretty)
        return true;
    if (!cv_tmpl_put(r, &r->scratch, "\n", 1))
        return false;
    for (unsigned i = 0; i < depth; i++) {
        if (!put_value(r, style->indent))
            return false;
    }
    return true;
}

static bool write_list(struct cv_tmpl_run *r, const struct style *style, const struct cv_list *l, unsigned depth)
{
    if (l->n == 0)
        return cv_tmpl_put(r, &r->scratch, "[]", 2);
    if (!cv_tmpl_put(r, &r->scratch, "[", 1))
        return false;
    for (uint32_t i = 0; i < l->n; i++) {
        if ((i != 0 && !put_value(r, style->item_end)) || !new_line(r, style, depth + 1) ||
            !write_value(r, style, l->item[i], depth + 1))
            return false;
    }
    return new_line(r, style, depth) && cv_tmpl_put(r, &r->scratch, "]", 1);
}

/* A key that is no string is written as one: true, 1, null. */
static bool write_key(struct cv_tmpl_run *r, const struct style *style, struct cv_value key)
{
    if (key.type == CV_VALUE_STRING)
        return write_string(r, style, key);
    return cv_tmpl_put(r, &r->scratch, "\"", 1) && write_value(r, style, key, 0) &&
           cv_tmpl_put(r, &r->scratch, "\"", 1);
}

static bool write_map(struct cv_tmpl_run *r, const struct style *style, const struct cv_map_value *m, unsigned depth)
{
    if (m->n == 0)
        return cv_tmpl_put(r, &r->scratch, "{}", 2);
    struct cv_list *keys, *items;
    if (!cv_tmpl_list_new(r, m->n, &keys) || !cv_tmpl_list_new(r, m->n, &items))
        return false;
    for (uint32_t i = 0; i < m->n; i++) {
        if (!cv_tmpl_list_push(r, keys, m->entry[i].key) || !cv_tmpl_list_push(r, items, m->entry[i].item))
            return false;
    }
    if ((style->sort && !cv_tmpl_sort(r, keys->item, items->item, m->n, false)) || !cv_tmpl_put(r, &r->scratch, "{", 1))
        return false;
    for (uint32_t i = 0; i < m->n; i++) {
        if ((i != 0 && !put_value(r, style->item_end)) || !new_line(r, style, depth + 1) ||
            !write_key(r, style, keys->item[i]) || !put_value(r, style->key_end) ||
            !write_value(r, style, items->item[i], depth + 1))
            return false;
    }
    return new_line(r, style, depth) && cv_tmpl_put(r, &r->scratch, "}", 1);
}

static bool write_float(struct cv_tmpl_run *r, double d)
{
    char text[40];
    size_t n = cv_tmpl_float_text(text, d);
    if (!cv_tmpl_charge(r, 50))
        return false;
    if (isnan(d) || isinf(d))
        n = (size_t)snprintf(text, sizeof(text), "%s", isnan(d) ? "NaN" : d < 0 ? "-Infinity" : "Infinity");
    return cv_tmpl_put(r, &r->scratch, text, n);
}

static bool write_value(struct cv_tmpl_run *r, const struct style *style, struct cv_value v, unsigned depth)
{
    bool ok;
    if (v.type == CV_VALUE_STRING)
        return write_string(r, style, v);
    if (v.type == CV_VALUE_NULL)
        return cv_tmpl_put(r, &r->scratch, "null", 4);
    if (v.type == CV_VALUE_BOOL)
        return cv_tmpl_put(r, &r->scratch, v.as.i ? "true" : "false", v.as.i ? 4 : 5);
    if (v.type == CV_VALUE_DOUBLE)
        return write_float(r, v.as.d);
    if (v.type == CV_VALUE_INT)
        return cv_tmpl_print(r, &r->scratch, v);
    if (v.type != CV_VALUE_MAP && (v.type != CV_VALUE_LIST || v.flavor > CV_LIST_TUPLE))
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "object of type %s cannot be written as JSON", cv_tmpl_type_name(v));
    if (depth >= CV_MAX_TEMPLATE_DEPTH)
        return cv_tmpl_fail(r, CV_ERR_LIMIT, "values nested deeper than %u levels", CV_MAX_TEMPLATE_DEPTH);
    if (!cv_tmpl_push_frame(r))
        return false;
    ok = v.type == CV_VALUE_LIST ? write_list(r, style, v.as.list, depth) : write_map(r, style, v.as.map, depth);
    r->frames--;
    return ok;
}

static bool read_indent(struct cv_tmpl_run *r, struct cv_value v, struct style *style)
{
    style->pretty = cv_tmpl_given(v) && v.type != CV_VALUE_NULL;
    if (!style->pretty)
        return true;
    style->item_end = cv_value_cstr(",");
    style->indent = v;
    if (v.type == CV_VALUE_STRING)
        return true;
    int64_t n;
    if (!cv_tmpl_need_int(r, "indent", v, &n))
        return false;
    static const char blanks[] = "                                                                ";
    if (n > (int64_t)sizeof(blanks) - 1)
        return cv_tmpl_fail(r, CV_ERR_LIMIT, "an indent of %lld; at most %zu are allowed", (long long)n,
                            sizeof(blanks) - 1);
    style->indent = cv_value_str_view(blanks, n < 0 ? 0 : (size_t)n);
    return true;
}

static bool read_separators(struct cv_tmpl_run *r, struct cv_value v, struct style *style)
{
    if (!cv_tmpl_given(v) || v.type == CV_VALUE_NULL)
        return true;
    const struct cv_list *l;
    if (!cv_tmpl_iterate(r, v, &l))
        return false;
    if (l->n != 2)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "separators must be a pair of strings");
    style->item_end = l->item[0];
    style->key_end = l->item[1];
    return cv_tmpl_need_str(r, "separators", l->item[0]) && cv_tmpl_need_str(r, "separators", l->item[1]);
}

bool cv_tmpl_to_json(struct cv_tmpl_run *r, struct cv_value v, const struct cv_tmpl_args *args, struct cv_value *out)
{
    static const char *const names[] = {"ensure_ascii", "indent", "separators", "sort_keys"};
    struct cv_value a[4];
    struct style style = {.item_end = cv_value_cstr(", "), .key_end = cv_value_cstr(": ")};
    const size_t mark = r->scratch.len;
    if (!cv_tmpl_bind(r, "tojson", args, names, 4, 0, a) || !read_indent(r, a[1], &style) ||
        !read_separators(r, a[2], &style))
        return false;
    style.ascii = cv_tmpl_given(a[0]) && cv_tmpl_truth(a[0]);
    style.sort = cv_tmpl_given(a[3]) && cv_tmpl_truth(a[3]);
    return write_value(r, &style, v, 0) && cv_tmpl_take(r, mark, out);
}
