#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "gguf/hparams.h"
#include "gguf/model.h"
#include "gguf/sizes.h"
#include "tests/gguf/build.h"

static const enum cv_model_mode modes[2] = {CV_MODEL_MAP, CV_MODEL_HEADER};

static const char *write_file(const char *name, const struct cv_buf *b)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", check_tmpdir(), name);
    FILE *f = fopen(path, "wb");
    CHECK(f != NULL);
    const bool ok = fwrite(b->data, 1, b->len, f) == b->len;
    CHECK(fclose(f) == 0 && ok);
    return path;
}

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", check_tmpdir(), name);
    return path;
}

static size_t put_layer(struct cv_gguf_writer *w, uint32_t layer)
{
    static const struct {
        const char *name;
        size_t dim[2];
        enum cv_dtype type;
        size_t bytes;
    } list[] = {{"attn_norm.weight", {MODEL_EMBD, 1}, CV_DTYPE_F32, 256},
                {"attn_q.weight", {MODEL_EMBD, 64}, CV_DTYPE_Q8_0, 64 * 68},
                {"attn_k.weight", {MODEL_EMBD, 32}, CV_DTYPE_Q8_0, 32 * 68},
                {"attn_v.weight", {MODEL_EMBD, 32}, CV_DTYPE_F16, 32 * 128},
                {"attn_output.weight", {64, MODEL_EMBD}, CV_DTYPE_Q4_0, 64 * 36}};
    size_t bytes = 0;
    for (size_t i = 0; i < CV_COUNT(list); i++) {
        char name[64];
        struct cv_error err;
        snprintf(name, sizeof(name), "blk.%u.%s", layer, list[i].name);
        CHECK_OK(cv_gguf_put_tensor(w, name, list[i].type, list[i].dim, list[i].dim[1] == 1 ? 1 : 2, &err), err);
        bytes += list[i].bytes; /* all multiples of 32 */
    }
    return bytes;
}

enum { LAYER_BYTES = 256 + 64 * 68 + 32 * 68 + 32 * 128 + 64 * 36, EMBD_BYTES = MODEL_VOCAB * 128 };

static struct cv_gguf_writer *new_writer(void)
{
    struct cv_gguf_writer *w = cv_gguf_writer_new(0);
    CHECK(w != NULL);
    return w;
}

static size_t put_outer(struct cv_gguf_writer *w, bool tied)
{
    struct cv_error err;
    const size_t dim[2] = {MODEL_EMBD, MODEL_VOCAB};
    CHECK_OK(cv_gguf_put_tensor(w, "token_embd.weight", CV_DTYPE_F16, dim, 2, &err), err);
    CHECK_OK(cv_gguf_put_tensor(w, "output_norm.weight", CV_DTYPE_F32, dim, 1, &err), err);
    CHECK_OK(cv_gguf_put_tensor(w, "rope_freqs.weight", CV_DTYPE_F32, (size_t[]){8}, 1, &err), err);
    if (!tied)
        CHECK_OK(cv_gguf_put_tensor(w, "output.weight", CV_DTYPE_F16, dim, 2, &err), err);
    return EMBD_BYTES + 256 + 32 + (tied ? 0 : EMBD_BYTES);
}

static void whole_model(struct cv_buf *b, bool tied)
{
    struct cv_gguf_writer *w = new_writer();
    put_model_keys(w);
    size_t bytes = put_outer(w, tied);
    for (uint32_t i = 0; i < MODEL_LAYERS; i++)
        bytes += put_layer(w, i);
    cv_buf_clear(b);
    finish_file(w, bytes, b);
}

static void test_both_modes_see_the_same_model(void)
{
    struct cv_buf b;
    cv_buf_init(&b, 1 << 20);
    whole_model(&b, false);
    const char *path = write_file("m.gguf", &b);
    for (int i = 0; i < 2; i++) {
        struct cv_model *m;
        struct cv_error err;
        CHECK_OK(cv_model_open(&m, path, modes[i], &err), err);
        CHECK_EQ(m->n_part, 1);
        CHECK_EQ(m->part[0].len, b.len);
        CHECK_EQ(m->gguf->n_tensor, 4 + 5 * MODEL_LAYERS);
        CHECK_EQ(m->n_bytes, 2 * EMBD_BYTES + 256 + 32 + MODEL_LAYERS * LAYER_BYTES);
        const struct cv_gguf_tensor *t = cv_gguf_tensor(m->gguf, "blk.1.attn_k.weight");
        CHECK(t != NULL);
        const unsigned char *data = cv_model_tensor_data(m, t);
        if (modes[i] == CV_MODEL_MAP)
            CHECK(data != NULL && data[0] == (unsigned char)(t->offset * 7 % 251));
        else
            CHECK(data == NULL);
        CHECK_OK(cv_gguf_check(m->gguf, &err), err);
        cv_model_close(m);
    }
    cv_buf_fini(&b);
}

