/* template_expr.c - parses expressions. Precedence, loosest first: if-else, or, and, not, comparisons, + -, ~, * / // %,
 * **, unary, then calls, attributes, filters and tests. */
#include <string.h>

#include "text/template_ast.h"
#include "text/template_builtin.h"

static bool parse_and(struct cv_tmpl_parser *p, const struct cv_tmpl_node **out);
static bool parse_concat(struct cv_tmpl_parser *p, const struct cv_tmpl_node **out);

bool cv_tmpl_nodes_push(struct cv_tmpl_parser *p, struct cv_tmpl_nodes *l, const struct cv_tmpl_node *node)
{
    if (l->n == l->cap) {
        const uint32_t cap = l->cap == 0 ? 4 : l->cap * 2;
        const struct cv_tmpl_node **item = cv_arena_calloc(&p->t->values.arena, cap, sizeof(*item));
        if (item == NULL)
            return cv_fail(p->err, CV_ERR_NOMEM, "no memory for the template");
        if (l->n != 0)
            memcpy(item, l->item, l->n * sizeof(*item));
        l->item = item;
        l->cap = cap;
    }
    l->item[l->n++] = node;
    return true;
}

static bool fail_token(struct cv_tmpl_parser *p)
{
    if (p->tok.kind == CV_TOK_NAME)
        return cv_tmpl_parse_fail(p, CV_ERR_FORMAT, "unexpected '%.*s'", (int)(p->tok.len < 40 ? p->tok.len : 40),
                                  p->t->src + p->tok.at);
    return cv_tmpl_parse_fail(p, CV_ERR_FORMAT, "unexpected %s", cv_tmpl_tok_name(p->tok.kind));
}

/* A node of kind over left and right. */
static bool pair(struct cv_tmpl_parser *p, enum cv_tmpl_kind kind, int op, uint32_t at, const struct cv_tmpl_node *a,
                 const struct cv_tmpl_node *b, const struct cv_tmpl_node **out)
{
    struct cv_tmpl_node *n = cv_tmpl_node_new(p, kind, at);
    if (n == NULL)
        return false;
    n->op = (uint8_t)op;
    n->a = a;
    n->b = b;
    *out = n;
    return true;
}

bool cv_tmpl_parse_expr(struct cv_tmpl_parser *p, const struct cv_tmpl_node **out)
{
    if (!cv_tmpl_enter(p) || !cv_tmpl_parse_or(p, out))
        return false;
    while (cv_tmpl_at_name(p, "if")) {
        struct cv_tmpl_node *n = cv_tmpl_node_new(p, CV_NODE_COND, p->tok.at);
        if (n == NULL || !cv_tmpl_advance(p) || !cv_tmpl_parse_or(p, &n->a))
            return false;
        n->b = *out;
        if (cv_tmpl_at_name(p, "else") && (!cv_tmpl_advance(p) || !cv_tmpl_parse_expr(p, &n->c)))
            return false;
        *out = n;
    }
    p->depth--;
    return true;
}

bool cv_tmpl_parse_or(struct cv_tmpl_parser *p, const struct cv_tmpl_node **out)
{
    if (!parse_and(p, out))
        return false;
    while (cv_tmpl_at_name(p, "or")) {
        const uint32_t at = p->tok.at;
        const struct cv_tmpl_node *right;
        if (!cv_tmpl_advance(p) || !parse_and(p, &right) || !pair(p, CV_NODE_OR, 0, at, *out, right, out))
            return false;
    }
    return true;
}

static bool parse_sum(struct cv_tmpl_parser *p, const struct cv_tmpl_node **out)
{
    if (!parse_concat(p, out))
        return false;
    while (p->tok.kind == CV_TOK_ADD || p->tok.kind == CV_TOK_SUB) {
        const uint32_t at = p->tok.at;
        const int op = (int)p->tok.kind;
        const struct cv_tmpl_node *right;
        if (!cv_tmpl_advance(p) || !parse_concat(p, &right) || !pair(p, CV_NODE_BINARY, op, at, *out, right, out))
            return false;
    }
    return true;
}

