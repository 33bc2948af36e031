#include "cli/options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"

enum { HELP_COLUMN = 26 };

/* Prints text, its further lines indented. */
static void print_help(const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        putchar(*c);
        if (*c == '\n')
            printf("%*s", HELP_COLUMN + 2, "");
    }
    putchar('\n');
}

void cv_usage_print(const struct cv_usage *u)
{
    printf("caravan %s %s\n\n%s\n\nOptions:\n", u->command, u->synopsis, u->about);
    for (size_t i = 0; i < u->n_option; i++) {
        const struct cv_option *o = &u->option[i];
        const int n = printf("  %s%s%s", o->name, o->arg == NULL ? "" : " ", o->arg == NULL ? "" : o->arg);
        printf("%*s", n < HELP_COLUMN ? HELP_COLUMN + 2 - n : 2, "");
        print_help(o->help);
    }
    printf("  --help%*sthis text\n", HELP_COLUMN + 2 - 8, "");
    if (u->examples != NULL)
        printf("\nExamples:\n%s\n", u->examples);
}

static bool set(const struct cv_option *o, const char *value, struct cv_error *err)
{
    char *end;
    double d;
    struct cv_option_list *list;
    switch (o->kind) {
    case CV_OPT_FLAG:
        *(bool *)o->to = true;
        return true;
    case CV_OPT_TEXT:
        *(const char **)o->to = value;
        return true;
    case CV_OPT_COUNT:
    case CV_OPT_NUMBER:
        errno = 0;
        d = strtod(value, &end);
        if (end == value || *end != '\0' || errno != 0 || !isfinite(d))
            return cv_fail(err, CV_ERR_ARG, "%s wants a number, not '%s'", o->name, value);
        if (o->kind == CV_OPT_COUNT && (d < 0 || d > UINT32_MAX || floor(d) != d))
            return cv_fail(err, CV_ERR_ARG, "%s wants a whole number, not '%s'", o->name, value);
        if (o->kind == CV_OPT_COUNT)
            *(uint32_t *)o->to = (uint32_t)d;
        else
            *(double *)o->to = d;
        return true;
    case CV_OPT_SIZE:
        return cv_size_parse(value, o->to, err) || cv_wrap(err, "%s", o->name);
    case CV_OPT_LIST:
        list = o->to;
        if (list->n == CV_OPTION_LIST_MAX)
            return cv_fail(err, CV_ERR_ARG, "%s: at most %d times", o->name, CV_OPTION_LIST_MAX);
        list->item[list->n++] = value;
        return true;
    }
    return cv_fail(err, CV_ERR_INTERNAL, "%s: an option of no kind", o->name);
}

bool cv_options_read(const struct cv_usage *u, int argc, char **argv, const char **word, size_t max_words, size_t *n_word,
                     bool *helped, struct cv_error *err)
{
    bool only_words = false;
    *n_word = 0;
    *helped = false;
    for (int i = 0; i < argc; i++) {
        const char *a = argv[i];
        if (!only_words && (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0)) {
            cv_usage_print(u);
            *helped = true;
            return true;
        }
        if (!only_words && strcmp(a, "--") == 0) {
            only_words = true;
            continue;
        }
        if (only_words || a[0] != '-' || a[1] == '\0') {
            if (*n_word == max_words)
                return cv_fail(err, CV_ERR_ARG, "unexpected '%s': see caravan %s --help", a, u->command);
            word[(*n_word)++] = a;
            continue;
        }
        const char *equals = strchr(a, '=');
        const size_t n = equals == NULL ? strlen(a) : (size_t)(equals - a);
        const struct cv_option *o = NULL;
        for (size_t k = 0; k < u->n_option; k++)
            if (strlen(u->option[k].name) == n && strncmp(u->option[k].name, a, n) == 0)
                o = &u->option[k];
        if (o == NULL)
            return cv_fail(err, CV_ERR_ARG, "there is no option %.*s: see caravan %s --help", (int)n, a, u->command);
        const char *value = NULL;
        if (o->kind == CV_OPT_FLAG) {
            if (equals != NULL)
                return cv_fail(err, CV_ERR_ARG, "%s takes no value", o->name);
        } else if (equals != NULL) {
            value = equals + 1;
        } else if (++i < argc) {
            value = argv[i];
        } else {
            return cv_fail(err, CV_ERR_ARG, "%s wants a value: %s", o->name, o->arg);
        }
        if (!set(o, value, err))
            return false;
    }
    return true;
}
