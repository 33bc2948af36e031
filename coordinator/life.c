#include "coordinator/life.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/size.h"
#include "cluster/peer.h"
#include "net/address.h"

enum {
    WAIT_MS = 250,        /* between two looks when nothing happens */
    CALL_MS = 3000,       /* a question to a worker */
    PROBE_MS = 700,       /* the question whether it is still there */
    WARM_MS = 120000,     /* the first row through the pipeline */
    LOAD_STALL_MS = 120000, /* no byte of progress on any stage */
    RETRY_MS = 1000       /* after an epoch that failed before it served */
};

struct stage {
    struct cv_plan_stage plan;
    uint64_t node_id;
    bool local;
    char name[CV_MAX_NODE_NAME + 16];
    struct cv_peer *peer;
    char address[CV_ADDRESS_TEXT]; /* of its PULL */
};

struct cv_life {
    struct cv_life_options o;
    pthread_t thread;
    bool started;
    /* control thread */
    struct cv_arena arena; /* of the epoch: plan, names */
    struct cv_plan plan;
    struct cv_plan_device *device; /* what was planned with */
    uint32_t n_device;
    struct stage *stage;
    uint32_t n_stage;
    struct cv_pipeline pipeline;
    bool lent; /* the scheduler has the pipeline */
    unsigned char secret[CV_SECRET_BYTES];
    uint64_t last_loaded, progress_ms;

    pthread_mutex_t lock; /* guards what follows; a leaf */
    bool stop, drain;
    enum cv_life_state state;
    uint64_t epoch, failed_epoch;
    struct cv_error failed_why;
    struct cv_life_view view;
    struct cv_buf plan_text;
};

static const char *const state_name[] = {"planning", "loading", "connecting", "warming", "serving", "draining", "ended"};

const char *cv_life_state_name(enum cv_life_state s)
{
    return (unsigned)s < CV_COUNT(state_name) ? state_name[s] : "?";
}

/* ---- what others see ---- */

static void set_state(struct cv_life *l, enum cv_life_state state, const char *text)
{
    pthread_mutex_lock(&l->lock);
    const bool changed = l->state != state;
    l->state = state;
    l->view.state = state;
    l->view.epoch = l->epoch;
    if (text != NULL)
        snprintf(l->view.text, sizeof(l->view.text), "%s", text);
    pthread_mutex_unlock(&l->lock);
    if (changed)
        cv_log(CV_LOG_INFO, "epoch %" PRIu64 ": %s", l->epoch, state_name[state]);
}

static void say(struct cv_life *l, const char *text)
{
    pthread_mutex_lock(&l->lock);
    const bool news = strcmp(l->view.text, text) != 0;
    if (news)
        snprintf(l->view.text, sizeof(l->view.text), "%s", text);
    pthread_mutex_unlock(&l->lock);
    if (news)
        cv_log(CV_LOG_INFO, "%s", text);
}

void cv_life_look(struct cv_life *l, struct cv_life_view *out)
{
    pthread_mutex_lock(&l->lock);
    *out = l->view;
    pthread_mutex_unlock(&l->lock);
}

bool cv_life_print_plan(struct cv_life *l, struct cv_buf *out)
{
    pthread_mutex_lock(&l->lock);
    const bool ok = l->plan_text.len == 0 || cv_buf_append(out, l->plan_text.data, l->plan_text.len);
    pthread_mutex_unlock(&l->lock);
    return ok;
}