/* The comparison that stands at the current token and is stepped over; 0 if there is none. */
static bool read_comparison(struct cv_tmpl_parser *p, uint8_t *op)
{
    *op = 0;
    if (p->tok.kind >= CV_TOK_EQ && p->tok.kind <= CV_TOK_GE)
        *op = (uint8_t)p->tok.kind;
    else if (cv_tmpl_at_name(p, "in"))
        *op = CV_OP_IN;
    else if (cv_tmpl_at_name(p, "not") && p->next.kind == CV_TOK_NAME && cv_value_str_is(p->next.value, "in"))
        *op = CV_OP_NOT_IN;
    return *op == 0 || (cv_tmpl_advance(p) && (*op != CV_OP_NOT_IN || cv_tmpl_advance(p)));
}

static bool parse_compare(struct cv_tmpl_parser *p, const struct cv_tmpl_node **out)
{
    struct cv_tmpl_nodes operands = {0};
    uint8_t ops[CV_MAX_TEMPLATE_DEPTH], op;
    const uint32_t at = p->tok.at;
    if (!parse_sum(p, out) || !read_comparison(p, &op))
        return false;
    if (op == 0)
        return true;
    if (!cv_tmpl_nodes_push(p, &operands, *out))
        return false;
    for (uint32_t n = 0; op != 0; n++) {
        if (n == CV_MAX_TEMPLATE_DEPTH)
            return cv_tmpl_parse_fail(p, CV_ERR_LIMIT, "more than %u comparisons in a row", CV_MAX_TEMPLATE_DEPTH);
        ops[n] = op;
        if (!parse_sum(p, out) || !cv_tmpl_nodes_push(p, &operands, *out) || !read_comparison(p, &op))
            return false;
    }
    struct cv_tmpl_node *n = cv_tmpl_node_new(p, CV_NODE_COMPARE, at);
    uint8_t *kept = cv_arena_alloc(&p->t->values.arena, operands.n);
    if (n == NULL || kept == NULL)
        return cv_fail(p->err, CV_ERR_NOMEM, "no memory for the template");
    memcpy(kept, ops, operands.n - 1);
    n->u.list = operands.item;
    n->n_list = operands.n;
    n->x.ops = kept;
    *out = n;
    return true;
}

static bool parse_not(struct cv_tmpl_parser *p, const struct cv_tmpl_node **out)
{
    if (!cv_tmpl_at_name(p, "not"))
        return parse_compare(p, out);
    struct cv_tmpl_node *n = cv_tmpl_node_new(p, CV_NODE_NOT, p->tok.at);
    if (n == NULL || !cv_tmpl_enter(p) || !cv_tmpl_advance(p) || !parse_not(p, &n->a))
        return false;
    p->depth--;
    *out = n;
    return true;
}

static bool parse_and(struct cv_tmpl_parser *p, const struct cv_tmpl_node **out)
{
    if (!parse_not(p, out))
        return false;
    while (cv_tmpl_at_name(p, "and")) {
        const uint32_t at = p->tok.at;
        const struct cv_tmpl_node *right;
        if (!cv_tmpl_advance(p) || !parse_not(p, &right) || !pair(p, CV_NODE_AND, 0, at, *out, right, out))
            return false;
    }
    return true;
}

static bool parse_power(struct cv_tmpl_parser *p, const struct cv_tmpl_node **out)
{
    if (!cv_tmpl_parse_unary(p, true, out))
        return false;
    while (p->tok.kind == CV_TOK_POW) {
        const uint32_t at = p->tok.at;
        const struct cv_tmpl_node *right;
        if (!cv_tmpl_advance(p) || !cv_tmpl_parse_unary(p, true, &right) ||
            !pair(p, CV_NODE_BINARY, CV_TOK_POW, at, *out, right, out))
            return false;
    }
    return true;
}

