/* spec.c - see spec.h. Text becomes a number or an index here, once. */
#include "partition/spec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"

static const char COORDINATOR[] = "coordinator";

/* A plain decimal number at the start of text: no sign, no exponent, no "inf". NULL if there is none. */
static const char *read_number(const char *text, double *out)
{
    const char *p = text;
    double v = 0.0, unit = 1.0;
    int digits = 0;
    for (; *p >= '0' && *p <= '9' && digits < 18; p++, digits++)
        v = 10.0 * v + (*p - '0');
    if (*p == '.') {
        for (p++; *p >= '0' && *p <= '9' && digits < 18; p++, digits++)
            v += (*p - '0') * (unit /= 10.0);
    }
    *out = v;
    return digits > 0 ? p : NULL;
}

bool cv_plan_spec_rate(const char *text, double *out, struct cv_error *err)
{
    double v;
    const char *p = read_number(text, &v);
    if (p == NULL)
        return cv_fail(err, CV_ERR_ARG, "'%s' is no rate; expected a number such as 50G, 1.5T or 100Mbit", text);
    static const char units[] = "KMGTP";
    const char *unit = *p != '\0' ? strchr(units, *p == 'k' ? 'K' : *p) : NULL;
    if (unit != NULL) {
        v *= pow(1000.0, (double)(unit - units) + 1.0);
        p++;
    }
    if (strncmp(p, "bit", 3) == 0) {
        v /= 8.0;
        p += 3;
    } else if (*p == 'B') {
        p++;
    }
    if (strcmp(p, "/s") == 0)
        p += 2;
    if (*p != '\0')
        return cv_fail(err, CV_ERR_ARG, "'%s' is no rate: '%s' is left over; units are K, M, G, T, P and bit", text, p);
    if (!(v > 0.0))
        return cv_fail(err, CV_ERR_ARG, "'%s': a rate has to be more than nothing", text);
    *out = v;
    return true;
}

bool cv_plan_spec_delay(const char *text, double *out, struct cv_error *err)
{
    static const struct {
        const char *name;
        double seconds;
    } units[] = {{"us", 1e-6}, {"ms", 1e-3}, {"s", 1.0}};
    double v;
    const char *p = read_number(text, &v);
    for (size_t i = 0; p != NULL && i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(p, units[i].name) == 0) {
            *out = v * units[i].seconds;
            return true;
        }
    }
    return cv_fail(err, CV_ERR_ARG, "'%s' is no delay; expected a number with us, ms or s, such as 0.3ms", text);
}

static bool grow(struct cv_arena *arena, void **items, uint32_t n, uint32_t *cap, size_t size, struct cv_error *err)
{
    if (n < *cap)
        return true;
    const uint32_t more = *cap == 0 ? 8 : 2 * *cap;
    void *bigger = cv_arena_calloc(arena, more, size);
    if (bigger == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for the nodes");
    if (n > 0)
        memcpy(bigger, *items, n * size);
    *items = bigger;
    *cap = more;
    return true;
}

/* Length of the node's name in a device's: all before the slash. */
static size_t node_len(const char *name)
{
    return strcspn(name, "/");
}

static bool same_node(const char *a, const char *b)
{
    return node_len(a) == node_len(b) && memcmp(a, b, node_len(a)) == 0;
}

static bool is_name(const char *device, const char *text, size_t len)
{
    return strlen(device) == len && memcmp(device, text, len) == 0;
}

static uint32_t find(const struct cv_plan_spec *s, const char *text, size_t len)
{
    for (uint32_t i = 0; i < s->n_device; i++)
        if (is_name(s->device[i].name, text, len))
            return i;
    return CV_PLAN_NONE;
}

/* The one device that text names: its own name, or its node's if that has one device only. */
static bool find_one(const struct cv_plan_spec *s, const char *text, size_t len, uint32_t *out, struct cv_error *err)
{
    uint32_t n = 0;
    *out = find(s, text, len);
    if (*out != CV_PLAN_NONE)
        return true;
    for (uint32_t i = 0; i < s->n_device; i++) {
        if (node_len(s->device[i].name) == len && memcmp(s->device[i].name, text, len) == 0) {
            *out = *out == CV_PLAN_NONE ? i : *out;
            n++;
        }
    }
    if (n == 1)
        return true;
    if (n > 1)
        return cv_fail(err, CV_ERR_ARG, "node '%.*s' has %u devices; name one of them, such as '%s'", (int)len, text, n,
                       s->device[*out].name);
    if (s->n_device == 0)
        return cv_fail(err, CV_ERR_NOT_FOUND, "there is no node '%.*s': no node is known", (int)len, text);
    return cv_fail(err, CV_ERR_NOT_FOUND, "there is no node '%.*s'; the first of %u is '%s'", (int)len, text,
                   s->n_device, s->device[0].name);
}

static bool check_name(const char *name, size_t len, struct cv_error *err)
{
    if (len == 0 || len >= CV_MAX_NODE_NAME)
        return cv_fail(err, CV_ERR_ARG, "a node's name has 1 to %u bytes, this one %zu", CV_MAX_NODE_NAME - 1, len);
    if (is_name(COORDINATOR, name, len))
        return cv_fail(err, CV_ERR_ARG, "a node may not be called '%s': links use that name", COORDINATOR);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] <= ' ' || name[i] == ',' || name[i] == 0x7f)
            return cv_fail(err, CV_ERR_ARG, "node '%.*s': no blanks or commas in a name", (int)len, name);
    return true;
}