/* Brings the nodes' last word into the view. nodes: all living ones. */
static void show_stages(struct cv_life *l, const struct cv_node *node, size_t n_node)
{
    uint64_t done = 0, all = 0;
    pthread_mutex_lock(&l->lock);
    l->view.n_stage = l->n_stage;
    for (uint32_t i = 0; i < l->n_stage && i < CV_COUNT(l->view.stage); i++) {
        struct cv_life_stage *v = &l->view.stage[i];
        const struct stage *s = &l->stage[i];
        *v = (struct cv_life_stage){.node_id = s->node_id,
                                    .layer_first = s->plan.layer_first,
                                    .layer_last = s->plan.layer_last,
                                    .has_embd = s->plan.has_embd,
                                    .has_head = s->plan.has_head,
                                    .bytes = s->plan.bytes.total,
                                    .token_s = s->plan.token_s};
        snprintf(v->node, sizeof(v->node), "%s", s->name);
        const uint64_t weights = s->plan.bytes.weights + s->plan.bytes.embd + s->plan.bytes.head;
        all += weights;
        for (size_t k = 0; k < n_node; k++) {
            const struct cv_ctl_status *now = &node[k].status;
            if (node[k].id != s->node_id || now->epoch != l->epoch)
                continue;
            v->state = now->state;
            v->load_done_bytes = now->load_done_bytes;
            v->load_all_bytes = now->load_all_bytes;
            v->load_bytes_per_s = now->load_bytes_per_s;
            v->n_batches = now->n_batches;
            v->n_rows = now->n_rows;
            v->busy_us = now->busy_us;
            if (now->state >= CV_NODE_LOADED)
                done += weights;
            else if (now->load_all_bytes > 0)
                done += (uint64_t)((double)weights * (double)now->load_done_bytes / (double)now->load_all_bytes);
        }
    }
    l->view.progress = all == 0 ? 0 : (double)done / (double)all;
    pthread_mutex_unlock(&l->lock);
    if (done != l->last_loaded) {
        l->last_loaded = done;
        l->progress_ms = cv_now_ms();
    }
}

/* ---- the end of an epoch ---- */

static void drop(struct cv_life *l, struct stage *s)
{
    struct cv_arena arena = {.max_bytes = 1 << 16};
    struct cv_ctl_reply reply;
    struct cv_error unused;
    struct cv_ctl_request r = {.kind = CV_CTL_DROP, .u.drop = {.epoch = l->epoch}};
    if (s->peer != NULL)
        (void)cv_peer_ask(s->peer, &r, &reply, &arena, 500, &unused);
    cv_arena_fini(&arena);
}

/* A node whose connection is gone is not asked to drop: the call would only wait. */
static bool is_alive(struct cv_life *l, uint64_t node_id)
{
    struct cv_arena arena = {0};
    struct cv_node *node;
    size_t n = 0;
    bool alive = false;
    struct cv_error unused;
    if (cv_members_list(l->o.members, false, &node, &n, &arena, &unused))
        for (size_t i = 0; i < n; i++)
            alive = alive || node[i].id == node_id;
    cv_arena_fini(&arena);
    return alive;
}

static void end_epoch(struct cv_life *l, const struct cv_error *why)
{
    if (l->lent)
        cv_scheduler_epoch_end(l->o.scheduler, why);
    l->lent = false;
    for (uint32_t i = 0; i < l->n_stage; i++) {
        if (is_alive(l, l->stage[i].node_id))
            drop(l, &l->stage[i]);
        cv_peer_close(l->stage[i].peer);
    }
    cv_push_close(l->pipeline.push, 0);
    cv_pull_close(l->pipeline.pull);
    l->pipeline = (struct cv_pipeline){0};
    l->stage = NULL;
    l->n_stage = 0;
    l->device = NULL;
    cv_arena_reset(&l->arena);
    pthread_mutex_lock(&l->lock);
    l->view.n_stage = 0;
    l->view.progress = 0;
    cv_buf_clear(&l->plan_text);
    pthread_mutex_unlock(&l->lock);
}

/* ---- planning ---- */

/* The worker in this process. */
static bool is_local(const struct cv_life *l, const struct cv_node *n)
{
    return strncmp(n->call_address, l->o.local_address, strlen(l->o.local_address)) == 0;
}

