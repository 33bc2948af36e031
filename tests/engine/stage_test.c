/*
 * stage_test.c - the whole path on a tiny model: known tokens, and the same bits however rows are fed, mixed and cut.
 */
#include "engine/stage.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "engine/chain.h"
#include "engine/cpu/matrix.h"
#include "tests/check/check.h"
#include "tests/engine/tiny_model.h"

enum { CTX = 700, BATCH = 256, SLOTS = 8 };

static struct cv_stage_spec whole(void)
{
    return (struct cv_stage_spec){.layer_last = TINY_LAYERS,
                                  .has_embd = true,
                                  .has_head = true,
                                  .n_slots = SLOTS,
                                  .n_ctx = CTX,
                                  .n_batch = BATCH,
                                  .kv_type = CV_DTYPE_F32};
}

struct setup {
    struct tiny_model model;
    struct cv_pool *pool;
    struct cv_chain *chain;
};

static void set_up(struct setup *s, const struct tiny_spec *spec, uint32_t n_stage, unsigned n_threads,
                   enum cv_dtype kv_type)
{
    struct cv_error err;
    struct cv_chain_spec chain = {
        .n_stage = n_stage, .n_slots = SLOTS, .n_ctx = CTX, .n_batch = BATCH, .kv_type = kv_type};
    tiny_model_init(&s->model, spec);
    s->pool = NULL;
    if (n_threads > 0)
        CHECK_OK(cv_pool_new(&s->pool, n_threads, &err), err);
    CHECK_OK(cv_chain_new(&s->chain, s->model.gguf, &s->model.source, &chain, s->pool, NULL, &err), err);
}

static void tear_down(struct setup *s)
{
    cv_chain_free(s->chain);
    cv_pool_free(s->pool);
    tiny_model_fini(&s->model);
}

static void command(struct setup *s, uint32_t op, uint32_t slot, uint32_t other, uint32_t pos)
{
    struct cv_error err;
    struct cv_cmd cmd = {.op = op, .slot = slot, .other = other, .pos = pos};
    struct cv_step step = {.cmd = &cmd, .n_cmd = 1};
    CHECK_OK(cv_chain_step(s->chain, &step, &err), err);
}

static void feed(struct setup *s, const struct cv_row *row, size_t n, float *logits)
{
    struct cv_error err;
    struct cv_step step = {.row = row, .n_row = (uint32_t)n, .logits = logits};
    CHECK_OK(cv_chain_step(s->chain, &step, &err), err);
}

static int32_t token_at(size_t i)
{
    return (int32_t)(i * 31 % 89 + i / 7 % 5);
}

/* tokens[from, to) of slot, all wanted, in steps of `chunk`. */
static void feed_tokens(struct setup *s, uint32_t slot, const int32_t *tokens, size_t from, size_t to, size_t chunk,
                        float *logits)
{
    struct cv_row row[BATCH];
    for (size_t at = from, n; at < to; at += n) {
        n = to - at < chunk ? to - at : chunk;
        for (size_t i = 0; i < n; i++)
            row[i] =
                (struct cv_row){.slot = slot, .pos = (uint32_t)(at + i), .token = tokens[at + i], .flags = CV_ROW_WANT};
        feed(s, row, n, logits + (at - from) * TINY_VOCAB);
    }
}

static float *logits_of(size_t n)
{
    float *p = cv_calloc(n * TINY_VOCAB, sizeof(*p));
    CHECK(p != NULL);
    return p;
}

static void check_same(const float *a, const float *b, size_t n_row)
{
    for (size_t i = 0; i < n_row * TINY_VOCAB; i++)
        if (memcmp(&a[i], &b[i], sizeof(float)) != 0)
            CHECK_EQ(i / TINY_VOCAB, -1);
}

static int32_t best(const float *logits)
{
    size_t at = 0;
    for (size_t i = 1; i < TINY_VOCAB; i++)
        at = logits[i] > logits[at] ? i : at;
    return (int32_t)at;
}

