/*
 * words.h - a small byte-level BPE vocabulary, made on the spot from a page of English: 256 bytes, merges, three special
 * tokens for chat (ChatML), and unused tokens up to the size asked for.
 */
#ifndef CV_TOOLS_WORDS_H
#define CV_TOOLS_WORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "gguf/gguf.h"

enum { CV_WORDS_LEAST = 256 + 3 };

struct cv_words {
    struct cv_str *token; /* [n] as in the file: bytes stand as printable characters */
    int32_t *type;        /* [n] 1 normal, 3 control, 5 unused */
    bool *plain;          /* [n] prints as letters, digits, punctuation and spaces */
    uint32_t n;
    struct cv_str *merge; /* [n_merge] "left right" */
    uint32_t n_merge;
    uint32_t end_of_text, im_start, im_end;
};

/* n >= CV_WORDS_LEAST tokens. Everything lives in arena. Errors: CV_ERR_NOMEM. */
bool cv_words_make(struct cv_words *out, uint32_t n, struct cv_arena *arena, struct cv_error *err);
/* The pairs tokenizer.* with the chat template. */
bool cv_words_put(const struct cv_words *v, struct cv_gguf_writer *w, struct cv_error *err);

#endif
