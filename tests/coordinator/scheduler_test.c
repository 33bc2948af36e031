/* scheduler_test.c - the scheduler on a pipeline that is played by a thread: every text has one right value. */
#include "coordinator/scheduler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tests/check/check.h"
#include "tests/coordinator/fake_pipeline.h"
#include "tests/coordinator/served.h"

enum { MAX_CHOICES = 4, MAX_TOKENS = 300, PATIENCE_MS = 20000 };

static struct cv_served served;

/* ---- a client ---- */

struct client {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool started, ended, ok;
    unsigned n_ends;
    struct cv_error err;
    struct cv_gen_usage usage;
    struct {
        int32_t token[MAX_TOKENS];
        float logprob[MAX_TOKENS];
        uint32_t n_token, n_top;
        char text[4096];
        size_t n_text;
        bool finished;
        enum cv_finish why;
        char stop[32];
    } choice[MAX_CHOICES];
    uint64_t id;
};

static void on_start(void *ctx)
{
    struct client *c = ctx;
    pthread_mutex_lock(&c->lock);
    c->started = true;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

static void on_piece(void *ctx, const struct cv_gen_piece *p)
{
    struct client *c = ctx;
    pthread_mutex_lock(&c->lock);
    if (p->has_token && c->choice[p->choice].n_token < MAX_TOKENS) {
        c->choice[p->choice].logprob[c->choice[p->choice].n_token] = p->token.logprob;
        c->choice[p->choice].token[c->choice[p->choice].n_token++] = p->token.id;
        c->choice[p->choice].n_top = p->n_top;
    }
    if (c->choice[p->choice].n_text + p->n_text < sizeof(c->choice[0].text)) {
        memcpy(c->choice[p->choice].text + c->choice[p->choice].n_text, p->text, p->n_text);
        c->choice[p->choice].n_text += p->n_text;
    }
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

static void on_finish(void *ctx, uint32_t choice, enum cv_finish why, const char *stop_string)
{
    struct client *c = ctx;
    pthread_mutex_lock(&c->lock);
    c->choice[choice].finished = true;
    c->choice[choice].why = why;
    snprintf(c->choice[choice].stop, sizeof(c->choice[choice].stop), "%s", stop_string == NULL ? "" : stop_string);
    pthread_mutex_unlock(&c->lock);
}

static void on_end(void *ctx, const struct cv_gen_usage *usage, const struct cv_error *err)
{
    struct client *c = ctx;
    pthread_mutex_lock(&c->lock);
    c->n_ends++;
    c->ended = true;
    c->ok = err == NULL;
    if (err != NULL)
        c->err = *err;
    c->usage = *usage;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

static struct client *client_new(void)
{
    struct client *c = calloc(1, sizeof(*c));
    CHECK(c != NULL);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    return c;
}

static void client_free(struct client *c)
{
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* Waits until it has ended, or (n_tokens > 0) choice 0 has that many tokens. */
static bool client_wait(struct client *c, uint32_t n_tokens)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_MS / 1000;
    int rc = 0;
    pthread_mutex_lock(&c->lock);
    while (!c->ended && !(n_tokens > 0 && c->choice[0].n_token >= n_tokens) && rc == 0)
        rc = pthread_cond_timedwait(&c->changed, &c->lock, &until);
    pthread_mutex_unlock(&c->lock);
    return rc == 0;
}

/* ---- scheduler and pipeline ---- */

struct rig {
    struct fake fake;
    struct cv_scheduler *s;
    uint64_t epoch;
    pthread_mutex_t lock;
    uint64_t failed_epoch;
    struct cv_error failed_why;
    bool up;
};

static void on_failure(void *ctx, uint64_t epoch, const struct cv_error *why)
{
    struct rig *r = ctx;
    pthread_mutex_lock(&r->lock);
    r->failed_epoch = epoch;
    r->failed_why = *why;
    pthread_mutex_unlock(&r->lock);
}

static uint64_t failed_epoch(struct rig *r)
{
    pthread_mutex_lock(&r->lock);
    const uint64_t e = r->failed_epoch;
    pthread_mutex_unlock(&r->lock);
    return e;
}

static bool wait_for_failure(struct rig *r)
{
    const uint64_t until = cv_now_ms() + PATIENCE_MS;
    while (failed_epoch(r) != r->epoch && cv_now_ms() < until)
        cv_sleep_ms(2);
    return failed_epoch(r) == r->epoch;
}

static void rig_open(struct rig *r, uint32_t heal_ms, uint32_t batch_ms)
{
    struct cv_error err;
    memset(r, 0, sizeof(*r));
    pthread_mutex_init(&r->lock, NULL);
    fake_init(&r->fake, served.hparams.n_vocab);
    const struct cv_scheduler_options o = {.vocab = served.vocab,
                                           .n_slots = r->fake.n_slots,
                                           .n_ctx = r->fake.n_ctx,
                                           .n_batch = r->fake.n_batch,
                                           .max_waiting = 64,
                                           .heal_timeout_ms = heal_ms,
                                           .hope_timeout_ms = PATIENCE_MS,
                                           .batch_timeout_ms = batch_ms,
                                           .on_failure = on_failure,
                                           .ctx = r};
    CHECK_OK(cv_scheduler_new(&r->s, &o, &err), err);
}

static void rig_up(struct rig *r)
{
    struct cv_error err;
    CHECK_OK(fake_start(&r->fake, ++r->epoch, &err), err);
    cv_scheduler_epoch_begin(r->s, &r->fake.pipeline);
    r->up = true;
}

static void rig_down(struct rig *r, const char *why)
{
    struct cv_error err;
    cv_fail(&err, CV_ERR_PEER, "%s", why);
    if (r->up) {
        cv_scheduler_epoch_end(r->s, &err);
        fake_stop(&r->fake);
    }
    r->up = false;
}

static void rig_close(struct rig *r)
{
    rig_down(r, "the end");
    cv_scheduler_free(r->s);
    pthread_mutex_destroy(&r->lock);
    if (atomic_load(&r->fake.n_bad) > 0)
        printf("     %s\n", r->fake.bad);
    CHECK_EQ(atomic_load(&r->fake.n_bad), 0);
}

struct wish {
    const char *prompt;
    uint32_t n_prompt; /* instead of prompt: so many tokens made up from seed */
    uint32_t n, max_tokens, n_top;
    bool greedy, logprobs, no_end;
    uint32_t seed;
    const char *stop;
    int32_t mirostat;
};

static struct cv_gen *gen_of(const struct wish *w, struct client *c)
{
    struct cv_gen *g = cv_gen_new();
    CHECK(g != NULL);
    const uint32_t n = w->n_prompt > 0 ? w->n_prompt : (uint32_t)strlen(w->prompt);
    g->prompt = cv_calloc(n, sizeof(*g->prompt));
    for (uint32_t i = 0; i < n; i++)
        g->prompt[i] = w->n_prompt > 0 ? (int32_t)((w->seed * 31 + i * 7) % 250) : (int32_t)(unsigned char)w->prompt[i];
    g->n_prompt = n;
    g->n_choices = w->n == 0 ? 1 : w->n;
    g->max_tokens = w->max_tokens == 0 ? 20 : w->max_tokens;
    g->logprobs = w->logprobs;
    g->n_top_logprobs = w->n_top;
    cv_sampling_defaults(&g->sampling);
    g->sampling.has_seed = true;
    g->sampling.seed = w->seed;
    g->sampling.temperature = w->greedy ? 0 : 0.8;
    g->sampling.ignore_eos = w->no_end;
    g->sampling.mirostat = w->mirostat;
    if (w->stop != NULL) {
        g->stop = cv_calloc(1, sizeof(*g->stop));
        g->stop[0] = cv_strdup(w->stop);
        g->n_stop = 1;
    }
    g->sink = (struct cv_gen_sink){.ctx = c, .start = on_start, .piece = on_piece, .finish = on_finish, .end = on_end};
    return g;
}

static void submit(struct rig *r, const struct wish *w, struct client *c)
{
    struct cv_error err;
    CHECK_OK(cv_scheduler_submit(r->s, gen_of(w, c), &c->id, &err), err);
}

/* Did every choice get the tokens that whole rows and an undisturbed run give? */
static bool as_expected(const struct rig *r, const struct wish *w, const struct client *c)
{
    struct cv_gen *g = gen_of(w, NULL);
    int32_t want[MAX_TOKENS];
    bool same = true;
    for (uint32_t i = 0; i < g->n_choices; i++) {
        const uint32_t n = fake_expect(g->prompt, g->n_prompt, &g->sampling, i, served.vocab, r->fake.n_ctx,
                                       g->max_tokens < MAX_TOKENS ? g->max_tokens : MAX_TOKENS, want);
        same = same && c->choice[i].finished && c->choice[i].n_token == n &&
               memcmp(want, c->choice[i].token, n * sizeof(*want)) == 0;
    }
    cv_gen_free(g);
    return same;
}

static void run_alone(struct rig *r, const struct wish *w, struct client *c)
{
    submit(r, w, c);
    CHECK(client_wait(c, 0));
    CHECK_EQ(c->n_ends, 1);
    if (!c->ok)
        printf("     %s\n", c->err.msg);
    CHECK(c->ok);
}

/* ---- cases ---- */

static void test_a_request_gets_the_text_of_whole_rows(void)
{
    static const struct wish wish[] = {
        {.prompt = "hello", .greedy = true},
        {.prompt = "hello", .seed = 7},
        {.prompt = "the world", .seed = 8, .max_tokens = 100},
        {.prompt = "x", .seed = 9, .max_tokens = 1},
        {.prompt = "x", .seed = 10, .mirostat = 2}, /* wants whole rows */
        {.n_prompt = 200, .seed = 11, .max_tokens = 30},
    };
    struct rig r;
    rig_open(&r, 1000, 10000);
    rig_up(&r);
    for (size_t i = 0; i < CV_COUNT(wish); i++) {
        struct client *c = client_new();
        run_alone(&r, &wish[i], c);
        CHECK(as_expected(&r, &wish[i], c));
        CHECK(c->started);
        CHECK_EQ(c->usage.n_prompt, wish[i].n_prompt > 0 ? wish[i].n_prompt : strlen(wish[i].prompt));
        client_free(c);
    }
    rig_close(&r);
}

/* However many stages and however small the steps. */
static void test_batches_and_stages_change_no_text(void)
{
    static const struct {
        uint32_t n_stage, n_batch;
    } shape[] = {{1, 1}, {1, 7}, {3, 1}, {3, 32}, {9, 5}};
    for (size_t k = 0; k < CV_COUNT(shape); k++) {
        struct rig r;
        struct client *c[12];
        struct wish w[12];
        rig_open(&r, 1000, 10000);
        r.fake.n_stage = shape[k].n_stage;
        r.fake.n_batch = shape[k].n_batch;
        rig_up(&r);
        for (uint32_t i = 0; i < 12; i++) {
            w[i] = (struct wish){.n_prompt = 1 + i * 5, .seed = i, .greedy = i % 3 == 0, .max_tokens = 10 + i, .n = 1 + i % 3};
            c[i] = client_new();
            submit(&r, &w[i], c[i]);
        }
        for (uint32_t i = 0; i < 12; i++) {
            CHECK(client_wait(c[i], 0));
            CHECK(c[i]->ok && as_expected(&r, &w[i], c[i]));
            client_free(c[i]);
        }
        CHECK(atomic_load(&r.fake.most_rows) <= shape[k].n_batch);
        rig_close(&r);
    }
}

static void test_requests_share_batches(void)
{
    struct rig r;
    struct client *c[4];
    rig_open(&r, 1000, 10000);
    r.fake.delay_ms = 2;
    rig_up(&r);
    for (uint32_t i = 0; i < 4; i++) {
        const struct wish w = {.prompt = "same", .seed = i, .max_tokens = 50, .no_end = true};
        c[i] = client_new();
        submit(&r, &w, c[i]);
    }
    for (uint32_t i = 0; i < 4; i++) {
        CHECK(client_wait(c[i], 0));
        client_free(c[i]);
    }
    CHECK(atomic_load(&r.fake.n_batches) < 120); /* 200 if each went alone */
    rig_close(&r);
}

static void test_a_stop_string_ends_the_text_before_it(void)
{
    struct rig r;
    struct client *plain = client_new(), *stopped = client_new();
    struct wish w = {.prompt = "hello", .seed = 3, .max_tokens = 40, .no_end = true};
    char stop[4] = {0};
    rig_open(&r, 1000, 10000);
    rig_up(&r);
    run_alone(&r, &w, plain);
    size_t at = 5; /* two ASCII characters somewhere in the middle */
    while (at + 2 < plain->choice[0].n_text && ((plain->choice[0].text[at] | plain->choice[0].text[at + 1]) & 0x80) != 0)
        at++;
    memcpy(stop, plain->choice[0].text + at, 2);
    w.stop = stop;
    run_alone(&r, &w, stopped);
    const char *first = strstr(plain->choice[0].text, stop);
    CHECK_EQ(stopped->choice[0].n_text, (size_t)(first - plain->choice[0].text));
    CHECK(memcmp(stopped->choice[0].text, plain->choice[0].text, stopped->choice[0].n_text) == 0);
    CHECK_EQ(stopped->choice[0].why, CV_FINISH_STOP);
    CHECK_STR(stopped->choice[0].stop, stop);
    client_free(plain);
    client_free(stopped);
    rig_close(&r);
}

static void test_the_context_ends_a_text(void)
{
    struct rig r;
    struct client *c = client_new();
    const struct wish w = {.n_prompt = 250, .seed = 3, .max_tokens = 290, .no_end = true};
    rig_open(&r, 1000, 10000);
    rig_up(&r);
    run_alone(&r, &w, c);
    CHECK_EQ(c->choice[0].why, CV_FINISH_LENGTH);
    CHECK_EQ(c->choice[0].n_token, 256 - 250 + 1); /* the last one is not fed any more */
    client_free(c);
    rig_close(&r);
}

static void test_logprobs_are_those_of_the_row(void)
{
    struct rig r;
    struct client *c = client_new();
    const struct wish w = {.prompt = "hello", .greedy = true, .logprobs = true, .n_top = 5, .max_tokens = 3, .no_end = true};
    rig_open(&r, 1000, 10000);
    rig_up(&r);
    run_alone(&r, &w, c);
    CHECK_EQ(c->choice[0].n_top, 5);
    for (uint32_t i = 0; i < c->choice[0].n_token; i++)
        CHECK(c->choice[0].logprob[i] < 0 && c->choice[0].logprob[i] > -8);
    client_free(c);
    rig_close(&r);
}

static void test_a_beginning_that_is_held_is_not_run_again(void)
{
    struct rig r;
    struct client *c[3] = {client_new(), client_new(), client_new()};
    const struct wish w = {.n_prompt = 100, .seed = 5, .max_tokens = 10};
    rig_open(&r, 1000, 10000);
    rig_up(&r);
    run_alone(&r, &w, c[0]);
    CHECK_EQ(c[0]->usage.n_cached, 0);
    run_alone(&r, &w, c[1]);
    CHECK_EQ(c[1]->usage.n_cached, 99);
    CHECK(as_expected(&r, &w, c[1]));
    rig_down(&r, "new stages");
    rig_up(&r);
    run_alone(&r, &w, c[2]);
    CHECK_EQ(c[2]->usage.n_cached, 0);
    CHECK(as_expected(&r, &w, c[2]));
    for (size_t i = 0; i < 3; i++)
        client_free(c[i]);
    rig_close(&r);
}

static void test_a_cancelled_request_frees_its_slot(void)
{
    struct rig r;
    struct client *gone[4], *next = client_new();
    rig_open(&r, 1000, 10000);
    r.fake.delay_ms = 1;
    rig_up(&r);
    for (uint32_t i = 0; i < 4; i++) {
        const struct wish w = {.prompt = "long", .seed = i, .max_tokens = 200, .no_end = true};
        gone[i] = client_new();
        submit(&r, &w, gone[i]);
    }
    for (uint32_t i = 0; i < 4; i++)
        CHECK(client_wait(gone[i], 3));
    const struct wish w = {.prompt = "next", .seed = 9};
    submit(&r, &w, next); /* waits: all slots are busy */
    for (uint32_t i = 0; i < 4; i++)
        cv_scheduler_cancel(r.s, gone[i]->id);
    CHECK(client_wait(next, 0));
    CHECK(next->ok && as_expected(&r, &w, next));
    for (uint32_t i = 0; i < 4; i++) {
        CHECK(client_wait(gone[i], 0));
        CHECK(!gone[i]->ok && gone[i]->n_ends == 1);
        CHECK_EQ(gone[i]->err.code, CV_ERR_CANCEL);
        cv_scheduler_cancel(r.s, gone[i]->id); /* harmless */
        client_free(gone[i]);
    }
    client_free(next);
    rig_close(&r);
}

static void test_what_cannot_run_is_refused_at_once(void)
{
    struct rig r;
    struct cv_error err;
    uint64_t id;
    rig_open(&r, 60000, 10000);
    struct wish w = {.n_prompt = 257};
    struct cv_gen *g = gen_of(&w, NULL);
    CHECK(!cv_scheduler_submit(r.s, g, &id, &err));
    CHECK_EQ(err.code, CV_ERR_LIMIT);
    cv_gen_free(g);
    w = (struct wish){.prompt = "x", .n = 5};
    g = gen_of(&w, NULL);
    CHECK(!cv_scheduler_submit(r.s, g, &id, &err));
    cv_gen_free(g);
    struct client *c[64];
    w = (struct wish){.prompt = "x"};
    for (uint32_t i = 0; i < 64; i++) {
        c[i] = client_new();
        submit(&r, &w, c[i]);
    }
    g = gen_of(&w, NULL);
    CHECK(!cv_scheduler_submit(r.s, g, &id, &err));
    CHECK_EQ(err.code, CV_ERR_BUSY);
    cv_gen_free(g);
    rig_close(&r); /* ends them all */
    for (uint32_t i = 0; i < 64; i++) {
        CHECK(c[i]->ended && !c[i]->ok && c[i]->n_ends == 1);
        client_free(c[i]);
    }
}

static void test_a_text_goes_on_after_a_lost_epoch(void)
{
    for (long die = 1; die < 12; die += 2) {
        struct rig r;
        struct client *c[3];
        struct wish w[3];
        rig_open(&r, PATIENCE_MS, 10000);
        r.fake.die_after = die;
        r.fake.n_stage = 3;
        rig_up(&r);
        for (uint32_t i = 0; i < 3; i++) {
            w[i] = (struct wish){.n_prompt = 40, .seed = i, .max_tokens = 30, .no_end = true, .n = i == 2 ? 2 : 1};
            c[i] = client_new();
            submit(&r, &w[i], c[i]);
        }
        CHECK(wait_for_failure(&r));
        rig_down(&r, "node b is lost");
        r.fake.die_after = -1;
        rig_up(&r);
        for (uint32_t i = 0; i < 3; i++) {
            CHECK(client_wait(c[i], 0));
            CHECK(c[i]->ok && c[i]->n_ends == 1);
        }
        rig_close(&r);
        /* no_end runs past ends of generation, which fake_expect does not: compare up to the first */
        for (uint32_t i = 0; i < 3; i++) {
            CHECK_EQ(c[i]->choice[0].n_token, 30);
            int32_t want[MAX_TOKENS];
            struct cv_gen *g = gen_of(&w[i], NULL);
            for (uint32_t k = 0; k < g->n_choices; k++) {
                const uint32_t n = fake_expect(g->prompt, g->n_prompt, &g->sampling, k, served.vocab, 256, 30, want);
                CHECK(memcmp(want, c[i]->choice[k].token, n * sizeof(*want)) == 0);
            }
            cv_gen_free(g);
            client_free(c[i]);
        }
    }
}

static void test_without_an_epoch_requests_end_in_time(void)
{
    struct rig r;
    struct client *running = client_new(), *waiting = client_new();
    rig_open(&r, 300, 10000);
    r.fake.die_after = 4;
    rig_up(&r);
    const struct wish w = {.prompt = "hello", .max_tokens = 100, .no_end = true};
    submit(&r, &w, running);
    CHECK(wait_for_failure(&r));
    const uint64_t start = cv_now_ms();
    rig_down(&r, "node b is lost");
    submit(&r, &w, waiting);
    cv_sleep_ms(600);
    pthread_mutex_lock(&running->lock);
    const bool gave_up = running->ended;
    pthread_mutex_unlock(&running->lock);
    CHECK(!gave_up); /* another epoch may be on its way */
    cv_scheduler_hope(r.s, false);
    CHECK(client_wait(running, 0) && client_wait(waiting, 0));
    CHECK(cv_now_ms() - start < 3000);
    CHECK(!running->ok && !waiting->ok);
    CHECK_EQ(running->err.code, CV_ERR_BUSY);
    CHECK_CONTAINS(running->err.msg, "cannot serve just now");
    CHECK(running->choice[0].n_token > 0);
    struct client *after = client_new();
    r.fake.die_after = -1;
    rig_up(&r);
    const struct wish again = {.prompt = "hello", .seed = 4};
    run_alone(&r, &again, after);
    CHECK(as_expected(&r, &again, after));
    client_free(running);
    client_free(waiting);
    client_free(after);
    rig_close(&r);
}

static void check_failure(struct rig *r, const char *words)
{
    struct client *c = client_new();
    const struct wish w = {.prompt = "hello", .max_tokens = 50, .no_end = true};
    rig_up(r);
    submit(r, &w, c);
    CHECK(wait_for_failure(r));
    CHECK_CONTAINS(r->failed_why.msg, words);
    rig_down(r, "it failed");
    cv_scheduler_hope(r->s, false);
    CHECK(client_wait(c, 0));
    CHECK(!c->ok);
    client_free(c);
    rig_close(r);
}

static void test_a_stage_that_fails_ends_the_epoch(void)
{
    struct rig r;
    rig_open(&r, 50, 10000);
    r.fake.error_after = 3;
    check_failure(&r, "stage 1: on fire");
}

static void test_silence_ends_the_epoch(void)
{
    struct rig r;
    rig_open(&r, 50, 200);
    r.fake.silent_after = 3;
    check_failure(&r, "no result for");
}

static void test_a_result_that_was_not_due_ends_the_epoch(void)
{
    struct rig r;
    rig_open(&r, 50, 10000);
    r.fake.garbage_after = 3;
    check_failure(&r, "where another was due");
}

static void test_the_figures_add_up(void)
{
    struct rig r;
    struct cv_scheduler_stats st;
    struct client *c = client_new();
    const struct wish w = {.prompt = "hello", .max_tokens = 12, .no_end = true};
    rig_open(&r, 1000, 10000);
    CHECK(cv_scheduler_idle(r.s));
    rig_up(&r);
    run_alone(&r, &w, c);
    const uint64_t until = cv_now_ms() + PATIENCE_MS;
    while (!cv_scheduler_idle(r.s) && cv_now_ms() < until)
        cv_sleep_ms(2);
    cv_scheduler_stats(r.s, &st);
    CHECK_EQ(st.n_requests, 1);
    CHECK_EQ(st.n_failed, 0);
    CHECK_EQ(st.n_prompt_tokens, 5);
    CHECK_EQ(st.n_generated_tokens, 12);
    CHECK_EQ(st.n_slots, 4);
    CHECK_EQ(st.n_slots_busy, 0);
    CHECK_EQ(st.n_running + st.n_waiting, 0);
    client_free(c);
    rig_close(&r);
}

/* Everything at once: many requests, clients that leave, epochs that die; whoever ends well has the right text. */
static void test_nothing_is_lost_in_the_storm(void)
{
    enum { N = 60 };
    struct rig r;
    struct client *c[N];
    struct wish w[N];
    rig_open(&r, PATIENCE_MS, 10000);
    r.fake.n_stage = 3;
    r.fake.die_after = 20;
    rig_up(&r);
    uint32_t n_lost = 0;
    for (uint32_t i = 0; i < N; i++) {
        w[i] = (struct wish){.n_prompt = 1 + (uint32_t)check_below(80), .seed = (uint32_t)check_below(5), .n = 1 + (uint32_t)check_below(3),
                             .max_tokens = 1 + (uint32_t)check_below(40), .greedy = check_below(2) == 0};
        c[i] = client_new();
        submit(&r, &w[i], c[i]);
        if (check_below(4) == 0)
            cv_scheduler_cancel(r.s, c[check_below(i + 1)]->id);
        if (failed_epoch(&r) == r.epoch || check_below(12) == 0) {
            rig_down(&r, "bad luck");
            r.fake.die_after = check_below(2) == 0 ? (long)check_below(30) : -1;
            n_lost++;
            rig_up(&r);
        }
        cv_sleep_ms((unsigned)check_below(4));
    }
    const uint64_t until = cv_now_ms() + 2 * PATIENCE_MS;
    while (!cv_scheduler_idle(r.s) && cv_now_ms() < until) {
        if (failed_epoch(&r) == r.epoch) {
            rig_down(&r, "bad luck");
            r.fake.die_after = -1;
            rig_up(&r);
        }
        cv_sleep_ms(2);
    }
    CHECK(n_lost > 0);
    uint32_t n_good = 0;
    for (uint32_t i = 0; i < N; i++) {
        CHECK(client_wait(c[i], 0));
        CHECK_EQ(c[i]->n_ends, 1);
        if (c[i]->ok) {
            n_good++;
            CHECK(as_expected(&r, &w[i], c[i]));
        } else {
            CHECK_EQ(c[i]->err.code, CV_ERR_CANCEL);
        }
    }
    CHECK(n_good > N / 3);
    rig_close(&r);
    for (uint32_t i = 0; i < N; i++)
        client_free(c[i]);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_a_request_gets_the_text_of_whole_rows),
        CASE(test_batches_and_stages_change_no_text),
        CASE(test_requests_share_batches),
        CASE(test_a_stop_string_ends_the_text_before_it),
        CASE(test_the_context_ends_a_text),
        CASE(test_logprobs_are_those_of_the_row),
        CASE(test_a_beginning_that_is_held_is_not_run_again),
        CASE(test_a_cancelled_request_frees_its_slot),
        CASE(test_what_cannot_run_is_refused_at_once),
        CASE(test_a_text_goes_on_after_a_lost_epoch),
        CASE(test_without_an_epoch_requests_end_in_time),
        CASE(test_a_stage_that_fails_ends_the_epoch),
        CASE(test_silence_ends_the_epoch),
        CASE(test_a_result_that_was_not_due_ends_the_epoch),
        CASE(test_the_figures_add_up),
        CASE(test_nothing_is_lost_in_the_storm),
    };
    struct cv_error err;
    if (!served_init(&served, &err)) {
        printf("FAIL the small model: %s\n", err.msg);
        return 1;
    }
    const int code = check_main(argc, argv, cases, CV_COUNT(cases));
    served_fini(&served);
    return code;
}
