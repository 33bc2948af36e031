#include "coordinator/scheduler.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/queue.h"
#include "base/select.h"
#include "coordinator/job.h"
#include "coordinator/slots.h"

enum { EVENTS = 8192, TICK_MS = 50, PIPELINED_CHUNK = 128 };

enum event_kind { EV_SUBMIT, EV_CANCEL, EV_RESULT, EV_LOST, EV_BEGIN, EV_END, EV_STOP };

struct event {
    enum event_kind kind;
    uint64_t id; /* CANCEL: of the job; RESULT, LOST: of the epoch */
    struct cv_job *job;
    struct cv_msg *msg;
    struct cv_pipeline *pipeline;
    struct cv_error err;
};

/* A batch that is on its way: which sequence waits for which of its results. */
struct flight {
    uint64_t seq_no, sent_ms;
    uint32_t n_want;
    struct flight *next;
    struct {
        struct cv_seq *seq; /* NULL: it is gone */
        uint32_t slot, pos;
    } want[];
};

struct cv_scheduler {
    struct cv_scheduler_options o;
    struct cv_queue *events;
    pthread_t thread, receiver;
    bool thread_started;
    struct cv_slots *slots;
    struct cv_job *waiting, **waiting_last; /* in order of arrival */
    struct cv_job *running, **running_last;
    uint32_t turn; /* the sequence that is looked at first, so that nobody starves */

    struct cv_pipeline *pipeline; /* NULL: no epoch */
    bool receiver_started, broken;
    uint64_t down_since_ms; /* when the last epoch gave its last sign of life */
    uint64_t result_ms;     /* when the last result came */
    struct cv_error down_why;
    struct flight *first, **last;
    uint32_t n_flight;

    /* the batch being made */
    struct cv_cmd cmd[CV_MAX_BATCH_CMDS];
    uint32_t n_cmd;
    struct cv_row *row;
    struct cv_ask *ask;
    int32_t *id;
    uint32_t n_row, n_ask, n_id;
    struct cv_seq **asker;
    struct cv_candidate *whole; /* [n_vocab]: a whole row as candidates */

    atomic_uint_fast64_t next_id;
    atomic_uint n_waiting;
    atomic_bool hope;
    pthread_mutex_t lock; /* guards stats and released; a leaf */
    pthread_cond_t changed;
    struct cv_scheduler_stats stats;
    uint64_t released; /* how many epochs have been given back */
};

/* ---- jobs and slots ---- */

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

static void list_append(struct cv_job ***last, struct cv_job *j)
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

/* err NULL: it ended well. */
static void end_job(struct cv_scheduler *s, struct cv_job *j, const struct cv_error *err)
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

static void end_all(struct cv_scheduler *s, const struct cv_error *err)
{
    while (s->running != NULL)
        end_job(s, s->running, err);
    while (s->waiting != NULL)
        end_job(s, s->waiting, err);
}

/* Gives the next request its slots. false: it has to wait. */
static bool start_next(struct cv_scheduler *s)
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
        end_job(s, j, &err);
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
    list_append(&s->running_last, j);
    j->running = true;
    j->started_ns = cv_now_ns();
    j->gen->sink.start(j->gen->sink.ctx);
    return true;
}

/* ---- results ---- */

/* A choice is over: its slot is free at once; with the last one the request ends. */
static void after_take(struct cv_scheduler *s, struct cv_seq *q)
{
    if (!q->done)
        return;
    struct cv_job *j = q->job;
    cv_slots_give(s->slots, q->slot, q->token, q->n_fed);
    if (++j->n_done == j->gen->n_choices)
        end_job(s, j, NULL);
}

static void take_row(struct cv_scheduler *s, struct cv_seq *q, const struct cv_row_result *row)
{
    struct cv_job *j = q->job;
    struct cv_error err = {0};
    q->awaited = false;
    if (j->first_token_ns == 0)
        j->first_token_ns = cv_now_ns();
    if (!cv_seq_take(q, j->gen, row, s->o.n_ctx, &err)) {
        end_job(s, j, &err);
        return;
    }
    /* The other choices go on from the same prompt: copies of it on the stages, their own draws from the same row. */
    bool ok = true;
    for (uint32_t i = 1; ok && i < j->gen->n_choices; i++) {
        struct cv_seq *c = j->seq[i];
        if (!c->waits_for_fork)
            continue;
        c->waits_for_fork = false;
        c->n_fed = c->n_prompt;
        if (s->n_cmd < CV_MAX_BATCH_CMDS)
            s->cmd[s->n_cmd++] = (struct cv_cmd){.op = CV_CMD_FORK, .slot = c->slot, .other = q->slot, .pos = c->n_prompt};
        else
            ok = cv_fail(&err, CV_ERR_BUSY, "too many commands in one batch");
        ok = ok && cv_seq_take(c, j->gen, row, s->o.n_ctx, &err);
    }
    if (!ok) {
        end_job(s, j, &err);
        return;
    }
    /* after_take may end the job, and with it q: so the others first, and the job only with its last choice. */
    struct cv_seq *over[CV_MAX_CHOICES];
    uint32_t n_over = 0;
    for (uint32_t i = 0; i < j->gen->n_choices; i++)
        if (j->seq[i]->done && !j->seq[i]->given) {
            j->seq[i]->given = true;
            over[n_over++] = j->seq[i];
        }
    for (uint32_t i = 0; i < n_over; i++)
        after_take(s, over[i]);
}

