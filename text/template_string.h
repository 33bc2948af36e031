/* template_string.h - strings by characters: counting, stepping, finding, stripping, cases. Internal to the template engine.
 *
 * All strings are valid UTF-8, so a character begins at every byte that is no continuation byte. */
#ifndef CV_TEXT_TEMPLATE_STRING_H
#define CV_TEXT_TEMPLATE_STRING_H

#include "text/template_run.h"
#include "text/template_unicode.h"

size_t cv_str_count(struct cv_value s); /* characters */
/* Behind n characters from p, or end. */
const char *cv_str_skip(const char *p, const char *end, size_t n);
/* n characters before p, or start. */
const char *cv_str_back(const char *start, const char *p, size_t n);
/* The byte at which needle first stands in s at or behind byte from. Charges for its work. */
bool cv_str_find(struct cv_tmpl_run *r, struct cv_value s, struct cv_value needle, size_t from, bool *found,
                 size_t *at);
/* The same, the last one that ends at or before byte "to". */
bool cv_str_find_last(struct cv_tmpl_run *r, struct cv_value s, struct cv_value needle, size_t to, bool *found,
                      size_t *at);

enum cv_str_sides { CV_STRIP_LEFT = 1, CV_STRIP_RIGHT = 2, CV_STRIP_BOTH = 3 };
/* Without the characters of chars (CV_VALUE_NULL or absent: white space) at its ends. */
bool cv_str_strip(struct cv_tmpl_run *r, struct cv_value s, struct cv_value chars, int sides, struct cv_value *out);

/* How a run of characters changes case. */
enum cv_str_case {
    CV_CASE_UPPER,
    CV_CASE_LOWER,
    CV_CASE_CAPITALIZE, /* the first one upper, the others lower */
    CV_CASE_TITLE,      /* after everything that is no letter */
    CV_CASE_SWAP
};
bool cv_str_case(struct cv_tmpl_run *r, struct cv_value s, enum cv_str_case how, struct cv_value *out);
/* old replaced by new at most count times (negative: all). */
bool cv_str_replace(struct cv_tmpl_run *r, struct cv_value s, struct cv_value old, struct cv_value by, int64_t count,
                    struct cv_value *out);
/* s with width characters: fill (one character) added where it is short. where: -1 text to the left, 0 centre, 1 right. */
bool cv_str_pad(struct cv_tmpl_run *r, struct cv_value s, int64_t width, struct cv_value fill, int where,
                struct cv_value *out);
/* The lines of s, without their ends unless they are kept. */
bool cv_str_lines(struct cv_tmpl_run *r, struct cv_value s, bool keep_ends, struct cv_list **out);

/* Methods of str that template_split.c has, and the table of all. */
bool cv_str_split(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out);
bool cv_str_rsplit(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out);
bool cv_str_partition(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                      struct cv_value *out);
bool cv_str_rpartition(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out);
bool cv_str_splitlines(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out);
extern const struct cv_tmpl_builtin cv_tmpl_str_methods[];
extern const size_t cv_tmpl_n_str_methods;

#endif
