#include "engine/stage.h"

#include <pthread.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "engine/cpu/rows.h"
#include "engine/device.h"
#include "engine/load.h"
#include "engine/rope.h"

struct cv_stage {
    struct cv_stage_spec spec;
    struct cv_program program;
    const struct cv_device_ops *device;
    struct cv_pool *pool;
    struct cv_weights weights;
    struct cv_kv kv;
    struct cv_exec exec;
    unsigned char *work; /* one block: what layout names */
    size_t work_bytes, kv_bytes;
    struct cv_exec_row *row;
    uint32_t *fresh; /* [n_slots] rows of the step under way */
    double *freq;    /* [n_rot / 2] */
    float rope_scale;
    float *cosine, *sine;
};

static pthread_once_t init_once = PTHREAD_ONCE_INIT;

static void init_with_all(void)
{
    unsigned isa = cv_isa_detect();
    cv_matrix_init(isa);
    cv_row_kernels_init(isa);
}

void cv_engine_init(unsigned isa)
{
    pthread_once(&init_once, init_with_all);
    cv_matrix_init(isa);
    cv_row_kernels_init(isa);
}

static struct cv_part part_of(const struct cv_stage_spec *spec)
{
    return (struct cv_part){.layer_first = spec->layer_first,
                            .layer_last = spec->layer_last,
                            .has_embd = spec->has_embd,
                            .has_head = spec->has_head};
}

static struct cv_exec_bounds bounds_of(const struct cv_program *p, const struct cv_stage_spec *spec, unsigned n_threads)
{
    return (struct cv_exec_bounds){
        .program = p,
        .kv = {.n_layer = spec->layer_last - spec->layer_first,
               .n_head_kv = p->hp.n_head_kv,
               .n_embd_head_k = p->hp.n_embd_head_k,
               .n_embd_head_v = p->hp.n_embd_head_v,
               .type = spec->kv_type,
               .n_slots = spec->n_slots,
               .n_ctx = spec->n_ctx},
        .n_batch = spec->n_batch,
        .n_threads = n_threads,
    };
}

/* Where the parts of the work block begin. */
struct layout {
    size_t buffer[CV_MAX_BUFFERS];
    size_t row, fresh, freq, cosine, sine, device, all;
};

static bool add_part(size_t *at, size_t *all, size_t n, size_t size)
{
    size_t bytes;
    *at = *all;
    if (!cv_mul_size(n, size, &bytes) || !cv_add_size(*all, bytes, all) || !cv_add_size(*all, 63, all))
        return false;
    *all &= ~(size_t)63;
    return true;
}

static bool lay_out(struct layout *l, const struct cv_device_ops *device, const struct cv_exec_bounds *b,
                    struct cv_error *err)
{
    const struct cv_program *p = b->program;
    *l = (struct layout){0};
    size_t values, device_bytes, n_pair = p->rope.n_rot / 2;
    bool ok = b->n_batch >= 1 && b->n_batch <= CV_MAX_BATCH_ROWS;
    if (!ok)
        return cv_fail(err, CV_ERR_ARG, "a batch of %u rows, must be 1 to %u", b->n_batch, CV_MAX_BATCH_ROWS);
    for (int i = 0; i < p->n_buffer && ok; i++)
        ok = cv_mul_size(p->buffer[i].width, b->n_batch, &values) &&
             add_part(&l->buffer[i], &l->all, values, sizeof(float));
    ok = ok && add_part(&l->row, &l->all, b->n_batch, sizeof(struct cv_exec_row)) &&
         add_part(&l->fresh, &l->all, b->kv.n_slots, sizeof(uint32_t)) &&
         add_part(&l->freq, &l->all, n_pair, sizeof(double)) &&
         add_part(&l->cosine, &l->all, n_pair * sizeof(float), b->n_batch) &&
         add_part(&l->sine, &l->all, n_pair * sizeof(float), b->n_batch) && device->measure_work(b, &device_bytes) &&
         add_part(&l->device, &l->all, device_bytes, 1);
    return ok || cv_fail(err, CV_ERR_LIMIT, "working memory for %u rows: size overflows", b->n_batch);
}

bool cv_stage_measure(const struct cv_gguf *meta, const struct cv_stage_spec *spec, struct cv_stage_memory *out,
                      struct cv_error *err)
{
    struct cv_program p;
    struct cv_part part = part_of(spec);
    if (!cv_program_build(&p, meta, &part, err))
        return false;
    struct cv_exec_bounds b = bounds_of(&p, spec, spec->n_threads == 0 ? cv_cpu_count() : spec->n_threads);
    struct layout l;
    size_t weights, kv;
    bool ok =
        cv_weights_measure(&p, &weights, err) && cv_kv_measure(&b.kv, &kv, err) && lay_out(&l, &cv_cpu_ops, &b, err);
    if (ok)
        *out = (struct cv_stage_memory){.weights = weights, .kv = kv, .work = cv_alloc_aligned_bytes(l.all)};
    cv_program_fini(&p);
    return ok;
}

