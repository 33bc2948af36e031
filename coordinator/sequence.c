#include "coordinator/sequence.h"

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"

enum { MAX_TOP_LOGPROBS = 64 };

bool cv_seq_new(struct cv_seq **out, struct cv_job *job, const struct cv_gen *gen, uint32_t choice, uint32_t n_ctx,
                const struct cv_vocab *vocab, struct cv_error *err)
{
    struct cv_seq *q = cv_zalloc(sizeof(*q));
    if (q == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for another sequence");
    q->job = job;
    q->choice = choice;
    q->n_prompt = q->n_token = gen->n_prompt;
    q->cap = gen->n_prompt + 64;
    q->token = cv_calloc(q->cap, sizeof(*q->token));
    cv_detok_init(&q->detok, vocab, CV_CONTINUES);
    cv_buf_init(&q->text, CV_MAX_HTTP_BODY);
    cv_buf_init(&q->shown, CV_MAX_HTTP_BODY);
    if (q->token == NULL) {
        cv_seq_free(q);
        return cv_fail(err, CV_ERR_NOMEM, "no memory for a prompt of %u tokens", gen->n_prompt);
    }
    memcpy(q->token, gen->prompt, gen->n_prompt * sizeof(*q->token));
    if (!cv_sampler_new(&q->sampler, &gen->sampling, vocab, choice, n_ctx, err) ||
        !cv_sampler_accept_prompt(q->sampler, gen->prompt, gen->n_prompt, err) ||
        !cv_stop_new(&q->stop, (const char *const *)gen->stop, gen->n_stop, err)) {
        cv_seq_free(q);
        return false;
    }
    *out = q;
    return true;
}

void cv_seq_free(struct cv_seq *q)
{
    if (q == NULL)
        return;
    cv_sampler_free(q->sampler);
    cv_stop_free(q->stop);
    cv_buf_fini(&q->text);
    cv_buf_fini(&q->shown);
    cv_free(q->token);
    cv_free(q);
}

static bool append(struct cv_seq *q, int32_t token, struct cv_error *err)
{
    if (q->n_token == q->cap) {
        int32_t *p = cv_realloc(q->token, (size_t)q->cap * 2, sizeof(*p));
        if (p == NULL)
            return cv_fail(err, CV_ERR_NOMEM, "no memory for more than %u tokens", q->cap);
        q->token = p;
        q->cap *= 2;
    }
    q->token[q->n_token++] = token;
    return true;
}

static float floored(double logprob)
{
    return logprob > (double)CV_LOGPROB_FLOOR ? (float)logprob : CV_LOGPROB_FLOOR; /* also for NaN */
}

/* The last words of a choice: what was held back for a stop string or an unfinished character appears after all. */
static bool flush(struct cv_seq *q, const struct cv_gen *gen, struct cv_error *err)
{
    int hit = -1;
    cv_buf_clear(&q->text);
    cv_buf_clear(&q->shown);
    if (!cv_detok_finish(&q->detok, &q->text) || !cv_stop_push(q->stop, q->text.data, q->text.len, &q->shown, &hit) ||
        !cv_stop_finish(q->stop, &q->shown))
        return cv_fail(err, CV_ERR_NOMEM, "no memory for the text");
    if (q->shown.len > 0) {
        const struct cv_gen_piece piece = {.choice = q->choice, .text = q->shown.data, .n_text = q->shown.len};
        gen->sink.piece(gen->sink.ctx, &piece);
    }
    return true;
}

static void finish(struct cv_seq *q, const struct cv_gen *gen, enum cv_finish why, const char *stop_string)
{
    q->done = true;
    gen->sink.finish(gen->sink.ctx, q->choice, why, stop_string);
}

bool cv_seq_take(struct cv_seq *q, const struct cv_gen *gen, const struct cv_row_result *row, uint32_t n_ctx,
                 struct cv_error *err)
{
    struct cv_pick pick;
    struct cv_token_logprob top[MAX_TOP_LOGPROBS];
    if (gen->max_tokens == 0) {
        finish(q, gen, CV_FINISH_LENGTH, NULL);
        return true;
    }
    if (!cv_sampler_pick(q->sampler, row->cand, row->n_cand, row->lse, &pick, err) ||
        !cv_sampler_accept(q->sampler, pick.token, err))
        return false;
    q->n_generated++;
    if (!gen->sampling.ignore_eos && cv_vocab_is_eog(q->detok.vocab, pick.token)) {
        if (!flush(q, gen, err))
            return false;
        finish(q, gen, CV_FINISH_STOP, NULL);
        return true;
    }
    if (!append(q, pick.token, err))
        return false;

    int hit = -1;
    cv_buf_clear(&q->text);
    cv_buf_clear(&q->shown);
    if (!cv_detok_push(&q->detok, pick.token, &q->text) ||
        !cv_stop_push(q->stop, q->text.data, q->text.len, &q->shown, &hit))
        return cv_fail(err, CV_ERR_NOMEM, "no memory for the text");
    struct cv_gen_piece piece = {.choice = q->choice,
                                 .text = q->shown.len > 0 ? q->shown.data : "",
                                 .n_text = q->shown.len,
                                 .has_token = true,
                                 .token = {.id = pick.token}};
    if (gen->logprobs) {
        piece.token.logprob = floored(pick.logprob);
        piece.top = top;
        for (uint32_t i = 0; i < gen->n_top_logprobs && i < row->n_top && i < MAX_TOP_LOGPROBS; i++, piece.n_top++)
            top[i] = (struct cv_token_logprob){.id = row->cand[i].id,
                                               .logprob = floored((double)row->cand[i].logit - row->lse)};
    }
    gen->sink.piece(gen->sink.ctx, &piece);
    if (hit >= 0) {
        finish(q, gen, CV_FINISH_STOP, gen->stop[hit]);
    } else if (q->n_generated >= gen->max_tokens || q->n_token > n_ctx) {
        if (!flush(q, gen, err))
            return false;
        finish(q, gen, CV_FINISH_LENGTH, NULL);
    }
    return true;
}
