#include "base/queue.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "base/mem.h"

struct cv_queue {
    pthread_mutex_t lock;
    pthread_cond_t may_pop, may_push;
    size_t cap, len, head;
    bool closed;
    void *item[];
};

struct cv_queue *cv_queue_new(size_t capacity)
{
    size_t n;
    if (capacity == 0 || !cv_mul_size(capacity, sizeof(void *), &n) || !cv_add_size(n, sizeof(struct cv_queue), &n))
        return NULL;
    struct cv_queue *q = cv_zalloc(n);
    if (q == NULL)
        return NULL;
    q->cap = capacity;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->may_pop, &attr);
    pthread_cond_init(&q->may_push, &attr);
    pthread_condattr_destroy(&attr);
    return q;
}

void cv_queue_free(struct cv_queue *q)
{
    if (q == NULL)
        return;
    pthread_cond_destroy(&q->may_push);
    pthread_cond_destroy(&q->may_pop);
    pthread_mutex_destroy(&q->lock);
    cv_free(q);
}

static struct timespec deadline_after(int64_t ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += (time_t)(ms / 1000);
    t.tv_nsec += (long)(ms % 1000) * 1000000L;
    if (t.tv_nsec >= 1000000000L) {
        t.tv_nsec -= 1000000000L;
        t.tv_sec++;
    }
    return t;
}

/* Waits once on cond; false when the deadline has passed. */
static bool wait_on(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t timeout_ms, const struct timespec *deadline)
{
    if (timeout_ms == 0)
        return false;
    if (timeout_ms < 0)
        return pthread_cond_wait(cond, lock) == 0;
    return pthread_cond_timedwait(cond, lock, deadline) != ETIMEDOUT;
}

enum cv_queue_status cv_queue_push(struct cv_queue *q, void *item, int64_t timeout_ms)
{
    const struct timespec deadline = deadline_after(timeout_ms > 0 ? timeout_ms : 0);
    enum cv_queue_status status = CV_QUEUE_OK;
    pthread_mutex_lock(&q->lock);
    while (!q->closed && q->len == q->cap && status == CV_QUEUE_OK)
        if (!wait_on(&q->may_push, &q->lock, timeout_ms, &deadline) && q->len == q->cap)
            status = CV_QUEUE_TIMEOUT;
    if (q->closed)
        status = CV_QUEUE_CLOSED;
    if (status == CV_QUEUE_OK) {
        q->item[(q->head + q->len++) % q->cap] = item;
        pthread_cond_signal(&q->may_pop);
    }
    pthread_mutex_unlock(&q->lock);
    return status;
}

enum cv_queue_status cv_queue_pop(struct cv_queue *q, void **item, int64_t timeout_ms)
{
    const struct timespec deadline = deadline_after(timeout_ms > 0 ? timeout_ms : 0);
    enum cv_queue_status status = CV_QUEUE_OK;
    pthread_mutex_lock(&q->lock);
    while (q->len == 0 && status == CV_QUEUE_OK) {
        if (q->closed)
            status = CV_QUEUE_CLOSED;
        else if (!wait_on(&q->may_pop, &q->lock, timeout_ms, &deadline) && q->len == 0)
            status = q->closed ? CV_QUEUE_CLOSED : CV_QUEUE_TIMEOUT;
    }
    if (status == CV_QUEUE_OK) {
        *item = q->item[q->head];
        q->head = (q->head + 1) % q->cap;
        q->len--;
        pthread_cond_signal(&q->may_push);
    }
    pthread_mutex_unlock(&q->lock);
    return status;
}

void cv_queue_close(struct cv_queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->may_pop);
    pthread_cond_broadcast(&q->may_push);
    pthread_mutex_unlock(&q->lock);
}

size_t cv_queue_len(struct cv_queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t n = q->len;
    pthread_mutex_unlock(&q->lock);
    return n;
}
