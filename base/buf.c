#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

void cv_buf_init(struct cv_buf *b, size_t max)
{
    *b = (struct cv_buf){.max = max};
}

void cv_buf_fini(struct cv_buf *b)
{
    cv_free(b->data);
    *b = (struct cv_buf){.max = b->max};
}

void cv_buf_clear(struct cv_buf *b)
{
    b->len = 0;
    if (b->data != NULL)
        b->data[0] = '\0';
}

bool cv_buf_reserve(struct cv_buf *b, size_t more)
{
    size_t need;
    if (!cv_add_size(b->len, more, &need) || need > b->max || !cv_add_size(need, 1, &need))
        return false;
    if (need <= b->cap)
        return true;
    size_t cap = b->cap < 64 ? 64 : b->cap;
    while (cap < need)
        cap = cap > b->max / 2 ? b->max + 1 : cap * 2;
    char *p = cv_realloc(b->data, cap, 1);
    if (p == NULL)
        return false;
    b->data = p;
    b->cap = cap;
    return true;
}

bool cv_buf_append(struct cv_buf *b, const void *data, size_t n)
{
    if (!cv_buf_reserve(b, n))
        return false;
    if (n != 0)
        memcpy(b->data + b->len, data, n);
    b->len += n;
    b->data[b->len] = '\0';
    return true;
}

bool cv_buf_puts(struct cv_buf *b, const char *s)
{
    return cv_buf_append(b, s, strlen(s));
}

bool cv_buf_putc(struct cv_buf *b, char c)
{
    return cv_buf_append(b, &c, 1);
}

bool cv_buf_printf(struct cv_buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    bool ok = n >= 0 && cv_buf_reserve(b, (size_t)n);
    if (ok) {
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return ok;
}

bool cv_buf_json(struct cv_buf *b, const char *s, size_t n)
{
    const size_t before = b->len;
    bool ok = true;
    for (size_t i = 0; ok && i < n;) {
        unsigned char c = (unsigned char)s[i];
        if (c >= 0x80) {
            uint32_t cp;
            size_t used = cv_utf8_decode(s + i, n - i, &cp);
            ok = used != 0 ? cv_buf_append(b, s + i, used) : cv_buf_append(b, "\xEF\xBF\xBD", 3);
            i += used != 0 ? used : 1;
            continue;
        }
        i++;
        switch (c) {
        case '"':
            ok = cv_buf_append(b, "\\\"", 2);
            break;
        case '\\':
            ok = cv_buf_append(b, "\\\\", 2);
            break;
        case '\n':
            ok = cv_buf_append(b, "\\n", 2);
            break;
        case '\r':
            ok = cv_buf_append(b, "\\r", 2);
            break;
        case '\t':
            ok = cv_buf_append(b, "\\t", 2);
            break;
        default:
            ok = c < 0x20 || c == 0x7f ? cv_buf_printf(b, "\\u%04x", c) : cv_buf_putc(b, (char)c);
        }
    }
    if (!ok) {
        b->len = before;
        if (b->data != NULL)
            b->data[before] = '\0';
    }
    return ok;
}

void cv_buf_shift(struct cv_buf *b, size_t n)
{
    if (n == 0)
        return;
    if (n >= b->len) {
        cv_buf_clear(b);
        return;
    }
    memmove(b->data, b->data + n, b->len - n + 1);
    b->len -= n;
}

char *cv_buf_take(struct cv_buf *b)
{
    char *p = b->data;
    *b = (struct cv_buf){.max = b->max};
    return p;
}
