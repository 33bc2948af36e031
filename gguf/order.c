/* order.c - keys and names in order, for lookups whose worst case a hostile file cannot choose. */
#include <string.h>

#include "gguf/internal.h"

static void sift_down(uint32_t *item, size_t root, size_t n, cv_order_less *less, const void *ctx)
{
    for (size_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && less(ctx, item[child], item[child + 1]))
            child++;
        if (!less(ctx, item[root], item[child]))
            return;
        const uint32_t t = item[root];
        item[root] = item[child];
        item[child] = t;
    }
}

void cv_order_sort(uint32_t *item, size_t n, cv_order_less *less, const void *ctx)
{
    for (size_t i = n / 2; i > 0; i--)
        sift_down(item, i - 1, n, less, ctx);
    for (size_t end = n; end > 1; end--) {
        const uint32_t t = item[0];
        item[0] = item[end - 1];
        item[end - 1] = t;
        sift_down(item, 0, end - 1, less, ctx);
    }
}

static int compare_str(const char *a, size_t a_len, const char *b, size_t b_len)
{
    const int c = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return c != 0 ? c : a_len < b_len ? -1 : a_len > b_len;
}

static int compare_keys(const struct cv_gguf *g, uint32_t a, uint32_t b)
{
    return compare_str(g->kv[a].key.p, g->kv[a].key.n, g->kv[b].key.p, g->kv[b].key.n);
}

/* Equal names keep the order of the file, so that the later one is found to be the duplicate. */
static bool key_less(const void *ctx, uint32_t a, uint32_t b)
{
    const int c = compare_keys(ctx, a, b);
    return c != 0 ? c < 0 : a < b;
}

static bool tensor_less(const void *ctx, uint32_t a, uint32_t b)
{
    const struct cv_gguf *g = ctx;
    const int c = strcmp(g->tensor[a].name, g->tensor[b].name);
    return c != 0 ? c < 0 : a < b;
}

bool cv_gguf_build_index(struct cv_gguf *g, struct cv_arena *arena, size_t *dup_kv, size_t *dup_tensor)
{
    struct cv_gguf_index *index = cv_arena_zalloc(arena, sizeof(*index));
    if (index == NULL)
        return false;
    index->kv = cv_arena_calloc(arena, g->n_kv + 1, sizeof(*index->kv));
    index->tensor = cv_arena_calloc(arena, g->n_tensor + 1, sizeof(*index->tensor));
    if (index->kv == NULL || index->tensor == NULL)
        return false;
    for (size_t i = 0; i < g->n_kv; i++)
        index->kv[i] = (uint32_t)i;
    for (size_t i = 0; i < g->n_tensor; i++)
        index->tensor[i] = (uint32_t)i;
    cv_order_sort(index->kv, g->n_kv, key_less, g);
    cv_order_sort(index->tensor, g->n_tensor, tensor_less, g);
    *dup_kv = *dup_tensor = SIZE_MAX;
    for (size_t i = 1; i < g->n_kv; i++)
        if (index->kv[i] < *dup_kv && compare_keys(g, index->kv[i - 1], index->kv[i]) == 0)
            *dup_kv = index->kv[i];
    for (size_t i = 1; i < g->n_tensor; i++)
        if (index->tensor[i] < *dup_tensor &&
            strcmp(g->tensor[index->tensor[i - 1]].name, g->tensor[index->tensor[i]].name) == 0)
            *dup_tensor = index->tensor[i];
    g->index = index;
    return true;
}

const struct cv_gguf_kv *cv_gguf_find(const struct cv_gguf *g, const char *key)
{
    const struct cv_gguf_index *index = g->index;
    const size_t len = strlen(key);
    for (size_t low = 0, high = g->n_kv; low < high;) {
        const size_t middle = low + (high - low) / 2;
        const struct cv_gguf_kv *kv = &g->kv[index->kv[middle]];
        const int c = compare_str(key, len, kv->key.p, kv->key.n);
        if (c == 0)
            return kv;
        if (c < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const struct cv_gguf_tensor *cv_gguf_tensor(const struct cv_gguf *g, const char *name)
{
    const struct cv_gguf_index *index = g->index;
    for (size_t low = 0, high = g->n_tensor; low < high;) {
        const size_t middle = low + (high - low) / 2;
        const struct cv_gguf_tensor *t = &g->tensor[index->tensor[middle]];
        const int c = strcmp(name, t->name);
        if (c == 0)
            return t;
        if (c < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