static void test_a_header_longer_than_the_first_read_is_read_whole(void)
{
    enum { TOKENS = 200000 };
    struct cv_error err;
    struct cv_buf b;
    struct cv_model *m;
    struct cv_str *tokens = cv_calloc(TOKENS, sizeof(*tokens));
    struct cv_gguf_writer *w = new_writer();
    cv_buf_init(&b, 64 << 20);
    CHECK(tokens != NULL);
    for (size_t i = 0; i < TOKENS; i++)
        tokens[i] = (struct cv_str){"a token of some length", 22};
    put_model_keys(w);
    CHECK_OK(cv_gguf_put_strings(w, "tokenizer.ggml.tokens", tokens, TOKENS, &err), err);
    const size_t bytes = put_outer(w, true);
    finish_file(w, bytes, &b);
    CHECK(b.len > 5 << 20);
    CHECK_OK(cv_model_open(&m, write_file("long.gguf", &b), CV_MODEL_HEADER, &err), err);
    const struct cv_gguf_kv *kv = cv_gguf_find(m->gguf, "tokenizer.ggml.tokens");
    CHECK(kv != NULL && kv->n == TOKENS);
    CHECK(memcmp(kv->strings[TOKENS - 1].p, "a token of some length", 22) == 0);
    cv_model_close(m);
    cv_free(tokens);
    cv_buf_fini(&b);
}

/* Part no (from 0) of `count`, with the layers [first, last); what the file says of itself may differ. */
static void split_part(const char *name, uint32_t says_no, uint32_t says_count, uint32_t first, uint32_t last,
                       uint32_t total, bool with_outer)
{
    struct cv_error err;
    struct cv_buf b;
    struct cv_gguf_writer *w = new_writer();
    size_t bytes = 0;
    cv_buf_init(&b, 1 << 20);
    if (with_outer)
        put_model_keys(w);
    CHECK_OK(cv_gguf_put_u32(w, "split.no", says_no, &err), err);
    CHECK_OK(cv_gguf_put_u32(w, "split.count", says_count, &err), err);
    CHECK_OK(cv_gguf_put_u32(w, "split.tensors.count", total, &err), err);
    if (with_outer)
        bytes += put_outer(w, false);
    for (uint32_t i = first; i < last; i++)
        bytes += put_layer(w, i);
    finish_file(w, bytes, &b);
    (void)write_file(name, &b);
    cv_buf_fini(&b);
}

static void refused(const char *name, enum cv_code code, const char *text)
{
    for (int i = 0; i < 2; i++) {
        struct cv_model *m = NULL;
        struct cv_error err = {0};
        CHECK(!cv_model_open(&m, path_of(name), modes[i], &err));
        CHECK_CONTAINS(err.msg, text);
        CHECK_EQ(err.code, code);
        CHECK(m == NULL);
    }
}

static void test_a_split_model_is_seen_as_one(void)
{
    split_part("s-00001-of-00003.gguf", 0, 3, 0, 1, 19, true);
    split_part("s-00002-of-00003.gguf", 1, 3, 1, 2, 19, false);
    split_part("s-00003-of-00003.gguf", 2, 3, 2, 3, 19, false);
    for (uint32_t any = 1; any <= 3; any++) {
        for (int i = 0; i < 2; i++) {
            char name[64];
            struct cv_model *m;
            struct cv_error err;
            struct cv_hparams h;
            snprintf(name, sizeof(name), "s-%05u-of-00003.gguf", any);
            CHECK_OK(cv_model_open(&m, path_of(name), modes[i], &err), err);
            CHECK_EQ(m->n_part, 3);
            CHECK_EQ(m->gguf->n_tensor, 19);
            CHECK_OK(cv_hparams_read(&h, m->gguf, &err), err);
            CHECK_EQ(h.n_layer, 3);
            const struct cv_gguf_tensor *t = cv_gguf_tensor(m->gguf, "blk.2.attn_v.weight");
            CHECK(t != NULL);
            CHECK_EQ(t->part, 2);
            const unsigned char *data = cv_model_tensor_data(m, t);
            if (modes[i] == CV_MODEL_MAP)
                CHECK(data != NULL && data[1] == (unsigned char)((t->offset + 1) * 7 % 251));
            CHECK_OK(cv_gguf_check(m->gguf, &err), err);
            cv_model_close(m);
        }
    }
}

