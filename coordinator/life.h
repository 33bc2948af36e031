/*
 * life.h - the life of a plan: from nodes and a model to a pipeline that serves, and on to the next epoch.
 *
 *   planning -> loading -> connecting -> warming -> serving -> draining -> ended
 *       ^__________|____________|___________|__________|   (anything lost, failed or late: a new epoch)
 *
 * One control thread owns it. It asks the table of nodes (cluster/members.h), plans (partition/), tells workers (LOAD,
 * LISTEN, CONNECT), opens the two edges of its own, and lends the pipeline to the scheduler.
 */
#ifndef CV_COORDINATOR_LIFE_H
#define CV_COORDINATOR_LIFE_H

#include "cluster/members.h"
#include "coordinator/model.h"
#include "coordinator/scheduler.h"

enum cv_life_state {
    CV_LIFE_PLANNING,
    CV_LIFE_LOADING,
    CV_LIFE_CONNECTING,
    CV_LIFE_WARMING,
    CV_LIFE_SERVING,
    CV_LIFE_DRAINING,
    CV_LIFE_ENDED
};

const char *cv_life_state_name(enum cv_life_state s);

struct cv_life;

struct cv_life_options { /* borrowed for the life's life */
    struct cv_served *model;
    struct cv_members *members;
    struct cv_scheduler *scheduler;
    const char *token;      /* of the cluster; NULL: none */
    uint64_t session;
    const char *local_address; /* calls of a worker in this process begin with it */
    bool local;             /* there will be one */
    const char *data_host;  /* where the edge home listens */
    const char *blob_url;   /* "http://host:port": where workers fetch from */
    const char *cache_dir;  /* for digests; NULL: none is kept */
    uint32_t min_nodes;     /* plan when so many are here */
    bool use_all;           /* every one of them gets a stage */
    struct cv_plan_goal goal;
    /* The digests are known: blobs can be served now. On the control thread. */
    bool (*on_digest)(void *ctx, struct cv_error *err);
    void *ctx;
};

bool cv_life_new(struct cv_life **out, const struct cv_life_options *options, struct cv_error *err);
/* Tells the workers that the epoch is over, ends the thread. NULL is fine. */
void cv_life_free(struct cv_life *l);
/* No new epoch from now on; returns at once. The caller waits for the scheduler to become idle. */
void cv_life_drain(struct cv_life *l);
/* The scheduler's word that the epoch is broken. Any thread; does not block. */
void cv_life_epoch_failed(void *l, uint64_t epoch, const struct cv_error *why);

/* What people see. */
struct cv_life_stage {
    char node[CV_MAX_NODE_NAME + 16];
    uint64_t node_id;
    uint32_t layer_first, layer_last;
    bool has_embd, has_head;
    uint64_t bytes;
    double token_s; /* predicted */
    enum cv_node_state state;
    uint64_t load_done_bytes, load_all_bytes;
    double load_bytes_per_s;
    uint64_t n_batches, n_rows, busy_us;
};

struct cv_life_view {
    enum cv_life_state state;
    uint64_t epoch;
    char text[640]; /* what it waits for, or what went wrong last */
    struct cv_life_stage stage[64];
    uint32_t n_stage; /* of the plan; the first 64 are told */
    double progress;  /* of loading, 0..1 */
    uint32_t n_epochs, n_lost; /* since the start */
    double warm_ms;   /* one token through the pipeline, when it was warmed */
};

void cv_life_look(struct cv_life *l, struct cv_life_view *out);
/* The plan as a table for people; empty when there is none. */
bool cv_life_print_plan(struct cv_life *l, struct cv_buf *out);

#endif
