#include "tests/partition/homes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct kind {
    const char *name;
    double gib, bandwidth, flops, flops_many, layer_s, delay_s, link;
};

/* memory a model may use, bytes/s, operations/s of one row and of 64, overhead, and what stands before it. */
static const struct kind kinds[] = {
    {"pi", 6, 9e9, 30e9, 60e9, 20e-6, 0.4e-3, 110e6},
    {"phone", 4, 25e9, 60e9, 150e9, 20e-6, 3e-3, 30e6},
    {"laptop", 12, 40e9, 150e9, 400e9, 10e-6, 2e-3, 50e6},
    {"desktop", 24, 55e9, 300e9, 900e9, 10e-6, 0.3e-3, 110e6},
    {"workstation", 96, 150e9, 800e9, 3e12, 10e-6, 0.2e-3, 1.1e9},
    {"mac", 20, 200e9, 2e12, 8e12, 15e-6, 0.3e-3, 110e6},
    {"card-8", 7, 350e9, 5e12, 40e12, 15e-6, 0.3e-3, 110e6},
    {"card-24", 22, 850e9, 10e12, 100e12, 15e-6, 0.3e-3, 110e6},
};
enum { PI, PHONE, LAPTOP, DESKTOP, WORKSTATION, MAC, CARD_8, CARD_24, N_KIND };

struct shape {
    const char *name;
    uint32_t n_layer, n_embd, kv_elems, n_vocab;
    double weights; /* of the layers */
};
static const struct shape shapes[] = {
    {"1b", 16, 2048, 1024, 128256, 1.0e9},
    {"8b", 32, 4096, 2048, 128256, 7.0e9},
    {"32b", 64, 5120, 2048, 152064, 31e9},
    {"70b", 80, 8192, 2048, 128256, 68.5e9},
};

static double draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static void set_model(struct random_cluster *r, const struct shape *s)
{
    struct cv_plan_model *m = &r->model;
    const double byte = 0.57; /* of one weight: about four and a half bits */
    *m = (struct cv_plan_model){.name = s->name, .layer = r->layer, .n_layer = s->n_layer, .n_embd = s->n_embd};
    m->n_ctx = 4096;
    m->n_slots = 8;
    m->n_batch = 256;
    m->embd_bytes = (uint64_t)(byte * s->n_embd * s->n_vocab);
    m->head_bytes = (uint64_t)(0.82 * s->n_embd * s->n_vocab);
    m->head_flops = 2.0 * s->n_embd * s->n_vocab;
    m->work = (struct cv_plan_work){.fixed = 64 << 20, .per_row = 16 * s->n_embd, .head_per_row = 4 * s->n_vocab};
    for (uint32_t i = 0; i < s->n_layer; i++) {
        const double w = s->weights / s->n_layer;
        r->layer[i] = (struct cv_plan_layer){.weight_bytes = (uint64_t)(byte * w), .kv_elems = s->kv_elems};
        r->layer[i].flops = 2.0 * w;
        r->layer[i].attn_flops = 4.0 * s->n_embd;
        if (i < s->n_layer / 8 || i >= s->n_layer - s->n_layer / 8) /* as mixed quantizations do: more at the ends */
            r->layer[i].weight_bytes += r->layer[i].weight_bytes / 8;
    }
}

static void add(struct random_cluster *r, int kind, double memory_factor, double speed_factor)
{
    const struct kind *k = &kinds[kind];
    const uint32_t i = r->cluster.n_device++;
    struct cv_plan_device *d = &r->device[i];
    memset(d, 0, sizeof(*d));
    snprintf(r->name[i], sizeof(r->name[i]), "%s-%u", k->name, i + 1);
    d->name = r->name[i];
    d->node = i;
    d->memory_bytes = (uint64_t)(k->gib * memory_factor * 0x1p30);
    d->bandwidth = k->bandwidth * speed_factor;
    d->rate[0] = (struct cv_plan_rate){1.0, k->flops * speed_factor};
    d->rate[1] = (struct cv_plan_rate){64.0, k->flops_many * speed_factor};
    d->n_rate = 2;
    d->layer_s = k->layer_s;
    r->link[i] = (struct cv_plan_link){k->delay_s, k->link}; /* its own side, until set_links */
}

/* Between two machines: the slower rate and the longer delay of the two. The coordinator runs on the first. */
static void set_links(struct random_cluster *r)
{
    struct cv_plan_link own[RC_DEVICES + 1];
    const uint32_t n = r->cluster.n_device;
    memcpy(own, r->link, n * sizeof(*own));
    own[n] = own[0];
    for (uint32_t i = 0; i <= n; i++) {
        for (uint32_t j = 0; j <= n; j++) {
            struct cv_plan_link *l = &r->link[i * (n + 1) + j];
            l->delay_s = fmax(own[i].delay_s, own[j].delay_s);
            l->bytes_per_s = fmin(own[i].bytes_per_s, own[j].bytes_per_s);
            if (i % n == 0 && j % n == 0)
                *l = (struct cv_plan_link){CV_PLAN_LOCAL_DELAY, CV_PLAN_LOCAL_RATE};
        }
    }
    r->cluster.link = r->link;
    r->cluster.device = r->device;
    r->cluster.home_node = 0;
}

static void begin(struct random_cluster *r)
{
    memset(&r->cluster, 0, sizeof(r->cluster));
    memset(&r->goal, 0, sizeof(r->goal));
}

/* The largest model that the cluster holds with some room. */
static void choose_model(struct random_cluster *r)
{
    double memory = 0.0;
    for (uint32_t i = 0; i < r->cluster.n_device; i++)
        memory += (double)r->device[i].memory_bytes;
    for (size_t i = sizeof(shapes) / sizeof(shapes[0]); i-- > 0;) {
        struct cv_plan_bytes all;
        set_model(r, &shapes[i]);
        cv_plan_stage_bytes(&r->model, 0, r->model.n_layer, &all);
        if (memory > 1.25 * (double)all.total + 0.5e9 * r->cluster.n_device)
            return;
    }
}

void home_random(struct random_cluster *r, uint64_t seed)
{
    uint64_t s = seed;
    begin(r);
    const int n = 3 + (int)(8.0 * draw(&s));
    for (int i = 0; i < n; i++) {
        const int kind = (int)(N_KIND * draw(&s));
        const double memory = 0.6 + 0.8 * draw(&s), speed = 0.7 + 0.6 * draw(&s);
        add(r, kind, memory, speed);
    }
    set_links(r);
    choose_model(r);
}

static const struct {
    const char *name;
    int kind[8], n;
} named[HOME_NAMED] = {
    {"a Mac, two PCs with cards, a phone", {MAC, CARD_24, CARD_8, PHONE}, 4},
    {"four Raspberry Pis", {PI, PI, PI, PI}, 4},
    {"a workstation and three Pis", {WORKSTATION, PI, PI, PI}, 4},
    {"a lab of mixed cards", {CARD_24, CARD_24, CARD_8, CARD_8, CARD_8, DESKTOP}, 6},
};

const char *home_name(int which)
{
    return named[which].name;
}

void home_named(struct random_cluster *r, int which)
{
    begin(r);
    for (int i = 0; i < named[which].n; i++)
        add(r, named[which].kind[i], 1.0, 1.0);
    set_links(r);
    choose_model(r);
}