static void generate(struct setup *s, const int32_t *prompt, size_t n_prompt, int32_t *out, size_t n)
{
    float *logits = logits_of(n_prompt);
    command(s, CV_CMD_NEW, 0, 0, 0);
    feed_tokens(s, 0, prompt, 0, n_prompt, BATCH, logits);
    int32_t token = best(logits + (n_prompt - 1) * TINY_VOCAB);
    for (size_t i = 0; i < n; i++) {
        out[i] = token;
        struct cv_row row = {.pos = (uint32_t)(n_prompt + i), .token = token, .flags = CV_ROW_WANT};
        feed(s, &row, 1, logits);
        token = best(logits);
    }
    cv_free(logits);
}

static void test_known_tokens_on_one_stage_and_on_three(void)
{
    static const int32_t want[12] = {65, 36, 22, 49, 19, 86, 5, 12, 19, 44, 28, 77};
    static const int32_t prompt[6] = {3, 14, 15, 92, 65, 35};
    for (uint32_t n_stage = 1; n_stage <= 3; n_stage += 2) {
        struct setup s;
        int32_t got[12];
        set_up(&s, &(struct tiny_spec){.type = CV_DTYPE_F32}, n_stage, 1, CV_DTYPE_F32);
        CHECK_EQ(cv_chain_n_stage(s.chain), n_stage);
        generate(&s, prompt, 6, got, 12);
        for (int i = 0; i < 12; i++)
            CHECK_EQ(got[i], want[i]);
        tear_down(&s);
    }
}

static const struct tiny_spec models[] = {
    {.type = CV_DTYPE_F32},
    {.type = CV_DTYPE_Q8_0, .tied = true},
    {.arch = "qwen2", .type = CV_DTYPE_F16, .bias = true},
};
static const enum cv_dtype kv_types[] = {CV_DTYPE_F32, CV_DTYPE_F16};

static void test_splits_chunks_and_threads_change_nothing(void)
{
    enum { N = 200 };
    static const struct {
        uint32_t n_stage;
        unsigned n_threads;
        size_t chunk;
    } ways[] = {{1, 2, 1}, {2, 2, 7}, {3, 1, 64}, {3, 3, N}, {1, 0, 33}};
    int32_t tokens[N];
    for (size_t i = 0; i < N; i++)
        tokens[i] = token_at(i);
    for (size_t m = 0; m < CV_COUNT(models); m++)
        for (size_t k = 0; k < CV_COUNT(kv_types); k++) {
            float *want = logits_of(N), *got = logits_of(N);
            for (size_t w = 0; w <= CV_COUNT(ways); w++) {
                struct setup s;
                bool first = w == 0;
                set_up(&s, &models[m], first ? 1 : ways[w - 1].n_stage, first ? 1 : ways[w - 1].n_threads, kv_types[k]);
                command(&s, CV_CMD_NEW, 0, 0, 0);
                feed_tokens(&s, 0, tokens, 0, N, first ? (size_t)N : ways[w - 1].chunk, first ? want : got);
                if (!first)
                    check_same(want, got, N);
                tear_down(&s);
            }
            cv_free(want);
            cv_free(got);
        }
}

/* Eight sequences, rows of all of them interleaved in every batch; the first has to come out as it does alone. */
static void test_seven_other_sequences_change_nothing(void)
{
    enum { N = 150 };
    struct setup s;
    int32_t tokens[N];
    float *want = logits_of(N), *got = logits_of(N), *all = logits_of(BATCH);
    for (size_t i = 0; i < N; i++)
        tokens[i] = token_at(i);
    set_up(&s, &models[1], 1, 2, CV_DTYPE_F16);
    command(&s, CV_CMD_NEW, 0, 0, 0);
    feed_tokens(&s, 0, tokens, 0, N, N, want);
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        command(&s, CV_CMD_NEW, slot, 0, 0);
    uint32_t len[SLOTS] = {0};
    while (len[0] < N) {
        struct cv_row row[BATCH];
        size_t n = 0, at[BATCH];
        while (n < 60) {
            uint32_t slot = (uint32_t)check_below(SLOTS), run = 1 + (uint32_t)check_below(9);
            for (; run > 0 && n < BATCH && len[slot] < N; run--) {
                at[n] = slot == 0 ? len[0] : SIZE_MAX;
                row[n++] = (struct cv_row){.slot = slot,
                                           .pos = len[slot],
                                           .token = slot == 0 ? tokens[len[0]] : (int32_t)check_below(TINY_VOCAB),
                                           .flags = slot == 0 || check_below(2) ? CV_ROW_WANT : 0};
                len[slot]++;
            }
            if (len[0] >= N)
                break;
        }
        feed(&s, row, n, all);
        size_t out = 0;
        for (size_t i = 0; i < n; i++) {
            if (at[i] != SIZE_MAX)
                memcpy(got + at[i] * TINY_VOCAB, all + out * TINY_VOCAB, TINY_VOCAB * sizeof(float));
            out += (row[i].flags & CV_ROW_WANT) != 0;
        }
    }
    check_same(want, got, N);
    tear_down(&s);
    cv_free(want);
    cv_free(got);
    cv_free(all);
}

