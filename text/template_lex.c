/*
 * template_lex.c - cuts a template into tokens, with Jinja's rules for white space around tags.
 *
 * A "-" at a tag's edge strips all white space there. Without a sign, a block or comment strips the blanks before it on
 * its line and one newline behind it (lstrip_blocks, trim_blocks); "+" switches that off. Prints keep both.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/template_ast.h"

bool cv_tmpl_fail_at(struct cv_error *err, enum cv_code code, const char *src, size_t n, size_t at, const char *fmt,
                     ...)
{
    char text[400];
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at && i < n; i++) {
        if (src[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)src[i] & 0xC0) != 0x80) {
            column++;
        }
    }
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return cv_fail(err, code, "line %zu, column %zu: %s", line, column, text);
}

static bool fail(const struct cv_tmpl_lexer *l, struct cv_error *err, size_t at, const char *what)
{
    return cv_tmpl_fail_at(err, CV_ERR_FORMAT, l->src, l->n, at, "%s", what);
}

static bool blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static char peek(const struct cv_tmpl_lexer *l, size_t at)
{
    return at < l->n ? l->src[at] : '\0';
}

static bool starts(const struct cv_tmpl_lexer *l, size_t at, const char *what)
{
    const size_t n = strlen(what);
    return l->n - at >= n && at <= l->n && memcmp(l->src + at, what, n) == 0;
}

static size_t skip_blank(const struct cv_tmpl_lexer *l, size_t at)
{
    while (at < l->n && blank(l->src[at]))
        at++;
    return at;
}

/* Behind a tag's end at "at": sign is what stood before it. Sets pos and at_line_start. */
static void end_tag(struct cv_tmpl_lexer *l, size_t at, char sign, bool trims)
{
    size_t pos = at;
    if (sign == '-')
        pos = skip_blank(l, at);
    else if (trims && sign != '+' && peek(l, at) == '\n')
        pos = at + 1;
    l->at_line_start = pos > at && l->src[pos - 1] == '\n';
    l->pos = pos;
}

/* Where the text that ends at "end" ends once the sign of the tag behind it has had its say. */
static size_t strip_text(const struct cv_tmpl_lexer *l, size_t start, size_t end, char sign, bool is_print)
{
    size_t e = end;
    while (e > start && blank(l->src[e - 1]) && (sign == '-' || l->src[e - 1] != '\n'))
        e--;
    if (sign == '-')
        return e;
    if (sign == '+' || is_print)
        return end;
    const bool line_start = e > start ? l->src[e - 1] == '\n' : l->at_line_start;
    return line_start ? e : end;
}

/* "raw" follows the block begin at "at" (behind its sign): *body is where the raw text begins. */
static bool is_raw(const struct cv_tmpl_lexer *l, size_t at, const char *word, size_t *tag_end, char *sign)
{
    at = skip_blank(l, at);
    if (!starts(l, at, word))
        return false;
    at = skip_blank(l, at + strlen(word));
    *sign = '\0';
    if (peek(l, at) == '-' || peek(l, at) == '+')
        *sign = l->src[at++];
    if (!starts(l, at, "%}"))
        return false;
    *tag_end = at + 2;
    return true;
}

static char sign_at(const struct cv_tmpl_lexer *l, size_t at)
{
    const char c = peek(l, at);
    return c == '-' || c == '+' ? c : '\0';
}

/* l->pos stands on the body of a raw block: makes it one text token and steps behind {% endraw %}. */
static bool lex_raw(struct cv_tmpl_lexer *l, struct cv_tmpl_token *out, size_t tag, struct cv_error *err)
{
    const size_t start = l->pos;
    for (size_t i = start; i < l->n; i++) {
        if (!starts(l, i, "{%"))
            continue;
        size_t tag_end;
        char end_sign;
        const char sign = sign_at(l, i + 2);
        if (!is_raw(l, i + 2 + (sign != '\0'), "endraw", &tag_end, &end_sign))
            continue;
        const size_t end = strip_text(l, start, i, sign, false);
        *out = (struct cv_tmpl_token){.kind = CV_TOK_TEXT, .at = (uint32_t)start, .len = (uint32_t)(end - start)};
        end_tag(l, tag_end, end_sign, true);
        return true;
    }
    return fail(l, err, tag, "'{% raw %}' is never closed");
}

static bool lex_comment(struct cv_tmpl_lexer *l, size_t tag, struct cv_error *err)
{
    for (size_t i = l->pos; i + 1 < l->n; i++) {
        if (l->src[i] == '#' && l->src[i + 1] == '}') {
            const char sign = i > l->pos ? sign_at(l, i - 1) : '\0';
            end_tag(l, i + 2, sign, true);
            return true;
        }
    }
    return fail(l, err, tag, "this comment is never closed");
}

