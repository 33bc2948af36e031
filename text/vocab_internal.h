/* vocab_internal.h - the inside of a vocabulary, for the files of this folder that tokenize with it. */
#ifndef CV_TEXT_VOCAB_INTERNAL_H
#define CV_TEXT_VOCAB_INTERNAL_H

#include "base/arena.h"
#include "text/lookup.h"
#include "text/pretok.h"
#include "text/vocab.h"

enum {
    CV_MAX_TOKEN_BYTES = 1 << 16,
    CV_MAX_SPECIAL_BYTES = 256, /* of a token that is searched for in every text */
    CV_MAX_MERGES = 1 << 23
};

/* The ids of special tokens, sorted by their text, to be found as the longest one at a position. */
struct cv_special_set {
    int32_t *id;
    size_t n;
    bool first[256]; /* does one begin with this byte? */
};

struct cv_vocab {
    enum cv_vocab_model model;
    struct cv_vocab_special special;
    struct cv_arena arena; /* all texts and arrays */

    uint32_t n_token;
    struct cv_names text; /* index = id; of equal texts the first is found */
    uint16_t *attr;       /* enum cv_token_attr */
    struct cv_str *piece; /* rendered, control tokens too */
    int32_t *eog;
    size_t n_eog;
    struct cv_special_set all_special;  /* control, unknown and user-defined */
    struct cv_special_set user_special; /* those that any text is searched for */
    int32_t byte_token[256];            /* "<0x41>"; -1 where there is none */

    /* BPE. Symbols are strings of raw bytes: tokens, and what merges pass through without being one. */
    const struct cv_pretok *pretok;
    struct cv_pretok_code *code; /* its compiled patterns */
    bool raw_text;               /* symbols begin as characters, spaces as U+2581; else as bytes */
    struct cv_names symbol;
    int32_t *symbol_token; /* by symbol; -1 */
    uint32_t byte_symbol[256];
    struct cv_merges merges;

    /* SentencePiece */
    uint32_t *rank;       /* by id: 0 for the highest score; equal scores are equal */
    size_t max_token_len; /* bytes */
    bool words;           /* no token goes on past a space, so words can be merged one by one */
};

/* vocab_special.c: the special ids, the attributes that follow from texts, what ends a generation. */
bool cv_vocab_read_special(struct cv_vocab *v, const struct cv_gguf *meta, struct cv_error *err);
/* vocab_special.c: the longest special token at text[0..n), -1 if there is none. */
int32_t cv_special_find(const struct cv_vocab *v, const struct cv_special_set *set, const char *text, size_t n);
bool cv_special_set_init(struct cv_vocab *v, struct cv_special_set *set, unsigned with, unsigned without,
                         struct cv_error *err);
/* vocab_bpe.c: symbols and merges. */
bool cv_vocab_read_bpe(struct cv_vocab *v, const struct cv_gguf *meta, struct cv_error *err);
/* The bytes that a token's text stands for in the alphabet of byte-level BPE; a character outside it stands for itself.
 * out holds text.n bytes. *clean (may be NULL): all characters were of the alphabet. Returns the number of bytes. */
size_t cv_bpe_decode(struct cv_str text, char *out, bool *clean);

#endif