/* Past the eighth page the sums have a second level; one row alone may be shared out by spans. */
static void test_long_sequences_are_the_same_by_the_batch_and_by_the_token(void)
{
    enum { N = 600, LAST = 20 };
    struct setup a, b;
    int32_t tokens[N];
    float *want = logits_of(N), *got = logits_of(N);
    for (size_t i = 0; i < N; i++)
        tokens[i] = token_at(i);
    set_up(&a, &models[1], 1, 1, CV_DTYPE_F16);
    set_up(&b, &models[1], 1, 4, CV_DTYPE_F16);
    command(&a, CV_CMD_NEW, 0, 0, 0);
    command(&b, CV_CMD_NEW, 0, 0, 0);
    feed_tokens(&a, 0, tokens, 0, N, BATCH, want);
    feed_tokens(&b, 0, tokens, 0, N - LAST, 100, got);
    feed_tokens(&b, 0, tokens, N - LAST, N, 1, got + (N - LAST) * TINY_VOCAB);
    check_same(want, got, N);
    tear_down(&a);
    tear_down(&b);
    cv_free(want);
    cv_free(got);
}

static void test_unwanted_rows_do_not_show(void)
{
    enum { N = 70 };
    struct setup s;
    float *want = logits_of(N), *got = logits_of(N);
    int32_t tokens[N];
    struct cv_row row[N];
    set_up(&s, &models[0], 2, 2, CV_DTYPE_F32);
    for (size_t i = 0; i < N; i++) {
        tokens[i] = token_at(i);
        row[i] = (struct cv_row){.pos = (uint32_t)i, .token = tokens[i], .flags = i % 9 == 4 ? CV_ROW_WANT : 0};
    }
    command(&s, CV_CMD_NEW, 0, 0, 0);
    feed_tokens(&s, 0, tokens, 0, N, N, want);
    command(&s, CV_CMD_NEW, 0, 0, 0);
    feed(&s, row, N, got);
    for (size_t i = 4, out = 0; i < N; i += 9, out++)
        check_same(want + i * TINY_VOCAB, got + out * TINY_VOCAB, 1);
    command(&s, CV_CMD_NEW, 0, 0, 0);
    for (size_t i = 0; i < N; i++)
        row[i].flags = 0;
    feed(&s, row, N, NULL);
    CHECK_EQ(cv_stage_slot_len(cv_chain_stage(s.chain, 1), 0), N);
    tear_down(&s);
    cv_free(want);
    cv_free(got);
}

