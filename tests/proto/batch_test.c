/* batch_test.c - messages of the data plane: what goes in comes out, and nothing false is taken. */
#include <string.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "proto/batch.h"
#include "proto/result.h"
#include "tests/check/check.h"

static const struct cv_batch_limits limits = {.n_cmd = 8,
                                              .n_row = 16,
                                              .n_ask = 16,
                                              .n_id = 64,
                                              .n_slots = 4,
                                              .n_ctx = 100,
                                              .n_vocab = 1000,
                                              .carry = CV_CARRY_F16,
                                              .width = 5};

static const struct cv_cmd some_cmds[] = {{CV_CMD_NEW, 0, 0, 0}, {CV_CMD_FORK, 1, 0, 7}, {CV_CMD_TRIM, 1, 0, 3}};
static const struct cv_row some_rows[] = {{0, 0, 11, 0}, {0, 1, 12, CV_ROW_WANT}, {1, 3, 999, CV_ROW_WANT}};
static const struct cv_ask some_asks[] = {{1, 40, 0, 2}, {2, CV_ASK_ALL, 2, 1}};
static const int32_t some_ids[] = {5, 6, 0};

static struct cv_batch a_batch(void)
{
    return (struct cv_batch){.epoch = 9,
                             .seq = 1234567890123u,
                             .batch_id = 77,
                             .compute_us = 5,
                             .n_cmd = 3,
                             .n_row = 3,
                             .n_ask = 2,
                             .n_id = 3,
                             .carry = CV_CARRY_F16,
                             .width = 5,
                             .cmd = some_cmds,
                             .row = some_rows,
                             .ask = some_asks,
                             .id = some_ids};
}

/* In memory that ends at an unreadable page. */
static unsigned char *encoded(const struct cv_batch *b, size_t *len, struct cv_batch_out *out)
{
    *len = cv_batch_measure(b);
    CHECK(*len != 0 && *len % 4 == 0);
    size_t room = (*len + 7) / 8 * 8; /* the start is aligned to 8 */
    unsigned char *body = (unsigned char *)check_guarded(room);
    cv_batch_encode_into(body, b, out);
    memset(out->carry_data, 0, (size_t)(body + *len - (unsigned char *)out->carry_data));
    return body;
}

static void test_a_batch_comes_back_as_it_was(void)
{
    struct cv_batch b = a_batch(), got;
    struct cv_batch_out out;
    struct cv_error err;
    size_t len;
    unsigned char *body = encoded(&b, &len, &out);
    memset(out.carry_data, 0x5a, 3 * cv_carry_row_bytes(CV_CARRY_F16, 5));
    cv_batch_set_compute_us(body, 4321);
    CHECK_OK(cv_batch_decode(body, len, &limits, &got, &err), err);
    CHECK_EQ(got.epoch, 9);
    CHECK_EQ(got.seq, 1234567890123);
    CHECK_EQ(got.batch_id, 77);
    CHECK_EQ(got.compute_us, 4321);
    CHECK_EQ(got.n_cmd, 3);
    CHECK_EQ(got.n_row, 3);
    CHECK_EQ(got.n_ask, 2);
    CHECK_EQ(got.n_id, 3);
    CHECK(memcmp(got.cmd, some_cmds, sizeof(some_cmds)) == 0);
    CHECK(memcmp(got.row, some_rows, sizeof(some_rows)) == 0);
    CHECK(memcmp(got.ask, some_asks, sizeof(some_asks)) == 0);
    CHECK(memcmp(got.id, some_ids, sizeof(some_ids)) == 0);
    CHECK_EQ(((const unsigned char *)got.carry_data)[0], 0x5a);
    CHECK((const unsigned char *)got.carry_data + 3 * cv_carry_row_bytes(CV_CARRY_F16, 5) == body + len);
    CHECK(len <= cv_batch_max_bytes(&limits));
}

