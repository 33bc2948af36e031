/* template_unicode.h - classes and cases of characters, for the str methods of templates. Internal to the template engine. */
#ifndef CV_TEXT_TEMPLATE_UNICODE_H
#define CV_TEXT_TEMPLATE_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cv_uni_range {
    uint32_t first, last;
};

/* first, first + step, ... last map to themselves plus distance */
struct cv_uni_case {
    uint32_t first, last;
    int32_t distance;
    uint32_t step;
};

/* one character that becomes two or three; unused ones are 0 */
struct cv_uni_long {
    uint32_t from, to[3];
};

extern const struct cv_uni_range cv_uni_alpha[], cv_uni_decimal[], cv_uni_digit[], cv_uni_numeric[], cv_uni_upper[],
    cv_uni_lower[], cv_uni_hidden[];
extern const size_t cv_uni_n_alpha, cv_uni_n_decimal, cv_uni_n_digit, cv_uni_n_numeric, cv_uni_n_upper, cv_uni_n_lower,
    cv_uni_n_hidden;
extern const struct cv_uni_case cv_uni_to_upper[], cv_uni_to_lower[], cv_uni_to_title[];
extern const size_t cv_uni_n_to_upper, cv_uni_n_to_lower, cv_uni_n_to_title;
extern const struct cv_uni_long cv_uni_long_upper[], cv_uni_long_lower[], cv_uni_long_title[];
extern const size_t cv_uni_n_long_upper, cv_uni_n_long_lower, cv_uni_n_long_title;

enum cv_uni_class {
    CV_UNI_ALPHA,
    CV_UNI_DECIMAL,
    CV_UNI_DIGIT,
    CV_UNI_NUMERIC,
    CV_UNI_UPPER,
    CV_UNI_LOWER,
    CV_UNI_SPACE,
    CV_UNI_PRINTABLE
};

bool cv_uni_is(uint32_t cp, enum cv_uni_class c);

enum cv_uni_to { CV_UNI_TO_UPPER, CV_UNI_TO_LOWER, CV_UNI_TO_TITLE };

/* Characters that cp becomes (1..3). */
size_t cv_uni_convert(uint32_t cp, enum cv_uni_to to, uint32_t out[3]);

#endif
