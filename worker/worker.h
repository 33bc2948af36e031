/*
 * worker.h - one node of a cluster: joins a coordinator, loads the layers it is given, and steps them.
 *
 * Runs as a process of its own (caravan join) or inside the coordinator's (the local worker, over inproc://): the same
 * code either way. Opens its threads in cv_worker_open and ends them in cv_worker_close.
 */
#ifndef CV_WORKER_WORKER_H
#define CV_WORKER_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "proto/control.h"

struct cv_worker;

struct cv_worker_options { /* strings are borrowed for the worker's life */
    const char *name;         /* NULL: the host's name */
    const char *coordinator;  /* "tcp://host:port" or "inproc://name" */
    const char *token;        /* of the cluster; NULL: none (loopback and inproc only) */
    const char *listen;       /* where calls are answered: "tcp://host:port" or "inproc://name"; NULL: chosen */
    const char *data_host;    /* host of its edges, as others reach it; NULL: as the coordinator is reached.
                                 In the coordinator's own process it must be given. */
    const char *cache_dir;    /* of layers; NULL: cv_cache_dir */
    uint64_t memory_bytes;    /* budget for weights, sequence memory and buffers; 0: what is free */
    unsigned n_threads;       /* 0: all processors */
    bool local_files;         /* may open a model by path: only in the coordinator's own process */
};

bool cv_worker_open(struct cv_worker **out, const struct cv_worker_options *options, struct cv_error *err);
/* Says BYE, ends its threads, frees everything. NULL is fine. */
void cv_worker_close(struct cv_worker *w);

/* What it is doing now; text is copied into text[256]. Any thread. */
void cv_worker_status(struct cv_worker *w, struct cv_ctl_status *out, char text[256]);
/* Waits until the status changes or timeout_ms have passed: for a progress display. */
void cv_worker_wait(struct cv_worker *w, uint32_t timeout_ms);
/* The node's name as the coordinator knows it; "" before the first HELLO. Is it in touch with the coordinator? */
bool cv_worker_joined(struct cv_worker *w);

#endif
