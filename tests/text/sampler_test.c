/* sampler_test.c - the definitions on known vectors; asked candidates against whole rows; replay. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/select.h"
#include "tests/check/check.h"
#include "tests/text/small_vocab.h"
#include "text/sampler_internal.h"

static struct cv_error err;
static struct cv_vocab *vocab;

static struct cv_vocab *the_vocab(void)
{
    if (vocab == NULL) {
        struct small_vocab_options o = {.special = {"<|endoftext|>"}, .special_type = {3}};
        vocab = small_vocab(&o, &err);
        CHECK(vocab != NULL);
    }
    return vocab;
}

static void load_logits(struct cv_cands *c, const float *logit, size_t n)
{
    struct cv_candidate cand[64];
    for (size_t i = 0; i < n; i++)
        cand[i] = (struct cv_candidate){(int32_t)i, logit[i]};
    CHECK(cv_cands_reserve(c, n));
    cv_cands_load(c, cand, n);
}

static void load_probs(struct cv_cands *c)
{
    const float logit[4] = {logf(.5f), logf(.3f), logf(.15f), logf(.05f)};
    load_logits(c, logit, 4);
}

static void test_mt19937_gives_the_published_number(void)
{
    struct cv_rng r;
    cv_rng_seed(&r, 5489);
    cv_rng_discard(&r, 9999);
    CHECK_EQ(cv_rng_u32(&r), 4123659995u);
}

static void test_top_p_keeps_the_shortest_prefix_that_reaches_p(void)
{
    struct cv_cands c = {0};
    load_probs(&c);
    cv_sample_top_p(&c, 0.8, 0);
    CHECK_EQ(c.n, 2);
    load_probs(&c);
    cv_sample_top_p(&c, 0.81, 0);
    CHECK_EQ(c.n, 3);
    load_probs(&c);
    cv_sample_top_p(&c, 0.0, 0);
    CHECK_EQ(c.n, 1);
    load_probs(&c);
    cv_sample_top_p(&c, 0.0, 3);
    CHECK_EQ(c.n, 3);
    load_probs(&c);
    cv_sample_top_p(&c, 1.0, 0);
    CHECK_EQ(c.n, 4);
    cv_cands_fini(&c);
}

static void test_min_p_keeps_what_is_a_fraction_of_the_best(void)
{
    struct cv_cands c = {0};
    load_probs(&c);
    cv_sample_min_p(&c, 0.2, 0);
    CHECK_EQ(c.n, 3);
    load_probs(&c);
    cv_sample_min_p(&c, 1.0, 0);
    CHECK_EQ(c.n, 1);
    load_probs(&c);
    cv_sample_min_p(&c, 0.9, 2);
    CHECK_EQ(c.n, 2);
    cv_cands_fini(&c);
}

static void test_xtc_drops_all_but_the_least_of_the_likely(void)
{
    struct cv_cands c = {0};
    load_probs(&c);
    cv_sample_xtc(&c, 1.0, 0.1, 0, 0.3f);
    CHECK_EQ(c.n, 2);
    CHECK_EQ(c.at[0].id, 2);
    CHECK_EQ(c.at[1].id, 3);
    load_probs(&c);
    cv_sample_xtc(&c, 0.2, 0.1, 0, 0.3f); /* not this time */
    CHECK_EQ(c.n, 4);
    load_probs(&c);
    cv_sample_xtc(&c, 1.0, 0.1, 3, 0.3f); /* too few would survive */
    CHECK_EQ(c.n, 4);
    cv_cands_fini(&c);
}

static void test_typical_keeps_what_is_as_surprising_as_the_average(void)
{
    struct cv_cands c = {0};
    load_probs(&c);
    cv_sample_typical(&c, 0.2, 0);
    CHECK_EQ(c.n, 1);
    CHECK_EQ(c.at[0].id, 1);
    load_probs(&c);
    cv_sample_typical(&c, 0.99, 0);
    const int32_t order[4] = {1, 0, 2, 3};
    CHECK_EQ(c.n, 4);
    for (size_t i = 0; i < c.n; i++)
        CHECK_EQ(c.at[i].id, order[i]);
    cv_cands_fini(&c);
}