static void test_a_fork_is_a_copy_and_a_trim_forgets(void)
{
    enum { N = 100 };
    struct setup s;
    int32_t tokens[N], others[N];
    float *want = logits_of(N), *got = logits_of(N), *other = logits_of(N);
    for (size_t i = 0; i < N; i++) {
        tokens[i] = token_at(i);
        others[i] = i < 80 ? tokens[i] : (int32_t)((i * 7) % TINY_VOCAB);
    }
    set_up(&s, &models[0], 2, 1, CV_DTYPE_F16);
    command(&s, CV_CMD_NEW, 5, 0, 0);
    feed_tokens(&s, 5, others, 0, N, N, other);
    command(&s, CV_CMD_NEW, 0, 0, 0);
    feed_tokens(&s, 0, tokens, 0, N, N, want);

    command(&s, CV_CMD_FORK, 1, 0, 80);
    CHECK_EQ(cv_stage_slot_len(cv_chain_stage(s.chain, 0), 1), 80);
    feed_tokens(&s, 1, others, 80, N, 3, got);
    check_same(other + 80 * TINY_VOCAB, got, N - 80);

    command(&s, CV_CMD_TRIM, 0, 0, 80); /* what the fork wrote after the common beginning is its own */
    feed_tokens(&s, 0, tokens, 80, N, 7, got);
    check_same(want + 80 * TINY_VOCAB, got, N - 80);

    command(&s, CV_CMD_FREE, 0, 0, 0);
    command(&s, CV_CMD_TRIM, 1, 0, 64);
    feed_tokens(&s, 1, others, 64, N, N, got);
    check_same(other + 64 * TINY_VOCAB, got, N - 64);
    tear_down(&s);
    cv_free(want);
    cv_free(got);
    cv_free(other);
}

static void expect(struct setup *s, const struct cv_step *step, const char *message)
{
    struct cv_error err;
    CHECK(!cv_chain_step(s->chain, step, &err));
    CHECK_EQ(err.code, CV_ERR_ARG);
    CHECK_CONTAINS(err.msg, message);
}

static void test_refuses_rows_and_commands_that_break_the_rules(void)
{
    struct setup s;
    float *logits = logits_of(BATCH);
    static struct cv_row many[BATCH + 1];
    set_up(&s, &models[0], 1, 1, CV_DTYPE_F32);
    static const struct {
        struct cv_row row;
        const char *message;
    } rows[] = {
        {{.slot = SLOTS}, "slot 8, the stage has 8"},
        {{.slot = UINT32_MAX}, "the stage has 8"},
        {{.slot = 1}, "slot 1 is unused"},
        {{.pos = 2}, "position 2, 1 is next"},
        {{.pos = 0}, "position 0, 1 is next"},
        {{.pos = 1, .token = TINY_VOCAB}, "token 97 is outside the vocabulary of 97"},
        {{.pos = 1, .token = -1}, "token -1"},
    };
    static const struct {
        struct cv_cmd cmd;
        const char *message;
    } cmds[] = {
        {{.op = 0}, "no such command"},
        {{.op = CV_CMD_NEW, .slot = SLOTS}, "slot 8"},
        {{.op = CV_CMD_FORK, .slot = 1, .other = 2}, "unused"},
        {{.op = CV_CMD_FORK, .slot = 1, .other = 0, .pos = 2}, "2 positions of slot 0, it holds 1"},
        {{.op = CV_CMD_TRIM, .slot = 0, .pos = 2}, "it holds 1"},
        {{.op = CV_CMD_FREE, .slot = UINT32_MAX}, "the stage has 8"},
    };
    command(&s, CV_CMD_NEW, 0, 0, 0);
    feed(&s, &(struct cv_row){.token = 1}, 1, logits);
    for (size_t i = 0; i < CV_COUNT(rows); i++) {
        const struct cv_row two[2] = {{.pos = 1, .token = 5}, rows[i].row};
        expect(&s, &(struct cv_step){.row = &rows[i].row, .n_row = 1, .logits = logits}, rows[i].message);
        if (i < 3) /* a good row before it changes nothing */
            expect(&s, &(struct cv_step){.row = two, .n_row = 2, .logits = logits}, "row 1: ");
        CHECK_EQ(cv_stage_slot_len(cv_chain_stage(s.chain, 0), 0), 1);
    }
    for (size_t i = 0; i < CV_COUNT(cmds); i++)
        expect(&s, &(struct cv_step){.cmd = &cmds[i].cmd, .n_cmd = 1}, cmds[i].message);
    expect(&s, &(struct cv_step){.row = many, .n_row = BATCH + 1, .logits = logits}, "at most 256");
    const struct cv_row wanted = {.pos = 1, .token = 5, .flags = CV_ROW_WANT};
    expect(&s, &(struct cv_step){.row = &wanted, .n_row = 1}, "without memory");
    feed(&s, &wanted, 1, logits); /* and the stage still works */
    for (size_t at = 2; at < CTX; at += 1) {
        struct cv_row row = {.pos = (uint32_t)at, .token = 1};
        feed(&s, &row, 1, logits);
    }
    const struct cv_row past = {.pos = CTX, .token = 5};
    expect(&s, &(struct cv_step){.row = &past, .n_row = 1, .logits = logits}, "past the context of 700");
    tear_down(&s);
    cv_free(logits);
}

