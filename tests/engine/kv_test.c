/* kv_test.c - the pages of sequence memory: shared by count, copied on write, against a plain array per slot. */
#include "engine/kv.h"

#include <string.h>

#include "base/mem.h"
#include "tests/check/check.h"

enum { SLOTS = 4, CTX = 150 };

static struct cv_kv_spec small_spec(void)
{
    return (struct cv_kv_spec){.n_layer = 2,
                               .n_head_kv = 2,
                               .n_embd_head_k = 3,
                               .n_embd_head_v = 5,
                               .type = CV_DTYPE_F32,
                               .n_slots = SLOTS,
                               .n_ctx = CTX};
}

/* What every position should hold: one number per slot and position. */
struct shadow {
    struct cv_kv kv;
    bool used[SLOTS];
    uint32_t len[SLOTS];
    float value[SLOTS][CTX];
};

static void put(struct shadow *s, uint32_t slot, uint32_t pos, float v)
{
    const struct cv_kv_spec *spec = &s->kv.spec;
    for (uint32_t l = 0; l < spec->n_layer; l++)
        for (uint32_t h = 0; h < spec->n_head_kv; h++) {
            float *k = cv_kv_k(&s->kv, slot, l, h, pos), *w = cv_kv_v(&s->kv, slot, l, h, pos);
            for (uint32_t d = 0; d < spec->n_embd_head_k; d++)
                k[d * CV_KV_PAGE + pos % CV_KV_PAGE] = v + (float)(l * 100 + h * 10 + d);
            for (uint32_t d = 0; d < spec->n_embd_head_v; d++)
                w[pos % CV_KV_PAGE * spec->n_embd_head_v + d] = v - (float)(l * 100 + h * 10 + d);
        }
    s->value[slot][pos] = v;
}

static void check_position(const struct shadow *s, uint32_t slot, uint32_t pos)
{
    const struct cv_kv_spec *spec = &s->kv.spec;
    float v = s->value[slot][pos];
    for (uint32_t l = 0; l < spec->n_layer; l++)
        for (uint32_t h = 0; h < spec->n_head_kv; h++) {
            const float *k = cv_kv_k(&s->kv, slot, l, h, pos), *w = cv_kv_v(&s->kv, slot, l, h, pos);
            for (uint32_t d = 0; d < spec->n_embd_head_k; d++)
                CHECK(k[d * CV_KV_PAGE + pos % CV_KV_PAGE] == v + (float)(l * 100 + h * 10 + d));
            for (uint32_t d = 0; d < spec->n_embd_head_v; d++)
                CHECK(w[pos % CV_KV_PAGE * spec->n_embd_head_v + d] == v - (float)(l * 100 + h * 10 + d));
        }
}

static void check_all(const struct shadow *s)
{
    CHECK(cv_kv_check(&s->kv));
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        CHECK_EQ(s->kv.slot[slot].len, s->len[slot]);
        CHECK_EQ(s->kv.slot[slot].used, s->used[slot]);
        for (uint32_t pos = 0; pos < s->len[slot]; pos++)
            check_position(s, slot, pos);
    }
}

static void grow(struct shadow *s, uint32_t slot, uint32_t n, float v)
{
    struct cv_error err;
    CHECK_OK(cv_kv_reserve(&s->kv, slot, n, &err), err);
    for (uint32_t i = 0; i < n; i++)
        put(s, slot, s->len[slot] + i, v + (float)i);
    cv_kv_advance(&s->kv, slot, n);
    s->len[slot] += n;
}

static void random_command(struct shadow *s, int round)
{
    struct cv_error err;
    uint32_t slot = (uint32_t)check_below(SLOTS), from = (uint32_t)check_below(SLOTS), pos;
    switch (check_below(8)) {
    case 0:
        CHECK_OK(cv_kv_new(&s->kv, slot, &err), err);
        s->used[slot] = true;
        s->len[slot] = 0;
        break;
    case 1:
        CHECK_OK(cv_kv_free(&s->kv, slot, &err), err);
        s->used[slot] = false;
        s->len[slot] = 0;
        break;
    case 2:
        pos = (uint32_t)check_below(s->len[slot] + 2);
        CHECK_EQ(cv_kv_trim(&s->kv, slot, pos, &err), s->used[slot] && pos <= s->len[slot]);
        s->len[slot] = s->used[slot] && pos < s->len[slot] ? pos : s->len[slot];
        break;
    case 3:
    case 4:
        pos = (uint32_t)check_below(s->len[from] + 2);
        if (!s->used[from] || pos > s->len[from]) {
            CHECK(!cv_kv_fork(&s->kv, slot, from, pos, &err));
            CHECK_EQ(err.code, CV_ERR_ARG);
            break;
        }
        CHECK_OK(cv_kv_fork(&s->kv, slot, from, pos, &err), err);
        memmove(s->value[slot], s->value[from], pos * sizeof(float));
        s->len[slot] = pos;
        s->used[slot] = true;
        break;
    default:
        if (s->used[slot])
            grow(s, slot, (uint32_t)check_below(CTX - s->len[slot] + 1), (float)round * 1000);
    }
}

static void test_any_history_equals_a_plain_array_per_slot(void)
{
    static struct shadow s;
    struct cv_error err;
    memset(&s, 0, sizeof(s));
    struct cv_kv_spec spec = small_spec();
    CHECK_OK(cv_kv_init(&s.kv, &spec, &err), err);
    for (int round = 0; round < 3000; round++) {
        random_command(&s, round);
        if (round % 7 == 0)
            check_all(&s);
    }
    check_all(&s);
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        CHECK_OK(cv_kv_free(&s.kv, slot, &err), err);
    CHECK_EQ(s.kv.n_free, s.kv.n_pages);
    cv_kv_fini(&s.kv);
}

