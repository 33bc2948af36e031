/* template_parse.c - parses statements, and makes a template of a source. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/template_ast.h"

bool cv_tmpl_parse_fail(struct cv_tmpl_parser *p, enum cv_code code, const char *fmt, ...)
{
    char text[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return cv_tmpl_fail_at(p->err, code, p->t->src, p->t->n, p->tok.at, "%s", text);
}

bool cv_tmpl_advance(struct cv_tmpl_parser *p)
{
    p->tok = p->next;
    return p->tok.kind == CV_TOK_END || cv_tmpl_lex(&p->lex, &p->next, p->err);
}

bool cv_tmpl_at_name(const struct cv_tmpl_parser *p, const char *name)
{
    return p->tok.kind == CV_TOK_NAME && cv_value_str_is(p->tok.value, name);
}

bool cv_tmpl_expect(struct cv_tmpl_parser *p, enum cv_tmpl_tok kind)
{
    if (p->tok.kind == kind)
        return cv_tmpl_advance(p);
    const bool named = p->tok.kind == CV_TOK_NAME || p->tok.kind == CV_TOK_CONST;
    const int len = (int)(p->tok.len < 40 ? p->tok.len : 40);
    return cv_tmpl_parse_fail(p, CV_ERR_FORMAT, "expected %s, got %.*s", cv_tmpl_tok_name(kind), named ? len : 40,
                              named ? p->t->src + p->tok.at : cv_tmpl_tok_name(p->tok.kind));
}

struct cv_tmpl_node *cv_tmpl_node_new(struct cv_tmpl_parser *p, enum cv_tmpl_kind kind, uint32_t at)
{
    struct cv_tmpl_node *n = cv_arena_zalloc(&p->t->values.arena, sizeof(*n));
    if (n == NULL) {
        cv_fail(p->err, CV_ERR_NOMEM, "no memory for the template");
        return NULL;
    }
    n->kind = (uint8_t)kind;
    n->at = at;
    return n;
}

bool cv_tmpl_symbol(struct cv_tmpl_parser *p, struct cv_value name, uint32_t *out)
{
    const struct cv_map_entry *e = cv_map_value_find(p->t->symbol_of, name);
    if (e != NULL) {
        *out = (uint32_t)e->item.as.i;
        return true;
    }
    *out = p->t->symbol_of->n;
    return cv_map_value_put(p->t->symbol_of, name, cv_value_int(*out)) ||
           cv_fail(p->err, CV_ERR_NOMEM, "no memory for the template");
}

bool cv_tmpl_enter(struct cv_tmpl_parser *p)
{
    if (p->depth >= CV_MAX_TEMPLATE_DEPTH)
        return cv_tmpl_parse_fail(p, CV_ERR_LIMIT, "nested deeper than %u levels", CV_MAX_TEMPLATE_DEPTH);
    p->depth++;
    return true;
}

/* One name, or namespace.attr. */
static bool parse_target_one(struct cv_tmpl_parser *p, bool attr_allowed, const struct cv_tmpl_node **out)
{
    static const char *const reserved[] = {"true", "false", "none", "True", "False", "None"};
    if (p->tok.kind == CV_TOK_LPAREN) {
        if (!cv_tmpl_enter(p) || !cv_tmpl_advance(p) || !cv_tmpl_parse_target(p, false, out))
            return false;
        p->depth--;
        return cv_tmpl_expect(p, CV_TOK_RPAREN);
    }
    for (size_t i = 0; i < CV_COUNT(reserved); i++) {
        if (cv_tmpl_at_name(p, reserved[i]))
            return cv_tmpl_parse_fail(p, CV_ERR_FORMAT, "cannot assign to '%s'", reserved[i]);
    }
    const struct cv_value name = p->tok.value;
    struct cv_tmpl_node *n = cv_tmpl_node_new(p, CV_NODE_NAME, p->tok.at);
    if (n == NULL || !cv_tmpl_expect(p, CV_TOK_NAME) || !cv_tmpl_symbol(p, name, &n->symbol))
        return false;
    *out = n;
    if (!attr_allowed || p->tok.kind != CV_TOK_DOT)
        return true;
    struct cv_tmpl_node *attr = cv_tmpl_node_new(p, CV_NODE_ATTR, n->at);
    if (attr == NULL || !cv_tmpl_advance(p))
        return false;
    attr->a = n;
    attr->value = p->tok.value;
    *out = attr;
    return cv_tmpl_expect(p, CV_TOK_NAME);
}