/* The nodes as the planner's devices; node[i] belongs to the i-th. */
static bool make_devices(struct cv_life *l, const struct cv_node *node, size_t n, struct cv_error *err)
{
    l->device = cv_arena_calloc(&l->arena, n, sizeof(*l->device));
    if (l->device == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "out of memory");
    l->n_device = (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        const struct cv_ctl_device *d = &node[i].device[0];
        struct cv_plan_device *p = &l->device[i];
        p->name = cv_arena_strdup(&l->arena, node[i].name);
        if (p->name == NULL)
            return cv_fail(err, CV_ERR_NOMEM, "out of memory");
        p->node = (uint32_t)i;
        p->memory_bytes = d->memory_free_bytes;
        p->bandwidth = d->bandwidth_bytes_per_s;
        if (d->matmul_flops_per_s > 0) {
            p->rate[0] = (struct cv_plan_rate){.rows = 64, .flops = d->matmul_flops_per_s};
            p->n_rate = 1;
        }
    }
    return true;
}

static bool make_plan(struct cv_life *l, const struct cv_node *node, size_t n, struct cv_error *err)
{
    struct cv_plan_goal goal = l->o.goal;
    if (l->o.use_all)
        goal.min_stages = (uint32_t)n;
    struct cv_plan_cluster cluster = {.n_device = (uint32_t)n, .home_node = CV_PLAN_NONE};
    for (size_t i = 0; i < n; i++)
        if (is_local(l, &node[i]))
            cluster.home_node = (uint32_t)i;
    if (!make_devices(l, node, n, err))
        return false;
    cluster.device = l->device;
    if (!cv_plan_make(&l->o.model->plan, &cluster, &goal, &l->plan, &l->arena, err))
        return false;
    l->stage = cv_arena_calloc(&l->arena, l->plan.n_stage, sizeof(*l->stage));
    if (l->stage == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "out of memory");
    for (; l->n_stage < l->plan.n_stage; l->n_stage++) {
        struct stage *s = &l->stage[l->n_stage];
        const struct cv_node *from = &node[l->plan.stage[l->n_stage].device];
        s->plan = l->plan.stage[l->n_stage];
        s->node_id = from->id;
        s->local = is_local(l, from);
        snprintf(s->name, sizeof(s->name), "%s", from->name);
        if (!cv_peer_open(&s->peer, from->call_address, s->local ? NULL : l->o.token, l->o.session, NULL, NULL, err))
            return cv_wrap(err, "node %s", s->name);
    }
    pthread_mutex_lock(&l->lock);
    cv_buf_clear(&l->plan_text);
    (void)cv_plan_print(&l->o.model->plan, &cluster, &l->plan, &l->plan_text);
    pthread_mutex_unlock(&l->lock);
    return true;
}

/* Epochs grow over restarts too, so that a worker that outlived a coordinator can tell its orders from old ones. */
static void next_epoch(struct cv_life *l)
{
    const uint64_t by_clock = (uint64_t)cv_unix_s() * 1000u;
    pthread_mutex_lock(&l->lock);
    l->epoch = l->epoch + 1 > by_clock ? l->epoch + 1 : by_clock;
    l->view.epoch = l->epoch;
    l->view.n_epochs++;
    pthread_mutex_unlock(&l->lock);
    cv_members_set_epoch(l->o.members, l->epoch);
}

/* ---- loading ---- */

static bool report_digest(void *ctx, uint64_t done, uint64_t all)
{
    struct cv_life *l = ctx;
    char text[128];
    snprintf(text, sizeof(text), "reading the model once to know its parts by hash: %u %%",
             all == 0 ? 100 : (unsigned)(done * 100 / all));
    pthread_mutex_lock(&l->lock);
    snprintf(l->view.text, sizeof(l->view.text), "%s", text);
    const bool go_on = !l->stop;
    pthread_mutex_unlock(&l->lock);
    return go_on;
}

