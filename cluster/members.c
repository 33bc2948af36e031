#include "cluster/members.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wait.h"

enum { DEAD_SHOWN_MS = 60 * 1000 };

struct entry {
    struct cv_node node;
    struct cv_arena arena; /* strings and arrays of the HELLO */
    char status_text[256];
    struct entry *next;
};

struct cv_members {
    struct cv_members_options options;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct entry *first, **last;
    size_t n_alive;
    uint64_t next_id, epoch, version;
};

bool cv_members_new(struct cv_members **out, const struct cv_members_options *options, struct cv_error *err)
{
    struct cv_members *m = cv_zalloc(sizeof(*m));
    if (m == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "table of nodes: out of memory");
    m->options = *options;
    m->last = &m->first;
    m->next_id = 1;
    m->version = 1;
    pthread_mutex_init(&m->lock, NULL);
    if (!cv_cond_init(&m->changed)) {
        cv_free(m);
        return cv_fail(err, CV_ERR_NOMEM, "table of nodes: no condition to wait on");
    }
    *out = m;
    return true;
}

static void entry_free(struct entry *e)
{
    cv_arena_fini(&e->arena);
    cv_free(e);
}

void cv_members_free(struct cv_members *m)
{
    if (m == NULL)
        return;
    while (m->first != NULL) {
        struct entry *e = m->first;
        m->first = e->next;
        entry_free(e);
    }
    pthread_cond_destroy(&m->changed);
    pthread_mutex_destroy(&m->lock);
    cv_free(m);
}

static void note_change(struct cv_members *m)
{
    m->version++;
    pthread_cond_broadcast(&m->changed);
}

static struct entry *find(struct cv_members *m, uint64_t id)
{
    for (struct entry *e = m->first; e != NULL; e = e->next)
        if (e->node.id == id)
            return e;
    return NULL;
}

static bool name_taken(struct cv_members *m, const char *name)
{
    for (struct entry *e = m->first; e != NULL; e = e->next)
        if (e->node.alive && strcmp(e->node.name, name) == 0)
            return true;
    return false;
}

static void lose(struct cv_members *m, struct entry *e, enum cv_log_level level, const char *why)
{
    if (!e->node.alive)
        return;
    e->node.alive = false;
    snprintf(e->node.lost_why, sizeof(e->node.lost_why), "%s", why);
    m->n_alive--;
    cv_log(level, "node %s is lost: %s", e->node.name, why);
    note_change(m);
}

/* Copies a HELLO into a new entry. */
static struct entry *entry_new(struct cv_members *m, const struct cv_ctl_request *r)
{
    const struct cv_ctl_hello *h = &r->u.hello;
    struct entry *e = cv_zalloc(sizeof(*e));
    if (e == NULL)
        return NULL;
    struct cv_node *n = &e->node;
    char name[CV_MAX_NODE_NAME + 16];
    snprintf(name, sizeof(name), "%.*s", (int)CV_MAX_NODE_NAME, h->name[0] == '\0' ? "node" : h->name);
    const size_t stem = strlen(name);
    for (unsigned k = 2; name_taken(m, name); k++)
        snprintf(name + stem, sizeof(name) - stem, "-%u", k);
    n->name = cv_arena_strdup(&e->arena, name);
    n->build_version = cv_arena_strdup(&e->arena, h->build_version);
    n->call_address = cv_arena_strdup(&e->arena, h->call_address);
    n->data_host = cv_arena_strdup(&e->arena, h->data_host);
    n->device = cv_arena_calloc(&e->arena, h->n_device, sizeof(*n->device));
    n->held = cv_arena_calloc(&e->arena, h->n_held, sizeof(*n->held));
    bool ok = n->name != NULL && n->build_version != NULL && n->call_address != NULL && n->data_host != NULL &&
              n->device != NULL && n->held != NULL;
    for (size_t i = 0; ok && i < h->n_device; i++) {
        n->device[i] = h->device[i];
        n->device[i].kind = cv_arena_strdup(&e->arena, h->device[i].kind);
        n->device[i].name = cv_arena_strdup(&e->arena, h->device[i].name);
        ok = n->device[i].kind != NULL && n->device[i].name != NULL;
    }
    if (!ok) {
        entry_free(e);
        return NULL;
    }
    if (h->n_held > 0)
        memcpy(n->held, h->held, h->n_held * sizeof(*n->held));
    n->n_device = h->n_device;
    n->n_held = h->n_held;
    n->session = r->session;
    n->status.text = e->status_text;
    n->alive = true;
    return e;
}

