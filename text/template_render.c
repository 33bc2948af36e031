/* template_render.c - the state of one render: its limits, its memory, its errors, and the call that starts it. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "text/template_run.h"

bool cv_tmpl_fail(struct cv_tmpl_run *r, enum cv_code code, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return cv_tmpl_fail_at(r->err, code, r->t->src, r->t->n, r->at, "%s", text);
}

/* An allocation of n more bytes failed: our own bound, or the machine's. */
static bool no_room(struct cv_tmpl_run *r, size_t n)
{
    const size_t used = r->values.arena.used_bytes;
    if (n > CV_MAX_TEMPLATE_MEMORY || used > CV_MAX_TEMPLATE_MEMORY - n)
        return cv_tmpl_fail(r, CV_ERR_LIMIT, "the template needs more than %u bytes of memory", CV_MAX_TEMPLATE_MEMORY);
    return cv_tmpl_fail(r, CV_ERR_NOMEM, "out of memory");
}

bool cv_tmpl_nomem(struct cv_tmpl_run *r)
{
    /* what grows doubles: it asked for at most as much as there is already */
    return no_room(r, r->values.arena.used_bytes);
}

bool cv_tmpl_charge(struct cv_tmpl_run *r, size_t n)
{
    r->steps += n;
    return r->steps <= CV_MAX_TEMPLATE_STEPS ||
           cv_tmpl_fail(r, CV_ERR_LIMIT, "the template takes more than %u steps", CV_MAX_TEMPLATE_STEPS);
}

bool cv_tmpl_push_frame(struct cv_tmpl_run *r)
{
    if (r->frames >= CV_MAX_TEMPLATE_FRAMES)
        return cv_tmpl_fail(r, CV_ERR_LIMIT, "nested deeper than %u levels", CV_MAX_TEMPLATE_FRAMES);
    r->frames++;
    return cv_tmpl_charge(r, 1);
}

void *cv_tmpl_alloc(struct cv_tmpl_run *r, size_t n)
{
    void *p = cv_arena_alloc(&r->values.arena, n);
    if (p == NULL)
        no_room(r, n);
    return p;
}

bool cv_tmpl_put(struct cv_tmpl_run *r, struct cv_buf *b, const char *s, size_t n)
{
    if (!cv_tmpl_charge(r, 1 + n / 32))
        return false;
    if (b->len + n > (b == r->out ? r->out_limit : CV_MAX_TEMPLATE_OUTPUT))
        return cv_tmpl_fail(r, CV_ERR_LIMIT, "the text gets longer than %u bytes", CV_MAX_TEMPLATE_OUTPUT);
    return cv_buf_append(b, s, n) ||
           cv_tmpl_fail(r, n > b->max - b->len ? CV_ERR_LIMIT : CV_ERR_NOMEM, "no room for %zu more bytes of text", n);
}

bool cv_tmpl_take(struct cv_tmpl_run *r, size_t mark, struct cv_value *out)
{
    const size_t n = r->scratch.len - mark;
    char *s = cv_tmpl_alloc(r, n);
    if (s == NULL)
        return false;
    if (n != 0)
        memcpy(s, r->scratch.data + mark, n);
    r->scratch.len = mark;
    *out = cv_value_str_view(s, n);
    return true;
}

bool cv_tmpl_list_new(struct cv_tmpl_run *r, size_t n, struct cv_list **out)
{
    *out = cv_list_new(&r->values, n);
    return *out != NULL || no_room(r, n > CV_MAX_TEMPLATE_MEMORY ? n : sizeof(**out) + n * sizeof(struct cv_value));
}

bool cv_tmpl_list_push(struct cv_tmpl_run *r, struct cv_list *l, struct cv_value item)
{
    return cv_tmpl_charge(r, 1) && (cv_list_push(l, item) || cv_tmpl_nomem(r));
}

bool cv_tmpl_map_put(struct cv_tmpl_run *r, struct cv_map_value *m, struct cv_value key, struct cv_value item)
{
    if (!cv_value_hashable(key))
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "unhashable type: '%s'", cv_tmpl_type_name(key));
    return cv_tmpl_charge(r, 1 + (key.type == CV_VALUE_STRING ? key.len / 32 : 0)) &&
           (cv_map_value_put(m, key, item) || cv_tmpl_nomem(r));
}

/* What every symbol stands for before the template sets anything: the caller's variable, else the engine's function. */
static bool resolve_symbols(struct cv_tmpl_run *r, struct cv_value globals)
{
    const uint32_t n = r->t->symbol_of->n;
    r->global = cv_tmpl_alloc(r, (size_t)n * sizeof(*r->global));
    r->root_value = r->global == NULL ? NULL : cv_tmpl_alloc(r, (size_t)n * sizeof(*r->root_value));
    struct cv_tmpl_func *funcs = r->root_value == NULL ? NULL : cv_tmpl_alloc(r, CV_SYM_COUNT * sizeof(*funcs));
    if (funcs == NULL)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        const struct cv_value name = r->t->symbol_of->entry[i].key;
        const struct cv_map_entry *e =
            globals.type == CV_VALUE_MAP ? cv_map_value_find_str(globals.as.map, name.as.s, name.len) : NULL;
        r->root_value[i] = (struct cv_value){.type = CV_VALUE_ABSENT};
        r->global[i] = (struct cv_value){.type = CV_VALUE_UNDEFINED, .flavor = CV_UNDEF_NAME, .as.i = i};
        if (e != NULL && e->item.type != CV_VALUE_UNDEFINED) {
            r->global[i] = e->item;
        } else if (i < CV_SYM_COUNT && cv_tmpl_globals[i].name != NULL) {
            funcs[i] = (struct cv_tmpl_func){.kind = CV_FUNC_GLOBAL, .builtin = &cv_tmpl_globals[i]};
            r->global[i] = (struct cv_value){.type = CV_VALUE_FUNC, .as.p = &funcs[i]};
        }
    }
    return true;
}

bool cv_template_render(const struct cv_template *t, struct cv_value globals, int64_t unix_time, struct cv_buf *out,
                        struct cv_error *err)
{
    const size_t before = out->len;
    struct cv_tmpl_run r = {.t = t, .out = out, .unix_time = unix_time, .err = err};
    if (!cv_values_init(&r.values, CV_MAX_TEMPLATE_MEMORY, err))
        return false;
    cv_buf_init(&r.scratch, CV_MAX_TEMPLATE_OUTPUT);
    r.out_limit = before + CV_MAX_TEMPLATE_OUTPUT;
    const bool ok = resolve_symbols(&r, globals) && cv_tmpl_exec(&r, &r.root, t->body) == CV_FLOW_ON;
    if (!ok && out->data != NULL) {
        out->len = before;
        out->data[before] = '\0';
    }
    cv_buf_fini(&r.scratch);
    cv_values_fini(&r.values);
    return ok;
}
