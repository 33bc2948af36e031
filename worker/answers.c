/* answers.c - what the coordinator asks of a worker: LOAD, LISTEN, CONNECT, DROP, STATS. Every one may come twice. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "net/address.h"
#include "worker/internal.h"

void cv_worker_end_epoch(struct cv_worker *w)
{
    pthread_mutex_lock(&w->lock);
    /* A LOAD and a DROP may come here at the same time: the second finds nothing left to end. */
    while (w->ending)
        pthread_cond_wait(&w->changed, &w->lock);
    w->ending = true;
    struct cv_pull *pull = w->pull;
    struct cv_push *push = w->push;
    if (pull != NULL)
        cv_pull_shutdown(pull);
    if (push != NULL)
        cv_push_shutdown(push);
    /* The step thread is done with them as soon as it notices; then they are ours to close. */
    while (w->serving)
        pthread_cond_wait(&w->changed, &w->lock);
    w->pull = NULL;
    w->push = NULL;
    w->ending = false;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    cv_pull_close(pull);
    cv_push_close(push, 200);
}

static bool copy_strings(struct cv_load_order *o, const struct cv_ctl_load *from)
{
    struct cv_ctl_load *to = &o->load;
    *to = *from;
    unsigned char *header = cv_arena_alloc(&o->arena, from->gguf_header_len);
    struct cv_ctl_tensor *tensor = cv_arena_calloc(&o->arena, from->n_tensor, sizeof(*tensor));
    const char **source = cv_arena_calloc(&o->arena, from->n_source, sizeof(*source));
    to->local_path = cv_arena_strdup(&o->arena, from->local_path);
    if (header == NULL || tensor == NULL || source == NULL || to->local_path == NULL)
        return false;
    if (from->gguf_header_len > 0)
        memcpy(header, from->gguf_header, from->gguf_header_len);
    for (size_t i = 0; i < from->n_tensor; i++) {
        tensor[i] = from->tensor[i];
        tensor[i].name = cv_arena_strdup(&o->arena, from->tensor[i].name);
        if (tensor[i].name == NULL)
            return false;
    }
    for (size_t i = 0; i < from->n_source; i++)
        if ((source[i] = cv_arena_strdup(&o->arena, from->source[i])) == NULL)
            return false;
    to->gguf_header = header;
    to->tensor = tensor;
    to->source = source;
    return true;
}

static void order_free(struct cv_load_order *o)
{
    if (o != NULL)
        cv_arena_fini(&o->arena);
    cv_free(o);
}

static bool answer_load(struct cv_worker *w, const struct cv_ctl_load *load, struct cv_error *err)
{
    if (load->layer_first >= load->layer_last || load->n_slots == 0 || load->n_slots > CV_MAX_SLOTS ||
        load->n_ctx == 0 || load->n_batch == 0 || load->n_batch > CV_MAX_BATCH_ROWS || load->epoch == 0)
        return cv_fail(err, CV_ERR_ARG, "a LOAD that makes no sense");
    if (load->kv_type != CV_DTYPE_F32 && load->kv_type != CV_DTYPE_F16)
        return cv_fail(err, CV_ERR_UNSUPPORTED, "sequence memory of type number %u", load->kv_type);
    pthread_mutex_lock(&w->lock);
    const bool again = load->epoch <= w->epoch;
    const uint64_t epoch = w->epoch;
    pthread_mutex_unlock(&w->lock);
    if (again) /* the same order twice, or one that a newer one has overtaken */
        return load->epoch == epoch || cv_fail(err, CV_ERR_ARG, "epoch %" PRIu64 " is over, %" PRIu64 " has begun", load->epoch, epoch);
    struct cv_load_order *o = cv_zalloc(sizeof(*o));
    if (o == NULL || !copy_strings(o, load)) {
        order_free(o);
        return cv_fail(err, CV_ERR_NOMEM, "no memory for the order");
    }
    cv_worker_end_epoch(w);
    pthread_mutex_lock(&w->lock);
    struct cv_load_order *overtaken = w->order;
    w->order = o;
    w->epoch = load->epoch;
    w->epoch_served = false;
    atomic_store(&w->cancel_load, true); /* of the load that may be running; the next one begins with false */
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    order_free(overtaken);
    return true;
}

/* Must be loaded for this very epoch. Lock held. */
static bool check_epoch(const struct cv_worker *w, uint64_t epoch, struct cv_error *err)
{
    if (epoch == w->epoch && w->status.epoch == epoch &&
        (w->status.state == CV_NODE_LOADED || w->status.state == CV_NODE_SERVING))
        return true;
    return cv_fail(err, CV_ERR_BUSY, "epoch %" PRIu64 " is not loaded here: %s, epoch %" PRIu64, epoch,
                   cv_node_state_name(w->status.state), w->status.epoch);
}

