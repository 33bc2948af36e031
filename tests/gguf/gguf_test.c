#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/limits.h"
#include "base/mem.h"
#include "gguf/hparams.h"
#include "tests/gguf/build.h"

static struct cv_arena arena;
static struct cv_buf buf;

static void begin(void)
{
    cv_mem_fail_after(-1);
    cv_arena_fini(&arena);
    cv_buf_fini(&buf);
    arena = (struct cv_arena){0};
    cv_buf_init(&buf, (size_t)1 << 28);
}

static bool parse(struct cv_gguf **g, struct cv_error *err)
{
    return cv_gguf_parse(g, buf.data, buf.len, buf.len, &arena, err);
}

/* buf is refused with this code, and the message names a byte and holds text. */
static void refused(enum cv_code code, const char *text)
{
    struct cv_gguf *g = NULL;
    struct cv_error err = {0};
    CHECK(!parse(&g, &err));
    CHECK_CONTAINS(err.msg, text);
    CHECK_CONTAINS(err.msg, "byte ");
    CHECK_EQ(err.code, code);
    CHECK(g == NULL);
    CHECK(arena.used_bytes <= 32 * buf.len + 65536);
}

/* A file with every kind of value and four tensors, from the writer. */
static void valid_file(void)
{
    struct cv_error err;
    struct cv_gguf_writer *w = cv_gguf_writer_new(0);
    CHECK(w != NULL);
    const struct cv_str tokens[3] = {{"a", 1}, {"\xff\xfe", 2}, {"", 0}};
    const float scores[3] = {-1.5f, 0.0f, 2.0f};
    const int16_t small[2] = {-2, 3};
    put_model_keys(w);
    CHECK_OK(cv_gguf_put_strings(w, "tokenizer.ggml.tokens", tokens, 3, &err), err);
    CHECK_OK(cv_gguf_put_array(w, "tokenizer.ggml.scores", CV_GGUF_F32, scores, 3, &err), err);
    CHECK_OK(cv_gguf_put_array(w, "x.small", CV_GGUF_I16, small, 2, &err), err);
    CHECK_OK(cv_gguf_put_u64(w, "x.big", (uint64_t)1 << 40, &err), err);
    CHECK_OK(cv_gguf_put_bool(w, "x.yes", true, &err), err);
    CHECK_OK(cv_gguf_put_str(w, "x.text", "gr\xc3\xbc\xc3\x9f", 6, &err), err);
    CHECK_OK(cv_gguf_put_tensor(w, "token_embd.weight", CV_DTYPE_Q8_0, (size_t[]){64, 50}, 2, &err), err);
    CHECK_OK(cv_gguf_put_tensor(w, "norm", CV_DTYPE_F32, (size_t[]){3}, 1, &err), err);
    CHECK_OK(cv_gguf_put_tensor(w, "cube", CV_DTYPE_F16, (size_t[]){2, 3, 4, 5}, 4, &err), err);
    CHECK_OK(cv_gguf_put_tensor(w, "k", CV_DTYPE_Q4_K, (size_t[]){512, 2}, 2, &err), err);
    CHECK_EQ(cv_gguf_write_pad(w, 33), 31);
    CHECK_EQ(cv_gguf_write_pad(w, 64), 0);
    finish_file(w, 3424 + 32 + 256 + 576, &buf);
}

