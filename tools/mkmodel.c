/*
 * mkmodel.c - caravan-mkmodel: writes a small model with random weights, to try a cluster without a download.
 *
 * Every number comes from the seed, the tensor's name and the row, so the same options give the same file, byte for
 * byte, on any machine and with any number of threads.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/size.h"
#include "gguf/gguf.h"
#include "tools/mix.h"
#include "tools/output.h"
#include "tools/words.h"

static const char help[] =
    "Writes a small language model with random weights: it answers nonsense, but it loads, splits and runs like a "
    "real\n"
    "one, and needs no download.\n"
    "\n"
    "  caravan-mkmodel OUT.gguf [options]\n"
    "\n"
    "  --arch NAME      llama, qwen2 or qwen3                                  [llama]\n"
    "  --layers N       layers: what a cluster divides among its nodes          [12]\n"
    "  --embd N         width of the activations                                [512]\n"
    "  --ff N           width inside the feed-forward part                      [1536]\n"
    "  --heads N        attention heads                                         [8]\n"
    "  --kv-heads N     heads of keys and values; divides --heads               [4]\n"
    "  --head-dim N     values per head                                         [embd / heads]\n"
    "  --vocab N        tokens: 256 bytes, merges learned from a page of        [896]\n"
    "                   English, three special ones for chat, unused ones\n"
    "  --ctx N          positions the model claims to know                      [4096]\n"
    "  --type T         weights: one type for all matrices, or a mix            [Q8_0]\n"
    "                   (F32 F16 BF16 Q8_0 Q6_K Q5_K Q4_K Q5_1 Q5_0 Q4_1 Q4_0 Q5_K_M Q4_K_M)\n"
    "  --tied           no output matrix: the embedding serves as one\n"
    "  --seed N         another model of the same shape                         [1]\n"
    "  --threads N      threads                                                 [all processors]\n"
    "\n"
    "Examples:\n"
    "  caravan-mkmodel demo.gguf                            40 million weights, 42 MB\n"
    "  caravan-mkmodel tiny.gguf --layers 2 --embd 64 --ff 192 --heads 4 --kv-heads 2 --type F32\n"
    "  caravan-mkmodel wide.gguf --embd 2048 --ff 5632 --heads 32 --layers 22 --type Q4_K_M\n"
    "\n"
    "The same options and seed give the same file, byte for byte.\n";

struct options {
    const char *path, *arch, *type;
    uint32_t n_layer, n_embd, n_ff, n_head, n_head_kv, head_dim, n_vocab, n_ctx, seed, threads;
    bool tied;
};

struct maker {
    struct options o;
    const struct cv_mix *mix;
    struct cv_arena arena;
    struct cv_words words;
    struct cv_gguf_writer *writer;
    struct cv_output output;
    struct cv_pool *pool;
    float *row;            /* [threads][longest row] */
    unsigned char *packed; /* one tensor */
    size_t row_cap, packed_cap;
    uint64_t n_params;
};

/* One tensor of the model: what both passes, header and data, go over. */
struct tensor {
    char name[64];
    size_t dim[2];
    uint32_t n_dim;
    enum cv_dtype type;
    float mean, deviation;
    bool rows_are_tokens; /* row i belongs to token i */
};

static bool number(const char *name, const char *text, uint32_t least, uint32_t most, uint32_t *out,
                   struct cv_error *err)
{
    char *end;
    const unsigned long long v = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || v < least || v > most)
        return cv_fail(err, CV_ERR_ARG, "%s: '%s' is not a number from %" PRIu32 " to %" PRIu32, name, text, least,
                       most);
    *out = (uint32_t)v;
    return true;
}

