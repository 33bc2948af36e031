/* tiny_model.h - a small synthetic model, written by the GGUF writer into memory; the same bits everywhere. */
#ifndef CV_TESTS_ENGINE_TINY_MODEL_H
#define CV_TESTS_ENGINE_TINY_MODEL_H

#include "engine/stage.h"

enum { TINY_LAYERS = 3, TINY_EMBD = 64, TINY_VOCAB = 97 };

struct tiny_spec {
    const char *arch;      /* NULL: llama */
    enum cv_dtype type;    /* of the matrices */
    bool tied;             /* no output.weight */
    bool bias;             /* on q, k, v */
    const char *leave_out; /* a tensor that is not written */
    const char *extra;     /* a further tensor of one value */
    const char *extra_key; /* a further u32 key, 1 */
};

struct tiny_model {
    struct cv_buf bytes;
    struct cv_arena arena;
    struct cv_gguf *gguf;
    struct cv_weight_source source;
    int gets, dones; /* calls of the source */
    int fail_at;     /* this get fails; 0: none */
};

void tiny_model_init(struct tiny_model *m, const struct tiny_spec *spec);
void tiny_model_fini(struct tiny_model *m);

#endif