static void test_what_is_written_can_be_read(void)
{
    struct cv_error err;
    struct cv_gguf *g = NULL;
    begin();
    valid_file();
    CHECK_OK(parse(&g, &err), err);
    CHECK_OK(cv_gguf_check(g, &err), err);
    CHECK_EQ(g->version, 3);
    CHECK_EQ(g->alignment, 32);
    CHECK_EQ(g->n_kv, 14);
    CHECK_EQ(g->n_tensor, 4);
    CHECK_EQ(g->data_offset % 32, 0);
    CHECK_EQ(g->data_len, 3424 + 32 + 256 + 576);
    const struct cv_gguf_tensor *t = cv_gguf_tensor(g, "cube");
    CHECK(t != NULL);
    CHECK_EQ(t->n_dim, 4);
    CHECK_EQ(t->dim[0], 2);
    CHECK_EQ(t->dim[3], 5);
    CHECK_EQ(t->dtype, CV_DTYPE_F16);
    CHECK_EQ(t->size_bytes, 240);
    CHECK_EQ(t->offset, 3424 + 32);
    CHECK_EQ(cv_gguf_tensor(g, "k")->offset, 3424 + 32 + 256);
    CHECK_EQ(cv_gguf_tensor(g, "norm")->dim[1], 1);
    CHECK(cv_gguf_tensor(g, "nor") == NULL);
    CHECK(cv_gguf_tensor(g, "norms") == NULL);
    const struct cv_gguf_kv *kv = cv_gguf_find(g, "tokenizer.ggml.tokens");
    CHECK(kv != NULL && kv->type == CV_GGUF_ARRAY && kv->item == CV_GGUF_STRING && kv->n == 3);
    CHECK(kv->strings[1].n == 2 && memcmp(kv->strings[1].p, "\xff\xfe", 2) == 0);
    CHECK_EQ(kv->strings[2].n, 0);
    CHECK(cv_gguf_find(g, "x.tex") == NULL);
}

static void test_getters_convert_only_what_fits(void)
{
    struct cv_error err;
    struct cv_gguf *g = NULL;
    uint32_t u32;
    uint64_t u64;
    float f;
    bool b;
    struct cv_str s;
    int64_t i64;
    double d;
    begin();
    valid_file();
    CHECK_OK(parse(&g, &err), err);
    CHECK_OK(cv_gguf_u32(g, "llama.block_count", &u32, &err), err);
    CHECK_EQ(u32, MODEL_LAYERS);
    CHECK_OK(cv_gguf_u64(g, "x.big", &u64, &err), err);
    CHECK(u64 == (uint64_t)1 << 40);
    CHECK(!cv_gguf_u32(g, "x.big", &u32, &err));
    CHECK_EQ(err.code, CV_ERR_FORMAT);
    CHECK(!cv_gguf_u32(g, "x.missing", &u32, &err));
    CHECK_EQ(err.code, CV_ERR_NOT_FOUND);
    CHECK_CONTAINS(err.msg, "x.missing");
    CHECK(!cv_gguf_u32(g, "x.text", &u32, &err));
    CHECK_CONTAINS(err.msg, "STRING");
    CHECK(!cv_gguf_u32(g, "x.yes", &u32, &err));
    CHECK(!cv_gguf_u32(g, "x.small", &u32, &err));
    CHECK_CONTAINS(err.msg, "ARRAY of I16");
    CHECK_OK(cv_gguf_f32(g, "llama.block_count", &f, &err), err);
    CHECK(f == 3.0f);
    CHECK_OK(cv_gguf_f32(g, "llama.attention.layer_norm_rms_epsilon", &f, &err), err);
    CHECK(f == 1e-5f);
    CHECK_OK(cv_gguf_bool(g, "x.yes", &b, &err), err);
    CHECK(b);
    CHECK(!cv_gguf_bool(g, "llama.block_count", &b, &err));
    CHECK_OK(cv_gguf_str(g, "x.text", &s, &err), err);
    CHECK(s.n == 6 && memcmp(s.p, "gr\xc3\xbc\xc3\x9f", 6) == 0);
    CHECK(!cv_gguf_str(g, "x.yes", &s, &err));
    const struct cv_gguf_kv *kv = cv_gguf_find(g, "x.small");
    CHECK(cv_gguf_kv_i64(kv, 0, &i64) && i64 == -2);
    CHECK(cv_gguf_kv_f64(kv, 1, &d) && d == 3.0);
    CHECK(!cv_gguf_kv_i64(kv, 2, &i64));
    kv = cv_gguf_find(g, "tokenizer.ggml.scores");
    CHECK(cv_gguf_kv_f64(kv, 0, &d) && d == -1.5);
    CHECK(!cv_gguf_kv_i64(kv, 0, &i64));
    CHECK(!cv_gguf_kv_f64(cv_gguf_find(g, "tokenizer.ggml.tokens"), 0, &d));
}

