/*
 * split_test.c - what travels between stages: as f32 it changes no bit of the logits, as f16 next to nothing.
 *
 * On the trained model that comes with the project, cut in 2, 3 and as many stages as it has layers, with the carry
 * packed and unpacked between them as a worker does it.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "engine/chain.h"
#include "gguf/hparams.h"
#include "proto/carry.h"
#include "tests/check/check.h"

enum { ROWS = 48, CTX = 64, MAX_STAGES = 64 };

static struct cv_model *model;
static struct cv_hparams hparams;
static struct cv_pool *pool;

/* Logits of all rows, in one step through n stages; the carry is packed as type between them. */
static float *logits_of(uint32_t n_stage, enum cv_carry type)
{
    struct cv_error err;
    struct cv_stage *stage[MAX_STAGES];
    struct cv_row row[ROWS];
    const struct cv_cmd cmd = {.op = CV_CMD_NEW};
    struct cv_weight_source source = cv_model_weights(model);
    float *carry = cv_calloc(ROWS * (size_t)hparams.n_embd, sizeof(*carry));
    float *logits = cv_calloc(ROWS * (size_t)hparams.n_vocab, sizeof(*logits));
    void *packed = cv_calloc(ROWS, cv_carry_row_bytes(CV_CARRY_F32, hparams.n_embd));
    CHECK(carry != NULL && logits != NULL && packed != NULL);
    for (uint32_t i = 0; i < ROWS; i++)
        row[i] = (struct cv_row){
            .pos = i, .token = (int32_t)check_below(hparams.n_vocab), .flags = CV_ROW_WANT};
    for (uint32_t i = 0; i < n_stage; i++) {
        const struct cv_stage_spec spec = {.layer_first = i * hparams.n_layer / n_stage,
                                           .layer_last = (i + 1) * hparams.n_layer / n_stage,
                                           .has_embd = i == 0,
                                           .has_head = i + 1 == n_stage,
                                           .n_slots = 1,
                                           .n_ctx = CTX,
                                           .n_batch = ROWS,
                                           .kv_type = CV_DTYPE_F16};
        CHECK_OK(cv_stage_new(&stage[i], model->gguf, &source, &spec, pool, NULL, &err), err);
        const struct cv_step step = {.cmd = &cmd,
                                     .n_cmd = 1,
                                     .row = row,
                                     .n_row = ROWS,
                                     .carry_in = carry,
                                     .carry_out = carry,
                                     .logits = logits};
        CHECK_OK(cv_stage_step(stage[i], &step, &err), err);
        cv_carry_encode(type, carry, ROWS, hparams.n_embd, packed);
        cv_carry_decode(type, packed, ROWS, hparams.n_embd, carry);
        cv_stage_free(stage[i]);
    }
    cv_free(packed);
    cv_free(carry);
    return logits;
}

static void open_model(void)
{
    struct cv_error err;
    if (model == NULL && !cv_model_open(&model, CV_TEST_MODEL, CV_MODEL_MAP, &err))
        SKIP(err.msg);
    CHECK_OK(cv_hparams_read(&hparams, model->gguf, &err), err);
    CHECK(hparams.n_layer <= MAX_STAGES);
    if (pool == NULL)
        CHECK_OK(cv_pool_new(&pool, 2, &err), err);
}

/* NMSE of the logits of n stages against those of one, the same random rows in both. */
static double nmse_of(uint32_t n_stage, enum cv_carry type, bool *same)
{
    float *one = logits_of(1, CV_CARRY_F32);
    check_rewind();
    float *many = logits_of(n_stage, type);
    check_rewind();
    double error = 0, power = 0;
    const size_t n = ROWS * (size_t)hparams.n_vocab;
    for (size_t i = 0; i < n; i++) {
        error += ((double)many[i] - one[i]) * ((double)many[i] - one[i]);
        power += (double)one[i] * one[i];
    }
    *same = memcmp(one, many, n * sizeof(*one)) == 0;
    cv_free(many);
    cv_free(one);
    return error / power;
}

static void test_f32_between_stages_changes_no_bit(void)
{
    open_model();
    const uint32_t count[] = {2, 3, hparams.n_layer};
    for (size_t i = 0; i < CV_COUNT(count); i++) {
        bool same;
        (void)nmse_of(count[i], CV_CARRY_F32, &same);
        CHECK(same);
    }
}

static void test_f16_between_stages_changes_next_to_nothing(void)
{
    open_model();
    const uint32_t count[] = {2, 3, hparams.n_layer};
    for (size_t i = 0; i < CV_COUNT(count); i++) {
        bool same;
        const double nmse = nmse_of(count[i], CV_CARRY_F16, &same);
        printf("    %u stages: NMSE %.2g\n", count[i], nmse);
        CHECK(!same && nmse <= 1e-6);
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_f32_between_stages_changes_no_bit),
        CASE(test_f16_between_stages_changes_next_to_nothing),
    };
    const int code = check_main(argc, argv, cases, CV_COUNT(cases));
    cv_pool_free(pool);
    cv_model_close(model);
    return code;
}
