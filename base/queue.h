/*
 * queue.h - a bounded queue of pointers between threads: how owners of state talk to each other.
 *
 * Many senders, many receivers, first in first out. A full queue pushes back; it never grows. Lock: a leaf.
 */
#ifndef CV_BASE_QUEUE_H
#define CV_BASE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cv_queue;

enum cv_queue_status { CV_QUEUE_OK, CV_QUEUE_TIMEOUT, CV_QUEUE_CLOSED };

struct cv_queue *cv_queue_new(size_t capacity); /* NULL: no memory */
/* What is still inside is the caller's loss: drain it first. No thread may be waiting. */
void cv_queue_free(struct cv_queue *q);
/* timeout_ms < 0 waits for ever, 0 does not wait. On anything but OK the item is still the sender's. */
enum cv_queue_status cv_queue_push(struct cv_queue *q, void *item, int64_t timeout_ms);
/* After close, what is inside still comes out; then CLOSED. */
enum cv_queue_status cv_queue_pop(struct cv_queue *q, void **item, int64_t timeout_ms);
/* Wakes all who wait; pushes fail from now on. */
void cv_queue_close(struct cv_queue *q);
size_t cv_queue_len(struct cv_queue *q);

#endif
