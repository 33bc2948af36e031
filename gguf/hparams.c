#include "gguf/hparams.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { KEY_BYTES = 128 };

struct source {
    const struct cv_gguf *g;
    const char *arch;
    bool *varies;
    struct cv_error *err;
};

static const struct cv_gguf_kv *find(const struct cv_gguf *g, const char *arch, const char *name, char key[KEY_BYTES])
{
    snprintf(key, KEY_BYTES, "%s.%s", arch, name);
    return cv_gguf_find(g, key);
}

/* ARCH.name into *out, which keeps its value when the key is absent. Of one number per layer the largest counts. */
static bool get_u32(const struct source *s, const char *name, uint32_t least, uint32_t most, bool required,
                    uint32_t *out)
{
    char key[KEY_BYTES];
    const struct cv_gguf_kv *kv = find(s->g, s->arch, name, key);
    uint32_t v = 0;
    if (kv == NULL)
        return !required || cv_fail(s->err, CV_ERR_FORMAT, "the model has no key '%s'", key);
    if (kv->type != CV_GGUF_ARRAY) {
        if (!cv_gguf_u32(s->g, key, &v, s->err))
            return false;
    } else {
        for (size_t i = 0; i < kv->n; i++) {
            int64_t one;
            if (!cv_gguf_kv_i64(kv, i, &one) || one < 0 || one > UINT32_MAX)
                return cv_fail(s->err, CV_ERR_FORMAT, "key '%s': element %zu is no whole number from 0 on", key, i);
            *s->varies |= i > 0 && (uint32_t)one != v;
            v = (uint32_t)one > v ? (uint32_t)one : v;
        }
    }
    if (v < least || v > most)
        return cv_fail(s->err, v < least ? CV_ERR_FORMAT : CV_ERR_LIMIT,
                       "key '%s' is %" PRIu32 ", expected %" PRIu32 " to %" PRIu32, key, v, least, most);
    *out = v;
    return true;
}

static bool get_f32(const struct source *s, const char *name, float least, float *out)
{
    char key[KEY_BYTES];
    float v;
    if (find(s->g, s->arch, name, key) == NULL)
        return true;
    if (!cv_gguf_f32(s->g, key, &v, s->err))
        return false;
    if (v < least)
        return cv_fail(s->err, CV_ERR_FORMAT, "key '%s' is %g, expected at least %g", key, (double)v, (double)least);
    *out = v;
    return true;
}

