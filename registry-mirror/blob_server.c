#include "registry-mirror/blob_server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static const char prefix[] = "/blobs/sha256-";

struct part {
    int fd;
    uint64_t size;
    char etag[CV_SHA256_HEX + 24];
};

struct cv_blob_server {
    char id_hex[CV_SHA256_HEX];
    struct part *part;
    size_t n_part;
};

bool cv_blob_server_new(struct cv_blob_server **out, const struct cv_model *m, const struct cv_model_digest *d,
                        struct cv_error *err)
{
    struct cv_blob_server *b = cv_zalloc(sizeof(*b));
    if (b != NULL)
        b->part = cv_calloc(m->n_part, sizeof(*b->part));
    if (b == NULL || b->part == NULL) {
        cv_blob_server_free(b);
        return cv_fail(err, CV_ERR_NOMEM, "no memory for a blob server");
    }
    memcpy(b->id_hex, d->id_hex, sizeof(b->id_hex));
    for (size_t i = 0; i < m->n_part; i++) {
        struct part *p = &b->part[i];
        struct stat st;
        p->fd = open(m->part[i].path, O_RDONLY | O_CLOEXEC);
        if (p->fd < 0 || fstat(p->fd, &st) != 0) {
            cv_fail_errno(err, errno, "%s", m->part[i].path);
            b->n_part = p->fd < 0 ? i : i + 1;
            cv_blob_server_free(b);
            return false;
        }
        p->size = (uint64_t)st.st_size;
        snprintf(p->etag, sizeof(p->etag), "\"%s-%zu\"", b->id_hex, i);
    }
    b->n_part = m->n_part;
    *out = b;
    return true;
}

void cv_blob_server_free(struct cv_blob_server *b)
{
    if (b == NULL)
        return;
    for (size_t i = 0; i < b->n_part; i++)
        close(b->part[i].fd);
    cv_free(b->part);
    cv_free(b);
}

/* <hex>/part/<n>; NULL: not one of ours. */
static const struct part *find(const struct cv_blob_server *b, const char *name)
{
    static const char middle[] = "/part/";
    const size_t hex = CV_SHA256_HEX - 1;
    if (strncmp(name, b->id_hex, hex) != 0 || strncmp(name + hex, middle, sizeof(middle) - 1) != 0)
        return NULL;
    const char *digit = name + hex + sizeof(middle) - 1;
    size_t n = 0;
    if (*digit == '\0' || strlen(digit) > 5)
        return NULL;
    for (; *digit != '\0'; digit++) {
        if (*digit < '0' || *digit > '9')
            return NULL;
        n = n * 10 + (size_t)(*digit - '0');
    }
    return n < b->n_part ? &b->part[n] : NULL;
}

bool cv_blob_server_handle(struct cv_blob_server *b, struct cv_http_request *r)
{
    const char *path = cv_http_path(r);
    if (strncmp(path, "/blobs/", 7) != 0)
        return false;
    if (cv_http_method(r) != CV_HTTP_GET && cv_http_method(r) != CV_HTTP_HEAD) {
        cv_http_add_header(r, "Allow", "GET, HEAD");
        cv_http_reply(r, 405, "text/plain", "a blob is read with GET\n", 24);
        return true;
    }
    const struct part *p = strncmp(path, prefix, sizeof(prefix) - 1) == 0 ? find(b, path + sizeof(prefix) - 1) : NULL;
    if (p == NULL) {
        struct cv_error err;
        cv_fail(&err, CV_ERR_NOT_FOUND, "no blob at %.200s", path);
        cv_http_reply_error(r, &err);
        return true;
    }
    cv_http_reply_file(r, p->fd, p->size, "application/octet-stream", p->etag);
    return true;
}

bool cv_blob_url(char *out, size_t out_size, const char *base, const char *model_hex, uint32_t part)
{
    size_t n = strlen(base);
    while (n > 0 && base[n - 1] == '/')
        n--;
    int len = snprintf(out, out_size, "%.*s%s%s/part/%u", (int)n, base, prefix, model_hex, part);
    return len > 0 && (size_t)len < out_size;
}
