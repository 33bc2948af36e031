/* tools_test.c - the programs that make models, run as a user runs them; and what they are made of. */
#define _XOPEN_SOURCE 700
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "gguf/hparams.h"
#include "gguf/model.h"
#include "gguf/sizes.h"
#include "tests/check/check.h"
#include "tools/mix.h"
#include "tools/words.h"

#define TINY " --layers 2 --embd 256 --ff 512 --heads 4 --kv-heads 2 --vocab 300 --threads 2"

/* Runs a program in the case's folder; what it says lands in the file "said". */
static int run(const char *program, const char *arguments)
{
    char command[2048];
    snprintf(command, sizeof(command), "cd '%s' && '%s' %s >said 2>&1", check_tmpdir(), program, arguments);
    const int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", check_tmpdir(), name);
    return path;
}

static const char *said(void)
{
    static char text[8192];
    FILE *f = fopen(path_of("said"), "rb");
    CHECK(f != NULL);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    return text;
}

static bool same_files(const char *a, const char *b)
{
    struct cv_map x, y;
    struct cv_error err;
    CHECK_OK(cv_map_open(&x, path_of(a), &err), err);
    CHECK_OK(cv_map_open(&y, path_of(b), &err), err);
    const bool same = x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
    cv_map_close(&x);
    cv_map_close(&y);
    return same;
}

static struct cv_model *open_model(const char *name)
{
    struct cv_model *m;
    struct cv_error err;
    CHECK_OK(cv_model_open(&m, path_of(name), CV_MODEL_MAP, &err), err);
    CHECK_OK(cv_gguf_check(m->gguf, &err), err);
    return m;
}

static void test_a_model_has_the_sizes_asked_for(void)
{
    static const char *const archs[] = {"llama", "qwen2", "qwen3"};
    static const size_t tensors[] = {9, 12, 11};
    for (size_t i = 0; i < CV_COUNT(archs); i++) {
        for (int tied = 0; tied < 2; tied++) {
            char line[256];
            struct cv_error err;
            struct cv_hparams h;
            struct cv_model_sizes s;
            snprintf(line, sizeof(line), "m.gguf --arch %s %s --type F16 --ctx 512" TINY, archs[i],
                     tied ? "--tied" : "");
            CHECK_EQ(run(MKMODEL, line), 0);
            CHECK_CONTAINS(said(), "random weights");
            struct cv_model *m = open_model("m.gguf");
            CHECK_OK(cv_hparams_read(&h, m->gguf, &err), err);
            CHECK_STR(h.arch, archs[i]);
            CHECK_EQ(h.n_layer, 2);
            CHECK_EQ(h.n_embd, 256);
            CHECK_EQ(h.n_ff, 512);
            CHECK_EQ(h.n_head, 4);
            CHECK_EQ(h.n_head_kv, 2);
            CHECK_EQ(h.n_embd_head_k, 64);
            CHECK_EQ(h.n_vocab, 300);
            CHECK_EQ(h.n_ctx_train, 512);
            CHECK_OK(cv_model_sizes_make(&s, m->gguf, &h, &m->arena, &err), err);
            CHECK_EQ(s.tied, tied == 1);
            CHECK_EQ(m->gguf->n_tensor, 2 + (tied ? 0 : 1) + 2 * tensors[i]);
            CHECK_EQ(s.layer[1].n_tensor, tensors[i]);
            cv_model_close(m);
        }
    }
}

static void test_the_same_options_give_the_same_file(void)
{
    CHECK_EQ(run(MKMODEL, "a.gguf --type Q4_K_M" TINY), 0);
    CHECK_EQ(run(MKMODEL,
                 "b.gguf --type Q4_K_M --layers 2 --embd 256 --ff 512 --heads 4 --kv-heads 2 --vocab 300 --threads 1"),
             0);
    CHECK_EQ(run(MKMODEL, "c.gguf --type Q4_K_M --seed 2" TINY), 0);
    CHECK(same_files("a.gguf", "b.gguf"));
    CHECK(!same_files("a.gguf", "c.gguf"));
}

static void test_weights_are_about_normal(void)
{
    CHECK_EQ(run(MKMODEL, "m.gguf --type F32" TINY), 0);
    struct cv_model *m = open_model("m.gguf");
    const struct cv_gguf_tensor *t = cv_gguf_tensor(m->gguf, "blk.1.ffn_down.weight");
    CHECK(t != NULL && t->dtype == CV_DTYPE_F32);
    const float *x = cv_model_tensor_data(m, t);
    const size_t n = t->size_bytes / sizeof(*x);
    double sum = 0, square = 0;
    for (size_t i = 0; i < n; i++) {
        sum += x[i];
        square += (double)x[i] * x[i];
    }
    CHECK(fabs(sum / (double)n) < 1e-3);
    CHECK(fabs(square / (double)n * 512.0 - 1.0) < 0.05); /* 1 / sqrt(row) */
    cv_model_close(m);
}

