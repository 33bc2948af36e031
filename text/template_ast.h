/*
 * template_ast.h - a parsed template: tokens, nodes, and the parser's own state. Internal to the template engine.
 *
 *   source --template_lex.c--> tokens --template_parse.c, template_expr.c--> nodes --template_exec.c, template_eval.c--> text
 *
 * Everything lives in the template's arena. Names are numbers (symbols), so that scopes compare integers.
 */
#ifndef CV_TEXT_TEMPLATE_AST_H
#define CV_TEXT_TEMPLATE_AST_H

#include "base/limits.h"
#include "text/template_value.h"

enum cv_tmpl_tok {
    CV_TOK_END, /* of the source */
    CV_TOK_TEXT,
    CV_TOK_PRINT_BEGIN,
    CV_TOK_PRINT_END,
    CV_TOK_BLOCK_BEGIN,
    CV_TOK_BLOCK_END,
    CV_TOK_NAME,
    CV_TOK_CONST, /* a string or a number: value */
    CV_TOK_ADD,
    CV_TOK_SUB,
    CV_TOK_MUL,
    CV_TOK_DIV,
    CV_TOK_FLOORDIV,
    CV_TOK_MOD,
    CV_TOK_POW,
    CV_TOK_TILDE,
    CV_TOK_EQ,
    CV_TOK_NE,
    CV_TOK_LT,
    CV_TOK_LE,
    CV_TOK_GT,
    CV_TOK_GE,
    CV_TOK_ASSIGN,
    CV_TOK_DOT,
    CV_TOK_COMMA,
    CV_TOK_COLON,
    CV_TOK_SEMICOLON,
    CV_TOK_PIPE,
    CV_TOK_LPAREN,
    CV_TOK_RPAREN,
    CV_TOK_LBRACKET,
    CV_TOK_RBRACKET,
    CV_TOK_LBRACE,
    CV_TOK_RBRACE
};

struct cv_tmpl_token {
    enum cv_tmpl_tok kind;
    uint32_t at, len; /* of the source */
    struct cv_value value;
};

enum cv_tmpl_lex_state { CV_LEX_TEXT, CV_LEX_PRINT, CV_LEX_BLOCK };

struct cv_tmpl_lexer {
    const char *src; /* newlines are "\n" */
    size_t n, pos;
    struct cv_values *values;
    enum cv_tmpl_lex_state state;
    bool at_line_start;               /* the last tag ended with a newline, or nothing was read yet */
    enum cv_tmpl_tok begin;           /* the tag that begins at pos; CV_TOK_END: none is known */
    size_t begin_len;                 /* its bytes, with the sign */
    uint32_t n_open;                  /* brackets */
    char open[CV_MAX_TEMPLATE_DEPTH]; /* their closing ones */
};

/* The next token of l. Errors name line and column. */
bool cv_tmpl_lex(struct cv_tmpl_lexer *l, struct cv_tmpl_token *out, struct cv_error *err);
/* cv_fail with "line L, column C: " of src[at] in front. */
bool cv_tmpl_fail_at(struct cv_error *err, enum cv_code code, const char *src, size_t n, size_t at, const char *fmt,
                     ...) CV_PRINTF(6, 7);
/* What a token is called in an error. */
const char *cv_tmpl_tok_name(enum cv_tmpl_tok kind);

enum cv_tmpl_kind {
    /* expressions */
    CV_NODE_CONST,  /* value */
    CV_NODE_NAME,   /* symbol */
    CV_NODE_ATTR,   /* a.name (value: the name) */
    CV_NODE_ITEM,   /* a[b] */
    CV_NODE_SLICE,  /* a[list[0]:list[1]:list[2]], each may be NULL */
    CV_NODE_CALL,   /* a(args) */
    CV_NODE_FILTER, /* a|name(args); a is NULL in a filter block */
    CV_NODE_TEST,   /* a is name(args) */
    CV_NODE_NOT,
    CV_NODE_NEG,
    CV_NODE_POS,
    CV_NODE_BINARY, /* a op b */
    CV_NODE_AND,
    CV_NODE_OR,
    CV_NODE_CONCAT,  /* list joined by ~ */
    CV_NODE_COMPARE, /* list[0] op list[1] op list[2] ...; ops */
    CV_NODE_COND,    /* b if a else c; c may be NULL */
    CV_NODE_LIST,
    CV_NODE_TUPLE,
    CV_NODE_DICT, /* list: key, item, key, item, ... */
    /* statements */
    CV_NODE_BODY,         /* list */
    CV_NODE_TEXT,         /* value */
    CV_NODE_PRINT,        /* a */
    CV_NODE_IF,           /* list: test, body, test, body, ...; c: else or NULL */
    CV_NODE_FOR,          /* loop */
    CV_NODE_SET,          /* a = b; a is a target */
    CV_NODE_SET_BLOCK,    /* a = body b, through filter c or NULL */
    CV_NODE_MACRO,        /* macro */
    CV_NODE_CALL_BLOCK,   /* call a with macro as caller */
    CV_NODE_FILTER_BLOCK, /* body b through filter c */
    CV_NODE_WITH,         /* list: target, value, ...; body b */
    CV_NODE_SCOPE,        /* body b in a scope of its own: generation, block */
    CV_NODE_BREAK,
    CV_NODE_CONTINUE
};

/* Comparisons, besides the tokens CV_TOK_EQ .. CV_TOK_GE. */
enum { CV_OP_IN = 100, CV_OP_NOT_IN };

struct cv_tmpl_node;
struct cv_tmpl_builtin;

struct cv_tmpl_kwarg_node {
    struct cv_value name;
    const struct cv_tmpl_node *value;
};