/* Outside of tags. *again: nothing came of it (a comment, an empty text); ask again. */
static bool lex_text(struct cv_tmpl_lexer *l, struct cv_tmpl_token *out, bool *again, struct cv_error *err)
{
    const size_t start = l->pos;
    size_t tag = start;
    for (; tag < l->n; tag++) {
        const char *brace = memchr(l->src + tag, '{', l->n - tag);
        tag = brace == NULL ? l->n : (size_t)(brace - l->src);
        const char c = peek(l, tag + 1);
        if (c == '{' || c == '%' || c == '#')
            break;
    }
    *again = false;
    if (tag >= l->n) {
        *out = (struct cv_tmpl_token){.kind = start < l->n ? CV_TOK_TEXT : CV_TOK_END, .at = (uint32_t)start};
        out->len = (uint32_t)(l->n - start);
        l->pos = l->n;
        return true;
    }
    const char kind = l->src[tag + 1], sign = sign_at(l, tag + 2);
    const size_t end = strip_text(l, start, tag, sign, kind == '{');
    l->pos = tag;
    if (end > start) {
        /* the text first; the tag when we are asked again, and then there is no text before it */
        *out = (struct cv_tmpl_token){.kind = CV_TOK_TEXT, .at = (uint32_t)start, .len = (uint32_t)(end - start)};
        return true;
    }
    const size_t inside = tag + 2 + (sign != '\0');
    l->pos = inside;
    if (kind == '#') {
        *again = true;
        return lex_comment(l, tag, err);
    }
    size_t tag_end;
    char raw_sign;
    if (kind == '%' && is_raw(l, inside, "raw", &tag_end, &raw_sign) && raw_sign != '+') {
        end_tag(l, tag_end, raw_sign, false);
        if (!lex_raw(l, out, tag, err))
            return false;
        *again = out->len == 0;
        return true;
    }
    l->state = kind == '{' ? CV_LEX_PRINT : CV_LEX_BLOCK;
    *out = (struct cv_tmpl_token){.kind = kind == '{' ? CV_TOK_PRINT_BEGIN : CV_TOK_BLOCK_BEGIN, .at = (uint32_t)tag};
    out->len = (uint32_t)(inside - tag);
    return true;
}

/* The character that a backslash in a string stands for; pos is behind the backslash. */
static bool unescape(struct cv_tmpl_lexer *l, size_t *pos, char **w, struct cv_error *err)
{
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    const size_t at = *pos;
    const char c = l->src[(*pos)++];
    const char *simple = c != '\0' ? strchr(from, c) : NULL;
    if (simple != NULL) {
        *(*w)++ = to[simple - from];
        return true;
    }
    if (c == '\n')
        return true;
    uint32_t cp = 0;
    if (c >= '0' && c <= '7') {
        *pos = at;
        for (int i = 0; i < 3 && peek(l, *pos) >= '0' && peek(l, *pos) <= '7'; i++)
            cp = cp * 8 + (uint32_t)(l->src[(*pos)++] - '0');
    } else if (c == 'x' || c == 'u' || c == 'U') {
        const int n = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        for (int i = 0; i < n; i++) {
            const char h = peek(l, *pos);
            const int v = digit(h)               ? h - '0'
                          : h >= 'a' && h <= 'f' ? h - 'a' + 10
                          : h >= 'A' && h <= 'F' ? h - 'A' + 10
                                                 : -1;
            if (v < 0)
                return fail(l, err, at - 1, "this escape needs more hexadecimal digits");
            cp = cp * 16 + (uint32_t)v;
            (*pos)++;
        }
    } else if (c == 'N') {
        return cv_tmpl_fail_at(err, CV_ERR_UNSUPPORTED, l->src, l->n, at - 1,
                               "characters by name (\\N) are not supported");
    } else {
        *(*w)++ = '\\';
        *(*w)++ = c;
        return true;
    }
    const size_t used = cv_utf8_encode(cp, *w);
    if (used == 0)
        return fail(l, err, at - 1, "this escape names no Unicode character");
    *w += used;
    return true;
}