static void test_penalties_on_the_vector_of_the_specification(void)
{
    struct cv_cands c = {0};
    const float logit[3] = {2.0f, -1.0f, 7.0f};
    struct cv_window w;
    CHECK(cv_window_init(&w, 3, 8));
    cv_window_add(&w, 0);
    cv_window_add(&w, 1);
    cv_window_add(&w, 1);
    load_logits(&c, logit, 3);
    cv_sample_penalties(&c, &w, 2.0, 0.5, 0.25);
    CHECK(c.at[0].logit == 0.25f);
    CHECK(c.at[1].logit == -3.25f);
    CHECK(c.at[2].logit == 7.0f);
    cv_window_remove(&w, 1);
    cv_window_remove(&w, 0);
    CHECK_EQ(w.n_distinct, 1);
    CHECK_EQ(w.distinct[0], 1);
    cv_window_fini(&w);
    cv_cands_fini(&c);
}

static void test_top_n_sigma_forbids_what_is_far_below_the_best(void)
{
    struct cv_cands c = {0};
    const float logit[4] = {0, 0, 0, 10};
    load_logits(&c, logit, 4);
    cv_sample_top_n_sigma(&c, 1.0);
    CHECK_EQ(c.n, 4);
    CHECK(c.at[3].logit == 10.0f);
    for (size_t i = 0; i < 3; i++)
        CHECK(c.at[i].logit == -INFINITY);
    load_logits(&c, logit, 4);
    cv_sample_top_n_sigma(&c, 3.0); /* 10 - 3 * 4.33 is below 0 */
    CHECK(c.at[0].logit == 0.0f);
    cv_cands_fini(&c);
}

static void test_dry_on_the_vector_of_the_specification(void)
{
    struct cv_sampling p;
    struct cv_dry *d;
    const struct cv_dry_hit *hit;
    size_t n;
    const int32_t window[5] = {'a', 'b', 'c', 'a', 'b'};
    cv_sampling_defaults(&p);
    p.dry_multiplier = 1.0;
    p.dry_base = 2.0;
    CHECK_OK(cv_dry_new(&d, &p, the_vocab(), &err), err);
    CHECK_OK(cv_dry_find(d, window, 5, &hit, &n, &err), err);
    CHECK_EQ(n, 1);
    CHECK_EQ(hit[0].id, 'c');
    CHECK_EQ(hit[0].length, 2);
    struct cv_cands c = {0};
    struct cv_candidate cand = {'c', 4.0f};
    CHECK(cv_cands_reserve(&c, 1));
    cv_cands_load(&c, &cand, 1);
    cv_sample_dry(&c, d);
    CHECK(c.at[0].logit == 3.0f);
    cv_cands_fini(&c);
    cv_dry_free(d);
}

static void test_dry_stops_at_a_breaker_and_spares_it(void)
{
    struct cv_sampling p;
    struct cv_dry *d;
    const struct cv_dry_hit *hit;
    size_t n;
    cv_sampling_defaults(&p);
    p.dry_multiplier = 1.0;
    p.dry_base = 2.0;
    CHECK_OK(cv_dry_new(&d, &p, the_vocab(), &err), err);
    const int32_t broken[7] = {'x', 'a', 'b', 'c', 'x', ':', 'b'}; /* only one token since the breaker */
    CHECK_OK(cv_dry_find(d, broken, 7, &hit, &n, &err), err);
    CHECK_EQ(n, 0);
    const int32_t spared[6] = {'a', 'b', ':', 'c', 'a', 'b'}; /* the next one would be the breaker */
    CHECK_OK(cv_dry_find(d, spared, 6, &hit, &n, &err), err);
    CHECK_EQ(n, 0);
    cv_dry_free(d);
    static const char *const two[] = {"and"}; /* of three tokens here: "a", "n", "d"; "an", "d" */
    p.dry_breaker = two;
    p.n_dry_breaker = 1;
    CHECK_OK(cv_dry_new(&d, &p, the_vocab(), &err), err);
    int32_t an = cv_vocab_find(the_vocab(), "an", 2);
    CHECK(an >= 0);
    const int32_t text[8] = {'x', 'y', 'z', 'x', an, 'd', 'x', 'y'};
    CHECK_OK(cv_dry_find(d, text, 8, &hit, &n, &err), err);
    CHECK_EQ(n, 1); /* x y -> z, and no further back than the breaker */
    CHECK_EQ(hit[0].id, 'z');
    CHECK_EQ(hit[0].length, 2);
    cv_dry_free(d);
}