static bool parse_product(struct cv_tmpl_parser *p, const struct cv_tmpl_node **out)
{
    if (!parse_power(p, out))
        return false;
    while (p->tok.kind >= CV_TOK_MUL && p->tok.kind <= CV_TOK_MOD) {
        const uint32_t at = p->tok.at;
        const int op = (int)p->tok.kind;
        const struct cv_tmpl_node *right;
        if (!cv_tmpl_advance(p) || !parse_power(p, &right) || !pair(p, CV_NODE_BINARY, op, at, *out, right, out))
            return false;
    }
    return true;
}

static bool parse_concat(struct cv_tmpl_parser *p, const struct cv_tmpl_node **out)
{
    struct cv_tmpl_nodes parts = {0};
    const uint32_t at = p->tok.at;
    if (!parse_product(p, out))
        return false;
    if (p->tok.kind != CV_TOK_TILDE)
        return true;
    if (!cv_tmpl_nodes_push(p, &parts, *out))
        return false;
    while (p->tok.kind == CV_TOK_TILDE) {
        if (!cv_tmpl_advance(p) || !parse_product(p, out) || !cv_tmpl_nodes_push(p, &parts, *out))
            return false;
    }
    struct cv_tmpl_node *n = cv_tmpl_node_new(p, CV_NODE_CONCAT, at);
    if (n == NULL)
        return false;
    n->u.list = parts.item;
    n->n_list = parts.n;
    *out = n;
    return true;
}

static bool at_end_of_tuple(const struct cv_tmpl_parser *p)
{
    return p->tok.kind == CV_TOK_PRINT_END || p->tok.kind == CV_TOK_BLOCK_END || p->tok.kind == CV_TOK_RPAREN ||
           cv_tmpl_at_name(p, "in") || cv_tmpl_at_name(p, "recursive") || p->tok.kind == CV_TOK_ASSIGN;
}

bool cv_tmpl_parse_tuple(struct cv_tmpl_parser *p, enum cv_tmpl_tuple_mode mode, const struct cv_tmpl_node **out)
{
    struct cv_tmpl_nodes items = {0};
    const uint32_t at = p->tok.at;
    bool is_tuple = false;
    do {
        if (is_tuple && at_end_of_tuple(p))
            break;
        if (!(mode == CV_TUPLE_NO_COND ? cv_tmpl_parse_or(p, out) : cv_tmpl_parse_expr(p, out)))
            return false;
        if (p->tok.kind != CV_TOK_COMMA)
            break;
        if (!cv_tmpl_nodes_push(p, &items, *out) || !cv_tmpl_advance(p))
            return false;
        *out = NULL;
        is_tuple = true;
    } while (true);
    if (!is_tuple)
        return true;
    if (*out != NULL && !cv_tmpl_nodes_push(p, &items, *out))
        return false;
    struct cv_tmpl_node *n = cv_tmpl_node_new(p, CV_NODE_TUPLE, at);
    if (n == NULL)
        return false;
    n->u.list = items.item;
    n->n_list = items.n;
    *out = n;
    return true;
}

/* What stands in parentheses: nothing (an empty tuple), an expression, or a tuple. */
static bool parse_parens(struct cv_tmpl_parser *p, const struct cv_tmpl_node **out)
{
    const uint32_t at = p->tok.at;
    if (!cv_tmpl_advance(p))
        return false;
    if (p->tok.kind == CV_TOK_RPAREN) {
        *out = cv_tmpl_node_new(p, CV_NODE_TUPLE, at);
        return *out != NULL && cv_tmpl_advance(p);
    }
    return cv_tmpl_parse_tuple(p, CV_TUPLE_EXPR, out) && cv_tmpl_expect(p, CV_TOK_RPAREN);
}