static uint32_t hostile(uint32_t n)
{
    static const uint32_t odd[] = {UINT32_MAX, 1u << 31, 1u << 16};
    return check_below(20) == 0 ? odd[check_below(CV_COUNT(odd))] : (uint32_t)check_below(n);
}

/* What the rules say of a command, on lengths alone; -1 is an unused slot. */
static bool obey(int64_t *len, const struct cv_cmd *cmd)
{
    if (cmd->op < CV_CMD_NEW || cmd->op > CV_CMD_FREE || cmd->slot >= SLOTS)
        return false;
    if (cmd->op == CV_CMD_FORK && (cmd->other >= SLOTS || (int64_t)cmd->pos > len[cmd->other]))
        return false;
    if (cmd->op == CV_CMD_TRIM && (int64_t)cmd->pos > len[cmd->slot])
        return false;
    len[cmd->slot] = cmd->op == CV_CMD_NEW ? 0 : cmd->op == CV_CMD_FREE ? -1 : (int64_t)cmd->pos;
    return true;
}

static bool takes_rows(int64_t *len, const struct cv_row *row, uint32_t n)
{
    int64_t now[SLOTS];
    memcpy(now, len, sizeof(now));
    for (uint32_t i = 0; i < n; i++) {
        if (row[i].slot >= SLOTS || now[row[i].slot] != (int64_t)row[i].pos || row[i].pos >= CTX || row[i].token < 0 ||
            row[i].token >= TINY_VOCAB)
            return false;
        now[row[i].slot]++;
    }
    memcpy(len, now, sizeof(now));
    return true;
}

static void test_random_steps_are_taken_or_refused_by_the_rules(void)
{
    struct setup s;
    struct cv_error err;
    float *logits = logits_of(16);
    int64_t len[SLOTS];
    unsigned taken = 0;
    set_up(&s, &models[1], 1, 2, CV_DTYPE_F16);
    for (size_t i = 0; i < SLOTS; i++)
        len[i] = -1;
    for (int round = 0; round < 3000; round++) {
        struct cv_cmd cmd = {.op = hostile(6), .slot = hostile(SLOTS), .other = hostile(SLOTS), .pos = hostile(130)};
        struct cv_row row[16];
        uint32_t n_cmd = round < 20 || check_below(8) == 0, n = (uint32_t)check_below(17), slot = hostile(SLOTS);
        if (round < 20)
            cmd = (struct cv_cmd){.op = CV_CMD_NEW, .slot = (uint32_t)round % SLOTS};
        bool want = n_cmd == 0 || obey(len, &cmd);
        uint32_t first = slot < SLOTS && len[slot] >= 0 ? (uint32_t)len[slot] : hostile(9);
        for (uint32_t i = 0; i < n; i++)
            row[i] = (struct cv_row){.slot = slot,
                                     .pos = check_below(200) == 0 ? hostile(CTX) : first + i,
                                     .token = (int32_t)hostile(TINY_VOCAB),
                                     .flags = hostile(2)};
        want = want && takes_rows(len, row, n);
        struct cv_step step = {.cmd = &cmd, .n_cmd = n_cmd, .row = row, .n_row = n, .logits = logits};
        CHECK_EQ(cv_chain_step(s.chain, &step, &err), want);
        CHECK(want || err.code == CV_ERR_ARG);
        taken += want && n > 0;
        for (uint32_t i = 0; i < SLOTS; i++)
            CHECK_EQ(cv_stage_slot_len(cv_chain_stage(s.chain, 0), i), len[i] < 0 ? 0 : len[i]);
    }
    CHECK(taken > 300);
    tear_down(&s);
    cv_free(logits);
}

