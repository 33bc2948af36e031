#include "coordinator/slots.h"

#include <string.h>

#include "base/mem.h"

struct slot {
    bool busy;
    int32_t *kept; /* what the stages hold of a sequence that is over */
    uint32_t n_kept;
    uint64_t used; /* when it was last given back, as a count */
};

struct cv_slots {
    uint32_t n, n_free;
    uint64_t count;
    struct slot slot[];
};

bool cv_slots_new(struct cv_slots **out, uint32_t n, struct cv_error *err)
{
    struct cv_slots *s = cv_zalloc(sizeof(*s) + n * sizeof(struct slot));
    if (s == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for %u slots", n);
    s->n = s->n_free = n;
    *out = s;
    return true;
}

void cv_slots_free(struct cv_slots *s)
{
    if (s == NULL)
        return;
    cv_slots_forget(s);
    cv_free(s);
}

uint32_t cv_slots_n_free(const struct cv_slots *s)
{
    return s->n_free;
}

static uint32_t common_prefix(const struct slot *s, const int32_t *token, uint32_t n)
{
    uint32_t i = 0;
    while (i < n && i < s->n_kept && s->kept[i] == token[i])
        i++;
    return i;
}

uint32_t cv_slots_take(struct cv_slots *s, const int32_t *token, uint32_t n, uint32_t *n_kept, struct cv_cmd *cmd)
{
    uint32_t best = 0, best_common = 0;
    bool found = false;
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->slot[i].busy)
            continue;
        const uint32_t common = common_prefix(&s->slot[i], token, n - 1);
        if (!found || common > best_common || (common == best_common && s->slot[i].used < s->slot[best].used)) {
            best = i;
            best_common = common;
            found = true;
        }
    }
    struct slot *b = &s->slot[best];
    b->busy = true;
    s->n_free--;
    cv_free(b->kept);
    b->kept = NULL;
    b->n_kept = 0;
    *n_kept = best_common;
    *cmd = (struct cv_cmd){.op = best_common > 0 ? CV_CMD_TRIM : CV_CMD_NEW, .slot = best, .pos = best_common};
    return best;
}

void cv_slots_give(struct cv_slots *s, uint32_t slot, const int32_t *token, uint32_t n_fed)
{
    struct slot *b = &s->slot[slot];
    b->busy = false;
    b->used = ++s->count;
    s->n_free++;
    cv_free(b->kept);
    b->kept = n_fed == 0 ? NULL : cv_alloc(n_fed * sizeof(*b->kept));
    b->n_kept = b->kept == NULL ? 0 : n_fed; /* without memory for it, it is simply not reused */
    if (b->kept != NULL)
        memcpy(b->kept, token, n_fed * sizeof(*b->kept));
}

void cv_slots_forget(struct cv_slots *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        cv_free(s->slot[i].kept);
        s->slot[i].kept = NULL;
        s->slot[i].n_kept = 0;
    }
}
