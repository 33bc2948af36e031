/* internal.h - what batch.c and result.c share: the head of every message of the data plane. */
#ifndef CV_PROTO_INTERNAL_H
#define CV_PROTO_INTERNAL_H

#include "proto/batch.h"

/* Fills in magic, version and length. */
void cv_head_write(void *body, struct cv_head head, size_t message_bytes);
/* cv_head_decode, and the kind and the alignment are right. */
bool cv_head_decode_kind(const void *data, size_t len, enum cv_kind kind, struct cv_head *out, struct cv_error *err);

#endif
