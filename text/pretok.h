/*
 * pretok.h - the published ways of cutting a text into words before byte-level BPE, by their names in
 * tokenizer.ggml.pre.
 *
 * A pre-tokenizer is a short list of regular expressions. Each cuts every piece that the ones before it left: its
 * matches become pieces, and so does what lies between them.
 */
#ifndef CV_TEXT_PRETOK_H
#define CV_TEXT_PRETOK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum { CV_PRETOK_MAX = 6 };

struct cv_pretok {
    const char *pattern[CV_PRETOK_MAX]; /* NULL behind the last */
    bool ignore_merges;                 /* a word that is a token is that token, whatever the merges say */
    bool add_bos;                       /* where the file does not say */
    bool keep_spaces;                   /* detokenizing never tidies spaces */
    bool no_bos;                        /* there is none, whatever the file says */
    bool raw_text;                      /* SentencePiece-like: characters instead of bytes, U+2581 for a space */
};

const struct cv_pretok *cv_pretok_get(const char *name, size_t n); /* NULL: not known */

struct cv_pretok_code; /* compiled; threads may share it */

bool cv_pretok_compile(struct cv_pretok_code **out, const struct cv_pretok *p, struct cv_error *err);
void cv_pretok_free(struct cv_pretok_code *code);

/* What one thread needs while it splits. A zeroed one is fine. */
struct cv_pretok_scratch {
    void *match, *context, *stack; /* of the regular expression library */
};
void cv_pretok_scratch_fini(struct cv_pretok_scratch *s);

typedef bool cv_word_fn(void *ctx, const char *word, size_t n, struct cv_error *err);

/* Calls fn for each piece of text[0..n), valid UTF-8, in order. CV_ERR_LIMIT, CV_ERR_NOMEM, or what fn says. */
bool cv_pretok_split(const struct cv_pretok_code *code, struct cv_pretok_scratch *scratch, const char *text, size_t n,
                     cv_word_fn *fn, void *ctx, struct cv_error *err);

#endif
