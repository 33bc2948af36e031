/* scheduler_jobs.c - requests inside the scheduler: waiting, given their slots, ended. */
#include "base/clock.h"
#include "base/mem.h"
#include "coordinator/scheduler_internal.h"

static void list_remove(struct cv_job **first, struct cv_job ***last, struct cv_job *j)
{
    struct cv_job **at = first;
    while (*at != j)
        at = &(*at)->next;
    *at = j->next;
    if (*last == &j->next)
        *last = at;
    j->next = NULL;
}

void cv_jobs_append(struct cv_job ***last, struct cv_job *j)
{
    j->next = NULL;
    **last = j;
    *last = &j->next;
}

static void forget_wants(struct cv_scheduler *s, const struct cv_seq *q)
{
    for (struct flight *f = s->first; f != NULL; f = f->next)
        for (uint32_t i = 0; i < f->n_want; i++)
            if (f->want[i].seq == q)
                f->want[i].seq = NULL;
    for (uint32_t i = 0; i < s->n_ask; i++) /* the batch being made */
        if (s->asker[i] == q)
            s->asker[i] = NULL;
}

void cv_scheduler_end_job(struct cv_scheduler *s, struct cv_job *j, const struct cv_error *err)
{
    const struct cv_gen_usage u = cv_job_usage(j);
    for (uint32_t i = 0; j->seq != NULL && i < j->gen->n_choices; i++) {
        if (j->seq[i] == NULL)
            continue;
        forget_wants(s, j->seq[i]);
        if (!j->seq[i]->done)
            cv_slots_give(s->slots, j->seq[i]->slot, j->seq[i]->token, j->seq[i]->n_fed);
    }
    if (j->running) {
        list_remove(&s->running, &s->running_last, j);
    } else {
        list_remove(&s->waiting, &s->waiting_last, j);
        atomic_fetch_sub(&s->n_waiting, 1);
    }
    pthread_mutex_lock(&s->lock);
    s->stats.n_requests++;
    s->stats.n_failed += err != NULL && err->code != CV_ERR_CANCEL;
    s->stats.n_cancelled += err != NULL && err->code == CV_ERR_CANCEL;
    if (j->running) {
        s->stats.n_prompt_tokens += u.n_prompt;
        s->stats.n_cached_tokens += u.n_cached;
        s->stats.n_generated_tokens += u.n_generated;
        s->stats.prompt_s += u.prompt_ms / 1000;
        s->stats.generate_s += u.generate_ms / 1000;
    }
    pthread_mutex_unlock(&s->lock);
    cv_job_end(j, err);
}

void cv_scheduler_end_all(struct cv_scheduler *s, const struct cv_error *err)
{
    while (s->running != NULL)
        cv_scheduler_end_job(s, s->running, err);
    while (s->waiting != NULL)
        cv_scheduler_end_job(s, s->waiting, err);
}

bool cv_scheduler_start_next(struct cv_scheduler *s)
{
    struct cv_job *j = s->waiting;
    if (j == NULL || cv_slots_n_free(s->slots) < j->gen->n_choices || s->n_cmd + j->gen->n_choices > CV_MAX_BATCH_CMDS)
        return false;
    struct cv_error err = {0};
    bool ok = true;
    j->seq = cv_calloc(j->gen->n_choices, sizeof(*j->seq));
    if (j->seq == NULL)
        ok = cv_fail(&err, CV_ERR_NOMEM, "no memory for another request");
    for (uint32_t i = 0; ok && i < j->gen->n_choices; i++)
        ok = cv_seq_new(&j->seq[i], j, j->gen, i, s->o.n_ctx, s->o.vocab, &err);
    if (!ok) {
        for (uint32_t i = 0; j->seq != NULL && i < j->gen->n_choices; i++) {
            cv_seq_free(j->seq[i]);
            j->seq[i] = NULL;
        }
        cv_scheduler_end_job(s, j, &err);
        return true;
    }
    for (uint32_t i = 0; i < j->gen->n_choices; i++) {
        struct cv_seq *q = j->seq[i];
        uint32_t kept = 0;
        q->slot = cv_slots_take(s->slots, q->token, q->n_prompt, &kept, &s->cmd[s->n_cmd]);
        s->n_cmd++;
        if (i == 0)
            j->n_cached = q->n_fed = kept;
        q->waits_for_fork = i > 0;
    }
    list_remove(&s->waiting, &s->waiting_last, j);
    atomic_fetch_sub(&s->n_waiting, 1);
    cv_jobs_append(&s->running_last, j);
    j->running = true;
    j->started_ns = cv_now_ns();
    j->gen->sink.start(j->gen->sink.ctx);
    return true;
}
