/*
 * dense.c - the decoder layer of llama and its kin.
 *
 *     x --+-- norm -- q k v -- rope, store -- attend -- output -- + --+-- norm -- gate, up -- glu -- down -- + -- x
 *         +-------------------------------------------------------+   +--------------------------------------+
 *
 * Biases are there when the file has them. In the last layer before the head every row leaves its key and value, and
 * then only the wanted rows go on. These families do not read attention.scale: a file may carry it, and the expected
 * values of such files (conformance arch/llama-scaled-softmax) are those of 1 / sqrt(n_embd_head_k).
 */
#include <math.h>
#include <stdio.h>

#include "engine/arch/arch.h"

struct dense {
    struct cv_builder *b;
    const struct cv_hparams *hp;
    const struct cv_dense *kind;
    int x, h, q, k, v, att, gate, up;
};

static void norm(struct dense *d, uint32_t layer, int dst, int src, uint32_t n_head, int weight)
{
    struct cv_op *op = cv_build_op(d->b, CV_OP_NORM, layer);
    if (op == NULL)
        return;
    op->dst[0] = dst;
    op->src[0] = src;
    op->n_head = n_head;
    op->weight[0] = weight;
    op->eps = d->hp->norm_rms_eps;
}

/* name is without ".weight"; its ".bias" is added when there is one. */
static void matmul(struct dense *d, uint32_t layer, int dst, int src, const char *name)
{
    char full[CV_MAX_WEIGHT_NAME];
    const struct cv_buffer *buffer = d->b->p->buffer;
    snprintf(full, sizeof(full), "%s.weight", name);
    int w = cv_build_weight(d->b, (int)layer, full, CV_WEIGHT_MATRIX, buffer[src].width, buffer[dst].width);
    snprintf(full, sizeof(full), "%s.bias", name);
    int bias = cv_build_optional(d->b, (int)layer, full, CV_WEIGHT_VECTOR, buffer[dst].width, 1);
    struct cv_op *op = cv_build_op(d->b, CV_OP_MATMUL, layer);
    if (op == NULL)
        return;
    op->n_mat = 1;
    op->dst[0] = dst;
    op->src[0] = src;
    op->weight[0] = w;
    op->bias[0] = bias;
}

static void rope(struct dense *d, uint32_t layer, int buffer, uint32_t n_head)
{
    struct cv_op *op = cv_build_op(d->b, CV_OP_ROPE, layer);
    if (op == NULL)
        return;
    op->dst[0] = op->src[0] = buffer;
    op->n_head = n_head;
}

static void head_norm(struct dense *d, uint32_t layer, int buffer, uint32_t n_head, const char *name)
{
    if (d->kind->qk_norm)
        norm(d, layer, buffer, buffer, n_head,
             cv_build_weight(d->b, (int)layer, name, CV_WEIGHT_VECTOR, d->hp->n_embd_head_k, 1));
}

static void two_sources(struct dense *d, enum cv_op_kind kind, uint32_t layer, int dst, int a, int b)
{
    struct cv_op *op = cv_build_op(d->b, kind, layer);
    if (op == NULL)
        return;
    op->dst[0] = dst;
    op->src[0] = a;
    op->src[1] = b;
}

static void pick(struct dense *d, uint32_t layer, int a, int b)
{
    struct cv_op *op = cv_build_op(d->b, CV_OP_PICK, layer);
    if (op == NULL)
        return;
    op->n_mat = b < 0 ? 1 : 2;
    op->src[0] = a;
    op->src[1] = b;
}

static void query(struct dense *d, uint32_t layer)
{
    matmul(d, layer, d->q, d->h, "attn_q");
}

static void key_and_value(struct dense *d, uint32_t layer)
{
    matmul(d, layer, d->k, d->h, "attn_k");
    matmul(d, layer, d->v, d->h, "attn_v");
}

static void query_norm(struct dense *d, uint32_t layer)
{
    head_norm(d, layer, d->q, d->hp->n_head, "attn_q_norm.weight");
}

static void key_norm(struct dense *d, uint32_t layer)
{
    head_norm(d, layer, d->k, d->hp->n_head_kv, "attn_k_norm.weight");
}

static void store(struct dense *d, uint32_t layer)
{
    rope(d, layer, d->k, d->hp->n_head_kv);
    two_sources(d, CV_OP_STORE, layer, -1, d->k, d->v);
}

static void layer_ops(struct dense *d, uint32_t layer, bool last)
{
    const struct cv_hparams *hp = d->hp;
    norm(d, layer, d->h, d->x, 1,
         cv_build_weight(d->b, (int)layer, "attn_norm.weight", CV_WEIGHT_VECTOR, hp->n_embd, 1));
    if (last) {
        key_and_value(d, layer);
        key_norm(d, layer);
        store(d, layer);
        pick(d, layer, d->x, d->h);
        query(d, layer);
        query_norm(d, layer);
        rope(d, layer, d->q, hp->n_head);
    } else {
        query(d, layer);
        key_and_value(d, layer);
        query_norm(d, layer);
        key_norm(d, layer);
        rope(d, layer, d->q, hp->n_head);
        store(d, layer);
    }
    struct cv_op *op = cv_build_op(d->b, CV_OP_ATTEND, layer);
    if (op != NULL) {
        op->dst[0] = d->att;
        op->src[0] = d->q;
        op->scale = (float)(1.0 / sqrt(hp->n_embd_head_k));
    }
    matmul(d, layer, d->h, d->att, "attn_output");
    two_sources(d, CV_OP_ADD, layer, d->x, d->x, d->h);
    norm(d, layer, d->h, d->x, 1,
         cv_build_weight(d->b, (int)layer, "ffn_norm.weight", CV_WEIGHT_VECTOR, hp->n_embd, 1));
    matmul(d, layer, d->gate, d->h, "ffn_gate");
    matmul(d, layer, d->up, d->h, "ffn_up");
    two_sources(d, CV_OP_GLU, layer, d->gate, d->gate, d->up);
    matmul(d, layer, d->h, d->gate, "ffn_down");
    two_sources(d, CV_OP_ADD, layer, d->x, d->x, d->h);
}

