/*
 * rows_test.c - norm, rope, gate and attention: the reference against double precision, each faster variant against the
 * reference, bit for bit. Buffers end at an unreadable page.
 */
#include "engine/cpu/rows.h"

#include <math.h>
#include <string.h>

#include "engine/cpu/exp.h"
#include "engine/cpu/matrix.h"
#include "engine/rope.h"
#include "tests/check/check.h"

/* Kernel sets: [0] the reference, the rest what this processor has. */
static struct cv_row_kernels sets[3];
static size_t n_sets;

static void make_sets(void)
{
    n_sets = 0;
    cv_row_kernels_init(0);
    sets[n_sets++] = cv_rows;
    cv_row_kernels_init(cv_isa_detect() & CV_ISA_AVX2);
    sets[n_sets++] = cv_rows;
    cv_row_kernels_init(cv_isa_detect());
    sets[n_sets++] = cv_rows;
}

static float *floats(size_t n, float size)
{
    float *x = check_guarded(n * sizeof(float));
    for (size_t i = 0; i < n; i++)
        x[i] = check_normal() * size;
    return x;
}

static float *copy_of(const float *x, size_t n)
{
    float *y = check_guarded(n * sizeof(float));
    memcpy(y, x, n * sizeof(float));
    return y;
}

static void check_same(const float *want, const float *got, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(&want[i], &got[i], sizeof(float)) != 0)
            CHECK_EQ(i, -1);
}

static void test_exp_is_within_its_bound(void)
{
    double worst = 0.0;
    for (float x = CV_EXP_LOW; x <= CV_EXP_HIGH; x += 0.000731f) {
        double want = exp((double)x);
        worst = fmax(worst, fabs((double)cv_exp(x) - want) / want);
    }
    CHECK(worst < 0x1p-22);
    CHECK(cv_exp(0.0f) == 1.0f);
    CHECK(cv_exp(-88.0f) == 0.0f && cv_exp(-INFINITY) == 0.0f);
    CHECK(isinf(cv_exp(89.0f)) && isinf(cv_exp(INFINITY)));
    CHECK(isnan(cv_exp(NAN)));
}

static void test_norm_is_right(void)
{
    make_sets();
    for (int round = 0; round < 100; round++) {
        size_t n = 1 + check_below(3000);
        float *x = floats(n, round % 3 == 0 ? 1e-4f : 30.0f), *w = floats(n, 1.0f), *y = floats(n, 1.0f);
        double sum = 0.0;
        for (size_t i = 0; i < n; i++)
            sum += (double)x[i] * (double)x[i];
        double r = 1.0 / sqrt(sum / (double)n + (double)1e-5f);
        sets[0].rms_norm(y, x, w, n, 1e-5f);
        for (size_t i = 0; i < n; i++) {
            double want = (double)w[i] * (double)x[i] * r;
            /* three roundings: of r and of two products */
            CHECK(fabs((double)y[i] - want) <= fabs(want) * 0x1.9p-23 + 1e-40);
        }
    }
}

static void test_norm_add_and_gate_agree(void)
{
    make_sets();
    for (int round = 0; round < 200; round++) {
        size_t n = 1 + check_below(round < 100 ? 40 : 3000);
        float *x = floats(n, 10.0f), *w = floats(n, 40.0f);
        if (round % 5 == 0)
            x[check_below(n)] = round % 2 ? -100.0f : 100.0f;
        float *a = floats(n, 1.0f);
        for (size_t s = 1; s < n_sets; s++) {
            float *b = floats(n, 1.0f);
            sets[0].rms_norm(a, x, w, n, 1e-6f);
            sets[s].rms_norm(b, x, w, n, 1e-6f);
            check_same(a, b, n);
            sets[0].add(a, x, w, n);
            sets[s].add(b, x, w, n);
            check_same(a, b, n);
            sets[0].silu_mul(a, x, w, n);
            sets[s].silu_mul(b, x, w, n);
            check_same(a, b, n);
            sets[0].scale(a, x, w[0], n);
            sets[s].scale(b, x, w[0], n);
            check_same(a, b, n);
        }
    }
}

