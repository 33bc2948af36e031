#include "text/merge.h"

#include "base/mem.h"

/* Up to here looking through all pairs for the best one beats a heap: most words are this short. */
enum { SHORT_WORD = 32 };

void cv_merge_fini(struct cv_merge *m)
{
    cv_free(m->node);
    cv_free(m->heap);
    *m = (struct cv_merge){0};
}

bool cv_merge_reserve(struct cv_merge *m, size_t n)
{
    if (n > m->cap) {
        size_t cap = n < SHORT_WORD ? SHORT_WORD : n + n / 2;
        struct cv_merge_node *node = cv_realloc(m->node, cap, sizeof(*node));
        if (node == NULL)
            return false;
        m->node = node;
        m->cap = cap;
    }
    /* n - 1 pairs at first; each of at most n - 1 joins makes two more */
    if (n > SHORT_WORD && 3 * n > m->heap_cap) {
        uint64_t *heap = cv_realloc(m->heap, 3 * n, sizeof(*heap));
        if (heap == NULL)
            return false;
        m->heap = heap;
        m->heap_cap = 3 * n;
    }
    return true;
}

static uint32_t end_of(const struct cv_merge *m, const struct cv_merge_node *node)
{
    return node->next == CV_NO_INDEX ? m->n_text : m->node[node->next].start;
}

/* Sets rank and joined of the pair that begins at node i. */
static void rate(struct cv_merge *m, uint32_t i)
{
    const struct cv_vocab *v = m->vocab;
    struct cv_merge_node *left = &m->node[i];
    left->rank = CV_NO_INDEX;
    if (left->next == CV_NO_INDEX)
        return;
    const struct cv_merge_node *right = &m->node[left->next];
    if (v->model == CV_VOCAB_BPE) {
        if (left->id == CV_MERGE_NONE || right->id == CV_MERGE_NONE)
            return;
        const struct cv_merge_rule *rule = cv_merges_find(&v->merges, (uint32_t)left->id, (uint32_t)right->id);
        if (rule != NULL) {
            left->rank = rule->rank;
            left->joined = (int32_t)rule->result;
        }
        return;
    }
    uint32_t n = end_of(m, right) - left->start;
    uint32_t id = n > v->max_token_len ? CV_NO_INDEX : cv_names_find(&v->text, m->text + left->start, n);
    if (id != CV_NO_INDEX) {
        left->rank = v->rank[id];
        left->joined = (int32_t)id;
    }
}

/* Joins the pair that begins at node i and rates the pairs around it anew. */
static void join(struct cv_merge *m, uint32_t i)
{
    struct cv_merge_node *left = &m->node[i];
    struct cv_merge_node *right = &m->node[left->next];
    left->id = left->joined;
    left->next = right->next;
    right->rank = CV_NO_INDEX; /* no pair begins there any more */
    if (left->next != CV_NO_INDEX)
        m->node[left->next].prev = i;
    rate(m, i);
    if (left->prev != CV_NO_INDEX)
        rate(m, left->prev);
}

static void run_short(struct cv_merge *m)
{
    for (;;) {
        uint32_t best = CV_NO_INDEX, best_rank = CV_NO_INDEX;
        for (uint32_t i = 0; i != CV_NO_INDEX; i = m->node[i].next) {
            if (m->node[i].rank < best_rank) {
                best_rank = m->node[i].rank;
                best = i;
            }
        }
        if (best == CV_NO_INDEX)
            return;
        join(m, best);
    }
}

static void push(struct cv_merge *m, uint32_t i)
{
    if (m->node[i].rank == CV_NO_INDEX)
        return;
    const uint64_t key = (uint64_t)m->node[i].rank << 32 | i;
    size_t at = m->n_heap++;
    while (at > 0 && m->heap[(at - 1) / 2] > key) {
        m->heap[at] = m->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    m->heap[at] = key;
}

static uint64_t pop(struct cv_merge *m)
{
    const uint64_t top = m->heap[0], moving = m->heap[--m->n_heap];
    size_t at = 0;
    for (size_t child = 1; child < m->n_heap; child = 2 * at + 1) {
        if (child + 1 < m->n_heap && m->heap[child + 1] < m->heap[child])
            child++;
        if (m->heap[child] >= moving)
            break;
        m->heap[at] = m->heap[child];
        at = child;
    }
    if (m->n_heap > 0)
        m->heap[at] = moving;
    return top;
}

static void run_long(struct cv_merge *m)
{
    m->n_heap = 0;
    for (uint32_t i = 0; i < m->n; i++)
        push(m, i);
    while (m->n_heap > 0) {
        uint64_t key = pop(m);
        uint32_t i = (uint32_t)key;
        if (m->node[i].rank != (uint32_t)(key >> 32))
            continue; /* that pair is gone; the node's new one has an entry of its own */
        join(m, i);
        push(m, i);
        if (m->node[i].prev != CV_NO_INDEX)
            push(m, m->node[i].prev);
    }
}

void cv_merge_run(struct cv_merge *m)
{
    for (uint32_t i = 0; i < m->n; i++) {
        m->node[i].prev = i == 0 ? CV_NO_INDEX : i - 1;
        m->node[i].next = i + 1 == m->n ? CV_NO_INDEX : i + 1;
    }
    for (uint32_t i = 0; i < m->n; i++)
        rate(m, i);
    if (m->n <= SHORT_WORD)
        run_short(m);
    else
        run_long(m);
}
