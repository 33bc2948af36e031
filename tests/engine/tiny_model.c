#include "tests/engine/tiny_model.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "tests/check/check.h"

enum { HEADS = 4, HEADS_KV = 2, HEAD = 16, FF = 96, MAX_TENSORS = 64 };

struct writing {
    struct cv_gguf_writer *w;
    const struct tiny_spec *spec;
    struct {
        enum cv_dtype type;
        size_t k, n_out;
        float mean, size;
    } tensor[MAX_TENSORS];
    size_t n;
    bool extra; /* the extra tensor is written even in place of one that is left out */
    struct cv_error err;
};

static void tensor(struct writing *t, enum cv_dtype type, size_t k, size_t n_out, float mean, float size,
                   const char *name)
{
    if (t->spec->leave_out != NULL && strcmp(name, t->spec->leave_out) == 0 && !t->extra)
        return;
    size_t dim[2] = {k, n_out};
    CHECK_OK(cv_gguf_put_tensor(t->w, name, type, dim, n_out == 1 ? 1 : 2, &t->err), t->err);
    CHECK(t->n < MAX_TENSORS);
    t->tensor[t->n].type = type;
    t->tensor[t->n].k = k;
    t->tensor[t->n].n_out = n_out;
    t->tensor[t->n].mean = mean;
    t->tensor[t->n++].size = size;
}

static void layer_tensor(struct writing *t, int layer, const char *name, size_t k, size_t n_out)
{
    char full[64];
    snprintf(full, sizeof(full), "blk.%d.%s", layer, name);
    bool vector = n_out == 1;
    bool is_norm = strstr(name, "norm") != NULL;
    tensor(t, vector ? CV_DTYPE_F32 : t->spec->type, k, n_out, is_norm ? 1.0f : 0.0f, vector ? 0.2f : 0.35f, full);
}

static void declare_tensors(struct writing *t)
{
    const struct tiny_spec *spec = t->spec;
    tensor(t, spec->type, TINY_EMBD, TINY_VOCAB, 0.0f, 1.0f, "token_embd.weight");
    for (int l = 0; l < TINY_LAYERS; l++) {
        layer_tensor(t, l, "attn_norm.weight", TINY_EMBD, 1);
        layer_tensor(t, l, "attn_q.weight", TINY_EMBD, HEADS * HEAD);
        layer_tensor(t, l, "attn_k.weight", TINY_EMBD, HEADS_KV * HEAD);
        layer_tensor(t, l, "attn_v.weight", TINY_EMBD, HEADS_KV * HEAD);
        if (spec->bias) {
            layer_tensor(t, l, "attn_q.bias", HEADS * HEAD, 1);
            layer_tensor(t, l, "attn_k.bias", HEADS_KV * HEAD, 1);
            layer_tensor(t, l, "attn_v.bias", HEADS_KV * HEAD, 1);
        }
        layer_tensor(t, l, "attn_output.weight", HEADS * HEAD, TINY_EMBD);
        layer_tensor(t, l, "ffn_norm.weight", TINY_EMBD, 1);
        layer_tensor(t, l, "ffn_gate.weight", TINY_EMBD, FF);
        layer_tensor(t, l, "ffn_up.weight", TINY_EMBD, FF);
        layer_tensor(t, l, "ffn_down.weight", FF, TINY_EMBD);
    }
    tensor(t, CV_DTYPE_F32, TINY_EMBD, 1, 1.0f, 0.2f, "output_norm.weight");
    if (!spec->tied)
        tensor(t, spec->type, TINY_EMBD, TINY_VOCAB, 0.0f, 1.0f, "output.weight");
    t->extra = true;
    if (spec->extra != NULL)
        tensor(t, CV_DTYPE_F32, 1, 1, 1.0f, 0.0f, spec->extra);
}

static void put_u32(struct writing *t, const char *arch, const char *key, uint32_t v)
{
    char full[80];
    snprintf(full, sizeof(full), "%s.%s", arch, key);
    CHECK_OK(cv_gguf_put_u32(t->w, full, v, &t->err), t->err);
}