bool cv_tmpl_parse_target(struct cv_tmpl_parser *p, bool attr_allowed, const struct cv_tmpl_node **out)
{
    struct cv_tmpl_nodes items = {0};
    const uint32_t at = p->tok.at;
    if (!parse_target_one(p, attr_allowed, out))
        return false;
    if (p->tok.kind != CV_TOK_COMMA)
        return true;
    do {
        if (!cv_tmpl_nodes_push(p, &items, *out) || !cv_tmpl_advance(p))
            return false;
        if (p->tok.kind != CV_TOK_NAME && p->tok.kind != CV_TOK_LPAREN)
            goto done;
        if (cv_tmpl_at_name(p, "in"))
            goto done;
        if (!parse_target_one(p, attr_allowed, out))
            return false;
    } while (p->tok.kind == CV_TOK_COMMA);
    if (!cv_tmpl_nodes_push(p, &items, *out))
        return false;
    struct cv_tmpl_node *n;
done:
    n = cv_tmpl_node_new(p, CV_NODE_TUPLE, at);
    if (n == NULL)
        return false;
    n->u.list = items.item;
    n->n_list = items.n;
    *out = n;
    return true;
}

/* The tag of a statement was read up to its end; its body follows. */
static bool body_of(struct cv_tmpl_parser *p, const char *ends, const char *inside, const struct cv_tmpl_node **out)
{
    return cv_tmpl_expect(p, CV_TOK_BLOCK_END) && cv_tmpl_parse_body(p, ends, inside, out);
}

static bool parse_if(struct cv_tmpl_parser *p, struct cv_tmpl_node *n)
{
    struct cv_tmpl_nodes list = {0};
    do {
        const struct cv_tmpl_node *test, *body;
        if (!cv_tmpl_advance(p) || !cv_tmpl_parse_tuple(p, CV_TUPLE_NO_COND, &test) ||
            !body_of(p, "elif else endif", "if", &body) || !cv_tmpl_nodes_push(p, &list, test) ||
            !cv_tmpl_nodes_push(p, &list, body))
            return false;
    } while (cv_tmpl_at_name(p, "elif"));
    if (cv_tmpl_at_name(p, "else") && (!cv_tmpl_advance(p) || !body_of(p, "endif", "if", &n->c)))
        return false;
    n->u.list = list.item;
    n->n_list = list.n;
    return cv_tmpl_advance(p);
}

static bool parse_for(struct cv_tmpl_parser *p, struct cv_tmpl_node *n)
{
    struct cv_tmpl_for *f = cv_arena_zalloc(&p->t->values.arena, sizeof(*f));
    if (f == NULL)
        return cv_fail(p->err, CV_ERR_NOMEM, "no memory for the template");
    n->u.loop = f;
    if (!cv_tmpl_advance(p) || !cv_tmpl_parse_target(p, false, &f->target))
        return false;
    if (!cv_tmpl_at_name(p, "in"))
        return cv_tmpl_parse_fail(p, CV_ERR_FORMAT, "expected 'in' in this for");
    if (!cv_tmpl_advance(p) || !cv_tmpl_parse_tuple(p, CV_TUPLE_NO_COND, &f->iter))
        return false;
    if (cv_tmpl_at_name(p, "if") && (!cv_tmpl_advance(p) || !cv_tmpl_parse_expr(p, &f->test)))
        return false;
    if (cv_tmpl_at_name(p, "recursive")) {
        f->recursive = true;
        if (!cv_tmpl_advance(p))
            return false;
    }
    p->n_loops++;
    if (!body_of(p, "endfor else", "for", &f->body))
        return false;
    p->n_loops--;
    if (cv_tmpl_at_name(p, "else") && (!cv_tmpl_advance(p) || !body_of(p, "endfor", "for", &f->orelse)))
        return false;
    return cv_tmpl_advance(p);
}

