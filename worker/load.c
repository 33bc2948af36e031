/* load.c - from a LOAD to a stage in memory: fetch what is missing, check it, repack it. */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/size.h"
#include "worker/internal.h"

void cv_loaded_fini(struct cv_loaded *l)
{
    cv_stage_free(l->stage);
    cv_layer_cache_close(l->cache);
    cv_model_close(l->file);
    *l = (struct cv_loaded){0};
}

/* Where a stage being built gets its weights from. */
struct source {
    const struct cv_ctl_load *load;
    struct cv_layer_cache *cache; /* or */
    struct cv_model *file;
};

static bool find_tensor(const struct cv_ctl_load *load, const char *name, struct cv_layer_tensor *out)
{
    for (size_t i = 0; i < load->n_tensor; i++) {
        const struct cv_ctl_tensor *t = &load->tensor[i];
        if (strcmp(t->name, name) != 0)
            continue;
        *out = (struct cv_layer_tensor){
            .name = t->name, .part = t->part, .offset = t->offset, .size_bytes = t->size_bytes};
        memcpy(out->sha256, t->sha256, sizeof(out->sha256));
        return true;
    }
    return false;
}

static bool source_get(void *ctx, const struct cv_gguf_tensor *t, const void **data, struct cv_error *err)
{
    struct source *s = ctx;
    if (s->file != NULL) {
        const struct cv_gguf_tensor *real = cv_gguf_tensor(s->file->gguf, t->name);
        if (real == NULL || real->size_bytes != t->size_bytes)
            return cv_fail(err, CV_ERR_FORMAT, "tensor '%s': the file is not the one that was planned with", t->name);
        *data = cv_model_tensor_data(s->file, real);
        return true;
    }
    struct cv_layer_tensor want;
    if (!find_tensor(s->load, t->name, &want) || want.size_bytes != t->size_bytes)
        return cv_fail(err, CV_ERR_FORMAT, "tensor '%s': not among those that were announced", t->name);
    *data = cv_layer_cache_data(s->cache, &want);
    return *data != NULL || cv_fail(err, CV_ERR_INTERNAL, "tensor '%s': not in the cache", t->name);
}

static void source_done(void *ctx, const struct cv_gguf_tensor *t)
{
    struct source *s = ctx;
    struct cv_layer_tensor want;
    if (s->file != NULL) {
        const struct cv_gguf_tensor *real = cv_gguf_tensor(s->file->gguf, t->name);
        if (real != NULL) {
            const struct cv_model_part *part = &s->file->part[real->part];
            cv_map_drop(&part->map, part->data_offset + real->offset, real->size_bytes);
        }
    } else if (find_tensor(s->load, t->name, &want)) {
        cv_layer_cache_drop_pages(s->cache, &want);
    }
}

/* Progress of one phase, shown in the heartbeat. */
struct phase {
    struct cv_worker *w;
    uint64_t start_ms;
};

static bool report(struct phase *p, uint64_t done, uint64_t all, uint64_t moved)
{
    struct cv_worker *w = p->w;
    const double s = (double)(cv_now_ms() - p->start_ms) / 1000.0;
    pthread_mutex_lock(&w->lock);
    w->status.load_done_bytes = done;
    w->status.load_all_bytes = all;
    w->status.load_bytes_per_s = s > 0.05 ? (double)moved / s : 0;
    pthread_mutex_unlock(&w->lock);
    return !atomic_load(&w->cancel_load);
}

static bool report_fetch(void *ctx, uint64_t done, uint64_t all, uint64_t fetched)
{
    return report(ctx, done, all, fetched);
}

static bool report_load(void *ctx, uint64_t done, uint64_t all)
{
    return report(ctx, done, all, done);
}

static bool fetch(struct cv_worker *w, const struct cv_ctl_load *load, struct cv_layer_cache *cache,
                  struct cv_error *err)
{
    struct cv_layer_tensor *tensor = cv_calloc(load->n_tensor, sizeof(*tensor));
    if (tensor == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "list of tensors: out of memory");
    for (size_t i = 0; i < load->n_tensor; i++)
        (void)find_tensor(load, load->tensor[i].name, &tensor[i]);
    struct phase p = {.w = w, .start_ms = cv_now_ms()};
    const struct cv_layer_ensure what = {.tensor = tensor,
                                         .n_tensor = load->n_tensor,
                                         .source = load->source,
                                         .n_source = load->n_source,
                                         .progress = report_fetch,
                                         .ctx = &p,
                                         .cancel = &w->cancel_load};
    uint64_t fetched = 0;
    bool ok = cv_layer_cache_ensure(cache, &what, &fetched, err);
    pthread_mutex_lock(&w->lock);
    w->status.fetched_bytes += fetched;
    pthread_mutex_unlock(&w->lock);
    cv_free(tensor);
    if (ok) {
        char size[CV_SIZE_TEXT];
        cv_log(CV_LOG_INFO, "fetched %s in %.1f s", cv_size_format(fetched, size),
               (double)(cv_now_ms() - p.start_ms) / 1000.0);
    }
    return ok;
}