static void test_a_batch_may_be_empty(void)
{
    struct cv_batch b = {.carry = CV_CARRY_F16, .width = 5}, got;
    struct cv_batch_out out;
    struct cv_error err;
    size_t len;
    unsigned char *body = encoded(&b, &len, &out);
    CHECK_EQ(len, CV_HEAD_BYTES);
    CHECK_OK(cv_batch_decode(body, len, &limits, &got, &err), err);
}

static void test_every_wrong_length_is_refused(void)
{
    struct cv_batch b = a_batch(), got;
    struct cv_batch_out out;
    struct cv_error err;
    size_t len;
    unsigned char *body = encoded(&b, &len, &out);
    for (size_t n = 0; n < len; n++) {
        unsigned char *part = check_guarded((n + 7) / 8 * 8);
        memcpy(part, body, n);
        CHECK(!cv_batch_decode(part, n, &limits, &got, &err));
        if (n >= CV_HEAD_BYTES) { /* the head agrees with the length, the counts do not */
            uint64_t payload = n - CV_HEAD_BYTES;
            memcpy(part + offsetof(struct cv_head, payload_bytes), &payload, 8);
            CHECK(!cv_batch_decode(part, n, &limits, &got, &err));
            CHECK_EQ(err.code, CV_ERR_FORMAT);
        }
    }
}

/* Encodes b, puts a u32 at offset, and wants the error to contain part. */
static void refused(struct cv_batch b, enum cv_code code, const char *part)
{
    struct cv_batch got;
    struct cv_batch_out out;
    struct cv_error err;
    size_t len;
    unsigned char *body = encoded(&b, &len, &out);
    CHECK(!cv_batch_decode(body, len, &limits, &got, &err));
    CHECK_CONTAINS(err.msg, part);
    CHECK_EQ(err.code, code);
}

static void test_commands_that_make_no_sense_are_refused(void)
{
    static const struct cv_cmd op = {9, 0, 0, 0}, slot = {CV_CMD_NEW, 4, 0, 0}, other = {CV_CMD_FORK, 0, 4, 0},
                               pos = {CV_CMD_TRIM, 0, 0, 101};
    struct cv_batch b = a_batch();
    b.n_cmd = 1;
    b.cmd = &op;
    refused(b, CV_ERR_FORMAT, "command 0: unknown operation 9");
    b.cmd = &slot;
    refused(b, CV_ERR_FORMAT, "command 0: slot 4 of 4");
    b.cmd = &other;
    refused(b, CV_ERR_FORMAT, "forks slot 4 of 4");
    b.cmd = &pos;
    refused(b, CV_ERR_FORMAT, "position 101, the context is 100");
}

static void test_rows_that_make_no_sense_are_refused(void)
{
    struct cv_row r[3];
    struct cv_batch b = a_batch();
    b.row = r;
    memcpy(r, some_rows, sizeof(r));
    r[1].slot = 4;
    refused(b, CV_ERR_FORMAT, "row 1: slot 4 of 4");
    memcpy(r, some_rows, sizeof(r));
    r[0].pos = 100;
    refused(b, CV_ERR_FORMAT, "row 0: position 100, the context is 100");
    memcpy(r, some_rows, sizeof(r));
    r[2].token = -1;
    refused(b, CV_ERR_FORMAT, "row 2: token -1 of 1000");
    r[2].token = 1000;
    refused(b, CV_ERR_FORMAT, "row 2: token 1000 of 1000");
    memcpy(r, some_rows, sizeof(r));
    r[0].flags = 2;
    refused(b, CV_ERR_FORMAT, "unknown flags 2");
    r[0].flags = CV_ROW_WANT;
    refused(b, CV_ERR_FORMAT, "3 rows are wanted, 2 asks");
}

