/*
 * plan.h - which layers go to which device, in what order: numbers in, plan out. No I/O, no clock.
 *
 *   model (bytes and operations per layer) + cluster (devices, links) + goal -> stages, predictions, reasons
 *
 * Times are seconds, rates are per second, sizes are bytes. A plan lives in the arena that cv_plan_make was given, and
 * borrows nothing. Invariants of every plan (cv_plan_check): each layer stands in exactly one stage, stages are in order
 * and not empty, the first has the embedding and the last the head, no device occurs twice, none is over its memory.
 * The model of cost is in docs/planning.md and in cost.c.
 */
#ifndef CV_PARTITION_PLAN_H
#define CV_PARTITION_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"

/* What is assumed of a device or a link that nobody has measured. */
#define CV_PLAN_BANDWIDTH   20e9   /* bytes per second out of memory */
#define CV_PLAN_RATE        50e9   /* operations per second */
#define CV_PLAN_DELAY       0.3e-3 /* one way, between two nodes */
#define CV_PLAN_LINK_RATE   110e6  /* bytes per second between two nodes: gigabit Ethernet */
#define CV_PLAN_LOCAL_DELAY 0.05e-3
#define CV_PLAN_LOCAL_RATE  2e9

#define CV_PLAN_NONE UINT32_MAX

enum cv_plan_kv { CV_PLAN_KV_F16, CV_PLAN_KV_F32, CV_PLAN_KV_Q8_0, CV_PLAN_KV_Q4_0, CV_PLAN_KV_COUNT };
const char *cv_plan_kv_name(enum cv_plan_kv kv);                /* "f16" ... */
uint64_t cv_plan_kv_bytes(enum cv_plan_kv kv, uint64_t n_elem); /* blocks of 32 for the quantized ones */

struct cv_plan_layer {
    uint64_t weight_bytes;            /* as they stand in memory once loaded, all experts included */
    uint64_t expert_bytes;            /* the part of weight_bytes that belongs to routed experts; 0: a dense layer */
    uint32_t n_expert, n_expert_used; /* 0, 0: dense */
    uint32_t kv_elems;                /* keys and values of one position: n_head_kv * (n_embd_head_k + n_embd_head_v) */
    uint32_t kv_window;               /* positions that a sliding window keeps; 0: all of the context */
    uint64_t state_bytes;             /* of one slot, whatever its length: recurrent families */
    double flops;                     /* operations of one row through the matrices in use (2 per weight) */
    double attn_flops; /* operations of one row per position before it: 2 * n_head * (n_embd_head_k + n_embd_head_v) */
};

/* Buffers for the largest step: fixed + n_ctx * per_ctx + n_batch * (per_row, + embd_per_row, + head_per_row). */
struct cv_plan_work {
    uint64_t fixed, per_ctx, per_row;
    uint64_t embd_per_row; /* more, in the stage with the embedding */
    uint64_t head_per_row; /* more, in the stage with the head: the logits */
};

struct cv_plan_model {
    const char *name;                  /* for the table; may be NULL */
    const struct cv_plan_layer *layer; /* [n_layer] */
    uint32_t n_layer;                  /* 1..CV_MAX_LAYERS */
    uint32_t n_embd;                   /* width of the carry */
    uint32_t n_ctx, n_slots, n_batch;  /* positions of one slot, slots, rows of the largest step; all >= 1 */
    enum cv_plan_kv kv;
    uint32_t kv_known;         /* bit 1 << kv for each type that may be advised; 0: F32 and F16 */
    uint64_t embd_bytes;       /* the embedding: resident in the first stage, one row read per token */
    uint64_t head_bytes;       /* output norm and matrix: resident in the last stage, read in full for every step */
    bool tied;                 /* head_bytes are the embedding again: held once where one stage has both */
    double head_flops;         /* operations of one wanted row */
    uint32_t carry_elem_bytes; /* 2: f16; 4: f32; 0 means 2 */
    uint32_t result_bytes;     /* what comes back of one wanted row; 0 means 512 */
    struct cv_plan_work work;
};

struct cv_plan_rate {
    double rows;  /* rows of a step */
    double flops; /* operations per second with so many rows */
};

enum { CV_PLAN_RATES = 6 };