static void test_gate_is_right(void)
{
    make_sets();
    size_t n = 20000;
    float *g = floats(n, 20.0f), *u = floats(n, 1.0f), *y = floats(n, 1.0f);
    sets[0].silu_mul(y, g, u, n);
    for (size_t i = 0; i < n; i++) {
        double want = (double)g[i] / (1.0 + exp(-(double)g[i])) * (double)u[i];
        double most = g[i] >= -80.0f ? fabs(want) * 0x1p-20 : fabs((double)u[i]) * 1e-32;
        CHECK(fabs((double)y[i] - want) <= most);
    }
}

static void test_rope_agrees_and_turns(void)
{
    make_sets();
    for (int round = 0; round < 100; round++) {
        size_t n = 1 + check_below(70);
        float *c = check_guarded(n * sizeof(float)), *s = check_guarded(n * sizeof(float)), *x = floats(2 * n, 1.0f);
        double *freq = check_guarded(n * sizeof(double));
        for (size_t i = 0; i < n; i++)
            freq[i] = pow(10000.0, -(double)i / (double)n);
        uint32_t pos = (uint32_t)check_below(5000);
        cv_rope_angles(freq, 1.0f, n, pos, c, s);
        float *pairs = copy_of(x, 2 * n), *halves = copy_of(x, 2 * n);
        sets[0].rope_pairs(pairs, c, s, n);
        sets[0].rope_halves(halves, c, s, n);
        for (size_t i = 0; i < n; i++) {
            double co = cos((double)pos * freq[i]), si = sin((double)pos * freq[i]);
            double a = (double)x[2 * i], b = (double)x[2 * i + 1], p = (double)x[i], q = (double)x[n + i];
            double most = 4 * 0x1p-24;
            CHECK(fabs((double)pairs[2 * i] - (a * co - b * si)) <= (fabs(a) + fabs(b)) * most);
            CHECK(fabs((double)pairs[2 * i + 1] - (a * si + b * co)) <= (fabs(a) + fabs(b)) * most);
            CHECK(fabs((double)halves[i] - (p * co - q * si)) <= (fabs(p) + fabs(q)) * most);
            CHECK(fabs((double)halves[n + i] - (p * si + q * co)) <= (fabs(p) + fabs(q)) * most);
        }
        for (size_t k = 1; k < n_sets; k++) {
            float *y = copy_of(x, 2 * n), *z = copy_of(x, 2 * n);
            sets[k].rope_pairs(y, c, s, n);
            sets[k].rope_halves(z, c, s, n);
            check_same(pairs, y, 2 * n);
            check_same(halves, z, 2 * n);
        }
    }
}

static void test_yarn_keeps_fast_pairs_and_stretches_slow_ones(void)
{
    struct cv_rope r = {.n_rot = 64,
                        .freq_base = 10000.0f,
                        .scaling = CV_ROPE_YARN,
                        .factor = 4.0f,
                        .orig_ctx = 2048,
                        .ext_factor = 1.0f,
                        .attn_factor = 1.0f,
                        .beta_fast = 32.0f,
                        .beta_slow = 1.0f};
    double freq[32];
    float mscale;
    cv_rope_freqs(&r, NULL, freq, &mscale);
    CHECK(fabs((double)mscale - (1.0 + 0.1 * log(4.0))) < 1e-6);
    CHECK(freq[0] == 1.0);
    CHECK(fabs(freq[31] * 4.0 - pow(10000.0, -62.0 / 64.0)) < 1e-12);
    /* 32 turns over 2048 positions happen at pair 8.07, one turn at pair 20.1: the ramp runs from 8 to 21. */
    CHECK(freq[8] == pow(10000.0, -16.0 / 64.0));
    CHECK(freq[9] < pow(10000.0, -18.0 / 64.0));
    CHECK(freq[20] > pow(10000.0, -40.0 / 64.0) / 4.0);
    CHECK(fabs(freq[21] * 4.0 - pow(10000.0, -42.0 / 64.0)) < 1e-12);
    r.scaling = CV_ROPE_LINEAR;
    cv_rope_freqs(&r, NULL, freq, &mscale);
    CHECK(freq[0] == 0.25 && mscale == 1.0f);
}

/* One head's page and what looks at it. */
struct attention {
    struct cv_attend_page a;
    size_t n_q;
    float *k, *v; /* [64][n_k], [64][n_v], as put into the page */
};

