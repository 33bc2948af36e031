#include "registry-mirror/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "registry-mirror/internal.h"

static const char first_line[] = "caravan digests 1\n";

struct job {
    const struct cv_model *m;
    struct cv_model_digest *d;
    int *fd;             /* of each part */
    unsigned char *head; /* SHA-256 of each part's header */
    struct cv_hash_job hash;
    cv_digest_progress *progress;
    void *ctx;
    uint64_t done, all;
};

/* ---- the list on disk ---- */

/* What changes when the file does. */
static bool key_of(const struct cv_model *m, char key[CV_SHA256_HEX], struct cv_error *err)
{
    struct cv_buf b;
    unsigned char sum[CV_SHA256_BYTES];
    bool ok = true;
    cv_buf_init(&b, (size_t)CV_MAX_GGUF_PARTS * 5000);
    for (size_t i = 0; ok && i < m->n_part; i++) {
        struct stat st;
        char *path = realpath(m->part[i].path, NULL);
        ok = path != NULL && stat(path, &st) == 0 &&
             cv_buf_printf(&b, "%s\n%lld %lld.%09ld %llu %llu\n", path, (long long)st.st_size,
                           (long long)st.st_mtim.tv_sec, (long)st.st_mtim.tv_nsec, (unsigned long long)st.st_ino,
                           (unsigned long long)st.st_dev);
        if (!ok)
            cv_fail_errno(err, path == NULL ? errno : ENOMEM, "%s", m->part[i].path);
        free(path);
    }
    if (ok && !cv_sha256_once(b.data != NULL ? b.data : "", b.len, sum))
        ok = cv_fail(err, CV_ERR_NOMEM, "no memory for hashing");
    cv_buf_fini(&b);
    if (ok)
        cv_hex_encode(sum, sizeof(sum), key);
    return ok;
}

/* first_line, identity, then a line per tensor. */
static bool read_list(struct cv_model_digest *d, const char *path)
{
    struct cv_buf b;
    const size_t line = CV_SHA256_HEX, want = sizeof(first_line) - 1 + line * (d->n_tensor + 1);
    cv_buf_init(&b, want);
    bool ok = cv_read_file(path, &b, NULL) && b.len == want && memcmp(b.data, first_line, sizeof(first_line) - 1) == 0;
    const char *at = ok ? b.data + sizeof(first_line) - 1 : NULL;
    ok = ok && cv_hex_decode(at, line - 1, d->id, CV_SHA256_BYTES);
    for (size_t i = 0; ok && i < d->n_tensor; i++) {
        at += line;
        ok = at[-1] == '\n' && cv_hex_decode(at, line - 1, d->tensor[i], CV_SHA256_BYTES);
    }
    cv_buf_fini(&b);
    return ok;
}

static void write_list(const struct cv_model_digest *d, const char *dir, const char *name)
{
    struct cv_buf b;
    struct cv_error err;
    char hex[CV_SHA256_HEX];
    cv_buf_init(&b, sizeof(first_line) + CV_SHA256_HEX * (d->n_tensor + 1));
    bool ok = cv_buf_puts(&b, first_line) && cv_buf_puts(&b, d->id_hex) && cv_buf_putc(&b, '\n');
    for (size_t i = 0; ok && i < d->n_tensor; i++) {
        cv_hex_encode(d->tensor[i], CV_SHA256_BYTES, hex);
        ok = cv_buf_puts(&b, hex) && cv_buf_putc(&b, '\n');
    }
    if (ok && (!cv_make_dirs(dir, &err) || !cv_replace_file(dir, name, b.data, b.len, &err)))
        cv_log(CV_LOG_WARN, "the list of digests is not kept: %s", err.msg);
    cv_buf_fini(&b);
}

/* ---- hashing ---- */

static bool on_progress(void *ctx, uint64_t more)
{
    struct job *j = ctx;
    j->done += more;
    return j->progress == NULL || j->progress(j->ctx, j->done, j->all);
}

static bool open_parts(struct job *j, struct cv_error *err)
{
    for (size_t i = 0; i < j->m->n_part; i++)
        j->fd[i] = -1;
    for (size_t i = 0; i < j->m->n_part; i++) {
        j->fd[i] = open(j->m->part[i].path, O_RDONLY | O_CLOEXEC);
        if (j->fd[i] < 0)
            return cv_fail_errno(err, errno, "%s", j->m->part[i].path);
        (void)posix_fadvise(j->fd[i], 0, 0, POSIX_FADV_SEQUENTIAL);
    }
    return true;
}