/* The candidates of one result; a whole row is brought into the same form, its best ones first. */
static struct cv_row_result read_row(struct cv_scheduler *s, const struct cv_results *r, const struct cv_result *one)
{
    if (one->n_top != CV_ASK_ALL)
        return (struct cv_row_result){.cand = r->cand + one->first,
                                      .n_cand = (size_t)one->n_top + one->n_named,
                                      .n_top = one->n_top,
                                      .lse = one->lse};
    const float *row = r->whole + (size_t)one->first * r->n_vocab;
    const uint32_t n_best = r->n_vocab < 64 ? r->n_vocab : 64; /* for top_logprobs */
    (void)cv_candidates_select(row, r->n_vocab, n_best, NULL, 0, s->whole, NULL);
    for (uint32_t i = 0; i < r->n_vocab; i++)
        s->whole[n_best + i] = (struct cv_candidate){.id = (int32_t)i, .logit = row[i]};
    return (struct cv_row_result){
        .cand = s->whole, .n_cand = (size_t)n_best + r->n_vocab, .n_top = n_best, .lse = one->lse};
}

static bool take_results(struct cv_scheduler *s, struct cv_msg *m, struct cv_error *err)
{
    struct cv_results r;
    struct flight *f = s->first;
    if (!cv_pipeline_read(s->pipeline, m, &r, err))
        return false;
    if (f == NULL || r.seq != f->seq_no || r.n_result != f->n_want)
        return cv_fail(err, CV_ERR_PEER, "result %" PRIu64 " with %u rows came where another was due", r.seq, r.n_result);
    for (uint32_t i = 0; i < r.n_result; i++)
        if (r.result[i].slot != f->want[i].slot || r.result[i].pos != f->want[i].pos)
            return cv_fail(err, CV_ERR_PEER, "result %" PRIu64 ": a row that was not asked for", r.seq);
    for (uint32_t i = 0; i < r.n_result; i++) {
        if (f->want[i].seq == NULL)
            continue; /* cancelled meanwhile, perhaps by a result before this one */
        const struct cv_row_result row = read_row(s, &r, &r.result[i]);
        take_row(s, f->want[i].seq, &row);
    }
    s->first = f->next;
    if (s->first == NULL)
        s->last = &s->first;
    s->n_flight--;
    s->result_ms = cv_now_ms();
    cv_free(f);
    return true;
}

/* ---- batches ---- */

/* Puts up to max tokens of q into the batch; the last one is wanted when it is the sequence's last. */
static bool add_rows(struct cv_scheduler *s, struct cv_seq *q, uint32_t max, struct cv_error *err)
{
    uint32_t n = q->n_token - q->n_fed;
    n = n < max ? n : max;
    for (uint32_t i = 0; i < n; i++)
        s->row[s->n_row + i] = (struct cv_row){.slot = q->slot, .pos = q->n_fed + i, .token = q->token[q->n_fed + i]};
    if (q->n_fed + n == q->n_token) {
        struct cv_sampler_ask a;
        if (!cv_sampler_ask(q->sampler, q->job->gen->n_top_logprobs, &a, err))
            return false;
        if (a.n_ids > CV_MAX_BATCH_IDS - s->n_id)
            return true; /* no room for its ids in this batch: it goes with the next */
        s->row[s->n_row + n - 1].flags = CV_ROW_WANT;
        s->ask[s->n_ask] = (struct cv_ask){
            .row = s->n_row + n - 1, .n_top = a.n_top, .ids_first = s->n_id, .n_ids = (uint32_t)a.n_ids};
        s->asker[s->n_ask++] = q;
        if (a.n_ids > 0)
            memcpy(s->id + s->n_id, a.ids, a.n_ids * sizeof(*s->id));
        s->n_id += (uint32_t)a.n_ids;
        q->awaited = true;
    }
    s->n_row += n;
    q->n_fed += n;
    return true;
}

static bool is_ready(const struct cv_seq *q)
{
    return !q->done && !q->awaited && !q->waits_for_fork && q->n_fed < q->n_token;
}

