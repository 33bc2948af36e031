#include "tools/mix.h"

#include <string.h>
#include <strings.h>

#include "base/compiler.h"
#include "gguf/sizes.h"

/* The numbers of general.file_type are the format's. */
static const struct cv_mix mixes[] = {
    {"F32", CV_DTYPE_F32, false, 0},     {"F16", CV_DTYPE_F16, false, 1},    {"BF16", CV_DTYPE_BF16, false, 32},
    {"Q8_0", CV_DTYPE_Q8_0, false, 7},   {"Q6_K", CV_DTYPE_Q6_K, false, 18}, {"Q5_K", CV_DTYPE_Q5_K, false, 16},
    {"Q4_K", CV_DTYPE_Q4_K, false, 14},  {"Q5_1", CV_DTYPE_Q5_1, false, 9},  {"Q5_0", CV_DTYPE_Q5_0, false, 8},
    {"Q4_1", CV_DTYPE_Q4_1, false, 3},   {"Q4_0", CV_DTYPE_Q4_0, false, 2},  {"Q5_K_M", CV_DTYPE_Q5_K, true, 17},
    {"Q4_K_M", CV_DTYPE_Q4_K, true, 15},
};

const struct cv_mix *cv_mix_find(const char *name)
{
    for (size_t i = 0; i < CV_COUNT(mixes); i++)
        if (strcasecmp(mixes[i].name, name) == 0)
            return &mixes[i];
    return NULL;
}

const char *cv_mix_names(void)
{
    return "F32 F16 BF16 Q8_0 Q6_K Q5_K Q4_K Q5_1 Q5_0 Q4_1 Q4_0 Q5_K_M Q4_K_M";
}

static bool feels_rounding(uint32_t layer, uint32_t n_layer)
{
    const uint32_t eighth = n_layer / 8;
    return layer < eighth || layer >= 7 * n_layer / 8 || (layer - eighth) % 3 == 2;
}

static bool ends(const char *s, const char *with)
{
    const size_t n = strlen(s), m = strlen(with);
    return n >= m && strcmp(s + n - m, with) == 0;
}

enum cv_dtype cv_mix_type(const struct cv_mix *mix, const char *tensor, const size_t *dim, uint32_t n_dim,
                          uint32_t n_layer, bool tied)
{
    static const enum cv_dtype larger[CV_DTYPE_COUNT] = {
        [CV_DTYPE_Q4_K] = CV_DTYPE_Q5_0, [CV_DTYPE_Q5_K] = CV_DTYPE_Q5_1, [CV_DTYPE_Q6_K] = CV_DTYPE_Q8_0,
        [CV_DTYPE_Q8_0] = CV_DTYPE_F16,  [CV_DTYPE_Q5_0] = CV_DTYPE_F16,  [CV_DTYPE_Q5_1] = CV_DTYPE_F16,
        [CV_DTYPE_Q4_0] = CV_DTYPE_F16,  [CV_DTYPE_Q4_1] = CV_DTYPE_F16,
    };
    uint32_t layer;
    const char *rest;
    if (n_dim < 2 || !ends(tensor, ".weight") || strstr(tensor, "_norm.") != NULL ||
        strstr(tensor, "ffn_gate_inp") != NULL)
        return CV_DTYPE_F32;
    enum cv_dtype type = mix->base;
    if (mix->more) {
        if (strcmp(tensor, tied ? "token_embd.weight" : "output.weight") == 0)
            type = CV_DTYPE_Q6_K;
        else if (cv_tensor_layer(tensor, &layer, &rest) && feels_rounding(layer, n_layer) &&
                 (strncmp(rest, "attn_v.", 7) == 0 || strncmp(rest, "ffn_down", 8) == 0))
            type = CV_DTYPE_Q6_K;
    }
    while (dim[0] % cv_dtype_get(type)->block_len != 0)
        type = larger[type];
    return type;
}
