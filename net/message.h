/*
 * message.h - one message of an edge: a run of bytes that the transport can send without copying.
 *
 * A message has one owner. cv_push_send takes it on success; cv_pull_recv gives one away.
 */
#ifndef CV_NET_MESSAGE_H
#define CV_NET_MESSAGE_H

#include <stddef.h>

struct cv_msg; /* NNG's message underneath; its type stays in this folder */

struct cv_msg *cv_msg_new(size_t n); /* n bytes, not cleared; NULL: no memory */
void cv_msg_free(struct cv_msg *m);  /* NULL is fine */
void *cv_msg_body(struct cv_msg *m); /* aligned to 8 */
size_t cv_msg_len(const struct cv_msg *m);

#endif
