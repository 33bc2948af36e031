/*
 * detokenize.h - tokens to text: all at once, or as a stream that never shows half a character.
 */
#ifndef CV_TEXT_DETOKENIZE_H
#define CV_TEXT_DETOKENIZE_H

#include "base/buf.h"
#include "text/vocab.h"

enum cv_detok_flags {
    CV_RENDER_SPECIAL = 1, /* control tokens appear as their text */
    CV_REMOVE_SPECIAL = 2, /* cv_detokenize: a BOS at the beginning and an EOS at the end go, if the model adds them */
    CV_CLEAN_SPACES = 4,   /* cv_detokenize: " ." becomes "." and the like, if the model's tokenizer does that */
    CV_CONTINUES = 8       /* cv_detok: what comes continues a text, so its first space stays */
};

/* Appends the bytes of id[0..n); they may be anything. false: out is full or memory is out. */
bool cv_detokenize(const struct cv_vocab *v, const int32_t *id, size_t n, unsigned flags, struct cv_buf *out);

/*
 * One generated text as it comes. What cv_detok_push appends, taken together, is valid UTF-8: a character whose last
 * bytes are still to come is held back, bytes that cannot become one turn into U+FFFD. A generated text goes on where its
 * prompt ended, so pass CV_CONTINUES unless the tokens are a text from its beginning (whose first space SentencePiece
 * models add themselves).
 */
struct cv_detok {
    const struct cv_vocab *vocab; /* borrowed */
    unsigned flags;
    bool begun;
    char held[4];
    size_t n_held;
};

void cv_detok_init(struct cv_detok *d, const struct cv_vocab *v, unsigned flags);
/* Appends what has become certain with this token. false: out is full or memory is out; the token is then lost. */
bool cv_detok_push(struct cv_detok *d, int32_t id, struct cv_buf *out);
/* Nothing more comes: a held beginning of a character becomes U+FFFD. */
bool cv_detok_finish(struct cv_detok *d, struct cv_buf *out);

#endif