/* The definition, word by word, in quadratic time. */
static void test_dry_agrees_with_a_plain_search(void)
{
    struct cv_sampling p;
    struct cv_dry *d;
    static const char *const none[] = {"\x7f"};
    cv_sampling_defaults(&p);
    p.dry_multiplier = 1.0;
    p.dry_breaker = none;
    p.n_dry_breaker = 1;
    CHECK_OK(cv_dry_new(&d, &p, the_vocab(), &err), err);
    for (int round = 0; round < 500; round++) {
        int32_t window[60];
        uint32_t longest[5] = {0};
        size_t n = 1 + check_below(59), n_hit, n_want = 0;
        for (size_t i = 0; i < n; i++)
            window[i] = (int32_t)check_below(round % 4 + 2);
        for (size_t k = 0; k + 1 < n; k++) {
            uint32_t len = 0;
            while (len <= k && window[k - len] == window[n - 1 - len])
                len++;
            int32_t next = window[k + 1];
            if (len >= 2 && len > longest[next])
                longest[next] = len;
        }
        const struct cv_dry_hit *hit;
        CHECK_OK(cv_dry_find(d, window, n, &hit, &n_hit, &err), err);
        for (size_t i = 0; i < n_hit; i++)
            CHECK_EQ(hit[i].length, longest[hit[i].id]);
        for (size_t i = 0; i < 5; i++)
            n_want += longest[i] > 0;
        CHECK_EQ(n_hit, n > 2 ? n_want : 0);
    }
    cv_dry_free(d);
}

static float row[4096];

static void random_row(size_t n)
{
    bool coarse = check_below(3) == 0; /* many ties */
    for (size_t i = 0; i < n; i++) {
        row[i] = 4.0f * check_normal();
        row[i] = coarse ? floorf(row[i]) : row[i];
        if (check_below(40) == 0)
            row[i] = -INFINITY;
    }
    row[check_below(n)] = 3.0f;
}

static void random_params(struct cv_sampling *p, struct cv_bias *bias, uint32_t n_vocab)
{
    cv_sampling_defaults(p);
    p->has_seed = true;
    p->seed = (uint32_t)check_rand();
    p->temperature = check_below(4) == 0 ? 0.0 : 0.3 + 1.5 * check_uniform();
    p->top_k = (int32_t)check_below(30);
    p->top_p = check_below(3) == 0 ? 1.0 : check_uniform();
    p->min_p = check_below(3) == 0 ? 0.0 : 0.3 * check_uniform();
    p->typical_p = check_below(3) == 0 ? check_uniform() : 1.0;
    p->top_n_sigma = check_below(5) == 0 ? 2.0 * check_uniform() : -1.0;
    p->xtc_probability = check_below(3) == 0 ? check_uniform() : 0.0;
    p->dynatemp_range = check_below(5) == 0 ? check_uniform() : 0.0;
    p->min_keep = check_below(4) == 0 ? (int32_t)check_below(40) : 0;
    if (check_below(2) == 0) {
        p->repeat_penalty = 0.5 + 1.5 * check_uniform();
        p->frequency_penalty = 2.0 * check_uniform() - 0.5;
        p->presence_penalty = 2.0 * check_uniform() - 0.5;
    }
    p->repeat_last_n = (int32_t)check_below(30) - 1;
    p->dry_multiplier = check_below(3) == 0 ? check_uniform() : 0.0;
    p->mirostat = check_below(12) == 0 ? 1 + (int32_t)check_below(2) : 0;
    p->ignore_eos = check_below(4) == 0;
    p->n_bias = check_below(3) == 0 ? check_below(12) : 0;
    p->bias = bias;
    for (size_t i = 0; i < p->n_bias; i++)
        bias[i] =
            (struct cv_bias){(int32_t)check_below(n_vocab), check_below(4) == 0 ? -INFINITY : 10.0f * check_normal()};
    if (check_below(3) == 0) { /* another order, perhaps with one left out or named twice */
        p->n_chain = 1 + check_below(9);
        for (size_t i = 0; i < p->n_chain; i++)
            p->chain[i] = (uint8_t)(1 + check_below(10));
    }
}

