/*
 * api.h - the OpenAI-compatible endpoint: routes, keys, and what the server tells about itself.
 *
 *   HTTP loop --> route --> quick answers (models, health, metrics, cluster)
 *                   |
 *                   +--> queue --> API thread: read the body, make the prompt --> scheduler --> answer (api_answer.c)
 *
 * Reading a long prompt takes time, so it is not done on the loop: nobody waits for somebody else's megabyte.
 */
#ifndef CV_COORDINATOR_API_H
#define CV_COORDINATOR_API_H

#include "coordinator/life.h"
#include "coordinator/model.h"
#include "coordinator/scheduler.h"

struct cv_api;

struct cv_api_options { /* borrowed */
    const char *address; /* "host:port" */
    const char *api_key; /* NULL: none is asked for */
    struct cv_served *model;
    struct cv_members *members;
    struct cv_scheduler *scheduler;
    struct cv_life *life;
    struct cv_sampling defaults; /* what a request that says nothing gets */
};

bool cv_api_open(struct cv_api **out, const struct cv_api_options *options, struct cv_error *err);
const char *cv_api_address(const struct cv_api *a); /* with the real port */
/* New requests are refused with 503; those in progress go on. */
void cv_api_drain(struct cv_api *a);
/* As drain; and when it returns, nothing more is submitted: the scheduler may end. NULL is fine. */
void cv_api_stop(struct cv_api *a);
/* Ends the loop. Every request has been answered: the scheduler was freed before. NULL is fine. */
void cv_api_close(struct cv_api *a);

#endif