/* [a, b] or {a: b, c: d}; the items in order. */
static bool parse_display(struct cv_tmpl_parser *p, const struct cv_tmpl_node **out)
{
    const bool is_dict = p->tok.kind == CV_TOK_LBRACE;
    const enum cv_tmpl_tok end = is_dict ? CV_TOK_RBRACE : CV_TOK_RBRACKET;
    struct cv_tmpl_nodes items = {0};
    struct cv_tmpl_node *n = cv_tmpl_node_new(p, is_dict ? CV_NODE_DICT : CV_NODE_LIST, p->tok.at);
    if (n == NULL || !cv_tmpl_advance(p))
        return false;
    while (p->tok.kind != end) {
        const struct cv_tmpl_node *item;
        if (items.n != 0 && !cv_tmpl_expect(p, CV_TOK_COMMA))
            return false;
        if (p->tok.kind == end)
            break;
        if (!cv_tmpl_parse_expr(p, &item) || !cv_tmpl_nodes_push(p, &items, item))
            return false;
        if (is_dict &&
            (!cv_tmpl_expect(p, CV_TOK_COLON) || !cv_tmpl_parse_expr(p, &item) || !cv_tmpl_nodes_push(p, &items, item)))
            return false;
    }
    n->u.list = items.item;
    n->n_list = items.n;
    *out = n;
    return cv_tmpl_advance(p);
}

static bool parse_strings(struct cv_tmpl_parser *p, struct cv_tmpl_node *n)
{
    /* strings side by side are one */
    while (n->value.type == CV_VALUE_STRING && p->tok.kind == CV_TOK_CONST && p->tok.value.type == CV_VALUE_STRING) {
        const size_t len = (size_t)n->value.len + p->tok.value.len;
        char *s = cv_arena_alloc(&p->t->values.arena, len);
        if (s == NULL)
            return cv_fail(p->err, CV_ERR_NOMEM, "no memory for the template");
        memcpy(s, n->value.as.s, n->value.len);
        memcpy(s + n->value.len, p->tok.value.as.s, p->tok.value.len);
        n->value = cv_value_str_view(s, len);
        if (!cv_tmpl_advance(p))
            return false;
    }
    return true;
}

static bool parse_name(struct cv_tmpl_parser *p, struct cv_tmpl_node *n)
{
    static const struct {
        const char *name;
        uint8_t type;
        int64_t i;
    } constants[] = {{"true", CV_VALUE_BOOL, 1}, {"false", CV_VALUE_BOOL, 0}, {"none", CV_VALUE_NULL, 0},
                     {"True", CV_VALUE_BOOL, 1}, {"False", CV_VALUE_BOOL, 0}, {"None", CV_VALUE_NULL, 0}};
    for (size_t i = 0; i < CV_COUNT(constants); i++) {
        if (cv_tmpl_at_name(p, constants[i].name)) {
            n->value = (struct cv_value){.type = constants[i].type, .as.i = constants[i].i};
            return cv_tmpl_advance(p);
        }
    }
    n->kind = CV_NODE_NAME;
    if (!cv_tmpl_symbol(p, p->tok.value, &n->symbol))
        return false;
    p->uses_caller |= n->symbol == CV_SYM_CALLER;
    p->uses_varargs |= n->symbol == CV_SYM_VARARGS;
    p->uses_kwargs |= n->symbol == CV_SYM_KWARGS;
    return cv_tmpl_advance(p);
}

static bool parse_primary(struct cv_tmpl_parser *p, const struct cv_tmpl_node **out)
{
    struct cv_tmpl_node *n;
    switch (p->tok.kind) {
    case CV_TOK_NAME:
        n = cv_tmpl_node_new(p, CV_NODE_CONST, p->tok.at);
        *out = n;
        return n != NULL && parse_name(p, n);
    case CV_TOK_CONST:
        n = cv_tmpl_node_new(p, CV_NODE_CONST, p->tok.at);
        *out = n;
        if (n == NULL)
            return false;
        n->value = p->tok.value;
        return cv_tmpl_advance(p) && parse_strings(p, n);
    case CV_TOK_LPAREN:
        return parse_parens(p, out);
    case CV_TOK_LBRACKET:
    case CV_TOK_LBRACE:
        return parse_display(p, out);
    default:
        return fail_token(p);
    }
}