/* A carry of NaN and infinities poisons its own sequence, nothing else, and nothing crashes. */
static void test_a_poisoned_carry_stays_in_its_sequence(void)
{
    enum { N = 30 };
    struct cv_error err;
    struct tiny_model m;
    struct cv_stage *stage;
    struct cv_stage_spec spec = whole();
    spec.layer_first = 1;
    spec.has_embd = false;
    tiny_model_init(&m, &models[1]);
    CHECK_OK(cv_stage_new(&stage, m.gguf, &m.source, &spec, NULL, NULL, &err), err);
    static float carry[2 * N][TINY_EMBD];
    float *want = logits_of(2 * N), *got = logits_of(2 * N);
    struct cv_row row[2 * N];
    struct cv_cmd begin[2] = {{.op = CV_CMD_NEW, .slot = 0}, {.op = CV_CMD_NEW, .slot = 1}};
    for (size_t i = 0; i < 2 * N; i++) {
        row[i] = (struct cv_row){.slot = i % 2, .pos = (uint32_t)(i / 2), .flags = CV_ROW_WANT};
        for (size_t d = 0; d < TINY_EMBD; d++)
            carry[i][d] = check_normal();
    }
    struct cv_step step = {.cmd = begin, .n_cmd = 2, .row = row, .n_row = 2 * N, .carry_in = carry[0], .logits = want};
    CHECK_OK(cv_stage_step(stage, &step, &err), err);
    for (size_t i = 1; i < 2 * N; i += 2)
        for (size_t d = 0; d < TINY_EMBD; d++)
            carry[i][d] = i % 3 == 0 ? NAN : i % 3 == 1 ? -INFINITY : 3e38f;
    step.logits = got;
    CHECK_OK(cv_stage_step(stage, &step, &err), err);
    for (size_t i = 0; i < 2 * N; i += 2)
        check_same(want + i * TINY_VOCAB, got + i * TINY_VOCAB, 1);
    cv_stage_free(stage);
    tiny_model_fini(&m);
    cv_free(want);
    cv_free(got);
}

static void test_measures_what_a_stage_really_takes(void)
{
    struct cv_error err;
    for (size_t i = 0; i < CV_COUNT(models); i++)
        for (uint32_t first = 0; first < TINY_LAYERS; first++) {
            struct tiny_model m;
            struct cv_stage *stage;
            struct cv_pool *pool;
            struct cv_stage_memory said, took;
            struct cv_stage_spec spec = whole();
            spec.layer_first = first;
            spec.has_embd = first == 0;
            spec.n_threads = 2;
            tiny_model_init(&m, &models[i]);
            CHECK_OK(cv_pool_new(&pool, 2, &err), err);
            CHECK_OK(cv_stage_measure(m.gguf, &spec, &said, &err), err);
            CHECK_OK(cv_stage_new(&stage, m.gguf, &m.source, &spec, pool, NULL, &err), err);
            cv_stage_taken(stage, &took);
            CHECK_EQ(said.weights, took.weights);
            CHECK_EQ(said.kv, took.kv);
            CHECK_EQ(said.work, took.work);
            CHECK(said.weights > 0 && said.kv > 0 && said.work > 0);
            cv_stage_free(stage);
            cv_pool_free(pool);
            tiny_model_fini(&m);
        }
}

static void test_asks_for_its_own_tensors_only(void)
{
    struct tiny_model m;
    struct cv_stage *stage;
    struct cv_error err;
    struct cv_stage_spec spec = whole();
    spec.layer_first = 1;
    spec.layer_last = 2;
    spec.has_embd = spec.has_head = false;
    tiny_model_init(&m, &models[0]);
    CHECK(cv_stage_needs(m.gguf, &spec, "blk.1.attn_q.weight"));
    CHECK(!cv_stage_needs(m.gguf, &spec, "blk.0.attn_q.weight"));
    CHECK(!cv_stage_needs(m.gguf, &spec, "blk.1"));
    CHECK(!cv_stage_needs(m.gguf, &spec, "token_embd.weight"));
    CHECK(!cv_stage_needs(m.gguf, &spec, "output.weight"));
    CHECK_OK(cv_stage_new(&stage, m.gguf, &m.source, &spec, NULL, NULL, &err), err);
    CHECK_EQ(m.gets, 9);
    CHECK_EQ(m.dones, 9);
    cv_stage_free(stage);
    spec = whole();
    m.gets = m.dones = 0;
    CHECK_OK(cv_stage_new(&stage, m.gguf, &m.source, &spec, NULL, NULL, &err), err);
    CHECK_EQ(m.gets, m.dones + 1); /* the embedding stays where it is */
    cv_stage_free(stage);
    tiny_model_fini(&m);
    /* A tied head has the embedding repacked, with or without the first layers. */
    tiny_model_init(&m, &models[1]);
    spec.layer_first = 2;
    spec.has_embd = false;
    CHECK(cv_stage_needs(m.gguf, &spec, "token_embd.weight"));
    CHECK_OK(cv_stage_new(&stage, m.gguf, &m.source, &spec, NULL, NULL, &err), err);
    CHECK_EQ(m.gets, m.dones);
    cv_stage_free(stage);
    tiny_model_fini(&m);
}

