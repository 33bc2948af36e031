#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static enum cv_log_level least_level = CV_LOG_WARN;
static const char *process_name = "caravan";
static const char *const level_name[] = {"error", "warn", "info", "debug"};

void cv_log_init(enum cv_log_level least, const char *name)
{
    least_level = least;
    process_name = name;
}

bool cv_log_parse_level(const char *text, enum cv_log_level *out)
{
    for (unsigned i = 0; i < CV_COUNT(level_name); i++) {
        if (strcmp(text, level_name[i]) == 0) {
            *out = (enum cv_log_level)i;
            return true;
        }
    }
    return false;
}

void cv_log(enum cv_log_level level, const char *fmt, ...)
{
    if (level > least_level)
        return;
    char line[1024];
    struct timespec t;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &t);
    localtime_r(&t.tv_sec, &tm);
    size_t at = strftime(line, sizeof(line), "%H:%M:%S", &tm);
    int n = snprintf(line + at, sizeof(line) - at, ".%03ld %-5s %s: ", t.tv_nsec / 1000000L, level_name[level], process_name);
    if (n > 0)
        at += (size_t)n;
    if (at > sizeof(line) - 2)
        at = sizeof(line) - 2;
    va_list ap;
    va_start(ap, fmt);
    n = vsnprintf(line + at, sizeof(line) - at - 1, fmt, ap);
    va_end(ap);
    if (n > 0)
        at += (size_t)n;
    if (at > sizeof(line) - 2)
        at = sizeof(line) - 2;
    /* A name or a message from a peer must not forge a line or steer a terminal. */
    for (size_t i = 0; i < at; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = ' ';
    line[at++] = '\n';
    ssize_t unused = write(STDERR_FILENO, line, at);
    (void)unused;
}
