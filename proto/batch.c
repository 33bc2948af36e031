#include "proto/batch.h"

#include <string.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/reader.h"
#include "base/utf8.h"
#include "proto/internal.h"

/* "CVB1" as it stands in memory */
#define MAGIC 0x31425643u

static bool known_kind(uint8_t kind)
{
    return kind >= CV_KIND_HELLO && kind <= CV_KIND_BYE;
}

void cv_head_write(void *body, struct cv_head head, size_t message_bytes)
{
    head.magic = MAGIC;
    head.version = CV_PROTO_VERSION;
    head.payload_bytes = message_bytes - CV_HEAD_BYTES;
    memcpy(body, &head, sizeof(head));
}

bool cv_head_decode(const void *data, size_t len, struct cv_head *out, struct cv_error *err)
{
    if (len < CV_HEAD_BYTES)
        return cv_fail(err, CV_ERR_FORMAT, "message of %zu bytes, a head has %d", len, CV_HEAD_BYTES);
    struct cv_head h = {0};
    memcpy(&h, data, sizeof(h));
    if (h.magic != MAGIC)
        return cv_fail(err, CV_ERR_FORMAT, "message begins with %08x, not with CVB1", h.magic);
    if (h.version != CV_PROTO_VERSION)
        return cv_fail(err, CV_ERR_PEER, "message of protocol version %u, this build speaks %d", h.version,
                       CV_PROTO_VERSION);
    if (!known_kind(h.kind))
        return cv_fail(err, CV_ERR_FORMAT, "message of unknown kind %u", h.kind);
    if (h.payload_bytes != len - CV_HEAD_BYTES)
        return cv_fail(err, CV_ERR_FORMAT, "message of %zu bytes says it has %llu", len,
                       (unsigned long long)h.payload_bytes + CV_HEAD_BYTES);
    *out = h;
    return true;
}

bool cv_head_decode_kind(const void *data, size_t len, enum cv_kind kind, struct cv_head *out, struct cv_error *err)
{
    struct cv_head h = {0};
    if (!cv_head_decode(data, len, &h, err))
        return false;
    if (h.kind != kind)
        return cv_fail(err, CV_ERR_FORMAT, "message of kind %u, expected %d", h.kind, (int)kind);
    if ((uintptr_t)data % 8 != 0)
        return cv_fail(err, CV_ERR_INTERNAL, "message is not aligned to 8 bytes");
    *out = h;
    return true;
}

/* ---- BATCH ---- */

/* Offsets of the sections; every count is bounded, so nothing overflows 64 bits. */
struct layout {
    uint64_t row, ask, id, carry, end; /* commands come right behind the head */
};

static struct layout lay_out(uint64_t n_cmd, uint64_t n_row, uint64_t n_ask, uint64_t n_id, uint64_t carry_row_bytes)
{
    struct layout l;
    l.row = CV_HEAD_BYTES + n_cmd * sizeof(struct cv_cmd);
    l.ask = l.row + n_row * sizeof(struct cv_row);
    l.id = l.ask + n_ask * sizeof(struct cv_ask);
    l.carry = l.id + ((n_id * sizeof(int32_t) + 15) & ~(uint64_t)15);
    l.end = l.carry + n_row * carry_row_bytes;
    return l;
}

static bool counts_fit(uint64_t n_cmd, uint64_t n_row, uint64_t n_ask, uint64_t n_id, uint64_t width)
{
    return n_cmd <= CV_MAX_BATCH_CMDS && n_row <= CV_MAX_BATCH_ROWS && n_ask <= CV_MAX_BATCH_ASKS &&
           n_id <= CV_MAX_BATCH_IDS && width <= CV_MAX_EMBD;
}

/* NONE has no width, and every other type has one. */
static bool carry_fits(enum cv_carry carry, uint32_t width)
{
    return carry == CV_CARRY_NONE ? width == 0 : cv_carry_row_bytes(carry, width) != 0;
}

size_t cv_batch_measure(const struct cv_batch *b)
{
    if (!counts_fit(b->n_cmd, b->n_row, b->n_ask, b->n_id, b->width) || !carry_fits(b->carry, b->width))
        return 0;
    uint64_t end = lay_out(b->n_cmd, b->n_row, b->n_ask, b->n_id, cv_carry_row_bytes(b->carry, b->width)).end;
    return end <= CV_MAX_MESSAGE_BYTES ? (size_t)end : 0;
}

static void copy_section(void *to, const void *from, size_t bytes)
{
    if (from != NULL && bytes != 0)
        memcpy(to, from, bytes);
}