bool cv_stage_needs(const struct cv_gguf *meta, const struct cv_stage_spec *spec, const char *tensor_name)
{
    struct cv_program p;
    struct cv_part part = part_of(spec);
    if (!cv_program_build(&p, meta, &part, NULL))
        return false;
    size_t i = 0;
    while (i < p.n_weight && strcmp(p.weight[i].name, tensor_name) != 0)
        i++;
    bool found = i < p.n_weight;
    cv_program_fini(&p);
    return found;
}

static bool take_work(struct cv_stage *s, const struct cv_exec_bounds *b, struct cv_error *err)
{
    struct layout l;
    if (!lay_out(&l, s->device, b, err))
        return false;
    s->work = cv_alloc_aligned(l.all);
    if (s->work == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "working memory: no room for %zu bytes", l.all);
    s->work_bytes = cv_alloc_aligned_bytes(l.all);
    s->row = (struct cv_exec_row *)(void *)(s->work + l.row);
    s->fresh = (uint32_t *)(void *)(s->work + l.fresh);
    memset(s->fresh, 0, b->kv.n_slots * sizeof(*s->fresh));
    s->freq = (double *)(void *)(s->work + l.freq);
    s->cosine = (float *)(void *)(s->work + l.cosine);
    s->sine = (float *)(void *)(s->work + l.sine);
    s->exec = (struct cv_exec){.program = &s->program,
                               .weight = s->weights.item,
                               .kv = &s->kv,
                               .pool = s->pool,
                               .row = s->row,
                               .cosine = s->cosine,
                               .sine = s->sine,
                               .work = s->work + l.device};
    for (int i = 0; i < s->program.n_buffer; i++)
        s->exec.buffer[i] = (float *)(void *)(s->work + l.buffer[i]);
    s->device->init_work(s->exec.work, b);
    return true;
}

bool cv_stage_new(struct cv_stage **out, const struct cv_gguf *meta, const struct cv_weight_source *source,
                  const struct cv_stage_spec *spec, struct cv_pool *pool, const struct cv_load_progress *progress,
                  struct cv_error *err)
{
    pthread_once(&init_once, init_with_all);
    struct cv_stage *s = cv_zalloc(sizeof(*s));
    if (s == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "stage: out of memory");
    s->spec = *spec;
    s->pool = pool;
    s->device = &cv_cpu_ops;
    struct cv_part part = part_of(spec);
    if (!cv_program_build(&s->program, meta, &part, err))
        goto fail;
    /* Sequence and working memory first: when they do not fit, that shows before gigabytes were read. */
    struct cv_exec_bounds b = bounds_of(&s->program, spec, pool == NULL ? 1 : cv_pool_threads(pool));
    if (!cv_kv_init(&s->kv, &b.kv, err) || !cv_kv_measure(&b.kv, &s->kv_bytes, err) || !take_work(s, &b, err) ||
        !cv_weights_load(&s->weights, &s->program, meta, source, pool, progress, err))
        goto fail;
    s->exec.weight = s->weights.item;
    int factors = s->program.rope.factors;
    cv_rope_freqs(&s->program.rope, factors == CV_NO_WEIGHT ? NULL : s->weights.item[factors].vector, s->freq,
                  &s->rope_scale);
    *out = s;
    return true;
fail:
    cv_stage_free(s);
    return false;
}

void cv_stage_free(struct cv_stage *s)
{
    if (s == NULL)
        return;
    cv_weights_fini(&s->weights);
    cv_kv_fini(&s->kv);
    cv_free(s->work);
    cv_program_fini(&s->program);
    cv_free(s);
}

void cv_stage_taken(const struct cv_stage *s, struct cv_stage_memory *out)
{
    *out = (struct cv_stage_memory){.weights = s->weights.block_bytes, .kv = s->kv_bytes, .work = s->work_bytes};
}

static bool obey(struct cv_stage *s, const struct cv_cmd *cmd, struct cv_error *err)
{
    switch (cmd->op) {
    case CV_CMD_NEW:
        return cv_kv_new(&s->kv, cmd->slot, err);
    case CV_CMD_FORK:
        return cv_kv_fork(&s->kv, cmd->slot, cmd->other, cmd->pos, err);
    case CV_CMD_TRIM:
        return cv_kv_trim(&s->kv, cmd->slot, cmd->pos, err);
    case CV_CMD_FREE:
        return cv_kv_free(&s->kv, cmd->slot, err);
    default:
        return cv_fail(err, CV_ERR_ARG, "no such command: %u", cmd->op);
    }
}