static void test_wrong_options_are_explained(void)
{
    CHECK_EQ(run(MKMODEL, "--help"), 0);
    CHECK_CONTAINS(said(), "Examples:");
    CHECK_EQ(run(MKMODEL, ""), 2);
    CHECK_EQ(run(MKMODEL, "m.gguf --layers 0"), 2);
    CHECK_CONTAINS(said(), "--layers: '0' is not a number from 1 to");
    CHECK_EQ(run(MKMODEL, "m.gguf --layers"), 2);
    CHECK_EQ(run(MKMODEL, "m.gguf --colour red"), 2);
    CHECK_CONTAINS(said(), "no option --colour");
    CHECK_EQ(run(MKMODEL, "m.gguf n.gguf"), 2);
    CHECK_EQ(run(MKMODEL, "m.gguf --heads 8 --kv-heads 3"), 2);
    CHECK_EQ(run(MKMODEL, "m.gguf --arch gpt"), 2);
    CHECK_EQ(run(MKMODEL, "m.gguf --type Q9" TINY), 1);
    CHECK_CONTAINS(said(), "Q4_K_M");
    CHECK_EQ(run(MKMODEL, "no/such/folder/m.gguf" TINY), 1);
    CHECK_CONTAINS(said(), "no/such/folder");
    CHECK_EQ(run(QUANTIZE, "--help"), 0);
    CHECK_EQ(run(QUANTIZE, "a b"), 2);
    CHECK_EQ(run(QUANTIZE, "a b Q4_K extra"), 2);
    CHECK_EQ(run(QUANTIZE, "missing.gguf b.gguf Q4_K"), 1);
    CHECK_CONTAINS(said(), "missing.gguf");
    CHECK_EQ(run(QUANTIZE, "missing.gguf b.gguf Q9"), 2);
}

static void test_quantizing_keeps_everything_but_the_weights(void)
{
    CHECK_EQ(run(MKMODEL, "in.gguf --type F32" TINY), 0);
    CHECK_EQ(run(QUANTIZE, "in.gguf out.gguf q4_k_m --threads 2"), 0);
    CHECK_CONTAINS(said(), "bits per weight");
    struct cv_model *in = open_model("in.gguf"), *out = open_model("out.gguf");
    CHECK_EQ(in->gguf->n_kv, out->gguf->n_kv);
    for (size_t i = 0; i < in->gguf->n_kv; i++) {
        const struct cv_gguf_kv *a = &in->gguf->kv[i];
        char key[256];
        snprintf(key, sizeof(key), "%.*s", (int)a->key.n, a->key.p);
        const struct cv_gguf_kv *b = cv_gguf_find(out->gguf, key);
        CHECK(b != NULL && b->type == a->type && b->size_bytes == a->size_bytes);
        CHECK(memcmp(a->data, b->data, a->size_bytes) == 0 || strcmp(key, "general.file_type") == 0);
    }
    CHECK_EQ(cv_gguf_tensor(out->gguf, "output.weight")->dtype, CV_DTYPE_Q6_K);
    CHECK_EQ(cv_gguf_tensor(out->gguf, "token_embd.weight")->dtype, CV_DTYPE_Q4_K);
    CHECK_EQ(cv_gguf_tensor(out->gguf, "blk.0.attn_norm.weight")->dtype, CV_DTYPE_F32);
    for (size_t i = 0; i < in->gguf->n_tensor; i++) { /* and the values are close */
        const struct cv_gguf_tensor *a = &in->gguf->tensor[i], *b = cv_gguf_tensor(out->gguf, a->name);
        float back[512];
        CHECK(b != NULL && b->dim[0] == a->dim[0] && b->dim[1] == a->dim[1] && a->dim[0] <= 512);
        const float *x = cv_model_tensor_data(in, a);
        cv_dequantize(b->dtype, cv_model_tensor_data(out, b), back, a->dim[0]);
        double error = 0, power = 0;
        for (size_t k = 0; k < a->dim[0]; k++) {
            error += ((double)back[k] - x[k]) * ((double)back[k] - x[k]);
            power += (double)x[k] * x[k];
        }
        CHECK(error < 0.01 * power);
    }
    cv_model_close(in);
    cv_model_close(out);
    CHECK_EQ(run(QUANTIZE, "out.gguf back.gguf F16"), 0); /* and the other way */
    struct cv_model *back = open_model("back.gguf");
    CHECK_EQ(cv_gguf_tensor(back->gguf, "blk.1.ffn_up.weight")->dtype, CV_DTYPE_F16);
    cv_model_close(back);
    CHECK_EQ(run(QUANTIZE, "in.gguf same.gguf F32"), 0);
    CHECK(same_files("in.gguf", "same.gguf"));
}

