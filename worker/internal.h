/*
 * internal.h - the worker's own parts and who owns what.
 *
 *   agent thread     HELLO and HEARTBEAT; owns nothing but its connection
 *   answer threads   LOAD, LISTEN, CONNECT, DROP, STATS: write orders under the lock, open edges
 *   step thread      owns the stage, the layer cache and the pool; carries orders out; serves an epoch
 *
 * The lock guards the fields below it and is a leaf.
 */
#ifndef CV_WORKER_INTERNAL_H
#define CV_WORKER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/pool.h"
#include "cluster/peer.h"
#include "engine/stage.h"
#include "gguf/model.h"
#include "net/address.h"
#include "net/edge.h"
#include "registry-mirror/layer_cache.h"
#include "worker/resources.h"
#include "worker/worker.h"

struct cv_load_order { /* a LOAD, copied out of the call */
    struct cv_arena arena;
    struct cv_ctl_load load;
};

/* What stands loaded; the step thread's. */
struct cv_loaded {
    struct cv_stage *stage;
    struct cv_stage_spec spec;
    unsigned char model[CV_SHA256_BYTES];
    uint32_t stage_index, n_stage;
    struct cv_layer_cache *cache; /* holds what the stage reads in place */
    struct cv_model *file;        /* the same for a local file */
};

struct cv_worker {
    struct cv_worker_options options;
    char name[CV_MAX_NODE_NAME + 1];
    char cache_dir[4096];
    char own_host[CV_HOST_TEXT];
    uint64_t session;
    uint64_t budget_bytes; /* for stages */
    struct cv_resources resources;
    struct cv_pool *pool;
    struct cv_answerer *answerer;
    struct cv_peer *coordinator;
    pthread_t agent_thread, step_thread;
    bool agent_started, step_started;
    struct cv_loaded loaded; /* step thread */
    atomic_bool cancel_load; /* a newer order, or the end, is waiting */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* orders for the step thread; news for the agent */
    bool stop;
    bool joined;
    uint64_t node_id;
    uint64_t news; /* counts changes of state */
    struct cv_ctl_status status;
    char status_text[256];
    struct cv_load_order *order; /* the newest LOAD not yet begun */
    bool drop_all;               /* DROP of everything was asked for */
    uint64_t epoch;              /* of the newest LOAD */
    struct cv_pull *pull;        /* of epoch; the step thread uses them while serving, under no lock */
    struct cv_push *push;
    uint64_t pull_link;
    uint32_t n_embd, n_vocab;    /* of the stage that is loaded, for answers.c */
    struct cv_stage_spec spec;
    enum cv_carry carry_in, carry_out;
    bool epoch_served; /* the edges of epoch have been used: they are not used again */
    bool serving;      /* the step thread is between the edges */
    bool ending;       /* somebody is closing them */
};

/* Sets state, epoch and (failed) the reason; wakes the agent. */
void cv_worker_set_state(struct cv_worker *w, enum cv_node_state state, uint64_t epoch, const struct cv_error *why);

/* answers.c */
void cv_worker_answer(void *ctx, const struct cv_ctl_request *r, struct cv_ctl_reply *reply, struct cv_arena *arena);
/* Wakes a step thread that is between two edges, and forgets them. Lock held: no. */
void cv_worker_end_epoch(struct cv_worker *w);

/* What a stage of this shape is willing to take from the edge before it. */
struct cv_batch_limits cv_worker_limits(const struct cv_stage_spec *spec, enum cv_carry carry, uint32_t n_embd,
                                        uint32_t n_vocab);

/* load.c: builds the stage that the order asks for, or keeps the one that is there. Step thread. */
bool cv_worker_load(struct cv_worker *w, const struct cv_ctl_load *load, struct cv_error *err);
void cv_loaded_fini(struct cv_loaded *l);

/* step.c: serves the epoch until an edge ends or an error comes up: err says which. Step thread. */
void cv_worker_serve(struct cv_worker *w, uint64_t epoch, struct cv_pull *pull, struct cv_push *push,
                     enum cv_carry carry_in, enum cv_carry carry_out, struct cv_error *err);

#endif