/* The one promise that lets a few candidates travel instead of a row. */
static void test_asked_candidates_pick_what_the_whole_row_picks(void)
{
    static struct cv_candidate all[4096], asked[8192];
    const uint32_t n_vocab = cv_vocab_size(the_vocab());
    unsigned n_bounded = 0, n_tokens = 0;
    for (int round = 0; round < 4000; round++) {
        struct cv_sampling p;
        struct cv_bias bias[12];
        struct cv_sampler *whole, *few;
        int32_t prompt[40];
        size_t n_prompt = check_below(40);
        random_params(&p, bias, n_vocab);
        CHECK_OK(cv_sampler_new(&whole, &p, the_vocab(), 3, 100, &err), err);
        CHECK_OK(cv_sampler_new(&few, &p, the_vocab(), 3, 100, &err), err);
        for (size_t i = 0; i < n_prompt; i++)
            prompt[i] = (int32_t)check_below(round % 2 ? 6 : n_vocab);
        CHECK_OK(cv_sampler_accept_prompt(whole, prompt, n_prompt, &err), err);
        CHECK_OK(cv_sampler_accept_prompt(few, prompt, n_prompt, &err), err);
        for (int step = 0; step < 12; step++) {
            struct cv_sampler_ask ask;
            struct cv_pick a, b;
            double lse;
            random_row(n_vocab);
            size_t n_all = cv_candidates_select(row, n_vocab, CV_ASK_ALL, NULL, 0, all, &lse);
            CHECK_OK(cv_sampler_ask(few, (uint32_t)check_below(6), &ask, &err), err);
            size_t n = cv_candidates_select(row, n_vocab, ask.n_top, ask.ids, ask.n_ids, asked, NULL);
            n_bounded += ask.n_top != CV_ASK_ALL;
            n_tokens++;
            bool picked = cv_sampler_pick(whole, all, n_all, lse, &a, &err);
            CHECK_EQ(cv_sampler_pick(few, asked, n, lse, &b, &err), picked);
            if (!picked)
                break;
            CHECK_EQ(a.token, b.token);
            CHECK(a.logit == b.logit && a.logprob == b.logprob && a.prob == b.prob);
            size_t na, nb;
            const struct cv_survivor *sa = cv_sampler_survivors(whole, &na), *sb = cv_sampler_survivors(few, &nb);
            CHECK_EQ(na, nb);
            for (size_t i = 0; i < na; i++)
                CHECK(sa[i].id == sb[i].id && sa[i].prob == sb[i].prob);
            CHECK(row[a.token] == a.logit);
            CHECK_OK(cv_sampler_accept(whole, a.token, &err), err);
            CHECK_OK(cv_sampler_accept(few, a.token, &err), err);
        }
        cv_sampler_free(whole);
        cv_sampler_free(few);
    }
    printf("    %u of %u tokens from a few candidates\n", n_bounded, n_tokens);
    CHECK(n_bounded > n_tokens / 4 && n_bounded < n_tokens);
}

static void test_asks_for_no_more_than_it_needs(void)
{
    struct cv_sampling p;
    struct cv_sampler *s;
    struct cv_sampler_ask ask;
    cv_sampling_defaults(&p);
    CHECK_OK(cv_sampler_new(&s, &p, the_vocab(), 0, 100, &err), err);
    CHECK_OK(cv_sampler_ask(s, 0, &ask, &err), err);
    CHECK_EQ(ask.n_top, 40);
    CHECK_EQ(ask.n_ids, 0);
    cv_sampler_free(s);
    const struct cv_bias bias[3] = {{7, 1.0f}, {9, -INFINITY}, {7, 2.0f}};
    p.bias = bias;
    p.n_bias = 3;
    p.temperature = 0.0;
    p.presence_penalty = 0.5;
    CHECK_OK(cv_sampler_new(&s, &p, the_vocab(), 0, 100, &err), err);
    CHECK_OK(cv_sampler_accept(s, 7, &err), err);
    CHECK_OK(cv_sampler_accept(s, 11, &err), err);
    CHECK_OK(cv_sampler_ask(s, 0, &ask, &err), err);
    CHECK_EQ(ask.n_top, 1 + 3);
    CHECK_EQ(ask.n_ids, 3);
    CHECK(ask.ids[0] == 7 && ask.ids[1] == 9 && ask.ids[2] == 11);
    CHECK_OK(cv_sampler_ask(s, 20, &ask, &err), err);
    CHECK_EQ(ask.n_top, 20);
    cv_sampler_free(s);
    cv_sampling_defaults(&p);
    p.top_k = 0;
    CHECK_OK(cv_sampler_new(&s, &p, the_vocab(), 0, 100, &err), err);
    CHECK_OK(cv_sampler_ask(s, 5, &ask, &err), err);
    CHECK_EQ(ask.n_top, CV_ASK_ALL);
    cv_sampler_free(s);
}

