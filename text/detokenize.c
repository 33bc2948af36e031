#include "text/detokenize.h"

#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/vocab_internal.h"

static const char replacement[3] = {'\xEF', '\xBF', '\xBD'}; /* U+FFFD */

static struct cv_str without_space(struct cv_str s)
{
    if (s.n > 0 && s.p[0] == ' ')
        s = (struct cv_str){.p = s.p + 1, .n = s.n - 1};
    return s;
}

/*
 * Tidying spaces as Hugging Face tokenizers do, in three passes over what the one before left: the space before . , ! ?
 * goes, a lone apostrophe loses the spaces around it, and so does what makes "it 's" of "it's".
 */
static bool before_mark(const char *text, size_t n, size_t at)
{
    (void)n;
    return memchr("?!.,", text[at], 4) != NULL;
}

static bool lone_apostrophe(const char *text, size_t n, size_t at)
{
    return text[at] == '\'' && at + 1 < n && text[at + 1] == ' ';
}

static bool contraction(const char *text, size_t n, size_t at)
{
    if (text[at] != '\'' || at + 1 >= n)
        return false;
    const char next = text[at + 1];
    return next == 's' || next == 'm' || (at + 2 < n && (next == 'r' || next == 'v') && text[at + 2] == 'e');
}

static size_t tidy(char *text, size_t n, bool (*drops)(const char *text, size_t n, size_t at), bool next_too)
{
    size_t to = 0;
    for (size_t at = 0; at < n; at++) {
        const char c = text[at];
        if (at > 0 && text[at - 1] == ' ' && drops(text, n, at)) {
            to--;
            if (next_too)
                text[++at] = '\0'; /* skipped, and no space to what follows */
        }
        text[to++] = c;
    }
    return to;
}

static void clean_spaces(struct cv_buf *b, size_t from)
{
    char *text = b->data + from;
    size_t n = b->len - from;
    n = tidy(text, n, before_mark, false);
    n = tidy(text, n, lone_apostrophe, true);
    n = tidy(text, n, contraction, false);
    b->len = from + n;
    text[n] = '\0';
}

bool cv_detokenize(const struct cv_vocab *v, const int32_t *id, size_t n, unsigned flags, struct cv_buf *out)
{
    const struct cv_vocab_special *s = &v->special;
    const size_t before = out->len;
    bool first = s->add_space_prefix;
    if ((flags & CV_REMOVE_SPECIAL) && s->add_bos && n > 0 && id[0] == s->bos) {
        first = false;
        id++;
        n--;
    }
    if ((flags & CV_REMOVE_SPECIAL) && s->add_eos && n > 0 && id[n - 1] == s->eos)
        n--;
    for (size_t i = 0; i < n; i++) {
        struct cv_str piece = cv_vocab_piece(v, id[i], (flags & CV_RENDER_SPECIAL) != 0);
        if (i == 0 && first)
            piece = without_space(piece);
        if (!cv_buf_append(out, piece.p, piece.n)) {
            out->len = before;
            return false;
        }
    }
    if ((flags & CV_CLEAN_SPACES) && out->len > before && v->model == CV_VOCAB_BPE && !v->pretok->keep_spaces)
        clean_spaces(out, before);
    return true;
}

void cv_detok_init(struct cv_detok *d, const struct cv_vocab *v, unsigned flags)
{
    *d = (struct cv_detok){.vocab = v, .flags = flags};
}

/* Appends text[0..n) as valid UTF-8. */
static bool append_valid(struct cv_buf *out, const char *text, size_t n)
{
    while (n > 0) {
        size_t valid = cv_utf8_valid_prefix(text, n);
        if (!cv_buf_append(out, text, valid))
            return false;
        if (valid == n)
            return true;
        /* as much of a broken character as was valid so far becomes one U+FFFD (Unicode, section 3.9) */
        size_t bad = 1;
        while (valid + bad < n && bad < 3 && cv_utf8_open_tail(text + valid, bad + 1) == bad + 1)
            bad++;
        if (!cv_buf_append(out, replacement, sizeof(replacement)))
            return false;
        text += valid + bad;
        n -= valid + bad;
    }
    return true;
}

bool cv_detok_push(struct cv_detok *d, int32_t id, struct cv_buf *out)
{
    struct cv_str piece = cv_vocab_piece(d->vocab, id, (d->flags & CV_RENDER_SPECIAL) != 0);
    if (!d->begun && !(d->flags & CV_CONTINUES) && d->vocab->special.add_space_prefix)
        piece = without_space(piece);
    if (piece.n > 0)
        d->begun = true;
    char small[256];
    const size_t n = d->n_held + piece.n;
    char *text = n <= sizeof(small) ? small : cv_alloc(n);
    if (text == NULL)
        return false;
    memcpy(text, d->held, d->n_held);
    memcpy(text + d->n_held, piece.p, piece.n);
    const size_t open = cv_utf8_open_tail(text, n), before = out->len;
    bool ok = append_valid(out, text, n - open);
    if (ok) {
        memcpy(d->held, text + n - open, open);
        d->n_held = open;
    } else {
        out->len = before;
    }
    if (text != small)
        cv_free(text);
    return ok;
}

bool cv_detok_finish(struct cv_detok *d, struct cv_buf *out)
{
    bool ok = d->n_held == 0 || cv_buf_append(out, replacement, sizeof(replacement));
    if (ok)
        d->n_held = 0;
    return ok;
}
