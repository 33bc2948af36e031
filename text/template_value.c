/* template_value.c - making values: contexts, strings, lists, maps with their hash index. */
#include "text/template_value.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/utf8.h"

enum { SMALL_MAP = 8 /* up to here a search in order is quicker than a hash */ };

bool cv_values_init(struct cv_values *v, size_t max_bytes, struct cv_error *err)
{
    *v = (struct cv_values){.arena.max_bytes = max_bytes};
    if (!cv_random_bytes(v->key, sizeof(v->key)))
        return cv_fail(err, CV_ERR_INTERNAL, "no random bytes");
    return true;
}

void cv_values_fini(struct cv_values *v)
{
    cv_arena_fini(&v->arena);
}

bool cv_values_new(struct cv_values **out, size_t max_bytes, struct cv_error *err)
{
    struct cv_values *v = cv_zalloc(sizeof(*v));
    if (v == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "out of memory");
    if (!cv_values_init(v, max_bytes, err)) {
        cv_free(v);
        return false;
    }
    *out = v;
    return true;
}

void cv_values_free(struct cv_values *v)
{
    if (v != NULL)
        cv_values_fini(v);
    cv_free(v);
}

/* SipHash: Aumasson & Bernstein 2012, one and three rounds. Keys of maps are a client's choice. */

static uint64_t rotl(uint64_t x, int b)
{
    return x << b | x >> (64 - b);
}

static void sip_round(uint64_t s[4])
{
    s[0] += s[1];
    s[1] = rotl(s[1], 13) ^ s[0];
    s[0] = rotl(s[0], 32);
    s[2] += s[3];
    s[3] = rotl(s[3], 16) ^ s[2];
    s[0] += s[3];
    s[3] = rotl(s[3], 21) ^ s[0];
    s[2] += s[1];
    s[1] = rotl(s[1], 17) ^ s[2];
    s[2] = rotl(s[2], 32);
}