static int32_t next_token(struct cv_sampler *s, uint64_t position)
{
    static struct cv_candidate all[4096];
    struct cv_pick pick;
    double lse;
    const uint32_t n = cv_vocab_size(the_vocab());
    for (uint32_t i = 0; i < n; i++) { /* a row that depends on the position alone */
        uint64_t x = (position * 1000003u + i) * 0x9E3779B97F4A7C15u;
        row[i] = (float)(x >> 40) / 16777216.0f * 6.0f;
    }
    cv_candidates_select(row, n, CV_ASK_ALL, NULL, 0, all, &lse);
    CHECK_OK(cv_sampler_pick(s, all, n, lse, &pick, &err), err);
    CHECK_OK(cv_sampler_accept(s, pick.token, &err), err);
    return pick.token;
}

static void test_a_reset_sampler_goes_on_as_if_nothing_had_happened(void)
{
    for (int round = 0; round < 60; round++) {
        struct cv_sampling p;
        struct cv_sampler *s;
        int32_t history[50];
        cv_sampling_defaults(&p);
        p.has_seed = true;
        p.seed = (uint32_t)round;
        p.repeat_penalty = 1.3;
        p.dry_multiplier = 0.8;
        p.xtc_probability = round % 2 ? 0.5 : 0.0;
        p.xtc_threshold = 0.02;
        p.top_k = round % 3 ? 40 : 1;
        p.temperature = round % 5 ? 1.2 : 0.0;
        CHECK_OK(cv_sampler_new(&s, &p, the_vocab(), 0, 100, &err), err);
        for (size_t i = 0; i < 10; i++)
            history[i] = (int32_t)check_below(50);
        CHECK_OK(cv_sampler_accept_prompt(s, history, 10, &err), err);
        for (size_t i = 10; i < 50; i++)
            history[i] = next_token(s, i);
        CHECK_OK(cv_sampler_reset_to(s, history, 10, 30, &err), err);
        for (size_t i = 30; i < 50; i++)
            CHECK_EQ(next_token(s, i), history[i]);
        cv_sampler_free(s);
    }
}

static void test_mirostat_cannot_be_replayed_and_says_so(void)
{
    struct cv_sampling p;
    struct cv_sampler *s;
    const int32_t history[3] = {1, 2, 3};
    cv_sampling_defaults(&p);
    p.mirostat = 2;
    CHECK_OK(cv_sampler_new(&s, &p, the_vocab(), 0, 100, &err), err);
    CHECK_OK(cv_sampler_reset_to(s, history, 3, 3, &err), err);
    CHECK(!cv_sampler_reset_to(s, history, 2, 3, &err));
    CHECK_EQ(err.code, CV_ERR_UNSUPPORTED);
    cv_sampler_free(s);
}

static void test_mirostat_settles_at_its_target(void)
{
    for (int version = 1; version <= 2; version++) {
        struct cv_sampling p;
        struct cv_sampler *s;
        double surprise = 0.0;
        static struct cv_candidate all[4096];
        const uint32_t n = cv_vocab_size(the_vocab());
        cv_sampling_defaults(&p);
        p.has_seed = true;
        p.mirostat = version;
        p.mirostat_tau = 3.0;
        p.temperature = 1.0;
        CHECK_OK(cv_sampler_new(&s, &p, the_vocab(), 0, 100, &err), err);
        for (uint32_t i = 0; i < n; i++)
            row[i] = -1.1f * logf((float)(i + 1)); /* Zipf */
        for (int step = 0; step < 2000; step++) {
            struct cv_pick pick;
            double lse;
            cv_candidates_select(row, n, CV_ASK_ALL, NULL, 0, all, &lse);
            CHECK_OK(cv_sampler_pick(s, all, n, lse, &pick, &err), err);
            surprise += step >= 1000 ? -log2(pick.prob) / 1000.0 : 0.0;
        }
        CHECK(fabs(surprise - 3.0) < 0.3);
        cv_sampler_free(s);
    }
}