static bool lex_string(struct cv_tmpl_lexer *l, struct cv_tmpl_token *out, struct cv_error *err)
{
    const size_t start = l->pos;
    const char quote = l->src[start];
    size_t end = start + 1;
    bool plain = true;
    while (end < l->n && l->src[end] != quote) {
        if (l->src[end] == '\\') {
            plain = false;
            end++;
        }
        end++;
    }
    if (end >= l->n)
        return fail(l, err, start, "this string is never closed");
    out->kind = CV_TOK_CONST;
    l->pos = end + 1;
    if (plain) {
        out->value = cv_value_str_view(l->src + start + 1, end - start - 1);
        return true;
    }
    /* no escape is longer than what it stands for, but \N, which we refuse */
    char *text = cv_arena_alloc(&l->values->arena, end - start), *w = text;
    if (text == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for a string of the template");
    for (size_t i = start + 1; i < end;) {
        if (l->src[i] != '\\') {
            *w++ = l->src[i++];
            continue;
        }
        i++;
        if (!unescape(l, &i, &w, err))
            return false;
        if (i > end)
            return fail(l, err, start, "a string ends inside an escape");
    }
    out->value = cv_value_str_view(text, (size_t)(w - text));
    return true;
}

/* Copies the digits of at most 60 characters without underscores; returns where they end. */
static size_t copy_digits(const struct cv_tmpl_lexer *l, size_t at, char *out, size_t *n, bool hex)
{
    for (;; at++) {
        const char c = peek(l, at);
        const bool ok = digit(c) || (hex && ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')));
        if (c == '_' && (digit(peek(l, at + 1)) || hex))
            continue;
        if (!ok)
            return at;
        if (*n < 60)
            out[*n] = c;
        (*n)++;
    }
}

static bool lex_number(struct cv_tmpl_lexer *l, struct cv_tmpl_token *out, struct cv_error *err)
{
    char text[64];
    size_t n = 0, at = l->pos;
    const char second = (char)(peek(l, at + 1) | 0x20);
    int base = 10;
    if (l->src[at] == '0' && (second == 'x' || second == 'o' || second == 'b'))
        base = second == 'x' ? 16 : second == 'o' ? 8 : 2;
    if (base != 10)
        at += 2;
    at = copy_digits(l, at, text, &n, base == 16);
    bool real = false;
    const bool after_dot = l->pos > 0 && l->src[l->pos - 1] == '.';
    if (base == 10 && !after_dot && peek(l, at) == '.' && digit(peek(l, at + 1))) {
        real = true;
        text[n < 60 ? n : 59] = '.';
        n++;
        at = copy_digits(l, at + 1, text, &n, false);
    }
    if (base == 10 && !after_dot && (peek(l, at) == 'e' || peek(l, at) == 'E')) {
        const char sign = sign_at(l, at + 1);
        const size_t digits = at + 1 + (sign != '\0');
        if (digit(peek(l, digits))) {
            real = true;
            if (n < 58) {
                text[n++] = 'e';
                text[n++] = sign != '\0' ? sign : '+';
            } else {
                n = 64;
            }
            at = copy_digits(l, digits, text, &n, false);
        }
    }
    if (n >= 60)
        return cv_tmpl_fail_at(err, CV_ERR_LIMIT, l->src, l->n, l->pos, "a number with too many digits");
    text[n] = '\0';
    out->kind = CV_TOK_CONST;
    char *rest;
    errno = 0;
    out->value = real ? cv_value_double(strtod(text, &rest)) : cv_value_int((int64_t)strtoll(text, &rest, base));
    if (*rest != '\0' || n == 0)
        return fail(l, err, l->pos, "not a number");
    if (!real && errno == ERANGE)
        return cv_tmpl_fail_at(err, CV_ERR_LIMIT, l->src, l->n, l->pos, "%s does not fit into 64 bits", text);
    l->pos = at;
    return true;
}

/* Longest first. */
static const struct {
    const char *text;
    enum cv_tmpl_tok kind;
} operators[] = {
    {"//", CV_TOK_FLOORDIV}, {"**", CV_TOK_POW},   {"==", CV_TOK_EQ},       {"!=", CV_TOK_NE},
    {">=", CV_TOK_GE},       {"<=", CV_TOK_LE},    {"+", CV_TOK_ADD},       {"-", CV_TOK_SUB},
    {"*", CV_TOK_MUL},       {"/", CV_TOK_DIV},    {"%", CV_TOK_MOD},       {"~", CV_TOK_TILDE},
    {"<", CV_TOK_LT},        {">", CV_TOK_GT},     {"=", CV_TOK_ASSIGN},    {".", CV_TOK_DOT},
    {",", CV_TOK_COMMA},     {":", CV_TOK_COLON},  {";", CV_TOK_SEMICOLON}, {"|", CV_TOK_PIPE},
    {"(", CV_TOK_LPAREN},    {")", CV_TOK_RPAREN}, {"[", CV_TOK_LBRACKET},  {"]", CV_TOK_RBRACKET},
    {"{", CV_TOK_LBRACE},    {"}", CV_TOK_RBRACE},
};

static bool lex_operator(struct cv_tmpl_lexer *l, struct cv_tmpl_token *out, struct cv_error *err)
{
    size_t i = 0;
    while (i < CV_COUNT(operators) && !starts(l, l->pos, operators[i].text))
        i++;
    if (i == CV_COUNT(operators)) {
        return cv_tmpl_fail_at(err, CV_ERR_FORMAT, l->src, l->n, l->pos, "unexpected character '%.1s'",
                               l->src + l->pos);
    }
    const char c = operators[i].text[0];
    if (c == '(' || c == '[' || c == '{') {
        if (l->n_open == CV_MAX_TEMPLATE_DEPTH)
            return cv_tmpl_fail_at(err, CV_ERR_LIMIT, l->src, l->n, l->pos, "more than %u open brackets",
                                   CV_MAX_TEMPLATE_DEPTH);
        l->open[l->n_open++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
        if (l->n_open == 0)
            return cv_tmpl_fail_at(err, CV_ERR_FORMAT, l->src, l->n, l->pos, "unexpected '%c'", c);
        if (l->open[--l->n_open] != c)
            return cv_tmpl_fail_at(err, CV_ERR_FORMAT, l->src, l->n, l->pos, "unexpected '%c', expected '%c'", c,
                                   l->open[l->n_open]);
    }
    out->kind = operators[i].kind;
    l->pos += strlen(operators[i].text);
    return true;
}

/* The end of the tag we are in, if it stands at pos. */
static bool lex_tag_end(struct cv_tmpl_lexer *l, struct cv_tmpl_token *out)
{
    const bool print = l->state == CV_LEX_PRINT;
    const char sign = sign_at(l, l->pos);
    const size_t at = l->pos + (sign != '\0');
    if (l->n_open != 0 || !starts(l, at, print ? "}}" : "%}") || (print && sign == '+'))
        return false;
    out->kind = print ? CV_TOK_PRINT_END : CV_TOK_BLOCK_END;
    l->state = CV_LEX_TEXT;
    end_tag(l, at + 2, sign, !print);
    return true;
}

bool cv_tmpl_lex(struct cv_tmpl_lexer *l, struct cv_tmpl_token *out, struct cv_error *err)
{
    bool again = true;
    while (l->state == CV_LEX_TEXT && again) {
        if (!lex_text(l, out, &again, err))
            return false;
        if (!again)
            return true;
    }
    l->pos = skip_blank(l, l->pos);
    *out = (struct cv_tmpl_token){.at = (uint32_t)l->pos};
    if (l->pos >= l->n) {
        if (l->n_open != 0)
            return cv_tmpl_fail_at(err, CV_ERR_FORMAT, l->src, l->n, l->pos, "the template ends where '%c' is expected",
                                   l->open[l->n_open - 1]);
        return fail(l, err, l->pos, "the template ends inside a tag");
    }
    const char c = l->src[l->pos];
    bool ok = true;
    if (lex_tag_end(l, out)) {
        /* out is filled in */
    } else if (digit(c)) {
        ok = lex_number(l, out, err);
    } else if (name_start(c)) {
        size_t end = l->pos;
        while (end < l->n && (name_start(l->src[end]) || digit(l->src[end])))
            end++;
        out->kind = CV_TOK_NAME;
        out->value = cv_value_str_view(l->src + l->pos, end - l->pos);
        l->pos = end;
    } else if (c == '\'' || c == '"') {
        ok = lex_string(l, out, err);
    } else {
        ok = lex_operator(l, out, err);
    }
    out->len = (uint32_t)(l->pos - out->at);
    return ok;
}

const char *cv_tmpl_tok_name(enum cv_tmpl_tok kind)
{
    for (size_t i = 0; i < CV_COUNT(operators); i++) {
        if (operators[i].kind == kind)
            return operators[i].text;
    }
    switch (kind) {
    case CV_TOK_END:
        return "end of the template";
    case CV_TOK_TEXT:
        return "text";
    case CV_TOK_PRINT_BEGIN:
        return "{{";
    case CV_TOK_PRINT_END:
        return "}}";
    case CV_TOK_BLOCK_BEGIN:
        return "{%";
    case CV_TOK_BLOCK_END:
        return "%}";
    case CV_TOK_NAME:
        return "a name";
    default:
        return "a constant";
    }
}
