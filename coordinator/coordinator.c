#include "coordinator/coordinator.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cluster/peer.h"
#include "net/address.h"
#include "registry-mirror/blob_server.h"

enum { HEARTBEAT_MS = 500, SILENCE_MS = 2000, HEAL_MS = 2500, HOPE_MS = 120000, BATCH_MS = 120000, MAX_WAITING = 1024 };

struct cv_coordinator {
    uint64_t session;
    struct cv_served *model;
    struct cv_members *members;
    struct cv_scheduler *scheduler;
    struct cv_life *life;
    struct cv_api *api;
    struct cv_answerer *near, *far; /* for the local worker, and for the others */
    struct cv_http_server *blob_http;
    char near_address[64], data_host[CV_HOST_TEXT], blob_url[CV_ADDRESS_TEXT];
    pthread_mutex_t lock; /* guards what follows; a leaf */
    struct cv_blob_server *blobs; /* NULL until the model's digests are known */
    struct cv_life *told; /* life, once it can be told of failures */
};

static void answer_call(void *ctx, const struct cv_ctl_request *r, struct cv_ctl_reply *reply, struct cv_arena *arena)
{
    struct cv_coordinator *c = ctx;
    cv_members_answer(c->members, r, reply, arena);
}

static void on_failure(void *ctx, uint64_t epoch, const struct cv_error *why)
{
    struct cv_coordinator *c = ctx;
    pthread_mutex_lock(&c->lock);
    struct cv_life *l = c->told;
    pthread_mutex_unlock(&c->lock);
    if (l != NULL)
        cv_life_epoch_failed(l, epoch, why);
}

static bool on_digest(void *ctx, struct cv_error *err)
{
    struct cv_coordinator *c = ctx;
    struct cv_blob_server *b;
    if (!cv_blob_server_new(&b, c->model->file, c->model->digest, err))
        return false;
    pthread_mutex_lock(&c->lock);
    c->blobs = b;
    pthread_mutex_unlock(&c->lock);
    return true;
}

/* On the blob server's loop. */
static void handle_blob(void *ctx, struct cv_http_request *r)
{
    struct cv_coordinator *c = ctx;
    pthread_mutex_lock(&c->lock);
    struct cv_blob_server *b = c->blobs;
    pthread_mutex_unlock(&c->lock);
    if (b == NULL || !cv_blob_server_handle(b, r)) {
        struct cv_error err;
        cv_fail(&err, CV_ERR_NOT_FOUND, "no such blob");
        cv_http_reply_error(r, &err);
    }
}

/* The cluster's own listeners: calls on the port that was asked for, blobs on any free one. */
static bool open_cluster(struct cv_coordinator *c, const struct cv_coordinator_options *o, struct cv_error *err)
{
    struct cv_address a, blob = {0};
    char text[CV_ADDRESS_TEXT];
    snprintf(c->near_address, sizeof(c->near_address), "inproc://caravan-%" PRIx64, c->session);
    snprintf(c->data_host, sizeof(c->data_host), "127.0.0.1");
    if (!cv_answerer_open(&c->near, c->near_address, NULL, c->session, answer_call, c, err))
        return false;
    if (o->cluster == NULL)
        return true;
    if (!cv_address_parse(o->cluster, -1, &a, err))
        return cv_wrap(err, "--cluster");
    if (!cv_answerer_open(&c->far, cv_address_format(&a, text), o->token, c->session, answer_call, c, err))
        return cv_wrap(err, "--cluster %s", o->cluster);
    blob = a;
    blob.port = 0;
    const struct cv_http_server_options http = {
        .address = cv_address_format_plain(&blob, text), .handler = handle_blob, .ctx = c};
    if (!cv_http_server_open(&c->blob_http, &http, err))
        return cv_wrap(err, "--cluster %s: blobs", o->cluster);
    if (!cv_address_parse(cv_http_server_address(c->blob_http), -1, &blob, err))
        return false;
    if (cv_address_is_wildcard(&blob)) {
        /* What to tell others: the address of the interface that leads out. */
        const struct cv_address away = {.host = "192.0.2.1", .port = 9}; /* documentation's own network: never reached */
        if (!cv_address_local_towards(&away, blob.host, err))
            return cv_wrap(err, "--cluster %s: which address do workers reach? Name it instead of %s", o->cluster, a.host);
    }
    snprintf(c->data_host, sizeof(c->data_host), "%s", blob.host);
    snprintf(c->blob_url, sizeof(c->blob_url), "http://%s", cv_address_format_plain(&blob, text));
    return true;
}