static bool answer_listen(struct cv_worker *w, const struct cv_ctl_listen *l, struct cv_ctl_listen_reply *out,
                          struct cv_arena *arena, struct cv_error *err)
{
    pthread_mutex_lock(&w->lock);
    bool ok = check_epoch(w, l->epoch, err);
    if (ok && w->pull == NULL) {
        char address[CV_ADDRESS_TEXT];
        struct cv_address a = {0};
        snprintf(a.host, sizeof(a.host), "%s", w->options.data_host);
        const struct cv_batch_limits limits = cv_worker_limits(&w->spec, l->carry, w->n_embd, w->n_vocab);
        const struct cv_pull_options options = {.address = l->inproc ? "inproc://" : cv_address_format(&a, address),
                                                .hello = l->hello,
                                                .max_message_bytes = cv_batch_max_bytes(&limits)};
        ok = cv_pull_open(&w->pull, &options, err);
        w->pull_link = l->hello.link;
        w->carry_in = l->carry;
    }
    if (ok && w->pull_link != l->hello.link)
        ok = cv_fail(err, CV_ERR_ARG, "epoch %" PRIu64 " listens to another link already", l->epoch);
    if (ok) {
        out->address = cv_arena_strdup(arena, cv_pull_address(w->pull));
        ok = out->address != NULL || cv_fail(err, CV_ERR_NOMEM, "no memory for an address");
    }
    pthread_mutex_unlock(&w->lock);
    return ok;
}

static bool answer_connect(struct cv_worker *w, const struct cv_ctl_connect *c, struct cv_error *err)
{
    pthread_mutex_lock(&w->lock);
    bool ok = check_epoch(w, c->epoch, err);
    if (ok && w->pull == NULL)
        ok = cv_fail(err, CV_ERR_ARG, "CONNECT before LISTEN");
    if (ok && w->push == NULL) {
        const struct cv_push_options options = {.address = c->address, .hello = c->hello};
        ok = cv_push_open(&w->push, &options, err);
        w->carry_out = c->carry;
        pthread_cond_broadcast(&w->changed); /* the step thread may serve */
    }
    pthread_mutex_unlock(&w->lock);
    return ok;
}

static void answer_drop(struct cv_worker *w, const struct cv_ctl_drop *d)
{
    pthread_mutex_lock(&w->lock);
    const bool ours = d->epoch == 0 || d->epoch == w->epoch;
    struct cv_load_order *overtaken = NULL;
    if (ours) {
        overtaken = w->order;
        w->order = NULL;
        w->drop_all = w->drop_all || d->epoch == 0;
        atomic_store(&w->cancel_load, true);
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
    order_free(overtaken);
    if (ours)
        cv_worker_end_epoch(w);
}

static void answer_stats(struct cv_worker *w, struct cv_ctl_stats_reply *out, struct cv_arena *arena)
{
    char text[256];
    cv_worker_status(w, &out->status, text);
    char *copy = cv_arena_strdup(arena, text);
    out->status.text = copy == NULL ? "" : copy;
    pthread_mutex_lock(&w->lock);
    out->n_push = w->push != NULL;
    out->n_pull = w->pull != NULL;
    pthread_mutex_unlock(&w->lock);
}

void cv_worker_answer(void *ctx, const struct cv_ctl_request *r, struct cv_ctl_reply *reply, struct cv_arena *arena)
{
    struct cv_worker *w = ctx;
    struct cv_error err = {0};
    bool ok = true;
    *reply = (struct cv_ctl_reply){.kind = r->kind, .session = w->session};
    switch (r->kind) {
    case CV_CTL_LOAD:
        ok = answer_load(w, &r->u.load, &err);
        break;
    case CV_CTL_LISTEN:
        ok = answer_listen(w, &r->u.listen, &reply->u.listen, arena, &err);
        break;
    case CV_CTL_CONNECT:
        ok = answer_connect(w, &r->u.connect, &err);
        break;
    case CV_CTL_DROP:
        answer_drop(w, &r->u.drop);
        break;
    case CV_CTL_STATS:
        answer_stats(w, &reply->u.stats, arena);
        break;
    default:
        ok = cv_fail(&err, CV_ERR_ARG, "a worker does not answer %s", cv_ctl_kind_name(r->kind));
    }
    if (ok)
        return;
    *reply = cv_ctl_refuse(r->kind, w->session, &err);
    char *text = cv_arena_strdup(arena, err.msg);
    reply->text = text == NULL ? "" : text;
}
