/*
 * api_ask.h - the body of a request, read and checked: every field of it that we know, with its range.
 *
 * Unknown keys are ignored, as the clients expect; null counts as absent. A field that we know and cannot honour is
 * refused by name. Pure: no sockets, no threads, so that it can be fuzzed.
 */
#ifndef CV_COORDINATOR_API_ASK_H
#define CV_COORDINATOR_API_ASK_H

#include "coordinator/api_error.h"
#include "coordinator/generate.h"
#include "coordinator/model.h"

struct json_t;

enum cv_ask_kind { CV_ASK_CHAT, CV_ASK_COMPLETION };

struct cv_api_ask { /* zeroed is empty */
    enum cv_ask_kind kind;
    struct json_t *root;
    const struct json_t *messages, *tools, *prompt, *template_kwargs; /* borrowed from root; NULL: absent */
    bool stream, include_usage, echo;
    bool logprobs;
    uint32_t n_top_logprobs;
    uint32_t n_choices;
    uint32_t max_tokens; /* UINT32_MAX: until the context ends */
    struct cv_sampling sampling; /* its chain, bias and breakers point into this struct */
    struct cv_bias *bias;
    const char **breaker;
    const char **stop; /* borrowed from root */
    uint32_t n_stop;
    const char *model; /* borrowed from root; NULL: absent */
};

struct cv_ask_limits {
    uint32_t n_slots, n_vocab;
    const struct cv_vocab *vocab;   /* for biases by text */
    const struct cv_sampling *defaults; /* what the server was started with */
};

/* On failure *e says what to answer; *out is to be freed either way. */
bool cv_api_ask_read(struct cv_api_ask *out, enum cv_ask_kind kind, const void *body, size_t len,
                     const struct cv_ask_limits *limits, struct cv_api_error *e);
void cv_api_ask_fini(struct cv_api_ask *a);

/* How many prompts it has: 1 for a chat. */
uint32_t cv_api_n_prompts(const struct cv_api_ask *a);
/*
 * Prompt i as tokens (the chat's messages through the model's template, or the i-th prompt). text (may be NULL) receives
 * the prompt as text, for echo. Errors: 400s.
 */
bool cv_api_prompt(const struct cv_api_ask *a, uint32_t i, const struct cv_served *m, struct cv_tokens *out,
                   struct cv_buf *text, struct cv_api_error *e);
/* A request for the scheduler, without its sink; takes the tokens on success. */
struct cv_gen *cv_api_gen(const struct cv_api_ask *a, struct cv_tokens *prompt);
/* The chat as the template renders it (for /apply-template). */
bool cv_api_render(const struct cv_api_ask *a, const struct cv_served *m, struct cv_buf *out, struct cv_api_error *e);

#endif