static void test_mixes_give_more_bits_where_it_matters(void)
{
    const struct cv_mix *m = cv_mix_find("q4_k_m");
    const size_t wide[2] = {512, 512}, odd[2] = {96, 512}, very_odd[2] = {50, 10};
    CHECK(m != NULL && cv_mix_find("Q4") == NULL);
    CHECK_EQ(cv_mix_type(m, "output.weight", wide, 2, 32, false), CV_DTYPE_Q6_K);
    CHECK_EQ(cv_mix_type(m, "token_embd.weight", wide, 2, 32, false), CV_DTYPE_Q4_K);
    CHECK_EQ(cv_mix_type(m, "token_embd.weight", wide, 2, 32, true), CV_DTYPE_Q6_K);
    CHECK_EQ(cv_mix_type(m, "blk.0.attn_v.weight", wide, 2, 32, false), CV_DTYPE_Q6_K);
    CHECK_EQ(cv_mix_type(m, "blk.4.attn_v.weight", wide, 2, 32, false), CV_DTYPE_Q4_K);
    CHECK_EQ(cv_mix_type(m, "blk.6.ffn_down.weight", wide, 2, 32, false), CV_DTYPE_Q6_K);
    CHECK_EQ(cv_mix_type(m, "blk.28.ffn_down_exps.weight", wide, 2, 32, false), CV_DTYPE_Q6_K);
    CHECK_EQ(cv_mix_type(m, "blk.0.attn_q.weight", wide, 2, 32, false), CV_DTYPE_Q4_K);
    CHECK_EQ(cv_mix_type(m, "blk.0.attn_q.bias", wide, 1, 32, false), CV_DTYPE_F32);
    CHECK_EQ(cv_mix_type(m, "blk.0.ffn_gate_inp.weight", wide, 2, 32, false), CV_DTYPE_F32);
    CHECK_EQ(cv_mix_type(m, "blk.0.attn_q.weight", odd, 2, 32, false), CV_DTYPE_Q5_0);
    CHECK_EQ(cv_mix_type(m, "output.weight", odd, 2, 32, false), CV_DTYPE_Q8_0);
    CHECK_EQ(cv_mix_type(m, "blk.0.attn_q.weight", very_odd, 2, 32, false), CV_DTYPE_F16);
}

/* A vocabulary that a tokenizer can work with: each merge joins two tokens into a third, in rising order. */
static void test_the_vocabulary_is_a_bpe_vocabulary(void)
{
    struct cv_arena arena = {0};
    struct cv_words v;
    struct cv_error err;
    CHECK_OK(cv_words_make(&v, 896, &arena, &err), err);
    CHECK_EQ(v.n, 896);
    CHECK(v.n_merge > 500);
    for (uint32_t i = 0; i < v.n; i++) {
        CHECK_EQ(cv_utf8_valid_prefix(v.token[i].p, v.token[i].n), v.token[i].n);
        for (uint32_t k = 0; k < i; k++)
            CHECK(strcmp(v.token[i].p, v.token[k].p) != 0);
    }
    for (uint32_t i = 0; i < v.n_merge; i++) {
        const char *space = strchr(v.merge[i].p, ' ');
        CHECK(space != NULL && strchr(space + 1, ' ') == NULL);
        const size_t left = (size_t)(space - v.merge[i].p);
        const char *joined = v.token[256 + i].p;
        CHECK(strncmp(joined, v.merge[i].p, left) == 0 && strcmp(joined + left, space + 1) == 0);
        bool has_left = false, has_right = false;
        for (uint32_t k = 0; k < 256 + i; k++) {
            has_left |= v.token[k].n == left && memcmp(v.token[k].p, v.merge[i].p, left) == 0;
            has_right |= strcmp(v.token[k].p, space + 1) == 0;
        }
        CHECK(has_left && has_right);
    }
    CHECK_STR(v.token[v.im_end].p, "<|im_end|>");
    CHECK_EQ(v.type[v.im_end], 3);
    CHECK_EQ(v.type[v.n - 1], 5);
    CHECK_STR(v.token[' '].p, "\xc4\xa0"); /* the character that stands for a space */
    CHECK_STR(v.token['\n'].p, "\xc4\x8a");
    CHECK_STR(v.token[0xad].p, "\xc5\x83");
    CHECK_OK(cv_words_make(&v, CV_WORDS_LEAST, &arena, &err), err);
    CHECK_EQ(v.n_merge, 0);
    CHECK_EQ(v.im_end, 258);
    cv_arena_fini(&arena);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_a_model_has_the_sizes_asked_for),
        CASE(test_the_same_options_give_the_same_file),
        CASE(test_weights_are_about_normal),
        CASE(test_wrong_options_are_explained),
        CASE(test_quantizing_keeps_everything_but_the_weights),
        CASE(test_mixes_give_more_bits_where_it_matters),
        CASE(test_the_vocabulary_is_a_bpe_vocabulary),
    };
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
