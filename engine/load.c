#include "engine/load.h"

#include "base/mem.h"

enum { ALIGN = 64, PACK_ROWS = 16 * CV_MATRIX_GROUP /* output rows one thread packs at a time */ };

/* Bytes of one weight in the block; 0 for a table. */
static bool weight_bytes(const struct cv_weight *w, size_t *bytes, struct cv_error *err)
{
    *bytes = 0;
    if (w->form == CV_WEIGHT_MATRIX && !cv_matrix_bytes(w->dtype, w->n_out, w->k, bytes, err))
        return cv_wrap(err, "tensor '%s'", w->name);
    if (w->form == CV_WEIGHT_VECTOR && !cv_mul_size(w->k, sizeof(float), bytes))
        return cv_fail(err, CV_ERR_LIMIT, "tensor '%s': size overflows", w->name);
    return true;
}

/* Where weight i begins, for all of them; the last is the end. */
static bool add_weight(const struct cv_weight *w, size_t *at, struct cv_error *err)
{
    size_t bytes;
    if (!weight_bytes(w, &bytes, err))
        return false;
    if (!cv_add_size(*at, bytes, at) || !cv_add_size(*at, ALIGN - 1, at))
        return cv_fail(err, CV_ERR_LIMIT, "tensor '%s': the weights' size overflows", w->name);
    *at &= ~(size_t)(ALIGN - 1);
    return true;
}

bool cv_weights_measure(const struct cv_program *p, size_t *bytes, struct cv_error *err)
{
    size_t all = 0;
    for (size_t i = 0; i < p->n_weight; i++)
        if (!add_weight(&p->weight[i], &all, err))
            return false;
    *bytes = all == 0 ? 0 : cv_alloc_aligned_bytes(all);
    return true;
}

struct pack {
    struct cv_matrix *matrix;
    const unsigned char *src;
    size_t row_bytes;
};

static void pack_rows(void *ctx, size_t chunk, unsigned thread)
{
    (void)thread;
    struct pack *p = ctx;
    size_t first = chunk * PACK_ROWS, left = p->matrix->n_out - first;
    cv_matrix_pack(p->matrix, p->src + first * p->row_bytes, first, left < PACK_ROWS ? left : PACK_ROWS);
}

static bool load_one(struct cv_loaded *to, const struct cv_weight *w, void *memory, const void *src,
                     struct cv_pool *pool, struct cv_error *err)
{
    if (!cv_dtype_row_bytes(w->dtype, w->k, &to->row_bytes, err))
        return cv_wrap(err, "tensor '%s'", w->name);
    if (w->form == CV_WEIGHT_TABLE) {
        to->table = src;
    } else if (w->form == CV_WEIGHT_VECTOR) {
        cv_dequantize(w->dtype, src, memory, w->k);
        to->vector = memory;
    } else {
        to->matrix = (struct cv_matrix){.dtype = w->dtype, .n_out = w->n_out, .k = w->k, .data = memory};
        if (!cv_matrix_bytes(w->dtype, w->n_out, w->k, &to->matrix.size_bytes, err))
            return cv_wrap(err, "tensor '%s'", w->name);
        struct pack pack = {.matrix = &to->matrix, .src = src, .row_bytes = to->row_bytes};
        size_t chunks = (w->n_out + PACK_ROWS - 1) / PACK_ROWS;
        if (pool != NULL)
            cv_pool_run(pool, pack_rows, &pack, chunks);
        for (size_t i = 0; i < chunks && pool == NULL; i++)
            pack_rows(&pack, i, 0);
    }
    return true;
}

static bool fetch_one(struct cv_weights *w, size_t i, size_t at, const struct cv_program *p, const struct cv_gguf *meta,
                      const struct cv_weight_source *source, struct cv_pool *pool, struct cv_error *err)
{
    const struct cv_weight *one = &p->weight[i];
    const struct cv_gguf_tensor *t = cv_gguf_tensor(meta, one->name);
    const void *src;
    if (!source->get(source->ctx, t, &src, err))
        return cv_wrap(err, "tensor '%s'", one->name);
    bool ok = load_one(&w->item[i], one, w->block + at, src, pool, err);
    if (one->form != CV_WEIGHT_TABLE && source->done != NULL)
        source->done(source->ctx, t);
    return ok;
}

/*
 * While a tensor is repacked it is in memory twice. So the few that are a large part of the whole come first, when
 * little else is there; the rest in the order of the program, which is that of most files.
 */
static bool comes_first(const struct cv_weight *w, uint64_t all)
{
    return w->size_bytes > all / 16;
}

static bool load_all(struct cv_weights *w, const struct cv_program *p, const struct cv_gguf *meta,
                     const struct cv_weight_source *source, struct cv_pool *pool,
                     const struct cv_load_progress *progress, struct cv_error *err)
{
    uint64_t all = 0, done = 0;
    for (size_t i = 0; i < p->n_weight; i++)
        all += p->weight[i].size_bytes;
    for (int pass = 0; pass < 2; pass++) {
        size_t at = 0;
        for (size_t i = 0; i < p->n_weight; i++) {
            bool now = comes_first(&p->weight[i], all) == (pass == 0);
            if (now && !fetch_one(w, i, at, p, meta, source, pool, err))
                return false;
            if (!add_weight(&p->weight[i], &at, err))
                return false;
            done += now ? p->weight[i].size_bytes : 0;
            if (now && progress != NULL && progress->report != NULL && !progress->report(progress->ctx, done, all))
                return cv_fail(err, CV_ERR_CANCEL, "loading was stopped");
        }
    }
    return true;
}

bool cv_weights_load(struct cv_weights *w, const struct cv_program *p, const struct cv_gguf *meta,
                     const struct cv_weight_source *source, struct cv_pool *pool,
                     const struct cv_load_progress *progress, struct cv_error *err)
{
    *w = (struct cv_weights){0};
    if (!cv_weights_measure(p, &w->block_bytes, err))
        return false;
    w->item = cv_calloc(p->n_weight, sizeof(*w->item));
    w->block = w->block_bytes == 0 ? NULL : cv_alloc_aligned(w->block_bytes);
    bool ok = w->item != NULL && (w->block_bytes == 0 || w->block != NULL);
    if (!ok)
        cv_fail(err, CV_ERR_NOMEM, "weights: no room for %zu bytes", w->block_bytes);
    ok = ok && load_all(w, p, meta, source, pool, progress, err);
    if (!ok)
        cv_weights_fini(w);
    return ok;
}

void cv_weights_fini(struct cv_weights *w)
{
    cv_free(w->item);
    cv_free(w->block);
    *w = (struct cv_weights){0};
}
