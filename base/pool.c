/* sched_getaffinity and cpu_set_t are Linux's own; everything else here is POSIX. */
#define _GNU_SOURCE
#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

/*
 * A token passes through a few hundred short forks, so a thread that has nothing to do spins for a while before it
 * sleeps. The run number, the number of chunks and the next chunk live in one 64-bit word, so that a thread that comes
 * late to an old run can never take a chunk of a new one by mistake.
 */
struct cv_pool {
    unsigned n_threads;
    pthread_t *thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    CV_ALIGNED(64) atomic_uint_fast64_t ticket; /* run << 32 | next chunk */
    CV_ALIGNED(64) atomic_size_t done;          /* chunks finished in this run */
    CV_ALIGNED(64) atomic_uint run;             /* changes when there is work */
    atomic_uint sleepers;
    atomic_bool stop;
    cv_pool_fn *fn; /* written before run changes, read after it was seen to */
    void *ctx;
    atomic_size_t n_chunks;
};

struct member {
    struct cv_pool *pool;
    unsigned index;
};

enum { SPIN_NS = 60 * 1000 };

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void work(struct cv_pool *p, unsigned run, unsigned index)
{
    for (;;) {
        uint64_t t = atomic_load_explicit(&p->ticket, memory_order_acquire);
        if ((uint32_t)(t >> 32) != run)
            return;
        size_t chunk = (uint32_t)t;
        if (chunk >= atomic_load_explicit(&p->n_chunks, memory_order_relaxed))
            return;
        if (!atomic_compare_exchange_weak_explicit(&p->ticket, &t, t + 1, memory_order_acq_rel, memory_order_acquire))
            continue;
        /* The chunk is ours and not done, so fn and ctx cannot change under us. */
        p->fn(p->ctx, chunk, index);
        atomic_fetch_add_explicit(&p->done, 1, memory_order_release);
    }
}

static void *member_main(void *arg)
{
    struct member me = *(struct member *)arg;
    cv_free(arg);
    struct cv_pool *p = me.pool;
    unsigned seen = 0;
    for (;;) {
        uint64_t until = cv_now_ns() + SPIN_NS;
        unsigned now, spins = 0;
        while ((now = atomic_load_explicit(&p->run, memory_order_acquire)) == seen) {
            relax();
            if (++spins % 256 != 0 || cv_now_ns() < until)
                continue;
            pthread_mutex_lock(&p->lock);
            atomic_fetch_add(&p->sleepers, 1);
            while ((now = atomic_load(&p->run)) == seen)
                pthread_cond_wait(&p->wake, &p->lock);
            atomic_fetch_sub(&p->sleepers, 1);
            pthread_mutex_unlock(&p->lock);
            break;
        }
        seen = now;
        if (atomic_load_explicit(&p->stop, memory_order_acquire))
            return NULL;
        work(p, seen, me.index);
    }
}

static void start_run(struct cv_pool *p)
{
    unsigned run = atomic_load_explicit(&p->run, memory_order_relaxed) + 1;
    atomic_store_explicit(&p->ticket, (uint64_t)run << 32, memory_order_release);
    atomic_store(&p->run, run);
    if (atomic_load(&p->sleepers) != 0) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
    }
}

void cv_pool_run(struct cv_pool *p, cv_pool_fn *fn, void *ctx, size_t n_chunks)
{
    if (p->n_threads == 1 || n_chunks <= 1) {
        for (size_t i = 0; i < n_chunks; i++)
            fn(ctx, i, 0);
        return;
    }
    /* A late thread of the last run may still be about to take a chunk: the last ticket is made one that nobody can
     * take before n_chunks grows, or that thread would take a chunk of this run by the old ticket. */
    unsigned last = atomic_load_explicit(&p->run, memory_order_relaxed);
    atomic_store_explicit(&p->ticket, (uint64_t)last << 32 | UINT32_MAX, memory_order_seq_cst);
    p->fn = fn;
    p->ctx = ctx;
    atomic_store_explicit(&p->done, 0, memory_order_relaxed);
    atomic_store_explicit(&p->n_chunks, n_chunks, memory_order_release);
    start_run(p);
    work(p, atomic_load_explicit(&p->run, memory_order_relaxed), 0);
    while (atomic_load_explicit(&p->done, memory_order_acquire) != n_chunks)
        relax();
}

unsigned cv_pool_threads(const struct cv_pool *p)
{
    return p->n_threads;
}

unsigned cv_cpu_count(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
        n = CPU_COUNT(&set);
    /* cgroup v2: "quota period" in microseconds, or "max period" */
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (f != NULL) {
        long quota, period;
        if (fscanf(f, "%ld %ld", &quota, &period) == 2 && quota > 0 && period > 0) {
            long whole = (quota + period - 1) / period;
            n = whole < n ? whole : n;
        }
        fclose(f);
    }
    return n < 1 ? 1 : n > 1024 ? 1024 : (unsigned)n;
}

bool cv_pool_new(struct cv_pool **out, unsigned n_threads, struct cv_error *err)
{
    if (n_threads == 0)
        n_threads = cv_cpu_count();
    struct cv_pool *p = cv_alloc_aligned(sizeof(*p));
    if (p == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "thread pool: out of memory");
    *p = (struct cv_pool){.n_threads = 1};
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    p->thread = cv_calloc(n_threads, sizeof(*p->thread));
    if (p->thread == NULL) {
        cv_pool_free(p);
        return cv_fail(err, CV_ERR_NOMEM, "thread pool: out of memory");
    }
    for (; p->n_threads < n_threads; p->n_threads++) {
        struct member *me = cv_alloc(sizeof(*me));
        if (me != NULL)
            *me = (struct member){.pool = p, .index = p->n_threads};
        int rc = me == NULL ? -1 : pthread_create(&p->thread[p->n_threads], NULL, member_main, me);
        if (rc != 0) {
            cv_free(me);
            cv_pool_free(p);
            return cv_fail(err, CV_ERR_NOMEM, "thread pool: could not start thread %u of %u", p->n_threads + 1, n_threads);
        }
    }
    *out = p;
    return true;
}

void cv_pool_free(struct cv_pool *p)
{
    if (p == NULL)
        return;
    atomic_store_explicit(&p->stop, true, memory_order_release);
    atomic_store(&p->n_chunks, 0);
    start_run(p);
    for (unsigned i = 1; i < p->n_threads; i++)
        pthread_join(p->thread[i], NULL);
    cv_free(p->thread);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    cv_free(p);
}