static void test_asks_that_make_no_sense_are_refused(void)
{
    struct cv_ask a[2];
    struct cv_batch b = a_batch();
    b.ask = a;
    memcpy(a, some_asks, sizeof(a));
    a[0].row = 0;
    refused(b, CV_ERR_FORMAT, "ask 0: row 0 is not a wanted one");
    memcpy(a, some_asks, sizeof(a));
    a[1].row = 1;
    refused(b, CV_ERR_FORMAT, "ask 1: row 1 comes after row 1");
    memcpy(a, some_asks, sizeof(a));
    a[0].n_top = 1001;
    refused(b, CV_ERR_FORMAT, "ask 0: the best 1001 of 1000");
    memcpy(a, some_asks, sizeof(a));
    a[0].ids_first = 2;
    refused(b, CV_ERR_FORMAT, "ask 0: ids 2 + 2 of 3");
    a[0].ids_first = UINT32_MAX;
    refused(b, CV_ERR_FORMAT, "ids 4294967295 + 2 of 3");
    static const int32_t ids[] = {5, 1000, 0};
    b = a_batch();
    b.id = ids;
    refused(b, CV_ERR_FORMAT, "id 1: token 1000 of 1000");
}

static void test_counts_past_the_plan_are_refused(void)
{
    struct cv_batch b = a_batch();
    b.n_cmd = 9;
    b.cmd = NULL;
    refused(b, CV_ERR_LIMIT, "batch of 9 commands, the limit is 8");
    b = a_batch();
    b.n_row = 17;
    b.row = NULL;
    refused(b, CV_ERR_LIMIT, "batch of 17 rows, the limit is 16");
    b = a_batch();
    b.n_row = CV_MAX_BATCH_ROWS + 1;
    CHECK_EQ(cv_batch_measure(&b), 0);
    b = a_batch();
    b.width = CV_MAX_EMBD + 1;
    CHECK_EQ(cv_batch_measure(&b), 0);
    b = a_batch();
    b.carry = CV_CARRY_Q8;
    CHECK_EQ(cv_batch_measure(&b), 0);
    b.carry = CV_CARRY_NONE; /* a width without a carry */
    CHECK_EQ(cv_batch_measure(&b), 0);
}

static void test_another_carry_is_refused_by_name(void)
{
    struct cv_batch b = a_batch(), got;
    struct cv_batch_out out;
    struct cv_error err;
    size_t len;
    b.carry = CV_CARRY_F32;
    refused(b, CV_ERR_FORMAT, "carry f32 of width 5, expected f16 of width 5");
    b = a_batch();
    b.width = 6;
    refused(b, CV_ERR_FORMAT, "carry f16 of width 6, expected f16 of width 5");
    b = a_batch();
    unsigned char *body = encoded(&b, &len, &out);
    body[offsetof(struct cv_head, carry)] = CV_CARRY_Q8;
    CHECK(!cv_batch_decode(body, len, &limits, &got, &err));
    CHECK_EQ(err.code, CV_ERR_UNSUPPORTED);
    CHECK_CONTAINS(err.msg, "q8");
}

static void test_a_foreign_head_is_refused(void)
{
    struct cv_batch b = a_batch(), got;
    struct cv_batch_out out;
    struct cv_results results;
    struct cv_head head;
    struct cv_error err;
    size_t len;
    unsigned char *body = encoded(&b, &len, &out);
    CHECK_OK(cv_head_decode(body, len, &head, &err), err);
    CHECK_EQ(head.kind, CV_KIND_BATCH);
    CHECK_EQ(head.epoch, 9);
    CHECK(!cv_results_decode(body, len, &(struct cv_result_limits){.n_row = 1}, &results, &err));
    CHECK_CONTAINS(err.msg, "kind 2, expected 3");
    body[0] ^= 1;
    CHECK(!cv_batch_decode(body, len, &limits, &got, &err));
    CHECK_CONTAINS(err.msg, "not with CVB1");
    body[0] ^= 1;
    body[4] = 2;
    CHECK(!cv_batch_decode(body, len, &limits, &got, &err));
    CHECK_EQ(err.code, CV_ERR_PEER);
    CHECK_CONTAINS(err.msg, "protocol version 2");
    body[4] = CV_PROTO_VERSION;
    body[6] = 99;
    CHECK(!cv_head_decode(body, len, &head, &err));
    CHECK_CONTAINS(err.msg, "unknown kind 99");
}

