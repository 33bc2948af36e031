/* worker.c - the worker's life: start, the step thread's orders, the agent's heartbeats, the end. */
#include "worker/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/size.h"
#include "base/wait.h"
#include "engine/cpu/matrix.h"
#include "net/address.h"
#include "worker/internal.h"

enum { HEARTBEAT_MS = 500, HELLO_RETRY_MS = 500, CALL_MS = 2000, BYE_MS = 400 };

void cv_worker_set_state(struct cv_worker *w, enum cv_node_state state, uint64_t epoch, const struct cv_error *why)
{
    pthread_mutex_lock(&w->lock);
    w->status.state = state;
    w->status.epoch = epoch;
    w->status.code = why == NULL ? CV_OK : why->code;
    snprintf(w->status_text, sizeof(w->status_text), "%.255s", why == NULL ? "" : why->msg);
    w->news++;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

void cv_worker_status(struct cv_worker *w, struct cv_ctl_status *out, char text[256])
{
    struct cv_resources now = {0};
    struct cv_error unused;
    const uint64_t resident = cv_resident_bytes();
    (void)cv_resources_memory(&now, &unused);
    pthread_mutex_lock(&w->lock);
    *out = w->status;
    memcpy(text, w->status_text, sizeof(w->status_text));
    pthread_mutex_unlock(&w->lock);
    out->text = text;
    out->memory_used_bytes = resident;
    out->memory_free_bytes = now.memory_free;
}

void cv_worker_wait(struct cv_worker *w, uint32_t timeout_ms)
{
    const int64_t until = cv_deadline_ms(timeout_ms);
    pthread_mutex_lock(&w->lock);
    const uint64_t seen = w->news;
    while (w->news == seen && cv_cond_wait(&w->changed, &w->lock, until))
        continue;
    pthread_mutex_unlock(&w->lock);
}

bool cv_worker_joined(struct cv_worker *w)
{
    pthread_mutex_lock(&w->lock);
    const bool joined = w->joined;
    pthread_mutex_unlock(&w->lock);
    return joined;
}

/* ---- the step thread ---- */

static void load(struct cv_worker *w, struct cv_load_order *o)
{
    struct cv_error err = {0};
    cv_worker_set_state(w, CV_NODE_LOADING, o->load.epoch, NULL);
    const bool ok = cv_worker_load(w, &o->load, &err);
    if (ok) {
        pthread_mutex_lock(&w->lock);
        w->spec = w->loaded.spec;
        w->n_embd = cv_stage_n_embd(w->loaded.stage);
        w->n_vocab = cv_stage_n_vocab(w->loaded.stage);
        w->status.n_batches = w->status.n_rows = w->status.busy_us = 0;
        pthread_mutex_unlock(&w->lock);
    } else if (err.code != CV_ERR_CANCEL) {
        cv_log(CV_LOG_ERROR, "epoch %" PRIu64 ": %s", o->load.epoch, err.msg);
    }
    cv_worker_set_state(w, ok ? CV_NODE_LOADED : CV_NODE_FAILED, o->load.epoch, ok ? NULL : &err);
    cv_arena_fini(&o->arena);
    cv_free(o);
}

/* Lock held on entry and exit. */
static void serve(struct cv_worker *w)
{
    struct cv_pull *pull = w->pull;
    struct cv_push *push = w->push;
    const uint64_t epoch = w->epoch;
    const enum cv_carry in = w->carry_in, out = w->carry_out;
    w->serving = true;
    pthread_mutex_unlock(&w->lock);
    cv_worker_set_state(w, CV_NODE_SERVING, epoch, NULL);
    struct cv_error err = {0};
    cv_worker_serve(w, epoch, pull, push, in, out, &err);
    const bool told = err.code == CV_ERR_CANCEL; /* the coordinator ended the epoch */
    if (!told)
        cv_log(CV_LOG_WARN, "epoch %" PRIu64 " ends: %s", epoch, err.msg);
    cv_worker_set_state(w, told ? CV_NODE_LOADED : CV_NODE_FAILED, epoch, told ? NULL : &err);
    pthread_mutex_lock(&w->lock);
    w->serving = false;
    pthread_cond_broadcast(&w->changed);
}

static void *step_main(void *arg)
{
    struct cv_worker *w = arg;
    pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        if (w->drop_all) {
            w->drop_all = false;
            pthread_mutex_unlock(&w->lock);
            cv_loaded_fini(&w->loaded);
            cv_worker_set_state(w, CV_NODE_IDLE, 0, NULL);
            pthread_mutex_lock(&w->lock);
        } else if (w->order != NULL) {
            struct cv_load_order *o = w->order;
            w->order = NULL;
            atomic_store(&w->cancel_load, false);
            pthread_mutex_unlock(&w->lock);
            load(w, o);
            pthread_mutex_lock(&w->lock);
        } else if (w->pull != NULL && w->push != NULL && w->status.state == CV_NODE_LOADED &&
                   w->status.epoch == w->epoch && !w->epoch_served) {
            w->epoch_served = true;
            serve(w);
        } else {
            pthread_cond_wait(&w->changed, &w->lock);
        }
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* ---- the agent thread ---- */

static bool hello(struct cv_worker *w, uint32_t *heartbeat_ms, struct cv_error *err)
{
    char kind[] = "cpu", name[80];
    snprintf(name, sizeof(name), "%u threads, %s", cv_pool_threads(w->pool), cv_isa_name(cv_isa_detect()));
    const struct cv_ctl_device device = {.kind = kind,
                                         .name = name,
                                         .memory_total_bytes = w->resources.memory_total,
                                         .memory_free_bytes = w->budget_bytes,
                                         .bandwidth_bytes_per_s = w->resources.bandwidth_bytes_per_s,
                                         .matmul_flops_per_s = w->resources.flops_per_s,
                                         .n_threads = cv_pool_threads(w->pool)};
    struct cv_layer_held *list = NULL;
    size_t n_list = 0;
    struct cv_error unused;
    if (!cv_layer_cache_list(w->cache_dir, &list, &n_list, &unused))
        n_list = 0; /* a cache that cannot be read is an empty one */
    struct cv_ctl_held *held = cv_calloc(n_list, sizeof(*held));
    for (size_t i = 0; held != NULL && i < n_list; i++) {
        memcpy(held[i].model, list[i].model, sizeof(held[i].model));
        held[i].bytes = list[i].bytes;
    }
    struct cv_arena arena = {.max_bytes = 1 << 20};
    struct cv_ctl_reply reply;
    struct cv_ctl_request r = {.kind = CV_CTL_HELLO,
                               .u.hello = {.build_version = CARAVAN_VERSION,
                                           .name = w->name,
                                           .call_address = cv_answerer_address(w->answerer),
                                           .data_host = w->options.data_host,
                                           .device = &device,
                                           .n_device = 1,
                                           .held = held,
                                           .n_held = held == NULL ? 0 : n_list}};
    bool ok = cv_peer_ask(w->coordinator, &r, &reply, &arena, CALL_MS, err);
    if (ok) {
        pthread_mutex_lock(&w->lock);
        w->node_id = reply.u.hello.node_id;
        w->joined = true;
        w->news++;
        pthread_cond_broadcast(&w->changed);
        pthread_mutex_unlock(&w->lock);
        *heartbeat_ms = reply.u.hello.heartbeat_ms;
        if (*heartbeat_ms < 50 || *heartbeat_ms > 60000)
            *heartbeat_ms = HEARTBEAT_MS;
    }
    cv_arena_fini(&arena);
    cv_free(held);
    cv_free(list);
    return ok;
}

/* false: the coordinator does not know us (any more). A call that got no answer is tried again by the caller. */
static bool heartbeat(struct cv_worker *w, bool *answered, struct cv_error *err)
{
    char text[256];
    struct cv_arena arena = {.max_bytes = 1 << 20};
    struct cv_ctl_reply reply;
    struct cv_ctl_request r = {.kind = CV_CTL_HEARTBEAT};
    cv_worker_status(w, &r.u.heartbeat.status, text);
    pthread_mutex_lock(&w->lock);
    r.u.heartbeat.node_id = w->node_id;
    pthread_mutex_unlock(&w->lock);
    *answered = cv_peer_ask(w->coordinator, &r, &reply, &arena, CALL_MS, err);
    const bool known = !*answered || reply.u.heartbeat.known;
    cv_arena_fini(&arena);
    return known;
}

static void *agent_main(void *arg)
{
    struct cv_worker *w = arg;
    uint32_t interval_ms = HEARTBEAT_MS;
    bool complained = false;
    pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        const bool joined = w->joined;
        const uint64_t seen = w->news;
        pthread_mutex_unlock(&w->lock);
        struct cv_error err = {0};
        bool ok;
        if (!joined) {
            ok = hello(w, &interval_ms, &err);
            if (ok)
                cv_log(CV_LOG_INFO, "joined %s", w->options.coordinator);
        } else if (!heartbeat(w, &ok, &err)) {
            cv_log(CV_LOG_WARN, "the coordinator does not know this node any more: joining again");
            pthread_mutex_lock(&w->lock);
            w->joined = false;
            continue;
        }
        if (!ok && !complained && err.code != CV_ERR_CANCEL)
            cv_log(CV_LOG_WARN, "no word from the coordinator at %s: %s (still trying)", w->options.coordinator,
                   err.msg);
        complained = !ok;
        const int64_t until = cv_deadline_ms(ok ? interval_ms : HELLO_RETRY_MS);
        pthread_mutex_lock(&w->lock);
        while (!w->stop && (w->news == seen || !ok) && cv_cond_wait(&w->changed, &w->lock, until))
            continue;
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* ---- life ---- */

static bool choose_addresses(struct cv_worker *w, char *listen, size_t n, struct cv_error *err)
{
    struct cv_address coordinator;
    if (!cv_address_parse(w->options.coordinator, -1, &coordinator, err))
        return false;
    if (coordinator.inproc) {
        snprintf(listen, n, "%s-worker", w->options.coordinator);
        return w->options.data_host != NULL ||
               cv_fail(err, CV_ERR_ARG, "a worker in the coordinator's process needs a data host");
    }
    if (w->options.data_host == NULL) {
        if (!cv_address_local_towards(&coordinator, w->own_host, err))
            return false;
        w->options.data_host = w->own_host;
    }
    struct cv_address own = {0};
    snprintf(own.host, sizeof(own.host), "%s", w->options.data_host);
    (void)cv_address_format(&own, listen);
    return true;
}

static bool set_budget(struct cv_worker *w, struct cv_error *err)
{
    if (!cv_resources_memory(&w->resources, err))
        return false;
    /* The process itself, its threads' stacks and what a message in flight takes come out of the budget too. */
    const uint64_t own = cv_resident_bytes() + ((uint64_t)8 << 20);
    uint64_t budget = w->resources.memory_free;
    if (w->options.memory_bytes != 0 && w->options.memory_bytes < budget)
        budget = w->options.memory_bytes;
    else
        budget -= budget / 20; /* the machine's own needs move */
    char a[CV_SIZE_TEXT], b[CV_SIZE_TEXT];
    if (budget <= own)
        return cv_fail(err, CV_ERR_NOMEM, "a memory budget of %s leaves nothing for a model: the process takes %s",
                       cv_size_format(budget, a), cv_size_format(own, b));
    w->budget_bytes = budget - own;
    return true;
}

bool cv_worker_open(struct cv_worker **out, const struct cv_worker_options *options, struct cv_error *err)
{
    char listen[CV_ADDRESS_TEXT];
    struct cv_worker *w = cv_zalloc(sizeof(*w));
    if (w == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "worker: out of memory");
    w->options = *options;
    w->status.text = w->status_text;
    pthread_mutex_init(&w->lock, NULL);
    if (!cv_cond_init(&w->changed)) {
        cv_free(w);
        return cv_fail(err, CV_ERR_NOMEM, "worker: no condition to wait on");
    }
    if (options->name != NULL)
        snprintf(w->name, sizeof(w->name), "%s", options->name);
    else if (gethostname(w->name, sizeof(w->name) - 1) != 0)
        snprintf(w->name, sizeof(w->name), "node");
    if (options->cache_dir != NULL)
        snprintf(w->cache_dir, sizeof(w->cache_dir), "%s", options->cache_dir);
    else if (!cv_cache_dir(w->cache_dir, sizeof(w->cache_dir))) {
        cv_fail(err, CV_ERR_ARG, "no home directory for the cache: name one with --cache");
        goto fail;
    }
    if (!cv_session_new(&w->session, err) || !cv_pool_new(&w->pool, options->n_threads, err) ||
        !cv_resources_measure(&w->resources, w->pool, err) || !set_budget(w, err) ||
        !choose_addresses(w, listen, sizeof(listen), err) ||
        !cv_answerer_open(&w->answerer, options->listen != NULL ? options->listen : listen, options->token, w->session,
                          cv_worker_answer, w, err) ||
        !cv_peer_open(&w->coordinator, options->coordinator, options->token, w->session, NULL, NULL, err))
        goto fail;
    w->step_started = pthread_create(&w->step_thread, NULL, step_main, w) == 0;
    w->agent_started = w->step_started && pthread_create(&w->agent_thread, NULL, agent_main, w) == 0;
    if (!w->agent_started) {
        cv_fail(err, CV_ERR_NOMEM, "could not start a thread");
        goto fail;
    }
    *out = w;
    return true;
fail:
    cv_worker_close(w);
    return cv_wrap(err, "worker");
}

/* On a connection of its own: the agent's may be waiting for a coordinator that is gone, and was shut down. */
static void say_bye(struct cv_worker *w)
{
    struct cv_arena arena = {.max_bytes = 1 << 16};
    struct cv_ctl_reply reply;
    struct cv_error unused;
    struct cv_peer *peer = NULL;
    struct cv_ctl_request r = {.kind = CV_CTL_BYE, .u.bye = {.node_id = w->node_id, .reason = "it was stopped"}};
    if (cv_peer_open(&peer, w->options.coordinator, w->options.token, w->session, NULL, NULL, &unused))
        (void)cv_peer_ask(peer, &r, &reply, &arena, BYE_MS, &unused);
    cv_peer_close(peer);
    cv_arena_fini(&arena);
}

void cv_worker_close(struct cv_worker *w)
{
    if (w == NULL)
        return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    atomic_store(&w->cancel_load, true);
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    if (w->agent_started) {
        cv_peer_shutdown(w->coordinator);
        pthread_join(w->agent_thread, NULL);
        if (w->joined)
            say_bye(w);
    }
    cv_answerer_close(w->answerer);
    if (w->step_started) {
        cv_worker_end_epoch(w);
        pthread_join(w->step_thread, NULL);
    }
    cv_peer_close(w->coordinator);
    cv_loaded_fini(&w->loaded);
    if (w->order != NULL)
        cv_arena_fini(&w->order->arena);
    cv_free(w->order);
    cv_pool_free(w->pool);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    cv_free(w);
}