static void head_ops(struct dense *d)
{
    const struct cv_hparams *hp = d->hp;
    if (d->b->p->part.layer_first == d->b->p->part.layer_last)
        pick(d, hp->n_layer, d->x, -1);
    norm(d, hp->n_layer, d->h, d->x, 1,
         cv_build_weight(d->b, -1, "output_norm.weight", CV_WEIGHT_VECTOR, hp->n_embd, 1));
    int w = cv_build_optional(d->b, -1, "output.weight", CV_WEIGHT_MATRIX, hp->n_embd, hp->n_vocab);
    if (w == CV_NO_WEIGHT)
        w = cv_build_weight(d->b, -1, "token_embd.weight", CV_WEIGHT_MATRIX, hp->n_embd, hp->n_vocab);
    struct cv_op *op = cv_build_op(d->b, CV_OP_LOGITS, hp->n_layer);
    if (op != NULL) {
        op->src[0] = d->h;
        op->weight[0] = w;
        op->bias[0] = cv_build_optional(d->b, -1, "output.bias", CV_WEIGHT_VECTOR, hp->n_vocab, 1);
    }
}

static void check_sizes(struct cv_builder *b)
{
    const struct cv_hparams *hp = &b->p->hp;
    if (hp->n_head == 0 || hp->n_head_kv == 0 || hp->n_head % hp->n_head_kv != 0)
        cv_build_fail(b, CV_ERR_FORMAT, "%u attention heads do not share %u key/value heads evenly", hp->n_head,
                      hp->n_head_kv);
    else if (hp->n_embd_head_k == 0 || hp->n_embd_head_v == 0 || hp->n_ff == 0)
        cv_build_fail(b, CV_ERR_FORMAT, "a head of %u and %u values, a feed-forward of %u: none may be 0",
                      hp->n_embd_head_k, hp->n_embd_head_v, hp->n_ff);
    else if (hp->n_rot % 2 != 0 || hp->n_rot > hp->n_embd_head_k)
        cv_build_fail(b, CV_ERR_FORMAT, "rope over %u values of a head of %u", hp->n_rot, hp->n_embd_head_k);
    else if (hp->varies)
        cv_build_fail(b, CV_ERR_UNSUPPORTED, "architecture %s with sizes that differ by layer is not supported",
                      hp->arch);
    else if (hp->rope_scaling == CV_ROPE_LONGROPE)
        cv_build_fail(b, CV_ERR_UNSUPPORTED, "rope scaling of type longrope is not supported");
}

static void set_rope(struct cv_builder *b, const struct cv_dense *kind)
{
    const struct cv_hparams *hp = &b->p->hp;
    b->p->rope = (struct cv_rope){
        .mode = kind->rope,
        .n_rot = hp->n_rot,
        .freq_base = hp->rope_freq_base,
        .scaling = hp->rope_scaling,
        .factor = hp->rope_factor,
        .orig_ctx = hp->rope_orig_ctx,
        .ext_factor = hp->yarn_ext_factor,
        .attn_factor = hp->yarn_attn_factor,
        .beta_fast = hp->yarn_beta_fast,
        .beta_slow = hp->yarn_beta_slow,
        .factors = CV_NO_WEIGHT,
    };
    if (kind->rope_factors && b->p->part.layer_first != b->p->part.layer_last)
        b->p->rope.factors = cv_build_optional(b, -1, "rope_freqs.weight", CV_WEIGHT_VECTOR, hp->n_rot / 2, 1);
}

void cv_arch_dense(struct cv_builder *b, const struct cv_dense *kind)
{
    struct cv_program *p = b->p;
    const struct cv_hparams *hp = &p->hp;
    check_sizes(b);
    if (b->failed)
        return;
    struct dense d = {.b = b, .hp = hp, .kind = kind};
    d.x = p->carry = cv_build_buffer(b, "x", hp->n_embd);
    d.h = cv_build_buffer(b, "h", hp->n_embd);
    if (p->part.layer_first != p->part.layer_last) {
        d.q = cv_build_buffer(b, "q", (size_t)hp->n_head * hp->n_embd_head_k);
        d.k = cv_build_buffer(b, "k", (size_t)hp->n_head_kv * hp->n_embd_head_k);
        d.v = cv_build_buffer(b, "v", (size_t)hp->n_head_kv * hp->n_embd_head_v);
        d.att = cv_build_buffer(b, "att", (size_t)hp->n_head * hp->n_embd_head_v);
        d.gate = cv_build_buffer(b, "gate", hp->n_ff);
        d.up = cv_build_buffer(b, "up", hp->n_ff);
    }
    if (p->part.has_embd) {
        int w = cv_build_weight(b, -1, "token_embd.weight", CV_WEIGHT_TABLE, hp->n_embd, hp->n_vocab);
        struct cv_op *op = cv_build_op(b, CV_OP_EMBED, 0);
        if (op != NULL) {
            op->dst[0] = d.x;
            op->weight[0] = w;
        }
    }
    set_rope(b, kind);
    for (uint32_t layer = p->part.layer_first; layer < p->part.layer_last && !b->failed; layer++)
        layer_ops(&d, layer, p->part.has_head && layer + 1 == hp->n_layer);
    if (p->part.has_head)
        head_ops(&d);
}
