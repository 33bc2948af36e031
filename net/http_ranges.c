/*
 * http_ranges.c - many ranges of large files, several at once, each resumed where it broke off.
 *
 * One thread, curl's multi interface. A connection that has finished a range takes the next one. What has arrived is
 * given out at once and never asked for again; a failed range waits 100, 200, 400 ... ms and goes on behind its last byte.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/http_client.h"
#include "net/http_client_internal.h"

enum { MAX_CONNECTIONS = 32 };

struct job;

struct lane { /* one connection */
    struct job *job;
    CURL *easy;
    bool busy;      /* inside the multi handle */
    size_t i;       /* the range */
    uint64_t got;   /* bytes of the range that have been given out */
    uint64_t given; /* by this attempt */
    unsigned n_failed;
    bool waiting; /* to try again, at */
    uint64_t again_ms;
    bool right; /* the head of the answer: a 206 of these bytes */
    char content_range[96];
    char detail[CURL_ERROR_SIZE];
};

struct job {
    const struct cv_http_range *range;
    const struct cv_http_ranges_options *o;
    CURLM *multi;
    struct lane lane[MAX_CONNECTIONS];
    unsigned n_lanes, n_retries;
    size_t n, next; /* ranges in all, and the first nobody has taken */
    bool stopped;   /* a callback said so */
    struct cv_error why;
};

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
    struct lane *l = arg;
    static const char name[] = "Content-Range:";
    n *= size;
    if (n > 5 && strncasecmp(line, "HTTP/", 5) == 0)
        l->content_range[0] = '\0'; /* of this answer, not of one before it */
    if (n >= sizeof(name) && strncasecmp(line, name, sizeof(name) - 1) == 0)
        snprintf(l->content_range, sizeof(l->content_range), "%.*s", (int)(n - sizeof(name) + 1),
                 line + sizeof(name) - 1);
    return n;
}

/* "bytes 100-199/1000" must be exactly what was asked for: another part of the file would be written to the wrong place. */
static bool is_right(const struct lane *l)
{
    const struct cv_http_range *r = &l->job->range[l->i];
    unsigned long long first, last;
    long status = 0;
    curl_easy_getinfo(l->easy, CURLINFO_RESPONSE_CODE, &status);
    return status == 206 && sscanf(l->content_range, " bytes %llu-%llu/", &first, &last) == 2 &&
           first == r->offset + l->got && last == r->offset + r->len - 1;
}

static size_t on_data(char *data, size_t size, size_t n, void *arg)
{
    struct lane *l = arg;
    struct job *job = l->job;
    const struct cv_http_range *r = &job->range[l->i];
    n *= size;
    if (!l->right)
        l->right = is_right(l);
    if (!l->right || n > r->len - l->got)
        return 0;
    struct cv_error err = {.code = CV_OK};
    if (!job->o->on_data(job->o->ctx, l->i, r->offset + l->got, data, n, &err)) {
        if (err.code == CV_OK)
            cv_fail(&err, CV_ERR_CANCEL, "fetching was stopped");
        job->why = err;
        job->stopped = true;
        return 0;
    }
    l->got += n;
    l->given += n;
    return n;
}

