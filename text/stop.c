#include "text/stop.h"

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"

/*
 * The automaton of Aho and Corasick (1975) over the stop strings: a node is a beginning of some stop string, the state
 * after each byte is the longest beginning that the text so far ends with. That many bytes are held back.
 */
struct node {
    uint32_t fail;    /* the longest other beginning that this one ends with */
    uint32_t child;   /* first of the list; 0: none */
    uint32_t sibling; /* next child of the parent; 0: none */
    uint32_t depth;
    int32_t stop; /* index of the stop string that ends here, or further up the fail links; -1 */
    unsigned char byte;
};

struct cv_stop {
    struct node *node;
    uint32_t n;
    uint32_t state;
    bool hit;
    char *held; /* the last node[state].depth bytes */
    size_t longest;
};

static uint32_t child_of(const struct cv_stop *s, uint32_t at, unsigned char byte)
{
    uint32_t c = s->node[at].child;
    while (c != 0 && s->node[c].byte != byte)
        c = s->node[c].sibling;
    return c;
}

static uint32_t step(const struct cv_stop *s, uint32_t at, unsigned char byte)
{
    for (;;) {
        uint32_t next = child_of(s, at, byte);
        if (next != 0 || at == 0)
            return next;
        at = s->node[at].fail;
    }
}

static void add(struct cv_stop *s, const char *text, size_t n, int32_t index)
{
    uint32_t at = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t next = child_of(s, at, (unsigned char)text[i]);
        if (next == 0) {
            next = s->n++;
            s->node[next] = (struct node){
                .sibling = s->node[at].child, .depth = (uint32_t)i + 1, .stop = -1, .byte = (unsigned char)text[i]};
            s->node[at].child = next;
        }
        at = next;
    }
    if (s->node[at].stop < 0)
        s->node[at].stop = index;
}

/* Fail links in order of depth: a node's own is found by way of its parent's. */
static bool link_nodes(struct cv_stop *s)
{
    uint32_t *queue = cv_calloc(s->n, sizeof(*queue));
    if (queue == NULL)
        return false;
    size_t n = 0;
    queue[n++] = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t at = queue[i];
        for (uint32_t c = s->node[at].child; c != 0; c = s->node[c].sibling) {
            s->node[c].fail = at == 0 ? 0 : step(s, s->node[at].fail, s->node[c].byte);
            if (s->node[c].stop < 0)
                s->node[c].stop = s->node[s->node[c].fail].stop;
            queue[n++] = c;
        }
    }
    cv_free(queue);
    return true;
}

bool cv_stop_new(struct cv_stop **out, const char *const *text, size_t n, struct cv_error *err)
{
    size_t total = 1, longest = 0;
    if (n > CV_MAX_STOP_STRINGS)
        return cv_fail(err, CV_ERR_LIMIT, "%zu stop strings, at most %u are supported", n, CV_MAX_STOP_STRINGS);
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(text[i]);
        if (len == 0)
            return cv_fail(err, CV_ERR_ARG, "stop string %zu is empty", i);
        if (len > CV_MAX_STOP_BYTES)
            return cv_fail(err, CV_ERR_LIMIT, "stop string %zu has %zu bytes, at most %u are supported", i, len,
                           CV_MAX_STOP_BYTES);
        total += len;
        longest = len > longest ? len : longest;
    }
    struct cv_stop *s = cv_zalloc(sizeof(*s));
    if (s != NULL) {
        s->node = cv_calloc(total, sizeof(*s->node));
        s->held = cv_alloc(longest + 1);
        s->longest = longest;
    }
    if (s == NULL || s->node == NULL || s->held == NULL)
        goto no_memory;
    s->node[0].stop = -1;
    s->n = 1;
    for (size_t i = 0; i < n; i++)
        add(s, text[i], strlen(text[i]), (int32_t)i);
    if (!link_nodes(s))
        goto no_memory;
    *out = s;
    return true;
no_memory:
    cv_stop_free(s);
    return cv_fail(err, CV_ERR_NOMEM, "stop strings: out of memory");
}

void cv_stop_free(struct cv_stop *s)
{
    if (s == NULL)
        return;
    cv_free(s->node);
    cv_free(s->held);
    cv_free(s);
}

/* The first n bytes of held and text[0..n_text), taken together, are let go. */
static bool let_go(const struct cv_stop *s, size_t n_held, const char *text, size_t n, struct cv_buf *out)
{
    size_t from_held = n < n_held ? n : n_held;
    return cv_buf_reserve(out, n) && cv_buf_append(out, s->held, from_held) && cv_buf_append(out, text, n - from_held);
}

bool cv_stop_push(struct cv_stop *s, const char *text, size_t n, struct cv_buf *out, int *hit)
{
    *hit = -1;
    if (s->hit || n == 0)
        return true;
    const size_t n_held = s->node[s->state].depth;
    uint32_t state = s->state;
    for (size_t i = 0; i < n; i++) {
        state = step(s, state, (unsigned char)text[i]);
        if (s->node[state].stop < 0)
            continue;
        /* the whole state may be longer than the stop string it ends with */
        uint32_t at = state;
        while (s->node[s->node[at].fail].stop == s->node[state].stop)
            at = s->node[at].fail;
        if (!let_go(s, n_held, text, n_held + i + 1 - s->node[at].depth, out))
            return false;
        *hit = (int)s->node[state].stop;
        s->hit = true;
        s->state = 0;
        return true;
    }
    const size_t keep = s->node[state].depth;
    if (!let_go(s, n_held, text, n_held + n - keep, out))
        return false;
    if (keep <= n) {
        memcpy(s->held, text + n - keep, keep);
    } else {
        memmove(s->held, s->held + n_held - (keep - n), keep - n);
        memcpy(s->held + keep - n, text, n);
    }
    s->state = state;
    return true;
}

bool cv_stop_finish(struct cv_stop *s, struct cv_buf *out)
{
    size_t n = s->hit ? 0 : s->node[s->state].depth;
    if (!cv_buf_append(out, s->held, n))
        return false;
    s->state = 0;
    return true;
}
