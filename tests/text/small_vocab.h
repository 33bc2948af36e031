/* small_vocab.h - vocabularies for tests, written as GGUF metadata and read back the ordinary way. */
#ifndef CV_TESTS_TEXT_SMALL_VOCAB_H
#define CV_TESTS_TEXT_SMALL_VOCAB_H

#include "text/vocab.h"

/* Byte-level BPE: the 256 bytes (ids 0..255), a few dozen English merges, then the special tokens below. */
enum { SMALL_EXTRA = 16 };
struct small_vocab_options {
    int32_t never;                     /* > 0: this token is never to be sampled */
    const char *pre;                   /* NULL: gpt-2 */
    const char *special[SMALL_EXTRA];  /* further tokens, NULL behind the last */
    int32_t special_type[SMALL_EXTRA]; /* of the file format: 3 control, 4 user-defined */
    const char *name;                  /* general.name; NULL: none */
    bool spm;                          /* SentencePiece instead: <unk> <s> </s>, 256 byte tokens, pieces by score */
};
/* NULL: err says why. */
struct cv_vocab *small_vocab(const struct small_vocab_options *o, struct cv_error *err);

/* A vocabulary out of any metadata: a finished GGUF header. */
struct cv_vocab *vocab_of(struct cv_gguf_writer *w, struct cv_error *err);

#endif