struct cv_plan_device {
    const char *name;       /* of the device, unique: "pi-3" or "desk/gpu0" */
    uint32_t node;          /* devices with the same number share a machine: the local link between them */
    uint64_t memory_bytes;  /* what it may use now: cgroup, free memory and the user's own limit considered */
    uint64_t reserve_bytes; /* of these, to be left alone (--reserve) */
    double bandwidth;       /* bytes of weights per second; 0: CV_PLAN_BANDWIDTH */
    struct cv_plan_rate rate[CV_PLAN_RATES]; /* rising in rows; between two points linear; beyond the ends constant */
    uint32_t n_rate;                         /* 0: CV_PLAN_RATE whatever the rows */
    double layer_s;                          /* fixed cost of a layer in a step (threads, launches) */
    double stage_s;                          /* fixed cost of a step */
    bool excluded;                           /* --exclude: never used */
    bool pinned;                             /* --pin: holds exactly layers [pin_first, pin_last) */
    uint32_t pin_first, pin_last;
    uint32_t held_first, held_last; /* layers in its memory or cache already; empty: none */
    bool held_embd, held_head;
};

struct cv_plan_link {
    double delay_s;
    double bytes_per_s; /* 0: not known, the default holds */
};

struct cv_plan_cluster {
    const struct cv_plan_device *device;
    uint32_t n_device;
    /* [from * (n_device + 1) + to], index n_device is the coordinator; NULL, or an entry with rate 0: the defaults. */
    const struct cv_plan_link *link;
    struct cv_plan_link local, remote; /* within one node, between two; all zero means the CV_PLAN_ values */
    uint32_t home_node;                /* where the coordinator runs; CV_PLAN_NONE: on a machine of its own */
};

enum cv_plan_optimize {
    CV_PLAN_BALANCED,   /* one token alone + the slowest stage under load: token_s + period_s */
    CV_PLAN_LATENCY,    /* one user: token_s */
    CV_PLAN_THROUGHPUT, /* many users: period_s, then token_s */
    CV_PLAN_PROMPT,     /* a long prompt: prompt_s */
    CV_PLAN_OPTIMIZE_COUNT
};
const char *cv_plan_optimize_name(enum cv_plan_optimize o);
bool cv_plan_optimize_parse(const char *text, enum cv_plan_optimize *out, struct cv_error *err);

/* A zeroed one asks for a balanced plan with the defaults. */
struct cv_plan_goal {
    enum cv_plan_optimize optimize;
    uint32_t rows;                   /* rows of one batch under load; 0: n_slots, at most n_batch */
    uint32_t context;                /* positions before a row when times are predicted; 0: half of n_ctx */
    uint32_t prompt;                 /* tokens of the long prompt; 0: 2048, at most n_ctx */
    uint32_t min_stages, max_stages; /* 0: no bound. min_stages = number of devices: use them all */
    double move_s_per_byte; /* added to the score for every weight byte that its device does not hold yet; 0: free */
};

struct cv_plan_bytes {
    uint64_t weights; /* of the layers */
    uint64_t embd, head;
    uint64_t kv;   /* n_slots times n_ctx positions, and recurrent states */
    uint64_t work; /* buffers */
    uint64_t total;
};

struct cv_plan_stage {
    uint32_t device;                  /* index into the cluster's devices */
    uint32_t layer_first, layer_last; /* [first, last) */
    bool has_embd, has_head;
    struct cv_plan_bytes bytes;
    uint64_t free_bytes;                             /* usable memory minus bytes.total */
    uint64_t fetch_bytes;                            /* weights that the device does not hold yet */
    double token_s;                                  /* one row */
    double batch_s;                                  /* goal.rows rows: one batch under load */
    double chunk_s;                                  /* n_batch rows of a prompt */
    double edge_token_s, edge_batch_s, edge_chunk_s; /* the way into this stage, delay included */
    double edge_busy_s;                              /* how long a batch occupies that way: without the delay */
    double busy; /* share of the time it computes under full load: batch_s / period_s */
};

enum cv_plan_why {
    CV_PLAN_EXCLUDED,   /* the user said so */
    CV_PLAN_TOO_SMALL,  /* not one layer fits */
    CV_PLAN_SLOWER,     /* the plan with it is worse: by how much stands in text */
    CV_PLAN_NOT_BETTER, /* the plan with it is no better */
    CV_PLAN_LIMITED     /* max_stages */
};

struct cv_plan_spare {
    uint32_t device;
    enum cv_plan_why why;
    char text[160];
};

