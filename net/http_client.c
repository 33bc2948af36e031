#include "net/http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "base/mem.h"
#include "net/http_client_internal.h"

bool cv_http_client_init(struct cv_error *err)
{
    CURLcode rc = curl_global_init(CURL_GLOBAL_DEFAULT);
    return rc == CURLE_OK || cv_fail(err, CV_ERR_INTERNAL, "HTTP client: %s", curl_easy_strerror(rc));
}

bool cv_http_client_fail(struct cv_error *err, CURLcode rc, const char *url, const char *detail)
{
    const char *text = detail[0] != '\0' ? detail : curl_easy_strerror(rc);
    enum cv_code code = CV_ERR_PEER;
    if (rc == CURLE_OPERATION_TIMEDOUT)
        code = CV_ERR_TIMEOUT;
    else if (rc == CURLE_ABORTED_BY_CALLBACK)
        code = CV_ERR_CANCEL;
    else if (rc == CURLE_OUT_OF_MEMORY)
        code = CV_ERR_NOMEM;
    else if (rc == CURLE_URL_MALFORMAT || rc == CURLE_UNSUPPORTED_PROTOCOL)
        code = CV_ERR_ARG;
    return cv_fail(err, code, "%.200s: %s", url, text);
}

void cv_http_client_common(CURL *easy, const char *url, unsigned stall_s, char *detail)
{
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1024L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)(stall_s != 0 ? stall_s : 30));
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "caravan/" CARAVAN_VERSION);
    /* A proxy for the whole machine is not meant for the nodes of a cluster. */
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
}

/* ---- one request ---- */

struct transfer {
    const struct cv_http_ask *ask;
    struct cv_http_answer *answer;
    CURL *easy;
    bool too_long, wrong_range, stopped;
};

static void copy_value(char *out, size_t size, const char *line, size_t n)
{
    while (n > 0 && (*line == ' ' || *line == '\t')) {
        line++;
        n--;
    }
    while (n > 0 && (line[n - 1] == '\r' || line[n - 1] == '\n' || line[n - 1] == ' '))
        n--;
    snprintf(out, size, "%.*s", (int)(n < size ? n : size - 1), line);
}

static bool is_header(const char *line, size_t n, const char *name, const char **value, size_t *value_len)
{
    size_t len = strlen(name);
    if (n <= len || line[len] != ':' || strncasecmp(line, name, len) != 0)
        return false;
    *value = line + len + 1;
    *value_len = n - len - 1;
    return true;
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    const char *value;
    size_t len;
    char text[64];
    n *= size;
    if (is_header(line, n, "Content-Type", &value, &len))
        copy_value(t->answer->content_type, sizeof(t->answer->content_type), value, len);
    else if (is_header(line, n, "ETag", &value, &len))
        copy_value(t->answer->etag, sizeof(t->answer->etag), value, len);
    else if (is_header(line, n, "X-Consul-Index", &value, &len)) {
        copy_value(text, sizeof(text), value, len);
        t->answer->index = strtoull(text, NULL, 10);
    }
    return n;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    long status = 0;
    n *= size;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    if (t->ask->has_range && status == 200) { /* the whole file, and not what was asked for */
        t->wrong_range = true;
        return 0;
    }
    if (t->ask->on_data != NULL && status >= 200 && status < 300) {
        t->stopped = !t->ask->on_data(t->ask->ctx, data, n);
        return t->stopped ? 0 : n;
    }
    if (!cv_buf_append(&t->answer->body, data, n)) {
        t->too_long = true;
        return 0;
    }
    return n;
}

static int on_progress(void *arg, curl_off_t down_all, curl_off_t down, curl_off_t up_all, curl_off_t up)
{
    const atomic_bool *cancel = arg;
    (void)down_all;
    (void)down;
    (void)up_all;
    (void)up;
    return cancel != NULL && atomic_load(cancel);
}

static void set_method(CURL *easy, const struct cv_http_ask *ask)
{
    const char *method = ask->method != NULL ? ask->method : "GET";
    if (strcmp(method, "GET") == 0)
        return;
    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    }
    /* also a PUT without a body says Content-Length: 0 */
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, ask->body != NULL ? ask->body : "");
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)ask->body_len);
    if (strcmp(method, "POST") != 0)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
}

bool cv_http_do(const struct cv_http_ask *ask, struct cv_http_answer *out, struct cv_error *err)
{
    char detail[CURL_ERROR_SIZE] = "", range[64];
    struct cv_http_answer answer = {0};
    cv_buf_init(&answer.body, ask->max_body_bytes != 0 ? ask->max_body_bytes : (size_t)64 << 20);
    CURL *easy = curl_easy_init();
    if (easy == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "%.200s: no memory for a request", ask->url);
    struct transfer t = {.ask = ask, .answer = &answer, .easy = easy};
    /* without "Expect: 100-continue" a body goes out at once */
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    for (const char *const *h = ask->header; h != NULL && *h != NULL; h++) {
        struct curl_slist *more = curl_slist_append(headers, *h);
        headers = more != NULL ? more : headers;
    }
    cv_http_client_common(easy, ask->url, ask->stall_s, detail);
    set_method(easy, ask);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)(ask->connect_timeout_ms != 0 ? ask->connect_timeout_ms : 5000));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)ask->timeout_ms);
    if (ask->timeout_ms != 0) /* a long poll is silent for as long as it may */
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, 0L);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, &t);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &t);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, (void *)(uintptr_t)ask->cancel);
    if (ask->has_range) {
        snprintf(range, sizeof(range), "%llu-%llu", (unsigned long long)ask->range_first,
                 (unsigned long long)ask->range_last);
        curl_easy_setopt(easy, CURLOPT_RANGE, range);
    }
    CURLcode rc = curl_easy_perform(easy);
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    answer.status = (int)status;
    curl_slist_free_all(headers);
    curl_easy_cleanup(easy);
    if (rc == CURLE_OK) {
        *out = answer;
        return true;
    }
    cv_http_answer_fini(&answer);
    if (t.wrong_range)
        return cv_fail(err, CV_ERR_PEER, "%.200s: the server ignores Range", ask->url);
    if (t.too_long)
        return cv_fail(err, CV_ERR_LIMIT, "%.200s: answer of more than %zu bytes", ask->url, answer.body.max);
    if (t.stopped)
        return cv_fail(err, CV_ERR_CANCEL, "%.200s: stopped", ask->url);
    return cv_http_client_fail(err, rc, ask->url, detail);
}

void cv_http_answer_fini(struct cv_http_answer *a)
{
    cv_buf_fini(&a->body);
    a->status = 0;
}
