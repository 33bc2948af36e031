#include "coordinator/model.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

enum { DEFAULT_CTX = 4096, DEFAULT_BATCH = 512 };

/* "/models/llama-3-8b-Q4_K_M-00001-of-00003.gguf" -> "llama-3-8b-Q4_K_M" */
static char *id_of_path(const char *path)
{
    const char *name = strrchr(path, '/');
    name = name == NULL ? path : name + 1;
    size_t n = strlen(name);
    if (n > 5 && strcmp(name + n - 5, ".gguf") == 0)
        n -= 5;
    unsigned part, parts;
    int used = 0;
    if (n > 15 && sscanf(name + n - 15, "-%5u-of-%5u%n", &part, &parts, &used) == 2 && used == 15)
        n -= 15;
    return cv_strndup(name, n);
}

/* A special token's text, as the template is given it. */
static char *token_text(const struct cv_vocab *v, int32_t id)
{
    const struct cv_str s = id < 0 ? (struct cv_str){"", 0} : cv_vocab_text(v, id);
    return cv_strndup(s.p == NULL ? "" : s.p, s.n);
}

static bool read_template(struct cv_served *m, struct cv_error *err)
{
    struct cv_str source;
    struct cv_error why;
    if (!cv_gguf_str(m->file->gguf, "tokenizer.chat_template", &source, &why)) {
        cv_fail(&m->chat_why, CV_ERR_UNSUPPORTED, "the model has no chat template: use /v1/completions");
        return why.code == CV_ERR_NOT_FOUND || cv_fail(err, why.code, "%.500s", why.msg);
    }
    /* A template that cannot be read does not keep the model from completing text. */
    if (!cv_template_new(&m->chat, source.p, source.n, &m->chat_why))
        cv_wrap(&m->chat_why, "the model's chat template");
    return true;
}

static enum cv_plan_kv plan_kv(enum cv_dtype t)
{
    return t == CV_DTYPE_F32 ? CV_PLAN_KV_F32 : CV_PLAN_KV_F16;
}

/* What a stage takes beyond weights and sequence memory: the step's buffers in the engine and those of the edges. */
static struct cv_plan_work plan_work(const struct cv_served *m)
{
    const struct cv_hparams *h = &m->hparams;
    const uint64_t q = (uint64_t)h->n_head * h->n_embd_head_k, kv = (uint64_t)h->n_head_kv * h->n_embd_head_k * 2;
    struct cv_plan_work w = {.fixed = 1 << 20};
    w.per_row = sizeof(float) * (6ull * h->n_embd + 2 * q + kv + 3ull * h->n_ff + h->n_rot) + 256;
    w.per_ctx = sizeof(float) * 4ull * h->n_head; /* partial results of a long context, page by page */
    w.fixed += sizeof(float) * (uint64_t)m->n_slots * h->n_vocab; /* the rows of logits: counted for every stage */
    return w;
}

