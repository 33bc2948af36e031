/* http_test.c - the HTTP server seen by our client, by raw sockets, and by clients that leave. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/address.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "tests/check/check.h"

enum { FILE_BYTES = 3 * 1000 * 1000 + 7 };

static struct cv_http_server *server;
static char base[400], url[600];
static int file = -1;
static unsigned char *content;
static atomic_int n_closed, n_cut_replies;
static _Atomic(struct cv_http_request *) kept;

static void closed(void *ctx)
{
    atomic_fetch_add((atomic_int *)ctx, 1);
}

static void *stream_slowly(void *arg)
{
    struct cv_http_request *r = arg;
    bool alive = cv_http_stream_begin(r, 200, "text/event-stream");
    for (int i = 0; alive && i < 20; i++) {
        char text[32];
        int n = snprintf(text, sizeof(text), "data: %d\n\n", i);
        alive = cv_http_stream_write(r, text, (size_t)n);
        cv_sleep_ms(1);
    }
    cv_http_stream_end(r);
    return NULL;
}

static void *stream_until_gone(void *arg)
{
    struct cv_http_request *r = arg;
    cv_http_on_close(r, closed, &n_closed);
    cv_http_stream_begin(r, 200, "text/plain");
    while (cv_http_stream_write(r, "x", 1) && !cv_http_gone(r))
        cv_sleep_ms(2);
    cv_http_stream_end(r);
    return NULL;
}

static void *flood(void *arg)
{
    static char block[65536];
    struct cv_http_request *r = arg;
    cv_http_stream_begin(r, 200, "text/plain");
    size_t n = 0;
    while (cv_http_stream_write(r, block, sizeof(block)))
        n += sizeof(block);
    atomic_fetch_add(&n_cut_replies, n > 100000 && n < 64u << 20);
    cv_http_stream_end(r);
    return NULL;
}

static void start(void *(*fn)(void *), struct cv_http_request *r)
{
    pthread_t t;
    if (pthread_create(&t, NULL, fn, r) == 0)
        pthread_detach(t);
}

static void handle(void *ctx, struct cv_http_request *r)
{
    const char *path = cv_http_path(r);
    size_t n;
    (void)ctx;
    if (strcmp(path, "/echo") == 0) {
        const void *body = cv_http_body(r, &n);
        const char *q = cv_http_query(r, "q"), *h = cv_http_header(r, "x-test");
        cv_http_add_header(r, "X-Method", cv_http_method_name(cv_http_method(r)));
        cv_http_add_header(r, "ETag", q != NULL ? q : h != NULL ? h : "none");
        cv_http_add_header(r, "X-Split", "a\r\nX-Evil: b");
        cv_http_reply(r, 201, "text/x-echo", body, n);
    } else if (strcmp(path, "/file") == 0) {
        cv_http_reply_file(r, file, FILE_BYTES, "application/octet-stream", "\"v1\"");
    } else if (strcmp(path, "/slow stream") == 0) {
        start(stream_slowly, r);
    } else if (strcmp(path, "/until-gone") == 0) {
        start(stream_until_gone, r);
    } else if (strcmp(path, "/flood") == 0) {
        start(flood, r);
    } else if (strcmp(path, "/keep") == 0) {
        cv_http_on_close(r, closed, &n_closed);
        atomic_store(&kept, r);
    } else {
        struct cv_error err;
        cv_fail(&err, CV_ERR_NOT_FOUND, "nothing at %s", path);
        cv_http_reply_error(r, &err);
    }
}

static void up(void)
{
    struct cv_error err;
    struct cv_http_server_options o = {.address = "127.0.0.1:0", .max_body_bytes = 1 << 20, .handler = handle};
    CHECK_OK(cv_http_server_open(&server, &o, &err), err);
    snprintf(base, sizeof(base), "http://%s", cv_http_server_address(server));
}

static void down(void)
{
    cv_http_server_close(server, 2000);
    server = NULL;
}

static const char *at(const char *path)
{
    snprintf(url, sizeof(url), "%s%s", base, path);
    return url;
}

static struct cv_http_answer fetched(const struct cv_http_ask *ask, int status)
{
    struct cv_http_answer a;
    struct cv_error err;
    CHECK_OK(cv_http_do(ask, &a, &err), err);
    CHECK_EQ(a.status, status);
    return a;
}

static void test_requests_are_answered(void)
{
    up();
    const char *const headers[] = {"X-Test: seen", NULL};
    struct cv_http_ask ask = {.method = "POST", .url = at("/echo"), .header = headers, .body = "hello", .body_len = 5};
    struct cv_http_answer a = fetched(&ask, 201);
    CHECK_STR(a.body.data, "hello");
    CHECK_STR(a.content_type, "text/x-echo");
    CHECK_STR(a.etag, "seen");
    cv_http_answer_fini(&a);
    ask = (struct cv_http_ask){.url = at("/echo?a=1&q=two%20words&q=3")};
    a = fetched(&ask, 201);
    CHECK_STR(a.etag, "two words");
    CHECK_EQ(a.body.len, 0);
    cv_http_answer_fini(&a);
    ask = (struct cv_http_ask){.method = "PUT", .url = at("/echo")};
    a = fetched(&ask, 201);
    cv_http_answer_fini(&a);
    ask = (struct cv_http_ask){.url = at("/no%20where")};
    a = fetched(&ask, 404);
    CHECK_STR(a.body.data, "nothing at /no where\n");
    cv_http_answer_fini(&a);
    down();
}

static void test_a_body_past_the_cap_is_a_413(void)
{
    up();
    char *big = cv_zalloc((1 << 20) + 1);
    struct cv_http_ask ask = {.method = "POST", .url = at("/echo"), .body = big, .body_len = 1 << 20};
    struct cv_http_answer a = fetched(&ask, 201);
    CHECK_EQ(a.body.len, 1 << 20);
    cv_http_answer_fini(&a);
    ask.body_len++;
    a = fetched(&ask, 413);
    cv_http_answer_fini(&a);
    ask = (struct cv_http_ask){
        .method = "POST", .url = at("/echo"), .body = big, .body_len = 1 << 20, .max_body_bytes = 1000};
    struct cv_error err;
    CHECK(!cv_http_do(&ask, &a, &err));
    CHECK_EQ(err.code, CV_ERR_LIMIT);
    cv_free(big);
    down();
}

static int connected(void)
{
    struct cv_address a;
    struct cv_error err;
    CHECK_OK(cv_address_parse(cv_http_server_address(server), -1, &a, &err), err);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(a.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval limit = {.tv_sec = 5};
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0);
    return fd;
}

static int sent(const char *text)
{
    int fd = connected();
    CHECK_EQ(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    return fd;
}

/* The status line of the answer to a request of raw bytes. */
static void raw(const char *request, const char *status)
{
    char answer[4096];
    int fd = sent(request);
    ssize_t n = recv(fd, answer, sizeof(answer) - 1, 0);
    CHECK(n > 0);
    answer[n] = '\0';
    CHECK_CONTAINS(answer, status);
    CHECK(strstr(answer, "X-Evil") == NULL || strstr(answer, "\r\nX-Evil") == NULL);
    close(fd);
}

