/* fuzz_api.c - the body of a request, up to the tokens of its prompts and what the scheduler would be given. */
#include <stdlib.h>

#include "coordinator/api_ask.h"
#include "tests/coordinator/served.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* The first byte chooses the route; the rest is the body. */
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static struct cv_served served;
    static struct cv_sampling defaults;
    struct cv_error err;
    if (served.vocab == NULL) {
        if (!served_init(&served, &err))
            abort();
        cv_sampling_defaults(&defaults);
    }
    if (size == 0)
        return 0;
    const struct cv_ask_limits limits = {
        .n_slots = SERVED_SLOTS, .n_vocab = served.hparams.n_vocab, .vocab = served.vocab, .defaults = &defaults};
    const enum cv_ask_kind kind = data[0] & 1 ? CV_ASK_COMPLETION : CV_ASK_CHAT;
    struct cv_api_ask a;
    struct cv_api_error e = {0};
    bool ok = cv_api_ask_read(&a, kind, data + 1, size - 1, &limits, &e);
    const uint32_t n = ok ? cv_api_n_prompts(&a) : 0;
    for (uint32_t i = 0; ok && i < n; i++) {
        struct cv_tokens t = {0};
        struct cv_buf text;
        cv_buf_init(&text, 1 << 20);
        ok = cv_api_prompt(&a, i, &served, &t, &text, &e);
        if (ok) {
            if (t.n == 0 || t.n > served.n_ctx)
                abort();
            struct cv_gen *g = cv_api_gen(&a, &t);
            if (g == NULL || g->n_choices == 0 || g->n_choices > SERVED_SLOTS)
                abort();
            cv_gen_free(g);
        }
        cv_tokens_free(&t);
        cv_buf_fini(&text);
    }
    if (!ok) { /* an error always has a status and words, and its own JSON */
        struct cv_buf body;
        cv_buf_init(&body, 16384);
        if (e.status < 400 || e.message[0] == '\0' || !cv_api_error_json(&e, &body))
            abort();
        cv_buf_fini(&body);
    }
    cv_api_ask_fini(&a);
    return 0;
}
