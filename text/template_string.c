/* template_string.c - strings by characters: counting, stepping, finding, stripping, cases. */
#include "text/template_string.h"

#include <string.h>

#include "base/utf8.h"

static bool continues(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

size_t cv_str_count(struct cv_value s)
{
    size_t n = 0;
    for (uint32_t i = 0; i < s.len; i++)
        n += !continues(s.as.s[i]);
    return n;
}

const char *cv_str_skip(const char *p, const char *end, size_t n)
{
    while (n != 0 && p < end) {
        p++;
        while (p < end && continues(*p))
            p++;
        n--;
    }
    return p;
}

const char *cv_str_back(const char *start, const char *p, size_t n)
{
    while (n != 0 && p > start) {
        p--;
        while (p > start && continues(*p))
            p--;
        n--;
    }
    return p;
}

/* Bytes that a and b have in common, at most n: what a comparison costs. */
static size_t common(const char *a, const char *b, size_t n)
{
    size_t i = 0;
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

bool cv_str_find(struct cv_tmpl_run *r, struct cv_value s, struct cv_value needle, size_t from, bool *found, size_t *at)
{
    size_t work = 0;
    *found = false;
    for (size_t i = from; needle.len <= s.len && i <= s.len - needle.len; i++) {
        if (needle.len != 0) {
            const char *p = memchr(s.as.s + i, needle.as.s[0], s.len - needle.len - i + 1);
            if (p == NULL)
                break;
            i = (size_t)(p - s.as.s);
        }
        const size_t same = common(s.as.s + i, needle.as.s, needle.len);
        if (same == needle.len) {
            *found = true;
            *at = i;
            return cv_tmpl_charge(r, (work + i - from) / 32);
        }
        work += same;
        if (work > 1u << 20) {
            if (!cv_tmpl_charge(r, work / 8))
                return false;
            work = 0;
        }
    }
    return cv_tmpl_charge(r, (work + s.len - (from < s.len ? from : s.len)) / 32);
}

bool cv_str_find_last(struct cv_tmpl_run *r, struct cv_value s, struct cv_value needle, size_t to, bool *found,
                      size_t *at)
{
    size_t work = 0;
    *found = false;
    if (needle.len > to)
        return true;
    for (size_t i = to - needle.len + 1; i-- > 0;) {
        const size_t same = common(s.as.s + i, needle.as.s, needle.len);
        if (same == needle.len) {
            *found = true;
            *at = i;
            break;
        }
        work += same + 1;
        if (work > 1u << 20) {
            if (!cv_tmpl_charge(r, work / 8))
                return false;
            work = 0;
        }
    }
    return cv_tmpl_charge(r, work / 32);
}

/* Is the character at p one of those to strip? */
static bool strips(const char *p, size_t n, struct cv_value chars)
{
    uint32_t cp;
    if (chars.type != CV_VALUE_STRING)
        return cv_utf8_decode(p, n, &cp) != 0 && cv_uni_is(cp, CV_UNI_SPACE);
    for (const char *c = chars.as.s, *end = c + chars.len; c < end;) {
        const char *next = cv_str_skip(c, end, 1);
        if ((size_t)(next - c) == n && memcmp(c, p, n) == 0)
            return true;
        c = next;
    }
    return false;
}

bool cv_str_strip(struct cv_tmpl_run *r, struct cv_value s, struct cv_value chars, int sides, struct cv_value *out)
{
    const char *start = s.as.s, *end = s.as.s + s.len;
    size_t work = 0;
    if (chars.type != CV_VALUE_NULL && cv_tmpl_given(chars) && !cv_tmpl_need_str(r, "strip()", chars))
        return false;
    const size_t cost = chars.type == CV_VALUE_STRING ? chars.len : 1;
    if (!cv_tmpl_charge(r, cost / 32))
        return false;
    while ((sides & CV_STRIP_LEFT) != 0 && start < end) {
        const char *next = cv_str_skip(start, end, 1);
        if (!strips(start, (size_t)(next - start), chars))
            break;
        start = next;
        work += cost;
        if (work > 1u << 16 && !cv_tmpl_charge(r, work))
            return false;
        work = work > 1u << 16 ? 0 : work;
    }
    while ((sides & CV_STRIP_RIGHT) != 0 && start < end) {
        const char *prev = cv_str_back(start, end, 1);
        if (!strips(prev, (size_t)(end - prev), chars))
            break;
        end = prev;
        work += cost;
        if (work > 1u << 16 && !cv_tmpl_charge(r, work))
            return false;
        work = work > 1u << 16 ? 0 : work;
    }
    *out = cv_value_str_view(start, (size_t)(end - start));
    out->flavor = s.flavor;
    return cv_tmpl_charge(r, work / 32);
}

static enum cv_uni_to case_of(enum cv_str_case how, uint32_t cp, bool first, bool after_letter)
{
    switch (how) {
    case CV_CASE_UPPER:
        return CV_UNI_TO_UPPER;
    case CV_CASE_LOWER:
        return CV_UNI_TO_LOWER;
    case CV_CASE_CAPITALIZE:
        return first ? CV_UNI_TO_TITLE : CV_UNI_TO_LOWER;
    case CV_CASE_TITLE:
        return after_letter ? CV_UNI_TO_LOWER : CV_UNI_TO_TITLE;
    case CV_CASE_SWAP:
        break;
    }
    return cv_uni_is(cp, CV_UNI_UPPER) ? CV_UNI_TO_LOWER : CV_UNI_TO_UPPER;
}

static bool cased(uint32_t cp)
{
    return cv_uni_is(cp, CV_UNI_UPPER) || cv_uni_is(cp, CV_UNI_LOWER);
}

/* A capital sigma becomes another letter at the end of a word; rest is what follows it. */
static bool ends_word(struct cv_value s, size_t rest)
{
    uint32_t cp;
    return cv_utf8_decode(s.as.s + rest, s.len - rest, &cp) == 0 || !cased(cp);
}

bool cv_str_case(struct cv_tmpl_run *r, struct cv_value s, enum cv_str_case how, struct cv_value *out)
{
    const size_t mark = r->scratch.len;
    const uint32_t capital_sigma = 0x3a3, small_sigma = 0x3c3, last_sigma = 0x3c2;
    bool after_letter = false;
    if (!cv_tmpl_charge(r, s.len / 4))
        return false;
    for (size_t i = 0; i < s.len;) {
        uint32_t cp, to[3];
        const size_t used = cv_utf8_decode(s.as.s + i, s.len - i, &cp);
        const size_t n = cv_uni_convert(cp, case_of(how, cp, i == 0, after_letter), to);
        if (cp == capital_sigma && to[0] == small_sigma && after_letter && ends_word(s, i + used))
            to[0] = last_sigma;
        for (size_t k = 0; k < n; k++) {
            char text[4];
            if (!cv_tmpl_put(r, &r->scratch, text, cv_utf8_encode(to[k], text)))
                return false;
        }
        after_letter = cased(cp);
        i += used == 0 ? 1 : used;
    }
    if (!cv_tmpl_take(r, mark, out))
        return false;
    out->flavor = s.flavor;
    return true;
}

bool cv_str_replace(struct cv_tmpl_run *r, struct cv_value s, struct cv_value old, struct cv_value by, int64_t count,
                    struct cv_value *out)
{
    const size_t mark = r->scratch.len;
    size_t from = 0, at = 0;
    bool found = true;
    *out = s;
    if (count == 0)
        return true;
    for (int64_t i = 0; count < 0 || i < count; i++) {
        if (!cv_tmpl_charge(r, 1) || !cv_str_find(r, s, old, old.len == 0 && i > 0 ? from + 1 : from, &found, &at))
            return false;
        /* an empty "old" stands between characters, not between bytes */
        while (found && old.len == 0 && at < s.len && continues(s.as.s[at]))
            at++;
        if (!found || at > s.len)
            break;
        if (!cv_tmpl_put(r, &r->scratch, s.as.s + from, at - from) || !cv_tmpl_put(r, &r->scratch, by.as.s, by.len))
            return false;
        from = at + old.len;
    }
    if (from == 0 && r->scratch.len == mark)
        return true;
    if (!cv_tmpl_put(r, &r->scratch, s.as.s + from, s.len - from) || !cv_tmpl_take(r, mark, out))
        return false;
    out->flavor = s.flavor;
    return true;
}

bool cv_str_pad(struct cv_tmpl_run *r, struct cv_value s, int64_t width, struct cv_value fill, int where,
                struct cv_value *out)
{
    const int64_t n = (int64_t)cv_str_count(s);
    const size_t mark = r->scratch.len;
    if (!cv_tmpl_charge(r, s.len / 32))
        return false;
    *out = s;
    if (cv_tmpl_given(fill) && (!cv_tmpl_need_str(r, "a fill character", fill) || cv_str_count(fill) != 1))
        return fill.type == CV_VALUE_STRING &&
               cv_tmpl_fail(r, CV_ERR_FORMAT, "the fill character must be exactly one character");
    if (width <= n)
        return true;
    if (width > CV_MAX_TEMPLATE_OUTPUT || !cv_tmpl_charge(r, (size_t)width))
        return cv_tmpl_fail(r, CV_ERR_LIMIT, "a width of %lld is too large", (long long)width);
    const int64_t pad = width - n;
    /* Python's centre: the odd one goes left when the width is odd */
    const int64_t left = where < 0 ? 0 : where > 0 ? pad : pad / 2 + (pad & width & 1);
    for (int64_t i = 0; i <= pad; i++) {
        if (i == left && !cv_tmpl_put(r, &r->scratch, s.as.s, s.len))
            return false;
        if (i < pad &&
            !cv_tmpl_put(r, &r->scratch, cv_tmpl_given(fill) ? fill.as.s : " ", cv_tmpl_given(fill) ? fill.len : 1))
            return false;
    }
    if (!cv_tmpl_take(r, mark, out))
        return false;
    out->flavor = s.flavor;
    return true;
}