/* Splits "NAME=REST" at its first '='. */
static bool split(const char *text, const char *form, size_t *len, const char **rest, struct cv_error *err)
{
    const char *eq = strchr(text, '=');
    *len = 0;
    *rest = "";
    if (eq == NULL || eq == text || eq[1] == '\0')
        return cv_fail(err, CV_ERR_ARG, "'%s': expected %s", text, form);
    *len = (size_t)(eq - text);
    *rest = eq + 1;
    return true;
}

bool cv_plan_spec_add(struct cv_plan_spec *s, const struct cv_plan_device *device, struct cv_error *err)
{
    const size_t len = strlen(device->name);
    if (!check_name(device->name, len, err))
        return false;
    if (find(s, device->name, len) != CV_PLAN_NONE)
        return cv_fail(err, CV_ERR_ARG, "node '%s' is there twice", device->name);
    if (s->n_device == CV_MAX_NODES)
        return cv_fail(err, CV_ERR_LIMIT, "more than %u devices", CV_MAX_NODES);
    void *items = s->device;
    if (!grow(s->arena, &items, s->n_device, &s->cap_device, sizeof(*s->device), err))
        return false;
    s->device = items;
    struct cv_plan_device *d = &s->device[s->n_device];
    *d = *device;
    d->name = cv_arena_strdup(s->arena, device->name);
    if (d->name == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for the nodes");
    d->node = s->n_device;
    for (uint32_t i = 0; i < s->n_device; i++) {
        if (same_node(s->device[i].name, d->name)) {
            d->node = s->device[i].node;
            break;
        }
    }
    s->n_device++;
    return true;
}

bool cv_plan_spec_node(struct cv_plan_spec *s, const char *text, struct cv_error *err)
{
    static const char form[] = "NAME=SIZE[,BANDWIDTH[,RATE]], such as desk=30G,50G,2T";
    size_t len;
    const char *rest;
    if (!split(text, form, &len, &rest, err))
        return false;
    char *name = cv_arena_strndup(s->arena, text, len), *part = cv_arena_strdup(s->arena, rest);
    if (name == NULL || part == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for the nodes");
    struct cv_plan_device d = {.name = name};
    char *second = strchr(part, ','), *third = second != NULL ? strchr(second + 1, ',') : NULL;
    if (second != NULL)
        *second++ = '\0';
    if (third != NULL)
        *third++ = '\0';
    if (third != NULL && strchr(third, ',') != NULL)
        return cv_fail(err, CV_ERR_ARG, "node '%s': more than three figures; expected %s", name, form);
    if (!cv_size_parse(part, &d.memory_bytes, err) ||
        (second != NULL && !cv_plan_spec_rate(second, &d.bandwidth, err)) ||
        (third != NULL && !cv_plan_spec_rate(third, &d.rate[0].flops, err)))
        return cv_wrap(err, "node '%s'", name);
    if (third != NULL) {
        d.rate[0].rows = 1.0;
        d.n_rate = 1;
    }
    return cv_plan_spec_add(s, &d, err);
}

static bool find_end(const struct cv_plan_spec *s, const char *text, size_t len, uint32_t *out)
{
    struct cv_error ignored;
    if (is_name(COORDINATOR, text, len)) {
        *out = CV_PLAN_NONE;
        return true;
    }
    return find_one(s, text, len, out, &ignored);
}

/* "A-B": names may hold dashes themselves, so the dash with a known name on either side is the one. */
static bool find_ends(const struct cv_plan_spec *s, const char *text, size_t len, uint32_t *a, uint32_t *b,
                      struct cv_error *err)
{
    uint32_t n = 0;
    for (size_t i = 1; i + 1 < len; i++) {
        uint32_t x, y;
        if (text[i] != '-' || !find_end(s, text, i, &x) || !find_end(s, text + i + 1, len - i - 1, &y))
            continue;
        *a = x;
        *b = y;
        n++;
    }
    if (n == 1 && *a == *b)
        return cv_fail(err, CV_ERR_ARG, "link '%.*s': both ends are the same", (int)len, text);
    if (n > 1)
        return cv_fail(err, CV_ERR_ARG, "link '%.*s' can be read in %u ways; give the nodes other names", (int)len,
                       text, n);
    return n == 1 ||
           cv_fail(err, CV_ERR_NOT_FOUND, "link '%.*s': expected two known nodes (or '%s') with a dash between",
                   (int)len, text, COORDINATOR);
}

bool cv_plan_spec_link(struct cv_plan_spec *s, const char *text, struct cv_error *err)
{
    size_t len;
    const char *rest;
    struct cv_plan_spec_link l = {.link = {.bytes_per_s = CV_PLAN_LINK_RATE}};
    if (!split(text, "A-B=DELAY[,RATE], such as pi-desk=0.4ms,110M", &len, &rest, err) ||
        !find_ends(s, text, len, &l.a, &l.b, err))
        return false;
    char *delay = cv_arena_strdup(s->arena, rest);
    if (delay == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for the links");
    char *rate = strchr(delay, ',');
    if (rate != NULL)
        *rate++ = '\0';
    if (!cv_plan_spec_delay(delay, &l.link.delay_s, err) ||
        (rate != NULL && !cv_plan_spec_rate(rate, &l.link.bytes_per_s, err)))
        return cv_wrap(err, "link '%.*s'", (int)len, text);
    void *items = s->link;
    if (!grow(s->arena, &items, s->n_link, &s->cap_link, sizeof(*s->link), err))
        return false;
    s->link = items;
    s->link[s->n_link++] = l;
    return true;
}

static const char *read_layer(const char *p, uint32_t *out)
{
    uint32_t v = 0;
    const char *begin = p;
    for (; *p >= '0' && *p <= '9' && v <= CV_MAX_LAYERS; p++)
        v = 10 * v + (uint32_t)(*p - '0');
    *out = v;
    return p == begin || v >= CV_MAX_LAYERS ? NULL : p;
}

bool cv_plan_spec_pin(struct cv_plan_spec *s, const char *text, struct cv_error *err)
{
    static const char form[] = "NODE=FIRST:LAST, such as desk=0:11 for its twelve first layers";
    size_t len;
    const char *rest;
    uint32_t d, first, last = 0;
    if (!split(text, form, &len, &rest, err) || !find_one(s, text, len, &d, err))
        return false;
    const char *p = read_layer(rest, &first);
    if (p == NULL || *p != ':' || (p = read_layer(p + 1, &last)) == NULL || *p != '\0')
        return cv_fail(err, CV_ERR_ARG, "pin '%s': expected %s", text, form);
    if (first > last)
        return cv_fail(err, CV_ERR_ARG, "pin '%s': layer %u comes after layer %u", text, first, last);
    if (s->device[d].pinned)
        return cv_fail(err, CV_ERR_ARG, "pin '%s': the node is pinned to layers %u to %u already", text,
                       s->device[d].pin_first, s->device[d].pin_last - 1);
    s->device[d].pinned = true;
    s->device[d].pin_first = first;
    s->device[d].pin_last = last + 1;
    return true;
}

bool cv_plan_spec_exclude(struct cv_plan_spec *s, const char *text, struct cv_error *err)
{
    uint32_t d, n = 0;
    const size_t len = strlen(text);
    for (uint32_t i = 0; i < s->n_device; i++) {
        const char *name = s->device[i].name;
        if (is_name(name, text, len) || (node_len(name) == len && memcmp(name, text, len) == 0)) {
            s->device[i].excluded = true;
            n++;
        }
    }
    return n > 0 || find_one(s, text, len, &d, err);
}

bool cv_plan_spec_reserve(struct cv_plan_spec *s, const char *text, struct cv_error *err)
{
    size_t len;
    const char *rest;
    uint32_t d;
    uint64_t bytes;
    if (!split(text, "NODE=SIZE, such as desk=2G", &len, &rest, err) || !find_one(s, text, len, &d, err))
        return false;
    if (!cv_size_parse(rest, &bytes, err))
        return cv_wrap(err, "reserve of '%.*s'", (int)len, text);
    s->device[d].reserve_bytes = bytes;
    return true;
}

bool cv_plan_spec_cluster(const struct cv_plan_spec *s, const char *home, struct cv_plan_cluster *out,
                          struct cv_error *err)
{
    *out = (struct cv_plan_cluster){.device = s->device, .n_device = s->n_device, .home_node = CV_PLAN_NONE};
    if (home != NULL) {
        uint32_t d = CV_PLAN_NONE;
        for (uint32_t i = 0; i < s->n_device && d == CV_PLAN_NONE; i++)
            if (same_node(s->device[i].name, home))
                d = i;
        if (d == CV_PLAN_NONE)
            return cv_fail(err, CV_ERR_NOT_FOUND, "the coordinator's node '%s' is not among the nodes", home);
        out->home_node = s->device[d].node;
    }
    if (s->n_link == 0)
        return true;
    const size_t w = (size_t)s->n_device + 1;
    struct cv_plan_link *m = cv_arena_calloc(s->arena, w * w, sizeof(*m));
    if (m == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "no memory for the links");
    for (uint32_t i = 0; i < s->n_link; i++) {
        const struct cv_plan_spec_link *l = &s->link[i];
        const size_t a = l->a == CV_PLAN_NONE ? s->n_device : l->a, b = l->b == CV_PLAN_NONE ? s->n_device : l->b;
        m[a * w + b] = m[b * w + a] = l->link;
    }
    out->link = m;
    return true;
}
