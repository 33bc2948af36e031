/*
 * template_value.h - the insides of template values: lists, maps, contexts. Internal to the template engine.
 *
 * Lists and maps never change once a template can see them; namespaces do. Every string is valid UTF-8.
 */
#ifndef CV_TEXT_TEMPLATE_VALUE_H
#define CV_TEXT_TEMPLATE_VALUE_H

#include "base/arena.h"
#include "text/template.h"

/* Types that only a render makes. */
enum {
    CV_VALUE_NAMESPACE = CV_VALUE_INTERNAL, /* as.map: the attributes */
    CV_VALUE_FUNC,                          /* as.p: struct cv_tmpl_func */
    CV_VALUE_LOOP,                          /* as.p: struct cv_tmpl_loop */
    CV_VALUE_CYCLER,                        /* as.list: the items; pos is the next one */
    CV_VALUE_JOINER,                        /* as.list: one item, the separator; pos is 1 once it was used */
    CV_VALUE_ABSENT                         /* an argument that was not given */
};

/* flavor of a CV_VALUE_LIST */
enum {
    CV_LIST_LIST = 0,
    CV_LIST_TUPLE,
    CV_LIST_ITER, /* read once: what a generator gives */
    CV_LIST_RANGE,
    CV_LIST_KEYS, /* dict views */
    CV_LIST_VALUES,
    CV_LIST_ITEMS
};

/* flavor of a CV_VALUE_STRING */
enum { CV_STRING_MARKUP = 1 /* passed through safe or escape: adding to it escapes */ };

/* flavor of a CV_VALUE_UNDEFINED: how it came about */
enum {
    CV_UNDEF_PLAIN = 0,
    CV_UNDEF_NAME,   /* as.i: the symbol */
    CV_UNDEF_ATTR,   /* as.p: struct cv_undef */
    CV_UNDEF_UNSAFE, /* as.p: struct cv_undef: an attribute that the sandbox hides */
    CV_UNDEF_HINT    /* as.s: a sentence; len bytes */
};

struct cv_undef {
    struct cv_value owner, name;
};

struct cv_values {
    struct cv_arena arena;
    uint64_t key[2]; /* of the hash; from the system's generator */
};

struct cv_list {
    struct cv_values *ctx;
    struct cv_value *item;
    uint32_t n, cap;
    uint32_t pos;              /* of an iterator: the next item */
    int64_t first, stop, step; /* of a range, for printing */
};

struct cv_map_entry {
    struct cv_value key, item;
};

struct cv_map_value {
    struct cv_values *ctx;
    struct cv_map_entry *entry;
    uint32_t n, cap;
    uint32_t *index;    /* entry + 1, or 0; NULL for small maps, which are searched in order */
    uint32_t index_cap; /* a power of two */
};

bool cv_values_init(struct cv_values *v, size_t max_bytes, struct cv_error *err);
void cv_values_fini(struct cv_values *v);

/* SipHash-1-3 of data[0..n) under key. */
uint64_t cv_values_hash(const uint64_t key[2], const void *data, size_t n);

/* s is not copied. */
struct cv_value cv_value_str_view(const char *s, size_t n);
struct cv_value cv_value_cstr(const char *s);
bool cv_value_str_is(struct cv_value v, const char *s);

/* All NULL or false when memory is out; no error is filled in. n is a first guess. */
struct cv_list *cv_list_new(struct cv_values *v, size_t n);
bool cv_list_push(struct cv_list *l, struct cv_value item);
struct cv_map_value *cv_map_value_new(struct cv_values *v, size_t n);
/* key must be hashable (cv_value_hashable). */
bool cv_map_value_put(struct cv_map_value *m, struct cv_value key, struct cv_value item);
/* NULL if key is not there. */
const struct cv_map_entry *cv_map_value_find(const struct cv_map_value *m, struct cv_value key);
const struct cv_map_entry *cv_map_value_find_str(const struct cv_map_value *m, const char *s, size_t n);
bool cv_value_hashable(struct cv_value v);

struct cv_value cv_value_of_list(struct cv_list *l, int flavor);
struct cv_value cv_value_of_map(struct cv_map_value *m);

static inline bool cv_value_is_str(struct cv_value v)
{
    return v.type == CV_VALUE_STRING;
}

/* Python's bool is an int. */
static inline bool cv_value_is_int(struct cv_value v)
{
    return v.type == CV_VALUE_INT || v.type == CV_VALUE_BOOL;
}

static inline bool cv_value_is_number(struct cv_value v)
{
    return cv_value_is_int(v) || v.type == CV_VALUE_DOUBLE;
}

static inline double cv_value_as_double(struct cv_value v)
{
    return v.type == CV_VALUE_DOUBLE ? v.as.d : (double)v.as.i;
}

/* Python's == on strings, numbers, null; deep ones are template_compare.c's. */
bool cv_value_same_scalar(struct cv_value a, struct cv_value b);

#endif