static bool parse_options(struct options *o, int argc, char **argv, struct cv_error *err)
{
    const struct {
        const char *name;
        uint32_t least, most, *out;
    } numbers[] = {{"--layers", 1, CV_MAX_LAYERS, &o->n_layer},
                   {"--embd", 8, 65536, &o->n_embd},
                   {"--ff", 8, 262144, &o->n_ff},
                   {"--heads", 1, CV_MAX_HEADS, &o->n_head},
                   {"--kv-heads", 1, CV_MAX_HEADS, &o->n_head_kv},
                   {"--head-dim", 2, 1024, &o->head_dim},
                   {"--vocab", CV_WORDS_LEAST, 1 << 18, &o->n_vocab},
                   {"--ctx", 16, CV_MAX_CTX, &o->n_ctx},
                   {"--seed", 0, UINT32_MAX, &o->seed},
                   {"--threads", 1, 1024, &o->threads}};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        size_t k = 0;
        if (strcmp(name, "--tied") == 0) {
            o->tied = true;
            continue;
        }
        if (name[0] != '-') {
            if (o->path != NULL)
                return cv_fail(err, CV_ERR_ARG, "two files to write: '%s' and '%s'", o->path, name);
            o->path = name;
            continue;
        }
        while (k < CV_COUNT(numbers) && strcmp(numbers[k].name, name) != 0)
            k++;
        const char **text = strcmp(name, "--arch") == 0 ? &o->arch : strcmp(name, "--type") == 0 ? &o->type : NULL;
        if (k == CV_COUNT(numbers) && text == NULL)
            return cv_fail(err, CV_ERR_ARG, "there is no option %s", name);
        if (++i == argc)
            return cv_fail(err, CV_ERR_ARG, "%s needs a value", name);
        if (text != NULL)
            *text = argv[i];
        else if (!number(name, argv[i], numbers[k].least, numbers[k].most, numbers[k].out, err))
            return false;
    }
    return o->path != NULL || cv_fail(err, CV_ERR_ARG, "which file to write?");
}

static bool check_options(struct options *o, struct cv_error *err)
{
    if (strcmp(o->arch, "llama") != 0 && strcmp(o->arch, "qwen2") != 0 && strcmp(o->arch, "qwen3") != 0)
        return cv_fail(err, CV_ERR_ARG, "--arch %s: expected llama, qwen2 or qwen3", o->arch);
    if (o->n_head % o->n_head_kv != 0)
        return cv_fail(err, CV_ERR_ARG, "--heads %" PRIu32 " is no multiple of --kv-heads %" PRIu32, o->n_head,
                       o->n_head_kv);
    if (o->head_dim == 0 && o->n_embd % o->n_head != 0)
        return cv_fail(err, CV_ERR_ARG, "--embd %" PRIu32 " is no multiple of --heads %" PRIu32 "; give --head-dim",
                       o->n_embd, o->n_head);
    if (o->head_dim == 0)
        o->head_dim = o->n_embd / o->n_head;
    return o->head_dim % 2 == 0 ||
           cv_fail(err, CV_ERR_ARG, "a head of %" PRIu32 " values; it must be even", o->head_dim);
}

/* Matrices of deviation 1 / sqrt(k) keep the size of what flows through. */
static struct tensor matrix(const struct maker *m, const char *name, size_t k, size_t rows)
{
    struct tensor t = {.dim = {k, rows}, .n_dim = 2, .deviation = 1.0f / sqrtf((float)k)};
    snprintf(t.name, sizeof(t.name), "%s", name);
    t.type = cv_mix_type(m->mix, t.name, t.dim, 2, m->o.n_layer, m->o.tied);
    return t;
}

static struct tensor vector(const char *name, size_t n, float mean, float deviation)
{
    struct tensor t = {.dim = {n, 1}, .n_dim = 1, .type = CV_DTYPE_F32, .mean = mean, .deviation = deviation};
    snprintf(t.name, sizeof(t.name), "%s", name);
    return t;
}

/* Tensor `at` of a layer; false when there are no more. */
static bool layer_tensor(const struct maker *m, uint32_t layer, unsigned at, struct tensor *t)
{
    const struct options *o = &m->o;
    const size_t q = (size_t)o->n_head * o->head_dim, kv = (size_t)o->n_head_kv * o->head_dim, e = o->n_embd,
                 ff = o->n_ff;
    const struct {
        const char *name;
        size_t k, rows; /* rows 0: a vector */
        const char *arch;
    } list[] = {{"attn_norm.weight", e, 0, NULL},
                {"attn_q.weight", e, q, NULL},
                {"attn_k.weight", e, kv, NULL},
                {"attn_v.weight", e, kv, NULL},
                {"attn_output.weight", q, e, NULL},
                {"ffn_norm.weight", e, 0, NULL},
                {"ffn_gate.weight", e, ff, NULL},
                {"ffn_up.weight", e, ff, NULL},
                {"ffn_down.weight", ff, e, NULL},
                {"attn_q_norm.weight", o->head_dim, 0, "qwen3"},
                {"attn_k_norm.weight", o->head_dim, 0, "qwen3"},
                {"attn_q.bias", q, 0, "qwen2"},
                {"attn_k.bias", kv, 0, "qwen2"},
                {"attn_v.bias", kv, 0, "qwen2"}};
    for (size_t i = 0; i < CV_COUNT(list); i++) {
        char name[64];
        if ((list[i].arch != NULL && strcmp(list[i].arch, o->arch) != 0) || at-- > 0)
            continue;
        snprintf(name, sizeof(name), "blk.%" PRIu32 ".%s", layer, list[i].name);
        const bool bias = strstr(name, ".bias") != NULL;
        *t = list[i].rows > 0 ? matrix(m, name, list[i].k, list[i].rows)
                              : vector(name, list[i].k, bias ? 0.0f : 1.0f, bias ? 0.2f : 0.1f);
        return true;
    }
    return false;
}

