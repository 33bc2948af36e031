#include "coordinator/scheduler.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "coordinator/scheduler_internal.h"

enum { EVENTS = 8192, TICK_MS = 50 };

enum event_kind { EV_SUBMIT, EV_CANCEL, EV_RESULT, EV_LOST, EV_BEGIN, EV_END, EV_STOP };

struct event {
    enum event_kind kind;
    uint64_t id; /* CANCEL: of the job; RESULT, LOST: of the epoch */
    struct cv_job *job;
    struct cv_msg *msg;
    struct cv_pipeline *pipeline;
    struct cv_error err;
};

/* Every running sequence is as if nothing of it had ever been fed; what it has generated stays. */
static void rewind_all(struct cv_scheduler *s)
{
    uint64_t n_rerun = 0;
    while (s->first != NULL) {
        struct flight *f = s->first;
        s->first = f->next;
        cv_free(f);
    }
    s->last = &s->first;
    s->n_flight = 0;
    s->n_cmd = 0;
    cv_slots_forget(s->slots);
    for (struct cv_job *j = s->running; j != NULL; j = j->next)
        for (uint32_t i = 0; i < j->gen->n_choices; i++) {
            struct cv_seq *q = j->seq[i];
            n_rerun += q->done ? 0 : q->n_fed;
            q->n_fed = 0;
            q->awaited = false;
        }
    pthread_mutex_lock(&s->lock);
    s->stats.n_rerun_tokens += n_rerun;
    pthread_mutex_unlock(&s->lock);
}

/* From now on there is no epoch, and really since the moment from which on a result was overdue: a node that went
 * silent is found out late, and those who wait have waited since then. */
static void go_down(struct cv_scheduler *s, const struct cv_error *why)
{
    s->down_since_ms = cv_now_ms();
    if (s->first != NULL)
        s->down_since_ms = s->first->sent_ms > s->result_ms ? s->first->sent_ms : s->result_ms;
    s->down_why = *why;
    atomic_store(&s->hope, true);
    rewind_all(s);
}

static void fail_epoch(struct cv_scheduler *s, const struct cv_error *why)
{
    if (s->broken || s->pipeline == NULL)
        return;
    cv_log(CV_LOG_WARN, "epoch %" PRIu64 " is broken: %s", s->pipeline->epoch, why->msg);
    s->broken = true;
    go_down(s, why);
    s->o.on_failure(s->o.ctx, s->pipeline->epoch, why);
}

static void post(struct cv_scheduler *s, const struct event *e)
{
    struct event *copy = cv_alloc(sizeof(*copy));
    if (copy == NULL)
        return;
    *copy = *e;
    if (cv_queue_push(s->events, copy, -1) != CV_QUEUE_OK) {
        cv_msg_free(copy->msg);
        cv_free(copy);
    }
}

static void *receive(void *arg)
{
    struct cv_scheduler *s = arg;
    struct cv_pipeline *p = s->pipeline;
    for (;;) {
        struct event e = {.kind = EV_RESULT, .id = p->epoch};
        if (!cv_pull_recv(p->pull, &e.msg, -1, &e.err))
            e.kind = EV_LOST;
        post(s, &e);
        if (e.kind == EV_LOST)
            return NULL;
    }
}

static void epoch_begin(struct cv_scheduler *s, struct cv_pipeline *p)
{
    s->pipeline = p;
    s->broken = false;
    rewind_all(s);
    /* The stages are empty: every running sequence begins again, in the slot it has. */
    for (struct cv_job *j = s->running; j != NULL; j = j->next)
        for (uint32_t i = 0; i < j->gen->n_choices && s->n_cmd < CV_MAX_BATCH_CMDS; i++)
            if (!j->seq[i]->done)
                s->cmd[s->n_cmd++] = (struct cv_cmd){.op = CV_CMD_NEW, .slot = j->seq[i]->slot};
    s->receiver_started = pthread_create(&s->receiver, NULL, receive, s) == 0;
    if (!s->receiver_started) {
        struct cv_error err;
        cv_fail(&err, CV_ERR_NOMEM, "could not start a thread");
        fail_epoch(s, &err);
    }
}