static bool answer_hello(struct cv_members *m, const struct cv_ctl_request *r, struct cv_ctl_reply *reply,
                         struct cv_error *err)
{
    struct entry *known = NULL;
    for (struct entry *e = m->first; e != NULL; e = e->next)
        if (e->node.alive && e->node.session == r->session)
            known = e;
    if (known == NULL) {
        if (r->u.hello.n_device == 0)
            return cv_fail(err, CV_ERR_ARG, "a node without a device cannot join");
        if (m->n_alive >= CV_MAX_NODES)
            return cv_fail(err, CV_ERR_LIMIT, "the cluster is full: %u nodes", CV_MAX_NODES);
        known = entry_new(m, r);
        if (known == NULL)
            return cv_fail(err, CV_ERR_NOMEM, "out of memory for another node");
        known->node.id = m->next_id++;
        known->node.joined_ms = cv_now_ms();
        *m->last = known;
        m->last = &known->next;
        m->n_alive++;
        cv_log(CV_LOG_INFO, "node %s joined (%s)", known->node.name, known->node.call_address);
        note_change(m);
    }
    known->node.seen_ms = cv_now_ms();
    reply->u.hello.node_id = known->node.id;
    reply->u.hello.heartbeat_ms = m->options.heartbeat_ms;
    reply->u.hello.cluster = m->options.cluster;
    return true;
}

static void answer_heartbeat(struct cv_members *m, const struct cv_ctl_request *r, struct cv_ctl_reply *reply)
{
    struct entry *e = find(m, r->u.heartbeat.node_id);
    reply->u.heartbeat.epoch = m->epoch;
    reply->u.heartbeat.known = e != NULL && e->node.alive && e->node.session == r->session;
    if (!reply->u.heartbeat.known)
        return;
    const struct cv_ctl_status *now = &r->u.heartbeat.status;
    const bool changed = now->state != e->node.status.state || now->epoch != e->node.status.epoch;
    e->node.status = *now;
    snprintf(e->status_text, sizeof(e->status_text), "%s", now->text);
    e->node.status.text = e->status_text;
    e->node.seen_ms = cv_now_ms();
    if (changed)
        note_change(m);
}

void cv_members_answer(struct cv_members *m, const struct cv_ctl_request *request, struct cv_ctl_reply *reply,
                       struct cv_arena *arena)
{
    struct cv_error err = {0};
    bool ok = true;
    (void)arena;
    *reply = (struct cv_ctl_reply){.kind = request->kind, .session = m->options.session};
    pthread_mutex_lock(&m->lock);
    struct entry *e;
    switch (request->kind) {
    case CV_CTL_HELLO:
        ok = answer_hello(m, request, reply, &err);
        break;
    case CV_CTL_HEARTBEAT:
        answer_heartbeat(m, request, reply);
        break;
    case CV_CTL_BYE:
        e = find(m, request->u.bye.node_id);
        if (e != NULL && e->node.session == request->session)
            lose(m, e, CV_LOG_INFO, request->u.bye.reason[0] != '\0' ? request->u.bye.reason : "it left");
        break;
    default:
        ok = cv_fail(&err, CV_ERR_ARG, "a coordinator does not answer %s", cv_ctl_kind_name(request->kind));
    }
    pthread_mutex_unlock(&m->lock);
    if (!ok)
        *reply = cv_ctl_refuse(request->kind, m->options.session, &err);
    /* refuse borrows err's text: it must outlive this call */
    if (!ok) {
        char *text = cv_arena_strdup(arena, err.msg);
        reply->text = text == NULL ? "" : text;
    }
}