/* One item between the brackets of a[...]: an expression or a slice. */
static bool parse_subscript_item(struct cv_tmpl_parser *p, const struct cv_tmpl_node *a,
                                 const struct cv_tmpl_node **out)
{
    const struct cv_tmpl_node *part[3] = {NULL, NULL, NULL};
    const uint32_t at = p->tok.at;
    uint32_t n = 0;
    bool is_slice = false;
    while (p->tok.kind != CV_TOK_RBRACKET && p->tok.kind != CV_TOK_COMMA) {
        if (p->tok.kind == CV_TOK_COLON) {
            is_slice = true;
            if (++n == 3)
                return cv_tmpl_parse_fail(p, CV_ERR_FORMAT, "a slice has at most two colons");
            if (!cv_tmpl_advance(p))
                return false;
        } else if (part[n] != NULL) {
            return fail_token(p);
        } else if (!cv_tmpl_parse_expr(p, &part[n])) {
            return false;
        }
    }
    if (!is_slice) {
        if (part[0] == NULL)
            return fail_token(p);
        return pair(p, CV_NODE_ITEM, 0, at, a, part[0], out);
    }
    struct cv_tmpl_node *s = cv_tmpl_node_new(p, CV_NODE_SLICE, at);
    struct cv_tmpl_nodes list = {0};
    if (s == NULL)
        return false;
    for (int i = 0; i < 3; i++) {
        if (!cv_tmpl_nodes_push(p, &list, part[i]))
            return false;
    }
    s->a = a;
    s->u.list = list.item;
    s->n_list = 3;
    *out = s;
    return true;
}

static bool parse_subscript(struct cv_tmpl_parser *p, const struct cv_tmpl_node **out)
{
    const struct cv_tmpl_node *a = *out;
    if (p->tok.kind == CV_TOK_LBRACKET) {
        if (!cv_tmpl_advance(p) || !parse_subscript_item(p, a, out))
            return false;
        if (p->tok.kind == CV_TOK_COMMA)
            return cv_tmpl_parse_fail(p, CV_ERR_UNSUPPORTED, "a tuple as an index is not supported");
        return cv_tmpl_expect(p, CV_TOK_RBRACKET);
    }
    struct cv_tmpl_node *n = cv_tmpl_node_new(p, CV_NODE_ATTR, p->tok.at);
    if (n == NULL || !cv_tmpl_advance(p))
        return false;
    n->a = a;
    if (p->tok.kind == CV_TOK_NAME) {
        n->value = p->tok.value;
    } else if (p->tok.kind == CV_TOK_CONST && p->tok.value.type == CV_VALUE_INT) {
        struct cv_tmpl_node *index = cv_tmpl_node_new(p, CV_NODE_CONST, p->tok.at);
        if (index == NULL)
            return false;
        index->value = p->tok.value;
        n->kind = CV_NODE_ITEM;
        n->b = index;
    } else {
        return cv_tmpl_parse_fail(p, CV_ERR_FORMAT, "expected a name or a number after '.', got %s",
                                  cv_tmpl_tok_name(p->tok.kind));
    }
    *out = n;
    return cv_tmpl_advance(p);
}

static bool push_kwarg(struct cv_tmpl_parser *p, struct cv_tmpl_args_node *a, struct cv_tmpl_nodes *values,
                       struct cv_tmpl_nodes *names)
{
    struct cv_tmpl_node *name = cv_tmpl_node_new(p, CV_NODE_CONST, p->tok.at);
    const struct cv_tmpl_node *value;
    if (name == NULL)
        return false;
    name->value = p->tok.value;
    if (!cv_tmpl_advance(p) || !cv_tmpl_advance(p) || !cv_tmpl_parse_expr(p, &value))
        return false;
    a->n_kw++;
    return cv_tmpl_nodes_push(p, names, name) && cv_tmpl_nodes_push(p, values, value);
}