static void test_a_fork_takes_no_page_until_somebody_writes(void)
{
    static struct shadow s;
    struct cv_error err;
    memset(&s, 0, sizeof(s));
    struct cv_kv_spec spec = small_spec();
    CHECK_OK(cv_kv_init(&s.kv, &spec, &err), err);
    CHECK_OK(cv_kv_new(&s.kv, 0, &err), err);
    s.used[0] = s.used[1] = true;
    grow(&s, 0, 100, 1);
    uint32_t before = s.kv.n_free;
    CHECK_OK(cv_kv_fork(&s.kv, 1, 0, 100, &err), err);
    memcpy(s.value[1], s.value[0], sizeof(s.value[0]));
    s.len[1] = 100;
    CHECK_EQ(s.kv.n_free, before);
    grow(&s, 1, 1, 500); /* writes into the shared second page: the fork gets a copy */
    CHECK_EQ(s.kv.n_free, before - 1);
    grow(&s, 0, 1, 900); /* alone again: no copy */
    CHECK_EQ(s.kv.n_free, before - 1);
    check_all(&s);
    cv_kv_fini(&s.kv);
}

static void test_a_bound_on_pages_is_an_error_that_can_be_undone(void)
{
    struct cv_kv kv;
    struct cv_error err;
    struct cv_kv_spec spec = small_spec();
    spec.n_pages = 3;
    CHECK_OK(cv_kv_init(&kv, &spec, &err), err);
    CHECK_OK(cv_kv_new(&kv, 0, &err), err);
    CHECK_OK(cv_kv_new(&kv, 1, &err), err);
    CHECK_OK(cv_kv_reserve(&kv, 0, 100, &err), err);
    cv_kv_advance(&kv, 0, 100);
    CHECK(!cv_kv_reserve(&kv, 1, 65, &err));
    CHECK_EQ(err.code, CV_ERR_NOMEM);
    CHECK_CONTAINS(err.msg, "3 pages");
    cv_kv_abandon(&kv, 1);
    CHECK_EQ(kv.n_free, 1);
    CHECK(cv_kv_check(&kv));
    CHECK_OK(cv_kv_reserve(&kv, 1, 64, &err), err);
    cv_kv_fini(&kv);
}

static void test_refuses_what_makes_no_sense(void)
{
    struct cv_kv kv;
    struct cv_error err;
    size_t bytes;
    struct cv_kv_spec spec = small_spec();
    spec.type = CV_DTYPE_Q8_0;
    CHECK(!cv_kv_measure(&spec, &bytes, &err));
    CHECK_EQ(err.code, CV_ERR_UNSUPPORTED);
    CHECK_CONTAINS(err.msg, "Q8_0");
    spec = small_spec();
    spec.n_slots = 0;
    CHECK(!cv_kv_init(&kv, &spec, &err));
    spec = small_spec();
    spec.n_ctx = UINT32_MAX;
    CHECK(!cv_kv_init(&kv, &spec, &err));
    spec = small_spec();
    CHECK_OK(cv_kv_init(&kv, &spec, &err), err);
    CHECK(!cv_kv_new(&kv, SLOTS, &err));
    CHECK_EQ(err.code, CV_ERR_ARG);
    CHECK(!cv_kv_free(&kv, UINT32_MAX, &err));
    CHECK(!cv_kv_trim(&kv, 0, 0, &err));
    CHECK(!cv_kv_fork(&kv, 0, 1, 0, &err));
    CHECK(!cv_kv_fork(&kv, 0, SLOTS, 0, &err));
    CHECK_OK(cv_kv_new(&kv, 0, &err), err);
    CHECK(!cv_kv_reserve(&kv, 0, CTX + 1, &err));
    CHECK_CONTAINS(err.msg, "context of 150");
    cv_kv_fini(&kv);
}

static void test_measures_what_it_takes(void)
{
    struct cv_error err;
    size_t bytes;
    struct cv_kv_spec spec = small_spec();
    CHECK_OK(cv_kv_measure(&spec, &bytes, &err), err);
    /* 3 pages of 64 positions for each of 4 slots; 2 layers, 2 heads, 3 + 5 values of 4 bytes */
    CHECK_EQ(bytes, 4 * 3 * 64 * 2 * 2 * 8 * 4);
    spec.type = CV_DTYPE_F16;
    CHECK_OK(cv_kv_measure(&spec, &bytes, &err), err);
    CHECK_EQ(bytes, 4 * 3 * 64 * 2 * 2 * 8 * 2);
}

static void test_a_failed_allocation_leaves_nothing(void)
{
    struct cv_kv_spec spec = small_spec();
    bool ok = false;
    for (long n = 0; !ok; n++) {
        struct cv_kv kv;
        struct cv_error err;
        cv_mem_fail_after(n);
        ok = cv_kv_init(&kv, &spec, &err);
        cv_mem_fail_after(-1);
        CHECK(ok || err.code == CV_ERR_NOMEM);
        cv_kv_fini(&kv);
        CHECK(n < 100);
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_any_history_equals_a_plain_array_per_slot),
        CASE(test_a_fork_takes_no_page_until_somebody_writes),
        CASE(test_a_bound_on_pages_is_an_error_that_can_be_undone),
        CASE(test_refuses_what_makes_no_sense),
        CASE(test_measures_what_it_takes),
        CASE(test_a_failed_allocation_leaves_nothing),
    };
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
