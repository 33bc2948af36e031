#include "engine/arch/arch.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    cv_arch_fn *build;
} families[] = {
    {"llama", cv_arch_llama},
    {"qwen2", cv_arch_qwen2},
    {"qwen3", cv_arch_qwen3},
};

cv_arch_fn *cv_arch_find(const char *name)
{
    for (size_t i = 0; i < CV_COUNT(families); i++)
        if (strcmp(families[i].name, name) == 0)
            return families[i].build;
    return NULL;
}

void cv_arch_refuse(struct cv_builder *b, const char *key, const char *feature)
{
    char full[128];
    snprintf(full, sizeof(full), "%s.%s", b->p->hp.arch, key);
    const struct cv_gguf_kv *kv = cv_gguf_find(b->meta, full);
    double v;
    if (kv != NULL && (!cv_gguf_kv_f64(kv, 0, &v) || v != 0.0))
        cv_build_fail(b, CV_ERR_UNSUPPORTED, "architecture %s with %s (%s) is not supported", b->p->hp.arch, feature,
                      full);
}
