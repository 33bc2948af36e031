#include "engine/program.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "engine/arch/arch.h"
#include "engine/cpu/matrix.h"

static const char *const op_names[CV_OP_COUNT] = {
    [CV_OP_EMBED] = "embed",           [CV_OP_PICK] = "pick",     [CV_OP_NORM] = "norm", [CV_OP_ADD] = "add",
    [CV_OP_ADD_NORM] = "add+norm",     [CV_OP_MATMUL] = "matmul", [CV_OP_ROPE] = "rope", [CV_OP_STORE] = "store",
    [CV_OP_ROPE_STORE] = "rope+store", [CV_OP_ATTEND] = "attend", [CV_OP_GLU] = "glu",   [CV_OP_LOGITS] = "logits",
};

const char *cv_op_name(enum cv_op_kind kind)
{
    return op_names[kind];
}

void cv_build_fail(struct cv_builder *b, enum cv_code code, const char *fmt, ...)
{
    if (b->failed)
        return;
    b->failed = true;
    char msg[sizeof(b->err->msg)];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof(msg), fmt, ap);
    va_end(ap);
    cv_fail(b->err, code, "%s", msg);
}

/* Room for one more element of an array that doubles. */
static void *grow(void *array, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return array;
    size_t want = *cap == 0 ? 64 : *cap * 2;
    void *more = cv_realloc(array, want, size);
    if (more != NULL)
        *cap = want;
    return more;
}

int cv_build_buffer(struct cv_builder *b, const char *name, size_t width)
{
    struct cv_program *p = b->p;
    if (p->n_buffer == CV_MAX_BUFFERS) {
        cv_build_fail(b, CV_ERR_INTERNAL, "program: more than %d buffers", CV_MAX_BUFFERS);
        return 0;
    }
    p->buffer[p->n_buffer] = (struct cv_buffer){.name = name, .width = width};
    return p->n_buffer++;
}

struct cv_op *cv_build_op(struct cv_builder *b, enum cv_op_kind kind, uint32_t layer)
{
    struct cv_program *p = b->p;
    if (b->failed)
        return NULL;
    struct cv_op *all = grow(p->op, p->n_op, &p->cap_op, sizeof(*p->op));
    if (all == NULL) {
        cv_build_fail(b, CV_ERR_NOMEM, "program: out of memory");
        return NULL;
    }
    p->op = all;
    struct cv_op *op = &p->op[p->n_op++];
    *op = (struct cv_op){.kind = kind, .layer = layer};
    for (int i = 0; i < CV_OP_FAN; i++) {
        op->dst[i] = op->src[i] = -1;
        op->weight[i] = op->bias[i] = CV_NO_WEIGHT;
    }
    return op;
}

static int find_weight(const struct cv_program *p, const char *name)
{
    /* Only the embedding is asked for twice (a tied head), and it comes first. */
    for (size_t i = 0; i < p->n_weight && i < 2; i++)
        if (strcmp(p->weight[i].name, name) == 0)
            return (int)i;
    return CV_NO_WEIGHT;
}

static bool type_fits(const struct cv_gguf_tensor *t, enum cv_weight_form form)
{
    return form == CV_WEIGHT_MATRIX ? cv_matrix_supported(t->dtype) : cv_dtype_can_dequantize(t->dtype);
}

int cv_build_optional(struct cv_builder *b, int layer, const char *name, enum cv_weight_form form, size_t k,
                      size_t n_out)
{
    struct cv_program *p = b->p;
    if (b->failed)
        return CV_NO_WEIGHT;
    struct cv_weight w = {.form = form, .k = k, .n_out = n_out};
    if (layer >= 0)
        snprintf(w.name, sizeof(w.name), "blk.%d.%s", layer, name);
    else
        snprintf(w.name, sizeof(w.name), "%s", name);
    const struct cv_gguf_tensor *t = cv_gguf_tensor(b->meta, w.name);
    if (t == NULL)
        return CV_NO_WEIGHT;
    w.dtype = t->dtype;
    w.size_bytes = t->size_bytes;
    if (t->dim[0] != k || t->dim[1] != n_out || t->dim[2] != 1 || t->dim[3] != 1) {
        cv_build_fail(b, CV_ERR_FORMAT, "tensor '%s' is %zu x %zu x %zu x %zu, must be %zu x %zu", w.name, t->dim[0],
                      t->dim[1], t->dim[2], t->dim[3], k, n_out);
        return CV_NO_WEIGHT;
    }
    if (!type_fits(t, form)) {
        const struct cv_dtype_info *ty = cv_dtype_get((uint32_t)t->dtype);
        cv_build_fail(b, CV_ERR_UNSUPPORTED, "weight type %s is not supported (tensor '%s')",
                      ty == NULL ? "?" : ty->name, w.name);
        return CV_NO_WEIGHT;
    }
    int known = find_weight(p, w.name);
    if (known != CV_NO_WEIGHT) {
        if (form == CV_WEIGHT_MATRIX)
            p->weight[known].form = form; /* a packed matrix can be looked up as well */
        return known;
    }
    struct cv_weight *all = grow(p->weight, p->n_weight, &p->cap_weight, sizeof(*p->weight));
    if (all == NULL) {
        cv_build_fail(b, CV_ERR_NOMEM, "program: out of memory");
        return CV_NO_WEIGHT;
    }
    p->weight = all;
    p->weight[p->n_weight] = w;
    return (int)p->n_weight++;
}