static bool parse_arg(struct cv_tmpl_parser *p, struct cv_tmpl_args_node *a, struct cv_tmpl_nodes *pos,
                      struct cv_tmpl_nodes *names, struct cv_tmpl_nodes *values)
{
    const struct cv_tmpl_node *node;
    if (p->tok.kind == CV_TOK_MUL || p->tok.kind == CV_TOK_POW) {
        const struct cv_tmpl_node **to = p->tok.kind == CV_TOK_MUL ? &a->star : &a->star_star;
        if (*to != NULL)
            return fail_token(p);
        return cv_tmpl_advance(p) && cv_tmpl_parse_expr(p, to);
    }
    if (a->star_star != NULL)
        return cv_tmpl_parse_fail(p, CV_ERR_FORMAT, "an argument follows '**'");
    if (p->tok.kind == CV_TOK_NAME && p->next.kind == CV_TOK_ASSIGN)
        return push_kwarg(p, a, values, names);
    if (a->n_kw != 0 || a->star != NULL)
        return cv_tmpl_parse_fail(p, CV_ERR_FORMAT, "an argument without a name follows one with a name");
    return cv_tmpl_parse_expr(p, &node) && cv_tmpl_nodes_push(p, pos, node);
}

/* "(a, b, name=c, *d, **e)" */
static bool parse_args(struct cv_tmpl_parser *p, const struct cv_tmpl_args_node **out)
{
    struct cv_tmpl_nodes pos = {0}, names = {0}, values = {0};
    struct cv_tmpl_args_node *a = cv_arena_zalloc(&p->t->values.arena, sizeof(*a));
    if (a == NULL)
        return cv_fail(p->err, CV_ERR_NOMEM, "no memory for the template");
    if (!cv_tmpl_enter(p) || !cv_tmpl_advance(p))
        return false;
    bool first = true;
    while (p->tok.kind != CV_TOK_RPAREN) {
        if (!first && !cv_tmpl_expect(p, CV_TOK_COMMA))
            return false;
        if (!first && p->tok.kind == CV_TOK_RPAREN)
            break;
        first = false;
        if (!parse_arg(p, a, &pos, &names, &values))
            return false;
    }
    a->pos = pos.item;
    a->n_pos = pos.n;
    a->kw = cv_arena_calloc(&p->t->values.arena, a->n_kw + 1, sizeof(*a->kw));
    if (a->kw == NULL)
        return cv_fail(p->err, CV_ERR_NOMEM, "no memory for the template");
    for (uint32_t i = 0; i < a->n_kw; i++)
        a->kw[i] = (struct cv_tmpl_kwarg_node){names.item[i]->value, values.item[i]};
    *out = a;
    p->depth--;
    return cv_tmpl_advance(p);
}

static bool parse_call(struct cv_tmpl_parser *p, const struct cv_tmpl_node **out)
{
    struct cv_tmpl_node *n = cv_tmpl_node_new(p, CV_NODE_CALL, p->tok.at);
    if (n == NULL || !parse_args(p, &n->u.args))
        return false;
    n->a = *out;
    *out = n;
    return true;
}

/* "name" or "na.me" of a filter or test. */
static bool parse_builtin_name(struct cv_tmpl_parser *p, struct cv_tmpl_node *n)
{
    if (p->tok.kind != CV_TOK_NAME)
        return cv_tmpl_expect(p, CV_TOK_NAME);
    const uint32_t at = p->tok.at;
    uint32_t end = at + p->tok.len;
    if (!cv_tmpl_advance(p))
        return false;
    while (p->tok.kind == CV_TOK_DOT && p->next.kind == CV_TOK_NAME) {
        end = p->next.at + p->next.len;
        if (!cv_tmpl_advance(p) || !cv_tmpl_advance(p))
            return false;
    }
    n->value = cv_value_str_view(p->t->src + at, end - at);
    return true;
}

bool cv_tmpl_parse_filters(struct cv_tmpl_parser *p, const struct cv_tmpl_node *a, const struct cv_tmpl_node **out)
{
    for (;;) {
        struct cv_tmpl_node *n = cv_tmpl_node_new(p, CV_NODE_FILTER, p->tok.at);
        if (n == NULL || !parse_builtin_name(p, n))
            return false;
        n->x.builtin = cv_tmpl_find_filter(n->value);
        if (p->tok.kind == CV_TOK_LPAREN && !parse_args(p, &n->u.args))
            return false;
        n->a = a;
        a = *out = n;
        if (p->tok.kind != CV_TOK_PIPE)
            return true;
        if (!cv_tmpl_advance(p))
            return false;
    }
}