static void test_crooked_requests_are_refused(void)
{
    up();
    raw("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 201");
    raw("GET /echo HTTP/1.1\r\n\r\n", "HTTP/1.1 400");
    raw("GET /echo HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "HTTP/1.1 400");
    raw("GET /echo HTTP/1.0\r\n\r\n", "HTTP/1.0 201");
    raw("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "HTTP/1.1 400");
    raw("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 400");
    raw("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", "HTTP/1.1 201");
    raw("GET /a%00b HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400");
    raw("BREW /echo HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 501");
    char longer[20000];
    int n = snprintf(longer, sizeof(longer), "GET /echo HTTP/1.1\r\nHost: x\r\nX-Long: ");
    memset(longer + n, 'x', sizeof(longer) - (size_t)n);
    strcpy(longer + sizeof(longer) - 5, "\r\n\r\n");
    raw(longer, "HTTP/1.1 400");
    down();
}

static void test_a_stream_arrives_piece_by_piece(void)
{
    up();
    struct cv_http_ask ask = {.url = at("/slow%20stream")};
    struct cv_http_answer a = fetched(&ask, 200);
    CHECK_STR(a.content_type, "text/event-stream");
    CHECK(strncmp(a.body.data, "data: 0\n\ndata: 1\n\n", 18) == 0);
    CHECK_CONTAINS(a.body.data, "data: 19\n\n");
    cv_http_answer_fini(&a);
    down();
}

static void wait_for(atomic_int *counter, int value)
{
    for (int i = 0; i < 500 && atomic_load(counter) != value; i++)
        cv_sleep_ms(2);
    CHECK_EQ(atomic_load(counter), value);
}

static void test_a_client_that_leaves_is_noticed(void)
{
    up();
    char some[1000];
    for (int half = 0; half < 2; half++) { /* closed, and closed for sending only */
        for (int kind = 0; kind < 2; kind++) {
            int before = atomic_load(&n_closed);
            atomic_store(&kept, NULL);
            int fd = sent(kind == 0 ? "GET /until-gone HTTP/1.1\r\nHost: x\r\n\r\n"
                                    : "GET /keep HTTP/1.1\r\nHost: x\r\n\r\n");
            if (kind == 0)
                CHECK(recv(fd, some, sizeof(some), 0) > 0);
            for (int i = 0; kind == 1 && i < 1000 && atomic_load(&kept) == NULL; i++)
                cv_sleep_ms(2);
            uint64_t t0 = cv_now_ns();
            if (half)
                shutdown(fd, SHUT_WR);
            else
                close(fd);
            wait_for(&n_closed, before + 1);
            if (kind == 1) {
                printf("  %s noticed after %.2f ms\n", half ? "half a close" : "a close",
                       (double)(cv_now_ns() - t0) / 1e6);
                CHECK(cv_http_gone(atomic_load(&kept)));
                cv_http_reply(atomic_load(&kept), 200, "text/plain", "too late", 8);
            }
            if (half)
                close(fd);
        }
    }
    down();
}

static void test_an_answer_may_come_from_another_thread(void)
{
    up();
    atomic_store(&kept, NULL);
    int before = atomic_load(&n_closed);
    int fd = sent("GET /keep HTTP/1.1\r\nHost: x\r\n\r\nGET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    for (int i = 0; i < 1000 && atomic_load(&kept) == NULL; i++)
        cv_sleep_ms(2);
    CHECK(atomic_load(&kept) != NULL);
    CHECK_STR(cv_http_peer(atomic_load(&kept)), "127.0.0.1");
    cv_http_reply(atomic_load(&kept), 200, "text/plain", "from afar", 9);
    char answer[4096];
    size_t got = 0;
    while (got < sizeof(answer) - 1) { /* and the second request of the same connection behind it */
        ssize_t n = recv(fd, answer + got, sizeof(answer) - 1 - got, 0);
        CHECK(n > 0);
        got += (size_t)n;
        answer[got] = '\0';
        if (strstr(answer, "HTTP/1.1 201") != NULL)
            break;
    }
    CHECK_CONTAINS(answer, "from afar");
    close(fd);
    cv_sleep_ms(20);
    CHECK_EQ(atomic_load(&n_closed), before);
    down();
}

static void test_a_client_that_does_not_read_is_cut_off(void)
{
    up();
    int before = atomic_load(&n_cut_replies);
    int fd = sent("GET /flood HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&n_cut_replies, before + 1);
    close(fd);
    down();
}

static void test_a_close_drains_first(void)
{
    up();
    int fd = sent("GET /slow%20stream HTTP/1.1\r\nHost: x\r\n\r\n");
    char answer[8192];
    size_t got = 0;
    ssize_t n = recv(fd, answer, sizeof(answer) - 1, 0);
    CHECK(n > 0);
    got = (size_t)n;
    down();
    while ((n = recv(fd, answer + got, sizeof(answer) - 1 - got, 0)) > 0)
        got += (size_t)n;
    answer[got] = '\0';
    CHECK_CONTAINS(answer, "data: 19\n\n");
    CHECK_CONTAINS(answer, "0\r\n\r\n");
    close(fd);

    up(); /* and what does not end by itself is cut off */
    int before = atomic_load(&n_closed);
    fd = sent("GET /until-gone HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK(recv(fd, answer, sizeof(answer), 0) > 0);
    uint64_t t0 = cv_now_ms();
    cv_http_server_close(server, 50);
    CHECK(cv_now_ms() - t0 < 2000);
    CHECK_EQ(atomic_load(&n_closed), before + 1);
    close(fd);
}

/* ---- files ---- */

static void make_file(void)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/file", check_tmpdir());
    content = cv_alloc(FILE_BYTES);
    for (size_t i = 0; i < FILE_BYTES; i++)
        content[i] = (unsigned char)check_rand();
    file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(file >= 0 && write(file, content, FILE_BYTES) == FILE_BYTES);
    up();
}

static void drop_file(void)
{
    down();
    close(file);
    cv_free(content);
}

static void test_a_file_is_served_whole_and_in_parts(void)
{
    make_file();
    struct cv_http_ask ask = {.url = at("/file")};
    struct cv_http_answer a = fetched(&ask, 200);
    CHECK(a.body.len == FILE_BYTES && memcmp(a.body.data, content, FILE_BYTES) == 0);
    CHECK_STR(a.etag, "\"v1\"");
    cv_http_answer_fini(&a);
    for (int i = 0; i < 20; i++) {
        uint64_t first = check_below(FILE_BYTES), n = 1 + check_below(FILE_BYTES - first);
        ask = (struct cv_http_ask){
            .url = at("/file"), .has_range = true, .range_first = first, .range_last = first + n - 1};
        a = fetched(&ask, 206);
        CHECK(a.body.len == n && memcmp(a.body.data, content + first, n) == 0);
        cv_http_answer_fini(&a);
    }
    ask = (struct cv_http_ask){
        .url = at("/file"), .has_range = true, .range_first = FILE_BYTES, .range_last = FILE_BYTES};
    a = fetched(&ask, 416);
    cv_http_answer_fini(&a);
    ask = (struct cv_http_ask){.url = at("/file"), .method = "HEAD"};
    a = fetched(&ask, 200);
    CHECK_EQ(a.body.len, 0);
    cv_http_answer_fini(&a);
    drop_file();
}

static void ranged(const char *header, int status, size_t len)
{
    const char *const headers[] = {header, NULL};
    struct cv_http_ask ask = {.url = at("/file"), .header = headers};
    struct cv_http_answer a = fetched(&ask, status);
    if (status != 416)
        CHECK_EQ(a.body.len, len);
    cv_http_answer_fini(&a);
}

static void test_the_range_header_is_read_as_written(void)
{
    make_file();
    ranged("Range: bytes=0-0", 206, 1);
    ranged("Range: bytes=-5", 206, 5);
    ranged("Range: bytes=-99999999999", 206, FILE_BYTES);
    ranged("Range: bytes=3000000-", 206, 7);
    ranged("Range: bytes=3000000-99999999999999999999999", 200, FILE_BYTES); /* no number: no range */
    ranged("Range: bytes=10-5", 200, FILE_BYTES);
    ranged("Range: bytes=0-1,5-6", 200, FILE_BYTES);
    ranged("Range: lines=0-1", 200, FILE_BYTES);
    ranged("Range: bytes=-0", 416, 0);
    const char *const same[] = {"Range: bytes=0-9", "If-Range: \"v1\"", NULL}, *const other[] = {"Range: bytes=0-9",
                                                                                                 "If-Range: \"v0\"",
                                                                                                 NULL};
    struct cv_http_ask ask = {.url = at("/file"), .header = same};
    struct cv_http_answer a = fetched(&ask, 206);
    cv_http_answer_fini(&a);
    ask.header = other;
    a = fetched(&ask, 200);
    CHECK_EQ(a.body.len, FILE_BYTES);
    cv_http_answer_fini(&a);
    drop_file();
}

struct gathered {
    unsigned char *bytes;
    size_t n, n_done, stop_after;
};

static bool gather(void *ctx, size_t i, uint64_t offset, const void *data, size_t n, struct cv_error *err)
{
    struct gathered *g = ctx;
    (void)i;
    memcpy(g->bytes + offset, data, n);
    g->n += n;
    return g->stop_after == 0 || g->n < g->stop_after || cv_fail(err, CV_ERR_IO, "disk full");
}

static bool done(void *ctx, size_t i, struct cv_error *err)
{
    struct gathered *g = ctx;
    (void)i;
    (void)err;
    g->n_done++;
    return true;
}

static void test_ranges_are_fetched_in_parallel(void)
{
    make_file();
    enum { N = 37 };
    struct cv_http_range range[N];
    struct gathered g = {.bytes = cv_zalloc(FILE_BYTES)};
    struct cv_http_ranges_options o = {.n_connections = 5, .on_data = gather, .on_done = done, .ctx = &g};
    struct cv_error err;
    uint64_t from = 0;
    at("/file");
    for (int i = 0; i < N; i++) {
        uint64_t to = (uint64_t)FILE_BYTES * (uint64_t)(i + 1) / N;
        range[i] = (struct cv_http_range){.url = url, .offset = from, .len = to - from};
        from = to;
    }
    CHECK_OK(cv_http_fetch_ranges(range, N, &o, NULL, &err), err);
    CHECK_EQ(g.n, FILE_BYTES);
    CHECK_EQ(g.n_done, N);
    CHECK(memcmp(g.bytes, content, FILE_BYTES) == 0);
    g.n = 0;
    g.stop_after = 1000;
    CHECK(!cv_http_fetch_ranges(range, N, &o, NULL, &err));
    CHECK_EQ(err.code, CV_ERR_IO);
    CHECK_STR(err.msg, "disk full");
    atomic_bool cancel = true;
    g.stop_after = 0;
    o.cancel = &cancel;
    CHECK(!cv_http_fetch_ranges(range, N, &o, NULL, &err));
    CHECK_EQ(err.code, CV_ERR_CANCEL);
    cv_free(g.bytes);
    drop_file();
}

static void test_what_cannot_be_fetched_is_named(void)
{
    make_file();
    struct cv_http_range range[2] = {{at("/file"), 0, 100}, {"http://127.0.0.1:1/x", 0, 100}};
    struct gathered g = {.bytes = cv_zalloc(FILE_BYTES)};
    struct cv_http_ranges_options o = {.n_retries = 1, .on_data = gather, .ctx = &g};
    struct cv_error err;
    size_t failed = 9;
    CHECK(!cv_http_fetch_ranges(range, 2, &o, &failed, &err));
    CHECK_EQ(failed, 1);
    CHECK_EQ(err.code, CV_ERR_PEER);
    CHECK_CONTAINS(err.msg, "http://127.0.0.1:1/x");
    range[0].url = at("/nowhere");
    CHECK(!cv_http_fetch_ranges(range, 1, &o, &failed, &err));
    CHECK_EQ(err.code, CV_ERR_NOT_FOUND);
    range[0].url = at("/echo"); /* answers 201 with something else */
    CHECK(!cv_http_fetch_ranges(range, 1, &o, &failed, &err));
    CHECK_EQ(err.code, CV_ERR_PEER);
    cv_free(g.bytes);
    drop_file();
}

/* A server of our own that breaks off in the midst of every answer. */
struct breaker {
    int listener;
    uint16_t port;
    atomic_int n_asked;
};

static void *break_off(void *arg)
{
    struct breaker *b = arg;
    for (;;) {
        char request[4096], head[300];
        unsigned long long first, last;
        int fd = accept(b->listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        ssize_t n = recv(fd, request, sizeof(request) - 1, 0);
        request[n > 0 ? n : 0] = '\0';
        const char *range = strstr(request, "bytes=");
        if (range != NULL && sscanf(range, "bytes=%llu-%llu", &first, &last) == 2) {
            unsigned long long len = last - first + 1, give = len > 100000 ? 100000 : len;
            atomic_fetch_add(&b->n_asked, 1);
            int h = snprintf(head, sizeof(head),
                             "HTTP/1.1 206 x\r\nContent-Length: %llu\r\nContent-Range: bytes %llu-%llu/%d\r\n\r\n", len,
                             first, last, FILE_BYTES);
            (void)!send(fd, head, (size_t)h, MSG_NOSIGNAL);
            (void)!send(fd, content + first, give, MSG_NOSIGNAL);
        }
        shutdown(fd, SHUT_WR);
        while (recv(fd, request, sizeof(request), 0) > 0)
            ;
        close(fd);
    }
}

static void test_a_broken_transfer_goes_on_where_it_was(void)
{
    make_file();
    struct breaker b = {.listener = socket(AF_INET, SOCK_STREAM, 0)};
    struct sockaddr_in own = {.sin_family = AF_INET};
    socklen_t len = sizeof(own);
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(b.listener, (struct sockaddr *)&own, len) == 0 && listen(b.listener, 10) == 0 &&
          getsockname(b.listener, (struct sockaddr *)&own, &len) == 0);
    pthread_t t;
    CHECK_EQ(pthread_create(&t, NULL, break_off, &b), 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/x", ntohs(own.sin_port));
    struct cv_http_range range = {url, 5, 450000};
    struct gathered g = {.bytes = cv_zalloc(FILE_BYTES)};
    struct cv_http_ranges_options o = {.on_data = gather, .ctx = &g};
    struct cv_error err;
    CHECK_OK(cv_http_fetch_ranges(&range, 1, &o, NULL, &err), err);
    CHECK_EQ(g.n, 450000); /* no byte twice */
    CHECK_EQ(atomic_load(&b.n_asked), 5);
    CHECK(memcmp(g.bytes + 5, content + 5, 450000) == 0);
    shutdown(b.listener, SHUT_RDWR);
    pthread_join(t, NULL);
    close(b.listener);
    cv_free(g.bytes);
    drop_file();
}

static void test_client_errors_are_told_apart(void)
{
    struct cv_http_answer a;
    struct cv_error err;
    struct cv_http_ask ask = {.url = "http://127.0.0.1:1/"};
    CHECK(!cv_http_do(&ask, &a, &err));
    CHECK_EQ(err.code, CV_ERR_PEER);
    ask.url = "file:///etc/passwd";
    CHECK(!cv_http_do(&ask, &a, &err));
    CHECK_EQ(err.code, CV_ERR_ARG);
    up();
    atomic_store(&kept, NULL);
    ask = (struct cv_http_ask){.url = at("/keep"), .timeout_ms = 100};
    CHECK(!cv_http_do(&ask, &a, &err));
    CHECK_EQ(err.code, CV_ERR_TIMEOUT);
    cv_http_reply(atomic_load(&kept), 200, NULL, "", 0);
    down();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_requests_are_answered),
        CASE(test_a_body_past_the_cap_is_a_413),
        CASE(test_crooked_requests_are_refused),
        CASE(test_a_stream_arrives_piece_by_piece),
        CASE(test_a_client_that_leaves_is_noticed),
        CASE(test_an_answer_may_come_from_another_thread),
        CASE(test_a_client_that_does_not_read_is_cut_off),
        CASE(test_a_close_drains_first),
        CASE(test_a_file_is_served_whole_and_in_parts),
        CASE(test_the_range_header_is_read_as_written),
        CASE(test_ranges_are_fetched_in_parallel),
        CASE(test_what_cannot_be_fetched_is_named),
        CASE(test_a_broken_transfer_goes_on_where_it_was),
        CASE(test_client_errors_are_told_apart),
    };
    struct cv_error err;
    if (!cv_http_client_init(&err))
        return 1;
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
