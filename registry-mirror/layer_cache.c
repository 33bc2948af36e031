/*
 * layer_cache.c - plan what is missing, fetch it, check it, write down that it is there.
 *
 * Order on disk: bytes, fdatasync, map. So the map never claims what a power cut could take away.
 */
#include "registry-mirror/layer_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/size.h"
#include "net/http_client.h"
#include "registry-mirror/blob_server.h"
#include "registry-mirror/internal.h"
#include "registry-mirror/layer_map.h"

enum {
    CHUNK_BYTES = 4 << 20, /* one request */
    GAP_BYTES = 256,       /* two tensors so near are fetched in one: their alignment, rather than another request */
    SAVE_BYTES = 256 << 20 /* a crash loses at most so much */
};

struct mapped { /* a part's file as it was when it was mapped; stays until close, as pointers into it were given out */
    struct mapped *next;
    uint32_t part;
    struct cv_map map;
};

struct cv_layer_cache {
    char dir[4096];
    char model_hex[CV_SHA256_HEX];
    struct cv_layer_map map;
    int *fd; /* of each part; -1: not open */
    size_t n_fd;
    struct mapped *mapped;
};

static void part_path(const struct cv_layer_cache *c, uint32_t part, char *out, size_t size)
{
    snprintf(out, size, "%s/part-%u.bin", c->dir, part);
}