static bool parse_set(struct cv_tmpl_parser *p, struct cv_tmpl_node *n)
{
    if (!cv_tmpl_advance(p) || !cv_tmpl_parse_target(p, true, &n->a))
        return false;
    if (p->tok.kind == CV_TOK_ASSIGN)
        return cv_tmpl_advance(p) && cv_tmpl_parse_tuple(p, CV_TUPLE_EXPR, &n->b);
    n->kind = CV_NODE_SET_BLOCK;
    if (p->tok.kind == CV_TOK_PIPE && (!cv_tmpl_advance(p) || !cv_tmpl_parse_filters(p, NULL, &n->c)))
        return false;
    return body_of(p, "endset", "set", &n->b) && cv_tmpl_advance(p);
}

/* "(a, b=1)": what a macro or a call block takes. */
static bool parse_params(struct cv_tmpl_parser *p, struct cv_tmpl_macro *m)
{
    struct cv_tmpl_nodes names = {0}, presets = {0};
    if (!cv_tmpl_expect(p, CV_TOK_LPAREN))
        return false;
    while (p->tok.kind != CV_TOK_RPAREN) {
        const struct cv_tmpl_node *name, *preset = NULL;
        if (names.n != 0 && !cv_tmpl_expect(p, CV_TOK_COMMA))
            return false;
        if (names.n != 0 && p->tok.kind == CV_TOK_RPAREN)
            break;
        struct cv_tmpl_node *text = cv_tmpl_node_new(p, CV_NODE_CONST, p->tok.at);
        if (text == NULL)
            return false;
        text->value = p->tok.value;
        if (p->tok.kind != CV_TOK_NAME || !parse_target_one(p, false, &name))
            return p->tok.kind == CV_TOK_NAME ? false : cv_tmpl_expect(p, CV_TOK_NAME);
        text->symbol = name->symbol;
        if (p->tok.kind == CV_TOK_ASSIGN) {
            if (!cv_tmpl_advance(p) || !cv_tmpl_parse_expr(p, &preset))
                return false;
        } else if (presets.n != 0 && presets.item[presets.n - 1] != NULL) {
            return cv_tmpl_parse_fail(p, CV_ERR_FORMAT, "a parameter without a default follows one with a default");
        }
        if (!cv_tmpl_nodes_push(p, &names, text) || !cv_tmpl_nodes_push(p, &presets, preset))
            return false;
    }
    m->param = cv_arena_calloc(&p->t->values.arena, names.n + 1, sizeof(*m->param));
    if (m->param == NULL)
        return cv_fail(p->err, CV_ERR_NOMEM, "no memory for the template");
    m->n_param = names.n;
    for (uint32_t i = 0; i < names.n; i++)
        m->param[i] = (struct cv_tmpl_param){names.item[i]->symbol, names.item[i]->value, presets.item[i]};
    return cv_tmpl_advance(p);
}

/* The body of a macro or call block: which of caller, varargs and kwargs it mentions decides what it may be given. */
static bool parse_macro_body(struct cv_tmpl_parser *p, struct cv_tmpl_macro *m, const char *ends, const char *inside)
{
    const bool caller = p->uses_caller, varargs = p->uses_varargs, kwargs = p->uses_kwargs;
    const uint32_t loops = p->n_loops;
    p->uses_caller = p->uses_varargs = p->uses_kwargs = false;
    p->n_loops = 0;
    if (!body_of(p, ends, inside, &m->body))
        return false;
    m->uses_caller = p->uses_caller;
    m->uses_varargs = p->uses_varargs;
    m->uses_kwargs = p->uses_kwargs;
    p->uses_caller |= caller;
    p->uses_varargs |= varargs;
    p->uses_kwargs |= kwargs;
    p->n_loops = loops;
    return cv_tmpl_advance(p);
}

