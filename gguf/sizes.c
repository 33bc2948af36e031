#include "gguf/sizes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool cv_tensor_layer(const char *name, uint32_t *layer, const char **rest)
{
    if (strncmp(name, "blk.", 4) != 0)
        return false;
    const char *p = name + 4;
    uint32_t n = 0;
    for (; *p >= '0' && *p <= '9' && n <= CV_MAX_LAYERS; p++)
        n = n * 10 + (uint32_t)(*p - '0');
    if (p == name + 4 || *p != '.')
        return false;
    *layer = n;
    if (rest != NULL)
        *rest = p + 1;
    return true;
}

static bool begins(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

enum { HAS_K = 1, HAS_QKV = 2, HAS_STATE = 4 };

/* What a tensor tells of its layer. A fused q, k, v beside a recurrent state is that state's input. */
static unsigned traits(const char *rest)
{
    if (begins(rest, "attn_k.") || begins(rest, "attn_kv_") || begins(rest, "attn_k_b."))
        return HAS_K;
    if (begins(rest, "attn_qkv."))
        return HAS_QKV;
    return begins(rest, "ssm_") || begins(rest, "shortconv.") || begins(rest, "time_mix_") ? HAS_STATE : 0;
}

static uint64_t elements(const struct cv_gguf_tensor *t)
{
    return (uint64_t)t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3];
}

static void count_in_layer(struct cv_layer_sizes *l, const struct cv_gguf_tensor *t, const char *rest,
                           const struct cv_model_sizes *m)
{
    const bool experts = strstr(rest, "_exps.") != NULL;
    l->n_tensor++;
    l->weight_bytes += t->size_bytes;
    if (experts)
        l->expert_bytes += t->size_bytes;
    if (t->n_dim < 2)
        return;
    l->n_weight += elements(t);
    l->n_weight_used += experts && m->n_expert > 0 ? elements(t) / m->n_expert * m->n_expert_used : elements(t);
}

static void count_outside(struct cv_model_sizes *m, const struct cv_gguf_tensor *t)
{
    if (begins(t->name, "output.")) {
        m->head_bytes += t->size_bytes;
        m->tied &= strcmp(t->name, "output.weight") != 0;
    } else if (begins(t->name, "output_") || begins(t->name, "cls.") || begins(t->name, "dense_")) {
        m->output_norm_bytes += t->size_bytes;
    } else if (begins(t->name, "token_") || begins(t->name, "position_embd") || begins(t->name, "per_layer_")) {
        m->embd_bytes += t->size_bytes;
    } else {
        m->shared_bytes += t->size_bytes;
    }
}

static uint32_t optional_u32(const struct cv_hparams *h, const struct cv_gguf *g, const char *name)
{
    return cv_hparams_of_layer(h, g, name, 0, 0);
}

bool cv_model_sizes_make(struct cv_model_sizes *out, const struct cv_gguf *g, const struct cv_hparams *h,
                         struct cv_arena *arena, struct cv_error *err)
{
    struct cv_model_sizes m = {.n_layer = h->n_layer, .tied = true};
    unsigned *has = cv_arena_calloc(arena, h->n_layer, sizeof(*has));
    m.layer = cv_arena_calloc(arena, h->n_layer, sizeof(*m.layer));
    if (m.layer == NULL || has == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "out of memory");
    m.n_expert = optional_u32(h, g, "expert_count");
    m.n_expert_used = m.n_expert == 0 ? 0 : optional_u32(h, g, "expert_used_count");
    for (size_t i = 0; i < g->n_tensor; i++) {
        const struct cv_gguf_tensor *t = &g->tensor[i];
        uint32_t layer;
        const char *rest;
        m.total_bytes += t->size_bytes;
        m.largest_tensor_bytes = t->size_bytes > m.largest_tensor_bytes ? t->size_bytes : m.largest_tensor_bytes;
        if (!cv_tensor_layer(t->name, &layer, &rest)) {
            count_outside(&m, t);
            continue;
        }
        if (layer >= m.n_layer)
            return cv_fail(err, CV_ERR_FORMAT, "tensor '%.72s' belongs to a layer beyond the %" PRIu32 " of the model",
                           t->name, m.n_layer);
        count_in_layer(&m.layer[layer], t, rest, &m);
        has[layer] |= traits(rest);
    }
    const struct cv_gguf_tensor *embd = cv_gguf_tensor(g, "token_embd.weight");
    if (m.tied && embd != NULL)
        m.head_bytes += embd->size_bytes;
    for (uint32_t i = 0; i < m.n_layer; i++) {
        struct cv_layer_sizes *l = &m.layer[i];
        if (l->n_tensor == 0)
            return cv_fail(err, CV_ERR_FORMAT, "layer %" PRIu32 " has no tensors", i);
        if ((has[i] & HAS_K) == 0 && ((has[i] & HAS_QKV) == 0 || (has[i] & HAS_STATE) != 0))
            continue;
        const uint32_t n_kv = cv_hparams_of_layer(h, g, "attention.head_count_kv", i, h->n_head_kv);
        l->n_head = cv_hparams_of_layer(h, g, "attention.head_count", i, h->n_head);
        l->k_elems = n_kv * h->n_embd_head_k;
        l->v_elems = n_kv * h->n_embd_head_v;
    }
    *out = m;
    return true;
}

bool cv_layer_kv_bytes(const struct cv_layer_sizes *l, enum cv_dtype kv, uint64_t *bytes, struct cv_error *err)
{
    size_t k, v;
    if (!cv_dtype_row_bytes(kv, l->k_elems, &k, err) || !cv_dtype_row_bytes(kv, l->v_elems, &v, err))
        return false;
    *bytes = (uint64_t)k + v;
    return true;
}
