/* resources.h - what this machine has to give: memory that may be used now, bandwidth and arithmetic as measured. */
#ifndef CV_WORKER_RESOURCES_H
#define CV_WORKER_RESOURCES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/pool.h"

struct cv_resources {
    uint64_t memory_total;       /* bytes; the cgroup's limit where there is one */
    uint64_t memory_free;        /* bytes that may be taken now without pushing anybody out */
    double bandwidth_bytes_per_s; /* reading weights, all threads */
    double flops_per_s;           /* multiply-adds of a quantized product over many rows, counted twice */
};

/* Memory as the kernel and the cgroup (v1 or v2) of this process see it. */
bool cv_resources_memory(struct cv_resources *out, struct cv_error *err);
/* Resident set of this process, bytes; 0 when it cannot be read. */
uint64_t cv_resident_bytes(void);
/* Fills in the two rates with the engine's own kernels; takes about 0.3 s. cv_matrix_init was called. */
bool cv_resources_measure(struct cv_resources *out, struct cv_pool *pool, struct cv_error *err);

#endif
