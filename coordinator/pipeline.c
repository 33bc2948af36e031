#include "coordinator/pipeline.h"

#include "base/limits.h"

enum { SEND_MS = 5000 };

/* One wanted row of each sequence; its candidates are at most the vocabulary and the ids that were named. */
static struct cv_result_limits limits_of(uint32_t n_batch, uint32_t n_slots, uint32_t n_ctx, uint32_t n_vocab)
{
    const uint64_t n_cand = (uint64_t)n_slots * n_vocab + CV_MAX_BATCH_IDS;
    return (struct cv_result_limits){.n_row = n_batch,
                                     .n_slots = n_slots,
                                     .n_ctx = n_ctx,
                                     .n_vocab = n_vocab,
                                     .n_result = n_slots,
                                     .n_cand = n_cand > UINT32_MAX ? UINT32_MAX : (uint32_t)n_cand,
                                     .n_whole = n_slots};
}

size_t cv_pipeline_max_result(uint32_t n_slots, uint32_t n_vocab)
{
    const struct cv_result_limits l = limits_of(CV_MAX_BATCH_ROWS, n_slots, CV_MAX_CTX, n_vocab);
    return cv_results_max_bytes(&l);
}

bool cv_pipeline_send(struct cv_pipeline *p, const struct cv_batch *b, struct cv_error *err)
{
    struct cv_batch out = *b;
    out.epoch = p->epoch;
    out.seq = p->next_seq;
    out.carry = CV_CARRY_NONE;
    out.width = 0;
    const size_t n = cv_batch_measure(&out);
    struct cv_msg *m = n == 0 ? NULL : cv_msg_new(n);
    if (m == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for a batch of %u rows", b->n_row);
    struct cv_batch_out sections;
    cv_batch_encode_into(cv_msg_body(m), &out, &sections);
    if (!cv_push_send(p->push, m, SEND_MS, err)) {
        cv_msg_free(m);
        return cv_wrap(err, "to the first stage");
    }
    p->next_seq++;
    return true;
}

bool cv_pipeline_read(const struct cv_pipeline *p, struct cv_msg *m, struct cv_results *out, struct cv_error *err)
{
    struct cv_head head;
    struct cv_stage_error failed;
    const struct cv_result_limits limits = limits_of(p->n_batch, p->n_slots, p->n_ctx, p->n_vocab);
    if (!cv_head_decode(cv_msg_body(m), cv_msg_len(m), &head, err))
        return false;
    if (head.epoch != p->epoch)
        return cv_fail(err, CV_ERR_PEER, "a message of another epoch");
    switch (head.kind) {
    case CV_KIND_RESULT:
        return cv_results_decode(cv_msg_body(m), cv_msg_len(m), &limits, out, err);
    case CV_KIND_ERROR:
        if (!cv_stage_error_decode(cv_msg_body(m), cv_msg_len(m), &failed, err))
            return false;
        return cv_fail(err, failed.code, "stage %u: %.400s", failed.stage, failed.text);
    default:
        return cv_fail(err, CV_ERR_PEER, "a message of kind %u is no result", head.kind);
    }
}
