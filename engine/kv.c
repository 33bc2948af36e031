#include "engine/kv.h"

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"

/* Sizes of everything, in kv, without any memory. */
static bool lay_out(struct cv_kv *kv, const struct cv_kv_spec *spec, size_t *bytes, struct cv_error *err)
{
    *kv = (struct cv_kv){.spec = *spec};
    if (spec->type != CV_DTYPE_F32 && spec->type != CV_DTYPE_F16) {
        const struct cv_dtype_info *ty = cv_dtype_get((uint32_t)spec->type);
        return cv_fail(err, CV_ERR_UNSUPPORTED, "sequence memory of type %s is not supported (F32 and F16 are)",
                       ty == NULL ? "?" : ty->name);
    }
    if (spec->n_slots < 1 || spec->n_slots > CV_MAX_SLOTS)
        return cv_fail(err, CV_ERR_ARG, "number of slots is %u, must be 1 to %u", spec->n_slots, CV_MAX_SLOTS);
    if (spec->n_ctx < 1 || spec->n_ctx > CV_MAX_CTX)
        return cv_fail(err, CV_ERR_ARG, "context is %u positions, must be 1 to %u", spec->n_ctx, CV_MAX_CTX);
    kv->type_bytes = spec->type == CV_DTYPE_F32 ? 4 : 2;
    kv->pages_per_slot = (spec->n_ctx + CV_KV_PAGE - 1) / CV_KV_PAGE;
    size_t n_pages, values;
    bool fits = cv_mul_size(kv->pages_per_slot, spec->n_slots, &n_pages) && n_pages <= UINT32_MAX &&
                cv_add_size(spec->n_embd_head_k, spec->n_embd_head_v, &values) &&
                cv_mul_size(values, CV_KV_PAGE * kv->type_bytes, &kv->head_bytes) &&
                cv_mul_size(kv->head_bytes, spec->n_head_kv, &kv->layer_bytes) &&
                cv_mul_size(kv->layer_bytes, spec->n_layer, &kv->page_bytes);
    if (fits && spec->n_pages != 0 && spec->n_pages < n_pages)
        n_pages = spec->n_pages;
    kv->n_pages = fits ? (uint32_t)n_pages : 0;
    if (!fits || !cv_mul_size(n_pages, kv->page_bytes, bytes))
        return cv_fail(err, CV_ERR_LIMIT, "sequence memory of %u slots of %u positions: size overflows", spec->n_slots,
                       spec->n_ctx);
    return true;
}

bool cv_kv_measure(const struct cv_kv_spec *spec, size_t *bytes, struct cv_error *err)
{
    struct cv_kv kv;
    size_t n;
    if (!lay_out(&kv, spec, &n, err))
        return false;
    *bytes = n == 0 ? 0 : cv_alloc_aligned_bytes(n);
    return true;
}

bool cv_kv_init(struct cv_kv *kv, const struct cv_kv_spec *spec, struct cv_error *err)
{
    size_t bytes;
    if (!lay_out(kv, spec, &bytes, err))
        return false;
    kv->data = bytes == 0 ? NULL : cv_alloc_aligned(bytes);
    kv->table = cv_calloc((size_t)spec->n_slots * kv->pages_per_slot, sizeof(*kv->table));
    kv->refs = cv_calloc(kv->n_pages, sizeof(*kv->refs));
    kv->free_page = cv_calloc(kv->n_pages, sizeof(*kv->free_page));
    kv->slot = cv_calloc(spec->n_slots, sizeof(*kv->slot));
    if ((bytes != 0 && kv->data == NULL) || kv->table == NULL || kv->refs == NULL || kv->free_page == NULL ||
        kv->slot == NULL) {
        cv_kv_fini(kv);
        return cv_fail(err, CV_ERR_NOMEM, "sequence memory: no room for %zu bytes", bytes);
    }
    /* From the top, so that the lowest page is taken first. */
    for (uint32_t i = 0; i < kv->n_pages; i++)
        kv->free_page[i] = kv->n_pages - 1 - i;
    kv->n_free = kv->n_pages;
    return true;
}

void cv_kv_fini(struct cv_kv *kv)
{
    cv_free(kv->data);
    cv_free(kv->table);
    cv_free(kv->refs);
    cv_free(kv->free_page);
    cv_free(kv->slot);
    *kv = (struct cv_kv){0};
}

static uint32_t *row_of(const struct cv_kv *kv, uint32_t slot)
{
    return kv->table + (size_t)slot * kv->pages_per_slot;
}

static uint32_t pages_for(uint32_t positions)
{
    return positions / CV_KV_PAGE + (positions % CV_KV_PAGE != 0);
}

static void drop_page(struct cv_kv *kv, uint32_t page)
{
    if (--kv->refs[page] == 0)
        kv->free_page[kv->n_free++] = page;
}

/* The slot keeps its first n pages. */
static void keep_pages(struct cv_kv *kv, uint32_t slot, uint32_t n)
{
    struct cv_kv_slot *s = &kv->slot[slot];
    while (s->n_pages > n)
        drop_page(kv, row_of(kv, slot)[--s->n_pages]);
}

