/*
 * program.h - what a stage computes, as a straight line of coarse operations over numbered row buffers.
 *
 * A model family (engine/arch/) writes the program from metadata and the tensor directory; a device (engine/device.h)
 * has one function per kind of operation; neither knows the other. Every buffer holds one vector per row of the batch.
 * A pass over the finished program puts neighbours together that a device does better in one go.
 */
#ifndef CV_ENGINE_PROGRAM_H
#define CV_ENGINE_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "gguf/dtype.h"
#include "gguf/gguf.h"
#include "gguf/hparams.h"

enum cv_op_kind {
    CV_OP_EMBED,      /* dst = the row of weight that the row's token names */
    CV_OP_PICK,       /* from here on only the wanted rows exist: the buffers src keep those */
    CV_OP_NORM,       /* dst = x / sqrt(mean(x^2) + eps) * weight, x = src, in pieces (heads) of the weight's length */
    CV_OP_ADD,        /* dst = src[0] + src[1] */
    CV_OP_ADD_NORM,   /* src[0] += src[1], then dst = norm of src[0] */
    CV_OP_MATMUL,     /* dst[i] = weight[i] src + bias[i], i < n_mat */
    CV_OP_ROPE,       /* dst = src turned by the row's position, head by head */
    CV_OP_STORE,      /* src[0], src[1] become the key and value of the row's position in this layer */
    CV_OP_ROPE_STORE, /* the same, and src[0] (and q = src[2], in place) is turned first */
    CV_OP_ATTEND,     /* dst = softmax(scale * q k) v over the positions up to the row's own; q = src */
    CV_OP_GLU,        /* dst = silu(src[0]) * src[1] */
    CV_OP_LOGITS,     /* the wanted rows' output = weight src: leaves the stage */
    CV_OP_COUNT
};

enum { CV_OP_FAN = 3, CV_NO_WEIGHT = -1, CV_MAX_BUFFERS = 16, CV_MAX_WEIGHT_NAME = 64 };

struct cv_op {
    enum cv_op_kind kind;
    uint32_t layer;                         /* of the model */
    uint32_t n_mat;                         /* MATMUL; PICK: how many buffers */
    int dst[CV_OP_FAN], src[CV_OP_FAN];     /* buffers */
    int weight[CV_OP_FAN], bias[CV_OP_FAN]; /* weights, or CV_NO_WEIGHT */
    uint32_t n_head;                        /* NORM (pieces), ROPE: heads of the buffer */
    float eps;                              /* NORM */
    float scale;                            /* ATTEND */
};

/* How a weight lies in memory. */
enum cv_weight_form {
    CV_WEIGHT_MATRIX, /* repacked for products */
    CV_WEIGHT_VECTOR, /* f32 */
    CV_WEIGHT_TABLE   /* as in the file, in place: rows are looked up */
};

struct cv_weight {
    char name[CV_MAX_WEIGHT_NAME]; /* of the tensor */
    enum cv_weight_form form;
    enum cv_dtype dtype;
    size_t k, n_out; /* values per row, rows */
    size_t size_bytes;
};

struct cv_buffer {
    const char *name;
    size_t width; /* floats per row */
};

enum cv_rope_mode {
    CV_ROPE_PAIRS, /* values 2i, 2i + 1 of a head are turned together */
    CV_ROPE_HALVES /* values i, i + n_rot / 2 */
};

struct cv_rope {
    enum cv_rope_mode mode;
    uint32_t n_rot; /* values of a head that are turned; the rest stays */
    float freq_base;
    enum cv_rope_scaling scaling;
    float factor;
    uint32_t orig_ctx;
    float ext_factor, attn_factor, beta_fast, beta_slow;
    int factors; /* weight: a divisor for each frequency, or CV_NO_WEIGHT */
};

/* What part of the model (struct cv_stage_spec has the same fields). */
struct cv_part {
    uint32_t layer_first, layer_last;
    bool has_embd, has_head;
};

struct cv_program {
    struct cv_part part;
    struct cv_hparams hp;
    struct cv_rope rope;
    struct cv_op *op;
    size_t n_op;
    struct cv_weight *weight;
    size_t n_weight;
    struct cv_buffer buffer[CV_MAX_BUFFERS];
    int n_buffer;
    int carry; /* the buffer that comes in and goes out */
    size_t cap_op, cap_weight;
};

/* Builds and fuses the program of one part of a model. Errors: CV_ERR_UNSUPPORTED names what is missing (architecture,
 * weight type, a tensor nobody reads), CV_ERR_FORMAT a missing tensor or a wrong shape, CV_ERR_ARG a senseless part. */
bool cv_program_build(struct cv_program *p, const struct cv_gguf *meta, const struct cv_part *part,
                      struct cv_error *err);
void cv_program_fini(struct cv_program *p); /* a zeroed one is fine */
/* A line per operation; each weight with type and shape. */
bool cv_program_print(const struct cv_program *p, struct cv_buf *out);
const char *cv_op_name(enum cv_op_kind kind);

/* For a family (engine/arch/). Each appends one operation; buffers and weights are numbers. */

struct cv_builder {
    struct cv_program *p;
    const struct cv_gguf *meta;
    struct cv_error *err;
    bool failed; /* err is set; every later call does nothing */
};

int cv_build_buffer(struct cv_builder *b, const char *name, size_t width);
/* The tensor NAME.weight / NAME.bias; with layer >= 0 "blk.LAYER." goes before it. A missing one is an error, or
 * CV_NO_WEIGHT with cv_build_optional. A vector has n_out == 1. */
int cv_build_weight(struct cv_builder *b, int layer, const char *name, enum cv_weight_form form, size_t k,
                    size_t n_out);
int cv_build_optional(struct cv_builder *b, int layer, const char *name, enum cv_weight_form form, size_t k,
                      size_t n_out);
/* The operation to fill in, with no weights; NULL after a failure. Valid until the next one. */
struct cv_op *cv_build_op(struct cv_builder *b, enum cv_op_kind kind, uint32_t layer);
void cv_build_fail(struct cv_builder *b, enum cv_code code, const char *fmt, ...) CV_PRINTF(3, 4);

/* fuse.c */
void cv_program_fuse(struct cv_program *p);

#endif
