#include "cli/common.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/size.h"
#include "engine/cpu/matrix.h"
#include "net/http_client.h"

bool cv_start(const char *log_level, const char *name, struct cv_error *err)
{
    enum cv_log_level level;
    if (!cv_log_parse_level(log_level, &level))
        return cv_fail(err, CV_ERR_ARG, "--log wants error, warn, info or debug, not '%s'", log_level);
    cv_log_init(level, name);
    cv_matrix_init(cv_isa_detect());
    return cv_http_client_init(err);
}

static void our_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
}

void cv_signals_block(void)
{
    sigset_t set;
    our_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int cv_signals_wait(uint32_t timeout_ms)
{
    sigset_t set;
    our_signals(&set);
    const struct timespec t = {.tv_sec = timeout_ms / 1000, .tv_nsec = (long)(timeout_ms % 1000) * 1000000L};
    const int got = sigtimedwait(&set, NULL, &t);
    return got > 0 ? got : 0;
}

void cv_progress_init(struct cv_progress *p, const char *what)
{
    *p = (struct cv_progress){.what = what, .terminal = isatty(STDERR_FILENO) == 1, .tenth = -1, .start_ms = cv_now_ms()};
}

void cv_progress_show(struct cv_progress *p, uint64_t done, uint64_t all, double bytes_per_s, const char *note)
{
    char a[CV_SIZE_TEXT], b[CV_SIZE_TEXT], rate[48] = "";
    const double share = all == 0 ? 0 : (double)done / (double)all;
    const int tenth = (int)(share * 10);
    if (all == 0 || (!p->terminal && tenth == p->tenth))
        return;
    p->tenth = tenth;
    if (bytes_per_s > 0 && done < all) {
        char r[CV_SIZE_TEXT];
        const double left_s = (double)(all - done) / bytes_per_s;
        snprintf(rate, sizeof(rate), ", %s/s, %.0f s left", cv_size_format((uint64_t)bytes_per_s, r), left_s);
    }
    fprintf(stderr, "%s%s %3.0f %%  %s of %s%s%s%s%s", p->terminal ? "\r\033[K" : "", p->what, share * 100,
            cv_size_format(done, a), cv_size_format(all, b), rate, note == NULL ? "" : "  ", note == NULL ? "" : note,
            p->terminal ? "" : "\n");
    fflush(stderr);
    p->shown = true;
}

void cv_progress_end(struct cv_progress *p)
{
    if (p->shown && p->terminal)
        fputs("\r\033[K", stderr);
    p->shown = false;
}

int cv_complain(const char *command, const struct cv_error *err)
{
    fprintf(stderr, "caravan %s: %s\n", command, err->msg);
    return 1;
}
