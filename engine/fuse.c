/*
 * fuse.c - neighbours that are better done in one go: the same numbers, fewer forks and fewer walks through memory.
 *
 *     matmul, matmul over one source    -> one matmul of several matrices
 *     rope q, rope k, store k v         -> rope+store
 *     add x h, norm x                   -> add+norm
 */
#include "engine/program.h"

static bool fuse_matmul(struct cv_op *a, const struct cv_op *b)
{
    if (a->kind != CV_OP_MATMUL || b->kind != CV_OP_MATMUL || b->n_mat != 1 || a->n_mat == CV_OP_FAN ||
        a->src[0] != b->src[0] || a->layer != b->layer)
        return false;
    for (uint32_t i = 0; i < a->n_mat; i++)
        if (a->dst[i] == b->src[0] || a->dst[i] == b->dst[0])
            return false;
    a->dst[a->n_mat] = b->dst[0];
    a->weight[a->n_mat] = b->weight[0];
    a->bias[a->n_mat] = b->bias[0];
    a->n_mat++;
    return true;
}

/* rope k, store k v; then rope q before it joins in. */
static bool fuse_store(struct cv_op *a, const struct cv_op *b)
{
    if (a->kind != CV_OP_ROPE || b->kind != CV_OP_STORE || a->dst[0] != b->src[0])
        return false;
    uint32_t layer = a->layer;
    *a = *b;
    a->kind = CV_OP_ROPE_STORE;
    a->layer = layer;
    a->src[2] = -1;
    return true;
}

static bool fuse_query(struct cv_op *a, const struct cv_op *b)
{
    if (a->kind != CV_OP_ROPE || b->kind != CV_OP_ROPE_STORE || b->src[2] >= 0)
        return false;
    int q = a->dst[0];
    *a = *b;
    a->src[2] = q;
    return true;
}

static bool fuse_norm(struct cv_op *a, const struct cv_op *b)
{
    if (a->kind != CV_OP_ADD || b->kind != CV_OP_NORM || b->n_head != 1 || b->src[0] != a->dst[0] ||
        a->dst[0] != a->src[0])
        return false;
    int other = a->src[1];
    *a = *b;
    a->kind = CV_OP_ADD_NORM;
    a->src[1] = other;
    return true;
}

void cv_program_fuse(struct cv_program *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n_op; i++) {
        p->op[n++] = p->op[i];
        /* What has just been put together may fit what stands before it. */
        while (n >= 2) {
            struct cv_op *a = &p->op[n - 2], *b = &p->op[n - 1];
            if (!fuse_matmul(a, b) && !fuse_store(a, b) && !fuse_query(a, b) && !fuse_norm(a, b))
                break;
            n--;
        }
    }
    p->n_op = n;
}