static bool begin(struct lane *l, struct cv_error *err)
{
    struct job *job = l->job;
    const struct cv_http_range *r = &job->range[l->i];
    char range[64];
    snprintf(range, sizeof(range), "%llu-%llu", (unsigned long long)(r->offset + l->got),
             (unsigned long long)(r->offset + r->len - 1));
    l->right = false;
    l->waiting = false;
    l->given = 0;
    l->content_range[0] = l->detail[0] = '\0';
    cv_http_client_common(l->easy, r->url, job->o->stall_s, l->detail);
    curl_easy_setopt(l->easy, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
    curl_easy_setopt(l->easy, CURLOPT_RANGE, range);
    curl_easy_setopt(l->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(l->easy, CURLOPT_HEADERDATA, l);
    curl_easy_setopt(l->easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(l->easy, CURLOPT_WRITEDATA, l);
    curl_easy_setopt(l->easy, CURLOPT_BUFFERSIZE, 256L * 1024);
    CURLMcode rc = curl_multi_add_handle(job->multi, l->easy);
    l->busy = rc == CURLM_OK;
    return l->busy || cv_fail(err, CV_ERR_NOMEM, "%.200s: %s", r->url, curl_multi_strerror(rc));
}

static bool take_next(struct lane *l, struct cv_error *err)
{
    if (l->job->next == l->job->n)
        return true;
    l->i = l->job->next++;
    l->got = 0;
    l->n_failed = 0;
    return begin(l, err);
}

static bool broke_off(struct lane *l, CURLcode rc, struct cv_error *err)
{
    struct job *job = l->job;
    const struct cv_http_range *r = &job->range[l->i];
    long status = 0;
    curl_easy_getinfo(l->easy, CURLINFO_RESPONSE_CODE, &status);
    if (l->given > 0)
        l->n_failed = 0; /* it went on a while: this is another failure */
    if (l->n_failed++ < job->n_retries && status != 404 && status != 401 && status != 403) {
        l->waiting = true;
        l->again_ms = cv_now_ms() + ((uint64_t)100 << (l->n_failed - 1 < 6 ? l->n_failed - 1 : 6));
        return true;
    }
    if (status == 206 && !l->right)
        return cv_fail(err, CV_ERR_PEER, "%.200s: answered with '%s' for bytes from %llu", r->url, l->content_range,
                       (unsigned long long)(r->offset + l->got));
    if (status == 200)
        return cv_fail(err, CV_ERR_PEER, "%.200s: the server ignores Range", r->url);
    if (status != 0 && status != 206)
        return cv_fail(err, status == 404 ? CV_ERR_NOT_FOUND : CV_ERR_PEER, "%.200s: HTTP status %ld", r->url, status);
    if (rc == CURLE_OK)
        return cv_fail(err, CV_ERR_PEER, "%.200s: the answer ended %llu bytes too early", r->url,
                       (unsigned long long)(r->len - l->got));
    return cv_http_client_fail(err, rc, r->url, l->detail);
}

static bool finished(struct lane *l, CURLcode rc, size_t *failed, struct cv_error *err)
{
    struct job *job = l->job;
    curl_multi_remove_handle(job->multi, l->easy);
    l->busy = false;
    if (job->stopped) {
        return cv_fail(err, job->why.code, "%s", job->why.msg);
    }
    if (l->got < job->range[l->i].len) {
        *failed = l->i;
        return broke_off(l, rc, err);
    }
    if (job->o->on_done != NULL && !job->o->on_done(job->o->ctx, l->i, err)) {
        *failed = l->i;
        return false;
    }
    return take_next(l, err);
}

static bool step(struct job *job, size_t *failed, struct cv_error *err)
{
    int running, left;
    CURLMcode rc = curl_multi_perform(job->multi, &running);
    if (rc != CURLM_OK)
        return cv_fail(err, CV_ERR_INTERNAL, "fetching: %s", curl_multi_strerror(rc));
    for (CURLMsg *m = curl_multi_info_read(job->multi, &left); m != NULL; m = curl_multi_info_read(job->multi, &left)) {
        CURL *easy = m->easy_handle;
        CURLcode result = m->data.result;
        for (unsigned k = 0; k < job->n_lanes; k++) {
            if (job->lane[k].easy == easy && !finished(&job->lane[k], result, failed, err))
                return false;
        }
    }
    for (unsigned k = 0; k < job->n_lanes; k++) {
        struct lane *l = &job->lane[k];
        if (l->waiting && cv_now_ms() >= l->again_ms && !begin(l, err))
            return false;
    }
    return true;
}

static bool is_working(const struct job *job)
{
    for (unsigned k = 0; k < job->n_lanes; k++) {
        if (job->lane[k].busy || job->lane[k].waiting)
            return true;
    }
    return false;
}

static bool run(struct job *job, size_t *failed, struct cv_error *err)
{
    for (unsigned k = 0; k < job->n_lanes; k++) {
        job->lane[k].job = job;
        job->lane[k].easy = curl_easy_init();
        if (job->lane[k].easy == NULL)
            return cv_fail(err, CV_ERR_NOMEM, "no memory for a request");
        if (!take_next(&job->lane[k], err))
            return false;
    }
    while (is_working(job)) {
        if (job->o->cancel != NULL && atomic_load(job->o->cancel))
            return cv_fail(err, CV_ERR_CANCEL, "fetching was stopped");
        if (!step(job, failed, err))
            return false;
        if (is_working(job) && curl_multi_poll(job->multi, NULL, 0, 50, NULL) != CURLM_OK)
            return cv_fail(err, CV_ERR_INTERNAL, "fetching: cannot wait");
    }
    return true;
}

bool cv_http_fetch_ranges(const struct cv_http_range *range, size_t n, const struct cv_http_ranges_options *options,
                          size_t *failed, struct cv_error *err)
{
    size_t which = 0;
    if (n == 0)
        return true;
    struct job *job = cv_zalloc(sizeof(*job));
    if (job == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for requests");
    job->range = range;
    job->n = n;
    job->o = options;
    job->n_retries = options->n_retries != 0 ? options->n_retries : 4;
    unsigned lanes = options->n_connections != 0 ? options->n_connections : 4;
    lanes = lanes < MAX_CONNECTIONS ? lanes : MAX_CONNECTIONS;
    job->n_lanes = lanes < n ? lanes : (unsigned)n;
    job->multi = curl_multi_init();
    bool ok = job->multi != NULL ? run(job, &which, err) : cv_fail(err, CV_ERR_NOMEM, "no memory for requests");
    for (unsigned k = 0; k < job->n_lanes; k++) {
        if (job->lane[k].busy)
            curl_multi_remove_handle(job->multi, job->lane[k].easy);
        if (job->lane[k].easy != NULL)
            curl_easy_cleanup(job->lane[k].easy);
    }
    if (job->multi != NULL)
        curl_multi_cleanup(job->multi);
    cv_free(job);
    if (!ok && failed != NULL)
        *failed = which;
    return ok;
}