void cv_batch_encode_into(void *body, const struct cv_batch *b, struct cv_batch_out *out)
{
    struct layout l = lay_out(b->n_cmd, b->n_row, b->n_ask, b->n_id, cv_carry_row_bytes(b->carry, b->width));
    struct cv_head head = {.kind = CV_KIND_BATCH,
                           .carry = (uint8_t)b->carry,
                           .epoch = b->epoch,
                           .seq = b->seq,
                           .batch_id = b->batch_id,
                           .n_cmd = b->n_cmd,
                           .n_row = b->n_row,
                           .n_ask = b->n_ask,
                           .n_id = b->n_id,
                           .width = b->width,
                           .compute_us = b->compute_us};
    cv_head_write(body, head, (size_t)l.end);
    unsigned char *at = body;
    out->cmd = (struct cv_cmd *)(at + CV_HEAD_BYTES);
    out->row = (struct cv_row *)(at + l.row);
    out->ask = (struct cv_ask *)(at + l.ask);
    out->id = (int32_t *)(at + l.id);
    out->carry_data = at + l.carry;
    copy_section(out->cmd, b->cmd, b->n_cmd * sizeof(*b->cmd));
    copy_section(out->row, b->row, b->n_row * sizeof(*b->row));
    copy_section(out->ask, b->ask, b->n_ask * sizeof(*b->ask));
    copy_section(out->id, b->id, b->n_id * sizeof(*b->id));
    /* no byte of the sender's heap travels in the padding */
    size_t ids_end = (size_t)l.id + b->n_id * sizeof(*b->id);
    memset(at + ids_end, 0, (size_t)l.carry - ids_end);
}

void cv_batch_set_compute_us(void *body, uint32_t compute_us)
{
    cv_store_u32((unsigned char *)body + offsetof(struct cv_head, compute_us), compute_us);
}

static bool check_count(const char *what, uint32_t n, uint32_t plan, uint32_t system, struct cv_error *err)
{
    uint32_t most = plan < system ? plan : system;
    return n <= most || cv_fail(err, CV_ERR_LIMIT, "batch of %u %s, the limit is %u", n, what, most);
}

static bool check_cmds(const struct cv_batch *b, const struct cv_batch_limits *lim, struct cv_error *err)
{
    for (uint32_t i = 0; i < b->n_cmd; i++) {
        const struct cv_cmd *c = &b->cmd[i];
        if (c->op < CV_CMD_NEW || c->op > CV_CMD_FREE)
            return cv_fail(err, CV_ERR_FORMAT, "command %u: unknown operation %u", i, c->op);
        if (c->slot >= lim->n_slots)
            return cv_fail(err, CV_ERR_FORMAT, "command %u: slot %u of %u", i, c->slot, lim->n_slots);
        if (c->op == CV_CMD_FORK && c->other >= lim->n_slots)
            return cv_fail(err, CV_ERR_FORMAT, "command %u: forks slot %u of %u", i, c->other, lim->n_slots);
        if ((c->op == CV_CMD_FORK || c->op == CV_CMD_TRIM) && c->pos > lim->n_ctx)
            return cv_fail(err, CV_ERR_FORMAT, "command %u: position %u, the context is %u", i, c->pos, lim->n_ctx);
    }
    return true;
}

static bool check_rows(const struct cv_batch *b, const struct cv_batch_limits *lim, struct cv_error *err)
{
    uint32_t n_wanted = 0;
    for (uint32_t i = 0; i < b->n_row; i++) {
        const struct cv_row *r = &b->row[i];
        if (r->slot >= lim->n_slots)
            return cv_fail(err, CV_ERR_FORMAT, "row %u: slot %u of %u", i, r->slot, lim->n_slots);
        if (r->pos >= lim->n_ctx)
            return cv_fail(err, CV_ERR_FORMAT, "row %u: position %u, the context is %u", i, r->pos, lim->n_ctx);
        if (r->token < 0 || (uint32_t)r->token >= lim->n_vocab)
            return cv_fail(err, CV_ERR_FORMAT, "row %u: token %d of %u", i, r->token, lim->n_vocab);
        if ((r->flags & ~(uint32_t)CV_ROW_WANT) != 0)
            return cv_fail(err, CV_ERR_FORMAT, "row %u: unknown flags %x", i, r->flags);
        n_wanted += r->flags & CV_ROW_WANT;
    }
    return n_wanted == b->n_ask || cv_fail(err, CV_ERR_FORMAT, "%u rows are wanted, %u asks", n_wanted, b->n_ask);
}

