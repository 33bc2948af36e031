/* template_unicode.c - looks characters up in the tables of template_unicode_data.c. */
#include "text/template_unicode.h"

static bool in_ranges(const struct cv_uni_range *r, size_t n, uint32_t cp)
{
    size_t low = 0, high = n;
    while (low < high) {
        const size_t mid = (low + high) / 2;
        if (cp > r[mid].last)
            low = mid + 1;
        else
            high = mid;
    }
    return low < n && cp >= r[low].first;
}

static bool is_space(uint32_t cp)
{
    return (cp >= 0x09 && cp <= 0x0d) || (cp >= 0x1c && cp <= 0x20) || cp == 0x85 || cp == 0xa0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f ||
           cp == 0x3000;
}

bool cv_uni_is(uint32_t cp, enum cv_uni_class c)
{
    switch (c) {
    case CV_UNI_ALPHA:
        return in_ranges(cv_uni_alpha, cv_uni_n_alpha, cp);
    case CV_UNI_DECIMAL:
        return in_ranges(cv_uni_decimal, cv_uni_n_decimal, cp);
    case CV_UNI_DIGIT:
        return in_ranges(cv_uni_digit, cv_uni_n_digit, cp);
    case CV_UNI_NUMERIC:
        return in_ranges(cv_uni_numeric, cv_uni_n_numeric, cp);
    case CV_UNI_UPPER:
        return in_ranges(cv_uni_upper, cv_uni_n_upper, cp);
    case CV_UNI_LOWER:
        return in_ranges(cv_uni_lower, cv_uni_n_lower, cp);
    case CV_UNI_SPACE:
        return is_space(cp);
    case CV_UNI_PRINTABLE:
        return (cp >= 0x20 && cp < 0x7f) || !in_ranges(cv_uni_hidden, cv_uni_n_hidden, cp);
    }
    return false;
}

static uint32_t convert_one(const struct cv_uni_case *t, size_t n, uint32_t cp)
{
    size_t low = 0, high = n;
    while (low < high) {
        const size_t mid = (low + high) / 2;
        if (cp > t[mid].last)
            low = mid + 1;
        else
            high = mid;
    }
    if (low < n && cp >= t[low].first && (cp - t[low].first) % t[low].step == 0)
        return (uint32_t)((int32_t)cp + t[low].distance);
    return cp;
}

static size_t convert_long(const struct cv_uni_long *t, size_t n, uint32_t cp, uint32_t out[3])
{
    size_t used = 0;
    for (size_t i = 0; i < n && t[i].from <= cp; i++) {
        if (t[i].from != cp)
            continue;
        for (used = 0; used < 3 && t[i].to[used] != 0; used++)
            out[used] = t[i].to[used];
    }
    return used;
}

size_t cv_uni_convert(uint32_t cp, enum cv_uni_to to, uint32_t out[3])
{
    out[0] = cp;
    if (cp < 0x80) {
        if (to == CV_UNI_TO_LOWER && cp >= 'A' && cp <= 'Z')
            out[0] = cp + 32;
        else if (to != CV_UNI_TO_LOWER && cp >= 'a' && cp <= 'z')
            out[0] = cp - 32;
        return 1;
    }
    if (to == CV_UNI_TO_TITLE) {
        out[0] = convert_one(cv_uni_to_title, cv_uni_n_to_title, cp);
        const size_t n = convert_long(cv_uni_long_title, cv_uni_n_long_title, cp, out);
        if (n != 0 || out[0] != cp)
            return n != 0 ? n : 1;
    }
    const bool lower = to == CV_UNI_TO_LOWER;
    const size_t used = lower ? convert_long(cv_uni_long_lower, cv_uni_n_long_lower, cp, out)
                              : convert_long(cv_uni_long_upper, cv_uni_n_long_upper, cp, out);
    if (used != 0)
        return used;
    out[0] = lower ? convert_one(cv_uni_to_lower, cv_uni_n_to_lower, cp)
                   : convert_one(cv_uni_to_upper, cv_uni_n_to_upper, cp);
    return 1;
}