static void test_parts_that_do_not_fit_together_are_refused(void)
{
    split_part("a-00001-of-00002.gguf", 0, 2, 0, 1, 14, true);
    refused("a-00001-of-00002.gguf", CV_ERR_NOT_FOUND, "a-00002-of-00002.gguf");
    split_part("a-00002-of-00002.gguf", 0, 2, 1, 2, 14, false);
    refused("a-00001-of-00002.gguf", CV_ERR_FORMAT, "says it is part 1 of 2");
    split_part("a-00002-of-00002.gguf", 1, 3, 1, 2, 14, false);
    refused("a-00001-of-00002.gguf", CV_ERR_FORMAT, "of 3");
    split_part("a-00002-of-00002.gguf", 1, 2, 0, 1, 14, false);
    refused("a-00002-of-00002.gguf", CV_ERR_FORMAT, "in another part as well");
    split_part("a-00002-of-00002.gguf", 1, 2, 1, 3, 14, false);
    refused("a-00002-of-00002.gguf", CV_ERR_FORMAT, "split.tensors.count says 14");
    split_part("renamed.gguf", 0, 2, 0, 1, 14, true);
    refused("renamed.gguf", CV_ERR_FORMAT, "NAME-00001-of-00002.gguf");
    split_part("b-00003-of-00002.gguf", 2, 2, 0, 1, 14, true);
    refused("b-00003-of-00002.gguf", CV_ERR_LIMIT, "part 3 of 2");
    split_part("b-00001-of-99999.gguf", 0, 99999, 0, 1, 14, true);
    refused("b-00001-of-99999.gguf", CV_ERR_LIMIT, "of 99999");
}

static void test_files_that_cannot_be_opened_are_named(void)
{
    struct cv_buf b;
    cv_buf_init(&b, 1 << 20);
    refused("missing.gguf", CV_ERR_NOT_FOUND, "missing.gguf");
    refused(".", CV_ERR_FORMAT, "not a regular file");
    put_bytes(&b, "GGUF", 4);
    b.len = 0;
    (void)write_file("empty.gguf", &b);
    refused("empty.gguf", CV_ERR_FORMAT, "empty");
    whole_model(&b, false);
    b.len--;
    (void)write_file("short.gguf", &b);
    refused("short.gguf", CV_ERR_FORMAT, "file cut short?");
    refused("short.gguf", CV_ERR_FORMAT, "short.gguf: ");
    b.len = 300;
    (void)write_file("header.gguf", &b);
    refused("header.gguf", CV_ERR_FORMAT, "byte ");
    cv_buf_fini(&b);
}

static void test_every_failed_allocation_is_an_error(void)
{
    split_part("n-00001-of-00002.gguf", 0, 2, 0, 1, 14, true);
    split_part("n-00002-of-00002.gguf", 1, 2, 1, 2, 14, false);
    for (int i = 0; i < 2; i++) {
        long n = 0;
        for (;; n++) {
            struct cv_model *m = NULL;
            struct cv_error err = {0};
            cv_mem_fail_after(n);
            const bool ok = cv_model_open(&m, path_of("n-00001-of-00002.gguf"), modes[i], &err);
            cv_mem_fail_after(-1);
            if (ok) {
                CHECK_EQ(m->gguf->n_tensor, 14);
                cv_model_close(m);
                break;
            }
            CHECK_EQ(err.code, CV_ERR_NOMEM);
            CHECK(m == NULL);
        }
        CHECK(n >= 3);
    }
}

static struct cv_arena arena;
static struct cv_buf header;

/* The model's header with more keys, from the writer. */
static struct cv_gguf *parse_header(struct cv_gguf_writer *w, size_t data_len)
{
    struct cv_error err;
    struct cv_gguf *g = NULL;
    cv_arena_reset(&arena);
    cv_buf_fini(&header);
    cv_buf_init(&header, 1 << 20);
    CHECK_OK(cv_gguf_writer_finish(w, &header, &err), err);
    cv_gguf_writer_free(w);
    CHECK_OK(cv_gguf_parse(&g, header.data, header.len, header.len + data_len, &arena, &err), err);
    return g;
}

