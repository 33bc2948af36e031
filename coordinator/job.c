#include "coordinator/job.h"

#include "base/clock.h"
#include "base/mem.h"

struct cv_job *cv_job_new(struct cv_gen *gen, uint64_t id)
{
    struct cv_job *j = cv_zalloc(sizeof(*j));
    if (j == NULL)
        return NULL;
    j->gen = gen;
    j->id = id;
    j->arrived_ns = cv_now_ns();
    return j;
}

struct cv_gen_usage cv_job_usage(const struct cv_job *j)
{
    struct cv_gen_usage u = {.n_prompt = j->gen->n_prompt, .n_cached = j->n_cached};
    const uint64_t now = cv_now_ns();
    for (uint32_t i = 0; j->seq != NULL && i < j->gen->n_choices; i++)
        u.n_generated += j->seq[i] == NULL ? 0 : j->seq[i]->n_generated;
    const uint64_t started = j->started_ns == 0 ? now : j->started_ns;
    const uint64_t first = j->first_token_ns == 0 ? now : j->first_token_ns;
    u.queue_ms = (double)(started - j->arrived_ns) * 1e-6;
    u.prompt_ms = (double)(first - started) * 1e-6;
    u.generate_ms = (double)(now - first) * 1e-6;
    return u;
}

void cv_job_end(struct cv_job *j, const struct cv_error *err)
{
    const struct cv_gen_usage u = cv_job_usage(j);
    j->gen->sink.end(j->gen->sink.ctx, &u, err);
    for (uint32_t i = 0; j->seq != NULL && i < j->gen->n_choices; i++)
        cv_seq_free(j->seq[i]);
    cv_free(j->seq);
    cv_gen_free(j->gen);
    cv_free(j);
}