static bool send_loads(struct cv_life *l, struct cv_error *err)
{
    bool remote = false;
    for (uint32_t i = 0; i < l->n_stage; i++)
        remote = remote || !l->stage[i].local;
    if (remote && l->o.model->digest == NULL) {
        if (!cv_served_digest(l->o.model, l->o.cache_dir, report_digest, l, err) || !l->o.on_digest(l->o.ctx, err))
            return false;
    }
    for (uint32_t i = 0; i < l->n_stage; i++) {
        struct stage *s = &l->stage[i];
        struct cv_arena arena = {0};
        struct cv_ctl_reply reply;
        struct cv_ctl_request r = {.kind = CV_CTL_LOAD};
        bool ok = cv_served_order(l->o.model, &s->plan, s->local, &r.u.load, &arena, err);
        if (ok) {
            r.u.load.epoch = l->epoch;
            r.u.load.stage = i;
            r.u.load.n_stage = l->n_stage;
            r.u.load.source = &l->o.blob_url;
            r.u.load.n_source = s->local ? 0 : 1;
            ok = cv_peer_ask(s->peer, &r, &reply, &arena, CALL_MS, err);
        }
        cv_arena_fini(&arena);
        if (!ok)
            return cv_wrap(err, "node %s", s->name);
    }
    return true;
}

/* 1: all stages are loaded, 0: not yet, -1: one failed or is gone. */
static int look_at_stages(struct cv_life *l, enum cv_node_state least, struct cv_error *err)
{
    struct cv_arena arena = {0};
    struct cv_node *node;
    size_t n = 0;
    if (!cv_members_list(l->o.members, false, &node, &n, &arena, err)) {
        cv_arena_fini(&arena);
        return -1;
    }
    show_stages(l, node, n);
    int verdict = 1;
    for (uint32_t i = 0; i < l->n_stage && verdict >= 0; i++) {
        const struct cv_node *found = NULL;
        for (size_t k = 0; k < n; k++)
            if (node[k].id == l->stage[i].node_id)
                found = &node[k];
        if (found == NULL) {
            cv_fail(err, CV_ERR_PEER, "node %s is lost", l->stage[i].name);
            verdict = -1;
        } else if (found->status.epoch == l->epoch && found->status.state == CV_NODE_FAILED) {
            cv_fail(err, found->status.code, "node %s: %.400s", found->name, found->status.text);
            verdict = -1;
        } else if (found->status.epoch != l->epoch || found->status.state < least) {
            verdict = 0;
        }
    }
    cv_arena_fini(&arena);
    return verdict;
}

/* ---- connecting and warming ---- */

static struct cv_edge_hello hello_of(const struct cv_life *l, uint64_t link)
{
    struct cv_edge_hello h = {.epoch = l->epoch, .link = link};
    memcpy(h.secret, l->secret, sizeof(h.secret));
    return h;
}