static bool parse_macro(struct cv_tmpl_parser *p, struct cv_tmpl_node *n)
{
    struct cv_tmpl_macro *m = cv_arena_zalloc(&p->t->values.arena, sizeof(*m));
    const struct cv_tmpl_node *name;
    if (m == NULL)
        return cv_fail(p->err, CV_ERR_NOMEM, "no memory for the template");
    n->u.macro = m;
    if (!cv_tmpl_advance(p))
        return false;
    m->name = p->tok.value;
    if (!parse_target_one(p, false, &name))
        return false;
    m->symbol = name->symbol;
    return parse_params(p, m) && parse_macro_body(p, m, "endmacro", "macro");
}

static bool parse_call_block(struct cv_tmpl_parser *p, struct cv_tmpl_node *n)
{
    struct cv_tmpl_macro *m = cv_arena_zalloc(&p->t->values.arena, sizeof(*m));
    if (m == NULL)
        return cv_fail(p->err, CV_ERR_NOMEM, "no memory for the template");
    n->u.macro = m;
    m->name = cv_value_cstr("caller");
    if (!cv_tmpl_advance(p) || (p->tok.kind == CV_TOK_LPAREN && !parse_params(p, m)) ||
        !cv_tmpl_parse_unary(p, true, &n->a))
        return false;
    if (n->a->kind != CV_NODE_CALL)
        return cv_tmpl_parse_fail(p, CV_ERR_FORMAT, "expected a call in this call block");
    return parse_macro_body(p, m, "endcall", "call");
}

static bool parse_filter_block(struct cv_tmpl_parser *p, struct cv_tmpl_node *n)
{
    return cv_tmpl_advance(p) && cv_tmpl_parse_filters(p, NULL, &n->c) && body_of(p, "endfilter", "filter", &n->b) &&
           cv_tmpl_advance(p);
}

static bool parse_with(struct cv_tmpl_parser *p, struct cv_tmpl_node *n)
{
    struct cv_tmpl_nodes list = {0};
    if (!cv_tmpl_advance(p))
        return false;
    while (p->tok.kind != CV_TOK_BLOCK_END) {
        const struct cv_tmpl_node *target, *value;
        if (list.n != 0 && !cv_tmpl_expect(p, CV_TOK_COMMA))
            return false;
        if (!parse_target_one(p, false, &target) || !cv_tmpl_expect(p, CV_TOK_ASSIGN) ||
            !cv_tmpl_parse_expr(p, &value) || !cv_tmpl_nodes_push(p, &list, target) ||
            !cv_tmpl_nodes_push(p, &list, value))
            return false;
    }
    n->u.list = list.item;
    n->n_list = list.n;
    return body_of(p, "endwith", "with", &n->b) && cv_tmpl_advance(p);
}

static bool parse_generation(struct cv_tmpl_parser *p, struct cv_tmpl_node *n)
{
    return cv_tmpl_advance(p) && body_of(p, "endgeneration", "generation", &n->b) && cv_tmpl_advance(p);
}

static bool parse_print(struct cv_tmpl_parser *p, struct cv_tmpl_node *n)
{
    return cv_tmpl_advance(p) && cv_tmpl_parse_tuple(p, CV_TUPLE_EXPR, &n->a);
}

static bool parse_jump(struct cv_tmpl_parser *p, struct cv_tmpl_node *n)
{
    if (p->n_loops == 0)
        return cv_tmpl_parse_fail(p, CV_ERR_FORMAT, "'%s' outside of a loop",
                                  n->kind == CV_NODE_BREAK ? "break" : "continue");
    return cv_tmpl_advance(p);
}

