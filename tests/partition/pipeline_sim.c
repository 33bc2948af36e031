#include "tests/partition/pipeline_sim.h"

#include <math.h>
#include <string.h>

enum { MAX_SERVERS = 2 * RC_DEVICES + 1, MAX_FLIGHT = 256 };

struct server {
    double service, delay, free_at;
};

struct batch {
    double ready;  /* when it may enter the server next in turn */
    uint32_t next; /* server */
    uint32_t left; /* rounds */
};

struct sim {
    struct server server[MAX_SERVERS];
    uint32_t n_server;
    struct batch batch[MAX_FLIGHT];
    uint32_t n_batch;
    uint64_t state;
    double shake;
};

static double draw(struct sim *s) /* splitmix64, to [0, 1) */
{
    uint64_t z = s->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* Edge, stage, edge, stage, ..., the way back. */
static void set_servers(struct sim *s, const struct random_cluster *r, const struct cv_plan *p, int kind,
                        const struct sim_options *o)
{
    memset(s, 0, sizeof(*s));
    s->state = o->seed;
    s->shake = o->shake;
    uint32_t last = r->cluster.n_device;
    for (uint32_t i = 0; i <= p->n_stage; i++) {
        const uint32_t to = i == p->n_stage ? r->cluster.n_device : p->stage[i].device;
        const double busy = rc_edge_busy(r, kind, last, to);
        s->server[s->n_server++] = (struct server){busy, rc_edge_time(r, kind, last, to) - busy, 0.0};
        if (i < p->n_stage)
            s->server[s->n_server++].service =
                rc_stage_time(r, kind, to, p->stage[i].layer_first, p->stage[i].layer_last);
        last = to;
    }
}

/* Runs until no batch has a round left; the time of the last arrival at home. */
static double run(struct sim *s)
{
    double end = 0.0;
    for (;;) {
        struct batch *b = NULL;
        for (uint32_t i = 0; i < s->n_batch; i++)
            if (s->batch[i].left > 0 && (b == NULL || s->batch[i].ready < b->ready))
                b = &s->batch[i];
        if (b == NULL)
            return end;
        struct server *v = &s->server[b->next];
        const double begin = fmax(b->ready, v->free_at);
        v->free_at = begin + v->service * (1.0 + s->shake * (2.0 * draw(s) - 1.0));
        b->ready = v->free_at + v->delay;
        if (++b->next < s->n_server)
            continue;
        b->next = 0;
        b->left--;
        end = fmax(end, b->ready);
    }
}

static void send(struct sim *s, uint32_t n_batch, uint32_t rounds)
{
    s->n_batch = n_batch < MAX_FLIGHT ? n_batch : MAX_FLIGHT;
    for (uint32_t i = 0; i < s->n_batch; i++)
        s->batch[i] = (struct batch){.left = rounds};
}

double sim_token(const struct random_cluster *r, const struct cv_plan *p, uint32_t n, const struct sim_options *o)
{
    static struct sim s;
    set_servers(&s, r, p, 0, o);
    send(&s, 1, n);
    return run(&s) / n;
}

double sim_throughput(const struct random_cluster *r, const struct cv_plan *p, uint32_t rows, uint32_t in_flight,
                      uint32_t n, const struct sim_options *o)
{
    static struct sim s;
    set_servers(&s, r, p, 1, o);
    send(&s, in_flight, n);
    const double end = run(&s);
    return (double)s.n_batch * n * rows / end;
}

double sim_served(const struct random_cluster *r, const struct cv_plan *p, uint32_t n, const struct sim_options *o)
{
    static struct sim s;
    struct random_cluster few = *r;
    const uint32_t users = r->model.n_slots, flight = users < p->n_stage + 1 ? users : p->n_stage + 1;
    few.goal.rows =
        (users + flight - 1) / flight; /* service times of the fuller batches, counted as users / flight rows */
    set_servers(&s, &few, p, 1, o);
    send(&s, flight, n);
    return (double)users * n / run(&s);
}

double sim_prompt(const struct random_cluster *r, const struct cv_plan *p, const struct sim_options *o)
{
    static struct sim s;
    const struct cv_plan_stage *last = &p->stage[p->n_stage - 1];
    const uint32_t chunk = r->model.n_batch < p->goal.prompt ? r->model.n_batch : p->goal.prompt;
    set_servers(&s, r, p, 2, o);
    send(&s, (p->goal.prompt + chunk - 1) / chunk, 1);
    /* The head of the last chunk: what a token's stage has more with it. */
    struct random_cluster none = *r;
    none.model.head_bytes = 0;
    none.model.head_flops = 0.0;
    return run(&s) + rc_stage_time(r, 0, last->device, last->layer_first, last->layer_last) -
           rc_stage_time(&none, 0, last->device, last->layer_first, last->layer_last);
}
