/* common.h - what the subcommands share: start-up, signals, progress on a terminal or as plain lines. */
#ifndef CV_CLI_COMMON_H
#define CV_CLI_COMMON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Log level (--log), kernels, the HTTP client. Before any thread. */
bool cv_start(const char *log_level, const char *name, struct cv_error *err);

/* SIGINT and SIGTERM wait to be asked for, in every thread that starts later; SIGPIPE is ignored. */
void cv_signals_block(void);
/* The signal that came within timeout_ms; 0: none. */
int cv_signals_wait(uint32_t timeout_ms);

/* One line that is written over on a terminal; without one, a line for every tenth of the way. */
struct cv_progress {
    const char *what;
    bool terminal, shown;
    int tenth;
    uint64_t start_ms;
};

void cv_progress_init(struct cv_progress *p, const char *what);
/* bytes_per_s 0: not known; note may be NULL. */
void cv_progress_show(struct cv_progress *p, uint64_t done, uint64_t all, double bytes_per_s, const char *note);
void cv_progress_end(struct cv_progress *p); /* the line is gone */

/* Prints "caravan COMMAND: message" and returns the exit code 1. */
int cv_complain(const char *command, const struct cv_error *err);

/* The subcommands: argv without the command's name; return the exit code. */
int cv_cmd_serve(int argc, char **argv);
int cv_cmd_join(int argc, char **argv);
int cv_cmd_run(int argc, char **argv);
int cv_cmd_plan(int argc, char **argv);
int cv_cmd_ps(int argc, char **argv);
int cv_cmd_bench(int argc, char **argv);

#endif