static const struct {
    const char *name;
    enum cv_tmpl_kind kind;
    bool (*parse)(struct cv_tmpl_parser *p, struct cv_tmpl_node *n); /* up to the tag's end; NULL: not supported */
} statements[] = {
    {"if", CV_NODE_IF, parse_if},
    {"for", CV_NODE_FOR, parse_for},
    {"set", CV_NODE_SET, parse_set},
    {"macro", CV_NODE_MACRO, parse_macro},
    {"call", CV_NODE_CALL_BLOCK, parse_call_block},
    {"filter", CV_NODE_FILTER_BLOCK, parse_filter_block},
    {"with", CV_NODE_WITH, parse_with},
    {"generation", CV_NODE_SCOPE, parse_generation},
    {"print", CV_NODE_PRINT, parse_print},
    {"break", CV_NODE_BREAK, parse_jump},
    {"continue", CV_NODE_CONTINUE, parse_jump},
    {"include", CV_NODE_BODY, NULL},
    {"extends", CV_NODE_BODY, NULL},
    {"import", CV_NODE_BODY, NULL},
    {"from", CV_NODE_BODY, NULL},
    {"block", CV_NODE_BODY, NULL},
    {"autoescape", CV_NODE_BODY, NULL},
};

static bool parse_statement(struct cv_tmpl_parser *p, const char *inside, const struct cv_tmpl_node **out)
{
    const uint32_t at = p->tok.at;
    if (p->tok.kind != CV_TOK_NAME)
        return cv_tmpl_parse_fail(p, CV_ERR_FORMAT, "expected the name of a statement, got %s",
                                  cv_tmpl_tok_name(p->tok.kind));
    for (size_t i = 0; i < CV_COUNT(statements); i++) {
        if (!cv_tmpl_at_name(p, statements[i].name))
            continue;
        if (statements[i].parse == NULL)
            return cv_tmpl_parse_fail(p, CV_ERR_UNSUPPORTED, "'%s' is not supported in a chat template",
                                      statements[i].name);
        struct cv_tmpl_node *n = cv_tmpl_node_new(p, statements[i].kind, at);
        *out = n;
        return n != NULL && cv_tmpl_enter(p) && statements[i].parse(p, n) && cv_tmpl_expect(p, CV_TOK_BLOCK_END) &&
               p->depth-- != 0;
    }
    const int len = (int)(p->tok.len < 40 ? p->tok.len : 40);
    if (inside != NULL)
        return cv_tmpl_parse_fail(p, CV_ERR_FORMAT, "unknown statement '%.*s' inside '%s'", len, p->t->src + at,
                                  inside);
    return cv_tmpl_parse_fail(p, CV_ERR_FORMAT, "unknown statement '%.*s'", len, p->t->src + at);
}

/* Is the current name one of the words in list? */
static bool at_one_of(const struct cv_tmpl_parser *p, const char *list)
{
    while (p->tok.kind == CV_TOK_NAME && list != NULL && *list != '\0') {
        const size_t n = strcspn(list, " ");
        if (n == p->tok.value.len && memcmp(list, p->tok.value.as.s, n) == 0)
            return true;
        list += n;
        list += *list == ' ';
    }
    return false;
}

