/* template_split.c - the methods that cut strings into pieces. */
#include <string.h>

#include "base/utf8.h"
#include "text/template_string.h"

static bool push_part(struct cv_tmpl_run *r, struct cv_list *l, struct cv_value s, size_t from, size_t to)
{
    struct cv_value part = cv_value_str_view(s.as.s + from, to - from);
    part.flavor = s.flavor;
    return cv_tmpl_list_push(r, l, part);
}

static bool space_at(struct cv_value s, size_t at, size_t *used)
{
    uint32_t cp;
    *used = cv_utf8_decode(s.as.s + at, s.len - at, &cp);
    return cv_uni_is(cp, CV_UNI_SPACE);
}

/* Words, at most max cuts; what is left after the last cut keeps its white space at the end. */
static bool split_words(struct cv_tmpl_run *r, struct cv_value s, int64_t max, struct cv_list *l)
{
    size_t at = 0, used;
    for (;;) {
        while (at < s.len && space_at(s, at, &used))
            at += used;
        if (at >= s.len)
            return cv_tmpl_charge(r, s.len / 8);
        const size_t start = at;
        if (max >= 0 && (int64_t)l->n >= max)
            return push_part(r, l, s, start, s.len);
        while (at < s.len && !space_at(s, at, &used))
            at += used;
        if (!push_part(r, l, s, start, at))
            return false;
    }
}

/* The same from the right; the pieces come out last first. */
static bool rsplit_words(struct cv_tmpl_run *r, struct cv_value s, int64_t max, struct cv_list *l)
{
    size_t end = s.len, used;
    for (;;) {
        size_t start = end;
        const char *p;
        while (end > 0 && (p = cv_str_back(s.as.s, s.as.s + end, 1), space_at(s, (size_t)(p - s.as.s), &used)))
            end = (size_t)(p - s.as.s);
        if (end == 0)
            return cv_tmpl_charge(r, s.len / 8);
        if (max >= 0 && (int64_t)l->n >= max)
            return push_part(r, l, s, 0, end);
        start = end;
        while (start > 0 && (p = cv_str_back(s.as.s, s.as.s + start, 1), !space_at(s, (size_t)(p - s.as.s), &used)))
            start = (size_t)(p - s.as.s);
        if (!push_part(r, l, s, start, end))
            return false;
        end = start;
    }
}

static bool split_at(struct cv_tmpl_run *r, struct cv_value s, struct cv_value sep, int64_t max, struct cv_list *l)
{
    size_t from = 0, at = 0;
    bool found = true;
    while (found && (max < 0 || (int64_t)l->n < max)) {
        if (!cv_str_find(r, s, sep, from, &found, &at) || (found && !push_part(r, l, s, from, at)))
            return false;
        if (found)
            from = at + sep.len;
    }
    return push_part(r, l, s, from, s.len);
}

static bool rsplit_at(struct cv_tmpl_run *r, struct cv_value s, struct cv_value sep, int64_t max, struct cv_list *l)
{
    size_t to = s.len, at = 0;
    bool found = true;
    while (found && (max < 0 || (int64_t)l->n < max)) {
        if (!cv_str_find_last(r, s, sep, to, &found, &at) || (found && !push_part(r, l, s, at + sep.len, to)))
            return false;
        if (found)
            to = at;
    }
    return push_part(r, l, s, 0, to);
}

