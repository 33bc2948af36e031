/* fuzz_batch.c - every decoder of the data plane on the same bytes. What one of them lets through is read to its end. */
#include <stdlib.h>
#include <string.h>

#include "proto/batch.h"
#include "proto/result.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t sink; /* so that reading is not optimized away */

static void read_all(const void *p, size_t n)
{
    const unsigned char *at = p;
    for (size_t i = 0; i < n; i++)
        sink += at[i];
}

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void batch(const void *data, size_t size, enum cv_carry carry, uint32_t width)
{
    const struct cv_batch_limits limits = {.n_cmd = 8,
                                           .n_row = 16,
                                           .n_ask = 16,
                                           .n_id = 64,
                                           .n_slots = 4,
                                           .n_ctx = 100,
                                           .n_vocab = 1000,
                                           .carry = carry,
                                           .width = width};
    struct cv_batch b;
    struct cv_error err;
    float row[16 * 5];
    if (!cv_batch_decode(data, size, &limits, &b, &err)) {
        check(err.msg[0] != '\0');
        return;
    }
    read_all(b.cmd, b.n_cmd * sizeof(*b.cmd));
    read_all(b.id, b.n_id * sizeof(*b.id));
    for (uint32_t i = 0; i < b.n_row; i++)
        check(b.row[i].slot < 4 && b.row[i].pos < 100 && b.row[i].token >= 0 && b.row[i].token < 1000);
    for (uint32_t i = 0; i < b.n_ask; i++)
        check(b.ask[i].row < b.n_row && b.ask[i].n_ids <= b.n_id && b.ask[i].ids_first <= b.n_id - b.ask[i].n_ids);
    cv_carry_decode(b.carry, b.carry_data, b.n_row, b.width, row);
    read_all(b.carry_data, b.n_row * cv_carry_row_bytes(b.carry, b.width));
    check(cv_batch_measure(&b) == size && size <= cv_batch_max_bytes(&limits));
}

static void results(const void *data, size_t size)
{
    const struct cv_result_limits limits = {
        .n_row = 16, .n_slots = 4, .n_ctx = 100, .n_vocab = 10, .n_result = 4, .n_cand = 8, .n_whole = 2};
    struct cv_results r;
    struct cv_error err;
    if (!cv_results_decode(data, size, &limits, &r, &err)) {
        check(err.msg[0] != '\0');
        return;
    }
    for (uint32_t i = 0; i < r.n_result; i++) {
        const struct cv_result *x = &r.result[i];
        if (x->n_top == CV_ASK_ALL)
            read_all(r.whole + (size_t)x->first * r.n_vocab, r.n_vocab * sizeof(float));
        else
            read_all(r.cand + x->first, ((size_t)x->n_top + x->n_named) * sizeof(*r.cand));
    }
    check(cv_results_measure(&r) == size && size <= cv_results_max_bytes(&limits));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cv_edge_hello hello;
    struct cv_stage_error e;
    struct cv_error err;
    void *copy = malloc(size != 0 ? size : 1); /* aligned as a message is, and no byte longer */
    if (copy == NULL)
        return 0;
    if (size != 0)
        memcpy(copy, data, size);
    batch(copy, size, CV_CARRY_NONE, 0);
    batch(copy, size, CV_CARRY_F32, 5);
    batch(copy, size, CV_CARRY_F16, 5);
    results(copy, size);
    if (cv_edge_hello_decode(copy, size, &hello, &err))
        check(cv_edge_hello_equal(&hello, &hello));
    if (cv_stage_error_decode(copy, size, &e, &err))
        check(e.code != CV_OK && strlen(e.text) < sizeof(e.text));
    (void)cv_edge_bye_is(copy, size);
    free(copy);
    return 0;
}
