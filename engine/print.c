/* print.c - a program as text, for people. */
#include "engine/program.h"

static bool put_buffer(const struct cv_program *p, struct cv_buf *out, const char *before, int buffer)
{
    return buffer < 0 || cv_buf_printf(out, "%s%s", before, p->buffer[buffer].name);
}

static bool put_weight(const struct cv_program *p, struct cv_buf *out, const char *before, int weight)
{
    if (weight == CV_NO_WEIGHT)
        return true;
    const struct cv_weight *w = &p->weight[weight];
    const struct cv_dtype_info *ty = cv_dtype_get((uint32_t)w->dtype);
    return cv_buf_printf(out, "%s%s (%s %zu", before, w->name, ty->name, w->k) &&
           (w->n_out == 1 || cv_buf_printf(out, " x %zu", w->n_out)) && cv_buf_putc(out, ')');
}

static bool put_op(const struct cv_program *p, const struct cv_op *op, struct cv_buf *out)
{
    bool ok = cv_buf_printf(out, "  %-10s", cv_op_name(op->kind));
    for (int i = 0; i < CV_OP_FAN && ok; i++)
        ok = put_buffer(p, out, i == 0 ? " " : ", ", op->dst[i]);
    ok = ok && cv_buf_puts(out, op->dst[0] >= 0 ? " <-" : "");
    for (int i = 0; i < CV_OP_FAN && ok; i++)
        ok = put_buffer(p, out, i == 0 ? " " : ", ", op->src[i]);
    for (int i = 0; i < CV_OP_FAN && ok; i++)
        ok = put_weight(p, out,
                        i > 0            ? ", "
                        : op->src[0] < 0 ? " "
                                         : " * ",
                        op->weight[i]) &&
             put_weight(p, out, " + ", op->bias[i]);
    if (ok && (op->kind == CV_OP_NORM || op->kind == CV_OP_ADD_NORM))
        ok = cv_buf_printf(out, ", eps %g", (double)op->eps) &&
             (op->n_head <= 1 || cv_buf_printf(out, ", each of %u heads", op->n_head));
    if (ok && op->kind == CV_OP_ATTEND)
        ok = cv_buf_printf(out, ", scale %g", (double)op->scale);
    return ok && cv_buf_putc(out, '\n');
}

static bool put_rope(const struct cv_rope *r, struct cv_buf *out)
{
    bool ok = cv_buf_printf(out, "rope: %u values of a head by %s, base %g", r->n_rot,
                            r->mode == CV_ROPE_PAIRS ? "adjacent pairs" : "halves", (double)r->freq_base);
    if (ok && r->scaling == CV_ROPE_LINEAR)
        ok = cv_buf_printf(out, ", linear / %g", (double)r->factor);
    if (ok && r->scaling == CV_ROPE_YARN)
        ok = cv_buf_printf(out, ", YaRN / %g from %u positions (beta %g to %g)", (double)r->factor, r->orig_ctx,
                           (double)r->beta_slow, (double)r->beta_fast);
    return ok && cv_buf_puts(out, r->factors != CV_NO_WEIGHT ? ", with factors\n" : "\n");
}

bool cv_program_print(const struct cv_program *p, struct cv_buf *out)
{
    const struct cv_hparams *hp = &p->hp;
    bool ok = cv_buf_printf(out, "%s: layers %u to %u of %u%s%s; %u heads over %u of keys and values\n", hp->arch,
                            p->part.layer_first, p->part.layer_last, hp->n_layer, p->part.has_embd ? ", embedding" : "",
                            p->part.has_head ? ", head" : "", hp->n_head, hp->n_head_kv) &&
              put_rope(&p->rope, out) && cv_buf_puts(out, "buffers:");
    for (int i = 0; i < p->n_buffer && ok; i++)
        ok = cv_buf_printf(out, " %s[%zu]", p->buffer[i].name, p->buffer[i].width);
    ok = ok && cv_buf_putc(out, '\n');
    uint32_t layer = UINT32_MAX;
    for (size_t i = 0; i < p->n_op && ok; i++) {
        const struct cv_op *op = &p->op[i];
        if (op->layer != layer && op->kind != CV_OP_EMBED) {
            layer = op->layer;
            ok = layer == hp->n_layer ? cv_buf_puts(out, "head\n") : cv_buf_printf(out, "layer %u\n", layer);
        }
        ok = ok && put_op(p, op, out);
    }
    return ok;
}