static bool split(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, bool from_right,
                  struct cv_value *out)
{
    static const char *const names[] = {"sep", "maxsplit"};
    struct cv_value a[2];
    int64_t max = -1;
    struct cv_list *l;
    if (!cv_tmpl_bind(r, "split", args, names, 2, 0, a) ||
        (cv_tmpl_given(a[1]) && !cv_tmpl_need_int(r, "split()", a[1], &max)) || !cv_tmpl_list_new(r, 0, &l))
        return false;
    const bool words = !cv_tmpl_given(a[0]) || a[0].type == CV_VALUE_NULL;
    if (!words && !cv_tmpl_need_str(r, "split()", a[0]))
        return false;
    if (!words && a[0].len == 0)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "empty separator");
    *out = cv_value_of_list(l, CV_LIST_LIST);
    if (!from_right)
        return words ? split_words(r, self, max, l) : split_at(r, self, a[0], max, l);
    if (!(words ? rsplit_words(r, self, max, l) : rsplit_at(r, self, a[0], max, l)))
        return false;
    for (uint32_t i = 0; i < l->n / 2; i++) {
        const struct cv_value v = l->item[i];
        l->item[i] = l->item[l->n - 1 - i];
        l->item[l->n - 1 - i] = v;
    }
    return true;
}

bool cv_str_split(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out)
{
    return split(r, self, args, false, out);
}

bool cv_str_rsplit(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, struct cv_value *out)
{
    return split(r, self, args, true, out);
}

static bool partition(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args, bool from_right,
                      struct cv_value *out)
{
    static const char *const names[] = {"sep"};
    struct cv_value sep;
    struct cv_list *l;
    size_t at = 0;
    bool found;
    if (!cv_tmpl_bind(r, "partition", args, names, 1, 1, &sep) || !cv_tmpl_need_str(r, "partition()", sep) ||
        !cv_tmpl_list_new(r, 3, &l))
        return false;
    if (sep.len == 0)
        return cv_tmpl_fail(r, CV_ERR_FORMAT, "empty separator");
    if (from_right ? !cv_str_find_last(r, self, sep, self.len, &found, &at)
                   : !cv_str_find(r, self, sep, 0, &found, &at))
        return false;
    /* not found: all of it stands at the end where the search began */
    const size_t left = found ? at : from_right ? 0 : self.len, right = found ? at + sep.len : left;
    *out = cv_value_of_list(l, CV_LIST_TUPLE);
    return push_part(r, l, self, 0, left) && push_part(r, l, self, left, right) &&
           push_part(r, l, self, right, self.len);
}

bool cv_str_partition(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                      struct cv_value *out)
{
    return partition(r, self, args, false, out);
}

bool cv_str_rpartition(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out)
{
    return partition(r, self, args, true, out);
}

static bool ends_line(uint32_t cp)
{
    return (cp >= '\n' && cp <= '\r') || (cp >= 0x1c && cp <= 0x1e) || cp == 0x85 || cp == 0x2028 || cp == 0x2029;
}

bool cv_str_lines(struct cv_tmpl_run *r, struct cv_value s, bool keep_ends, struct cv_list **out)
{
    size_t start = 0;
    if (!cv_tmpl_charge(r, s.len / 8) || !cv_tmpl_list_new(r, 0, out))
        return false;
    for (size_t i = 0; i < s.len;) {
        uint32_t cp;
        const size_t used = cv_utf8_decode(s.as.s + i, s.len - i, &cp);
        size_t next = i + (used == 0 ? 1 : used);
        if (ends_line(cp)) {
            if (cp == '\r' && next < s.len && s.as.s[next] == '\n')
                next++;
            if (!push_part(r, *out, s, start, keep_ends ? next : i))
                return false;
            start = next;
        }
        i = next;
    }
    return start == s.len || push_part(r, *out, s, start, s.len);
}

bool cv_str_splitlines(struct cv_tmpl_run *r, struct cv_value self, const struct cv_tmpl_args *args,
                       struct cv_value *out)
{
    static const char *const names[] = {"keepends"};
    struct cv_value keep;
    struct cv_list *l;
    if (!cv_tmpl_bind(r, "splitlines", args, names, 1, 0, &keep) ||
        !cv_str_lines(r, self, cv_tmpl_given(keep) && cv_tmpl_truth(keep), &l))
        return false;
    *out = cv_value_of_list(l, CV_LIST_LIST);
    return true;
}