static bool check_budget(struct cv_worker *w, const struct cv_gguf *meta, const struct cv_stage_spec *spec,
                         struct cv_error *err)
{
    struct cv_stage_memory need;
    if (!cv_stage_measure(meta, spec, &need, err))
        return false;
    const uint64_t all = need.weights + need.kv + need.work;
    char a[CV_SIZE_TEXT], b[CV_SIZE_TEXT];
    if (all > w->budget_bytes)
        return cv_fail(err, CV_ERR_NOMEM, "layers %u..%u need %s, this node has %s", spec->layer_first,
                       spec->layer_last - 1, cv_size_format(all, a), cv_size_format(w->budget_bytes, b));
    return true;
}

static bool build(struct cv_worker *w, const struct cv_ctl_load *load, const struct cv_stage_spec *spec,
                  struct cv_error *err)
{
    struct cv_arena arena = {.max_bytes = 2 * (size_t)CV_MAX_CALL_BYTES};
    struct cv_gguf *meta;
    struct cv_loaded next = {.spec = *spec};
    memcpy(next.model, load->model, sizeof(next.model));
    /* The header was made for this stage alone: its offsets are its own, and there is no data behind it. */
    bool ok = cv_gguf_parse(&meta, load->gguf_header, load->gguf_header_len, SIZE_MAX / 4, &arena, err) &&
              check_budget(w, meta, spec, err);
    if (ok && load->local_path[0] != '\0') {
        ok = w->options.local_files ? cv_model_open(&next.file, load->local_path, CV_MODEL_MAP, err)
                                    : cv_fail(err, CV_ERR_AUTH, "a remote coordinator named a local file");
    } else if (ok) {
        cv_worker_set_state(w, CV_NODE_FETCHING, load->epoch, NULL);
        ok = cv_layer_cache_open(&next.cache, w->cache_dir, load->model, err) && fetch(w, load, next.cache, err);
    }
    if (ok) {
        cv_worker_set_state(w, CV_NODE_LOADING, load->epoch, NULL);
        struct source s = {.load = load, .cache = next.cache, .file = next.file};
        struct phase p = {.w = w, .start_ms = cv_now_ms()};
        const struct cv_weight_source source = {.ctx = &s, .get = source_get, .done = source_done};
        const struct cv_load_progress progress = {.ctx = &p, .report = report_load};
        ok = cv_stage_new(&next.stage, meta, &source, spec, w->pool, &progress, err);
    }
    cv_arena_fini(&arena);
    if (!ok) {
        cv_loaded_fini(&next);
        return false;
    }
    w->loaded = next;
    return true;
}

/* The stage that is there, made empty: every slot given back. */
static bool reuse(struct cv_worker *w, struct cv_error *err)
{
    for (uint32_t slot = 0; slot < w->loaded.spec.n_slots; slot++) {
        const struct cv_cmd cmd = {.op = CV_CMD_FREE, .slot = slot};
        const struct cv_step step = {.cmd = &cmd, .n_cmd = 1};
        if (!cv_stage_step(w->loaded.stage, &step, err))
            return false;
    }
    return true;
}

bool cv_worker_load(struct cv_worker *w, const struct cv_ctl_load *load, struct cv_error *err)
{
    const struct cv_stage_spec spec = {.layer_first = load->layer_first,
                                       .layer_last = load->layer_last,
                                       .has_embd = load->has_embd,
                                       .has_head = load->has_head,
                                       .n_slots = load->n_slots,
                                       .n_ctx = load->n_ctx,
                                       .n_batch = load->n_batch,
                                       .kv_type = (enum cv_dtype)load->kv_type};
    const struct cv_stage_spec *old = &w->loaded.spec;
    const bool same = w->loaded.stage != NULL && memcmp(w->loaded.model, load->model, sizeof(load->model)) == 0 &&
                      old->layer_first == spec.layer_first && old->layer_last == spec.layer_last &&
                      old->has_embd == spec.has_embd && old->has_head == spec.has_head &&
                      old->n_slots == spec.n_slots && old->n_ctx == spec.n_ctx && old->n_batch == spec.n_batch &&
                      old->kv_type == spec.kv_type;
    bool ok;
    if (same) {
        ok = reuse(w, err);
    } else {
        cv_loaded_fini(&w->loaded);
        ok = build(w, load, &spec, err);
    }
    if (!ok)
        return cv_wrap(err, "layers %u..%u", load->layer_first, load->layer_last - 1);
    w->loaded.stage_index = load->stage;
    w->loaded.n_stage = load->n_stage;
    cv_log(CV_LOG_INFO, "epoch %" PRIu64 ": layers %u..%u are %s", load->epoch, load->layer_first,
           load->layer_last - 1, same ? "still loaded" : "loaded");
    return true;
}