static void test_adaptive_p_bends_towards_its_target(void)
{
    struct cv_sampling p;
    struct cv_sampler *s;
    double mean[2];
    for (int high = 0; high < 2; high++) {
        cv_sampling_defaults(&p);
        p.has_seed = true;
        p.temperature = 1.0;
        p.adaptive_target = high ? 0.7 : 0.1;
        p.chain[0] = CV_SAMPLER_ADAPTIVE_P;
        p.n_chain = 1;
        CHECK_OK(cv_sampler_new(&s, &p, the_vocab(), 0, 100, &err), err);
        const struct cv_candidate cand[4] = {{0, logf(.6f)}, {1, logf(.2f)}, {2, logf(.15f)}, {3, logf(.05f)}};
        const double prob[4] = {.6, .2, .15, .05};
        mean[high] = 0.0;
        for (int step = 0; step < 500; step++) {
            struct cv_pick pick;
            CHECK_OK(cv_sampler_pick(s, cand, 4, 0.0, &pick, &err), err);
            CHECK_OK(cv_sampler_accept(s, pick.token, &err), err);
            mean[high] += prob[pick.token] / 500.0;
        }
        cv_sampler_free(s);
    }
    CHECK(mean[0] < 0.25 && mean[1] > 0.5);
}

static void test_draws_in_proportion(void)
{
    struct cv_sampling p;
    struct cv_sampler *s;
    unsigned count[4] = {0};
    cv_sampling_defaults(&p);
    p.has_seed = true;
    p.temperature = 1.0;
    p.top_p = 1.0;
    p.min_p = 0.0;
    CHECK_OK(cv_sampler_new(&s, &p, the_vocab(), 0, 100, &err), err);
    const struct cv_candidate cand[4] = {{10, logf(.5f)}, {11, logf(.3f)}, {12, logf(.15f)}, {13, logf(.05f)}};
    for (int i = 0; i < 20000; i++) {
        struct cv_pick pick;
        CHECK_OK(cv_sampler_pick(s, cand, 4, 0.25, &pick, &err), err);
        count[pick.token - 10]++;
        CHECK(fabs(pick.logprob - ((double)pick.logit - 0.25)) < 1e-12);
    }
    CHECK(abs((int)count[0] - 10000) < 300 && abs((int)count[1] - 6000) < 300 && abs((int)count[3] - 1000) < 150);
    cv_sampler_free(s);
}

static void test_a_choice_has_a_seed_of_its_own(void)
{
    struct cv_sampling p;
    struct cv_sampler *a, *b;
    cv_sampling_defaults(&p);
    p.has_seed = true;
    p.seed = UINT32_MAX;
    CHECK_OK(cv_sampler_new(&a, &p, the_vocab(), 0, 100, &err), err);
    CHECK_OK(cv_sampler_new(&b, &p, the_vocab(), 2, 100, &err), err);
    CHECK_EQ(cv_sampler_seed(a), UINT32_MAX);
    CHECK_EQ(cv_sampler_seed(b), 1);
    cv_sampler_free(a);
    cv_sampler_free(b);
    p.has_seed = false;
    CHECK_OK(cv_sampler_new(&a, &p, the_vocab(), 0, 100, &err), err);
    CHECK_OK(cv_sampler_new(&b, &p, the_vocab(), 0, 100, &err), err);
    CHECK(cv_sampler_seed(a) != cv_sampler_seed(b));
    cv_sampler_free(a);
    cv_sampler_free(b);
}

static void test_refuses_what_makes_no_sense(void)
{
    struct cv_sampling p;
    const char *field = NULL;
    const struct cv_bias outside = {100000, 1.0f};
    cv_sampling_defaults(&p);
    CHECK_OK(cv_sampling_check(&p, 300, &field, &err), err);
    p.repeat_penalty = 0.0;
    CHECK(!cv_sampling_check(&p, 300, &field, &err));
    CHECK_STR(field, "repeat_penalty");
    CHECK_EQ(err.code, CV_ERR_ARG);
    CHECK_CONTAINS(err.msg, "repeat_penalty");
    cv_sampling_defaults(&p);
    p.temperature = NAN;
    CHECK(!cv_sampling_check(&p, 300, &field, &err));
    CHECK_STR(field, "temperature");
    cv_sampling_defaults(&p);
    p.repeat_last_n = -2;
    CHECK(!cv_sampling_check(&p, 300, &field, &err));
    CHECK_STR(field, "repeat_last_n");
    cv_sampling_defaults(&p);
    p.dry_multiplier = 1.0;
    p.n_dry_breaker = 0;
    CHECK(!cv_sampling_check(&p, 300, &field, &err));
    CHECK_STR(field, "dry_sequence_breakers");
    cv_sampling_defaults(&p);
    p.bias = &outside;
    p.n_bias = 1;
    CHECK(!cv_sampling_check(&p, 300, &field, &err));
    CHECK_STR(field, "logit_bias");
}

