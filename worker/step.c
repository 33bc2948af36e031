/* step.c - between two edges: take a batch, compute its layers, pass the carry on, or send the candidates home. */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/select.h"
#include "proto/result.h"
#include "worker/internal.h"

struct session { /* one epoch's serving */
    struct cv_worker *w;
    uint64_t epoch, next_seq;
    struct cv_pull *pull;
    struct cv_push *push;
    enum cv_carry carry_out;
    struct cv_batch_limits limits;
    uint32_t n_embd, n_vocab;
    float *carry;  /* [n_batch][n_embd] */
    float *logits; /* [n_slots][n_vocab], the last stage's */
};

/* Sends m; on failure it is freed. A full pipe is waited for, as long as nobody ends the epoch. */
static bool send_on(struct session *s, struct cv_msg *m, struct cv_error *err)
{
    if (cv_push_send(s->push, m, -1, err))
        return true;
    cv_msg_free(m);
    return cv_wrap(err, "to the next stage");
}

static bool pass_on(struct session *s, const struct cv_batch *in, uint64_t start_ns, struct cv_error *err)
{
    struct cv_batch out = *in;
    out.carry = s->carry_out;
    out.width = s->n_embd;
    out.carry_data = NULL;
    const size_t n = cv_batch_measure(&out);
    struct cv_msg *m = n == 0 ? NULL : cv_msg_new(n);
    if (m == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for a batch of %u rows", in->n_row);
    struct cv_batch_out sections;
    cv_batch_encode_into(cv_msg_body(m), &out, &sections);
    cv_carry_encode(out.carry, s->carry, out.n_row, s->n_embd, sections.carry_data);
    cv_batch_set_compute_us(cv_msg_body(m), in->compute_us + (uint32_t)((cv_now_ns() - start_ns) / 1000u));
    return send_on(s, m, err);
}

/* Counts what the asks of a batch will bring back. */
static void count_results(const struct session *s, const struct cv_batch *in, struct cv_results *r)
{
    for (uint32_t i = 0; i < in->n_ask; i++) {
        if (in->ask[i].n_top == CV_ASK_ALL)
            r->n_whole++;
        else
            r->n_cand += (in->ask[i].n_top < s->n_vocab ? in->ask[i].n_top : s->n_vocab) + in->ask[i].n_ids;
    }
}

static bool send_results(struct session *s, const struct cv_batch *in, uint64_t start_ns, struct cv_error *err)
{
    struct cv_results r = {.epoch = in->epoch,
                           .seq = in->seq,
                           .batch_id = in->batch_id,
                           .n_result = in->n_ask,
                           .n_vocab = s->n_vocab};
    count_results(s, in, &r);
    const size_t n = cv_results_measure(&r);
    struct cv_msg *m = n == 0 ? NULL : cv_msg_new(n);
    if (m == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for the results of %u rows", in->n_ask);
    struct cv_results_out out;
    r.compute_us = in->compute_us;
    cv_results_encode_into(cv_msg_body(m), &r, &out);
    uint32_t cand = 0, whole = 0;
    for (uint32_t i = 0; i < in->n_ask; i++) {
        const struct cv_ask *ask = &in->ask[i];
        const struct cv_row *row = &in->row[ask->row];
        const float *logits = s->logits + (size_t)i * s->n_vocab;
        struct cv_result *to = &out.result[i];
        *to = (struct cv_result){.row = ask->row, .slot = row->slot, .pos = row->pos, .n_top = ask->n_top};
        if (ask->n_top == CV_ASK_ALL) {
            to->first = whole;
            memcpy(out.whole + (size_t)whole++ * s->n_vocab, logits, s->n_vocab * sizeof(*logits));
            to->lse = cv_log_sum_exp(logits, s->n_vocab);
            continue;
        }
        to->first = cand;
        to->n_top = ask->n_top < s->n_vocab ? ask->n_top : s->n_vocab;
        to->n_named = ask->n_ids;
        cv_candidates_select(logits, s->n_vocab, to->n_top, in->id + ask->ids_first, ask->n_ids, out.cand + cand,
                             &to->lse);
        cand += to->n_top + to->n_named;
    }
    cv_batch_set_compute_us(cv_msg_body(m), in->compute_us + (uint32_t)((cv_now_ns() - start_ns) / 1000u));
    return send_on(s, m, err);
}

static bool step(struct session *s, struct cv_msg *m, struct cv_error *err)
{
    struct cv_worker *w = s->w;
    struct cv_batch in;
    if (!cv_batch_decode(cv_msg_body(m), cv_msg_len(m), &s->limits, &in, err))
        return false;
    if (in.epoch != s->epoch || in.seq != s->next_seq)
        return cv_fail(err, CV_ERR_PEER, "batch %" PRIu64 " of epoch %" PRIu64 " came where %" PRIu64 " of %" PRIu64
                       " was due", in.seq, in.epoch, s->next_seq, s->epoch);
    s->next_seq++;
    const uint64_t start = cv_now_ns();
    if (in.carry != CV_CARRY_NONE)
        cv_carry_decode(in.carry, in.carry_data, in.n_row, s->n_embd, s->carry);
    const struct cv_step what = {.cmd = in.cmd,
                                 .n_cmd = in.n_cmd,
                                 .row = in.row,
                                 .n_row = in.n_row,
                                 .carry_in = s->carry,
                                 .carry_out = s->carry,
                                 .logits = s->logits};
    if (!cv_stage_step(w->loaded.stage, &what, err))
        return false;
    const uint64_t busy_us = (cv_now_ns() - start) / 1000u;
    pthread_mutex_lock(&w->lock);
    w->status.n_batches++;
    w->status.n_rows += in.n_row;
    w->status.busy_us += busy_us;
    pthread_mutex_unlock(&w->lock);
    return w->loaded.spec.has_head ? send_results(s, &in, start, err) : pass_on(s, &in, start, err);
}

/* An error of an earlier stage travels on to the coordinator as it is. */
static bool forward_error(struct session *s, struct cv_msg *m, struct cv_error *err)
{
    struct cv_stage_error e;
    if (!cv_stage_error_decode(cv_msg_body(m), cv_msg_len(m), &e, err)) {
        cv_msg_free(m);
        return false;
    }
    if (!send_on(s, m, err))
        return false;
    return cv_fail(err, CV_ERR_PEER, "stage %u failed: %.400s", e.stage, e.text);
}

static void send_failure(struct session *s, const struct cv_error *why)
{
    struct cv_stage_error e = {
        .epoch = s->epoch, .seq = s->next_seq, .stage = s->w->loaded.stage_index, .code = why->code};
    unsigned char bytes[CV_STAGE_ERROR_MAX];
    memcpy(e.text, why->msg, sizeof(e.text) < sizeof(why->msg) ? sizeof(e.text) : sizeof(why->msg));
    e.text[sizeof(e.text) - 1] = '\0';
    const size_t n = cv_stage_error_encode(bytes, &e);
    struct cv_msg *m = cv_msg_new(n);
    if (m == NULL)
        return;
    memcpy(cv_msg_body(m), bytes, n);
    struct cv_error unused;
    if (!cv_push_send(s->push, m, 500, &unused))
        cv_msg_free(m);
}

static bool serve(struct session *s, struct cv_error *err)
{
    for (;;) {
        struct cv_msg *m;
        struct cv_head head;
        if (!cv_pull_recv(s->pull, &m, -1, err))
            return err->code == CV_ERR_PEER ? cv_wrap(err, "from the stage before") : false;
        if (!cv_head_decode(cv_msg_body(m), cv_msg_len(m), &head, err)) {
            cv_msg_free(m);
            return false;
        }
        if (head.kind == CV_KIND_ERROR)
            return forward_error(s, m, err);
        bool ok = head.kind == CV_KIND_BATCH ? step(s, m, err)
                                             : cv_fail(err, CV_ERR_PEER, "a message of kind %u is not for a stage", head.kind);
        cv_msg_free(m);
        if (!ok)
            return false;
    }
}

struct cv_batch_limits cv_worker_limits(const struct cv_stage_spec *spec, enum cv_carry carry, uint32_t n_embd,
                                        uint32_t n_vocab)
{
    return (struct cv_batch_limits){.n_cmd = CV_MAX_BATCH_CMDS,
                                    .n_row = spec->n_batch,
                                    .n_ask = spec->n_slots, /* one wanted row of each sequence */
                                    .n_id = CV_MAX_BATCH_IDS,
                                    .n_slots = spec->n_slots,
                                    .n_ctx = spec->n_ctx,
                                    .n_vocab = n_vocab,
                                    .carry = carry,
                                    .width = carry == CV_CARRY_NONE ? 0 : n_embd};
}

void cv_worker_serve(struct cv_worker *w, uint64_t epoch, struct cv_pull *pull, struct cv_push *push,
                     enum cv_carry carry_in, enum cv_carry carry_out, struct cv_error *err)
{
    const struct cv_stage_spec *spec = &w->loaded.spec;
    struct session s = {.w = w,
                        .epoch = epoch,
                        .pull = pull,
                        .push = push,
                        .carry_out = carry_out,
                        .n_embd = cv_stage_n_embd(w->loaded.stage),
                        .n_vocab = cv_stage_n_vocab(w->loaded.stage)};
    s.limits = cv_worker_limits(spec, carry_in, s.n_embd, s.n_vocab);
    s.carry = cv_alloc_aligned((size_t)spec->n_batch * s.n_embd * sizeof(float));
    s.logits = spec->has_head ? cv_alloc_aligned((size_t)s.limits.n_ask * s.n_vocab * sizeof(float)) : NULL;
    if (s.carry == NULL || (spec->has_head && s.logits == NULL))
        cv_fail(err, CV_ERR_NOMEM, "no memory for the buffers of a step");
    else
        (void)serve(&s, err);
    if (err->code != CV_ERR_CANCEL && err->code != CV_ERR_PEER)
        send_failure(&s, err);
    cv_free(s.logits);
    cv_free(s.carry);
}