/* Families whose layers hold a state of fixed size and no attention at all. */
static bool without_attention(const char *arch)
{
    static const char *const names[] = {"mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(arch, names[i]) == 0)
            return true;
    return false;
}

static bool get_arch(struct cv_hparams *h, const struct cv_gguf *g, struct cv_error *err)
{
    struct cv_str s;
    if (!cv_gguf_str(g, "general.architecture", &s, err))
        return false;
    bool ok = s.n > 0 && s.n < sizeof(h->arch);
    for (size_t i = 0; ok && i < s.n; i++)
        ok = (s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') || strchr("-_.", s.p[i]) != NULL;
    if (!ok)
        return cv_fail(err, CV_ERR_FORMAT, "general.architecture is not a name of 1 to %zu letters, digits, '-', '_'",
                       sizeof(h->arch) - 1);
    memcpy(h->arch, s.p, s.n);
    return true;
}

static bool get_vocab(struct cv_hparams *h, const struct source *s)
{
    const struct cv_gguf_tensor *embd = cv_gguf_tensor(s->g, "token_embd.weight");
    const struct cv_gguf_kv *tokens = cv_gguf_find(s->g, "tokenizer.ggml.tokens");
    if (!get_u32(s, "vocab_size", 1, CV_MAX_VOCAB, false, &h->n_vocab))
        return false;
    const size_t n = embd != NULL ? embd->dim[1] : h->n_vocab != 0 ? h->n_vocab : tokens != NULL ? tokens->n : 0;
    if (n == 0 || n > CV_MAX_VOCAB)
        return cv_fail(s->err, n == 0 ? CV_ERR_FORMAT : CV_ERR_LIMIT, "a vocabulary of %zu tokens, expected 1 to %u", n,
                       CV_MAX_VOCAB);
    h->n_vocab = (uint32_t)n;
    return true;
}

static bool get_heads(struct cv_hparams *h, const struct source *s)
{
    const bool attends = !without_attention(h->arch);
    if (!get_u32(s, "attention.head_count", attends, CV_MAX_HEADS, attends, &h->n_head))
        return false;
    h->n_head_kv = h->n_head;
    if (!get_u32(s, "attention.head_count_kv", attends, CV_MAX_HEADS, false, &h->n_head_kv))
        return false;
    if (attends && !h->varies && h->n_head % h->n_head_kv != 0)
        return cv_fail(s->err, CV_ERR_FORMAT, "%" PRIu32 " heads cannot share %" PRIu32 " heads of keys and values",
                       h->n_head, h->n_head_kv);
    h->n_embd_head_k = h->n_embd_head_v = h->n_head == 0 ? 0 : h->n_embd / h->n_head;
    if (!get_u32(s, "attention.key_length", attends, CV_MAX_EMBD, false, &h->n_embd_head_k) ||
        !get_u32(s, "attention.value_length", attends, CV_MAX_EMBD, false, &h->n_embd_head_v))
        return false;
    if (attends && (h->n_embd_head_k == 0 || h->n_embd_head_v == 0))
        return cv_fail(s->err, CV_ERR_FORMAT, "%" PRIu32 " heads in an embedding of %" PRIu32, h->n_head, h->n_embd);
    h->n_rot = h->n_embd_head_k;
    return get_u32(s, "rope.dimension_count", 0, CV_MAX_EMBD, false, &h->n_rot);
}

static bool get_scaling(struct cv_hparams *h, const struct source *s)
{
    static const struct {
        const char *name;
        enum cv_rope_scaling value;
    } names[] = {
        {"none", CV_ROPE_NONE}, {"linear", CV_ROPE_LINEAR}, {"yarn", CV_ROPE_YARN}, {"longrope", CV_ROPE_LONGROPE}};
    char key[KEY_BYTES];
    struct cv_str type = {"linear", 6};
    h->rope_factor = 1.0f;
    if (!get_f32(s, "rope.scale_linear", 0.0f, &h->rope_factor) ||
        !get_f32(s, "rope.scaling.factor", 0.0f, &h->rope_factor))
        return false;
    if (h->rope_factor == 0.0f) /* some converters write 0 for "none" */
        h->rope_factor = 1.0f;
    if (find(s->g, s->arch, "rope.scaling.type", key) != NULL) {
        if (!cv_gguf_str(s->g, key, &type, s->err))
            return false;
    } else if (h->rope_factor == 1.0f) {
        type = (struct cv_str){"none", 4};
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (type.n != strlen(names[i].name) || memcmp(type.p, names[i].name, type.n) != 0)
            continue;
        h->rope_scaling = names[i].value;
        return true;
    }
    return cv_fail(s->err, CV_ERR_UNSUPPORTED, "key '%s' is '%.*s', expected none, linear, yarn or longrope", key,
                   (int)(type.n < 40 ? type.n : 40), type.p);
}

static bool get_rope(struct cv_hparams *h, const struct source *s)
{
    float attn_factor = 1.0f;
    h->rope_freq_base = 10000.0f;
    h->rope_orig_ctx = h->n_ctx_train;
    if (!get_scaling(h, s))
        return false;
    h->yarn_ext_factor = h->rope_scaling == CV_ROPE_YARN ? 1.0f : 0.0f;
    h->yarn_attn_factor = 1.0f;
    h->yarn_beta_fast = 32.0f;
    h->yarn_beta_slow = 1.0f;
    if (!get_f32(s, "rope.freq_base", 0.0f, &h->rope_freq_base) ||
        !get_u32(s, "rope.scaling.original_context_length", 1, CV_MAX_CTX, false, &h->rope_orig_ctx) ||
        !get_f32(s, "rope.scaling.yarn_ext_factor", -1.0f, &h->yarn_ext_factor) ||
        !get_f32(s, "rope.scaling.yarn_attn_factor", 0.0f, &h->yarn_attn_factor) ||
        !get_f32(s, "rope.scaling.attn_factor", 0.0f, &attn_factor) ||
        !get_f32(s, "rope.scaling.yarn_beta_fast", 0.0f, &h->yarn_beta_fast) ||
        !get_f32(s, "rope.scaling.yarn_beta_slow", 0.0f, &h->yarn_beta_slow) ||
        !get_f32(s, "rope.scaling.yarn_log_multiplier", 0.0f, &h->yarn_log_mul))
        return false;
    if (h->yarn_ext_factor < 0.0f) /* -1 stands for the type's own */
        h->yarn_ext_factor = h->rope_scaling == CV_ROPE_YARN ? 1.0f : 0.0f;
    h->yarn_attn_factor *= attn_factor;
    return h->rope_freq_base > 0.0f ||
           cv_fail(s->err, CV_ERR_FORMAT, "key '%s.rope.freq_base' is not above 0", h->arch);
}

static bool get_eps(struct cv_hparams *h, const struct source *s)
{
    h->norm_rms_eps = -1.0f;
    if (!get_f32(s, "attention.layer_norm_epsilon", 0.0f, &h->norm_rms_eps) ||
        !get_f32(s, "attention.layer_norm_rms_epsilon", 0.0f, &h->norm_rms_eps))
        return false;
    return h->norm_rms_eps >= 0.0f ||
           cv_fail(s->err, CV_ERR_FORMAT, "the model has no key '%s.attention.layer_norm_rms_epsilon'", h->arch);
}

bool cv_hparams_read(struct cv_hparams *out, const struct cv_gguf *g, struct cv_error *err)
{
    struct cv_hparams h = {0};
    const struct source s = {g, h.arch, &h.varies, err};
    if (!get_arch(&h, g, err) || !get_u32(&s, "block_count", 1, CV_MAX_LAYERS, true, &h.n_layer) ||
        !get_u32(&s, "embedding_length", 1, CV_MAX_EMBD, true, &h.n_embd) ||
        !get_u32(&s, "context_length", 1, CV_MAX_CTX, true, &h.n_ctx_train) ||
        !get_u32(&s, "feed_forward_length", 0, UINT32_MAX, false, &h.n_ff) || !get_vocab(&h, &s) ||
        !get_heads(&h, &s) || !get_rope(&h, &s) || !get_eps(&h, &s) ||
        !get_f32(&s, "attention.scale", 0.0f, &h.attn_scale))
        return false;
    *out = h;
    return true;
}

uint32_t cv_hparams_of_layer(const struct cv_hparams *h, const struct cv_gguf *g, const char *name, uint32_t layer,
                             uint32_t fallback)
{
    char key[KEY_BYTES];
    const struct cv_gguf_kv *kv = find(g, h->arch, name, key);
    int64_t v;
    if (kv == NULL || !cv_gguf_kv_i64(kv, kv->type == CV_GGUF_ARRAY ? layer : 0, &v) || v < 0 || v > UINT32_MAX)
        return fallback;
    return (uint32_t)v;
}
