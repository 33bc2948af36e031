/* penalty.c - repetition, frequency and presence penalties over a window of the history. */
#include <string.h>

#include "base/mem.h"
#include "text/sampler_internal.h"

bool cv_window_init(struct cv_window *w, uint32_t n_vocab, uint32_t n_window)
{
    *w = (struct cv_window){.n_window = n_window};
    if (n_window == 0)
        return true;
    w->count = cv_calloc(n_vocab, sizeof(*w->count));
    w->where = cv_calloc(n_vocab, sizeof(*w->where));
    w->distinct = cv_calloc(n_window < n_vocab ? n_window + 1 : n_vocab, sizeof(*w->distinct));
    return w->count != NULL && w->where != NULL && w->distinct != NULL;
}

void cv_window_fini(struct cv_window *w)
{
    cv_free(w->count);
    cv_free(w->where);
    cv_free(w->distinct);
    *w = (struct cv_window){0};
}

void cv_window_clear(struct cv_window *w)
{
    for (uint32_t i = 0; i < w->n_distinct; i++)
        w->count[w->distinct[i]] = 0;
    w->n_distinct = 0;
}

void cv_window_add(struct cv_window *w, int32_t id)
{
    if (w->count[id]++ == 0) {
        w->where[id] = w->n_distinct;
        w->distinct[w->n_distinct++] = id;
    }
}

void cv_window_remove(struct cv_window *w, int32_t id)
{
    if (--w->count[id] == 0) {
        int32_t last = w->distinct[--w->n_distinct];
        w->distinct[w->where[id]] = last;
        w->where[last] = w->where[id];
    }
}

void cv_sample_penalties(struct cv_cands *c, const struct cv_window *w, double repeat, double frequency,
                         double presence)
{
    for (size_t i = 0; i < c->n; i++) {
        const uint32_t count = w->count[c->at[i].id];
        if (count == 0)
            continue;
        double logit = (double)c->at[i].logit;
        logit = logit <= 0.0 ? logit * repeat : logit / repeat;
        c->at[i].logit = (float)(logit - ((double)count * frequency + presence));
    }
    c->order = c->order == CV_BY_LOGIT ? CV_BY_NOTHING : c->order;
}