/* Link i leads into stage i; link n_stage leads home. */
static bool connect_stages(struct cv_life *l, struct cv_error *err)
{
    const struct cv_served *m = l->o.model;
    if (!cv_random_bytes(l->secret, sizeof(l->secret)))
        return cv_fail(err, CV_ERR_IO, "the system has no random numbers for us");
    l->pipeline = (struct cv_pipeline){.epoch = l->epoch,
                                       .n_stage = l->n_stage,
                                       .n_slots = m->n_slots,
                                       .n_ctx = m->n_ctx,
                                       .n_batch = m->n_batch,
                                       .n_vocab = m->hparams.n_vocab};
    for (uint32_t i = 0; i < l->n_stage; i++) {
        struct stage *s = &l->stage[i];
        struct cv_arena arena = {.max_bytes = 1 << 16};
        struct cv_ctl_reply reply;
        struct cv_ctl_request r = {.kind = CV_CTL_LISTEN,
                                   .u.listen = {.epoch = l->epoch,
                                                .hello = hello_of(l, i),
                                                .carry = i == 0 ? CV_CARRY_NONE : m->carry,
                                                .inproc = s->local && (i == 0 || l->stage[i - 1].local)}};
        const bool ok = cv_peer_ask(s->peer, &r, &reply, &arena, CALL_MS, err);
        if (ok)
            snprintf(s->address, sizeof(s->address), "%s", reply.u.listen.address);
        cv_arena_fini(&arena);
        if (!ok)
            return cv_wrap(err, "node %s", s->name);
    }
    struct cv_address home = {0};
    char address[CV_ADDRESS_TEXT];
    snprintf(home.host, sizeof(home.host), "%s", l->o.data_host);
    const struct cv_pull_options pull = {
        .address = l->stage[l->n_stage - 1].local ? "inproc://" : cv_address_format(&home, address),
        .hello = hello_of(l, l->n_stage),
        .max_message_bytes = cv_pipeline_max_result(m->n_slots, m->hparams.n_vocab)};
    if (!cv_pull_open(&l->pipeline.pull, &pull, err))
        return cv_wrap(err, "the way home");
    for (uint32_t i = 0; i < l->n_stage; i++) {
        const bool last = i + 1 == l->n_stage;
        struct cv_arena arena = {.max_bytes = 1 << 16};
        struct cv_ctl_reply reply;
        struct cv_ctl_request r = {
            .kind = CV_CTL_CONNECT,
            .u.connect = {.epoch = l->epoch,
                          .address = last ? cv_pull_address(l->pipeline.pull) : l->stage[i + 1].address,
                          .hello = hello_of(l, i + 1),
                          .carry = last ? CV_CARRY_NONE : m->carry}};
        const bool ok = cv_peer_ask(l->stage[i].peer, &r, &reply, &arena, CALL_MS, err);
        cv_arena_fini(&arena);
        if (!ok)
            return cv_wrap(err, "node %s", l->stage[i].name);
    }
    const struct cv_push_options push = {
        .address = l->stage[0].address, .hello = hello_of(l, 0), .send_buffer = l->n_stage + 1 > 64 ? 64 : l->n_stage + 1};
    return cv_push_open(&l->pipeline.push, &push, err) || cv_wrap(err, "node %s", l->stage[0].name);
}

/* One row through everything: the pipeline is whole, memory is touched, and its time is known. */
static bool warm(struct cv_life *l, struct cv_error *err)
{
    struct cv_pipeline *p = &l->pipeline;
    const int32_t bos = cv_vocab_special(l->o.model->vocab)->bos;
    const struct cv_cmd cmd[2] = {{.op = CV_CMD_NEW, .slot = 0}, {.op = CV_CMD_TRIM, .slot = 0, .pos = 0}};
    const struct cv_row row = {.slot = 0, .pos = 0, .token = bos < 0 ? 0 : bos, .flags = CV_ROW_WANT};
    const struct cv_ask ask = {.row = 0, .n_top = 1};
    double best_ms = 0;
    for (int round = 0; round < 3; round++) {
        const struct cv_batch b = {.n_cmd = 1, .cmd = &cmd[round > 0], .n_row = 1, .row = &row, .n_ask = 1, .ask = &ask};
        struct cv_msg *m = NULL;
        struct cv_results r;
        const uint64_t start = cv_now_ns();
        if (!cv_pipeline_send(p, &b, err))
            return false;
        bool got = false;
        /* In short waits, so that a node lost meanwhile is noticed. */
        for (int waited = 0; !got && waited < WARM_MS; waited += WAIT_MS) {
            got = cv_pull_recv(p->pull, &m, WAIT_MS, err);
            if (!got && (err->code != CV_ERR_TIMEOUT || look_at_stages(l, CV_NODE_LOADED, err) < 0))
                return false;
        }
        if (!got)
            return cv_fail(err, CV_ERR_TIMEOUT, "no result of the first row for %d s", WARM_MS / 1000);
        const bool ok = cv_pipeline_read(p, m, &r, err);
        cv_msg_free(m);
        if (!ok)
            return false;
        const double ms = (double)(cv_now_ns() - start) * 1e-6;
        best_ms = round == 0 || ms < best_ms ? ms : best_ms;
    }
    pthread_mutex_lock(&l->lock);
    l->view.warm_ms = best_ms;
    pthread_mutex_unlock(&l->lock);
    return true;
}