static bool is_decoding(const struct cv_seq *q)
{
    return q->n_token - q->n_fed == 1 && q->n_generated > 0;
}

/*
 * Chooses the rows of the next batch: first those that generate, then prompts. With several stages the generating
 * sequences are shared out over as many batches as there are stages, so that every stage has something to do.
 */
static bool fill_batch(struct cv_scheduler *s)
{
    const struct cv_pipeline *p = s->pipeline;
    uint32_t n_seq = 0, n_decoding = 0;
    for (struct cv_job *j = s->running; j != NULL; j = j->next)
        for (uint32_t i = 0; i < j->gen->n_choices; i++, n_seq++)
            n_decoding += !j->seq[i]->done && j->seq[i]->n_generated > 0;
    const uint32_t share = (n_decoding + p->n_stage - 1) / p->n_stage;
    const uint32_t chunk = p->n_stage == 1 || p->n_batch < PIPELINED_CHUNK ? p->n_batch : PIPELINED_CHUNK;
    s->n_row = s->n_ask = s->n_id = 0;
    for (int pass = 0; pass < 2; pass++) {
        uint32_t at = 0, taken = 0;
        for (uint32_t round = 0; round < 2; round++) { /* from turn to the end, then from the beginning */
            at = 0;
            for (struct cv_job *j = s->running, *next; j != NULL; j = next) {
                next = j->next;
                for (uint32_t i = 0; i < j->gen->n_choices; i++, at++) {
                    struct cv_seq *q = j->seq[i];
                    if ((at >= s->turn) != (round == 0) || !is_ready(q) || is_decoding(q) != (pass == 0))
                        continue;
                    const uint32_t room = pass == 0 ? p->n_batch - s->n_row : chunk > s->n_row ? chunk - s->n_row : 0;
                    if (room == 0 || (pass == 0 && taken >= share))
                        continue;
                    struct cv_error err = {0};
                    if (!add_rows(s, q, room, &err)) {
                        end_job(s, j, &err);
                        break;
                    }
                    taken++;
                }
            }
        }
        s->turn = n_seq == 0 ? 0 : (s->turn + 1) % n_seq;
    }
    return s->n_row > 0;
}

static bool send_batch(struct cv_scheduler *s, struct cv_error *err)
{
    struct flight *f = cv_alloc(sizeof(*f) + s->n_ask * sizeof(f->want[0]));
    if (f == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for a batch");
    *f = (struct flight){.seq_no = s->pipeline->next_seq, .sent_ms = cv_now_ms(), .n_want = s->n_ask};
    /* Results come in the order of the rows. */
    for (uint32_t i = 0; i < s->n_ask; i++) {
        f->want[i].seq = s->asker[i];
        f->want[i].slot = s->row[s->ask[i].row].slot;
        f->want[i].pos = s->row[s->ask[i].row].pos;
    }
    const struct cv_batch b = {.batch_id = f->seq_no,
                               .n_cmd = s->n_cmd,
                               .n_row = s->n_row,
                               .n_ask = s->n_ask,
                               .n_id = s->n_id,
                               .cmd = s->cmd,
                               .row = s->row,
                               .ask = s->ask,
                               .id = s->id};
    if (!cv_pipeline_send(s->pipeline, &b, err)) {
        cv_free(f);
        return false;
    }
    s->n_cmd = s->n_ask = 0;
    f->next = NULL;
    *s->last = f;
    s->last = &f->next;
    s->n_flight++;
    pthread_mutex_lock(&s->lock);
    s->stats.n_batches++;
    s->stats.n_rows += s->n_row;
    pthread_mutex_unlock(&s->lock);
    return true;
}

/* ---- epochs ---- */

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

/* ---- the thread ---- */

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
        list_append(&s->waiting_last, e->job);
        break;
    case EV_CANCEL:
        j = find_job(s, e->id);
        cv_fail(&err, CV_ERR_CANCEL, "the client went away");
        if (j != NULL)
            end_job(s, j, &err);
        break;
    case EV_RESULT:
        if (s->pipeline != NULL && !s->broken && e->id == s->pipeline->epoch && !take_results(s, e->msg, &err))
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
        end_all(s, &err);
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
        while (start_next(s))
            continue;
        if (!fill_batch(s))
            return;
        if (!send_batch(s, &err))
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

/* ---- what others call ---- */

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
    if (s->events == NULL || s->row == NULL || s->ask == NULL || s->asker == NULL || s->id == NULL || s->whole == NULL) {
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
                    list_append(&s->waiting_last, e->job);
                cv_msg_free(e->msg);
                cv_free(e);
            }
            end_all(s, &err);
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
