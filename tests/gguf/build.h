/* build.h - files made by hand for tests, right or wrong. Included by one .c file of each test program. */
#ifndef CV_TESTS_GGUF_BUILD_H
#define CV_TESTS_GGUF_BUILD_H

#include <string.h>

#include "base/buf.h"
#include "base/reader.h"
#include "gguf/gguf.h"
#include "tests/check/check.h"

static inline void put_bytes(struct cv_buf *b, const void *p, size_t n)
{
    CHECK(cv_buf_append(b, p, n));
}

static inline void put_le32(struct cv_buf *b, uint32_t v)
{
    unsigned char bytes[4];
    cv_store_u32(bytes, v);
    put_bytes(b, bytes, 4);
}

static inline void put_le64(struct cv_buf *b, uint64_t v)
{
    unsigned char bytes[8];
    cv_store_u64(bytes, v);
    put_bytes(b, bytes, 8);
}

static inline void put_name(struct cv_buf *b, const char *s)
{
    put_le64(b, strlen(s));
    put_bytes(b, s, strlen(s));
}

static inline void put_header(struct cv_buf *b, uint32_t version, uint64_t n_tensor, uint64_t n_kv)
{
    put_bytes(b, "GGUF", 4);
    put_le32(b, version);
    put_le64(b, n_tensor);
    put_le64(b, n_kv);
}

static inline void put_key(struct cv_buf *b, const char *key, uint32_t type)
{
    put_name(b, key);
    put_le32(b, type);
}

static inline void put_entry(struct cv_buf *b, const char *name, uint64_t dim, uint32_t type, uint64_t offset)
{
    put_name(b, name);
    put_le32(b, 1);
    put_le64(b, dim);
    put_le32(b, type);
    put_le64(b, offset);
}

static inline void put_zeros(struct cv_buf *b, size_t n)
{
    while (n-- > 0)
        put_bytes(b, "", 1);
}

static inline void pad_to(struct cv_buf *b, size_t alignment)
{
    put_zeros(b, (alignment - b->len % alignment) % alignment);
}

/* Metadata of a small llama model with the sizes below, without a vocabulary. */
enum { MODEL_LAYERS = 3, MODEL_EMBD = 64, MODEL_HEADS = 4, MODEL_HEADS_KV = 2, MODEL_FF = 96, MODEL_VOCAB = 50 };

static inline void put_model_keys(struct cv_gguf_writer *w)
{
    struct cv_error err;
    CHECK_OK(cv_gguf_put_str(w, "general.architecture", "llama", 5, &err), err);
    CHECK_OK(cv_gguf_put_u32(w, "llama.block_count", MODEL_LAYERS, &err), err);
    CHECK_OK(cv_gguf_put_u32(w, "llama.embedding_length", MODEL_EMBD, &err), err);
    CHECK_OK(cv_gguf_put_u32(w, "llama.context_length", 256, &err), err);
    CHECK_OK(cv_gguf_put_u32(w, "llama.feed_forward_length", MODEL_FF, &err), err);
    CHECK_OK(cv_gguf_put_u32(w, "llama.attention.head_count", MODEL_HEADS, &err), err);
    CHECK_OK(cv_gguf_put_u32(w, "llama.attention.head_count_kv", MODEL_HEADS_KV, &err), err);
    CHECK_OK(cv_gguf_put_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f, &err), err);
}

/* A whole file from a writer: header, then data whose byte at offset i of the section is i * 7 % 251. */
static inline void finish_file(struct cv_gguf_writer *w, size_t data_len, struct cv_buf *out)
{
    struct cv_error err;
    CHECK_OK(cv_gguf_writer_finish(w, out, &err), err);
    for (size_t i = 0; i < data_len; i++) {
        const unsigned char byte = (unsigned char)(i * 7 % 251);
        put_bytes(out, &byte, 1);
    }
    cv_gguf_writer_free(w);
}

#endif
