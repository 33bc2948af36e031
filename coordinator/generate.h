/*
 * generate.h - one request for tokens, from the API to the scheduler and back.
 *
 * The API builds a struct cv_gen (prompt as tokens, sampling, limits), submits it, and is called back through its sink
 * by the scheduler's thread: text as it comes, one finish per choice, one end. Whatever happens (cancelled, no cluster,
 * an error in the middle), end is called exactly once, and after it the scheduler never touches the sink again.
 */
#ifndef CV_COORDINATOR_GENERATE_H
#define CV_COORDINATOR_GENERATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "text/sampler.h"

enum cv_finish { CV_FINISH_STOP, CV_FINISH_LENGTH, CV_FINISH_CANCEL };

struct cv_token_logprob {
    int32_t id;
    float logprob; /* of the raw logits, before any sampler; never -inf (CV_LOGPROB_FLOOR) */
};

#define CV_LOGPROB_FLOOR (-9999.0f)

/* One generated token and what it adds to the text. */
struct cv_gen_piece {
    uint32_t choice;
    const char *text; /* valid UTF-8; may be empty: held back for a stop string or an unfinished character */
    size_t n_text;
    struct cv_token_logprob token;       /* logprob is set when logprobs were asked for */
    const struct cv_token_logprob *top;  /* n_top of them, falling */
    uint32_t n_top;
    bool has_token; /* false for a flush of held-back text at the end */
};

struct cv_gen_usage {
    uint32_t n_prompt, n_cached, n_generated; /* n_generated: all choices together */
    double queue_ms, prompt_ms, generate_ms;
};

/* Called on the scheduler's thread; must not block. */
struct cv_gen_sink {
    void *ctx;
    /* The request has a slot and its prompt begins to run (headers can be sent). */
    void (*start)(void *ctx);
    void (*piece)(void *ctx, const struct cv_gen_piece *piece);
    /* stop_string: the one that matched, or NULL. */
    void (*finish)(void *ctx, uint32_t choice, enum cv_finish why, const char *stop_string);
    /* err is NULL when all choices finished. The last call of all. */
    void (*end)(void *ctx, const struct cv_gen_usage *usage, const struct cv_error *err);
};

struct cv_gen {
    int32_t *prompt; /* n_prompt > 0 tokens; owned */
    uint32_t n_prompt;
    uint32_t n_choices;      /* 1.. */
    uint32_t max_tokens;     /* per choice; UINT32_MAX: until the context ends */
    bool logprobs;           /* fill in token.logprob */
    uint32_t n_top_logprobs; /* and that many alternatives */
    struct cv_sampling sampling;
    struct cv_bias *bias; /* what sampling.bias points at; owned */
    char **breaker;       /* n_breaker strings that sampling.dry_breaker may point at; owned */
    uint32_t n_breaker;
    char **stop;          /* n_stop strings; owned */
    uint32_t n_stop;
    struct cv_gen_sink sink;
};

struct cv_gen *cv_gen_new(void);
void cv_gen_free(struct cv_gen *g); /* NULL is fine */

#endif
