#include "base/queue.h"

#include <pthread.h>

#include "base/mem.h"
#include "base/wait.h"

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
    pthread_mutex_init(&q->lock, NULL);
    if (!cv_cond_init(&q->may_pop) || !cv_cond_init(&q->may_push)) {
        cv_free(q);
        return NULL;
    }
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

enum cv_queue_status cv_queue_push(struct cv_queue *q, void *item, int64_t timeout_ms)
{
    const int64_t deadline = cv_deadline_ms(timeout_ms);
    enum cv_queue_status status = CV_QUEUE_OK;
    pthread_mutex_lock(&q->lock);
    while (!q->closed && q->len == q->cap && status == CV_QUEUE_OK)
        if (!cv_cond_wait(&q->may_push, &q->lock, deadline) && q->len == q->cap)
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
    const int64_t deadline = cv_deadline_ms(timeout_ms);
    enum cv_queue_status status = CV_QUEUE_OK;
    pthread_mutex_lock(&q->lock);
    while (q->len == 0 && status == CV_QUEUE_OK) {
        if (q->closed)
            status = CV_QUEUE_CLOSED;
        else if (!cv_cond_wait(&q->may_pop, &q->lock, deadline) && q->len == 0)
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
