/*
 * device.h - what a device does: one function per kind of operation, over rows that lie in numbered buffers.
 *
 * The stage prepares an execution (rows checked, sequence memory reserved, angles computed) and calls the device for
 * each operation of the program in order. A function sees only the current rows: after PICK those are the wanted ones.
 */
#ifndef CV_ENGINE_DEVICE_H
#define CV_ENGINE_DEVICE_H

#include "base/pool.h"
#include "engine/cpu/matrix.h"
#include "engine/kv.h"
#include "engine/program.h"

/* A weight in memory, by its form. */
struct cv_loaded {
    struct cv_matrix matrix; /* CV_WEIGHT_MATRIX */
    const float *vector;     /* CV_WEIGHT_VECTOR: [k] */
    const void *table;       /* CV_WEIGHT_TABLE: rows of row_bytes, borrowed */
    size_t row_bytes;
};

struct cv_exec_row {
    uint32_t slot, pos;
    int32_t token;
    uint32_t at; /* row of the batch: where its angles are */
    bool want;
};

struct cv_exec {
    const struct cv_program *program;
    const struct cv_loaded *weight;
    struct cv_kv *kv;
    struct cv_pool *pool;          /* may be NULL */
    float *buffer[CV_MAX_BUFFERS]; /* [n_batch][width] */
    struct cv_exec_row *row;
    uint32_t n_row;
    const float *cosine, *sine; /* [n_batch][n_rot / 2] */
    float *logits;              /* [wanted rows][n_vocab] */
    void *work;                 /* the device's own: measure_work bytes */
};

/* The largest step a device has to be ready for. */
struct cv_exec_bounds {
    const struct cv_program *program;
    struct cv_kv_spec kv;
    uint32_t n_batch;
    unsigned n_threads;
};

struct cv_device_ops {
    const char *name;
    /* Bytes of memory of its own for steps within the bounds; false when that overflows. */
    bool (*measure_work)(const struct cv_exec_bounds *b, size_t *bytes);
    void (*init_work)(void *work, const struct cv_exec_bounds *b);
    void (*run[CV_OP_COUNT])(struct cv_exec *e, const struct cv_op *op);
};

extern const struct cv_device_ops cv_cpu_ops;

#endif