static void put_keys(struct writing *t)
{
    const char *arch = t->spec->arch == NULL ? "llama" : t->spec->arch;
    char full[80];
    CHECK_OK(cv_gguf_put_str(t->w, "general.architecture", arch, strlen(arch), &t->err), t->err);
    put_u32(t, arch, "block_count", TINY_LAYERS);
    put_u32(t, arch, "context_length", 2048);
    put_u32(t, arch, "embedding_length", TINY_EMBD);
    put_u32(t, arch, "feed_forward_length", FF);
    put_u32(t, arch, "attention.head_count", HEADS);
    put_u32(t, arch, "attention.head_count_kv", HEADS_KV);
    snprintf(full, sizeof(full), "%s.attention.layer_norm_rms_epsilon", arch);
    CHECK_OK(cv_gguf_put_f32(t->w, full, 1e-5f, &t->err), t->err);
    if (t->spec->extra_key != NULL)
        put_u32(t, arch, t->spec->extra_key, 1);
}

/* [0, 1), the same numbers for every model: xorshift64*. */
static double uniform(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (double)(*state * 0x2545f4914f6cdd1du >> 11) * 0x1p-53;
}

/* Sums of uniform numbers, so that no library function has a say in the bits. */
static float number(uint64_t *state, float mean, float size)
{
    double sum = uniform(state) + uniform(state) + uniform(state) + uniform(state) - 2.0;
    return mean + size * (float)sum;
}

static void put_data(struct writing *t, size_t i, uint64_t *state, struct cv_buf *out)
{
    size_t k = t->tensor[i].k, row_bytes;
    float row[HEADS * HEAD > FF ? HEADS * HEAD : FF];
    static const char zero[32] = {0};
    CHECK_OK(cv_dtype_row_bytes(t->tensor[i].type, k, &row_bytes, &t->err), t->err);
    for (size_t r = 0; r < t->tensor[i].n_out; r++) {
        unsigned char packed[4 * sizeof(row) / sizeof(row[0])];
        for (size_t j = 0; j < k; j++)
            row[j] = number(state, t->tensor[i].mean, t->tensor[i].size);
        if (t->tensor[i].type == CV_DTYPE_F32)
            memcpy(packed, row, row_bytes);
        else
            cv_quantize(t->tensor[i].type, row, NULL, packed, k);
        CHECK(cv_buf_append(out, packed, row_bytes));
    }
    CHECK(cv_buf_append(out, zero, (32 - out->len % 32) % 32));
}

static bool get_tensor(void *ctx, const struct cv_gguf_tensor *t, const void **data, struct cv_error *err)
{
    struct tiny_model *m = ctx;
    if (++m->gets == m->fail_at)
        return cv_fail(err, CV_ERR_IO, "the source fails");
    *data = m->bytes.data + m->gguf->data_offset + t->offset;
    return true;
}

static void done_tensor(void *ctx, const struct cv_gguf_tensor *t)
{
    (void)t;
    ((struct tiny_model *)ctx)->dones++;
}

void tiny_model_init(struct tiny_model *m, const struct tiny_spec *spec)
{
    static struct writing t;
    *m = (struct tiny_model){.source = {.ctx = m, .get = get_tensor, .done = done_tensor}};
    t = (struct writing){.w = cv_gguf_writer_new(32), .spec = spec};
    CHECK(t.w != NULL);
    cv_buf_init(&m->bytes, (size_t)16 << 20);
    put_keys(&t);
    declare_tensors(&t);
    CHECK_OK(cv_gguf_writer_finish(t.w, &m->bytes, &t.err), t.err);
    cv_gguf_writer_free(t.w);
    uint64_t state = 20261121;
    for (size_t i = 0; i < t.n; i++)
        put_data(&t, i, &state, &m->bytes);
    CHECK_OK(cv_gguf_parse(&m->gguf, m->bytes.data, m->bytes.len, m->bytes.len, &m->arena, &t.err), t.err);
}

void tiny_model_fini(struct tiny_model *m)
{
    cv_arena_fini(&m->arena);
    cv_buf_fini(&m->bytes);
}