/* ---- the thread ---- */

static bool must_stop(struct cv_life *l)
{
    pthread_mutex_lock(&l->lock);
    const bool stop = l->stop;
    pthread_mutex_unlock(&l->lock);
    return stop;
}

static bool scheduler_failed(struct cv_life *l, struct cv_error *err)
{
    pthread_mutex_lock(&l->lock);
    const bool failed = l->failed_epoch == l->epoch;
    if (failed)
        *err = l->failed_why;
    pthread_mutex_unlock(&l->lock);
    return failed;
}

/* After a fault: who is still there is asked, not waited for. A node that does not answer is lost. */
static void probe_nodes(struct cv_life *l)
{
    struct cv_arena arena = {0};
    struct cv_node *node = NULL;
    size_t n = 0;
    struct cv_error err;
    if (!cv_members_list(l->o.members, false, &node, &n, &arena, &err))
        n = 0;
    for (size_t i = 0; i < n; i++) {
        const bool local = is_local(l, &node[i]);
        struct cv_ctl_request r = {.kind = CV_CTL_STATS};
        struct cv_ctl_reply reply;
        struct cv_peer *peer = NULL;
        const bool ok = cv_peer_open(&peer, node[i].call_address, local ? NULL : l->o.token, l->o.session, NULL, NULL, &err) &&
                        cv_peer_ask(peer, &r, &reply, &arena, PROBE_MS, &err);
        cv_peer_close(peer);
        if (!ok)
            cv_members_lose(l->o.members, node[i].id, "it does not answer");
    }
    cv_arena_fini(&arena);
}

/* Looks for enough nodes and a plan that fits; false: not now (the view says why). */
static bool try_plan(struct cv_life *l)
{
    struct cv_arena arena = {0};
    struct cv_node *node = NULL;
    size_t n = 0;
    struct cv_error err = {0};
    char text[640];
    bool ok = cv_members_list(l->o.members, false, &node, &n, &arena, &err);
    if (ok && n < l->o.min_nodes) {
        ok = false;
        const uint32_t own = l->o.local ? 1 : 0; /* joins by itself, in a moment */
        snprintf(text, sizeof(text), "waiting for workers: %zu of %u are here", n > own ? n - own : 0, l->o.min_nodes - own);
        if (l->o.min_nodes > own)
            say(l, text);
    } else if (ok) {
        ok = make_plan(l, node, n, &err);
        if (ok) {
            next_epoch(l);
        } else {
            say(l, err.msg);
            end_epoch(l, &err);
        }
    } else {
        say(l, err.msg);
    }
    cv_scheduler_hope(l->o.scheduler, ok);
    cv_arena_fini(&arena);
    return ok;
}

/* From a plan to serving; false: err says what went wrong. */
static bool bring_up(struct cv_life *l, struct cv_error *err)
{
    uint64_t version = 0;
    set_state(l, CV_LIFE_LOADING, "");
    l->last_loaded = 0;
    l->progress_ms = cv_now_ms();
    if (!send_loads(l, err))
        return false;
    for (int loaded = 0; loaded != 1;) {
        (void)cv_members_wait(l->o.members, &version, WAIT_MS);
        cv_members_sweep(l->o.members, cv_now_ms());
        loaded = look_at_stages(l, CV_NODE_LOADED, err);
        if (loaded < 0)
            return false;
        if (must_stop(l))
            return cv_fail(err, CV_ERR_CANCEL, "stopping");
        if (loaded == 0 && cv_now_ms() - l->progress_ms > LOAD_STALL_MS)
            return cv_fail(err, CV_ERR_TIMEOUT, "loading has made no progress for %d s", LOAD_STALL_MS / 1000);
    }
    set_state(l, CV_LIFE_CONNECTING, "");
    if (!connect_stages(l, err))
        return false;
    set_state(l, CV_LIFE_WARMING, "");
    return warm(l, err);
}