static bool make_plan_model(struct cv_served *m, struct cv_error *err)
{
    const struct cv_hparams *h = &m->hparams;
    struct cv_plan_layer *layer = cv_arena_calloc(&m->arena, h->n_layer, sizeof(*layer));
    if (layer == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for %u layers", h->n_layer);
    for (uint32_t i = 0; i < h->n_layer; i++) {
        const struct cv_layer_sizes *s = &m->sizes.layer[i];
        layer[i] = (struct cv_plan_layer){.weight_bytes = s->weight_bytes,
                                          .expert_bytes = s->expert_bytes,
                                          .n_expert = s->expert_bytes == 0 ? 0 : m->sizes.n_expert,
                                          .n_expert_used = s->expert_bytes == 0 ? 0 : m->sizes.n_expert_used,
                                          .kv_elems = s->k_elems + s->v_elems,
                                          .flops = 2.0 * (double)s->n_weight_used,
                                          .attn_flops = 2.0 * s->n_head * (h->n_embd_head_k + h->n_embd_head_v)};
    }
    m->plan = (struct cv_plan_model){.name = m->id,
                                     .layer = layer,
                                     .n_layer = h->n_layer,
                                     .n_embd = h->n_embd,
                                     .n_ctx = m->n_ctx,
                                     .n_slots = m->n_slots,
                                     .n_batch = m->n_batch,
                                     .kv = plan_kv(m->kv_type),
                                     .embd_bytes = m->sizes.embd_bytes,
                                     .head_bytes = m->sizes.head_bytes + m->sizes.output_norm_bytes,
                                     .tied = m->sizes.tied,
                                     .head_flops = 2.0 * h->n_embd * h->n_vocab,
                                     .carry_elem_bytes = m->carry == CV_CARRY_F32 ? 4 : 2,
                                     .work = plan_work(m)};
    return true;
}

bool cv_served_open(struct cv_served **out, const struct cv_served_options *o, struct cv_error *err)
{
    struct cv_served *m = cv_zalloc(sizeof(*m));
    if (m == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "%s: out of memory", o->path);
    m->path = cv_strdup(o->path);
    m->id = o->id != NULL ? cv_strdup(o->id) : id_of_path(o->path);
    if (m->path == NULL || m->id == NULL) {
        cv_fail(err, CV_ERR_NOMEM, "out of memory");
        goto fail;
    }
    struct stat st;
    m->created = stat(o->path, &st) == 0 ? (int64_t)st.st_mtime : 0;
    if (!cv_model_open(&m->file, o->path, CV_MODEL_HEADER, err))
        goto fail;
    if (!cv_hparams_read(&m->hparams, m->file->gguf, err) ||
        !cv_model_sizes_make(&m->sizes, m->file->gguf, &m->hparams, &m->arena, err) ||
        !cv_vocab_new(&m->vocab, m->file->gguf, err) || !read_template(m, err)) {
        cv_wrap(err, "%s", o->path);
        goto fail;
    }
    m->bos_text = token_text(m->vocab, cv_vocab_special(m->vocab)->bos);
    m->eos_text = token_text(m->vocab, cv_vocab_special(m->vocab)->eos);
    m->n_ctx = o->n_ctx != 0 ? o->n_ctx : m->hparams.n_ctx_train < DEFAULT_CTX ? m->hparams.n_ctx_train : DEFAULT_CTX;
    m->n_slots = o->n_slots;
    m->n_batch = o->n_batch != 0 ? o->n_batch : DEFAULT_BATCH;
    m->kv_type = o->kv_type;
    m->carry = o->carry_f32 ? CV_CARRY_F32 : CV_CARRY_F16;
    if (m->bos_text == NULL || m->eos_text == NULL) {
        cv_fail(err, CV_ERR_NOMEM, "out of memory");
        goto fail;
    }
    if (m->n_ctx == 0 || m->n_ctx > CV_MAX_CTX || m->n_slots == 0 || m->n_slots > CV_MAX_SLOTS ||
        m->n_batch > CV_MAX_BATCH_ROWS) {
        cv_fail(err, CV_ERR_ARG, "context 1..%u, slots 1..%u, batch 1..%u", CV_MAX_CTX, CV_MAX_SLOTS, CV_MAX_BATCH_ROWS);
        goto fail;
    }
    if (!make_plan_model(m, err))
        goto fail;
    *out = m;
    return true;
fail:
    cv_served_close(m);
    return false;
}

void cv_served_close(struct cv_served *m)
{
    if (m == NULL)
        return;
    cv_model_digest_free(m->digest);
    cv_template_free(m->chat);
    cv_vocab_free(m->vocab);
    cv_model_close(m->file);
    cv_free(m->bos_text);
    cv_free(m->eos_text);
    cv_free(m->id);
    cv_free(m->path);
    cv_arena_fini(&m->arena);
    cv_free(m);
}

bool cv_served_digest(struct cv_served *m, const char *cache_dir, cv_digest_progress *progress, void *ctx,
                      struct cv_error *err)
{
    return m->digest != NULL || cv_model_digest_get(&m->digest, m->file, cache_dir, progress, ctx, err);
}

/* ---- the order of one stage ---- */

static bool stage_needs(const struct cv_served *m, const struct cv_plan_stage *s, const char *name)
{
    uint32_t layer;
    if (cv_tensor_layer(name, &layer, NULL))
        return layer >= s->layer_first && layer < s->layer_last;
    if (strncmp(name, "token_embd", 10) == 0)
        return s->has_embd || (s->has_head && m->sizes.tied && strcmp(name, "token_embd.weight") == 0);
    if (strncmp(name, "output", 6) == 0)
        return s->has_head;
    return true; /* small ones that any layer may use: rope_freqs */
}

static bool is_for_the_engine(const struct cv_str key)
{
    static const char *const left_out[] = {"tokenizer.", "split."};
    for (size_t i = 0; i < CV_COUNT(left_out); i++)
        if (key.n >= strlen(left_out[i]) && memcmp(key.p, left_out[i], strlen(left_out[i])) == 0)
            return false;
    return true;
}

/* Metadata and the directory of the stage's tensors, as a GGUF header without data. */
static bool make_header(const struct cv_served *m, const struct cv_plan_stage *s, struct cv_ctl_load *out,
                        struct cv_arena *arena, struct cv_error *err)
{
    const struct cv_gguf *g = m->file->gguf;
    struct cv_buf header;
    cv_buf_init(&header, CV_MAX_CALL_BYTES / 2);
    struct cv_gguf_writer *w = cv_gguf_writer_new(g->alignment);
    bool ok = w != NULL || cv_fail(err, CV_ERR_NOMEM, "out of memory");
    bool has_n_vocab = false;
    char key[64];
    snprintf(key, sizeof(key), "%s.vocab_size", m->hparams.arch);
    for (size_t i = 0; ok && i < g->n_kv; i++) {
        has_n_vocab = has_n_vocab || (g->kv[i].key.n == strlen(key) && memcmp(g->kv[i].key.p, key, strlen(key)) == 0);
        if (is_for_the_engine(g->kv[i].key))
            ok = cv_gguf_put_kv(w, &g->kv[i], err);
    }
    /* A middle stage has neither embedding nor tokens to count. */
    if (ok && !has_n_vocab)
        ok = cv_gguf_put_u32(w, key, m->hparams.n_vocab, err);
    for (size_t i = 0; ok && i < g->n_tensor; i++)
        if (stage_needs(m, s, g->tensor[i].name))
            ok = cv_gguf_put_tensor(w, g->tensor[i].name, g->tensor[i].dtype, g->tensor[i].dim, g->tensor[i].n_dim, err);
    ok = ok && cv_gguf_writer_finish(w, &header, err);
    if (ok) {
        unsigned char *copy = cv_arena_alloc(arena, header.len);
        if (copy != NULL)
            memcpy(copy, header.data, header.len);
        out->gguf_header = copy;
        out->gguf_header_len = header.len;
        ok = copy != NULL || cv_fail(err, CV_ERR_NOMEM, "out of memory");
    }
    cv_gguf_writer_free(w);
    cv_buf_fini(&header);
    return ok;
}

bool cv_served_order(const struct cv_served *m, const struct cv_plan_stage *s, bool local, struct cv_ctl_load *out,
                     struct cv_arena *arena, struct cv_error *err)
{
    const struct cv_gguf *g = m->file->gguf;
    *out = (struct cv_ctl_load){.layer_first = s->layer_first,
                                .layer_last = s->layer_last,
                                .has_embd = s->has_embd,
                                .has_head = s->has_head,
                                .n_slots = m->n_slots,
                                .n_ctx = m->n_ctx,
                                .n_batch = m->n_batch,
                                .kv_type = (uint32_t)m->kv_type,
                                .local_path = local ? m->path : ""};
    if (!local && m->digest == NULL)
        return cv_fail(err, CV_ERR_INTERNAL, "the model's digests are not known yet");
    if (m->digest != NULL)
        memcpy(out->model, m->digest->id, sizeof(out->model));
    else /* a name for this file within this process: nobody fetches by it */
        (void)cv_sha256_once(m->path, strlen(m->path), out->model);
    struct cv_ctl_tensor *tensor = cv_arena_calloc(arena, g->n_tensor, sizeof(*tensor));
    if (tensor == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "out of memory");
    out->tensor = tensor;
    for (size_t i = 0; i < g->n_tensor; i++) {
        const struct cv_gguf_tensor *t = &g->tensor[i];
        if (!stage_needs(m, s, t->name))
            continue;
        struct cv_ctl_tensor *to = &tensor[out->n_tensor++];
        *to = (struct cv_ctl_tensor){.name = t->name,
                                     .part = t->part,
                                     .offset = m->file->part[t->part].data_offset + t->offset,
                                     .size_bytes = t->size_bytes};
        if (m->digest != NULL)
            memcpy(to->sha256, m->digest->tensor[i], sizeof(to->sha256));
    }
    return make_header(m, s, out, arena, err);
}