/* The one argument that a test may have without parentheses: "x is divisibleby 3". */
static bool parse_bare_argument(struct cv_tmpl_parser *p, struct cv_tmpl_node *n)
{
    static const char *const ends[] = {"else", "or", "and", "if", "in", "not", "is", "recursive"};
    const enum cv_tmpl_tok k = p->tok.kind;
    if (k != CV_TOK_NAME && k != CV_TOK_CONST && k != CV_TOK_LBRACKET && k != CV_TOK_LBRACE)
        return true;
    for (size_t i = 0; i < CV_COUNT(ends); i++) {
        if (cv_tmpl_at_name(p, ends[i]))
            return true;
    }
    struct cv_tmpl_args_node *a = cv_arena_zalloc(&p->t->values.arena, sizeof(*a));
    const struct cv_tmpl_node *arg;
    struct cv_tmpl_nodes pos = {0};
    if (a == NULL)
        return cv_fail(p->err, CV_ERR_NOMEM, "no memory for the template");
    if (!cv_tmpl_enter(p) || !parse_primary(p, &arg))
        return false;
    while (p->tok.kind == CV_TOK_DOT || p->tok.kind == CV_TOK_LBRACKET) {
        if (!parse_subscript(p, &arg))
            return false;
    }
    p->depth--;
    if (!cv_tmpl_nodes_push(p, &pos, arg))
        return false;
    a->pos = pos.item;
    a->n_pos = 1;
    n->u.args = a;
    return true;
}

static bool parse_test(struct cv_tmpl_parser *p, const struct cv_tmpl_node **out)
{
    struct cv_tmpl_node *n = cv_tmpl_node_new(p, CV_NODE_TEST, p->tok.at);
    if (n == NULL || !cv_tmpl_advance(p))
        return false;
    if (cv_tmpl_at_name(p, "not")) {
        n->negated = true;
        if (!cv_tmpl_advance(p))
            return false;
    }
    if (!parse_builtin_name(p, n))
        return false;
    n->x.builtin = cv_tmpl_find_test(n->value);
    if (p->tok.kind == CV_TOK_LPAREN ? !parse_args(p, &n->u.args) : !parse_bare_argument(p, n))
        return false;
    n->a = *out;
    *out = n;
    return true;
}

static bool parse_postfix(struct cv_tmpl_parser *p, bool with_filter, const struct cv_tmpl_node **out)
{
    for (;;) {
        bool ok;
        if (p->tok.kind == CV_TOK_DOT || p->tok.kind == CV_TOK_LBRACKET)
            ok = parse_subscript(p, out);
        else if (p->tok.kind == CV_TOK_LPAREN)
            ok = parse_call(p, out);
        else if (with_filter && p->tok.kind == CV_TOK_PIPE)
            ok = cv_tmpl_advance(p) && cv_tmpl_parse_filters(p, *out, out);
        else if (with_filter && cv_tmpl_at_name(p, "is"))
            ok = parse_test(p, out);
        else
            return true;
        if (!ok)
            return false;
    }
}

bool cv_tmpl_parse_unary(struct cv_tmpl_parser *p, bool with_filter, const struct cv_tmpl_node **out)
{
    if (p->tok.kind != CV_TOK_SUB && p->tok.kind != CV_TOK_ADD)
        return parse_primary(p, out) && parse_postfix(p, with_filter, out);
    struct cv_tmpl_node *n = cv_tmpl_node_new(p, p->tok.kind == CV_TOK_SUB ? CV_NODE_NEG : CV_NODE_POS, p->tok.at);
    if (n == NULL || !cv_tmpl_enter(p) || !cv_tmpl_advance(p) || !cv_tmpl_parse_unary(p, false, &n->a))
        return false;
    p->depth--;
    *out = n;
    return parse_postfix(p, with_filter, out);
}