static bool check_slot(const struct cv_kv *kv, const char *what, uint32_t slot, struct cv_error *err)
{
    return slot < kv->spec.n_slots ||
           cv_fail(err, CV_ERR_ARG, "%s: slot %u, the stage has %u", what, slot, kv->spec.n_slots);
}

bool cv_kv_new(struct cv_kv *kv, uint32_t slot, struct cv_error *err)
{
    if (!check_slot(kv, "NEW", slot, err))
        return false;
    keep_pages(kv, slot, 0);
    kv->slot[slot].len = 0;
    kv->slot[slot].used = true;
    return true;
}

bool cv_kv_free(struct cv_kv *kv, uint32_t slot, struct cv_error *err)
{
    if (!check_slot(kv, "FREE", slot, err))
        return false;
    keep_pages(kv, slot, 0);
    kv->slot[slot].len = 0;
    kv->slot[slot].used = false;
    return true;
}

bool cv_kv_trim(struct cv_kv *kv, uint32_t slot, uint32_t pos, struct cv_error *err)
{
    if (!check_slot(kv, "TRIM", slot, err))
        return false;
    struct cv_kv_slot *s = &kv->slot[slot];
    if (!s->used || pos > s->len)
        return cv_fail(err, CV_ERR_ARG, "TRIM: slot %u to %u positions, it %s %u", slot, pos,
                       s->used ? "holds" : "is unused and holds", s->len);
    keep_pages(kv, slot, pages_for(pos));
    s->len = pos;
    return true;
}

bool cv_kv_fork(struct cv_kv *kv, uint32_t slot, uint32_t from, uint32_t pos, struct cv_error *err)
{
    if (!check_slot(kv, "FORK", slot, err) || !check_slot(kv, "FORK from", from, err))
        return false;
    const struct cv_kv_slot *src = &kv->slot[from];
    if (!src->used || pos > src->len)
        return cv_fail(err, CV_ERR_ARG, "FORK: %u positions of slot %u, it %s %u", pos, from,
                       src->used ? "holds" : "is unused and holds", src->len);
    if (slot == from)
        return cv_kv_trim(kv, slot, pos, err);
    keep_pages(kv, slot, 0);
    uint32_t n = pages_for(pos);
    for (uint32_t i = 0; i < n; i++) {
        row_of(kv, slot)[i] = row_of(kv, from)[i];
        kv->refs[row_of(kv, from)[i]]++;
    }
    kv->slot[slot] = (struct cv_kv_slot){.used = true, .len = pos, .n_pages = n};
    return true;
}

static bool take_page(struct cv_kv *kv, uint32_t *page, struct cv_error *err)
{
    if (kv->n_free == 0)
        return cv_fail(err, CV_ERR_NOMEM, "sequence memory: all %u pages are in use", kv->n_pages);
    *page = kv->free_page[--kv->n_free];
    kv->refs[*page] = 1;
    return true;
}

bool cv_kv_reserve(struct cv_kv *kv, uint32_t slot, uint32_t n, struct cv_error *err)
{
    struct cv_kv_slot *s = &kv->slot[slot];
    if (n > kv->spec.n_ctx - s->len)
        return cv_fail(err, CV_ERR_ARG, "slot %u: %u positions more than %u are past the context of %u", slot, n,
                       s->len, kv->spec.n_ctx);
    uint32_t *row = row_of(kv, slot);
    if (n > 0 && s->len % CV_KV_PAGE != 0) {
        uint32_t *last = &row[s->len / CV_KV_PAGE], page = 0;
        if (kv->refs[*last] > 1) {
            if (!take_page(kv, &page, err))
                return false;
            if (kv->page_bytes != 0)
                memcpy(kv->data + page * kv->page_bytes, kv->data + *last * kv->page_bytes, kv->page_bytes);
            drop_page(kv, *last);
            *last = page;
        }
    }
    for (uint32_t want = pages_for(s->len + n); s->n_pages < want; s->n_pages++)
        if (!take_page(kv, &row[s->n_pages], err))
            return false;
    return true;
}

void cv_kv_abandon(struct cv_kv *kv, uint32_t slot)
{
    keep_pages(kv, slot, pages_for(kv->slot[slot].len));
}

void cv_kv_advance(struct cv_kv *kv, uint32_t slot, uint32_t n)
{
    kv->slot[slot].len += n;
}

bool cv_kv_check(const struct cv_kv *kv)
{
    uint64_t named = 0, refs = 0;
    uint32_t idle = 0;
    for (uint32_t s = 0; s < kv->spec.n_slots; s++) {
        const struct cv_kv_slot *slot = &kv->slot[s];
        if (slot->n_pages > kv->pages_per_slot || slot->n_pages < pages_for(slot->len) ||
            (!slot->used && slot->n_pages != 0))
            return false;
        for (uint32_t i = 0; i < slot->n_pages; i++)
            if (row_of(kv, s)[i] >= kv->n_pages || kv->refs[row_of(kv, s)[i]] == 0)
                return false;
        named += slot->n_pages;
    }
    for (uint32_t p = 0; p < kv->n_pages; p++) {
        refs += kv->refs[p];
        idle += kv->refs[p] == 0;
    }
    for (uint32_t i = 0; i < kv->n_free; i++)
        if (kv->refs[kv->free_page[i]] != 0)
            return false;
    return named == refs && idle == kv->n_free;
}