/* Every rule of a row; counts the fresh rows of its slot. */
static bool check_row(struct cv_stage *s, const struct cv_row *row, struct cv_error *err)
{
    if (row->slot >= s->spec.n_slots)
        return cv_fail(err, CV_ERR_ARG, "slot %u, the stage has %u", row->slot, s->spec.n_slots);
    const struct cv_kv_slot *slot = &s->kv.slot[row->slot];
    if (!slot->used)
        return cv_fail(err, CV_ERR_ARG, "slot %u is unused", row->slot);
    if (row->pos != slot->len + s->fresh[row->slot])
        return cv_fail(err, CV_ERR_ARG, "slot %u at position %u, %u is next", row->slot, row->pos,
                       slot->len + s->fresh[row->slot]);
    if (row->pos >= s->spec.n_ctx)
        return cv_fail(err, CV_ERR_ARG, "slot %u at position %u, past the context of %u", row->slot, row->pos,
                       s->spec.n_ctx);
    if (row->token < 0 || (uint32_t)row->token >= s->program.hp.n_vocab)
        return cv_fail(err, CV_ERR_ARG, "token %d is outside the vocabulary of %u", row->token, s->program.hp.n_vocab);
    s->fresh[row->slot]++;
    return true;
}

/* fresh is all zero between steps. */
static void forget_fresh(struct cv_stage *s, const struct cv_row *row, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (row[i].slot < s->spec.n_slots)
            s->fresh[row[i].slot] = 0;
}

static bool reserve(struct cv_stage *s, const struct cv_step *step, struct cv_error *err)
{
    for (uint32_t i = 0; i < step->n_row; i++) {
        uint32_t slot = step->row[i].slot;
        /* Once for each slot: at its first row. */
        if (step->row[i].pos != s->kv.slot[slot].len)
            continue;
        if (!cv_kv_reserve(&s->kv, slot, s->fresh[slot], err)) {
            for (uint32_t j = 0; j <= i; j++)
                cv_kv_abandon(&s->kv, step->row[j].slot);
            return false;
        }
    }
    return true;
}

static bool prepare(struct cv_stage *s, const struct cv_step *step, uint32_t *n_want, struct cv_error *err)
{
    if (step->n_row > s->spec.n_batch)
        return cv_fail(err, CV_ERR_ARG, "%u rows, a step has at most %u", step->n_row, s->spec.n_batch);
    *n_want = 0;
    for (uint32_t i = 0; i < step->n_row; i++) {
        if (!check_row(s, &step->row[i], err))
            return cv_wrap(err, "row %u", i);
        *n_want += (step->row[i].flags & CV_ROW_WANT) != 0;
    }
    if (step->n_row != 0 &&
        ((!s->spec.has_embd && step->carry_in == NULL) || (!s->spec.has_head && step->carry_out == NULL) ||
         (s->spec.has_head && *n_want != 0 && step->logits == NULL)))
        return cv_fail(err, CV_ERR_ARG, "a step without memory for what comes in or goes out");
    return reserve(s, step, err);
}

static void run(struct cv_stage *s, const struct cv_step *step)
{
    struct cv_exec *e = &s->exec;
    size_t n_pair = s->program.rope.n_rot / 2, carry_bytes = (size_t)step->n_row * s->program.hp.n_embd * sizeof(float);
    e->n_row = step->n_row;
    e->logits = step->logits;
    for (uint32_t i = 0; i < step->n_row; i++) {
        const struct cv_row *row = &step->row[i];
        s->row[i] = (struct cv_exec_row){
            .slot = row->slot, .pos = row->pos, .token = row->token, .at = i, .want = (row->flags & CV_ROW_WANT) != 0};
        if (s->spec.layer_first != s->spec.layer_last)
            cv_rope_angles(s->freq, s->rope_scale, n_pair, row->pos, s->cosine + i * n_pair, s->sine + i * n_pair);
    }
    if (!s->spec.has_embd)
        memcpy(e->buffer[s->program.carry], step->carry_in, carry_bytes);
    for (size_t i = 0; i < s->program.n_op; i++)
        s->device->run[s->program.op[i].kind](e, &s->program.op[i]);
    if (!s->spec.has_head)
        memcpy(step->carry_out, e->buffer[s->program.carry], carry_bytes);
}

bool cv_stage_step(struct cv_stage *s, const struct cv_step *step, struct cv_error *err)
{
    for (uint32_t i = 0; i < step->n_cmd; i++)
        if (!obey(s, &step->cmd[i], err))
            return cv_wrap(err, "command %u", i);
    if (step->n_row == 0)
        return true;
    uint32_t n_want;
    bool ok = prepare(s, step, &n_want, err);
    if (ok) {
        run(s, step);
        for (uint32_t i = 0; i < step->n_row; i++)
            cv_kv_advance(&s->kv, step->row[i].slot, 1);
    }
    forget_fresh(s, step->row, step->n_row);
    return ok;
}

uint32_t cv_stage_n_embd(const struct cv_stage *s)
{
    return s->program.hp.n_embd;
}

uint32_t cv_stage_n_vocab(const struct cv_stage *s)
{
    return s->program.hp.n_vocab;
}

uint32_t cv_stage_slot_len(const struct cv_stage *s, uint32_t slot)
{
    return slot < s->spec.n_slots ? s->kv.slot[slot].len : 0;
}

bool cv_stage_print(const struct cv_stage *s, struct cv_buf *out)
{
    return cv_program_print(&s->program, out);
}