static bool hash_all(struct job *j, struct cv_error *err)
{
    const struct cv_gguf *g = j->m->gguf;
    for (size_t i = 0; i < j->m->n_part; i++)
        j->all += j->m->part[i].data_offset;
    for (size_t i = 0; i < g->n_tensor; i++)
        j->all += g->tensor[i].size_bytes;
    for (size_t i = 0; i < j->m->n_part; i++) {
        const struct cv_model_part *p = &j->m->part[i];
        if (!cv_hash_range(&j->hash, j->fd[i], 0, p->data_offset, p->path, j->head + i * CV_SHA256_BYTES, err))
            return false;
    }
    for (size_t i = 0; i < g->n_tensor; i++) {
        const struct cv_gguf_tensor *t = &g->tensor[i];
        const struct cv_model_part *p = &j->m->part[t->part];
        if (!cv_hash_range(&j->hash, j->fd[t->part], p->data_offset + t->offset, t->size_bytes, p->path,
                           j->d->tensor[i], err))
            return cv_wrap(err, "tensor '%.100s'", t->name);
    }
    cv_sha256_update(j->hash.hash, j->head, j->m->n_part * CV_SHA256_BYTES);
    cv_sha256_update(j->hash.hash, j->d->tensor, g->n_tensor * CV_SHA256_BYTES);
    cv_sha256_final(j->hash.hash, j->d->id);
    return true;
}

static bool run(struct job *j, struct cv_error *err)
{
    j->fd = cv_calloc(j->m->n_part, sizeof(*j->fd));
    j->head = cv_calloc(j->m->n_part, CV_SHA256_BYTES);
    if (j->fd == NULL || j->head == NULL) {
        cv_free(j->fd);
        cv_free(j->head);
        return cv_fail(err, CV_ERR_NOMEM, "no memory for hashing");
    }
    bool ok = open_parts(j, err) && cv_hash_job_init(&j->hash, err);
    if (ok) {
        j->hash.progress = on_progress;
        j->hash.ctx = j;
        ok = hash_all(j, err);
        cv_hash_job_fini(&j->hash);
    }
    for (size_t i = 0; i < j->m->n_part; i++) {
        if (j->fd[i] >= 0)
            close(j->fd[i]);
    }
    cv_free(j->fd);
    cv_free(j->head);
    return ok;
}

bool cv_model_digest_get(struct cv_model_digest **out, const struct cv_model *m, const char *cache_dir,
                         cv_digest_progress *progress, void *ctx, struct cv_error *err)
{
    char key[CV_SHA256_HEX] = "", dir[4096], path[4096 + CV_SHA256_HEX];
    struct cv_model_digest *d = cv_zalloc(sizeof(*d));
    if (d != NULL)
        d->tensor = cv_calloc(m->gguf->n_tensor, sizeof(*d->tensor));
    if (d == NULL || d->tensor == NULL) {
        cv_model_digest_free(d);
        return cv_fail(err, CV_ERR_NOMEM, "no memory for digests");
    }
    d->n_tensor = m->gguf->n_tensor;
    bool keep = cache_dir != NULL && snprintf(dir, sizeof(dir), "%s/digests", cache_dir) < (int)sizeof(dir);
    if (keep) {
        if (!key_of(m, key, err))
            goto fail;
        snprintf(path, sizeof(path), "%s/%s", dir, key);
        d->from_cache = read_list(d, path);
    }
    if (!d->from_cache) {
        struct job j = {.m = m, .d = d, .progress = progress, .ctx = ctx};
        if (!run(&j, err))
            goto fail;
    }
    cv_hex_encode(d->id, sizeof(d->id), d->id_hex);
    if (keep && !d->from_cache)
        write_list(d, dir, key);
    *out = d;
    return true;
fail:
    cv_model_digest_free(d);
    return false;
}

void cv_model_digest_free(struct cv_model_digest *d)
{
    if (d == NULL)
        return;
    cv_free(d->tensor);
    cv_free(d);
}
