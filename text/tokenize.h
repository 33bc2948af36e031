/*
 * tokenize.h - text to tokens.
 *
 * Special tokens are cut out first (leftmost, longest), then the pieces between them go through the model's own way:
 * byte-level BPE splits them with the published patterns of its pre-tokenizer and merges by rank, SentencePiece merges by
 * score. Time is O(n log n) for whatever text. Bytes that are not UTF-8 are kept as bytes.
 */
#ifndef CV_TEXT_TOKENIZE_H
#define CV_TEXT_TOKENIZE_H

#include "text/vocab.h"

enum cv_tokenize_flags {
    CV_ADD_SPECIAL = 1, /* put BOS and EOS where the model wants them */
    CV_PARSE_SPECIAL =
        2 /* "<|im_end|>" in the text is that token; without it, ten characters. Only for text of ours. */
};

/* A growable list of ids; a zeroed one is empty. */
struct cv_tokens {
    int32_t *id;
    size_t n, cap;
};

bool cv_tokens_push(struct cv_tokens *t, int32_t id); /* false: no memory */
void cv_tokens_clear(struct cv_tokens *t);            /* n = 0; keeps the memory */
void cv_tokens_free(struct cv_tokens *t);

/*
 * Appends the tokens of text[0..n) to out. Errors: CV_ERR_LIMIT (longer than CV_MAX_HTTP_BODY, or a text that the
 * pre-tokenizer's pattern cannot split in bounded time), CV_ERR_NOMEM; out then has the length it had before.
 */
bool cv_tokenize(const struct cv_vocab *v, const char *text, size_t n, unsigned flags, struct cv_tokens *out,
                 struct cv_error *err);

#endif