struct cv_plan {
    struct cv_plan_stage *stage; /* [n_stage], in order of layers */
    uint32_t n_stage;
    struct cv_plan_spare *spare; /* [n_spare]: devices left out, with the reason */
    uint32_t n_spare;
    struct cv_plan_goal goal; /* with its defaults filled in */
    double token_s;           /* one token of one user: all stages and edges, the way back included */
    double return_s;          /* of that: the way back */
    double batch_s;           /* one batch of goal.rows through the chain */
    double period_s;          /* the slowest stage or edge under load */
    double tokens_per_s;      /* goal.rows / period_s: with enough batches in flight */
    double served_per_s;      /* n_slots users who all generate, shared out over n_stage + 1 batches in flight */
    double prompt_s;    /* goal.prompt tokens in chunks of n_batch rows: first chunk through all, the rest behind it */
    double score;       /* what was minimized */
    double lower_bound; /* no plan has a smaller score */
    bool exact;         /* score is the smallest there is */
    uint32_t slowest;   /* stage that sets period_s; CV_PLAN_NONE when an edge does */
    char limit[200];    /* what limits the goal's figure, for people */
};

/*
 * The best plan. *out is written on success only.
 * Errors: CV_ERR_ARG (a constraint that makes no sense: named), CV_ERR_NOMEM (does not fit: what is needed, what each
 * node has, what would help, all of it computed; or no memory for the search).
 */
bool cv_plan_make(const struct cv_plan_model *model, const struct cv_plan_cluster *cluster,
                  const struct cv_plan_goal *goal, struct cv_plan *out, struct cv_arena *arena, struct cv_error *err);

/* What others do: all devices in their order, layers in proportion to their memory, nothing else looked at. The same
 * predictions as above. Errors: CV_ERR_NOMEM when a device ends up over its memory: which, and by how much. */
bool cv_plan_by_memory(const struct cv_plan_model *model, const struct cv_plan_cluster *cluster,
                       const struct cv_plan_goal *goal, struct cv_plan *out, struct cv_arena *arena,
                       struct cv_error *err);

/* A plan somebody else made: n_stage ranges with their devices in out->stage (device, layer_first, layer_last set);
 * fills in all the rest. Errors: CV_ERR_ARG, CV_ERR_NOMEM when a stage is over its memory. */
bool cv_plan_predict(const struct cv_plan_model *model, const struct cv_plan_cluster *cluster,
                     const struct cv_plan_goal *goal, struct cv_plan *plan, struct cv_error *err);

/* The invariants above. Errors: CV_ERR_INTERNAL. */
bool cv_plan_check(const struct cv_plan_model *model, const struct cv_plan_cluster *cluster, const struct cv_plan *plan,
                   struct cv_error *err);

/* Bytes that layers [first, last) take; the embedding if first is 0, the head if last is n_layer. */
void cv_plan_stage_bytes(const struct cv_plan_model *model, uint32_t first, uint32_t last, struct cv_plan_bytes *out);

/* What would make a model fit that does not, one thing at a time; 0 or CV_PLAN_KV_COUNT where it alone does not help. */
struct cv_plan_help {
    uint64_t need_bytes;      /* in one piece on one device */
    uint64_t have_bytes;      /* all usable devices together */
    uint32_t n_ctx;           /* largest context that fits */
    uint32_t n_slots;         /* most slots that fit */
    uint32_t n_batch;         /* largest step that fits */
    enum cv_plan_kv kv;       /* the largest cache type that fits */
    enum cv_plan_kv small_kv; /* with q4_0, or the smallest tried: */
    uint32_t small_n_ctx;     /* the largest context */
    uint64_t more_bytes;      /* one more node with so much memory */
    uint32_t weight_percent;  /* weights of this share of today's size would fit: a smaller quantization */
};
bool cv_plan_would_fit(const struct cv_plan_model *model, const struct cv_plan_cluster *cluster,
                       const struct cv_plan_goal *goal, struct cv_plan_help *out, struct cv_error *err);

/* The node that would gain most from more memory. device is CV_PLAN_NONE (and text empty) where none would gain 2%. */
struct cv_plan_advice {
    uint32_t device;
    uint64_t more_bytes; /* nine tenths of what any amount would bring */
    double score;        /* of the plan with them */
    char text[160];
};
/* Plans some 10 times per node: for a person who asks, not for every plan. */
bool cv_plan_advise(const struct cv_plan_model *model, const struct cv_plan_cluster *cluster,
                    const struct cv_plan *plan, struct cv_plan_advice *out, struct cv_error *err);

/* A table for people, with a bar for every node and the goal's figures. false: out is full. */
bool cv_plan_print(const struct cv_plan_model *model, const struct cv_plan_cluster *cluster, const struct cv_plan *plan,
                   struct cv_buf *out);
/* The same as one JSON object. */
bool cv_plan_json(const struct cv_plan_model *model, const struct cv_plan_cluster *cluster, const struct cv_plan *plan,
                  struct cv_buf *out);

#endif