static bool check_asks(const struct cv_batch *b, const struct cv_batch_limits *lim, struct cv_error *err)
{
    for (uint32_t i = 0; i < b->n_ask; i++) {
        const struct cv_ask *a = &b->ask[i];
        if (a->row >= b->n_row || (b->row[a->row].flags & CV_ROW_WANT) == 0)
            return cv_fail(err, CV_ERR_FORMAT, "ask %u: row %u is not a wanted one of %u", i, a->row, b->n_row);
        if (i > 0 && a->row <= b->ask[i - 1].row)
            return cv_fail(err, CV_ERR_FORMAT, "ask %u: row %u comes after row %u", i, a->row, b->ask[i - 1].row);
        if (a->n_top != CV_ASK_ALL && a->n_top > lim->n_vocab)
            return cv_fail(err, CV_ERR_FORMAT, "ask %u: the best %u of %u", i, a->n_top, lim->n_vocab);
        if (a->ids_first > b->n_id || a->n_ids > b->n_id - a->ids_first)
            return cv_fail(err, CV_ERR_FORMAT, "ask %u: ids %u + %u of %u", i, a->ids_first, a->n_ids, b->n_id);
    }
    for (uint32_t i = 0; i < b->n_id; i++) {
        if (b->id[i] < 0 || (uint32_t)b->id[i] >= lim->n_vocab)
            return cv_fail(err, CV_ERR_FORMAT, "id %u: token %d of %u", i, b->id[i], lim->n_vocab);
    }
    return true;
}

bool cv_batch_decode(const void *data, size_t len, const struct cv_batch_limits *lim, struct cv_batch *out,
                     struct cv_error *err)
{
    struct cv_head h = {0};
    if (!cv_head_decode_kind(data, len, CV_KIND_BATCH, &h, err))
        return false;
    if (!check_count("commands", h.n_cmd, lim->n_cmd, CV_MAX_BATCH_CMDS, err) ||
        !check_count("rows", h.n_row, lim->n_row, CV_MAX_BATCH_ROWS, err) ||
        !check_count("asks", h.n_ask, lim->n_ask, CV_MAX_BATCH_ASKS, err) ||
        !check_count("ids", h.n_id, lim->n_id, CV_MAX_BATCH_IDS, err))
        return false;
    if (h.carry == CV_CARRY_Q8)
        return cv_fail(err, CV_ERR_UNSUPPORTED, "carry type q8 is not supported");
    if (h.carry != lim->carry || h.width != lim->width || !carry_fits((enum cv_carry)h.carry, h.width) ||
        h.width > CV_MAX_EMBD)
        return cv_fail(err, CV_ERR_FORMAT, "carry %s of width %u, expected %s of width %u",
                       cv_carry_name((enum cv_carry)h.carry), h.width, cv_carry_name(lim->carry), lim->width);
    struct layout l = lay_out(h.n_cmd, h.n_row, h.n_ask, h.n_id, cv_carry_row_bytes((enum cv_carry)h.carry, h.width));
    if (l.end != len)
        return cv_fail(err, CV_ERR_FORMAT, "batch of %zu bytes, its counts make %llu", len, (unsigned long long)l.end);
    const unsigned char *at = data;
    struct cv_batch b = {.epoch = h.epoch,
                         .seq = h.seq,
                         .batch_id = h.batch_id,
                         .compute_us = h.compute_us,
                         .n_cmd = h.n_cmd,
                         .n_row = h.n_row,
                         .n_ask = h.n_ask,
                         .n_id = h.n_id,
                         .carry = (enum cv_carry)h.carry,
                         .width = h.width,
                         .cmd = (const struct cv_cmd *)(at + CV_HEAD_BYTES),
                         .row = (const struct cv_row *)(at + l.row),
                         .ask = (const struct cv_ask *)(at + l.ask),
                         .id = (const int32_t *)(at + l.id),
                         .carry_data = at + l.carry};
    if (!check_cmds(&b, lim, err) || !check_rows(&b, lim, err) || !check_asks(&b, lim, err))
        return false;
    *out = b;
    return true;
}

