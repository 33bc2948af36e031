/*
 * batch.h - the data plane: one message per batch and edge, written and read in place. Input is hostile.
 *
 * Every message begins with the same 64 bytes (struct cv_head), little-endian, and has exactly the length that its
 * counts say. What follows, by kind:
 *
 *   HELLO    link u64, secret[16], 8 zero bytes                       the first message of an edge
 *   BATCH    cmds, rows, asks, ids (padded to 16), carry              coordinator -> first stage -> ... -> last stage
 *   RESULT   results, candidates, whole rows of logits                last stage -> coordinator (proto/result.h)
 *   ERROR    code u32, stage u32, length u32, 4 zero bytes, text      any stage -> next stage -> ... -> coordinator
 *   BYE      nothing                                                  the last message of an edge
 *
 * The bytes must be aligned to 8 (a message body is). Sections start at multiples of 8 or 16; nothing is copied.
 */
#ifndef CV_PROTO_BATCH_H
#define CV_PROTO_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/flow.h"
#include "proto/carry.h"

enum { CV_PROTO_VERSION = 1, CV_HEAD_BYTES = 64, CV_SECRET_BYTES = 16, CV_HELLO_BYTES = CV_HEAD_BYTES + 32 };

enum cv_kind { CV_KIND_HELLO = 1, CV_KIND_BATCH = 2, CV_KIND_RESULT = 3, CV_KIND_ERROR = 4, CV_KIND_BYE = 5 };

/* The first bytes of every message, as they stand on the wire. */
struct cv_head {
    uint32_t magic;
    uint16_t version;
    uint8_t kind;  /* enum cv_kind */
    uint8_t carry; /* BATCH: enum cv_carry */
    uint64_t epoch;
    uint64_t seq;      /* BATCH, RESULT: 0, 1, 2 ... within the epoch, without gaps; a RESULT has its batch's number */
    uint64_t batch_id; /* the coordinator's own name for the batch; stages pass it on */
    uint32_t n_cmd;    /* BATCH */
    uint32_t n_row;    /* BATCH: rows; RESULT: whole rows of logits */
    uint32_t n_ask;    /* BATCH: asks; RESULT: results */
    uint32_t n_id;     /* BATCH: ids; RESULT: candidates */
    uint32_t width;    /* BATCH: floats of a row's carry (0 without one); RESULT: n_vocab */
    uint32_t compute_us;    /* what the stages so far have computed on this batch, added up */
    uint64_t payload_bytes; /* length of the message less 64 */
};

/* What a receiver is willing to take: from the plan, and never past base/limits.h whatever stands here. */
struct cv_batch_limits {
    uint32_t n_cmd, n_row, n_ask, n_id; /* at most */
    uint32_t n_slots, n_ctx, n_vocab;   /* slot < n_slots, pos < n_ctx, 0 <= token < n_vocab */
    enum cv_carry carry;                /* exactly; CV_CARRY_NONE on the edge into the first stage */
    uint32_t width;                     /* exactly: n_embd, or 0 without a carry */
};

/* Kind and head of a message: magic, version, known kind, exact length, epoch. The other functions check it again.
 * Errors: CV_ERR_FORMAT; CV_ERR_PEER for another version. */
bool cv_head_decode(const void *data, size_t len, struct cv_head *out, struct cv_error *err);

/* ---- BATCH ---- */

struct cv_batch { /* pointers borrow the message */
    uint64_t epoch, seq, batch_id;
    uint32_t compute_us;
    uint32_t n_cmd, n_row, n_ask, n_id;
    enum cv_carry carry;
    uint32_t width;
    const struct cv_cmd *cmd;
    const struct cv_row *row;
    const struct cv_ask *ask; /* one per wanted row, in the order of the rows */
    const int32_t *id;        /* what the asks' ids_first and n_ids point into */
    const void *carry_data;   /* n_row rows of cv_carry_row_bytes(carry, width); read with cv_carry_decode */
};

struct cv_batch_out { /* where the sender fills its message in */
    struct cv_cmd *cmd;
    struct cv_row *row;
    struct cv_ask *ask;
    int32_t *id;
    void *carry_data;
};

/* Bytes of a message with b's counts, carry and width (its pointers are not looked at); 0: past base/limits.h. */
size_t cv_batch_measure(const struct cv_batch *b);
/* Writes the head into body (cv_batch_measure bytes, aligned to 8) and tells where the sections go. What b points at
 * (cmd, row, ask, id, where not NULL) is copied; the rest, and always the carry, is for the caller to fill in. */
void cv_batch_encode_into(void *body, const struct cv_batch *b, struct cv_batch_out *out);
/* A stage knows its time only after it has filled the carry in. */
void cv_batch_set_compute_us(void *body, uint32_t compute_us);
/*
 * Checks everything: counts against limits, length, epoch-independent ranges of commands, rows, asks and ids. What
 * remains for the stage are the rules that need its state (gaps in positions). *out borrows data.
 * Errors: CV_ERR_FORMAT, CV_ERR_LIMIT, CV_ERR_UNSUPPORTED (a carry type named in the message).
 */
bool cv_batch_decode(const void *data, size_t len, const struct cv_batch_limits *limits, struct cv_batch *out,
                     struct cv_error *err);
/* The largest message that these limits let through: what a receiver's socket is told. */
size_t cv_batch_max_bytes(const struct cv_batch_limits *limits);

/* ---- HELLO ---- */

struct cv_edge_hello {
    uint64_t epoch;
    uint64_t link; /* number of the edge in its plan */
    unsigned char secret[CV_SECRET_BYTES];
};

void cv_edge_hello_encode(unsigned char out[CV_HELLO_BYTES], const struct cv_edge_hello *hello);
bool cv_edge_hello_decode(const void *data, size_t len, struct cv_edge_hello *out, struct cv_error *err);
/* Compares the secret in constant time. */
bool cv_edge_hello_equal(const struct cv_edge_hello *a, const struct cv_edge_hello *b);

/* ---- BYE ---- */

void cv_edge_bye_encode(unsigned char out[CV_HEAD_BYTES], uint64_t epoch);
bool cv_edge_bye_is(const void *data, size_t len);

/* ---- ERROR ---- */

enum { CV_STAGE_ERROR_TEXT = 512, CV_STAGE_ERROR_MAX = CV_HEAD_BYTES + 16 + CV_STAGE_ERROR_TEXT };

struct cv_stage_error {
    uint64_t epoch, seq, batch_id; /* of the batch that failed */
    uint32_t stage;                /* which stage it was, 0 the first */
    enum cv_code code;
    char text[CV_STAGE_ERROR_TEXT]; /* valid UTF-8 after decoding, NUL-terminated */
};

/* Returns the message's length, at most CV_STAGE_ERROR_MAX. */
size_t cv_stage_error_encode(unsigned char out[CV_STAGE_ERROR_MAX], const struct cv_stage_error *e);
bool cv_stage_error_decode(const void *data, size_t len, struct cv_stage_error *out, struct cv_error *err);

_Static_assert(sizeof(struct cv_head) == CV_HEAD_BYTES, "the head is read in place out of messages");
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "messages are little-endian and read in place"
#endif

#endif
