/* cache_dir.c - where the cache is, and its files. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "registry-mirror/internal.h"
#include "registry-mirror/layer_cache.h"

enum { PATH_BYTES = 4096 };

bool cv_cache_dir(char *out, size_t out_size)
{
    static const char *const variable[] = {"CARAVAN_CACHE", "XDG_CACHE_HOME", "HOME"};
    static const char *const behind[] = {"", "/caravan", "/.cache/caravan"};
    for (size_t i = 0; i < CV_COUNT(variable); i++) {
        const char *v = getenv(variable[i]);
        if (v == NULL || v[0] == '\0')
            continue;
        int n = snprintf(out, out_size, "%s%s", v, behind[i]);
        return n > 0 && (size_t)n < out_size;
    }
    return false;
}

bool cv_make_dirs(const char *path, struct cv_error *err)
{
    char part[PATH_BYTES];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof(part))
        return cv_fail(err, CV_ERR_ARG, "folder name of %zu bytes", n);
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        const char was = part[i];
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return cv_fail_errno(err, errno, "make folder %s", part);
        part[i] = was;
    }
    return true;
}

bool cv_read_file(const char *path, struct cv_buf *out, struct cv_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cv_fail_errno(err, errno, "%s", path);
    char block[65536];
    ssize_t n;
    bool ok = true;
    while (ok && (n = read(fd, block, sizeof(block))) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            ok = cv_fail_errno(err, errno, "read %s", path);
        else if (!cv_buf_append(out, block, (size_t)n))
            ok = cv_fail(err, CV_ERR_LIMIT, "%s: more than %zu bytes", path, out->max);
    }
    close(fd);
    return ok;
}

static bool write_all(int fd, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, data, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return false;
        data += done;
        n -= (size_t)done;
    }
    return true;
}

bool cv_replace_file(const char *dir, const char *name, const void *data, size_t n, struct cv_error *err)
{
    char path[PATH_BYTES], beside[PATH_BYTES];
    int a = snprintf(path, sizeof(path), "%s/%s", dir, name);
    int b = snprintf(beside, sizeof(beside), "%s/.%s.%ld", dir, name, (long)getpid());
    if (a < 0 || b < 0 || (size_t)a >= sizeof(path) || (size_t)b >= sizeof(beside))
        return cv_fail(err, CV_ERR_ARG, "folder name too long");
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return cv_fail_errno(err, errno, "make %s", beside);
    bool ok = write_all(fd, data, n) && fsync(fd) == 0;
    int saved = errno;
    if (close(fd) != 0 && ok) {
        saved = errno;
        ok = false;
    }
    if (ok && rename(beside, path) != 0) {
        saved = errno;
        ok = false;
    }
    if (!ok) {
        (void)unlink(beside);
        return cv_fail_errno(err, saved, "write %s", path);
    }
    int folder = open(dir, O_RDONLY | O_CLOEXEC); /* the new name survives a power cut, too */
    if (folder >= 0) {
        (void)fsync(folder);
        close(folder);
    }
    return true;
}

bool cv_pread_all(int fd, void *out, size_t n, uint64_t offset, const char *path, struct cv_error *err)
{
    char *at = out;
    while (n > 0) {
        ssize_t done = pread(fd, at, n, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return cv_fail_errno(err, errno, "read %s", path);
        if (done == 0)
            return cv_fail(err, CV_ERR_FORMAT, "%s: ends at byte %llu, more was expected", path,
                           (unsigned long long)offset);
        at += done;
        n -= (size_t)done;
        offset += (uint64_t)done;
    }
    return true;
}

bool cv_hash_job_init(struct cv_hash_job *j, struct cv_error *err)
{
    *j = (struct cv_hash_job){.hash = cv_sha256_new(), .buffer = cv_alloc(1 << 20), .buffer_bytes = 1 << 20};
    if (j->hash != NULL && j->buffer != NULL)
        return true;
    cv_hash_job_fini(j);
    return cv_fail(err, CV_ERR_NOMEM, "no memory for hashing");
}

void cv_hash_job_fini(struct cv_hash_job *j)
{
    cv_sha256_free(j->hash);
    cv_free(j->buffer);
    *j = (struct cv_hash_job){0};
}

bool cv_hash_range(struct cv_hash_job *j, int fd, uint64_t offset, uint64_t n, const char *path,
                   unsigned char out[CV_SHA256_BYTES], struct cv_error *err)
{
    bool ok = true;
    while (ok && n > 0) {
        size_t piece = n < j->buffer_bytes ? (size_t)n : j->buffer_bytes;
        ok = cv_pread_all(fd, j->buffer, piece, offset, path, err);
        if (!ok)
            break;
        cv_sha256_update(j->hash, j->buffer, piece);
        offset += piece;
        n -= piece;
        if (j->progress != NULL && !j->progress(j->ctx, piece))
            ok = cv_fail(err, CV_ERR_CANCEL, "%s: hashing was stopped", path);
    }
    cv_sha256_final(j->hash, out); /* also when it failed: ready for the next */
    return ok;
}
