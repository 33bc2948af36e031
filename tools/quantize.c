/*
 * quantize.c - caravan-quantize: the same model with its matrices in another type.
 *
 * Reads one file (or all parts of a split one), writes one. Tensor by tensor, rows shared among threads, so memory stays
 * at the size of the largest tensor.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/size.h"
#include "gguf/hparams.h"
#include "gguf/model.h"
#include "tools/mix.h"
#include "tools/output.h"

static const char help[] =
    "Rewrites a model with its weights in another type: smaller, and a little less exact.\n"
    "\n"
    "  caravan-quantize IN.gguf OUT.gguf TYPE [--threads N]\n"
    "\n"
    "TYPE        bits per weight\n"
    "  F32            32          F16, BF16      16\n"
    "  Q8_0            8.5        hardly to be told from F16\n"
    "  Q6_K            6.6        Q5_K            5.5\n"
    "  Q4_K            4.5        Q4_0            4.5, the simplest\n"
    "  Q5_1, Q5_0, Q4_1           6, 5.5, 5: for rows that are no multiple of 256\n"
    "  Q5_K_M, Q4_K_M             mixes: Q6_K where rounding is felt most (the output matrix, attn_v and ffn_down of\n"
    "                             some layers), the plain type elsewhere. Q4_K_M is the usual choice.\n"
    "\n"
    "IN may be a split model: name any of its parts. Start from F32, F16 or BF16: rounding twice loses more.\n"
    "Vectors and norms stay F32. Each quantized tensor's error is printed, relative to the size of its weights.\n";

struct job {
    const struct cv_model *model;
    const struct cv_mix *mix;
    struct cv_pool *pool;
    struct cv_output output;
    struct cv_gguf_writer *writer;
    enum cv_dtype *type; /* [n_tensor] */
    float *row;          /* [threads][2][row_cap] */
    unsigned char *packed;
    double *error, *power; /* [rows_cap] of each row, so that the sum has one order */
    size_t row_cap, packed_cap, rows_cap;
};

/* One tensor being converted. */
struct convert {
    struct job *j;
    const struct cv_gguf_tensor *t;
    const unsigned char *src;
    enum cv_dtype type;
    size_t src_row, dst_row; /* bytes */
};

static size_t rows_of(const struct cv_gguf_tensor *t)
{
    return t->dim[1] * t->dim[2] * t->dim[3];
}

static void convert_row(void *ctx, size_t row, unsigned thread)
{
    const struct convert *c = ctx;
    const size_t n = c->t->dim[0];
    float *x = c->j->row + 2 * thread * c->j->row_cap, *back = x + c->j->row_cap;
    unsigned char *dst = c->j->packed + row * c->dst_row;
    double error = 0.0, power = 0.0;
    cv_dequantize(c->t->dtype, c->src + row * c->src_row, x, n);
    cv_quantize(c->type, x, NULL, dst, n);
    cv_dequantize(c->type, dst, back, n);
    for (size_t i = 0; i < n; i++) {
        const double d = (double)back[i] - (double)x[i];
        error += d * d;
        power += (double)x[i] * (double)x[i];
    }
    c->j->error[row] = error;
    c->j->power[row] = power;
}

static bool convert_tensor(struct job *j, size_t i, struct cv_error *err)
{
    const struct cv_gguf_tensor *t = &j->model->gguf->tensor[i];
    const void *src = cv_model_tensor_data(j->model, t);
    struct convert c = {.j = j, .t = t, .src = src, .type = j->type[i]};
    if (c.type == t->dtype)
        return cv_output_tensor(&j->output, src, t->size_bytes, err);
    if (!cv_dtype_row_bytes(t->dtype, t->dim[0], &c.src_row, err) ||
        !cv_dtype_row_bytes(c.type, t->dim[0], &c.dst_row, err))
        return false;
    cv_pool_run(j->pool, convert_row, &c, rows_of(t));
    double error = 0.0, power = 0.0;
    for (size_t r = 0; r < rows_of(t); r++) {
        error += j->error[r];
        power += j->power[r];
    }
    printf("  %-36s %-5s -> %-5s error %.2e\n", t->name, cv_dtype_get(t->dtype)->name, cv_dtype_get(c.type)->name,
           power > 0.0 ? error / power : 0.0);
    return cv_output_tensor(&j->output, j->packed, c.dst_row * rows_of(t), err);
}

static bool is_key(const struct cv_gguf_kv *kv, const char *name)
{
    return kv->key.n == strlen(name) && memcmp(kv->key.p, name, kv->key.n) == 0;
}

/* All pairs in their order; what tells of the type is ours, what tells of parts is left out. */
static bool put_metadata(struct job *j, struct cv_error *err)
{
    const struct cv_gguf *g = j->model->gguf;
    bool ok = true;
    for (size_t i = 0; ok && i < g->n_kv; i++) {
        const struct cv_gguf_kv *kv = &g->kv[i];
        if (is_key(kv, "general.file_type"))
            ok = cv_gguf_put_u32(j->writer, "general.file_type", j->mix->file_type, err);
        else if (!is_key(kv, "split.no") && !is_key(kv, "split.count") && !is_key(kv, "split.tensors.count"))
            ok = cv_gguf_put_kv(j->writer, kv, err);
    }
    if (ok && cv_gguf_find(g, "general.file_type") == NULL)
        ok = cv_gguf_put_u32(j->writer, "general.file_type", j->mix->file_type, err);
    if (ok && cv_gguf_find(g, "general.quantization_version") == NULL)
        ok = cv_gguf_put_u32(j->writer, "general.quantization_version", 2, err);
    return ok;
}