static void test_hparams_have_the_defaults_of_the_format(void)
{
    struct cv_error err;
    struct cv_hparams h;
    struct cv_gguf_writer *w = new_writer();
    put_model_keys(w);
    CHECK_OK(cv_hparams_read(&h, parse_header(w, put_outer(w, false)), &err), err);
    CHECK_STR(h.arch, "llama");
    CHECK_EQ(h.n_layer, MODEL_LAYERS);
    CHECK_EQ(h.n_embd, MODEL_EMBD);
    CHECK_EQ(h.n_vocab, MODEL_VOCAB);
    CHECK_EQ(h.n_head_kv, MODEL_HEADS_KV);
    CHECK_EQ(h.n_embd_head_k, 16);
    CHECK_EQ(h.n_embd_head_v, 16);
    CHECK_EQ(h.n_rot, 16);
    CHECK(h.rope_freq_base == 10000.0f && h.rope_factor == 1.0f && h.attn_scale == 0.0f);
    CHECK_EQ(h.rope_scaling, CV_ROPE_NONE);
    CHECK_EQ(h.rope_orig_ctx, 256);
    CHECK(h.yarn_beta_fast == 32.0f && h.yarn_beta_slow == 1.0f && h.yarn_attn_factor == 1.0f);
    CHECK(!h.varies);
}

static void test_hparams_read_rope_scaling(void)
{
    struct cv_error err;
    struct cv_hparams h;
    struct cv_gguf_writer *w = new_writer();
    put_model_keys(w);
    CHECK_OK(cv_gguf_put_u32(w, "llama.vocab_size", 100, &err), err);
    CHECK_OK(cv_gguf_put_str(w, "llama.rope.scaling.type", "yarn", 4, &err), err);
    CHECK_OK(cv_gguf_put_f32(w, "llama.rope.scaling.factor", 4.0f, &err), err);
    CHECK_OK(cv_gguf_put_u32(w, "llama.rope.scaling.original_context_length", 64, &err), err);
    CHECK_OK(cv_hparams_read(&h, parse_header(w, 0), &err), err);
    CHECK_EQ(h.rope_scaling, CV_ROPE_YARN);
    CHECK(h.rope_factor == 4.0f && h.yarn_ext_factor == 1.0f);
    CHECK_EQ(h.rope_orig_ctx, 64);
    CHECK_EQ(h.n_vocab, 100);
    w = new_writer();
    put_model_keys(w);
    CHECK_OK(cv_gguf_put_u32(w, "llama.vocab_size", 100, &err), err);
    CHECK_OK(cv_gguf_put_f32(w, "llama.rope.scale_linear", 2.0f, &err), err);
    CHECK_OK(cv_hparams_read(&h, parse_header(w, 0), &err), err);
    CHECK_EQ(h.rope_scaling, CV_ROPE_LINEAR);
    CHECK(h.rope_factor == 2.0f);
    w = new_writer();
    put_model_keys(w);
    CHECK_OK(cv_gguf_put_u32(w, "llama.vocab_size", 100, &err), err);
    CHECK_OK(cv_gguf_put_str(w, "llama.rope.scaling.type", "spiral", 6, &err), err);
    CHECK(!cv_hparams_read(&h, parse_header(w, 0), &err));
    CHECK_EQ(err.code, CV_ERR_UNSUPPORTED);
    CHECK_CONTAINS(err.msg, "spiral");
}

static void test_hparams_of_one_number_per_layer_are_the_largest(void)
{
    static const int32_t heads[MODEL_LAYERS] = {0, 2, 1};
    struct cv_error err;
    struct cv_hparams h;
    struct cv_gguf_writer *w = new_writer();
    CHECK_OK(cv_gguf_put_str(w, "general.architecture", "jamba", 5, &err), err);
    CHECK_OK(cv_gguf_put_u32(w, "jamba.block_count", MODEL_LAYERS, &err), err);
    CHECK_OK(cv_gguf_put_u32(w, "jamba.embedding_length", 64, &err), err);
    CHECK_OK(cv_gguf_put_u32(w, "jamba.context_length", 64, &err), err);
    CHECK_OK(cv_gguf_put_u32(w, "jamba.vocab_size", 64, &err), err);
    CHECK_OK(cv_gguf_put_u32(w, "jamba.attention.head_count", 4, &err), err);
    CHECK_OK(cv_gguf_put_array(w, "jamba.attention.head_count_kv", CV_GGUF_I32, heads, MODEL_LAYERS, &err), err);
    CHECK_OK(cv_gguf_put_f32(w, "jamba.attention.layer_norm_rms_epsilon", 1e-6f, &err), err);
    const struct cv_gguf *g = parse_header(w, 0);
    CHECK_OK(cv_hparams_read(&h, g, &err), err);
    CHECK(h.varies);
    CHECK_EQ(h.n_head_kv, 2);
    CHECK_EQ(cv_hparams_of_layer(&h, g, "attention.head_count_kv", 0, 9), 0);
    CHECK_EQ(cv_hparams_of_layer(&h, g, "attention.head_count_kv", 2, 9), 1);
    CHECK_EQ(cv_hparams_of_layer(&h, g, "attention.head_count_kv", 3, 9), 9);
    CHECK_EQ(cv_hparams_of_layer(&h, g, "attention.head_count", 2, 9), 4);
    CHECK_EQ(cv_hparams_of_layer(&h, g, "no.such.key", 0, 9), 9);
}

