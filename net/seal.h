/*
 * seal.h - the one place through which every message of a call passes: proof of the join token, and a replay guard.
 *
 * A sealed message is a head of 64 bytes (magic, direction, client, counter, HMAC-SHA256 over all of it and the hash of
 * the body) and the body.
 * The reply's proof covers the question's client and counter, so an answer belongs to its question. The server holds,
 * for a bounded number of clients, the highest counter it has seen and refuses lower ones (an equal one is the
 * transport's own repetition, harmless because questions are idempotent). What this does not do: hide the contents, or
 * refuse a recording from before the server's start. A Noise handshake with AEAD replaces this file.
 */
#ifndef CV_NET_SEAL_H
#define CV_NET_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct cv_seal;

enum { CV_SEAL_HEAD = 64, CV_SEAL_CLIENTS = 4096 };

struct cv_seal_id { /* which question of which client */
    uint64_t client, counter;
};

bool cv_seal_new(struct cv_seal **out, const char *token /* NULL: none */, struct cv_error *err);
void cv_seal_free(struct cv_seal *s);

/* The client's next question. Writes CV_SEAL_HEAD bytes into head for the body behind it. */
void cv_seal_question(struct cv_seal *s, void *head, const void *body, size_t len, struct cv_seal_id *id);
/* The server's answer to id; code and the body are what the handler said. */
void cv_seal_answer(struct cv_seal *s, void *head, const void *body, size_t len, struct cv_seal_id id,
                    enum cv_code code);
/* The answer to a question that was not let in: no proof stands behind it, and code is not CV_OK. */
void cv_seal_refusal(void *head, struct cv_seal_id id, enum cv_code code);
/* Checks a question. CV_ERR_AUTH or CV_ERR_FORMAT; *id is set whenever the head could be read, so that a refusal can
 * be addressed. body points into data. */
bool cv_seal_open_question(struct cv_seal *s, const void *data, size_t len, const void **body, size_t *body_len,
                           struct cv_seal_id *id, struct cv_error *err);
/* Checks the answer to id; CV_ERR_AUTH, CV_ERR_FORMAT. *code is what the handler said. A refusal passes as an answer
 * whose code is not CV_OK, and whose text is a stranger's. */
bool cv_seal_open_answer(struct cv_seal *s, const void *data, size_t len, struct cv_seal_id id, const void **body,
                         size_t *body_len, enum cv_code *code, struct cv_error *err);

#endif
