/*
 * template.h - chat templates: the Jinja text that a model brings along, run over a request's messages.
 *
 * A template is parsed once and is immutable afterwards, so threads may share it. A render takes a map of variables
 * (messages, tools, add_generation_prompt, bos_token, ...) and appends text to a buffer. Semantics are those of Jinja2
 * 3.1 as model authors use it: an immutable sandbox with trim_blocks, lstrip_blocks and loop controls, and the
 * functions raise_exception, strftime_now and tojson. README.md lists what is left out.
 *
 * Templates and values are hostile: source, output, memory, steps and nesting are bounded (base/limits.h).
 */
#ifndef CV_TEXT_TEMPLATE_H
#define CV_TEXT_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"

struct json_t; /* of jansson; only cv_value_from_json needs the real one */

enum cv_value_type {
    CV_VALUE_UNDEFINED = 0, /* a zeroed value */
    CV_VALUE_NULL,
    CV_VALUE_BOOL,
    CV_VALUE_INT,
    CV_VALUE_DOUBLE,
    CV_VALUE_STRING, /* UTF-8; may hold NUL */
    CV_VALUE_LIST,
    CV_VALUE_MAP,     /* keeps the order of insertion */
    CV_VALUE_INTERNAL /* this one and up: only inside a render */
};

/* A small handle, copied freely. What it points at lives in the struct cv_values it was made in. */
struct cv_value {
    uint8_t type, flavor;
    uint32_t len; /* bytes of a string */
    union {
        int64_t i;
        double d;
        const char *s;
        struct cv_list *list;
        struct cv_map_value *map;
        void *p;
    } as;
};

/* Where values live: one arena with a bound. One thread at a time; finished values may be read by many. */
struct cv_values;

bool cv_values_new(struct cv_values **out, size_t max_bytes, struct cv_error *err);
void cv_values_free(struct cv_values *v); /* and every value made in it; NULL is fine */

struct cv_value cv_value_null(void);
struct cv_value cv_value_bool(bool b);
struct cv_value cv_value_int(int64_t i);
struct cv_value cv_value_double(double d);

/* Copies s[0..n). Errors: CV_ERR_FORMAT when it is not UTF-8, CV_ERR_NOMEM when memory or the bound is used up. */
bool cv_value_string(struct cv_value *out, struct cv_values *v, const char *s, size_t n, struct cv_error *err);
/* An empty list or map, then its items. Only lists and maps that are made here may be given to add and set.
 * Errors: CV_ERR_NOMEM. */
bool cv_value_list(struct cv_value *out, struct cv_values *v, struct cv_error *err);
bool cv_value_list_add(struct cv_value list, struct cv_value item, struct cv_error *err);
bool cv_value_map(struct cv_value *out, struct cv_values *v, struct cv_error *err);
/* key is copied, NUL-terminated, UTF-8; an existing key keeps its place and gets the new item. */
bool cv_value_map_set(struct cv_value map, const char *key, struct cv_value item, struct cv_error *err);

/* A copy of a whole JSON tree; objects keep the order of their keys. The tree may be freed afterwards.
 * Errors: CV_ERR_LIMIT when nested deeper than CV_MAX_JSON_DEPTH, CV_ERR_NOMEM. */
bool cv_value_from_json(struct cv_value *out, struct cv_values *v, const struct json_t *json, struct cv_error *err);

/* The item under key; undefined (a zeroed value) if there is none or map is no map. */
struct cv_value cv_value_get(struct cv_value map, const char *key);

struct cv_template;

/* source is copied. Errors: CV_ERR_FORMAT with line and column, CV_ERR_UNSUPPORTED for what a chat template cannot have
 * (include, extends, import), CV_ERR_LIMIT, CV_ERR_NOMEM. */
bool cv_template_new(struct cv_template **out, const char *source, size_t n, struct cv_error *err);
void cv_template_free(struct cv_template *t); /* NULL is fine */

/* Appends the text to out; on failure out is as before. globals is a map. unix_time is what strftime_now shows, as UTC:
 * add the zone's offset for local time. Errors: CV_ERR_ARG with the template's own words when it calls raise_exception;
 * CV_ERR_FORMAT with line and column for everything that Jinja would refuse (an undefined value used, a wrong type);
 * CV_ERR_LIMIT, CV_ERR_NOMEM. */
bool cv_template_render(const struct cv_template *t, struct cv_value globals, int64_t unix_time, struct cv_buf *out,
                        struct cv_error *err);

#endif
