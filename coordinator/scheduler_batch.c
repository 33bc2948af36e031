/* scheduler_batch.c - batches out of the running sequences, and what their results do to these. */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/select.h"
#include "coordinator/scheduler_internal.h"

enum { PIPELINED_CHUNK = 128 };

/* A choice is over: its slot is free at once; with the last one the request ends. */
static void after_take(struct cv_scheduler *s, struct cv_seq *q)
{
    if (!q->done)
        return;
    struct cv_job *j = q->job;
    cv_slots_give(s->slots, q->slot, q->token, q->n_fed);
    if (++j->n_done == j->gen->n_choices)
        cv_scheduler_end_job(s, j, NULL);
}

static void take_row(struct cv_scheduler *s, struct cv_seq *q, const struct cv_row_result *row)
{
    struct cv_job *j = q->job;
    struct cv_error err = {0};
    q->awaited = false;
    if (j->first_token_ns == 0)
        j->first_token_ns = cv_now_ns();
    if (!cv_seq_take(q, j->gen, row, s->o.n_ctx, &err)) {
        cv_scheduler_end_job(s, j, &err);
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
            s->cmd[s->n_cmd++] =
                (struct cv_cmd){.op = CV_CMD_FORK, .slot = c->slot, .other = q->slot, .pos = c->n_prompt};
        else
            ok = cv_fail(&err, CV_ERR_BUSY, "too many commands in one batch");
        ok = ok && cv_seq_take(c, j->gen, row, s->o.n_ctx, &err);
    }
    if (!ok) {
        cv_scheduler_end_job(s, j, &err);
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

bool cv_scheduler_take_results(struct cv_scheduler *s, struct cv_msg *m, struct cv_error *err)
{
    struct cv_results r;
    struct flight *f = s->first;
    if (!cv_pipeline_read(s->pipeline, m, &r, err))
        return false;
    if (f == NULL || r.seq != f->seq_no || r.n_result != f->n_want)
        return cv_fail(err, CV_ERR_PEER, "result %" PRIu64 " with %u rows came where another was due", r.seq,
                       r.n_result);
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
bool cv_scheduler_fill_batch(struct cv_scheduler *s)
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
                        cv_scheduler_end_job(s, j, &err);
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

bool cv_scheduler_send_batch(struct cv_scheduler *s, struct cv_error *err)
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
