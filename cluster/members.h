/*
 * members.h - the coordinator's table of nodes: who is here, what they have, how they do.
 *
 * Answers HELLO, HEARTBEAT and BYE; notices silence. Any thread may call; one lock, a leaf. A node is known by the
 * session it drew when its process started: a restarted worker is a new node that takes over its old name.
 */
#ifndef CV_CLUSTER_MEMBERS_H
#define CV_CLUSTER_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "proto/control.h"

struct cv_members;

struct cv_node {
    uint64_t id; /* never used twice */
    uint64_t session;
    const char *name; /* unique among the living: a second "pi" becomes "pi-2" */
    const char *build_version;
    const char *call_address;
    const char *data_host;
    struct cv_ctl_device *device;
    size_t n_device;
    struct cv_ctl_held *held;
    size_t n_held;
    struct cv_ctl_status status; /* of the last heartbeat */
    bool alive;
    char lost_why[128]; /* alive == false */
    uint64_t joined_ms, seen_ms; /* monotonic */
};

struct cv_members_options {
    const char *cluster;   /* borrowed */
    uint32_t heartbeat_ms; /* asked of workers: 500 */
    uint32_t silence_ms;   /* after so long without a sign a node is lost: 2000 */
    uint64_t session;      /* the coordinator's */
};

bool cv_members_new(struct cv_members **out, const struct cv_members_options *options, struct cv_error *err);
void cv_members_free(struct cv_members *m);

/* A decoded request of the kinds above; fills in reply (its strings live in arena). Other kinds are refused. */
void cv_members_answer(struct cv_members *m, const struct cv_ctl_request *request, struct cv_ctl_reply *reply,
                       struct cv_arena *arena);

/* What workers should be told is the current epoch; 0: none. */
void cv_members_set_epoch(struct cv_members *m, uint64_t epoch);

/* Marks nodes lost that have been silent too long. now_ms: monotonic. */
void cv_members_sweep(struct cv_members *m, uint64_t now_ms);
/* Somebody else noticed (a call failed, a pipe closed). */
void cv_members_lose(struct cv_members *m, uint64_t node_id, const char *why);

/* Waits until something changed since *version (a node came, went, or changed state), at most timeout_ms; sets
 * *version to the present. true: something has changed. */
bool cv_members_wait(struct cv_members *m, uint64_t *version, uint32_t timeout_ms);
void cv_members_wake(struct cv_members *m); /* makes the waiter return, as if something had changed */

/* Copies of all living nodes (dead ones too with_dead, for a minute after their loss), in the order they joined. */
bool cv_members_list(struct cv_members *m, bool with_dead, struct cv_node **out, size_t *n, struct cv_arena *arena,
                     struct cv_error *err);

#endif