bool cv_coordinator_open(struct cv_coordinator **out, const struct cv_coordinator_options *o, struct cv_error *err)
{
    struct cv_coordinator *c = cv_zalloc(sizeof(*c));
    if (c == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "out of memory");
    pthread_mutex_init(&c->lock, NULL);
    if (!cv_session_new(&c->session, err) || !cv_served_open(&c->model, &o->model, err))
        goto fail;
    const struct cv_members_options members = {
        .cluster = o->name, .heartbeat_ms = HEARTBEAT_MS, .silence_ms = SILENCE_MS, .session = c->session};
    const struct cv_scheduler_options scheduler = {
        .vocab = c->model->vocab,
        .n_slots = c->model->n_slots,
        .n_ctx = c->model->n_ctx,
        .n_batch = c->model->n_batch,
        .max_waiting = MAX_WAITING,
        .heal_timeout_ms = o->heal_timeout_ms == 0 ? HEAL_MS : o->heal_timeout_ms,
        .hope_timeout_ms = HOPE_MS,
        .batch_timeout_ms = o->batch_timeout_ms == 0 ? BATCH_MS : o->batch_timeout_ms,
        .on_failure = on_failure,
        .ctx = c};
    if (!cv_members_new(&c->members, &members, err) || !cv_scheduler_new(&c->scheduler, &scheduler, err) ||
        !open_cluster(c, o, err))
        goto fail;
    const struct cv_life_options life = {.model = c->model,
                                         .members = c->members,
                                         .scheduler = c->scheduler,
                                         .token = o->token,
                                         .session = c->session,
                                         .local_address = c->near_address,
                                         .local = o->local,
                                         .data_host = c->data_host,
                                         .blob_url = c->blob_url,
                                         .cache_dir = o->cache_dir,
                                         .min_nodes = o->n_workers > 0 ? o->n_workers + (o->local ? 1 : 0) : 1,
                                         .use_all = o->n_workers > 0,
                                         .goal = o->goal,
                                         .on_digest = on_digest,
                                         .ctx = c};
    if (!cv_life_new(&c->life, &life, err))
        goto fail;
    pthread_mutex_lock(&c->lock);
    c->told = c->life;
    pthread_mutex_unlock(&c->lock);
    const struct cv_api_options api = {.address = o->http,
                                       .api_key = o->api_key,
                                       .model = c->model,
                                       .members = c->members,
                                       .scheduler = c->scheduler,
                                       .life = c->life,
                                       .defaults = o->defaults};
    if (!cv_api_open(&c->api, &api, err)) {
        cv_wrap(err, "--http %s", o->http);
        goto fail;
    }
    *out = c;
    return true;
fail:
    cv_coordinator_close(c);
    return false;
}

const char *cv_coordinator_cluster_address(const struct cv_coordinator *c)
{
    return c->far == NULL ? NULL : cv_answerer_address(c->far);
}

const char *cv_coordinator_local_address(const struct cv_coordinator *c)
{
    return c->near_address;
}

const char *cv_coordinator_data_host(const struct cv_coordinator *c)
{
    return c->data_host;
}

const char *cv_coordinator_http_address(const struct cv_coordinator *c)
{
    return cv_api_address(c->api);
}

const struct cv_served *cv_coordinator_model(const struct cv_coordinator *c)
{
    return c->model;
}

void cv_coordinator_look(struct cv_coordinator *c, struct cv_life_view *out)
{
    cv_life_look(c->life, out);
}

bool cv_coordinator_print_plan(struct cv_coordinator *c, struct cv_buf *out)
{
    return cv_life_print_plan(c->life, out);
}

bool cv_coordinator_drain(struct cv_coordinator *c, uint32_t timeout_ms)
{
    const uint64_t until = cv_now_ms() + timeout_ms;
    cv_api_drain(c->api);
    cv_life_drain(c->life);
    while (!cv_scheduler_idle(c->scheduler) && cv_now_ms() < until)
        cv_sleep_ms(20);
    return cv_scheduler_idle(c->scheduler);
}

void cv_coordinator_stop(struct cv_coordinator *c)
{
    /* First nothing new comes in; then the plan ends, so that the scheduler holds no pipeline; then the scheduler ends
     * what is running, and its answers still find an HTTP loop; then that. */
    cv_api_stop(c->api);
    pthread_mutex_lock(&c->lock);
    c->told = NULL;
    pthread_mutex_unlock(&c->lock);
    cv_life_free(c->life);
    cv_scheduler_free(c->scheduler);
    cv_api_close(c->api);
    c->life = NULL;
    c->scheduler = NULL;
    c->api = NULL;
}

void cv_coordinator_close(struct cv_coordinator *c)
{
    if (c == NULL)
        return;
    cv_coordinator_stop(c);
    cv_answerer_close(c->far);
    cv_answerer_close(c->near);
    cv_http_server_close(c->blob_http, 0);
    cv_blob_server_free(c->blobs);
    cv_members_free(c->members);
    cv_served_close(c->model);
    pthread_mutex_destroy(&c->lock);
    cv_free(c);
}