int cv_build_weight(struct cv_builder *b, int layer, const char *name, enum cv_weight_form form, size_t k, size_t n_out)
{
    int w = cv_build_optional(b, layer, name, form, k, n_out);
    if (w == CV_NO_WEIGHT && layer >= 0)
        cv_build_fail(b, CV_ERR_FORMAT, "tensor 'blk.%d.%s' is missing", layer, name);
    else if (w == CV_NO_WEIGHT)
        cv_build_fail(b, CV_ERR_FORMAT, "tensor '%s' is missing", name);
    return w;
}

static bool check_part(const struct cv_part *part, const struct cv_hparams *hp, struct cv_error *err)
{
    if (part->layer_first > part->layer_last || part->layer_last > hp->n_layer)
        return cv_fail(err, CV_ERR_ARG, "layers %u to %u of a model of %u", part->layer_first, part->layer_last,
                       hp->n_layer);
    if (part->has_embd && part->layer_first != 0)
        return cv_fail(err, CV_ERR_ARG, "the embedding goes with layer 0, not with %u", part->layer_first);
    if (part->has_head && part->layer_last != hp->n_layer)
        return cv_fail(err, CV_ERR_ARG, "the head goes with the last layer %u, not with %u", hp->n_layer,
                       part->layer_last);
    return true;
}

/* "blk.17.attn_q.weight" -> 17 and "attn_q.weight" */
static bool split_name(const char *name, uint32_t *layer, const char **rest)
{
    if (strncmp(name, "blk.", 4) != 0)
        return false;
    uint32_t n = 0;
    const char *at = name + 4;
    for (; *at >= '0' && *at <= '9' && n < 1000000; at++)
        n = n * 10 + (uint32_t)(*at - '0');
    *layer = n;
    *rest = at + 1;
    return at != name + 4 && *at == '.';
}

/* Tensors that some files carry although nothing depends on them. */
static bool is_idle(const char *rest)
{
    return strcmp(rest, "attn_rot_embd") == 0 || strcmp(rest, "attn_rot_embd.weight") == 0;
}

static bool is_read(const struct cv_program *p, const char *name)
{
    for (size_t i = 0; i < p->n_weight; i++)
        if (strcmp(p->weight[i].name, name) == 0)
            return true;
    return false;
}

/*
 * A tensor of our layers that the program does not read means that the model computes something else than we would.
 * Every weight is a tensor, so equal numbers are proof enough; names are only looked at to say which one it is.
 */
static bool check_all_read(const struct cv_program *p, const struct cv_gguf *meta, struct cv_error *err)
{
    size_t n_there = 0, n_read = 0;
    const char *rest;
    uint32_t layer;
    for (size_t i = 0; i < p->n_weight; i++)
        n_read += split_name(p->weight[i].name, &layer, &rest);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < meta->n_tensor; i++) {
            const char *name = meta->tensor[i].name;
            if (!split_name(name, &layer, &rest) || layer < p->part.layer_first || layer >= p->part.layer_last ||
                is_idle(rest))
                continue;
            n_there += pass == 0;
            if (pass == 1 && !is_read(p, name))
                return cv_fail(err, CV_ERR_UNSUPPORTED, "architecture %s with a tensor '%s' is not supported",
                               p->hp.arch, name);
        }
        if (n_there == n_read)
            break;
    }
    return true;
}

bool cv_program_build(struct cv_program *p, const struct cv_gguf *meta, const struct cv_part *part,
                      struct cv_error *err)
{
    *p = (struct cv_program){.part = *part};
    struct cv_error scratch;
    if (err == NULL)
        err = &scratch;
    if (!cv_hparams_read(&p->hp, meta, err) || !check_part(part, &p->hp, err))
        return false;
    cv_arch_fn *arch = cv_arch_find(p->hp.arch);
    if (arch == NULL)
        return cv_fail(err, CV_ERR_UNSUPPORTED, "architecture '%s' is not supported", p->hp.arch);
    struct cv_builder b = {.p = p, .meta = meta, .err = err};
    arch(&b);
    if (b.failed || !check_all_read(p, meta, err)) {
        cv_program_fini(p);
        return false;
    }
    cv_program_fuse(p);
    return true;
}

void cv_program_fini(struct cv_program *p)
{
    cv_free(p->op);
    cv_free(p->weight);
    *p = (struct cv_program){0};
}
