/* http_file.c - files, whole or by Range, sent by the kernel. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/http_internal.h"

enum range { WHOLE, PART, OUTSIDE };

static bool read_number(const char **s, uint64_t *out)
{
    uint64_t v = 0;
    const char *at = *s;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (v > (UINT64_MAX - 9) / 10)
            return false;
        v = v * 10 + (uint64_t)(*at - '0');
    }
    bool some = at != *s;
    *s = at;
    *out = v;
    return some;
}

/* RFC 9110, 14.2: what cannot be read, and a list of ranges, is as if it were not there. */
static enum range read_range(const char *value, uint64_t size, uint64_t *first, uint64_t *last)
{
    if (value == NULL || strncmp(value, "bytes=", 6) != 0)
        return WHOLE;
    const char *s = value + 6;
    uint64_t n;
    if (*s == '-') { /* the last n bytes */
        s++;
        if (!read_number(&s, &n) || *s != '\0')
            return WHOLE;
        if (n == 0 || size == 0)
            return OUTSIDE;
        *first = n < size ? size - n : 0;
        *last = size - 1;
        return PART;
    }
    if (!read_number(&s, first) || *s++ != '-')
        return WHOLE;
    *last = UINT64_MAX;
    if (*s != '\0' && (!read_number(&s, last) || *s != '\0' || *last < *first))
        return WHOLE;
    if (*first >= size)
        return OUTSIDE;
    if (*last >= size)
        *last = size - 1;
    return PART;
}

/* NULL: no memory or no descriptor. */
static struct evbuffer *part_of(int fd, uint64_t offset, uint64_t len)
{
    struct evbuffer *b = evbuffer_new();
    int own = b != NULL ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    struct evbuffer_file_segment *segment =
        own >= 0 ? evbuffer_file_segment_new(own, (ev_off_t)offset, (ev_off_t)len, EVBUF_FS_CLOSE_ON_FREE) : NULL;
    if (segment == NULL) {
        if (own >= 0)
            close(own);
        if (b != NULL)
            evbuffer_free(b);
        return NULL;
    }
    /* Lets it be sent with sendfile: the connection's buffer, where it ends up, drains into a socket. */
    (void)evbuffer_set_flags(b, EVBUFFER_FLAG_DRAINS_TO_FD);
    int rc = evbuffer_add_file_segment(b, segment, 0, (ev_off_t)len);
    evbuffer_file_segment_free(segment);
    if (rc == 0)
        return b;
    evbuffer_free(b);
    return NULL;
}

void cv_http_reply_file(struct cv_http_request *r, int fd, uint64_t file_bytes, const char *content_type,
                        const char *etag)
{
    char text[80];
    uint64_t first = 0, last = 0;
    const char *unless = cv_http_header(r, "If-Range");
    bool as_a_whole = unless != NULL && (etag == NULL || strcmp(unless, etag) != 0);
    enum range what = as_a_whole ? WHOLE : read_range(cv_http_header(r, "Range"), file_bytes, &first, &last);
    cv_http_add_header(r, "Accept-Ranges", "bytes");
    if (etag != NULL)
        cv_http_add_header(r, "ETag", etag);
    if (what == OUTSIDE) {
        snprintf(text, sizeof(text), "bytes */%llu", (unsigned long long)file_bytes);
        cv_http_add_header(r, "Content-Range", text);
        cv_http_reply(r, 416, "text/plain", "range outside of the file\n", 26);
        return;
    }
    if (what == PART) {
        snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)first, (unsigned long long)last,
                 (unsigned long long)file_bytes);
        cv_http_add_header(r, "Content-Range", text);
    }
    const uint64_t from = what == PART ? first : 0, len = what == PART ? last - first + 1 : file_bytes;
    struct evbuffer *data = NULL;
    if (r->method != CV_HTTP_HEAD && len != 0) {
        data = part_of(fd, from, len);
        if (data == NULL) {
            cv_http_reply(r, 500, "text/plain", "cannot read the file\n", 21);
            return;
        }
    }
    snprintf(text, sizeof(text), "%llu", (unsigned long long)len);
    cv_http_add_header(r, "Content-Length", text);
    if (content_type != NULL)
        cv_http_add_header(r, "Content-Type", content_type);
    cv_http_reply_buffer(r, what == PART ? 206 : 200, data);
}