static void test_knows_samplers_by_name_and_letter(void)
{
    struct cv_sampling p;
    cv_sampling_defaults(&p);
    const char *letters = "edskypmxt";
    CHECK_EQ(p.n_chain, strlen(letters));
    for (size_t i = 0; i < p.n_chain; i++)
        CHECK_EQ(cv_sampler_by_letter(letters[i]), p.chain[i]);
    CHECK_EQ(cv_sampler_by_name("Top-K", 5), CV_SAMPLER_TOP_K);
    CHECK_EQ(cv_sampler_by_name("temp", 4), CV_SAMPLER_TEMPERATURE);
    CHECK_EQ(cv_sampler_by_name("nucleus", 7), CV_SAMPLER_TOP_P);
    CHECK_EQ(cv_sampler_by_name("top_", 4), 0);
    CHECK_EQ(cv_sampler_by_name("", 0), 0);
    CHECK_EQ(cv_sampler_by_letter('i'), 0);
}

static void test_says_so_when_every_token_is_forbidden(void)
{
    struct cv_sampling p;
    struct cv_sampler *s;
    struct cv_pick pick;
    const struct cv_bias never = {5, -INFINITY};
    const struct cv_candidate only = {5, 1.0f}, outside = {-1, 0.0f};
    cv_sampling_defaults(&p);
    p.bias = &never;
    p.n_bias = 1;
    CHECK_OK(cv_sampler_new(&s, &p, the_vocab(), 0, 100, &err), err);
    CHECK(!cv_sampler_pick(s, &only, 1, 0.0, &pick, &err));
    CHECK_EQ(err.code, CV_ERR_ARG);
    CHECK(!cv_sampler_pick(s, &only, 0, 0.0, &pick, &err));
    CHECK(!cv_sampler_pick(s, &outside, 1, 0.0, &pick, &err));
    CHECK(!cv_sampler_accept(s, -1, &err));
    cv_sampler_free(s);
}

static void test_never_picks_what_the_model_suppresses(void)
{
    struct small_vocab_options o = {.never = 5, .special = {"<|endoftext|>"}, .special_type = {3}};
    struct cv_vocab *v = small_vocab(&o, &err);
    CHECK_OK(v != NULL, err);
    const int32_t eos = cv_vocab_find(v, "<|endoftext|>", 13);
    for (int ignore = 0; ignore < 2; ignore++) {
        struct cv_sampling p;
        struct cv_sampler *s;
        struct cv_sampler_ask ask;
        struct cv_pick pick;
        const struct cv_candidate cand[3] = {{5, 9.0f}, {eos, 5.0f}, {7, 1.0f}};
        cv_sampling_defaults(&p);
        p.temperature = 0.0;
        p.ignore_eos = ignore == 1;
        CHECK_OK(cv_sampler_new(&s, &p, v, 0, 100, &err), err);
        CHECK_OK(cv_sampler_ask(s, 0, &ask, &err), err);
        CHECK_EQ(ask.n_ids, ignore ? 2 : 1);
        CHECK_EQ(ask.ids[0], 5);
        CHECK_OK(cv_sampler_pick(s, cand, 3, 0.0, &pick, &err), err);
        CHECK_EQ(pick.token, ignore ? 7 : eos);
        cv_sampler_free(s);
    }
    cv_vocab_free(v);
}

static void test_sorts_many_like_few(void)
{
    struct cv_cands c = {0};
    static struct cv_candidate cand[4096];
    CHECK(cv_cands_reserve(&c, 4096));
    for (int round = 0; round < 50; round++) {
        size_t n = 200 + check_below(3000);
        for (size_t i = 0; i < n; i++)
            cand[i] = (struct cv_candidate){(int32_t)i, floorf(20.0f * check_normal()) / 2.0f};
        cand[check_below(n)].logit = -0.0f;
        cv_cands_load(&c, cand, n);
        cv_cands_sort(&c);
        for (size_t i = 1; i < n; i++)
            CHECK(c.at[i - 1].logit > c.at[i].logit ||
                  (c.at[i - 1].logit == c.at[i].logit && c.at[i - 1].id < c.at[i].id));
    }
    cv_cands_fini(&c);
}