static void test_hparams_that_make_no_sense_are_refused(void)
{
    static const struct {
        const char *key;
        uint32_t value;
        enum cv_code code;
    } cases[] = {{"llama.block_count", 0, CV_ERR_FORMAT},
                 {"llama.block_count", CV_MAX_LAYERS + 1, CV_ERR_LIMIT},
                 {"llama.embedding_length", 0, CV_ERR_FORMAT},
                 {"llama.embedding_length", 0x80000000u, CV_ERR_LIMIT},
                 {"llama.context_length", 0, CV_ERR_FORMAT},
                 {"llama.attention.head_count", 0, CV_ERR_FORMAT},
                 {"llama.attention.head_count_kv", 3, CV_ERR_FORMAT},
                 {"llama.attention.head_count_kv", 0, CV_ERR_FORMAT},
                 {"llama.vocab_size", 0, CV_ERR_FORMAT},
                 {"llama.vocab_size", UINT32_MAX, CV_ERR_LIMIT}};
    static const char *const keys[] = {
        "llama.block_count",          "llama.embedding_length",        "llama.context_length",
        "llama.attention.head_count", "llama.attention.head_count_kv", "llama.vocab_size"};
    static const uint32_t values[] = {2, 64, 128, 4, 2, 10};
    for (size_t i = 0; i < CV_COUNT(cases) + 4; i++) { /* the last ones leave a key out */
        struct cv_error err = {0};
        struct cv_hparams h;
        struct cv_gguf_writer *w = new_writer();
        CHECK_OK(cv_gguf_put_str(w, "general.architecture", "llama", 5, &err), err);
        CHECK_OK(cv_gguf_put_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-6f, &err), err);
        for (size_t k = 0; k < CV_COUNT(keys); k++) {
            const bool other = i < CV_COUNT(cases) && strcmp(cases[i].key, keys[k]) == 0;
            if (i < CV_COUNT(cases) || i - CV_COUNT(cases) != k)
                CHECK_OK(cv_gguf_put_u32(w, keys[k], other ? cases[i].value : values[k], &err), err);
        }
        CHECK(!cv_hparams_read(&h, parse_header(w, 0), &err));
        CHECK_EQ(err.code, i < CV_COUNT(cases) ? cases[i].code : CV_ERR_FORMAT);
        CHECK(err.msg[0] != '\0');
    }
}

static void test_sizes_add_up_to_the_file(void)
{
    struct cv_buf b;
    cv_buf_init(&b, 1 << 20);
    for (int tied = 0; tied < 2; tied++) {
        struct cv_model *m;
        struct cv_error err;
        struct cv_hparams h;
        struct cv_model_sizes s;
        uint64_t sum, kv;
        whole_model(&b, tied == 1);
        CHECK_OK(cv_model_open(&m, write_file("m.gguf", &b), CV_MODEL_HEADER, &err), err);
        CHECK_OK(cv_hparams_read(&h, m->gguf, &err), err);
        CHECK_OK(cv_model_sizes_make(&s, m->gguf, &h, &m->arena, &err), err);
        CHECK_EQ(s.tied, tied == 1);
        CHECK_EQ(s.embd_bytes, EMBD_BYTES);
        CHECK_EQ(s.head_bytes, EMBD_BYTES);
        CHECK_EQ(s.output_norm_bytes, 256);
        CHECK_EQ(s.shared_bytes, 32);
        CHECK_EQ(s.total_bytes, m->n_bytes);
        CHECK_EQ(s.largest_tensor_bytes, EMBD_BYTES);
        sum = s.embd_bytes + (s.tied ? 0 : s.head_bytes) + s.output_norm_bytes + s.shared_bytes;
        for (uint32_t i = 0; i < s.n_layer; i++) {
            CHECK_EQ(s.layer[i].weight_bytes, LAYER_BYTES);
            CHECK_EQ(s.layer[i].n_weight, 64 * 64 + 2 * 64 * 32 + 64 * 64);
            CHECK_EQ(s.layer[i].n_weight_used, s.layer[i].n_weight);
            CHECK_EQ(s.layer[i].n_head, MODEL_HEADS);
            CHECK_OK(cv_layer_kv_bytes(&s.layer[i], CV_DTYPE_F16, &kv, &err), err);
            CHECK_EQ(kv, 2 * 2 * MODEL_HEADS_KV * 16);
            CHECK_OK(cv_layer_kv_bytes(&s.layer[i], CV_DTYPE_Q8_0, &kv, &err), err);
            CHECK_EQ(kv, 2 * 34);
            CHECK(!cv_layer_kv_bytes(&s.layer[i], CV_DTYPE_Q4_K, &kv, &err));
            sum += s.layer[i].weight_bytes;
        }
        CHECK_EQ(sum, s.total_bytes);
        cv_model_close(m);
    }
    cv_buf_fini(&b);
}