static uint32_t at_most(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

size_t cv_batch_max_bytes(const struct cv_batch_limits *lim)
{
    uint64_t end = lay_out(at_most(lim->n_cmd, CV_MAX_BATCH_CMDS), at_most(lim->n_row, CV_MAX_BATCH_ROWS),
                           at_most(lim->n_ask, CV_MAX_BATCH_ASKS), at_most(lim->n_id, CV_MAX_BATCH_IDS),
                           cv_carry_row_bytes(lim->carry, at_most(lim->width, CV_MAX_EMBD)))
                       .end;
    if (end < CV_STAGE_ERROR_MAX)
        end = CV_STAGE_ERROR_MAX; /* a HELLO or an ERROR always passes */
    return end <= CV_MAX_MESSAGE_BYTES ? (size_t)end : CV_MAX_MESSAGE_BYTES;
}

/* ---- HELLO ---- */

void cv_edge_hello_encode(unsigned char out[CV_HELLO_BYTES], const struct cv_edge_hello *hello)
{
    memset(out, 0, CV_HELLO_BYTES);
    cv_head_write(out, (struct cv_head){.kind = CV_KIND_HELLO, .epoch = hello->epoch}, CV_HELLO_BYTES);
    cv_store_u64(out + CV_HEAD_BYTES, hello->link);
    memcpy(out + CV_HEAD_BYTES + 8, hello->secret, CV_SECRET_BYTES);
}

bool cv_edge_hello_decode(const void *data, size_t len, struct cv_edge_hello *out, struct cv_error *err)
{
    struct cv_head h = {0};
    if (!cv_head_decode_kind(data, len, CV_KIND_HELLO, &h, err))
        return false;
    if (len != CV_HELLO_BYTES)
        return cv_fail(err, CV_ERR_FORMAT, "hello of %zu bytes, expected %d", len, CV_HELLO_BYTES);
    const unsigned char *at = (const unsigned char *)data + CV_HEAD_BYTES;
    out->epoch = h.epoch;
    out->link = cv_load_u64(at);
    memcpy(out->secret, at + 8, CV_SECRET_BYTES);
    return true;
}

bool cv_edge_hello_equal(const struct cv_edge_hello *a, const struct cv_edge_hello *b)
{
    bool secret = cv_equal_ct(a->secret, b->secret, CV_SECRET_BYTES);
    return secret && a->epoch == b->epoch && a->link == b->link;
}

/* ---- BYE ---- */

void cv_edge_bye_encode(unsigned char out[CV_HEAD_BYTES], uint64_t epoch)
{
    cv_head_write(out, (struct cv_head){.kind = CV_KIND_BYE, .epoch = epoch}, CV_HEAD_BYTES);
}

bool cv_edge_bye_is(const void *data, size_t len)
{
    struct cv_head h = {0};
    return len == CV_HEAD_BYTES && cv_head_decode(data, len, &h, NULL) && h.kind == CV_KIND_BYE;
}

/* ---- ERROR ---- */

size_t cv_stage_error_encode(unsigned char out[CV_STAGE_ERROR_MAX], const struct cv_stage_error *e)
{
    size_t n = strnlen(e->text, CV_STAGE_ERROR_TEXT - 1);
    n = cv_utf8_valid_prefix(e->text, n);
    struct cv_head head = {.kind = CV_KIND_ERROR, .epoch = e->epoch, .seq = e->seq, .batch_id = e->batch_id};
    size_t len = CV_HEAD_BYTES + 16 + n;
    cv_head_write(out, head, len);
    unsigned char *at = out + CV_HEAD_BYTES;
    cv_store_u32(at, (uint32_t)e->code);
    cv_store_u32(at + 4, e->stage);
    cv_store_u32(at + 8, (uint32_t)n);
    cv_store_u32(at + 12, 0);
    memcpy(at + 16, e->text, n);
    return len;
}

bool cv_stage_error_decode(const void *data, size_t len, struct cv_stage_error *out, struct cv_error *err)
{
    struct cv_head h = {0};
    if (!cv_head_decode_kind(data, len, CV_KIND_ERROR, &h, err))
        return false;
    if (len < CV_HEAD_BYTES + 16)
        return cv_fail(err, CV_ERR_FORMAT, "error message of %zu bytes", len);
    const unsigned char *at = (const unsigned char *)data + CV_HEAD_BYTES;
    uint32_t code = cv_load_u32(at), n = cv_load_u32(at + 8);
    if (n >= CV_STAGE_ERROR_TEXT || n != len - CV_HEAD_BYTES - 16)
        return cv_fail(err, CV_ERR_FORMAT, "error message with a text of %u bytes in %zu", n, len);
    if (cv_utf8_valid_prefix((const char *)at + 16, n) != n || memchr(at + 16, 0, n) != NULL)
        return cv_fail(err, CV_ERR_FORMAT, "error message whose text is not UTF-8");
    *out =
        (struct cv_stage_error){.epoch = h.epoch, .seq = h.seq, .batch_id = h.batch_id, .stage = cv_load_u32(at + 4)};
    /* a code that a later version may have: still an error, of no known kind */
    out->code = code > CV_OK && code <= CV_ERR_INTERNAL ? (enum cv_code)code : CV_ERR_PEER;
    memcpy(out->text, at + 16, n);
    return true;
}