static void *page_memory(size_t values, bool f16)
{
    size_t bytes = values * (f16 ? 2 : 4);
    void *p = check_guarded(bytes);
    memset(p, 0xff, bytes); /* NaN: whoever reads what is not there shows */
    return p;
}

static struct attention random_attention(size_t n_row, size_t group, size_t n_valid, size_t n_k, size_t n_v, bool f16)
{
    struct attention t = {.n_q = n_row * group, .k = floats(CV_PAGE * n_k, 1.0f), .v = floats(CV_PAGE * n_v, 1.0f)};
    size_t n = n_valid + n_row - 1 < CV_PAGE ? n_valid + n_row - 1 : CV_PAGE;
    void *k = page_memory(CV_PAGE * n_k, f16), *v = page_memory(CV_PAGE * n_v, f16);
    for (size_t j = 0; j < n; j++) {
        cv_rows.store_k(k, f16, t.k + j * n_k, n_k, j);
        cv_rows.store_v(v, f16, t.v + j * n_v, n_v, j);
    }
    for (size_t i = 0; f16 && i < CV_PAGE * n_k; i++)
        t.k[i] = cv_f16_to_f32(cv_f32_to_f16(t.k[i]));
    for (size_t i = 0; f16 && i < CV_PAGE * n_v; i++)
        t.v[i] = cv_f16_to_f32(cv_f32_to_f16(t.v[i]));
    size_t ldq = group * n_k + check_below(5);
    t.a = (struct cv_attend_page){.q = floats((n_row - 1) * ldq + group * n_k, 2.0f),
                                  .ldq = ldq,
                                  .n_row = n_row,
                                  .group = group,
                                  .n_valid = n_valid,
                                  .k = k,
                                  .v = v,
                                  .f16 = f16,
                                  .n_k = n_k,
                                  .n_v = n_v,
                                  .scale = (float)(1.0 / sqrt((double)n_k))};
    return t;
}

static struct cv_attend_page with_output(const struct attention *t)
{
    struct cv_attend_page a = t->a;
    a.m = check_guarded(t->n_q * sizeof(float));
    a.l = check_guarded(t->n_q * sizeof(float));
    a.o = check_guarded(t->n_q * a.n_v * sizeof(float));
    a.s = check_guarded(t->n_q * CV_PAGE * sizeof(float));
    a.page = check_guarded(CV_PAGE * (a.n_k + a.n_v) * sizeof(float));
    a.sum = check_guarded(CV_TILE_QUERIES * a.n_v * sizeof(float));
    for (size_t i = 0; i < t->n_q; i++) {
        a.m[i] = -INFINITY;
        a.l[i] = 0.0f;
    }
    memset(a.o, 0, t->n_q * a.n_v * sizeof(float));
    return a;
}

static void random_shape(struct attention *t, int round)
{
    static const size_t groups[] = {1, 2, 3, 4, 5, 8};
    size_t group = groups[check_below(CV_COUNT(groups))], n_row = 1 + check_below(round % 2 ? 3 : 20);
    size_t n_k = round % 3 == 0 ? 1 + check_below(70) : 8 * (1 + check_below(10));
    size_t n_v = round % 3 == 1 ? 1 + check_below(70) : n_k;
    *t = random_attention(n_row, group, 1 + check_below(CV_PAGE), n_k, n_v, check_below(2) == 1);
}

/*
 * Against double precision. A score is off by at most d = (n_k + 2) 2^-24 sum |q k| scale, so a weight by a factor of
 * exp(2 d) and the error of exp twice; the sums add 64 roundings each.
 */