static void expect_no_stage(const struct tiny_spec *model, const struct cv_stage_spec *spec, enum cv_code code,
                            const char *message)
{
    struct tiny_model m;
    struct cv_stage *stage = NULL;
    struct cv_error err;
    tiny_model_init(&m, model);
    CHECK(!cv_stage_new(&stage, m.gguf, &m.source, spec, NULL, NULL, &err));
    CHECK_EQ(err.code, code);
    CHECK_CONTAINS(err.msg, message);
    CHECK(stage == NULL);
    tiny_model_fini(&m);
}

static void test_says_why_a_stage_cannot_be(void)
{
    struct cv_stage_spec spec = whole();
    expect_no_stage(&(struct tiny_spec){.arch = "mamba"}, &spec, CV_ERR_UNSUPPORTED, "'mamba'");
    expect_no_stage(&(struct tiny_spec){.type = CV_DTYPE_Q4_1}, &spec, CV_ERR_UNSUPPORTED, "Q4_1");
    expect_no_stage(&(struct tiny_spec){.leave_out = "blk.2.ffn_up.weight"}, &spec, CV_ERR_FORMAT,
                    "'blk.2.ffn_up.weight' is missing");
    expect_no_stage(&(struct tiny_spec){.extra = "blk.1.attn_sinks.weight"}, &spec, CV_ERR_UNSUPPORTED,
                    "'blk.1.attn_sinks.weight'");
    expect_no_stage(&(struct tiny_spec){.leave_out = "output_norm.weight", .extra = "output_norm.weight"}, &spec,
                    CV_ERR_FORMAT, "must be 64 x 1");
    expect_no_stage(&(struct tiny_spec){.extra_key = "expert_count"}, &spec, CV_ERR_UNSUPPORTED, "experts");
    spec.kv_type = CV_DTYPE_Q4_0;
    expect_no_stage(&models[0], &spec, CV_ERR_UNSUPPORTED, "sequence memory of type Q4_0");
    spec = whole();
    spec.layer_last = TINY_LAYERS + 1;
    expect_no_stage(&models[0], &spec, CV_ERR_ARG, "a model of 3");
    spec.layer_last = 1;
    expect_no_stage(&models[0], &spec, CV_ERR_ARG, "the head goes with");
    spec = whole();
    spec.layer_first = 1;
    expect_no_stage(&models[0], &spec, CV_ERR_ARG, "the embedding goes with");
    spec = whole();
    spec.n_batch = 0;
    expect_no_stage(&models[0], &spec, CV_ERR_ARG, "batch of 0");
    spec = whole();
    spec.n_slots = 1u << 30;
    expect_no_stage(&models[0], &spec, CV_ERR_ARG, "slots");
}

static bool stop_at_5(void *ctx, uint64_t done, uint64_t all)
{
    int *calls = ctx;
    CHECK(done <= all);
    return ++*calls < 5;
}

