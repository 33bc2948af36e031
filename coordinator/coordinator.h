/*
 * coordinator.h - everything that `caravan serve` is, apart from the local worker: model, nodes, scheduler, plan, API.
 *
 * Listens on up to three places: the endpoint (HTTP), the cluster address (calls), and next to it the blobs (HTTP). The
 * local worker, if there is one, joins by inproc:// like any other.
 */
#ifndef CV_COORDINATOR_COORDINATOR_H
#define CV_COORDINATOR_COORDINATOR_H

#include "coordinator/api.h"

struct cv_coordinator;

struct cv_coordinator_options { /* strings are borrowed */
    struct cv_served_options model;
    const char *http;     /* "host:port" of the endpoint */
    const char *cluster;  /* "host:port" where workers join; NULL: none can */
    const char *name;     /* of the cluster */
    const char *token;    /* NULL: loopback only */
    const char *api_key;  /* NULL: none */
    const char *cache_dir;
    uint32_t n_workers;   /* wait for so many workers, and use them all; 0: plan with whoever is here */
    bool local;           /* a worker in this process will join */
    uint32_t heal_timeout_ms, batch_timeout_ms; /* 0: 2500, 120000 */
    struct cv_plan_goal goal;
    struct cv_sampling defaults;
};

bool cv_coordinator_open(struct cv_coordinator **out, const struct cv_coordinator_options *options,
                         struct cv_error *err);
/* Where workers and the local one find it; clients the endpoint. */
const char *cv_coordinator_cluster_address(const struct cv_coordinator *c); /* "tcp://host:port"; NULL: none */
const char *cv_coordinator_local_address(const struct cv_coordinator *c);   /* "inproc://name" */
const char *cv_coordinator_data_host(const struct cv_coordinator *c);
const char *cv_coordinator_http_address(const struct cv_coordinator *c); /* "host:port" */
const struct cv_served *cv_coordinator_model(const struct cv_coordinator *c);
void cv_coordinator_look(struct cv_coordinator *c, struct cv_life_view *out);
bool cv_coordinator_print_plan(struct cv_coordinator *c, struct cv_buf *out);
/* No new requests; waits until those in progress are done, at most timeout_ms. true: all are. */
bool cv_coordinator_drain(struct cv_coordinator *c, uint32_t timeout_ms);
/* Ends the plan and whatever still runs; afterwards a worker in this process may be closed. */
void cv_coordinator_stop(struct cv_coordinator *c);
/* NULL is fine. */
void cv_coordinator_close(struct cv_coordinator *c);

#endif