static void test_attention_is_right(void)
{
    make_sets();
    for (int round = 0; round < 150; round++) {
        struct attention t;
        random_shape(&t, round);
        struct cv_attend_page a = with_output(&t);
        sets[0].attend_page(&a);
        for (size_t i = 0; i < t.n_q; i++) {
            size_t n = a.n_valid + i / a.group < CV_PAGE ? a.n_valid + i / a.group : CV_PAGE;
            const float *q = a.q + i / a.group * a.ldq + i % a.group * a.n_k;
            double e[CV_PAGE], top = -INFINITY, sum = 0.0, off = 0.0, most = 0.0;
            for (size_t j = 0; j < n; j++) {
                double size = 0.0;
                e[j] = 0.0;
                for (size_t d = 0; d < a.n_k; d++) {
                    e[j] += (double)q[d] * (double)t.k[j * a.n_k + d];
                    size += fabs((double)q[d] * (double)t.k[j * a.n_k + d]);
                }
                e[j] *= (double)a.scale;
                off = fmax(off, size * (double)a.scale * (double)(a.n_k + 2) * 0x1p-24);
                top = fmax(top, e[j]);
            }
            for (size_t j = 0; j < n; j++)
                sum += e[j] = exp(e[j] - top);
            for (size_t d = 0; d < a.n_v; d++) {
                double want = 0.0;
                for (size_t j = 0; j < n; j++) {
                    want += e[j] * (double)t.v[j * a.n_v + d];
                    most = fmax(most, fabs((double)t.v[j * a.n_v + d]));
                }
                double got = (double)a.o[i * a.n_v + d] / (double)a.l[i];
                CHECK(fabs(got - want / sum) <= most * (4.0 * off + 140 * 0x1p-24));
            }
        }
    }
}

static void test_attention_agrees(void)
{
    make_sets();
    for (int round = 0; round < 130; round++) {
        struct attention t;
        random_shape(&t, round);
        struct cv_attend_page want = with_output(&t);
        sets[0].attend_page(&want);
        sets[0].attend_page(&want); /* the same page once more: the running triple is not empty */
        for (size_t s = 1; s < n_sets; s++) {
            struct cv_attend_page got = with_output(&t);
            sets[s].attend_page(&got);
            sets[s].attend_page(&got);
            check_same(want.m, got.m, t.n_q);
            check_same(want.l, got.l, t.n_q);
            check_same(want.o, got.o, t.n_q * got.n_v);
        }
    }
}

static void test_a_row_does_not_see_the_others(void)
{
    make_sets();
    for (int round = 0; round < 14; round++) {
        struct attention t;
        random_shape(&t, round);
        for (size_t s = 0; s < n_sets; s++) {
            struct cv_attend_page all = with_output(&t);
            sets[s].attend_page(&all);
            for (size_t r = 0; r < t.a.n_row; r++) {
                struct attention one = t;
                one.n_q = t.a.group;
                one.a.n_row = 1;
                one.a.q += r * t.a.ldq;
                one.a.n_valid = t.a.n_valid + r < CV_PAGE ? t.a.n_valid + r : CV_PAGE;
                struct cv_attend_page alone = with_output(&one);
                sets[s].attend_page(&alone);
                check_same(all.o + r * t.a.group * t.a.n_v, alone.o, t.a.group * t.a.n_v);
                check_same(all.l + r * t.a.group, alone.l, t.a.group);
            }
        }
    }
}

static void test_stores_agree(void)
{
    make_sets();
    for (int round = 0; round < 100; round++) {
        size_t n = 1 + check_below(130), j = check_below(CV_PAGE);
        bool f16 = round % 2 == 0;
        float *x = floats(n, round % 5 == 0 ? 1e-6f : 1e3f);
        for (size_t s = 1; s < n_sets; s++) {
            unsigned char *a = page_memory(n * CV_PAGE, f16), *b = page_memory(n * CV_PAGE, f16);
            sets[0].store_k(a, f16, x, n, j);
            sets[s].store_k(b, f16, x, n, j);
            CHECK(memcmp(a, b, n * CV_PAGE * (f16 ? 2 : 4)) == 0);
            sets[0].store_v(a, f16, x, n, j);
            sets[s].store_v(b, f16, x, n, j);
            CHECK(memcmp(a, b, n * CV_PAGE * (f16 ? 2 : 4)) == 0);
        }
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_exp_is_within_its_bound),
        CASE(test_norm_is_right),
        CASE(test_norm_add_and_gate_agree),
        CASE(test_gate_is_right),
        CASE(test_rope_agrees_and_turns),
        CASE(test_yarn_keeps_fast_pairs_and_stretches_slow_ones),
        CASE(test_attention_is_right),
        CASE(test_attention_agrees),
        CASE(test_a_row_does_not_see_the_others),
        CASE(test_stores_agree),
    };
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