static void test_loading_can_be_stopped_and_a_source_can_fail(void)
{
    struct tiny_model m;
    struct cv_stage *stage = NULL;
    struct cv_error err;
    struct cv_stage_spec spec = whole();
    int calls = 0;
    struct cv_load_progress progress = {.ctx = &calls, .report = stop_at_5};
    tiny_model_init(&m, &models[0]);
    CHECK(!cv_stage_new(&stage, m.gguf, &m.source, &spec, NULL, &progress, &err));
    CHECK_EQ(err.code, CV_ERR_CANCEL);
    CHECK_EQ(calls, 5);
    m.gets = 0;
    m.fail_at = 7;
    CHECK(!cv_stage_new(&stage, m.gguf, &m.source, &spec, NULL, NULL, &err));
    CHECK_EQ(err.code, CV_ERR_IO);
    CHECK_CONTAINS(err.msg, "the source fails");
    tiny_model_fini(&m);
}

static void test_any_failed_allocation_is_an_ordinary_error(void)
{
    struct tiny_model m;
    struct cv_stage_spec spec = whole();
    tiny_model_init(&m, &models[1]);
    bool ok = false;
    for (long n = 0; !ok; n++) {
        struct cv_stage *stage = NULL;
        struct cv_error err;
        cv_mem_fail_after(n);
        ok = cv_stage_new(&stage, m.gguf, &m.source, &spec, NULL, NULL, &err);
        cv_mem_fail_after(-1);
        CHECK(ok || (err.code == CV_ERR_NOMEM && stage == NULL));
        CHECK(n < 1000);
        if (ok)
            cv_stage_free(stage);
    }
    tiny_model_fini(&m);
}

static void test_prints_what_the_model_computes(void)
{
    struct setup s;
    struct cv_buf text;
    cv_buf_init(&text, 1 << 20);
    set_up(&s, &models[2], 1, 1, CV_DTYPE_F32);
    CHECK(cv_stage_print(cv_chain_stage(s.chain, 0), &text));
    CHECK_CONTAINS(text.data, "qwen2: layers 0 to 3 of 3, embedding, head; 4 heads over 2");
    CHECK_CONTAINS(text.data, "rope: 16 values of a head by halves, base 10000");
    CHECK_CONTAINS(text.data,
                   "matmul     q, k, v <- h * blk.1.attn_q.weight (F16 64 x 64) + blk.1.attn_q.bias (F32 64)");
    CHECK_CONTAINS(text.data, "rope+store k, v, q");
    CHECK_CONTAINS(text.data, "add+norm   h <- x, h * blk.1.ffn_norm.weight");
    CHECK_CONTAINS(text.data, "pick       x, h");
    cv_buf_fini(&text);
    tear_down(&s);
}

static void test_the_reference_kernels_give_the_same_bits(void)
{
    enum { N = 90 };
    int32_t tokens[N];
    float *want = logits_of(N), *got = logits_of(N);
    for (size_t i = 0; i < N; i++)
        tokens[i] = token_at(i);
    for (int pass = 0; pass < 2; pass++) {
        struct setup s;
        cv_engine_init(pass == 0 ? 0 : cv_isa_detect());
        set_up(&s, &models[1], 1, 1, CV_DTYPE_F16);
        command(&s, CV_CMD_NEW, 0, 0, 0);
        feed_tokens(&s, 0, tokens, 0, N, N, pass == 0 ? want : got);
        tear_down(&s);
    }
    check_same(want, got, N); /* every kernel promises the reference's bits */
    cv_free(want);
    cv_free(got);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_known_tokens_on_one_stage_and_on_three),
        CASE(test_splits_chunks_and_threads_change_nothing),
        CASE(test_seven_other_sequences_change_nothing),
        CASE(test_long_sequences_are_the_same_by_the_batch_and_by_the_token),
        CASE(test_unwanted_rows_do_not_show),
        CASE(test_a_fork_is_a_copy_and_a_trim_forgets),
        CASE(test_refuses_rows_and_commands_that_break_the_rules),
        CASE(test_random_steps_are_taken_or_refused_by_the_rules),
        CASE(test_a_poisoned_carry_stays_in_its_sequence),
        CASE(test_measures_what_a_stage_really_takes),
        CASE(test_asks_for_its_own_tensors_only),
        CASE(test_says_why_a_stage_cannot_be),
        CASE(test_loading_can_be_stopped_and_a_source_can_fail),
        CASE(test_any_failed_allocation_is_an_ordinary_error),
        CASE(test_prints_what_the_model_computes),
        CASE(test_the_reference_kernels_give_the_same_bits),
    };
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
