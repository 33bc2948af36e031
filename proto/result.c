#include "proto/result.h"

#include <string.h>

#include "base/limits.h"
#include "proto/internal.h"

struct layout {
    uint64_t cand, whole, end; /* results come right behind the head */
};

static struct layout lay_out(uint64_t n_result, uint64_t n_cand, uint64_t n_whole, uint64_t n_vocab)
{
    struct layout l;
    l.cand = CV_HEAD_BYTES + n_result * sizeof(struct cv_result);
    l.whole = l.cand + n_cand * sizeof(struct cv_candidate);
    l.end = l.whole + n_whole * n_vocab * sizeof(float);
    return l;
}

/* A candidate list may hold a whole row's ids for a few asks; its bound is that of the message. */
static bool counts_fit(uint64_t n_result, uint64_t n_whole, uint64_t n_vocab)
{
    return n_result <= CV_MAX_BATCH_ASKS && n_whole <= n_result && n_vocab <= CV_MAX_VOCAB;
}

size_t cv_results_measure(const struct cv_results *r)
{
    if (!counts_fit(r->n_result, r->n_whole, r->n_vocab))
        return 0;
    uint64_t end = lay_out(r->n_result, r->n_cand, r->n_whole, r->n_vocab).end;
    return end <= CV_MAX_MESSAGE_BYTES ? (size_t)end : 0;
}

static void copy_section(void *to, const void *from, size_t bytes)
{
    if (from != NULL && bytes != 0)
        memcpy(to, from, bytes);
}

void cv_results_encode_into(void *body, const struct cv_results *r, struct cv_results_out *out)
{
    struct layout l = lay_out(r->n_result, r->n_cand, r->n_whole, r->n_vocab);
    struct cv_head head = {.kind = CV_KIND_RESULT,
                           .epoch = r->epoch,
                           .seq = r->seq,
                           .batch_id = r->batch_id,
                           .n_row = r->n_whole,
                           .n_ask = r->n_result,
                           .n_id = r->n_cand,
                           .width = r->n_vocab,
                           .compute_us = r->compute_us};
    cv_head_write(body, head, (size_t)l.end);
    unsigned char *at = body;
    out->result = (struct cv_result *)(at + CV_HEAD_BYTES);
    out->cand = (struct cv_candidate *)(at + l.cand);
    out->whole = (float *)(at + l.whole);
    copy_section(out->result, r->result, r->n_result * sizeof(*r->result));
    copy_section(out->cand, r->cand, r->n_cand * sizeof(*r->cand));
    copy_section(out->whole, r->whole, (size_t)(l.end - l.whole));
}

static bool check_result(const struct cv_results *r, uint32_t i, const struct cv_result_limits *lim,
                         struct cv_error *err)
{
    const struct cv_result *x = &r->result[i];
    if (x->row >= lim->n_row || (i > 0 && x->row <= r->result[i - 1].row))
        return cv_fail(err, CV_ERR_FORMAT, "result %u: row %u of %u is out of order", i, x->row, lim->n_row);
    if (x->slot >= lim->n_slots || x->pos >= lim->n_ctx)
        return cv_fail(err, CV_ERR_FORMAT, "result %u: slot %u of %u, position %u of %u", i, x->slot, lim->n_slots,
                       x->pos, lim->n_ctx);
    if (x->n_top == CV_ASK_ALL) {
        if (x->n_named != 0 || x->first >= r->n_whole)
            return cv_fail(err, CV_ERR_FORMAT, "result %u: whole row %u of %u", i, x->first, r->n_whole);
        return true;
    }
    uint64_t n = (uint64_t)x->n_top + x->n_named;
    if (x->first > r->n_cand || n > r->n_cand - x->first)
        return cv_fail(err, CV_ERR_FORMAT, "result %u: candidates %u + %llu of %u", i, x->first, (unsigned long long)n,
                       r->n_cand);
    return true;
}

bool cv_results_decode(const void *data, size_t len, const struct cv_result_limits *lim, struct cv_results *out,
                       struct cv_error *err)
{
    struct cv_head h = {0};
    if (!cv_head_decode_kind(data, len, CV_KIND_RESULT, &h, err))
        return false;
    if (h.n_ask > lim->n_result || h.n_id > lim->n_cand || h.n_row > lim->n_whole)
        return cv_fail(err, CV_ERR_LIMIT, "%u results, %u candidates, %u whole rows; the limits are %u, %u, %u",
                       h.n_ask, h.n_id, h.n_row, lim->n_result, lim->n_cand, lim->n_whole);
    if (h.width != lim->n_vocab || !counts_fit(h.n_ask, h.n_row, h.width))
        return cv_fail(err, CV_ERR_FORMAT, "result of %u tokens, expected %u", h.width, lim->n_vocab);
    struct layout l = lay_out(h.n_ask, h.n_id, h.n_row, h.width);
    if (l.end != len)
        return cv_fail(err, CV_ERR_FORMAT, "result of %zu bytes, its counts make %llu", len, (unsigned long long)l.end);
    const unsigned char *at = data;
    struct cv_results r = {.epoch = h.epoch,
                           .seq = h.seq,
                           .batch_id = h.batch_id,
                           .compute_us = h.compute_us,
                           .n_result = h.n_ask,
                           .n_cand = h.n_id,
                           .n_whole = h.n_row,
                           .n_vocab = h.width,
                           .result = (const struct cv_result *)(at + CV_HEAD_BYTES),
                           .cand = (const struct cv_candidate *)(at + l.cand),
                           .whole = (const float *)(at + l.whole)};
    for (uint32_t i = 0; i < r.n_result; i++) {
        if (!check_result(&r, i, lim, err))
            return false;
    }
    for (uint32_t i = 0; i < r.n_cand; i++) {
        if (r.cand[i].id < 0 || (uint32_t)r.cand[i].id >= r.n_vocab)
            return cv_fail(err, CV_ERR_FORMAT, "candidate %u: token %d of %u", i, r.cand[i].id, r.n_vocab);
    }
    *out = r;
    return true;
}

static uint32_t at_most(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

size_t cv_results_max_bytes(const struct cv_result_limits *lim)
{
    uint64_t end = lay_out(at_most(lim->n_result, CV_MAX_BATCH_ASKS), lim->n_cand,
                           at_most(lim->n_whole, CV_MAX_BATCH_ASKS), at_most(lim->n_vocab, CV_MAX_VOCAB))
                       .end;
    if (end < CV_STAGE_ERROR_MAX)
        end = CV_STAGE_ERROR_MAX; /* a HELLO or an ERROR always passes */
    return end <= CV_MAX_MESSAGE_BYTES ? (size_t)end : CV_MAX_MESSAGE_BYTES;
}
