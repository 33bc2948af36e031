#include "base/wait.h"

#include <limits.h>
#include <time.h>

#include "base/clock.h"

int64_t cv_deadline_ms(int64_t timeout_ms)
{
    return timeout_ms < 0 ? CV_NEVER : (int64_t)cv_now_ms() + timeout_ms;
}

int cv_remaining_ms(int64_t deadline_ms)
{
    if (deadline_ms == CV_NEVER)
        return -1;
    int64_t left = deadline_ms - (int64_t)cv_now_ms();
    return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

bool cv_cond_init(pthread_cond_t *c)
{
    pthread_condattr_t attr;
    if (pthread_condattr_init(&attr) != 0)
        return false;
    bool ok = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 && pthread_cond_init(c, &attr) == 0;
    pthread_condattr_destroy(&attr);
    return ok;
}

bool cv_cond_wait(pthread_cond_t *c, pthread_mutex_t *m, int64_t deadline_ms)
{
    if (deadline_ms == CV_NEVER)
        return pthread_cond_wait(c, m) == 0;
    struct timespec at = {.tv_sec = deadline_ms / 1000, .tv_nsec = deadline_ms % 1000 * 1000000};
    return pthread_cond_timedwait(c, m, &at) == 0;
}