/* Every scalar type by hand, also at its ends. */
static void test_every_number_type_is_read(void)
{
    static const struct {
        uint32_t type;
        unsigned char bytes[8];
        int64_t whole;
    } cases[] = {
        {CV_GGUF_U8, {200}, 200},
        {CV_GGUF_I8, {0x80}, -128},
        {CV_GGUF_U16, {0xff, 0xff}, 65535},
        {CV_GGUF_I16, {0xff, 0xff}, -1},
        {CV_GGUF_U32, {0xff, 0xff, 0xff, 0xff}, 4294967295},
        {CV_GGUF_I32, {0, 0, 0, 0x80}, -2147483647 - 1},
        {CV_GGUF_BOOL, {1}, 1},
        {CV_GGUF_U64, {1, 0, 0, 0, 1}, 4294967297},
        {CV_GGUF_I64, {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, -2},
    };
    static const unsigned char width[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    for (size_t i = 0; i < CV_COUNT(cases); i++) {
        struct cv_error err;
        struct cv_gguf *g = NULL;
        int64_t whole;
        begin();
        put_header(&buf, 2, 0, 1);
        put_key(&buf, "n", cases[i].type);
        put_bytes(&buf, cases[i].bytes, width[cases[i].type]);
        CHECK_OK(parse(&g, &err), err);
        CHECK(cv_gguf_kv_i64(&g->kv[0], 0, &whole));
        CHECK_EQ(whole, cases[i].whole);
        CHECK_EQ(g->kv[0].size_bytes, width[cases[i].type]);
    }
}

static void test_a_u64_beyond_i64_is_no_i64(void)
{
    struct cv_error err;
    struct cv_gguf *g = NULL;
    int64_t whole;
    uint64_t u64;
    begin();
    put_header(&buf, 3, 0, 1);
    put_key(&buf, "n", CV_GGUF_U64);
    put_le64(&buf, UINT64_MAX);
    CHECK_OK(parse(&g, &err), err);
    CHECK(!cv_gguf_kv_i64(&g->kv[0], 0, &whole));
    CHECK_OK(cv_gguf_u64(g, "n", &u64, &err), err);
    CHECK(u64 == UINT64_MAX);
}

/* Each prefix stands right before an unreadable page. */
static void test_no_prefix_of_a_file_is_a_file(void)
{
    begin();
    valid_file();
    const size_t whole = buf.len;
    unsigned char *end = (unsigned char *)check_guarded(whole) + whole;
    for (size_t n = 0; n < whole; n++) {
        struct cv_gguf *g = NULL;
        struct cv_error err = {0};
        memcpy(end - n, buf.data, n);
        CHECK(!cv_gguf_parse(&g, end - n, n, n, &arena, &err));
        CHECK_EQ(err.code, CV_ERR_FORMAT);
        CHECK_CONTAINS(err.msg, "byte ");
        cv_arena_reset(&arena);
    }
}

static void test_a_header_alone_is_enough_when_the_length_is_told(void)
{
    struct cv_error err;
    struct cv_gguf *g = NULL, *part = NULL;
    begin();
    valid_file();
    CHECK_OK(parse(&g, &err), err);
    unsigned char *copy = check_guarded(g->data_offset);
    memcpy(copy, buf.data, g->data_offset);
    CHECK_OK(cv_gguf_parse(&part, copy, g->data_offset, buf.len, &arena, &err), err);
    CHECK_EQ(part->data_len, g->data_len);
    CHECK_EQ(part->n_tensor, g->n_tensor);
    CHECK(!cv_gguf_parse(&part, copy, g->data_offset, buf.len - 1, &arena, &err));
    CHECK_CONTAINS(err.msg, "tensor 'k'");
}

static void test_other_files_are_named_for_what_they_are(void)
{
    static const unsigned char big[8] = {'G', 'G', 'U', 'F', 0, 0, 0, 3};
    begin();
    put_bytes(&buf, "PK\3\4 and so on, and so on", 24);
    refused(CV_ERR_FORMAT, "not a GGUF file");
    begin();
    put_bytes(&buf, big, 8);
    put_zeros(&buf, 16);
    refused(CV_ERR_UNSUPPORTED, "big-endian");
    begin();
    put_header(&buf, 1, 0, 0);
    refused(CV_ERR_UNSUPPORTED, "GGUF version 1");
    begin();
    put_header(&buf, 4, 0, 0);
    refused(CV_ERR_UNSUPPORTED, "version 4");
}

static void test_counts_are_held_against_what_is_there(void)
{
    begin();
    put_header(&buf, 3, (uint64_t)1 << 62, 0);
    refused(CV_ERR_LIMIT, "tensors");
    begin();
    put_header(&buf, 3, 0, (uint64_t)1 << 62);
    refused(CV_ERR_LIMIT, "keys");
    begin();
    put_header(&buf, 3, CV_MAX_GGUF_TENSORS, CV_MAX_GGUF_KV);
    put_zeros(&buf, 4096);
    refused(CV_ERR_FORMAT, "do not fit");
    begin();
    put_header(&buf, 3, 0, 1);
    put_key(&buf, "k", CV_GGUF_ARRAY);
    put_le32(&buf, CV_GGUF_STRING);
    put_le64(&buf, CV_MAX_GGUF_ARRAY);
    put_zeros(&buf, 100);
    refused(CV_ERR_FORMAT, "key 'k'");
    begin();
    put_header(&buf, 3, 0, 1);
    put_key(&buf, "k", CV_GGUF_ARRAY);
    put_le32(&buf, CV_GGUF_U64);
    put_le64(&buf, ((uint64_t)1 << 61) + 1); /* times 8 is 8 */
    put_zeros(&buf, 100);
    refused(CV_ERR_LIMIT, "array of");
    begin();
    put_header(&buf, 3, 0, 1);
    put_key(&buf, "k", CV_GGUF_STRING);
    put_le64(&buf, UINT64_MAX);
    put_zeros(&buf, 100);
    refused(CV_ERR_LIMIT, "key 'k'");
}

static void test_keys_are_names_and_stand_once(void)
{
    begin();
    put_header(&buf, 3, 0, 2);
    put_key(&buf, "a.b", CV_GGUF_U8);
    put_zeros(&buf, 1);
    const size_t second = buf.len + 8;
    put_key(&buf, "a.b", CV_GGUF_U8);
    put_zeros(&buf, 1);
    char where[32];
    snprintf(where, sizeof(where), "byte %zu:", second);
    refused(CV_ERR_FORMAT, where);
    refused(CV_ERR_FORMAT, "'a.b' stands there twice");
    begin();
    put_header(&buf, 3, 0, 1);
    put_key(&buf, "", CV_GGUF_U8);
    put_zeros(&buf, 2);
    refused(CV_ERR_FORMAT, "is empty");
    begin();
    put_header(&buf, 3, 0, 1);
    put_le64(&buf, 3);
    put_bytes(&buf, "a\0b", 3);
    put_le32(&buf, CV_GGUF_U8);
    put_zeros(&buf, 1);
    refused(CV_ERR_FORMAT, "NUL");
    begin();
    put_header(&buf, 3, 0, 1);
    put_key(&buf, "k\xc3(", CV_GGUF_U8);
    put_zeros(&buf, 1);
    refused(CV_ERR_FORMAT, "byte 33: a key is not valid UTF-8");
    begin();
    put_header(&buf, 3, 0, 1);
    put_le64(&buf, CV_MAX_GGUF_NAME + 1);
    put_zeros(&buf, 2000);
    refused(CV_ERR_LIMIT, "the length of a key");
    begin();
    put_header(&buf, 3, 0, 1);
    put_key(&buf, "k", 13);
    put_zeros(&buf, 8);
    refused(CV_ERR_FORMAT, "value type 13 is unknown");
}

static void test_values_are_what_they_say(void)
{
    begin();
    put_header(&buf, 3, 0, 1);
    put_key(&buf, "k", CV_GGUF_BOOL);
    put_bytes(&buf, "\2", 1);
    refused(CV_ERR_FORMAT, "a bool is 2");
    begin();
    put_header(&buf, 3, 0, 1);
    put_key(&buf, "k", CV_GGUF_STRING);
    put_name(&buf, "ab\xed\xa0\x80"); /* a surrogate */
    refused(CV_ERR_FORMAT, "byte 47: a string is not valid UTF-8");
    begin();
    put_header(&buf, 3, 0, 1);
    put_key(&buf, "general.alignment", CV_GGUF_U32);
    put_le32(&buf, 24);
    refused(CV_ERR_FORMAT, "power of two");
    begin();
    put_header(&buf, 3, 0, 1);
    put_key(&buf, "general.alignment", CV_GGUF_U32);
    put_le32(&buf, 0);
    refused(CV_ERR_FORMAT, "power of two");
}

static void test_nested_arrays_are_skipped_up_to_a_depth(void)
{
    struct cv_error err;
    struct cv_gguf *g = NULL;
    begin();
    put_header(&buf, 3, 0, 2);
    put_key(&buf, "pairs", CV_GGUF_ARRAY);
    put_le32(&buf, CV_GGUF_ARRAY);
    put_le64(&buf, 2);
    for (int i = 0; i < 2; i++) {
        put_le32(&buf, CV_GGUF_U16);
        put_le64(&buf, 3);
        put_zeros(&buf, 6);
    }
    put_key(&buf, "after", CV_GGUF_U8);
    put_bytes(&buf, "\7", 1);
    CHECK_OK(parse(&g, &err), err);
    CHECK_OK(cv_gguf_check(g, &err), err);
    CHECK_EQ(g->kv[0].n, 0);
    CHECK_EQ(g->kv[0].size_bytes, 8 + 2 * (4 + 8 + 6));
    uint32_t after;
    CHECK_OK(cv_gguf_u32(g, "after", &after, &err), err);
    CHECK_EQ(after, 7);
    /* and can be copied */
    struct cv_gguf_writer *w = cv_gguf_writer_new(0);
    struct cv_buf copy;
    cv_buf_init(&copy, 4096);
    CHECK(w != NULL);
    CHECK_OK(cv_gguf_put_kv(w, &g->kv[0], &err), err);
    CHECK_OK(cv_gguf_put_kv(w, &g->kv[1], &err), err);
    CHECK_OK(cv_gguf_writer_finish(w, &copy, &err), err);
    CHECK(copy.len >= buf.len && memcmp(copy.data, buf.data, buf.len) == 0);
    cv_buf_fini(&copy);
    cv_gguf_writer_free(w);
    begin();
    put_header(&buf, 3, 0, 1);
    put_key(&buf, "deep", CV_GGUF_ARRAY);
    for (int i = 0; i < 1000; i++) {
        put_le32(&buf, CV_GGUF_ARRAY);
        put_le64(&buf, 1);
    }
    refused(CV_ERR_LIMIT, "nested more than");
}

/* A header with one tensor entry in the middle of the making. */
static void one_tensor(const char *name, uint64_t dim, uint32_t type, uint64_t offset, size_t data)
{
    begin();
    put_header(&buf, 3, 1, 0);
    put_entry(&buf, name, dim, type, offset);
    pad_to(&buf, 32);
    put_zeros(&buf, data);
}

static void test_tensors_lie_within_the_data(void)
{
    struct cv_error err;
    struct cv_gguf *g = NULL;
    one_tensor("w", 16, CV_DTYPE_F32, 0, 64);
    CHECK_OK(parse(&g, &err), err);
    one_tensor("w", 16, CV_DTYPE_F32, 0, 63);
    refused(CV_ERR_FORMAT, "tensor 'w'");
    one_tensor("w", 16, CV_DTYPE_F32, 32, 64);
    refused(CV_ERR_FORMAT, "the data section has 64");
    one_tensor("w", 16, CV_DTYPE_F32, UINT64_MAX - 31, 64);
    refused(CV_ERR_FORMAT, "tensor 'w'");
    one_tensor("w", 16, CV_DTYPE_F32, 8, 128);
    refused(CV_ERR_FORMAT, "no multiple of the alignment");
    one_tensor("w", (uint64_t)1 << 63, CV_DTYPE_F32, 0, 64);
    refused(CV_ERR_LIMIT, "too large");
    one_tensor("w", 0, CV_DTYPE_F32, 0, 64);
    refused(CV_ERR_FORMAT, "dimension 0 is zero");
    one_tensor("w", 33, CV_DTYPE_Q4_0, 0, 64);
    refused(CV_ERR_FORMAT, "no multiple of the 32 values");
    one_tensor("w", 32, 4, 0, 64); /* a number that was withdrawn */
    refused(CV_ERR_UNSUPPORTED, "tensor type 4");
    one_tensor("w", 32, 4000000000u, 0, 64);
    refused(CV_ERR_UNSUPPORTED, "tensor type 4000000000");
    one_tensor("w\x1b[2J", 33, CV_DTYPE_Q4_0, 0, 64);
    refused(CV_ERR_FORMAT, "tensor 'w?[2J'"); /* nothing that a terminal would obey */
    begin();
    put_header(&buf, 3, 1, 0);
    put_name(&buf, "w");
    put_le32(&buf, 5);
    put_zeros(&buf, 100);
    refused(CV_ERR_FORMAT, "5 dimensions");
    begin();
    put_header(&buf, 3, 1, 0);
    put_name(&buf, "w");
    put_le32(&buf, 4);
    for (int i = 0; i < 4; i++)
        put_le64(&buf, (uint64_t)1 << 30);
    put_le32(&buf, CV_DTYPE_F32);
    put_le64(&buf, 0);
    pad_to(&buf, 32);
    refused(CV_ERR_LIMIT, "overflows");
}

static void test_tensors_do_not_share_bytes_or_names(void)
{
    struct cv_error err;
    struct cv_gguf *g = NULL;
    for (int order = 0; order < 2; order++) {
        begin();
        put_header(&buf, 3, 2, 0);
        put_entry(&buf, "first", 16, CV_DTYPE_F32, order == 0 ? 0 : 32);
        put_entry(&buf, "second", 16, CV_DTYPE_F32, order == 0 ? 32 : 0);
        pad_to(&buf, 32);
        put_zeros(&buf, 128);
        refused(CV_ERR_FORMAT, "overlap");
    }
    begin();
    put_header(&buf, 3, 2, 0);
    put_entry(&buf, "same", 8, CV_DTYPE_F32, 0);
    put_entry(&buf, "same", 8, CV_DTYPE_F32, 32);
    pad_to(&buf, 32);
    put_zeros(&buf, 64);
    refused(CV_ERR_FORMAT, "tensor 'same' stands there twice");
    begin(); /* any order in the file is fine */
    put_header(&buf, 3, 2, 0);
    put_entry(&buf, "b", 8, CV_DTYPE_F32, 32);
    put_entry(&buf, "a", 8, CV_DTYPE_F32, 0);
    pad_to(&buf, 32);
    put_zeros(&buf, 64);
    CHECK_OK(parse(&g, &err), err);
    CHECK_OK(cv_gguf_check(g, &err), err);
}

static void test_another_alignment_is_written_and_read(void)
{
    struct cv_error err;
    struct cv_gguf *g = NULL;
    begin();
    struct cv_gguf_writer *w = cv_gguf_writer_new(128);
    CHECK(w != NULL);
    CHECK_OK(cv_gguf_put_tensor(w, "a", CV_DTYPE_F32, (size_t[]){3}, 1, &err), err);
    CHECK_OK(cv_gguf_put_tensor(w, "b", CV_DTYPE_F32, (size_t[]){3}, 1, &err), err);
    finish_file(w, 140, &buf);
    CHECK_OK(parse(&g, &err), err);
    CHECK_EQ(g->alignment, 128);
    CHECK_EQ(g->data_offset % 128, 0);
    CHECK_EQ(cv_gguf_tensor(g, "b")->offset, 128);
}

static void test_the_writer_refuses_what_cannot_be_read(void)
{
    struct cv_error err;
    struct cv_gguf_writer *w = cv_gguf_writer_new(0);
    char name[CV_MAX_GGUF_NAME + 2];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    CHECK(w != NULL);
    CHECK(!cv_gguf_put_u32(w, "", 1, &err));
    CHECK(!cv_gguf_put_u32(w, name, 1, &err));
    CHECK(!cv_gguf_put_array(w, "k", CV_GGUF_STRING, NULL, 0, &err));
    CHECK(!cv_gguf_put_tensor(w, "t", CV_DTYPE_Q4_K, (size_t[]){255}, 1, &err));
    CHECK_CONTAINS(err.msg, "tensor 't'");
    CHECK(!cv_gguf_put_tensor(w, "t", CV_DTYPE_F32, (size_t[]){0}, 1, &err));
    CHECK(!cv_gguf_put_tensor(w, "t", CV_DTYPE_F32, (size_t[]){1}, 5, &err));
    CHECK(!cv_gguf_put_tensor(w, name, CV_DTYPE_F32, (size_t[]){1}, 1, &err));
    begin();
    finish_file(w, 0, &buf);
    CHECK_EQ(buf.len, 32); /* nothing of all that */
}

/* Whatever is changed: refused with a message, or a file whose invariants hold. */
static void test_random_damage_is_refused_or_harmless(void)
{
    begin();
    valid_file();
    const size_t n = buf.len;
    char *copy = cv_alloc(n);
    CHECK(copy != NULL);
    unsigned n_good = 0;
    for (int round = 0; round < 20000; round++) {
        struct cv_gguf *g = NULL;
        struct cv_error err = {0};
        memcpy(copy, buf.data, n);
        for (uint64_t k = 1 + check_below(3); k > 0; k--) {
            static const unsigned char odd[] = {0, 1, 0x7f, 0x80, 0xff};
            const size_t at = check_below(n < 1400 ? n : 1400);
            copy[at] = check_below(2) == 0 ? (char)odd[check_below(5)] : (char)check_rand();
        }
        if (cv_gguf_parse(&g, copy, n, n, &arena, &err)) {
            struct cv_hparams h;
            CHECK_OK(cv_gguf_check(g, &err), err);
            (void)cv_hparams_read(&h, g, &err);
            n_good++;
        } else {
            CHECK_CONTAINS(err.msg, "byte ");
        }
        CHECK(arena.used_bytes <= 32 * n + 65536);
        cv_arena_reset(&arena);
    }
    cv_free(copy);
    CHECK(n_good > 100 && n_good < 19900);
}

static void test_every_failed_allocation_is_an_error(void)
{
    struct cv_error err;
    struct cv_gguf *g = NULL;
    begin();
    valid_file();
    long n = 0;
    for (;; n++) {
        struct cv_arena own = {0};
        err = (struct cv_error){0};
        cv_mem_fail_after(n);
        const bool ok = cv_gguf_parse(&g, buf.data, buf.len, buf.len, &own, &err);
        cv_mem_fail_after(-1);
        cv_arena_fini(&own);
        if (ok)
            break;
        CHECK_EQ(err.code, CV_ERR_NOMEM);
        CHECK_CONTAINS(err.msg, "out of memory");
    }
    CHECK(n >= 1);
    for (n = 0;; n++) { /* the writer */
        cv_mem_fail_after(n);
        struct cv_gguf_writer *w = cv_gguf_writer_new(64);
        struct cv_buf out;
        cv_buf_init(&out, 1 << 20);
        const bool ok = w != NULL && cv_gguf_put_u32(w, "k", 1, &err) &&
                        cv_gguf_put_tensor(w, "t", CV_DTYPE_F32, (size_t[]){100}, 1, &err) &&
                        cv_gguf_writer_finish(w, &out, &err);
        cv_mem_fail_after(-1);
        cv_buf_fini(&out);
        cv_gguf_writer_free(w);
        if (ok)
            break;
        CHECK(w == NULL || err.code == CV_ERR_NOMEM);
    }
    CHECK(n >= 3);
}

/* A vocabulary of 128,000 tokens is parsed in milliseconds; names chosen to be alike do not change that. */
static void test_large_files_are_parsed_quickly(void)
{
    enum { TOKENS = 128000, TENSORS = 40000 };
    struct cv_error err;
    struct cv_gguf *g = NULL;
    begin();
    put_header(&buf, 3, TENSORS, 2);
    for (int list = 0; list < 2; list++) {
        put_key(&buf, list == 0 ? "tokenizer.ggml.tokens" : "tokenizer.ggml.merges", CV_GGUF_ARRAY);
        put_le32(&buf, CV_GGUF_STRING);
        put_le64(&buf, TOKENS);
        for (int i = 0; i < TOKENS; i++) {
            char text[32];
            snprintf(text, sizeof(text), "token %d", i);
            put_name(&buf, text);
        }
    }
    for (int i = 0; i < TENSORS; i++) {
        char name[160];
        snprintf(name, sizeof(name), "%0150d", i);
        put_entry(&buf, name, 8, CV_DTYPE_F32, (uint64_t)i * 32);
    }
    pad_to(&buf, 32);
    const clock_t start = clock();
    CHECK_OK(cv_gguf_parse(&g, buf.data, buf.len, buf.len + (size_t)TENSORS * 32, &arena, &err), err);
    const double ms = (double)(clock() - start) * 1000.0 / CLOCKS_PER_SEC;
    printf("    256,000 strings and %d tensors in %.1f ms\n", TENSORS, ms);
    CHECK(ms < 3000.0); /* some 40 ms; room for sanitizers and a busy machine, none for anything quadratic */
    CHECK(cv_gguf_tensor(g, g->tensor[12345].name) == &g->tensor[12345]);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_what_is_written_can_be_read),
        CASE(test_getters_convert_only_what_fits),
        CASE(test_every_number_type_is_read),
        CASE(test_a_u64_beyond_i64_is_no_i64),
        CASE(test_no_prefix_of_a_file_is_a_file),
        CASE(test_a_header_alone_is_enough_when_the_length_is_told),
        CASE(test_other_files_are_named_for_what_they_are),
        CASE(test_counts_are_held_against_what_is_there),
        CASE(test_keys_are_names_and_stand_once),
        CASE(test_values_are_what_they_say),
        CASE(test_nested_arrays_are_skipped_up_to_a_depth),
        CASE(test_tensors_lie_within_the_data),
        CASE(test_tensors_do_not_share_bytes_or_names),
        CASE(test_another_alignment_is_written_and_read),
        CASE(test_the_writer_refuses_what_cannot_be_read),
        CASE(test_random_damage_is_refused_or_harmless),
        CASE(test_every_failed_allocation_is_an_error),
        CASE(test_large_files_are_parsed_quickly),
    };
    const int rc = check_main(argc, argv, cases, CV_COUNT(cases));
    begin();
    cv_buf_fini(&buf);
    return rc;
}