uint64_t cv_values_hash(const uint64_t key[2], const void *data, size_t n)
{
    uint64_t s[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u,
                     key[1] ^ 0x7465646279746573u};
    const unsigned char *p = data;
    size_t left = n;
    for (;;) {
        uint64_t word = 0;
        const size_t take = left < 8 ? left : 8;
        for (size_t i = 0; i < take; i++)
            word |= (uint64_t)p[i] << 8 * i;
        if (take < 8)
            word |= (uint64_t)n << 56;
        s[3] ^= word;
        sip_round(s);
        s[0] ^= word;
        if (take < 8)
            break;
        p += 8;
        left -= 8;
    }
    s[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(s);
    return s[0] ^ s[1] ^ s[2] ^ s[3];
}

struct cv_value cv_value_null(void)
{
    return (struct cv_value){.type = CV_VALUE_NULL};
}

struct cv_value cv_value_bool(bool b)
{
    return (struct cv_value){.type = CV_VALUE_BOOL, .as.i = b};
}

struct cv_value cv_value_int(int64_t i)
{
    return (struct cv_value){.type = CV_VALUE_INT, .as.i = i};
}

struct cv_value cv_value_double(double d)
{
    return (struct cv_value){.type = CV_VALUE_DOUBLE, .as.d = d};
}

struct cv_value cv_value_str_view(const char *s, size_t n)
{
    return (struct cv_value){.type = CV_VALUE_STRING, .len = (uint32_t)n, .as.s = s};
}

struct cv_value cv_value_cstr(const char *s)
{
    return cv_value_str_view(s, strlen(s));
}

bool cv_value_str_is(struct cv_value v, const char *s)
{
    return v.type == CV_VALUE_STRING && v.len == strlen(s) && memcmp(v.as.s, s, v.len) == 0;
}

bool cv_value_string(struct cv_value *out, struct cv_values *v, const char *s, size_t n, struct cv_error *err)
{
    if (n >= UINT32_MAX)
        return cv_fail(err, CV_ERR_LIMIT, "a string of %zu bytes is too long", n);
    const size_t good = cv_utf8_valid_prefix(s, n);
    if (good != n)
        return cv_fail(err, CV_ERR_FORMAT, "byte %zu of a string is not UTF-8", good);
    char *copy = cv_arena_alloc(&v->arena, n);
    if (copy == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for a string of %zu bytes", n);
    if (n != 0)
        memcpy(copy, s, n);
    *out = cv_value_str_view(copy, n);
    return true;
}

bool cv_value_same_scalar(struct cv_value a, struct cv_value b)
{
    if (a.type == CV_VALUE_STRING || b.type == CV_VALUE_STRING)
        return a.type == b.type && a.len == b.len && (a.len == 0 || memcmp(a.as.s, b.as.s, a.len) == 0);
    if (cv_value_is_number(a) && cv_value_is_number(b)) {
        if (cv_value_is_int(a) && cv_value_is_int(b))
            return a.as.i == b.as.i;
        return cv_value_as_double(a) == cv_value_as_double(b);
    }
    return a.type == b.type && (a.type == CV_VALUE_NULL || a.type == CV_VALUE_UNDEFINED);
}

/* Room for one more of *items, which has n of size bytes each. The old block stays in the arena. */
static bool grow(struct cv_values *v, void **items, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap)
        return true;
    if (n > UINT32_MAX / 4)
        return false;
    const uint32_t want = *cap < 4 ? 4 : *cap * 2;
    void *p = cv_arena_calloc(&v->arena, want, size);
    if (p == NULL)
        return false;
    if (n != 0)
        memcpy(p, *items, n * size);
    *items = p;
    *cap = want;
    return true;
}

struct cv_list *cv_list_new(struct cv_values *v, size_t n)
{
    struct cv_list *l = cv_arena_zalloc(&v->arena, sizeof(*l));
    if (l == NULL || n > UINT32_MAX / 4)
        return NULL;
    l->ctx = v;
    if (n != 0) {
        l->item = cv_arena_calloc(&v->arena, n, sizeof(*l->item));
        if (l->item == NULL)
            return NULL;
        l->cap = (uint32_t)n;
    }
    return l;
}

bool cv_list_push(struct cv_list *l, struct cv_value item)
{
    void *items = l->item;
    if (!grow(l->ctx, &items, l->n, &l->cap, sizeof(item)))
        return false;
    l->item = items;
    l->item[l->n++] = item;
    return true;
}

struct cv_value cv_value_of_list(struct cv_list *l, int flavor)
{
    return (struct cv_value){.type = CV_VALUE_LIST, .flavor = (uint8_t)flavor, .as.list = l};
}

bool cv_value_list(struct cv_value *out, struct cv_values *v, struct cv_error *err)
{
    struct cv_list *l = cv_list_new(v, 0);
    if (l == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for a list");
    *out = cv_value_of_list(l, CV_LIST_LIST);
    return true;
}

bool cv_value_list_add(struct cv_value list, struct cv_value item, struct cv_error *err)
{
    if (list.type != CV_VALUE_LIST)
        return cv_fail(err, CV_ERR_ARG, "an item can only be added to a list");
    return cv_list_push(list.as.list, item) || cv_fail(err, CV_ERR_NOMEM, "no memory for item %u", list.as.list->n);
}

bool cv_value_hashable(struct cv_value v)
{
    return v.type <= CV_VALUE_STRING;
}

static uint64_t hash_of(const struct cv_map_value *m, struct cv_value key)
{
    if (key.type == CV_VALUE_STRING)
        return cv_values_hash(m->ctx->key, key.as.s, key.len);
    int64_t i = cv_value_is_int(key) ? key.as.i : 0;
    if (key.type == CV_VALUE_DOUBLE) {
        /* 1.0 and 1 are one key */
        if (key.as.d >= -0x1p62 && key.as.d <= 0x1p62 && key.as.d == floor(key.as.d))
            i = (int64_t)key.as.d;
        else
            return cv_values_hash(m->ctx->key, &key.as.d, sizeof(key.as.d));
    }
    return cv_values_hash(m->ctx->key, &i, sizeof(i));
}

struct cv_map_value *cv_map_value_new(struct cv_values *v, size_t n)
{
    struct cv_map_value *m = cv_arena_zalloc(&v->arena, sizeof(*m));
    if (m == NULL || n > UINT32_MAX / 4)
        return NULL;
    m->ctx = v;
    if (n != 0) {
        m->entry = cv_arena_calloc(&v->arena, n, sizeof(*m->entry));
        if (m->entry == NULL)
            return NULL;
        m->cap = (uint32_t)n;
    }
    return m;
}

const struct cv_map_entry *cv_map_value_find(const struct cv_map_value *m, struct cv_value key)
{
    if (m->index == NULL) {
        for (uint32_t i = 0; i < m->n; i++) {
            if (cv_value_same_scalar(m->entry[i].key, key))
                return &m->entry[i];
        }
        return NULL;
    }
    for (uint64_t h = hash_of(m, key);; h++) {
        const uint32_t at = m->index[h & (m->index_cap - 1)];
        if (at == 0)
            return NULL;
        if (cv_value_same_scalar(m->entry[at - 1].key, key))
            return &m->entry[at - 1];
    }
}

const struct cv_map_entry *cv_map_value_find_str(const struct cv_map_value *m, const char *s, size_t n)
{
    return cv_map_value_find(m, cv_value_str_view(s, n));
}

static void index_add(struct cv_map_value *m, uint32_t entry)
{
    uint64_t h = hash_of(m, m->entry[entry].key);
    while (m->index[h & (m->index_cap - 1)] != 0)
        h++;
    m->index[h & (m->index_cap - 1)] = entry + 1;
}

/* Keeps the index at most half full. */
static bool index_grow(struct cv_map_value *m)
{
    if (m->n < SMALL_MAP || (m->index != NULL && m->n < m->index_cap / 2))
        return true;
    const uint32_t cap = m->index == NULL ? 4 * SMALL_MAP : m->index_cap * 2;
    uint32_t *index = cv_arena_calloc(&m->ctx->arena, cap, sizeof(*index));
    if (index == NULL)
        return false;
    m->index = index;
    m->index_cap = cap;
    for (uint32_t i = 0; i < m->n; i++)
        index_add(m, i);
    return true;
}

bool cv_map_value_put(struct cv_map_value *m, struct cv_value key, struct cv_value item)
{
    const struct cv_map_entry *old = cv_map_value_find(m, key);
    if (old != NULL) {
        m->entry[old - m->entry].item = item;
        return true;
    }
    void *entries = m->entry;
    if (!grow(m->ctx, &entries, m->n, &m->cap, sizeof(*m->entry)))
        return false;
    m->entry = entries;
    if (!index_grow(m))
        return false;
    m->entry[m->n] = (struct cv_map_entry){key, item};
    m->n++;
    if (m->index != NULL)
        index_add(m, m->n - 1);
    return true;
}

struct cv_value cv_value_of_map(struct cv_map_value *m)
{
    return (struct cv_value){.type = CV_VALUE_MAP, .as.map = m};
}

bool cv_value_map(struct cv_value *out, struct cv_values *v, struct cv_error *err)
{
    struct cv_map_value *m = cv_map_value_new(v, 0);
    if (m == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for a map");
    *out = cv_value_of_map(m);
    return true;
}

bool cv_value_map_set(struct cv_value map, const char *key, struct cv_value item, struct cv_error *err)
{
    struct cv_value k;
    if (map.type != CV_VALUE_MAP)
        return cv_fail(err, CV_ERR_ARG, "a key can only be set in a map");
    if (!cv_value_string(&k, map.as.map->ctx, key, strlen(key), err))
        return cv_wrap(err, "key '%.40s'", key);
    return cv_map_value_put(map.as.map, k, item) || cv_fail(err, CV_ERR_NOMEM, "no memory for key '%.40s'", key);
}

struct cv_value cv_value_get(struct cv_value map, const char *key)
{
    if (map.type != CV_VALUE_MAP)
        return (struct cv_value){.type = CV_VALUE_UNDEFINED};
    const struct cv_map_entry *e = cv_map_value_find_str(map.as.map, key, strlen(key));
    return e == NULL ? (struct cv_value){.type = CV_VALUE_UNDEFINED} : e->item;
}