static void epoch_end(struct cv_scheduler *s, const struct cv_error *why)
{
    if (s->pipeline != NULL) {
        if (!s->broken)
            go_down(s, why);
        cv_pull_shutdown(s->pipeline->pull);
        /* The receiver may be waiting for room in the queue that we are not emptying just now. */
        if (s->receiver_started) {
            void *item;
            while (cv_queue_len(s->events) > EVENTS / 2 && cv_queue_pop(s->events, &item, 0) == CV_QUEUE_OK) {
                struct event *e = item;
                if (e->kind == EV_RESULT || e->kind == EV_LOST) {
                    cv_msg_free(e->msg);
                    cv_free(e);
                } else if (cv_queue_push(s->events, e, 0) != CV_QUEUE_OK) {
                    cv_free(e);
                }
            }
            pthread_join(s->receiver, NULL);
        }
        s->receiver_started = false;
        s->pipeline = NULL;
        s->broken = false;
    }
    pthread_mutex_lock(&s->lock);
    s->released++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static struct cv_job *find_job(struct cv_scheduler *s, uint64_t id)
{
    for (struct cv_job *j = s->running; j != NULL; j = j->next)
        if (j->id == id)
            return j;
    for (struct cv_job *j = s->waiting; j != NULL; j = j->next)
        if (j->id == id)
            return j;
    return NULL;
}

/* false: stop. */
static bool handle(struct cv_scheduler *s, struct event *e)
{
    struct cv_error err = {0};
    struct cv_job *j;
    switch (e->kind) {
    case EV_SUBMIT:
        cv_jobs_append(&s->waiting_last, e->job);
        break;
    case EV_CANCEL:
        j = find_job(s, e->id);
        cv_fail(&err, CV_ERR_CANCEL, "the client went away");
        if (j != NULL)
            cv_scheduler_end_job(s, j, &err);
        break;
    case EV_RESULT:
        if (s->pipeline != NULL && !s->broken && e->id == s->pipeline->epoch &&
            !cv_scheduler_take_results(s, e->msg, &err))
            fail_epoch(s, &err);
        cv_msg_free(e->msg);
        break;
    case EV_LOST:
        if (s->pipeline != NULL && e->id == s->pipeline->epoch && e->err.code != CV_ERR_CANCEL) {
            cv_wrap(&e->err, "from the last stage");
            fail_epoch(s, &e->err);
        }
        break;
    case EV_BEGIN:
        epoch_begin(s, e->pipeline);
        break;
    case EV_END:
        epoch_end(s, &e->err);
        break;
    case EV_STOP:
        return false;
    }
    return true;
}

static void check_times(struct cv_scheduler *s)
{
    const uint64_t now = cv_now_ms();
    struct cv_error err = {0};
    if (s->first != NULL && now - s->first->sent_ms > s->o.batch_timeout_ms) {
        cv_fail(&err, CV_ERR_TIMEOUT, "no result for %.0f s", (double)(now - s->first->sent_ms) / 1000);
        fail_epoch(s, &err);
    }
    const uint32_t patience_ms = atomic_load(&s->hope) ? s->o.hope_timeout_ms : s->o.heal_timeout_ms;
    if ((s->pipeline == NULL || s->broken) && now - s->down_since_ms > patience_ms &&
        (s->running != NULL || s->waiting != NULL)) {
        cv_fail(&err, CV_ERR_BUSY, "the cluster cannot serve just now: %.400s", s->down_why.msg);
        cv_scheduler_end_all(s, &err);
    }
}

static void publish(struct cv_scheduler *s)
{
    uint32_t n_running = 0, n_waiting = 0;
    for (struct cv_job *j = s->running; j != NULL; j = j->next)
        n_running++;
    for (struct cv_job *j = s->waiting; j != NULL; j = j->next)
        n_waiting++;
    pthread_mutex_lock(&s->lock);
    s->stats.n_running = n_running;
    s->stats.n_waiting = n_waiting;
    s->stats.n_slots = s->o.n_slots;
    s->stats.n_slots_busy = s->o.n_slots - cv_slots_n_free(s->slots);
    pthread_mutex_unlock(&s->lock);
}

static void run_batches(struct cv_scheduler *s)
{
    struct cv_error err = {0};
    while (s->pipeline != NULL && !s->broken && s->n_flight < s->pipeline->n_stage + 1) {
        while (cv_scheduler_start_next(s))
            continue;
        if (!cv_scheduler_fill_batch(s))
            return;
        if (!cv_scheduler_send_batch(s, &err))
            fail_epoch(s, &err);
    }
}

static void *scheduler_main(void *arg)
{
    struct cv_scheduler *s = arg;
    for (bool on = true; on;) {
        void *item;
        enum cv_queue_status status = cv_queue_pop(s->events, &item, TICK_MS);
        while (on && status == CV_QUEUE_OK) {
            struct event *e = item;
            on = handle(s, e);
            cv_free(e);
            status = on ? cv_queue_pop(s->events, &item, 0) : CV_QUEUE_CLOSED;
        }
        check_times(s);
        run_batches(s);
        publish(s);
    }
    return NULL;
}

bool cv_scheduler_new(struct cv_scheduler **out, const struct cv_scheduler_options *options, struct cv_error *err)
{
    struct cv_scheduler *s = cv_zalloc(sizeof(*s));
    if (s == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "scheduler: out of memory");
    s->o = *options;
    s->waiting_last = &s->waiting;
    s->running_last = &s->running;
    s->last = &s->first;
    s->down_since_ms = cv_now_ms();
    cv_fail(&s->down_why, CV_ERR_BUSY, "the model is not loaded yet");
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    s->events = cv_queue_new(EVENTS);
    s->row = cv_calloc(options->n_batch, sizeof(*s->row));
    s->ask = cv_calloc(options->n_slots, sizeof(*s->ask));
    s->asker = cv_calloc(options->n_slots, sizeof(*s->asker));
    s->id = cv_calloc(CV_MAX_BATCH_IDS, sizeof(*s->id));
    s->whole = cv_calloc((size_t)cv_vocab_size(options->vocab) + 64, sizeof(*s->whole));
    if (s->events == NULL || s->row == NULL || s->ask == NULL || s->asker == NULL || s->id == NULL ||
        s->whole == NULL) {
        cv_scheduler_free(s);
        return cv_fail(err, CV_ERR_NOMEM, "scheduler: out of memory");
    }
    if (!cv_slots_new(&s->slots, options->n_slots, err)) {
        cv_scheduler_free(s);
        return false;
    }
    s->thread_started = pthread_create(&s->thread, NULL, scheduler_main, s) == 0;
    if (!s->thread_started) {
        cv_scheduler_free(s);
        return cv_fail(err, CV_ERR_NOMEM, "scheduler: could not start a thread");
    }
    *out = s;
    return true;
}

void cv_scheduler_free(struct cv_scheduler *s)
{
    if (s == NULL)
        return;
    struct cv_error err;
    cv_fail(&err, CV_ERR_CANCEL, "the server is stopping");
    if (s->thread_started) {
        post(s, &(struct event){.kind = EV_STOP});
        pthread_join(s->thread, NULL);
        /* Twice: a client may go away (CANCEL) while the answers are given. */
        for (int round = 0; round < 2; round++) {
            void *item;
            while (cv_queue_pop(s->events, &item, 0) == CV_QUEUE_OK) {
                struct event *e = item;
                if (e->kind == EV_SUBMIT)
                    cv_jobs_append(&s->waiting_last, e->job);
                cv_msg_free(e->msg);
                cv_free(e);
            }
            cv_scheduler_end_all(s, &err);
        }
    }
    cv_slots_free(s->slots);
    cv_queue_free(s->events);
    cv_free(s->row);
    cv_free(s->ask);
    cv_free(s->asker);
    cv_free(s->id);
    cv_free(s->whole);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    cv_free(s);
}

bool cv_scheduler_submit(struct cv_scheduler *s, struct cv_gen *g, uint64_t *id, struct cv_error *err)
{
    if (g->n_prompt == 0)
        return cv_fail(err, CV_ERR_ARG, "the prompt is empty");
    if (g->n_prompt > s->o.n_ctx)
        return cv_fail(err, CV_ERR_LIMIT, "the prompt has %u tokens, the context holds %u", g->n_prompt, s->o.n_ctx);
    if (g->n_choices == 0 || g->n_choices > s->o.n_slots || g->n_choices > CV_MAX_CHOICES)
        return cv_fail(err, CV_ERR_ARG, "%u choices, with %u slots", g->n_choices, s->o.n_slots);
    if (atomic_fetch_add(&s->n_waiting, 1) >= s->o.max_waiting) {
        atomic_fetch_sub(&s->n_waiting, 1);
        return cv_fail(err, CV_ERR_BUSY, "%u requests are waiting already", s->o.max_waiting);
    }
    *id = atomic_fetch_add(&s->next_id, 1) + 1;
    struct cv_job *j = cv_job_new(g, *id);
    struct event *e = j == NULL ? NULL : cv_alloc(sizeof(*e));
    if (e != NULL)
        *e = (struct event){.kind = EV_SUBMIT, .job = j};
    if (e == NULL || cv_queue_push(s->events, e, 0) != CV_QUEUE_OK) {
        cv_free(e);
        cv_free(j);
        atomic_fetch_sub(&s->n_waiting, 1);
        return cv_fail(err, CV_ERR_BUSY, "no room for another request");
    }
    return true;
}

void cv_scheduler_cancel(struct cv_scheduler *s, uint64_t id)
{
    post(s, &(struct event){.kind = EV_CANCEL, .id = id});
}

void cv_scheduler_epoch_begin(struct cv_scheduler *s, struct cv_pipeline *p)
{
    post(s, &(struct event){.kind = EV_BEGIN, .pipeline = p});
}

void cv_scheduler_epoch_end(struct cv_scheduler *s, const struct cv_error *why)
{
    pthread_mutex_lock(&s->lock);
    const uint64_t before = s->released;
    pthread_mutex_unlock(&s->lock);
    post(s, &(struct event){.kind = EV_END, .err = *why});
    pthread_mutex_lock(&s->lock);
    while (s->released == before)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

void cv_scheduler_hope(struct cv_scheduler *s, bool there_is)
{
    atomic_store(&s->hope, there_is);
}

void cv_scheduler_stats(struct cv_scheduler *s, struct cv_scheduler_stats *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->stats;
    pthread_mutex_unlock(&s->lock);
}

bool cv_scheduler_idle(struct cv_scheduler *s)
{
    struct cv_scheduler_stats now;
    cv_scheduler_stats(s, &now);
    return now.n_running == 0 && now.n_waiting == 0 && atomic_load(&s->n_waiting) == 0;
}