struct cv_tmpl_args_node {
    const struct cv_tmpl_node **pos;
    struct cv_tmpl_kwarg_node *kw;
    uint32_t n_pos, n_kw;
    const struct cv_tmpl_node *star, *star_star; /* NULL: none */
};

struct cv_tmpl_for {
    const struct cv_tmpl_node *target, *iter, *test /* or NULL */, *body, *orelse /* or NULL */;
    bool recursive;
};

struct cv_tmpl_param {
    uint32_t symbol;
    struct cv_value name;
    const struct cv_tmpl_node *preset; /* or NULL */
};

struct cv_tmpl_macro {
    struct cv_value name;
    uint32_t symbol;
    struct cv_tmpl_param *param;
    uint32_t n_param;
    const struct cv_tmpl_node *body;
    bool uses_caller, uses_varargs, uses_kwargs;
};

struct cv_tmpl_node {
    uint8_t kind, op;
    bool negated;    /* of a test */
    uint32_t at;     /* of the source, for errors */
    uint32_t symbol; /* of a name */
    uint32_t n_list;
    struct cv_value value; /* a constant, or the name of an attribute, filter, test */
    const struct cv_tmpl_node *a, *b, *c;
    union {
        const struct cv_tmpl_node **list;
        const struct cv_tmpl_args_node *args; /* NULL: none */
        const struct cv_tmpl_for *loop;
        const struct cv_tmpl_macro *macro;
    } u;
    union {
        const uint8_t *ops;                    /* of a comparison */
        const struct cv_tmpl_builtin *builtin; /* of a filter or test; NULL: there is none of that name */
    } x;
};

/* Symbols that the engine itself knows, in this order at the head of every symbol table. */
enum {
    CV_SYM_LOOP,
    CV_SYM_CALLER,
    CV_SYM_VARARGS,
    CV_SYM_KWARGS,
    CV_SYM_RANGE,
    CV_SYM_DICT,
    CV_SYM_NAMESPACE,
    CV_SYM_CYCLER,
    CV_SYM_JOINER,
    CV_SYM_RAISE_EXCEPTION,
    CV_SYM_STRFTIME_NOW,
    CV_SYM_COUNT
};

struct cv_template {
    struct cv_values values; /* the nodes' and constants' memory */
    const char *src;
    size_t n;
    const struct cv_tmpl_node *body;
    struct cv_map_value *symbol_of; /* name -> number; the entries' order is that of the numbers */
};

struct cv_tmpl_parser {
    struct cv_template *t;
    struct cv_tmpl_lexer lex;
    struct cv_tmpl_token tok, next;
    struct cv_error *err;
    uint32_t depth;                              /* of nesting */
    uint32_t n_loops;                            /* open in this macro */
    bool uses_caller, uses_varargs, uses_kwargs; /* by the macro that is being read */
};

/* Steps over the current token. */
bool cv_tmpl_advance(struct cv_tmpl_parser *p);
/* Steps over the current token if it is of that kind, or fails. */
bool cv_tmpl_expect(struct cv_tmpl_parser *p, enum cv_tmpl_tok kind);
bool cv_tmpl_at_name(const struct cv_tmpl_parser *p, const char *name);
bool cv_tmpl_parse_fail(struct cv_tmpl_parser *p, enum cv_code code, const char *fmt, ...) CV_PRINTF(3, 4);
/* NULL: memory is out, and the error filled in. */
struct cv_tmpl_node *cv_tmpl_node_new(struct cv_tmpl_parser *p, enum cv_tmpl_kind kind, uint32_t at);
bool cv_tmpl_symbol(struct cv_tmpl_parser *p, struct cv_value name, uint32_t *out);
/* One level deeper; false when too deep. Undone by p->depth--. */
bool cv_tmpl_enter(struct cv_tmpl_parser *p);

/* A list of nodes that grows while it is parsed. */
struct cv_tmpl_nodes {
    const struct cv_tmpl_node **item;
    uint32_t n, cap;
};
bool cv_tmpl_nodes_push(struct cv_tmpl_parser *p, struct cv_tmpl_nodes *l, const struct cv_tmpl_node *node);

/* "a if b else c" and everything below. */
bool cv_tmpl_parse_expr(struct cv_tmpl_parser *p, const struct cv_tmpl_node **out);
/* The same without a trailing "if": where a statement has one of its own. */
bool cv_tmpl_parse_or(struct cv_tmpl_parser *p, const struct cv_tmpl_node **out);

enum cv_tmpl_tuple_mode { CV_TUPLE_EXPR, CV_TUPLE_NO_COND };
/* One expression, or several with commas between as a tuple. */
bool cv_tmpl_parse_tuple(struct cv_tmpl_parser *p, enum cv_tmpl_tuple_mode mode, const struct cv_tmpl_node **out);
/* A name, several with commas between, or (where attr_allowed) namespace.attr. */
bool cv_tmpl_parse_target(struct cv_tmpl_parser *p, bool attr_allowed, const struct cv_tmpl_node **out);
/* "name(args)|name(args)..." applied to a, which is NULL for a filter block; the first "|" is already read. */
bool cv_tmpl_parse_filters(struct cv_tmpl_parser *p, const struct cv_tmpl_node *a, const struct cv_tmpl_node **out);
/* A primary with its calls, attributes and filters: what follows "call". */
bool cv_tmpl_parse_unary(struct cv_tmpl_parser *p, bool with_filter, const struct cv_tmpl_node **out);

/* Statements up to one of the end tags in ends (separated by spaces), which is left as the current name. ends NULL:
 * up to the end of the source. */
bool cv_tmpl_parse_body(struct cv_tmpl_parser *p, const char *ends, const char *inside,
                        const struct cv_tmpl_node **out);

#endif
