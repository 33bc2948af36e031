/*
 * retire.c - closes sockets when they have become quiet.
 *
 * NNG before 1.6 (Debian 12 has 1.5.2) loses a receive or send when its connection is closed between two pieces of one
 * message: the thread that takes connections apart then waits for ever, and every later close in the process with it.
 * So an owner that is done with a socket stops receiving, which lets at most one message per connection come to its end,
 * and leaves the socket here; it is closed half a second later. At the end of the process the kernel does it.
 */
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "net/internal.h"

enum { QUIET_MS = 500 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf; guards the list */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_cond_t more;
static struct cv_net_retired *first, **last = &first;
static bool running;
static unsigned n_left; /* in the list, or being closed */

static void *close_quiet_ones(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&lock);
    for (;;) {
        struct cv_net_retired *r = first;
        if (r == NULL) {
            (void)cv_cond_wait(&more, &lock, CV_NEVER);
        } else if (cv_now_ms() < r->when_ms) {
            (void)cv_cond_wait(&more, &lock, (int64_t)r->when_ms);
        } else {
            first = r->next;
            if (first == NULL)
                last = &first;
            pthread_mutex_unlock(&lock);
            r->close(r);
            pthread_mutex_lock(&lock);
            n_left--;
        }
    }
    return NULL;
}

unsigned cv_net_n_retired(void)
{
    pthread_mutex_lock(&lock);
    const unsigned n = n_left;
    pthread_mutex_unlock(&lock);
    return n;
}

#ifdef CV_ASAN
/* The leak checker looks when all is closed: what a socket holds is found by number only, which it does not follow. */
static void settle(void)
{
    for (int i = 0; i < 3000 && cv_net_n_retired() != 0; i++)
        cv_sleep_ms(1);
    cv_sleep_ms(100); /* NNG's own threads free what belonged to the last ones */
}
#endif

static void start(void)
{
    pthread_t thread;
    pthread_attr_t attr;
    if (!cv_cond_init(&more) || pthread_attr_init(&attr) != 0)
        return;
    running = pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0 &&
              pthread_create(&thread, &attr, close_quiet_ones, NULL) == 0;
    pthread_attr_destroy(&attr);
#ifdef CV_ASAN
    (void)atexit(settle);
#endif
}

void cv_net_retire(struct cv_net_retired *r, void (*close)(struct cv_net_retired *r))
{
    (void)pthread_once(&once, start);
    if (!running)
        cv_log(CV_LOG_WARN, "no thread to close a socket later: it stays open");
    pthread_mutex_lock(&lock);
    r->next = NULL;
    r->close = close;
    r->when_ms = cv_now_ms() + QUIET_MS;
    *last = r;
    last = &r->next;
    n_left++;
    if (running)
        pthread_cond_signal(&more);
    pthread_mutex_unlock(&lock);
}
