#include "base/clock.h"

#include <errno.h>
#include <time.h>

uint64_t cv_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t cv_now_ms(void)
{
    return cv_now_ns() / 1000000u;
}

int64_t cv_unix_s(void)
{
    return (int64_t)time(NULL);
}

void cv_sleep_ms(uint32_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000L};
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        continue;
}