static void test_loads_candidates_in_any_order_once_each(void)
{
    struct cv_cands c = {0};
    CHECK(cv_cands_reserve(&c, 400));
    for (int round = 0; round < 2000; round++) {
        struct cv_candidate cand[400];
        bool there[100] = {false};
        size_t n = check_below(60), n_there = 0;
        for (size_t i = 0; i < n; i++)
            cand[i].id = (int32_t)check_below(100);
        for (int32_t id = (int32_t)check_below(100); id < 100 && round % 2; id++) /* a rising run behind them */
            cand[n++].id = id;
        for (size_t i = 0; i < n; i++) {
            cand[i].logit = (float)(cand[i].id * 37 % 11);
            n_there += !there[cand[i].id];
            there[cand[i].id] = true;
        }
        cv_cands_load(&c, cand, n);
        CHECK_EQ(c.n, n_there);
        for (size_t i = 0; i < c.n; i++) {
            CHECK(there[c.at[i].id] && c.at[i].logit == (float)(c.at[i].id * 37 % 11));
            CHECK(i == 0 || c.at[i - 1].id < c.at[i].id);
        }
    }
    cv_cands_fini(&c);
}

static void test_survives_every_failed_allocation(void)
{
    struct cv_sampling p;
    const int32_t prompt[3] = {1, 2, 3};
    const struct cv_candidate cand[2] = {{1, 1.0f}, {2, 2.0f}};
    cv_sampling_defaults(&p);
    p.repeat_penalty = 1.2;
    p.dry_multiplier = 1.0;
    the_vocab();
    bool done = false;
    for (long after = 0; !done; after++) {
        struct cv_sampler *s = NULL;
        struct cv_sampler_ask ask;
        struct cv_pick pick;
        err.code = CV_OK;
        cv_mem_fail_after(after);
        done = cv_sampler_new(&s, &p, vocab, 0, 100, &err) && cv_sampler_accept_prompt(s, prompt, 3, &err) &&
               cv_sampler_ask(s, 0, &ask, &err) && cv_sampler_pick(s, cand, 2, 0.0, &pick, &err);
        cv_mem_fail_after(-1);
        CHECK(done || err.code == CV_ERR_NOMEM);
        cv_sampler_free(s);
        CHECK(after < 10000);
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_mt19937_gives_the_published_number),
        CASE(test_top_p_keeps_the_shortest_prefix_that_reaches_p),
        CASE(test_min_p_keeps_what_is_a_fraction_of_the_best),
        CASE(test_xtc_drops_all_but_the_least_of_the_likely),
        CASE(test_typical_keeps_what_is_as_surprising_as_the_average),
        CASE(test_penalties_on_the_vector_of_the_specification),
        CASE(test_top_n_sigma_forbids_what_is_far_below_the_best),
        CASE(test_dry_on_the_vector_of_the_specification),
        CASE(test_dry_stops_at_a_breaker_and_spares_it),
        CASE(test_dry_agrees_with_a_plain_search),
        CASE(test_asked_candidates_pick_what_the_whole_row_picks),
        CASE(test_asks_for_no_more_than_it_needs),
        CASE(test_a_reset_sampler_goes_on_as_if_nothing_had_happened),
        CASE(test_mirostat_cannot_be_replayed_and_says_so),
        CASE(test_mirostat_settles_at_its_target),
        CASE(test_adaptive_p_bends_towards_its_target),
        CASE(test_draws_in_proportion),
        CASE(test_a_choice_has_a_seed_of_its_own),
        CASE(test_refuses_what_makes_no_sense),
        CASE(test_knows_samplers_by_name_and_letter),
        CASE(test_says_so_when_every_token_is_forbidden),
        CASE(test_never_picks_what_the_model_suppresses),
        CASE(test_sorts_many_like_few),
        CASE(test_loads_candidates_in_any_order_once_each),
        CASE(test_survives_every_failed_allocation),
    };
    int rc = check_main(argc, argv, cases, CV_COUNT(cases));
    cv_vocab_free(vocab);
    return rc;
}