static void serve(struct cv_life *l, struct cv_error *err)
{
    uint64_t version = 0;
    l->lent = true;
    /* How many nodes to wait for was a matter of the beginning; from now on whoever is left may serve. */
    l->o.min_nodes = 1;
    l->o.use_all = false;
    cv_scheduler_epoch_begin(l->o.scheduler, &l->pipeline);
    set_state(l, CV_LIFE_SERVING, "");
    while (!must_stop(l)) {
        (void)cv_members_wait(l->o.members, &version, WAIT_MS);
        cv_members_sweep(l->o.members, cv_now_ms());
        if (scheduler_failed(l, err) || look_at_stages(l, CV_NODE_LOADED, err) < 0)
            return;
        pthread_mutex_lock(&l->lock);
        if (l->drain && l->state == CV_LIFE_SERVING)
            l->state = l->view.state = CV_LIFE_DRAINING;
        pthread_mutex_unlock(&l->lock);
    }
    cv_fail(err, CV_ERR_CANCEL, "the server is stopping");
}

static void *life_main(void *arg)
{
    struct cv_life *l = arg;
    uint64_t version = 0;
    while (!must_stop(l)) {
        struct cv_error err = {0};
        if (!try_plan(l)) {
            (void)cv_members_wait(l->o.members, &version, WAIT_MS);
            cv_members_sweep(l->o.members, cv_now_ms());
            continue;
        }
        const bool served = bring_up(l, &err);
        if (served)
            serve(l, &err);
        if (err.code != CV_ERR_CANCEL) {
            cv_log(CV_LOG_WARN, "epoch %" PRIu64 " ends: %s", l->epoch, err.msg);
            pthread_mutex_lock(&l->lock);
            l->view.n_lost++;
            pthread_mutex_unlock(&l->lock);
        }
        end_epoch(l, &err);
        set_state(l, CV_LIFE_PLANNING, err.msg);
        if (err.code != CV_ERR_CANCEL)
            probe_nodes(l);
        if (!served) {
            cv_scheduler_hope(l->o.scheduler, false);
            if (!must_stop(l))
                cv_sleep_ms(RETRY_MS);
        }
    }
    set_state(l, CV_LIFE_ENDED, NULL);
    return NULL;
}

/* ---- what others call ---- */

bool cv_life_new(struct cv_life **out, const struct cv_life_options *options, struct cv_error *err)
{
    struct cv_life *l = cv_zalloc(sizeof(*l));
    if (l == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "out of memory");
    l->o = *options;
    pthread_mutex_init(&l->lock, NULL);
    cv_buf_init(&l->plan_text, 1 << 20);
    l->started = pthread_create(&l->thread, NULL, life_main, l) == 0;
    if (!l->started) {
        cv_life_free(l);
        return cv_fail(err, CV_ERR_NOMEM, "could not start a thread");
    }
    *out = l;
    return true;
}

void cv_life_free(struct cv_life *l)
{
    if (l == NULL)
        return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_mutex_unlock(&l->lock);
    if (l->started) {
        cv_members_wake(l->o.members);
        pthread_join(l->thread, NULL);
    }
    cv_arena_fini(&l->arena);
    cv_buf_fini(&l->plan_text);
    pthread_mutex_destroy(&l->lock);
    cv_free(l);
}

void cv_life_drain(struct cv_life *l)
{
    pthread_mutex_lock(&l->lock);
    l->drain = true;
    if (l->state == CV_LIFE_SERVING)
        l->state = l->view.state = CV_LIFE_DRAINING;
    pthread_mutex_unlock(&l->lock);
}

void cv_life_epoch_failed(void *ctx, uint64_t epoch, const struct cv_error *why)
{
    struct cv_life *l = ctx;
    pthread_mutex_lock(&l->lock);
    l->failed_epoch = epoch;
    l->failed_why = *why;
    pthread_mutex_unlock(&l->lock);
    cv_members_wake(l->o.members);
}
