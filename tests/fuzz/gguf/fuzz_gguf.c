/* fuzz_gguf.c - a hostile file: parse it, look at everything, write it again and parse that. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "gguf/gguf.h"
#include "gguf/hparams.h"
#include "gguf/sizes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok, const char *what, const struct cv_error *err)
{
    if (ok)
        return;
    fprintf(stderr, "%s: %s\n", what, err->msg);
    abort();
}

static uint64_t touch(const struct cv_gguf_kv *kv)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < kv->n; i++) {
        int64_t whole = 0;
        double real = 0;
        sum += cv_gguf_kv_i64(kv, i, &whole) ? (uint64_t)whole : 0;
        sum += cv_gguf_kv_f64(kv, i, &real);
        if (kv->strings != NULL)
            sum += kv->strings[i].n > 0 ? (unsigned char)kv->strings[i].p[kv->strings[i].n - 1] : 0;
    }
    return sum;
}

static void get_all(const struct cv_gguf *g)
{
    struct cv_error err;
    for (size_t i = 0; i < g->n_kv; i++) {
        char key[CV_MAX_GGUF_NAME + 1];
        uint32_t u32;
        uint64_t u64;
        float f32;
        bool b;
        struct cv_str s;
        snprintf(key, sizeof(key), "%.*s", (int)g->kv[i].key.n, g->kv[i].key.p);
        (void)cv_gguf_u32(g, key, &u32, &err);
        (void)cv_gguf_u64(g, key, &u64, &err);
        (void)cv_gguf_f32(g, key, &f32, &err);
        (void)cv_gguf_bool(g, key, &b, &err);
        (void)cv_gguf_str(g, key, &s, &err);
        (void)touch(&g->kv[i]);
    }
}

/* What was read can be written, and reads the same. */
static void write_again(const struct cv_gguf *g, struct cv_arena *arena)
{
    struct cv_error err = {0};
    struct cv_gguf_writer *w = cv_gguf_writer_new(g->alignment);
    struct cv_buf out;
    struct cv_gguf *again = NULL;
    size_t data_len = 0;
    cv_buf_init(&out, (size_t)1 << 26);
    must(w != NULL, "writer", &err);
    for (size_t i = 0; i < g->n_kv; i++)
        must(cv_gguf_put_kv(w, &g->kv[i], &err), "put_kv", &err);
    for (size_t i = 0; i < g->n_tensor; i++) {
        const struct cv_gguf_tensor *t = &g->tensor[i];
        must(cv_gguf_put_tensor(w, t->name, t->dtype, t->dim, t->n_dim, &err), "put_tensor", &err);
        data_len += t->size_bytes + cv_gguf_write_pad(w, t->size_bytes);
    }
    must(cv_gguf_writer_finish(w, &out, &err), "finish", &err);
    must(cv_gguf_parse(&again, out.data, out.len, out.len + data_len, arena, &err), "parse again", &err);
    must(again->n_tensor == g->n_tensor && again->alignment == g->alignment, "same", &err);
    for (size_t i = 0; i < g->n_kv; i++)
        (void)touch(&again->kv[i < again->n_kv ? i : 0]);
    cv_buf_fini(&out);
    cv_gguf_writer_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cv_arena arena = {0};
    struct cv_error err = {0};
    struct cv_gguf *g = NULL;
    /* Every other input is taken for the beginning of a longer file. */
    const size_t file_len = size % 2 == 0 ? size : size + 4096;
    if (cv_gguf_parse(&g, data, size, file_len, &arena, &err)) {
        struct cv_hparams h;
        struct cv_model_sizes sizes;
        uint64_t kv;
        must(cv_gguf_check(g, &err), "check", &err);
        get_all(g);
        if (cv_hparams_read(&h, g, &err) && cv_model_sizes_make(&sizes, g, &h, &arena, &err))
            (void)cv_layer_kv_bytes(&sizes.layer[0], CV_DTYPE_F16, &kv, &err);
        write_again(g, &arena);
    } else {
        must(err.code != CV_OK && err.msg[0] != '\0', "an error without a message", &err);
    }
    /* Memory is bounded by a small multiple of what is really there. */
    must(arena.used_bytes <= 32 * size + 65536, "memory", &err);
    cv_arena_fini(&arena);
    return 0;
}