typedef bool tensor_fn(struct maker *m, const struct tensor *t, struct cv_error *err);

static bool each_tensor(struct maker *m, tensor_fn *fn, struct cv_error *err)
{
    struct tensor t = matrix(m, "token_embd.weight", m->o.n_embd, m->o.n_vocab);
    t.deviation = 1.0f;
    t.rows_are_tokens = m->o.tied;
    if (!fn(m, &t, err))
        return false;
    for (uint32_t layer = 0; layer < m->o.n_layer; layer++)
        for (unsigned at = 0; layer_tensor(m, layer, at, &t); at++)
            if (!fn(m, &t, err))
                return false;
    t = vector("output_norm.weight", m->o.n_embd, 1.0f, 0.1f);
    if (!fn(m, &t, err))
        return false;
    if (m->o.tied)
        return true;
    t = matrix(m, "output.weight", m->o.n_embd, m->o.n_vocab);
    t.deviation *= 3.0f; /* some tokens are clearly more likely than others */
    t.rows_are_tokens = true;
    return fn(m, &t, err);
}

static bool declare(struct maker *m, const struct tensor *t, struct cv_error *err)
{
    size_t bytes;
    if (!cv_gguf_put_tensor(m->writer, t->name, t->type, t->dim, t->n_dim, err) ||
        !cv_dtype_row_bytes(t->type, t->dim[0], &bytes, err))
        return false;
    bytes *= t->dim[1];
    m->packed_cap = bytes > m->packed_cap ? bytes : m->packed_cap;
    m->row_cap = t->dim[0] > m->row_cap ? t->dim[0] : m->row_cap;
    m->n_params += (uint64_t)t->dim[0] * t->dim[1];
    return true;
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u; /* splitmix64 (Steele, Lea, Flood 2014) */
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* The sum of four even 16-bit numbers, scaled to deviation 1: close enough to a normal one, exact on every machine. */
static float next_normal(uint64_t *state)
{
    const uint64_t r = next_random(state);
    const int32_t sum =
        (int32_t)(r & 0xffff) + (int32_t)(r >> 16 & 0xffff) + (int32_t)(r >> 32 & 0xffff) + (int32_t)(r >> 48);
    return (float)(sum - 131070) * (1.0f / 37837.0f); /* sqrt(4 * (65536^2 - 1) / 12) */
}

struct fill {
    struct maker *m;
    const struct tensor *t;
    uint64_t key;
    size_t row_bytes;
};

static void fill_row(void *ctx, size_t row, unsigned thread)
{
    const struct fill *f = ctx;
    const struct tensor *t = f->t;
    float *x = f->m->row + thread * f->m->row_cap;
    uint64_t state = f->key + row * 0xD1342543DE82EF95u;
    /* Bytes that are no text by themselves, and the end of the answer, come seldom: the nonsense stays readable. */
    const float scale = t->rows_are_tokens && !f->m->words.plain[row] ? 0.3f * t->deviation : t->deviation;
    for (size_t i = 0; i < t->dim[0]; i++)
        x[i] = t->mean + scale * next_normal(&state);
    cv_quantize(t->type, x, NULL, f->m->packed + row * f->row_bytes, t->dim[0]);
}

static bool write_tensor(struct maker *m, const struct tensor *t, struct cv_error *err)
{
    struct fill f = {
        .m = m, .t = t, .key = cv_hash64(t->name, strlen(t->name)) ^ (uint64_t)m->o.seed * 0x9E3779B97F4A7C15u};
    if (!cv_dtype_row_bytes(t->type, t->dim[0], &f.row_bytes, err))
        return false;
    cv_pool_run(m->pool, fill_row, &f, t->dim[1]);
    return cv_output_tensor(&m->output, m->packed, f.row_bytes * t->dim[1], err);
}

static bool put_metadata(struct maker *m, struct cv_error *err)
{
    const struct options *o = &m->o;
    struct cv_gguf_writer *w = m->writer;
    const struct {
        const char *name;
        uint32_t v;
    } numbers[] = {{"block_count", o->n_layer},           {"context_length", o->n_ctx},
                   {"embedding_length", o->n_embd},       {"feed_forward_length", o->n_ff},
                   {"attention.head_count", o->n_head},   {"attention.head_count_kv", o->n_head_kv},
                   {"attention.key_length", o->head_dim}, {"attention.value_length", o->head_dim},
                   {"rope.dimension_count", o->head_dim}, {"vocab_size", o->n_vocab}};
    char text[160];
    int n = snprintf(text, sizeof(text), "caravan-random-%s-%" PRIu32 "x%" PRIu32, o->arch, o->n_layer, o->n_embd);
    bool ok = cv_gguf_put_str(w, "general.architecture", o->arch, strlen(o->arch), err) &&
              cv_gguf_put_str(w, "general.type", "model", 5, err) &&
              cv_gguf_put_str(w, "general.name", text, (size_t)n, err);
    n = snprintf(text, sizeof(text), "random weights (seed %" PRIu32 "): for trying things out, not for its answers",
                 o->seed);
    ok = ok && cv_gguf_put_str(w, "general.description", text, (size_t)n, err) &&
         cv_gguf_put_u32(w, "general.file_type", m->mix->file_type, err) &&
         cv_gguf_put_u32(w, "general.quantization_version", 2, err);
    for (size_t i = 0; ok && i < CV_COUNT(numbers); i++) {
        snprintf(text, sizeof(text), "%s.%s", o->arch, numbers[i].name);
        ok = cv_gguf_put_u32(w, text, numbers[i].v, err);
    }
    snprintf(text, sizeof(text), "%s.attention.layer_norm_rms_epsilon", o->arch);
    ok = ok && cv_gguf_put_f32(w, text, 1e-5f, err);
    snprintf(text, sizeof(text), "%s.rope.freq_base", o->arch);
    return ok && cv_gguf_put_f32(w, text, 10000.0f, err) && cv_words_put(&m->words, w, err);
}

static bool make(struct maker *m, struct cv_error *err)
{
    if ((m->mix = cv_mix_find(m->o.type)) == NULL)
        return cv_fail(err, CV_ERR_ARG, "--type %s: expected one of %s", m->o.type, cv_mix_names());
    if (!cv_words_make(&m->words, m->o.n_vocab, &m->arena, err) || !cv_pool_new(&m->pool, m->o.threads, err))
        return false;
    if ((m->writer = cv_gguf_writer_new(0)) == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "out of memory");
    if (!put_metadata(m, err) || !each_tensor(m, declare, err))
        return false;
    m->row = cv_calloc(m->row_cap * cv_pool_threads(m->pool), sizeof(*m->row));
    m->packed = cv_alloc(m->packed_cap);
    if (m->row == NULL || m->packed == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for a tensor of %zu bytes", m->packed_cap);
    return cv_output_open(&m->output, m->o.path, m->writer, err) && each_tensor(m, write_tensor, err) &&
           cv_output_finish(&m->output, err);
}

int main(int argc, char **argv)
{
    struct maker m = {.o = {.arch = "llama",
                            .type = "Q8_0",
                            .n_layer = 12,
                            .n_embd = 512,
                            .n_ff = 1536,
                            .n_head = 8,
                            .n_head_kv = 4,
                            .n_vocab = 896,
                            .n_ctx = 4096,
                            .seed = 1}};
    struct cv_error err = {0};
    if (argc == 1 || strcmp(argv[1], "--help") == 0) {
        fputs(help, argc == 1 ? stderr : stdout);
        return argc == 1 ? 2 : 0;
    }
    const uint64_t start = cv_now_ms();
    bool ok = parse_options(&m.o, argc, argv, &err) && check_options(&m.o, &err);
    const bool understood = ok;
    ok = ok && make(&m, &err);
    if (ok) {
        char size[CV_SIZE_TEXT];
        printf("%s: %s, %.1f million random weights, %" PRIu32 " layers, %" PRIu32 " tokens (%" PRIu32
               " merges), %s, in %.1f s\n",
               m.o.path, cv_size_format(m.output.written, size), (double)m.n_params / 1e6, m.o.n_layer, m.o.n_vocab,
               m.words.n_merge, m.mix->name, (double)(cv_now_ms() - start) / 1e3);
    } else {
        fprintf(stderr, "caravan-mkmodel: %s\n", err.msg);
        if (!understood)
            fprintf(stderr, "caravan-mkmodel --help lists the options.\n");
    }
    cv_output_close(&m.output);
    cv_gguf_writer_free(m.writer);
    cv_pool_free(m.pool);
    cv_free(m.packed);
    cv_free(m.row);
    cv_arena_fini(&m.arena);
    return ok ? 0 : understood ? 1 : 2;
}