bool cv_layer_cache_open(struct cv_layer_cache **out, const char *dir, const unsigned char model[CV_SHA256_BYTES],
                         struct cv_error *err)
{
    struct cv_layer_cache *c = cv_zalloc(sizeof(*c));
    if (c == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for a layer cache");
    cv_hex_encode(model, CV_SHA256_BYTES, c->model_hex);
    int n = snprintf(c->dir, sizeof(c->dir), "%s/%s", dir, c->model_hex);
    bool ok = n > 0 && (size_t)n < sizeof(c->dir);
    if (!ok)
        cv_fail(err, CV_ERR_ARG, "folder name too long");
    ok = ok && cv_make_dirs(c->dir, err) && cv_layer_map_load(&c->map, c->dir, err);
    if (!ok) {
        cv_layer_cache_close(c);
        return cv_wrap(err, "layer cache");
    }
    *out = c;
    return true;
}

void cv_layer_cache_close(struct cv_layer_cache *c)
{
    if (c == NULL)
        return;
    while (c->mapped != NULL) {
        struct mapped *m = c->mapped;
        c->mapped = m->next;
        cv_map_close(&m->map);
        cv_free(m);
    }
    for (size_t i = 0; i < c->n_fd; i++) {
        if (c->fd[i] >= 0)
            close(c->fd[i]);
    }
    cv_free(c->fd);
    cv_layer_map_fini(&c->map);
    cv_free(c);
}

static bool open_part(struct cv_layer_cache *c, uint32_t part, int *out, struct cv_error *err)
{
    char path[4200];
    if (part >= CV_MAX_GGUF_PARTS)
        return cv_fail(err, CV_ERR_LIMIT, "part %u", part);
    if (part >= c->n_fd) {
        int *fd = cv_realloc(c->fd, (size_t)part + 1, sizeof(*fd));
        if (fd == NULL)
            return cv_fail(err, CV_ERR_NOMEM, "no memory for a layer cache");
        for (size_t i = c->n_fd; i <= part; i++)
            fd[i] = -1;
        c->fd = fd;
        c->n_fd = (size_t)part + 1;
    }
    if (c->fd[part] < 0) {
        part_path(c, part, path, sizeof(path));
        c->fd[part] = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (c->fd[part] < 0)
            return cv_fail_errno(err, errno, "open %s", path);
    }
    *out = c->fd[part];
    return true;
}

/* ---- one round of fetching, from one source ---- */

struct chunk {
    uint32_t part;
    uint64_t from, to;
};

struct round {
    struct cv_layer_cache *c;
    const struct cv_layer_ensure *what;
    const struct cv_layer_tensor **missing; /* sorted by part and offset */
    size_t n_missing;
    struct chunk *chunk;
    size_t n_chunk, cap_chunk;
    struct cv_hash_job hash;
    uint64_t all, there; /* bytes of the tensors asked for; what is there of them */
    uint64_t fetched, unsaved;
};

static int by_place(const void *a, const void *b)
{
    const struct cv_layer_tensor *x = *(const struct cv_layer_tensor *const *)a,
                                 *y = *(const struct cv_layer_tensor *const *)b;
    if (x->part != y->part)
        return x->part < y->part ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static bool add_chunk(struct round *r, uint32_t part, uint64_t from, uint64_t to)
{
    struct chunk *last = r->n_chunk != 0 ? &r->chunk[r->n_chunk - 1] : NULL;
    if (last != NULL && last->part == part && from >= last->to && from - last->to <= GAP_BYTES &&
        to - last->from <= CHUNK_BYTES) {
        last->to = to;
        return true;
    }
    if (r->n_chunk == r->cap_chunk) {
        size_t cap = r->cap_chunk != 0 ? r->cap_chunk * 2 : 64;
        struct chunk *more = cv_realloc(r->chunk, cap, sizeof(*more));
        if (more == NULL)
            return false;
        r->chunk = more;
        r->cap_chunk = cap;
    }
    r->chunk[r->n_chunk++] = (struct chunk){part, from, to};
    return true;
}

/* The gaps of every missing tensor, large ones in pieces. */
static bool plan(struct round *r, struct cv_error *err)
{
    r->n_chunk = 0;
    for (size_t i = 0; i < r->n_missing; i++) {
        const struct cv_layer_tensor *t = r->missing[i];
        const struct cv_intervals *have = cv_layer_map_part(&r->c->map, t->part);
        struct cv_interval gap;
        bool ok = have != NULL;
        for (uint64_t at = t->offset, end = t->offset + t->size_bytes; ok && cv_intervals_gap(have, at, end, &gap);
             at = gap.to) {
            for (uint64_t from = gap.from; ok && from < gap.to; from += CHUNK_BYTES)
                ok = add_chunk(r, t->part, from, gap.to - from < CHUNK_BYTES ? gap.to : from + CHUNK_BYTES);
        }
        if (!ok)
            return cv_fail(err, CV_ERR_NOMEM, "no memory for a layer cache");
    }
    return true;
}

static bool report(struct round *r)
{
    const struct cv_layer_ensure *w = r->what;
    uint64_t done = r->there < r->all ? r->there : r->all; /* gaps between tensors count for nothing */
    return w->progress == NULL || w->progress(w->ctx, done, r->all, r->fetched);
}

static bool sync_and_save(struct round *r, const struct cv_layer_tensor *const *without, size_t n, struct cv_error *err)
{
    for (size_t i = 0; i < r->c->n_fd; i++) {
        if (r->c->fd[i] >= 0 && fdatasync(r->c->fd[i]) != 0)
            return cv_fail_errno(err, errno, "write %s/part-%zu.bin", r->c->dir, i);
    }
    r->unsaved = 0;
    return cv_layer_map_save(&r->c->map, r->c->dir, without, n, err);
}

static bool on_data(void *ctx, size_t i, uint64_t offset, const void *data, size_t n, struct cv_error *err)
{
    struct round *r = ctx;
    const uint32_t part = r->chunk[i].part;
    const char *at = data;
    int fd = -1;
    if (!open_part(r->c, part, &fd, err))
        return false;
    r->fetched += n;
    r->there += n;
    while (n > 0) {
        ssize_t done = pwrite(fd, at, n, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && (errno == ENOSPC || errno == EDQUOT))
            return cv_fail(err, CV_ERR_IO, "disk full: %s", r->c->dir);
        if (done < 0)
            return cv_fail_errno(err, errno, "write %s/part-%u.bin", r->c->dir, part);
        at += done;
        offset += (uint64_t)done;
        n -= (size_t)done;
    }
    return report(r) || cv_fail(err, CV_ERR_CANCEL, "fetching was stopped");
}

static bool on_done(void *ctx, size_t i, struct cv_error *err)
{
    struct round *r = ctx;
    const struct chunk *k = &r->chunk[i];
    struct cv_intervals *have = cv_layer_map_part(&r->c->map, k->part);
    if (have == NULL || !cv_intervals_add(have, k->from, k->to))
        return cv_fail(err, CV_ERR_NOMEM, "no memory for a layer cache");
    r->unsaved += k->to - k->from;
    return r->unsaved < SAVE_BYTES || sync_and_save(r, NULL, 0, err);
}

static bool check_room(struct round *r, struct cv_error *err)
{
    struct statvfs fs;
    uint64_t need = 0;
    char a[CV_SIZE_TEXT], b[CV_SIZE_TEXT];
    for (size_t i = 0; i < r->n_chunk; i++)
        need += r->chunk[i].to - r->chunk[i].from;
    if (statvfs(r->c->dir, &fs) != 0)
        return true; /* then the write will say it */
    uint64_t room = (uint64_t)fs.f_bavail * (uint64_t)fs.f_frsize;
    return room >= need || cv_fail(err, CV_ERR_IO, "disk full: %s has %s free, %s are needed", r->c->dir,
                                   cv_size_format(room, a), cv_size_format(need, b));
}

static bool fetch(struct round *r, const char *source, struct cv_error *err)
{
    char(*url)[600] = NULL; /* of each part */
    const uint32_t n_part = r->chunk[r->n_chunk - 1].part + 1;
    struct cv_http_range *range = cv_calloc(r->n_chunk, sizeof(*range));
    url = cv_calloc(n_part, sizeof(*url));
    bool ok = range != NULL && url != NULL;
    if (!ok)
        cv_fail(err, CV_ERR_NOMEM, "no memory for a layer cache");
    for (uint32_t p = 0; ok && p < n_part; p++)
        ok = cv_blob_url(url[p], sizeof(*url), source, r->c->model_hex, p) ||
             cv_fail(err, CV_ERR_ARG, "source '%.100s...' is too long", source);
    for (size_t i = 0; ok && i < r->n_chunk; i++)
        range[i] = (struct cv_http_range){url[r->chunk[i].part], r->chunk[i].from, r->chunk[i].to - r->chunk[i].from};
    struct cv_http_ranges_options o = {.n_connections = r->what->n_connections,
                                       .on_data = on_data,
                                       .on_done = on_done,
                                       .ctx = r,
                                       .cancel = r->what->cancel};
    ok = ok && cv_http_fetch_ranges(range, r->n_chunk, &o, NULL, err);
    cv_free(range);
    cv_free(url);
    return ok;
}

/* Checks every missing tensor whose bytes are all there. What is right is not missing any more; of what is wrong the
 * last one is named in err. true unless checking itself failed. */
static bool check(struct round *r, const char *source, bool *some_wrong, struct cv_error *err)
{
    size_t n_still = 0, n_wrong = 0;
    const struct cv_layer_tensor **wrong = cv_calloc(r->n_missing, sizeof(*wrong));
    bool ok = wrong != NULL || cv_fail(err, CV_ERR_NOMEM, "no memory for a layer cache");
    for (size_t i = 0; ok && i < r->n_missing; i++) {
        const struct cv_layer_tensor *t = r->missing[i];
        const struct cv_intervals *have = cv_layer_map_part(&r->c->map, t->part);
        unsigned char sum[CV_SHA256_BYTES];
        int fd = -1;
        if (have == NULL || !cv_intervals_has(have, t->offset, t->offset + t->size_bytes)) {
            r->missing[n_still++] = t;
            continue;
        }
        struct cv_error why;
        ok = open_part(r->c, t->part, &fd, err);
        if (!ok)
            break;
        bool right = cv_hash_range(&r->hash, fd, t->offset, t->size_bytes, r->c->dir, sum, &why) &&
                     memcmp(sum, t->sha256, sizeof(sum)) == 0;
        if (right) {
            ok = cv_layer_map_set_checked(&r->c->map, t) || cv_fail(err, CV_ERR_NOMEM, "no memory for a layer cache");
            continue;
        }
        wrong[n_wrong++] = t;
        r->missing[n_still++] = t;
        r->there -= t->size_bytes < r->there ? t->size_bytes : r->there;
        cv_fail(err, CV_ERR_FORMAT, "tensor '%.100s' from %.200s has a wrong SHA-256", t->name, source);
        cv_log(CV_LOG_WARN, "layer cache: %s", err->msg);
    }
    if (ok) {
        r->n_missing = n_still;
        *some_wrong = n_wrong != 0;
        struct cv_error why;
        if (!sync_and_save(r, wrong, n_wrong, &why))
            ok = cv_fail(err, why.code, "%s", why.msg);
    }
    cv_free(wrong);
    return ok;
}

/* Not worth another source: it is our side that failed. */
static bool is_ours(enum cv_code code)
{
    return code == CV_ERR_CANCEL || code == CV_ERR_IO || code == CV_ERR_NOMEM || code == CV_ERR_ARG;
}

static bool try_sources(struct round *r, struct cv_error *err)
{
    struct cv_error why = {.code = CV_ERR_NOT_FOUND, .msg = "no source was named"};
    bool some_wrong = false;
    /* what an earlier run has fetched and not checked any more */
    if (r->n_missing != 0 && !check(r, "the cache", &some_wrong, &why))
        return cv_fail(err, why.code, "%s", why.msg);
    for (size_t s = 0; s < r->what->n_source && r->n_missing != 0; s++) {
        const char *source = r->what->source[s];
        if (!plan(r, &why) || !check_room(r, &why))
            return cv_fail(err, why.code, "%s", why.msg);
        bool fetched = r->n_chunk == 0 || fetch(r, source, &why);
        struct cv_error fault = why;
        if (!fetched && is_ours(fault.code)) {
            (void)sync_and_save(r, NULL, 0, NULL);
            return cv_fail(err, fault.code, "%s", fault.msg);
        }
        if (!fetched && s + 1 < r->what->n_source)
            cv_log(CV_LOG_WARN, "layer cache: %s; trying the next source", fault.msg);
        if (!check(r, source, &some_wrong, &why))
            return cv_fail(err, why.code, "%s", why.msg);
        if (!fetched)
            why = fault;
    }
    if (r->n_missing != 0 && why.code == CV_ERR_NOT_FOUND && r->what->n_source == 0)
        cv_fail(&why, CV_ERR_NOT_FOUND, "tensor '%.100s' is not in the cache, and no source was named",
                r->missing[0]->name);
    return r->n_missing == 0 || cv_fail(err, why.code, "%s", why.msg);
}

static bool begin(struct round *r, struct cv_error *err)
{
    r->missing = cv_calloc(r->what->n_tensor, sizeof(*r->missing));
    if (r->missing == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for a layer cache");
    /* another process may have been at work */
    if (!cv_layer_map_load(&r->c->map, r->c->dir, err))
        return false;
    for (size_t i = 0; i < r->what->n_tensor; i++) {
        const struct cv_layer_tensor *t = &r->what->tensor[i];
        uint64_t end = t->offset + t->size_bytes;
        if (t->part >= CV_MAX_GGUF_PARTS || end < t->offset || end > INT64_MAX)
            return cv_fail(err, CV_ERR_ARG, "tensor '%.100s': part %u, offset %llu, %llu bytes", t->name, t->part,
                           (unsigned long long)t->offset, (unsigned long long)t->size_bytes);
        r->all += t->size_bytes;
        if (cv_layer_map_find(&r->c->map, t) != NULL) {
            r->there += t->size_bytes;
            continue;
        }
        r->missing[r->n_missing++] = t;
        const struct cv_intervals *have = cv_layer_map_part(&r->c->map, t->part);
        struct cv_interval gap;
        uint64_t gaps = 0;
        for (uint64_t at = t->offset; have != NULL && cv_intervals_gap(have, at, end, &gap); at = gap.to)
            gaps += gap.to - gap.from;
        r->there += t->size_bytes - gaps;
    }
    qsort(r->missing, r->n_missing, sizeof(*r->missing), by_place);
    return cv_hash_job_init(&r->hash, err);
}

bool cv_layer_cache_ensure(struct cv_layer_cache *c, const struct cv_layer_ensure *what, uint64_t *fetched_bytes,
                           struct cv_error *err)
{
    struct round r = {.c = c, .what = what};
    bool ok =
        begin(&r, err) && (report(&r) || cv_fail(err, CV_ERR_CANCEL, "fetching was stopped")) && try_sources(&r, err);
    if (ok)
        (void)report(&r);
    if (fetched_bytes != NULL)
        *fetched_bytes = r.fetched;
    cv_hash_job_fini(&r.hash);
    cv_free(r.missing);
    cv_free(r.chunk);
    return ok || cv_wrap(err, "model %.12s", c->model_hex);
}

/* ---- reading ---- */

static const struct mapped *map_for(struct cv_layer_cache *c, const struct cv_layer_tensor *t)
{
    const uint64_t end = t->offset + t->size_bytes;
    for (const struct mapped *m = c->mapped; m != NULL; m = m->next) {
        if (m->part == t->part && m->map.len >= end)
            return m;
    }
    char path[4200];
    struct cv_error err;
    struct mapped *m = cv_zalloc(sizeof(*m));
    if (m == NULL)
        return NULL;
    part_path(c, t->part, path, sizeof(path));
    if (!cv_map_open(&m->map, path, &err) || m->map.len < end) {
        cv_map_close(&m->map);
        cv_free(m);
        return NULL;
    }
    m->part = t->part;
    m->next = c->mapped;
    c->mapped = m;
    return m;
}

const void *cv_layer_cache_data(struct cv_layer_cache *c, const struct cv_layer_tensor *t)
{
    if (cv_layer_map_find(&c->map, t) == NULL)
        return NULL;
    if (t->size_bytes == 0)
        return "";
    const struct mapped *m = map_for(c, t);
    return m != NULL ? m->map.data + t->offset : NULL;
}

void cv_layer_cache_drop_pages(struct cv_layer_cache *c, const struct cv_layer_tensor *t)
{
    for (const struct mapped *m = c->mapped; m != NULL; m = m->next) {
        if (m->part == t->part && m->map.len >= t->offset + t->size_bytes)
            cv_map_drop(&m->map, (size_t)t->offset, (size_t)t->size_bytes);
    }
}

/* ---- what is held ---- */

bool cv_layer_cache_list(const char *dir, struct cv_layer_held **out, size_t *n, struct cv_error *err)
{
    struct cv_layer_held *list = NULL;
    size_t len = 0, cap = 0;
    bool ok = true;
    DIR *d = opendir(dir);
    if (d == NULL && errno != ENOENT)
        return cv_fail_errno(err, errno, "read %s", dir);
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; ok && e != NULL && len < CV_MAX_HELD_MODELS;
         e = readdir(d)) {
        struct cv_layer_held held = {.bytes = 0};
        struct cv_layer_map map = {0};
        char path[4600];
        if (strlen(e->d_name) != CV_SHA256_HEX - 1 ||
            !cv_hex_decode(e->d_name, CV_SHA256_HEX - 1, held.model, sizeof(held.model)))
            continue;
        snprintf(path, sizeof(path), "%.4000s/%s", dir, e->d_name);
        ok = cv_layer_map_load(&map, path, err);
        for (size_t i = 0; i < map.n_checked; i++)
            held.bytes += map.checked[i].size_bytes;
        cv_layer_map_fini(&map);
        if (!ok || held.bytes == 0)
            continue;
        if (len == cap) {
            cap = cap != 0 ? cap * 2 : 8;
            struct cv_layer_held *more = cv_realloc(list, cap, sizeof(*list));
            ok = more != NULL || cv_fail(err, CV_ERR_NOMEM, "no memory for a list");
            list = more != NULL ? more : list;
        }
        if (ok)
            list[len++] = held;
    }
    if (d != NULL)
        closedir(d);
    if (!ok) {
        cv_free(list);
        return false;
    }
    *out = list;
    *n = len;
    return true;
}