static void test_sizes_want_every_layer_and_no_other(void)
{
    struct cv_error err;
    struct cv_hparams h;
    struct cv_model_sizes s;
    for (int wrong = 0; wrong < 2; wrong++) {
        struct cv_gguf_writer *w = new_writer();
        put_model_keys(w);
        size_t bytes = put_outer(w, false);
        for (uint32_t i = 0; i < MODEL_LAYERS; i++)
            bytes += put_layer(w, wrong == 0 && i == 1 ? MODEL_LAYERS : i);
        if (wrong == 1) { /* names that only look like layers belong to none */
            CHECK_OK(cv_gguf_put_tensor(w, "blk.x.weight", CV_DTYPE_F32, (size_t[]){8}, 1, &err), err);
            CHECK_OK(cv_gguf_put_tensor(w, "blk..weight", CV_DTYPE_F32, (size_t[]){8}, 1, &err), err);
            CHECK_OK(cv_gguf_put_tensor(w, "blk.1", CV_DTYPE_F32, (size_t[]){8}, 1, &err), err);
            bytes += 96;
        }
        const struct cv_gguf *g = parse_header(w, bytes);
        CHECK_OK(cv_hparams_read(&h, g, &err), err);
        const bool ok = cv_model_sizes_make(&s, g, &h, &arena, &err);
        CHECK(ok == (wrong == 1));
        if (ok)
            CHECK_EQ(s.shared_bytes, 32 + 96);
        else
            CHECK_CONTAINS(err.msg, "blk.3.");
    }
    struct cv_gguf_writer *w = new_writer();
    put_model_keys(w);
    size_t bytes = put_layer(w, 0);
    bytes += put_layer(w, 2) + put_outer(w, true);
    const struct cv_gguf *g = parse_header(w, bytes);
    CHECK_OK(cv_hparams_read(&h, g, &err), err);
    CHECK(!cv_model_sizes_make(&s, g, &h, &arena, &err));
    CHECK_CONTAINS(err.msg, "layer 1 has no tensors");
    uint32_t layer;
    const char *rest;
    CHECK(cv_tensor_layer("blk.17.ffn_up.weight", &layer, &rest) && layer == 17);
    CHECK_STR(rest, "ffn_up.weight");
    CHECK(!cv_tensor_layer("blk.99999999999999999999.x", &layer, NULL) || layer > CV_MAX_LAYERS);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_both_modes_see_the_same_model),
        CASE(test_a_header_longer_than_the_first_read_is_read_whole),
        CASE(test_a_split_model_is_seen_as_one),
        CASE(test_parts_that_do_not_fit_together_are_refused),
        CASE(test_files_that_cannot_be_opened_are_named),
        CASE(test_every_failed_allocation_is_an_error),
        CASE(test_hparams_have_the_defaults_of_the_format),
        CASE(test_hparams_read_rope_scaling),
        CASE(test_hparams_of_one_number_per_layer_are_the_largest),
        CASE(test_hparams_that_make_no_sense_are_refused),
        CASE(test_sizes_add_up_to_the_file),
        CASE(test_sizes_want_every_layer_and_no_other),
    };
    const int rc = check_main(argc, argv, cases, CV_COUNT(cases));
    cv_arena_fini(&arena);
    cv_buf_fini(&header);
    return rc;
}
