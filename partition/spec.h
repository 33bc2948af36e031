/*
 * spec.h - a cluster as people write it on a command line:
 *
 *   --node NAME=SIZE[,BANDWIDTH[,RATE]]   pi-1=6G   desk=30G,50G,2T   desk/gpu0=22G,900G,60T
 *   --link A-B=DELAY[,RATE]               pi-1-desk=0.4ms,110M   desk-coordinator=20ms,100Mbit
 *   --pin NODE=FIRST:LAST                 desk=0:11 (both included)
 *   --exclude NODE   --reserve NODE=SIZE
 *
 * Sizes are powers of 1024 (base/size.h); bandwidths and rates are powers of 1000, per second, and take "bit". A name
 * with a slash is a device of the node before it: devices of one node share its local link. Every error says what was
 * read, and what could stand there.
 */
#ifndef CV_PARTITION_SPEC_H
#define CV_PARTITION_SPEC_H

#include "partition/plan.h"

struct cv_plan_spec_link {
    uint32_t a, b; /* devices; CV_PLAN_NONE is the coordinator */
    struct cv_plan_link link;
};

/* Begins zeroed, with its arena set; everything it points at lives there. Nodes come before what names them. */
struct cv_plan_spec {
    struct cv_arena *arena;
    struct cv_plan_device *device;
    uint32_t n_device, cap_device;
    struct cv_plan_spec_link *link;
    uint32_t n_link, cap_link;
};

/* A device that is known already (a worker that joined); node is set from its name, the name is copied. */
bool cv_plan_spec_add(struct cv_plan_spec *s, const struct cv_plan_device *device, struct cv_error *err);

bool cv_plan_spec_node(struct cv_plan_spec *s, const char *text, struct cv_error *err);
bool cv_plan_spec_link(struct cv_plan_spec *s, const char *text, struct cv_error *err);
bool cv_plan_spec_pin(struct cv_plan_spec *s, const char *text, struct cv_error *err);
bool cv_plan_spec_exclude(struct cv_plan_spec *s, const char *text, struct cv_error *err);
bool cv_plan_spec_reserve(struct cv_plan_spec *s, const char *text, struct cv_error *err);

/* The cluster that was described; borrows s. home: name of the node that the coordinator runs on, or NULL. */
bool cv_plan_spec_cluster(const struct cv_plan_spec *s, const char *home, struct cv_plan_cluster *out,
                          struct cv_error *err);

/* "50G", "1.5T", "100Mbit": per second. Positive. */
bool cv_plan_spec_rate(const char *text, double *out, struct cv_error *err);
/* "20ms", "300us", "0.5s". */
bool cv_plan_spec_delay(const char *text, double *out, struct cv_error *err);

#endif
