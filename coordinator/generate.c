#include "coordinator/generate.h"

#include "base/mem.h"

struct cv_gen *cv_gen_new(void)
{
    struct cv_gen *g = cv_zalloc(sizeof(*g));
    if (g == NULL)
        return NULL;
    g->n_choices = 1;
    g->max_tokens = UINT32_MAX;
    cv_sampling_defaults(&g->sampling);
    return g;
}

void cv_gen_free(struct cv_gen *g)
{
    if (g == NULL)
        return;
    for (uint32_t i = 0; i < g->n_stop; i++)
        cv_free(g->stop[i]);
    cv_free(g->stop);
    for (uint32_t i = 0; i < g->n_breaker; i++)
        cv_free(g->breaker[i]);
    cv_free(g->breaker);
    cv_free(g->bias);
    cv_free(g->prompt);
    cv_free(g);
}
