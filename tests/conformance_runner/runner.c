#include "tests/conformance_runner/runner.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { MAX_FILES = 4096, PATH_BYTES = 4096 };

static void line(const char *verdict, const struct runner *r, const char *name, const char *what, const char *fmt,
                 va_list ap)
{
    printf("%s %s/%s", verdict, r->suite, name);
    if (fmt[0] != '\0' || what[0] != '\0')
        printf(": %s", what);
    vprintf(fmt, ap);
    putchar('\n');
    fflush(stdout);
}

void runner_pass(struct runner *r, const char *name, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    line("ok  ", r, name, "", fmt, ap);
    va_end(ap);
    r->n_pass++;
}

void runner_fail(struct runner *r, const char *name, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    line("FAIL", r, name, "", fmt, ap);
    va_end(ap);
    r->n_fail++;
}

void runner_unsupported(struct runner *r, const char *name, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    line("SKIP", r, name, "unsupported: ", fmt, ap);
    va_end(ap);
    r->n_skip++;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names of dir's *.json files without the ending, sorted; each and the list are cv_free'd. */
static char **list_names(const char *dir, size_t *n)
{
    DIR *d = opendir(dir);
    char **names = cv_calloc(MAX_FILES, sizeof(*names));
    *n = 0;
    if (d == NULL || names == NULL) {
        if (d != NULL)
            closedir(d);
        cv_free(names);
        return NULL;
    }
    for (struct dirent *e; *n < MAX_FILES && (e = readdir(d)) != NULL;) {
        const size_t len = strlen(e->d_name);
        if (len > 5 && strcmp(e->d_name + len - 5, ".json") == 0 &&
            (names[*n] = cv_strndup(e->d_name, len - 5)) != NULL)
            (*n)++;
    }
    closedir(d);
    qsort(names, *n, sizeof(*names), by_name);
    return names;
}

void runner_each(struct runner *r, const char *dir, runner_fn *fn)
{
    size_t n;
    char **names = list_names(dir, &n);
    if (names == NULL) {
        runner_fail(r, "*", "%s: %s", dir, strerror(errno));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        char path[PATH_BYTES];
        json_error_t why;
        if (r->only != NULL && strstr(names[i], r->only) == NULL)
            continue;
        snprintf(path, sizeof(path), "%s/%s.json", dir, names[i]);
        json_t *json = json_load_file(path, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
        if (json_is_object(json))
            fn(r, dir, names[i], json);
        else
            runner_fail(r, names[i], "line %d: %s", why.line, json == NULL ? why.text : "not an object");
        json_decref(json);
    }
    for (size_t i = 0; i < n; i++)
        cv_free(names[i]);
    cv_free(names);
}

char *runner_file(struct runner *r, const char *name, const char *dir, const char *file, size_t *len)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s/%s", dir, file);
    FILE *f = fopen(path, "rb");
    long size = -1;
    if (f != NULL && fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) >= 0)
        rewind(f);
    char *data = size < 0 ? NULL : cv_alloc((size_t)size + 1);
    if (data == NULL || fread(data, 1, (size_t)size, f) != (size_t)size) {
        runner_fail(r, name, "%s: cannot be read", path);
        cv_free(data);
        data = NULL;
    } else {
        data[size] = '\0';
        *len = (size_t)size;
    }
    if (f != NULL)
        fclose(f);
    return data;
}

float *runner_floats(struct runner *r, const char *name, const char *dir, const char *file, size_t n)
{
    size_t len;
    char *data = runner_file(r, name, dir, file, &len);
    if (data != NULL && len != n * sizeof(float)) {
        runner_fail(r, name, "%s: %zu bytes, expected %zu floats", file, len, n);
        cv_free(data);
        data = NULL;
    }
    return (float *)(void *)data;
}

const char *json_text(const json_t *object, const char *key, const char *fallback)
{
    const json_t *v = json_object_get(object, key);
    return json_is_string(v) ? json_string_value(v) : fallback;
}

int64_t json_int(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *v = json_object_get(object, key);
    return json_is_integer(v) ? json_integer_value(v) : fallback;
}

double json_num(const json_t *object, const char *key, double fallback)
{
    const json_t *v = json_object_get(object, key);
    return json_is_number(v) ? json_number_value(v) : fallback;
}

bool json_flag(const json_t *object, const char *key, bool fallback)
{
    const json_t *v = json_object_get(object, key);
    return json_is_boolean(v) ? json_is_true(v) : fallback;
}

int32_t *json_ids(const json_t *object, const char *key, size_t *n)
{
    const json_t *v = json_object_get(object, key);
    if (!json_is_array(v))
        return NULL;
    *n = json_array_size(v);
    int32_t *ids = cv_calloc(*n + 1, sizeof(*ids));
    for (size_t i = 0; ids != NULL && i < *n; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(v, i));
    return ids;
}

char *json_base64(const char *text, size_t *n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const size_t len = strlen(text);
    char *out = cv_alloc(len / 4 * 3 + 4);
    uint32_t bits = 0;
    unsigned n_bits = 0;
    *n = 0;
    for (size_t i = 0; out != NULL && i < len && text[i] != '='; i++) {
        const char *at = strchr(digits, text[i]);
        if (at == NULL) {
            cv_free(out);
            return NULL;
        }
        bits = bits << 6 | (uint32_t)(at - digits);
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            out[(*n)++] = (char)(bits >> n_bits & 0xffu);
        }
    }
    if (out != NULL)
        out[*n] = '\0';
    return out;
}

double runner_nmse(const float *a, const float *b, size_t n)
{
    double error = 0.0, power = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)a[i] - (double)b[i];
        error += d * d;
        power += (double)b[i] * (double)b[i];
    }
    return power > 0.0 ? error / power : error;
}