static bool put_header(struct job *j, struct cv_error *err)
{
    const struct cv_gguf *g = j->model->gguf;
    struct cv_hparams h;
    if (!cv_hparams_read(&h, g, err))
        return false;
    const bool tied = cv_gguf_tensor(g, "output.weight") == NULL;
    if (!put_metadata(j, err))
        return false;
    for (size_t i = 0; i < g->n_tensor; i++) {
        const struct cv_gguf_tensor *t = &g->tensor[i];
        size_t row_bytes;
        j->type[i] = cv_mix_type(j->mix, t->name, t->dim, t->n_dim, h.n_layer, tied);
        if (t->n_dim < 2 || j->type[i] == CV_DTYPE_F32) /* a vector in F16 stays as it is */
            j->type[i] = j->mix->base == CV_DTYPE_F32 && cv_dtype_can_dequantize(t->dtype) ? CV_DTYPE_F32 : t->dtype;
        if (j->type[i] != t->dtype && !cv_dtype_can_dequantize(t->dtype))
            return cv_fail(err, CV_ERR_UNSUPPORTED, "tensor '%s': values of %s cannot be read", t->name,
                           cv_dtype_get(t->dtype)->name);
        if (!cv_gguf_put_tensor(j->writer, t->name, j->type[i], t->dim, t->n_dim, err) ||
            !cv_dtype_row_bytes(j->type[i], t->dim[0], &row_bytes, err))
            return false;
        j->row_cap = t->dim[0] > j->row_cap ? t->dim[0] : j->row_cap;
        j->rows_cap = rows_of(t) > j->rows_cap ? rows_of(t) : j->rows_cap;
        j->packed_cap = row_bytes * rows_of(t) > j->packed_cap ? row_bytes * rows_of(t) : j->packed_cap;
    }
    return true;
}

static bool convert_model(struct job *j, const char *out, struct cv_error *err)
{
    const struct cv_gguf *g = j->model->gguf;
    j->writer = cv_gguf_writer_new(g->alignment);
    j->type = cv_calloc(g->n_tensor + 1, sizeof(*j->type));
    if (j->writer == NULL || j->type == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "out of memory");
    if (!put_header(j, err))
        return false;
    j->row = cv_calloc(2 * j->row_cap * cv_pool_threads(j->pool), sizeof(*j->row));
    j->packed = cv_alloc(j->packed_cap);
    j->error = cv_calloc(j->rows_cap + 1, sizeof(*j->error));
    j->power = cv_calloc(j->rows_cap + 1, sizeof(*j->power));
    if (j->row == NULL || j->packed == NULL || j->error == NULL || j->power == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for a tensor of %zu bytes", j->packed_cap);
    bool ok = cv_output_open(&j->output, out, j->writer, err);
    for (size_t i = 0; ok && i < g->n_tensor; i++)
        ok = convert_tensor(j, i, err);
    return ok && cv_output_finish(&j->output, err);
}

static bool run(const char *in, const char *out, const char *type, unsigned threads, struct cv_error *err)
{
    struct cv_model *model = NULL;
    struct job j = {.mix = cv_mix_find(type)};
    const uint64_t start = cv_now_ms();
    if (j.mix == NULL)
        return cv_fail(err, CV_ERR_ARG, "TYPE '%s': expected one of %s", type, cv_mix_names());
    bool ok = cv_model_open(&model, in, CV_MODEL_MAP, err) && cv_pool_new(&j.pool, threads, err);
    j.model = model;
    if (ok)
        ok = convert_model(&j, out, err) || cv_wrap(err, "%s", in);
    if (ok) {
        char before[CV_SIZE_TEXT], after[CV_SIZE_TEXT];
        printf("%s: %s, was %s (%s, %.2f bits per weight) in %.1f s\n", out, cv_size_format(j.output.written, after),
               cv_size_format(model->n_bytes, before), j.mix->name,
               8.0 * (double)j.output.written / (double)(model->n_params > 0 ? model->n_params : 1),
               (double)(cv_now_ms() - start) / 1e3);
    }
    cv_output_close(&j.output);
    cv_gguf_writer_free(j.writer);
    cv_pool_free(j.pool);
    cv_free(j.type);
    cv_free(j.row);
    cv_free(j.packed);
    cv_free(j.error);
    cv_free(j.power);
    cv_model_close(model);
    return ok;
}

int main(int argc, char **argv)
{
    const char *name[3] = {NULL, NULL, NULL};
    unsigned threads = 0, n = 0;
    struct cv_error err = {0};
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(help, stdout);
        return 0;
    }
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc)
            threads = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (argv[i][0] != '-' && n < 3)
            name[n++] = argv[i];
        else
            n = 4;
    }
    if (n != 3 || threads > 1024) {
        fprintf(stderr, "%s", help);
        return 2;
    }
    if (run(name[0], name[1], name[2], threads, &err))
        return 0;
    fprintf(stderr, "caravan-quantize: %s\n", err.msg);
    return err.code == CV_ERR_ARG ? 2 : 1;
}