/* Whatever a byte is changed to, the answer is yes or no, and a yes keeps every promise. */
static void test_changed_bytes_never_break_the_promises(void)
{
    struct cv_batch b = a_batch(), got;
    struct cv_batch_out out;
    struct cv_error err;
    size_t len;
    unsigned char *body = encoded(&b, &len, &out);
    for (int round = 0; round < 20000; round++) {
        size_t at = check_below(len);
        unsigned char was = body[at];
        body[at] = (unsigned char)check_rand();
        if (cv_batch_decode(body, len, &limits, &got, &err)) {
            for (uint32_t i = 0; i < got.n_row; i++)
                CHECK(got.row[i].slot < 4 && got.row[i].pos < 100 && got.row[i].token < 1000);
            for (uint32_t i = 0; i < got.n_ask; i++)
                CHECK(got.ask[i].row < got.n_row && got.ask[i].ids_first + got.ask[i].n_ids <= got.n_id);
        }
        body[at] = was;
    }
}

static void test_a_hello_shows_link_epoch_and_secret(void)
{
    struct cv_edge_hello h = {.epoch = 3, .link = 8}, got;
    struct cv_error err;
    CHECK(cv_random_bytes(h.secret, sizeof(h.secret)));
    unsigned char *bytes = check_guarded(CV_HELLO_BYTES);
    cv_edge_hello_encode(bytes, &h);
    CHECK_OK(cv_edge_hello_decode(bytes, CV_HELLO_BYTES, &got, &err), err);
    CHECK(cv_edge_hello_equal(&h, &got));
    got.link = 9;
    CHECK(!cv_edge_hello_equal(&h, &got));
    got.link = 8;
    got.secret[15] ^= 1;
    CHECK(!cv_edge_hello_equal(&h, &got));
    for (size_t n = 0; n < CV_HELLO_BYTES; n++)
        CHECK(!cv_edge_hello_decode(bytes, n, &got, &err));
}

static void test_an_error_names_its_stage(void)
{
    struct cv_stage_error e = {.epoch = 3, .seq = 4, .batch_id = 5, .stage = 2, .code = CV_ERR_NOMEM}, got;
    struct cv_error err;
    strcpy(e.text, "pages are used up");
    unsigned char *bytes = check_guarded(CV_STAGE_ERROR_MAX);
    size_t len = cv_stage_error_encode(bytes, &e);
    CHECK_OK(cv_stage_error_decode(bytes, len, &got, &err), err);
    CHECK_EQ(got.stage, 2);
    CHECK_EQ(got.code, CV_ERR_NOMEM);
    CHECK_EQ(got.seq, 4);
    CHECK_STR(got.text, "pages are used up");
    bytes[CV_HEAD_BYTES] = 200; /* a code of a later version */
    CHECK_OK(cv_stage_error_decode(bytes, len, &got, &err), err);
    CHECK_EQ(got.code, CV_ERR_PEER);
    bytes[len - 1] = 0xff;
    CHECK(!cv_stage_error_decode(bytes, len, &got, &err));
    bytes[CV_HEAD_BYTES + 8] = 200;
    CHECK(!cv_stage_error_decode(bytes, len, &got, &err));
    memset(e.text, 'x', sizeof(e.text)); /* no NUL: cut, not read past */
    len = cv_stage_error_encode(bytes, &e);
    CHECK(len <= CV_STAGE_ERROR_MAX);
    CHECK_OK(cv_stage_error_decode(bytes, len, &got, &err), err);
    CHECK_EQ(strlen(got.text), CV_STAGE_ERROR_TEXT - 1);
}

/* ---- results ---- */

static const struct cv_result_limits result_limits = {
    .n_row = 16, .n_slots = 4, .n_ctx = 100, .n_vocab = 10, .n_result = 4, .n_cand = 8, .n_whole = 2};
static const struct cv_result some_results[] = {{1, 0, 5, 0, 2, 1, 3.5}, {2, 1, 6, 0, CV_ASK_ALL, 0, -1.25}};
static const struct cv_candidate some_cands[] = {{3, 1.5f}, {9, 1.0f}, {0, -7.0f}};