void cv_members_set_epoch(struct cv_members *m, uint64_t epoch)
{
    pthread_mutex_lock(&m->lock);
    m->epoch = epoch;
    pthread_mutex_unlock(&m->lock);
}

void cv_members_sweep(struct cv_members *m, uint64_t now_ms)
{
    pthread_mutex_lock(&m->lock);
    for (struct entry **at = &m->first; *at != NULL;) {
        struct entry *e = *at;
        const uint64_t silent = now_ms > e->node.seen_ms ? now_ms - e->node.seen_ms : 0;
        char why[64];
        if (e->node.alive && silent > m->options.silence_ms) {
            snprintf(why, sizeof(why), "silent for %.1f s", (double)silent / 1000.0);
            lose(m, e, CV_LOG_WARN, why);
        }
        if (!e->node.alive && silent > DEAD_SHOWN_MS) {
            *at = e->next;
            if (m->last == &e->next)
                m->last = at;
            entry_free(e);
        } else {
            at = &e->next;
        }
    }
    pthread_mutex_unlock(&m->lock);
}

void cv_members_lose(struct cv_members *m, uint64_t node_id, const char *why)
{
    pthread_mutex_lock(&m->lock);
    struct entry *e = find(m, node_id);
    if (e != NULL)
        lose(m, e, CV_LOG_WARN, why);
    pthread_mutex_unlock(&m->lock);
}

bool cv_members_wait(struct cv_members *m, uint64_t *version, uint32_t timeout_ms)
{
    const int64_t until = cv_deadline_ms(timeout_ms);
    pthread_mutex_lock(&m->lock);
    while (m->version == *version && cv_cond_wait(&m->changed, &m->lock, until))
        continue;
    const bool changed = m->version != *version;
    *version = m->version;
    pthread_mutex_unlock(&m->lock);
    return changed;
}

void cv_members_wake(struct cv_members *m)
{
    pthread_mutex_lock(&m->lock);
    note_change(m);
    pthread_mutex_unlock(&m->lock);
}

static bool copy_node(struct cv_node *to, const struct cv_node *from, struct cv_arena *arena)
{
    *to = *from;
    to->name = cv_arena_strdup(arena, from->name);
    to->build_version = cv_arena_strdup(arena, from->build_version);
    to->call_address = cv_arena_strdup(arena, from->call_address);
    to->data_host = cv_arena_strdup(arena, from->data_host);
    to->status.text = cv_arena_strdup(arena, from->status.text);
    to->device = cv_arena_calloc(arena, from->n_device, sizeof(*to->device));
    to->held = cv_arena_calloc(arena, from->n_held, sizeof(*to->held));
    bool ok = to->name != NULL && to->build_version != NULL && to->call_address != NULL && to->data_host != NULL &&
              to->status.text != NULL && to->device != NULL && to->held != NULL;
    for (size_t i = 0; ok && i < from->n_device; i++) {
        to->device[i] = from->device[i];
        to->device[i].kind = cv_arena_strdup(arena, from->device[i].kind);
        to->device[i].name = cv_arena_strdup(arena, from->device[i].name);
        ok = to->device[i].kind != NULL && to->device[i].name != NULL;
    }
    if (ok && from->n_held > 0)
        memcpy(to->held, from->held, from->n_held * sizeof(*to->held));
    return ok;
}

bool cv_members_list(struct cv_members *m, bool with_dead, struct cv_node **out, size_t *n, struct cv_arena *arena,
                     struct cv_error *err)
{
    pthread_mutex_lock(&m->lock);
    size_t count = 0, at = 0;
    for (struct entry *e = m->first; e != NULL; e = e->next)
        count += e->node.alive || with_dead;
    struct cv_node *list = cv_arena_calloc(arena, count, sizeof(*list));
    bool ok = list != NULL;
    for (struct entry *e = m->first; ok && e != NULL; e = e->next)
        if (e->node.alive || with_dead)
            ok = copy_node(&list[at++], &e->node, arena);
    pthread_mutex_unlock(&m->lock);
    if (!ok)
        return cv_fail(err, CV_ERR_NOMEM, "list of nodes: out of memory");
    *out = list;
    *n = count;
    return true;
}
