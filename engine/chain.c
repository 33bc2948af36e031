#include "engine/chain.h"

#include "base/limits.h"
#include "base/mem.h"
#include "gguf/hparams.h"

struct cv_chain {
    struct cv_stage **stage;
    uint32_t n_stage;
    uint32_t n_batch;
    float *carry; /* [n_batch][n_embd] */
};

bool cv_chain_new(struct cv_chain **out, const struct cv_gguf *meta, const struct cv_weight_source *source,
                  const struct cv_chain_spec *spec, struct cv_pool *pool, const struct cv_load_progress *progress,
                  struct cv_error *err)
{
    struct cv_hparams hp;
    if (!cv_hparams_read(&hp, meta, err))
        return false;
    struct cv_chain *c = cv_zalloc(sizeof(*c));
    if (c == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "chain of stages: out of memory");
    uint32_t n = spec->n_stage < 1 ? 1 : spec->n_stage;
    n = n > hp.n_layer && hp.n_layer > 0 ? hp.n_layer : n;
    size_t carry = 0;
    c->n_batch = spec->n_batch;
    c->stage = cv_calloc(n, sizeof(struct cv_stage *));
    if (cv_mul_size((size_t)hp.n_embd * sizeof(float), spec->n_batch, &carry))
        c->carry = cv_alloc_aligned(carry);
    if (c->stage == NULL || c->carry == NULL) {
        cv_fail(err, CV_ERR_NOMEM, "chain of stages: no room for a carry of %zu bytes", carry);
        goto fail;
    }
    for (; c->n_stage < n; c->n_stage++) {
        uint32_t i = c->n_stage;
        struct cv_stage_spec part = {.layer_first = (uint32_t)((uint64_t)hp.n_layer * i / n),
                                     .layer_last = (uint32_t)((uint64_t)hp.n_layer * (i + 1) / n),
                                     .has_embd = i == 0,
                                     .has_head = i + 1 == n,
                                     .n_slots = spec->n_slots,
                                     .n_ctx = spec->n_ctx,
                                     .n_batch = spec->n_batch,
                                     .kv_type = spec->kv_type};
        if (!cv_stage_new(&c->stage[i], meta, source, &part, pool, progress, err)) {
            if (n > 1)
                cv_wrap(err, "stage %u of %u", i + 1, n);
            goto fail;
        }
    }
    *out = c;
    return true;
fail:
    cv_chain_free(c);
    return false;
}

void cv_chain_free(struct cv_chain *c)
{
    if (c == NULL)
        return;
    for (uint32_t i = 0; i < c->n_stage; i++)
        cv_stage_free(c->stage[i]);
    cv_free(c->stage);
    cv_free(c->carry);
    cv_free(c);
}

bool cv_chain_step(struct cv_chain *c, const struct cv_step *step, struct cv_error *err)
{
    struct cv_step part = *step;
    part.carry_in = part.carry_out = c->carry;
    for (uint32_t i = 0; i < c->n_stage; i++)
        if (!cv_stage_step(c->stage[i], &part, err))
            return c->n_stage == 1 ? false : cv_wrap(err, "stage %u", i + 1);
    return true;
}

uint32_t cv_chain_n_vocab(const struct cv_chain *c)
{
    return cv_stage_n_vocab(c->stage[0]);
}

uint32_t cv_chain_n_stage(const struct cv_chain *c)
{
    return c->n_stage;
}

struct cv_stage *cv_chain_stage(struct cv_chain *c, uint32_t i)
{
    return c->stage[i];
}

static bool get_mapped(void *ctx, const struct cv_gguf_tensor *t, const void **data, struct cv_error *err)
{
    const struct cv_model *m = ctx;
    *data = cv_model_tensor_data(m, t);
    if (*data == NULL)
        return cv_fail(err, CV_ERR_ARG, "the model's weights are not mapped");
    const struct cv_model_part *part = &m->part[t->part];
    cv_map_will_need(&part->map, part->data_offset + t->offset, t->size_bytes);
    return true;
}

static void drop_mapped(void *ctx, const struct cv_gguf_tensor *t)
{
    const struct cv_model *m = ctx;
    const struct cv_model_part *part = &m->part[t->part];
    cv_map_drop(&part->map, part->data_offset + t->offset, t->size_bytes);
}

struct cv_weight_source cv_model_weights(struct cv_model *m)
{
    return (struct cv_weight_source){.ctx = m, .get = get_mapped, .done = drop_mapped};
}