static struct cv_results some(const float *whole)
{
    return (struct cv_results){.epoch = 1,
                               .seq = 2,
                               .batch_id = 3,
                               .compute_us = 44,
                               .n_result = 2,
                               .n_cand = 3,
                               .n_whole = 1,
                               .n_vocab = 10,
                               .result = some_results,
                               .cand = some_cands,
                               .whole = whole};
}

static void test_results_come_back_as_they_were(void)
{
    float whole[10];
    for (int i = 0; i < 10; i++)
        whole[i] = check_normal();
    struct cv_results r = some(whole), got;
    struct cv_results_out out;
    struct cv_error err;
    size_t len = cv_results_measure(&r);
    CHECK(len != 0 && len <= cv_results_max_bytes(&result_limits));
    unsigned char *body = check_guarded((len + 7) / 8 * 8);
    cv_results_encode_into(body, &r, &out);
    CHECK_OK(cv_results_decode(body, len, &result_limits, &got, &err), err);
    CHECK_EQ(got.compute_us, 44);
    CHECK(memcmp(got.result, some_results, sizeof(some_results)) == 0);
    CHECK(memcmp(got.cand, some_cands, sizeof(some_cands)) == 0);
    CHECK(memcmp(got.whole, whole, sizeof(whole)) == 0);
    for (size_t n = 0; n < len; n++)
        CHECK(!cv_results_decode(body, n, &result_limits, &got, &err));
}

static void results_refused(const struct cv_results *r, const char *part)
{
    struct cv_results got;
    struct cv_results_out out;
    struct cv_error err;
    size_t len = cv_results_measure(r);
    CHECK(len != 0);
    unsigned char *body = check_guarded((len + 7) / 8 * 8);
    memset(body, 0, len);
    cv_results_encode_into(body, r, &out);
    CHECK(!cv_results_decode(body, len, &result_limits, &got, &err));
    CHECK_CONTAINS(err.msg, part);
}

static void test_results_that_make_no_sense_are_refused(void)
{
    struct cv_result x[2];
    struct cv_candidate c[3];
    struct cv_results r = some(NULL);
    r.result = x;
    memcpy(x, some_results, sizeof(x));
    x[1].row = 1;
    results_refused(&r, "result 1: row 1 of 16 is out of order");
    memcpy(x, some_results, sizeof(x));
    x[0].pos = 100;
    results_refused(&r, "result 0: slot 0 of 4, position 100 of 100");
    memcpy(x, some_results, sizeof(x));
    x[0].n_top = 3;
    results_refused(&r, "result 0: candidates 0 + 4 of 3");
    x[0].n_top = UINT32_MAX - 1;
    results_refused(&r, "result 0: candidates");
    memcpy(x, some_results, sizeof(x));
    x[1].first = 1;
    results_refused(&r, "result 1: whole row 1 of 1");
    r = some(NULL);
    r.cand = c;
    memcpy(c, some_cands, sizeof(c));
    c[2].id = 10;
    results_refused(&r, "candidate 2: token 10 of 10");
    c[2].id = -1;
    results_refused(&r, "candidate 2: token -1 of 10");
    r = some(NULL);
    r.n_cand = 9;
    r.cand = NULL;
    results_refused(&r, "9 candidates");
    r = some(NULL);
    r.n_vocab = 11;
    results_refused(&r, "result of 11 tokens, expected 10");
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_a_batch_comes_back_as_it_was),        CASE(test_a_batch_may_be_empty),
        CASE(test_every_wrong_length_is_refused),       CASE(test_commands_that_make_no_sense_are_refused),
        CASE(test_rows_that_make_no_sense_are_refused), CASE(test_asks_that_make_no_sense_are_refused),
        CASE(test_counts_past_the_plan_are_refused),    CASE(test_another_carry_is_refused_by_name),
        CASE(test_a_foreign_head_is_refused),           CASE(test_changed_bytes_never_break_the_promises),
        CASE(test_a_hello_shows_link_epoch_and_secret), CASE(test_an_error_names_its_stage),
        CASE(test_results_come_back_as_they_were),      CASE(test_results_that_make_no_sense_are_refused),
    };
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
