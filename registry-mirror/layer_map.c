#include "registry-mirror/layer_map.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "registry-mirror/internal.h"

static const char first_line[] = "caravan layer map 1";

/* Room for every tensor of the largest model. */
enum { MAX_MAP_BYTES = 64 << 20 };

void cv_layer_map_fini(struct cv_layer_map *m)
{
    for (size_t i = 0; i < m->n_part; i++)
        cv_intervals_fini(&m->have[i]);
    cv_free(m->have);
    cv_free(m->checked);
    *m = (struct cv_layer_map){0};
}

struct cv_intervals *cv_layer_map_part(struct cv_layer_map *m, uint32_t part)
{
    if (part >= CV_MAX_GGUF_PARTS)
        return NULL;
    if (part >= m->n_part) {
        struct cv_intervals *have = cv_realloc(m->have, (size_t)part + 1, sizeof(*have));
        if (have == NULL)
            return NULL;
        memset(have + m->n_part, 0, (part + 1 - m->n_part) * sizeof(*have));
        m->have = have;
        m->n_part = (size_t)part + 1;
    }
    return &m->have[part];
}

/* Where (part, offset) stands or would stand. */
static size_t place(const struct cv_layer_map *m, uint32_t part, uint64_t offset)
{
    size_t low = 0, high = m->n_checked;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct cv_checked *c = &m->checked[mid];
        if (c->part < part || (c->part == part && c->offset < offset))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const struct cv_checked *cv_layer_map_find(const struct cv_layer_map *m, const struct cv_layer_tensor *t)
{
    size_t i = place(m, t->part, t->offset);
    const struct cv_checked *c = i < m->n_checked ? &m->checked[i] : NULL;
    bool same = c != NULL && c->part == t->part && c->offset == t->offset && c->size_bytes == t->size_bytes &&
                memcmp(c->sha256, t->sha256, CV_SHA256_BYTES) == 0;
    return same ? c : NULL;
}

static bool set_checked(struct cv_layer_map *m, const struct cv_checked *c)
{
    size_t i = place(m, c->part, c->offset);
    if (i < m->n_checked && m->checked[i].part == c->part && m->checked[i].offset == c->offset) {
        m->checked[i] = *c;
        return true;
    }
    if (m->n_checked == m->cap_checked) {
        size_t cap = m->cap_checked != 0 ? m->cap_checked * 2 : 64;
        struct cv_checked *more = cv_realloc(m->checked, cap, sizeof(*more));
        if (more == NULL)
            return false;
        m->checked = more;
        m->cap_checked = cap;
    }
    memmove(m->checked + i + 1, m->checked + i, (m->n_checked - i) * sizeof(*m->checked));
    m->checked[i] = *c;
    m->n_checked++;
    return true;
}

bool cv_layer_map_set_checked(struct cv_layer_map *m, const struct cv_layer_tensor *t)
{
    struct cv_checked c = {.part = t->part, .offset = t->offset, .size_bytes = t->size_bytes};
    memcpy(c.sha256, t->sha256, sizeof(c.sha256));
    return set_checked(m, &c);
}

bool cv_layer_map_forget(struct cv_layer_map *m, const struct cv_layer_tensor *t)
{
    struct cv_intervals *have = cv_layer_map_part(m, t->part);
    if (have == NULL || !cv_intervals_remove(have, t->offset, t->offset + t->size_bytes))
        return false;
    size_t i = place(m, t->part, t->offset);
    if (i < m->n_checked && m->checked[i].part == t->part && m->checked[i].offset == t->offset) {
        memmove(m->checked + i, m->checked + i + 1, (m->n_checked - i - 1) * sizeof(*m->checked));
        m->n_checked--;
    }
    return true;
}

/* ---- on disk ---- */

static bool number(char **s, uint64_t most, uint64_t *out)
{
    char *end;
    if (**s != ' ' || (*s)[1] < '0' || (*s)[1] > '9')
        return false;
    errno = 0;
    unsigned long long v = strtoull(*s + 1, &end, 10);
    if (errno != 0 || v > most)
        return false;
    *s = end;
    *out = v;
    return true;
}

enum line { LINE_GOOD, LINE_BAD, LINE_NOMEM };

static enum line read_line(struct cv_layer_map *m, char *s)
{
    uint64_t part, a, b;
    bool is_have = strncmp(s, "have ", 5) == 0, is_tensor = strncmp(s, "tensor ", 7) == 0;
    if (!is_have && !is_tensor)
        return LINE_BAD;
    s += is_have ? 4 : 6;
    if (!number(&s, CV_MAX_GGUF_PARTS - 1, &part) || !number(&s, INT64_MAX, &a) || !number(&s, INT64_MAX, &b))
        return LINE_BAD;
    if (is_have) {
        if (*s != '\0' || a >= b)
            return LINE_BAD;
        struct cv_intervals *have = cv_layer_map_part(m, (uint32_t)part);
        return have != NULL && cv_intervals_add(have, a, b) ? LINE_GOOD : LINE_NOMEM;
    }
    struct cv_checked c = {.part = (uint32_t)part, .offset = a, .size_bytes = b};
    if (*s != ' ' || !cv_hex_decode(s + 1, strlen(s + 1), c.sha256, sizeof(c.sha256)))
        return LINE_BAD;
    return set_checked(m, &c) ? LINE_GOOD : LINE_NOMEM;
}

bool cv_layer_map_load(struct cv_layer_map *m, const char *dir, struct cv_error *err)
{
    char path[4200];
    struct cv_buf b;
    struct cv_error why;
    struct cv_layer_map read = {0};
    snprintf(path, sizeof(path), "%s/map", dir);
    cv_buf_init(&b, MAX_MAP_BYTES);
    if (!cv_read_file(path, &b, &why)) {
        cv_buf_fini(&b);
        if (why.code != CV_ERR_NOT_FOUND)
            cv_log(CV_LOG_WARN, "layer cache: %s", why.msg);
        return true;
    }
    enum line result = b.len > 0 && b.data[b.len - 1] == '\n' && strlen(b.data) == b.len ? LINE_GOOD : LINE_BAD;
    bool first = true;
    for (char *s = b.data, *end; result == LINE_GOOD && *s != '\0'; s = end + 1) {
        end = strchr(s, '\n');
        *end = '\0';
        if (first)
            result = strcmp(s, first_line) == 0 ? LINE_GOOD : LINE_BAD;
        else
            result = read_line(&read, s);
        first = false;
    }
    cv_buf_fini(&b);
    if (result == LINE_BAD)
        cv_log(CV_LOG_WARN, "layer cache: %s is damaged; what it listed is fetched again", path);
    /* all of it or nothing */
    for (size_t p = 0; result == LINE_GOOD && p < read.n_part; p++) {
        for (size_t i = 0; result == LINE_GOOD && i < read.have[p].n; i++) {
            struct cv_intervals *have = cv_layer_map_part(m, (uint32_t)p);
            if (have == NULL || !cv_intervals_add(have, read.have[p].at[i].from, read.have[p].at[i].to))
                result = LINE_NOMEM;
        }
    }
    for (size_t i = 0; result == LINE_GOOD && i < read.n_checked; i++) {
        if (!set_checked(m, &read.checked[i]))
            result = LINE_NOMEM;
    }
    cv_layer_map_fini(&read);
    return result != LINE_NOMEM || cv_fail(err, CV_ERR_NOMEM, "no memory for the map of a layer cache");
}

static bool print(const struct cv_layer_map *m, struct cv_buf *b)
{
    char hex[CV_SHA256_HEX];
    bool ok = cv_buf_printf(b, "%s\n", first_line);
    for (size_t p = 0; ok && p < m->n_part; p++) {
        for (size_t i = 0; ok && i < m->have[p].n; i++)
            ok = cv_buf_printf(b, "have %zu %" PRIu64 " %" PRIu64 "\n", p, m->have[p].at[i].from, m->have[p].at[i].to);
    }
    for (size_t i = 0; ok && i < m->n_checked; i++) {
        const struct cv_checked *c = &m->checked[i];
        cv_hex_encode(c->sha256, sizeof(c->sha256), hex);
        ok = cv_buf_printf(b, "tensor %u %" PRIu64 " %" PRIu64 " %s\n", c->part, c->offset, c->size_bytes, hex);
    }
    return ok;
}

bool cv_layer_map_save(struct cv_layer_map *m, const char *dir, const struct cv_layer_tensor *const *without, size_t n,
                       struct cv_error *err)
{
    char path[4200];
    struct cv_buf b;
    snprintf(path, sizeof(path), "%s/lock", dir);
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0)
        return cv_fail_errno(err, errno, "make %s", path);
    while (flock(lock, LOCK_EX) != 0 && errno == EINTR)
        ;
    cv_buf_init(&b, MAX_MAP_BYTES);
    bool ok = cv_layer_map_load(m, dir, err);
    for (size_t i = 0; ok && i < n; i++) {
        if (!cv_layer_map_forget(m, without[i]))
            ok = cv_fail(err, CV_ERR_NOMEM, "no memory for the map of a layer cache");
    }
    if (ok && !print(m, &b))
        ok = cv_fail(err, CV_ERR_NOMEM, "no memory for the map of a layer cache");
    ok = ok && cv_replace_file(dir, "map", b.data, b.len, err);
    cv_buf_fini(&b);
    close(lock);
    return ok;
}
