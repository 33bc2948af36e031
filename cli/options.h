/*
 * options.h - one table per subcommand: what it takes, what it means, where it goes. The table is also its --help.
 */
#ifndef CV_CLI_OPTIONS_H
#define CV_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum cv_option_kind {
    CV_OPT_FLAG,   /* bool */
    CV_OPT_TEXT,   /* const char * */
    CV_OPT_COUNT,  /* uint32_t */
    CV_OPT_NUMBER, /* double */
    CV_OPT_SIZE,   /* uint64_t bytes: "512M" */
    CV_OPT_LIST    /* struct cv_option_list: may come several times */
};

enum { CV_OPTION_LIST_MAX = 256 };

struct cv_option_list {
    const char *item[CV_OPTION_LIST_MAX];
    size_t n;
};

struct cv_option {
    const char *name; /* "--http" */
    const char *arg;  /* "ADDR:PORT"; NULL for a flag */
    enum cv_option_kind kind;
    void *to;         /* holds the default beforehand */
    const char *help; /* lines are broken where it has line breaks */
};

struct cv_usage {
    const char *command; /* "serve" */
    const char *synopsis; /* "MODEL.gguf [options]" */
    const char *about;    /* what it does, some lines */
    const char *examples; /* some lines; may be NULL */
    const struct cv_option *option;
    size_t n_option;
};

/*
 * Reads argv[0..argc) (without the command's name). Plain words go to word[0..max_words), their number to *n_word.
 * --help prints the usage and sets *helped. Errors: CV_ERR_ARG, which names the option and what to write.
 */
bool cv_options_read(const struct cv_usage *u, int argc, char **argv, const char **word, size_t max_words, size_t *n_word,
                     bool *helped, struct cv_error *err);
void cv_usage_print(const struct cv_usage *u);

#endif
