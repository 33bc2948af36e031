/*
 * vocab.h - a model's vocabulary: tokens, their kinds, the special ones, and the bytes each stands for.
 *
 * Read once from the metadata of a GGUF file (hostile input), constant afterwards: any number of threads may use one.
 * Two families: byte-level BPE (tokenizer.ggml.model "gpt2", also the raw-text BPE "gemma4") and SentencePiece merges by
 * score ("llama"). Tokenizing is tokenize.h, the way back detokenize.h.
 */
#ifndef CV_TEXT_VOCAB_H
#define CV_TEXT_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "gguf/gguf.h"

struct cv_vocab;

enum cv_vocab_model { CV_VOCAB_BPE, CV_VOCAB_SPM };

/* What a token is: bits, for a few are two things at once (a user-defined token that ends a turn is control as well). */
enum cv_token_attr {
    CV_TOKEN_NORMAL = 1,
    CV_TOKEN_UNKNOWN = 2,
    CV_TOKEN_CONTROL = 4,
    CV_TOKEN_USER = 8, /* user-defined: found in any text before all else */
    CV_TOKEN_UNUSED = 16,
    CV_TOKEN_BYTE = 32,
    CV_TOKEN_EOG = 64,     /* ends a generation */
    CV_TOKEN_LSTRIP = 128, /* swallows white space before it */
    CV_TOKEN_RSTRIP = 256, /* swallows white space behind it */
    CV_TOKEN_NEVER = 512   /* the model's authors want it never to be sampled */
};

/* Ids, -1 where there is none. Every other value is a token of the vocabulary. */
struct cv_vocab_special {
    int32_t bos, eos, eot, eom, unk, sep, pad, mask;
    int32_t nl; /* what "\n" becomes; -1 if nothing */
    bool add_bos, add_eos;
    bool add_space_prefix;
};

/*
 * Copies what it needs out of meta. Errors: CV_ERR_NOT_FOUND (no tokenizer in the file), CV_ERR_UNSUPPORTED (another
 * model, or a pre-tokenizer we do not know: named), CV_ERR_FORMAT and CV_ERR_LIMIT (the key is named), CV_ERR_NOMEM.
 */
bool cv_vocab_new(struct cv_vocab **out, const struct cv_gguf *meta, struct cv_error *err);
void cv_vocab_free(struct cv_vocab *v); /* NULL is fine */

uint32_t cv_vocab_size(const struct cv_vocab *v);
enum cv_vocab_model cv_vocab_model(const struct cv_vocab *v);
const struct cv_vocab_special *cv_vocab_special(const struct cv_vocab *v);

/* The token whose text, as it stands in the file, is text[0..n); -1 if there is none. */
int32_t cv_vocab_find(const struct cv_vocab *v, const char *text, size_t n);

/* The rest takes any id; one outside the vocabulary has no attributes, no text and no bytes. Strings end with a NUL. */
unsigned cv_vocab_attr(const struct cv_vocab *v, int32_t id); /* bits of enum cv_token_attr */
bool cv_vocab_is_eog(const struct cv_vocab *v, int32_t id);
struct cv_str cv_vocab_text(const struct cv_vocab *v, int32_t id); /* as it stands in the file; borrowed */
/* The bytes it adds to a text; perhaps half a character. Control and unknown tokens: none, unless render_special. */
struct cv_str cv_vocab_piece(const struct cv_vocab *v, int32_t id, bool render_special);
/* All ids that end a generation, rising; borrowed. */
const int32_t *cv_vocab_eog(const struct cv_vocab *v, size_t *n);

#endif