bool cv_tmpl_parse_body(struct cv_tmpl_parser *p, const char *ends, const char *inside, const struct cv_tmpl_node **out)
{
    struct cv_tmpl_nodes list = {0};
    struct cv_tmpl_node *body = cv_tmpl_node_new(p, CV_NODE_BODY, p->tok.at), *n;
    const struct cv_tmpl_node *statement = NULL;
    if (body == NULL)
        return false;
    for (;;) {
        const uint32_t at = p->tok.at;
        switch (p->tok.kind) {
        case CV_TOK_END:
            if (ends != NULL)
                return cv_tmpl_parse_fail(p, CV_ERR_FORMAT, "the template ends inside '%s'; expected one of: %s",
                                          inside, ends);
            goto done;
        case CV_TOK_TEXT:
            n = cv_tmpl_node_new(p, CV_NODE_TEXT, at);
            if (n == NULL)
                return false;
            n->value = cv_value_str_view(p->t->src + at, p->tok.len);
            if (!cv_tmpl_advance(p) || !cv_tmpl_nodes_push(p, &list, n))
                return false;
            break;
        case CV_TOK_PRINT_BEGIN:
            n = cv_tmpl_node_new(p, CV_NODE_PRINT, at);
            if (n == NULL || !cv_tmpl_advance(p) || !cv_tmpl_parse_tuple(p, CV_TUPLE_EXPR, &n->a) ||
                !cv_tmpl_expect(p, CV_TOK_PRINT_END) || !cv_tmpl_nodes_push(p, &list, n))
                return false;
            break;
        default: /* a block; the lexer gives nothing else outside of tags */
            if (!cv_tmpl_advance(p))
                return false;
            if (at_one_of(p, ends))
                goto done;
            if (!parse_statement(p, inside, &statement) || !cv_tmpl_nodes_push(p, &list, statement))
                return false;
        }
    }
done:
    body->u.list = list.item;
    body->n_list = list.n;
    *out = body;
    return true;
}

/* source with "\r\n" and "\r" as "\n", and without the last newline. */
static bool copy_source(struct cv_template *t, const char *source, size_t n, struct cv_error *err)
{
    char *s = cv_arena_alloc(&t->values.arena, n);
    if (s == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for the template");
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        s[len++] = source[i] == '\r' ? '\n' : source[i];
        if (source[i] == '\r' && i + 1 < n && source[i + 1] == '\n')
            i++;
    }
    if (len != 0 && s[len - 1] == '\n')
        len--;
    t->src = s;
    t->n = len;
    return true;
}

static bool add_known_symbols(struct cv_tmpl_parser *p)
{
    /* in the order of the enum */
    static const char *const names[CV_SYM_COUNT] = {"loop",        "caller",    "varargs", "kwargs", "range",
                                                    "dict",        "namespace", "cycler",  "joiner", "raise_exception",
                                                    "strftime_now"};
    p->t->symbol_of = cv_map_value_new(&p->t->values, 0);
    if (p->t->symbol_of == NULL)
        return cv_fail(p->err, CV_ERR_NOMEM, "no memory for the template");
    for (uint32_t i = 0, symbol; i < CV_SYM_COUNT; i++) {
        if (!cv_tmpl_symbol(p, cv_value_cstr(names[i]), &symbol))
            return false;
    }
    return true;
}

bool cv_template_new(struct cv_template **out, const char *source, size_t n, struct cv_error *err)
{
    if (n > CV_MAX_TEMPLATE_BYTES)
        return cv_fail(err, CV_ERR_LIMIT, "a template of %zu bytes; at most %u are allowed", n, CV_MAX_TEMPLATE_BYTES);
    const size_t good = cv_utf8_valid_prefix(source, n);
    if (good != n)
        return cv_tmpl_fail_at(err, CV_ERR_FORMAT, source, n, good, "not UTF-8");
    struct cv_template *t = cv_zalloc(sizeof(*t));
    if (t == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for the template");
    struct cv_tmpl_parser p = {.t = t, .err = err};
    if (!cv_values_init(&t->values, CV_MAX_TEMPLATE_MEMORY, err) || !copy_source(t, source, n, err) ||
        !add_known_symbols(&p))
        goto fail;
    p.lex = (struct cv_tmpl_lexer){.src = t->src, .n = t->n, .values = &t->values, .at_line_start = true};
    if (!cv_tmpl_lex(&p.lex, &p.next, err) || !cv_tmpl_advance(&p) || !cv_tmpl_parse_body(&p, NULL, NULL, &t->body))
        goto fail;
    *out = t;
    return true;
fail:
    cv_template_free(t);
    return false;
}

void cv_template_free(struct cv_template *t)
{
    if (t != NULL)
        cv_values_fini(&t->values);
    cv_free(t);
}
