#include "tests/coordinator/fake_pipeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/select.h"

void fake_init(struct fake *f, uint32_t n_vocab)
{
    memset(f, 0, sizeof(*f));
    f->n_stage = 1;
    f->n_slots = 4;
    f->n_ctx = 256;
    f->n_batch = 32;
    f->n_vocab = n_vocab;
    f->die_after = f->error_after = f->silent_after = f->garbage_after = -1;
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

void fake_logits(const int32_t *token, uint32_t n, uint32_t n_vocab, float *out)
{
    uint64_t h = 1;
    for (uint32_t i = 0; i < n; i++)
        h = mix(h + (uint64_t)(uint32_t)token[i] + 1);
    for (uint32_t i = 0; i < n_vocab; i++)
        out[i] = (float)(mix(h + i * 0x9e3779b97f4a7c15u) >> 40) * (16.0f / 16777216.0f) - 8.0f;
}

uint32_t fake_expect(const int32_t *prompt, uint32_t n_prompt, const struct cv_sampling *sampling, uint32_t choice,
                     const struct cv_vocab *vocab, uint32_t n_ctx, uint32_t max, int32_t *out)
{
    const uint32_t n_vocab = cv_vocab_size(vocab);
    struct cv_error err;
    struct cv_sampler *s = NULL;
    int32_t *token = calloc(n_prompt + max + 1, sizeof(*token));
    float *row = calloc(n_vocab, sizeof(*row));
    struct cv_candidate *cand = calloc(n_vocab, sizeof(*cand));
    uint32_t n = 0;
    bool ok = token != NULL && row != NULL && cand != NULL && cv_sampler_new(&s, sampling, vocab, choice, n_ctx, &err) &&
              cv_sampler_accept_prompt(s, prompt, n_prompt, &err);
    if (ok)
        memcpy(token, prompt, n_prompt * sizeof(*token));
    while (ok && n < max && n_prompt + n <= n_ctx) {
        struct cv_pick pick;
        fake_logits(token, n_prompt + n, n_vocab, row);
        for (uint32_t i = 0; i < n_vocab; i++)
            cand[i] = (struct cv_candidate){.id = (int32_t)i, .logit = row[i]};
        ok = cv_sampler_pick(s, cand, n_vocab, cv_log_sum_exp(row, n_vocab), &pick, &err) &&
             cv_sampler_accept(s, pick.token, &err);
        if (!ok || cv_vocab_is_eog(vocab, pick.token))
            break;
        out[n] = token[n_prompt + n] = pick.token;
        n++;
    }
    cv_sampler_free(s);
    free(token);
    free(row);
    free(cand);
    return n;
}

static bool complain(struct fake *f, const char *what, uint32_t slot, uint32_t pos)
{
    if (atomic_fetch_add(&f->n_bad, 1) == 0)
        snprintf(f->bad, sizeof(f->bad), "%.200s: slot %u, position %u", what, slot, pos);
    return false;
}

static bool run_commands(struct fake *f, const struct cv_batch *b)
{
    for (uint32_t i = 0; i < b->n_cmd; i++) {
        const struct cv_cmd *c = &b->cmd[i];
        struct fake_slot *s = &f->slot[c->slot];
        switch (c->op) {
        case CV_CMD_NEW:
        case CV_CMD_FREE:
            s->n = 0;
            break;
        case CV_CMD_TRIM:
            if (c->pos > s->n)
                return complain(f, "TRIM past the end", c->slot, c->pos);
            s->n = c->pos;
            break;
        case CV_CMD_FORK:
            if (c->pos > f->slot[c->other].n)
                return complain(f, "FORK past the end", c->other, c->pos);
            memmove(s->token, f->slot[c->other].token, c->pos * sizeof(*s->token));
            s->n = c->pos;
            break;
        default:
            return complain(f, "unknown command", c->slot, c->op);
        }
    }
    return true;
}

static bool answer_ask(struct fake *f, const struct cv_batch *b, const struct cv_ask *ask, struct cv_results_out *out,
                       uint32_t index, uint32_t *n_cand, uint32_t *n_whole, const float *logits)
{
    const struct cv_row *row = &b->row[ask->row];
    struct cv_result *r = &out->result[index];
    *r = (struct cv_result){.row = ask->row, .slot = row->slot, .pos = row->pos, .n_top = ask->n_top};
    if (ask->n_top == CV_ASK_ALL) {
        r->first = *n_whole;
        memcpy(out->whole + (size_t)(*n_whole)++ * f->n_vocab, logits, f->n_vocab * sizeof(*logits));
        r->lse = cv_log_sum_exp(logits, f->n_vocab);
        return true;
    }
    r->first = *n_cand;
    r->n_top = ask->n_top < f->n_vocab ? ask->n_top : f->n_vocab;
    r->n_named = ask->n_ids;
    cv_candidates_select(logits, f->n_vocab, r->n_top, b->id + ask->ids_first, ask->n_ids, out->cand + *n_cand, &r->lse);
    *n_cand += r->n_top + r->n_named;
    return true;
}

static struct cv_msg *step(struct fake *f, const struct cv_batch *b)
{
    struct cv_results r = {.epoch = b->epoch, .seq = b->seq, .batch_id = b->batch_id, .n_result = b->n_ask, .n_vocab = f->n_vocab};
    for (uint32_t i = 0; i < b->n_ask; i++) {
        if (b->ask[i].n_top == CV_ASK_ALL)
            r.n_whole++;
        else
            r.n_cand += (b->ask[i].n_top < f->n_vocab ? b->ask[i].n_top : f->n_vocab) + b->ask[i].n_ids;
    }
    struct cv_msg *m = cv_msg_new(cv_results_measure(&r));
    float *logits = calloc(f->n_vocab, sizeof(*logits));
    if (m == NULL || logits == NULL || !run_commands(f, b)) {
        cv_msg_free(m);
        free(logits);
        return NULL;
    }
    struct cv_results_out out;
    cv_results_encode_into(cv_msg_body(m), &r, &out);
    uint32_t n_cand = 0, n_whole = 0, at = 0;
    bool ok = true;
    for (uint32_t i = 0; ok && i < b->n_row; i++) {
        const struct cv_row *row = &b->row[i];
        struct fake_slot *s = &f->slot[row->slot];
        if (row->pos != s->n || s->n >= f->n_ctx) {
            ok = complain(f, "a gap in the positions", row->slot, row->pos);
            break;
        }
        s->token[s->n++] = row->token;
        if (at < b->n_ask && b->ask[at].row == i) {
            fake_logits(s->token, s->n, f->n_vocab, logits);
            ok = answer_ask(f, b, &b->ask[at], &out, at, &n_cand, &n_whole, logits);
            at++;
        }
    }
    free(logits);
    if (ok)
        return m;
    cv_msg_free(m);
    return NULL;
}

static struct cv_msg *stage_error(const struct fake *f, uint64_t seq)
{
    struct cv_stage_error e = {.epoch = f->pipeline.epoch, .seq = seq, .stage = 1, .code = CV_ERR_NOMEM, .text = "on fire"};
    unsigned char bytes[CV_STAGE_ERROR_MAX];
    const size_t n = cv_stage_error_encode(bytes, &e);
    struct cv_msg *m = cv_msg_new(n);
    if (m != NULL)
        memcpy(cv_msg_body(m), bytes, n);
    return m;
}

static void *fake_main(void *arg)
{
    struct fake *f = arg;
    const struct cv_batch_limits limits = {.n_cmd = CV_MAX_BATCH_CMDS,
                                           .n_row = f->n_batch,
                                           .n_ask = f->n_slots,
                                           .n_id = CV_MAX_BATCH_IDS,
                                           .n_slots = f->n_slots,
                                           .n_ctx = f->n_ctx,
                                           .n_vocab = f->n_vocab,
                                           .carry = CV_CARRY_NONE};
    struct cv_error err;
    for (long n = 0;; n++) {
        struct cv_msg *m, *out;
        struct cv_batch b;
        if (!cv_pull_recv(f->pull, &m, -1, &err))
            return NULL;
        if (f->die_after >= 0 && n >= f->die_after) { /* both edges close, as when a process dies */
            cv_msg_free(m);
            cv_pull_close(f->pull);
            cv_push_close(f->push, 0);
            f->pull = NULL;
            f->push = NULL;
            return NULL;
        }
        if (f->silent_after >= 0 && n >= f->silent_after) {
            cv_msg_free(m);
            continue;
        }
        if (!cv_batch_decode(cv_msg_body(m), cv_msg_len(m), &limits, &b, &err)) {
            complain(f, err.msg, 0, 0);
            cv_msg_free(m);
            return NULL;
        }
        atomic_fetch_add(&f->n_batches, 1);
        atomic_fetch_add(&f->n_rows, b.n_row);
        atomic_fetch_add(&f->n_prompt_rows, b.n_row - b.n_ask);
        if (b.n_row > atomic_load(&f->most_rows))
            atomic_store(&f->most_rows, b.n_row);
        if (b.epoch != f->pipeline.epoch || b.seq != (uint64_t)n)
            complain(f, "a gap in the sequence numbers", 0, (uint32_t)b.seq);
        if (f->delay_ms > 0)
            cv_sleep_ms(f->delay_ms);
        if (f->error_after >= 0 && n >= f->error_after) {
            out = stage_error(f, b.seq);
        } else {
            if (f->garbage_after >= 0 && n >= f->garbage_after)
                b.seq += 7;
            out = step(f, &b);
        }
        cv_msg_free(m);
        if (out == NULL)
            return NULL;
        if (!cv_push_send(f->push, out, -1, &err)) {
            cv_msg_free(out);
            return NULL;
        }
    }
}

bool fake_start(struct fake *f, uint64_t epoch, struct cv_error *err)
{
    const struct cv_edge_hello in = {.epoch = epoch, .link = 0}, home = {.epoch = epoch, .link = 1};
    f->pipeline = (struct cv_pipeline){.epoch = epoch,
                                       .n_stage = f->n_stage,
                                       .n_slots = f->n_slots,
                                       .n_ctx = f->n_ctx,
                                       .n_batch = f->n_batch,
                                       .n_vocab = f->n_vocab};
    f->slot = calloc(f->n_slots, sizeof(*f->slot));
    for (uint32_t i = 0; i < f->n_slots; i++)
        f->slot[i].token = calloc(f->n_ctx, sizeof(int32_t));
    const struct cv_pull_options to_stages = {.address = "inproc://", .hello = in, .max_message_bytes = 1 << 24};
    const struct cv_pull_options to_us = {
        .address = "inproc://", .hello = home, .max_message_bytes = cv_pipeline_max_result(f->n_slots, f->n_vocab)};
    if (!cv_pull_open(&f->pull, &to_stages, err) || !cv_pull_open(&f->pipeline.pull, &to_us, err))
        return false;
    const struct cv_push_options from_us = {.address = cv_pull_address(f->pull), .hello = in, .send_buffer = f->n_stage + 1};
    const struct cv_push_options from_stages = {.address = cv_pull_address(f->pipeline.pull), .hello = home};
    if (!cv_push_open(&f->pipeline.push, &from_us, err) || !cv_push_open(&f->push, &from_stages, err))
        return false;
    f->started = pthread_create(&f->thread, NULL, fake_main, f) == 0;
    return f->started || cv_fail(err, CV_ERR_NOMEM, "no thread");
}

void fake_stop(struct fake *f)
{
    /* The thread closes its ends itself when it was told to die: first let it come to that. */
    cv_push_close(f->pipeline.push, 0);
    f->pipeline.push = NULL;
    if (f->started) {
        if (f->die_after < 0) {
            cv_pull_shutdown(f->pull);
            cv_push_shutdown(f->push);
        }
        pthread_join(f->thread, NULL);
    }
    f->started = false;
    cv_pull_close(f->pull);
    cv_push_close(f->push, 0);
    cv_pull_close(f->pipeline.pull);
    f->pull = NULL;
    f->push = NULL;
    f->pipeline.pull = NULL;
    for (uint32_t i = 0; f->slot != NULL && i < f->n_slots; i++)
        free(f->slot[i].token);
    free(f->slot);
    f->slot = NULL;
}
