#include "gguf/model.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "gguf/internal.h"

/* Headers of real models have 1 to 20 MB; the rest is room for vocabularies to come. */
#define FIRST_READ ((size_t)1 << 20)
#define MAX_HEADER ((size_t)1 << 30)
#define MAX_ARENA  ((size_t)4 << 30)

/* The parts' names end in "-00001-of-00003.gguf": 20 characters. */
enum { TAIL = 20 };

/* While opening: what is only needed until the parts are put together. */
struct opened {
    struct cv_gguf *gguf;
    void *header; /* CV_MODEL_HEADER */
};

static bool read_at(int fd, unsigned char *dst, size_t n, size_t offset, struct cv_error *err)
{
    while (n > 0) {
        const ssize_t got = pread(fd, dst, n, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return cv_fail_errno(err, errno, "cannot read at byte %zu", offset);
        if (got == 0)
            return cv_fail(err, CV_ERR_IO, "the file got shorter while it was read: it ends at byte %zu", offset);
        dst += got;
        offset += (size_t)got;
        n -= (size_t)got;
    }
    return true;
}

/* Reads ever more of the beginning until the header is whole. */
static bool read_header(int fd, size_t file_len, struct cv_arena *arena, struct opened *o, struct cv_error *err)
{
    size_t len = 0, want = FIRST_READ;
    for (;;) {
        const size_t bound = file_len < MAX_HEADER ? file_len : MAX_HEADER;
        if (want > bound)
            want = bound;
        void *p = cv_realloc(o->header, want, 1);
        if (p == NULL)
            return cv_fail(err, CV_ERR_NOMEM, "no memory for a header of more than %zu bytes", len);
        o->header = p;
        if (!read_at(fd, (unsigned char *)p + len, want - len, len, err))
            return false;
        len = want;
        bool truncated;
        /* A try that fails leaves memory in the arena, at most as much again as the one that succeeds. */
        if (cv_gguf_parse_prefix(&o->gguf, p, len, file_len, arena, &truncated, err)) {
            const size_t keep = o->gguf->data_offset < len ? o->gguf->data_offset : len;
            void *less = cv_realloc(p, keep, 1);
            if (less == NULL || less == p) /* no less memory to be had, or the same place: gguf still points right */
                return true;
            o->header = less;
            return cv_gguf_parse(&o->gguf, less, keep, file_len, arena, err);
        }
        if (!truncated || len == bound)
            return false;
        want = len * 4;
    }
}

static bool open_header(const char *path, struct cv_model_part *part, struct cv_arena *arena, struct opened *o,
                        struct cv_error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cv_fail_errno(err, errno, "%s", path);
    struct stat st;
    bool ok = fstat(fd, &st) == 0 || cv_fail_errno(err, errno, "cannot look at the file");
    ok = ok && ((S_ISREG(st.st_mode) && st.st_size > 0 && (uintmax_t)st.st_size <= SIZE_MAX) ||
                cv_fail(err, CV_ERR_FORMAT, S_ISREG(st.st_mode) ? "the file is empty" : "not a regular file"));
    if (ok) {
        part->len = (size_t)st.st_size;
        ok = read_header(fd, part->len, arena, o, err);
    }
    close(fd);
    return ok || cv_wrap(err, "%s", path);
}

static bool open_part(struct cv_model *m, size_t i, enum cv_model_mode mode, struct opened *o, struct cv_error *err)
{
    struct cv_model_part *part = &m->part[i];
    if (mode == CV_MODEL_HEADER) {
        if (!open_header(part->path, part, &m->arena, o, err))
            return false;
    } else {
        if (!cv_map_open(&part->map, part->path, err))
            return false;
        part->len = part->map.len;
        if (!cv_gguf_parse(&o->gguf, part->map.data, part->len, part->len, &m->arena, err))
            return cv_wrap(err, "%s", part->path);
    }
    part->data_offset = o->gguf->data_offset;
    for (size_t k = 0; k < o->gguf->n_tensor; k++)
        o->gguf->tensor[k].part = (uint32_t)i;
    return true;
}

/* "-00002-of-00003.gguf" -> 2 and 3 */
static bool parse_tail(const char *tail, uint32_t *no, uint32_t *count)
{
    static const char shape[] = "-ddddd-of-ddddd.gguf";
    uint32_t number[2] = {0, 0};
    for (int i = 0; i < TAIL; i++) {
        const bool digit = tail[i] >= '0' && tail[i] <= '9';
        if (shape[i] == 'd' ? !digit : tail[i] != shape[i])
            return false;
        if (digit)
            number[i >= 10] = number[i >= 10] * 10 + (uint32_t)(tail[i] - '0');
    }
    *no = number[0];
    *count = number[1];
    return true;
}

/* The list of files: path alone, or all parts that its name tells of. */
static bool list_parts(struct cv_model *m, const char *path, struct cv_error *err)
{
    const size_t len = strlen(path);
    uint32_t no = 0, count = 1;
    bool split = len > TAIL && parse_tail(path + len - TAIL, &no, &count);
    if (split && (count < 1 || count > CV_MAX_GGUF_PARTS || no < 1 || no > count))
        return cv_fail(err, CV_ERR_LIMIT, "%s: part %" PRIu32 " of %" PRIu32 ", expected 1 to %u", path, no, count,
                       CV_MAX_GGUF_PARTS);
    m->part = cv_arena_calloc(&m->arena, count, sizeof(*m->part));
    if (m->part == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "%s: out of memory", path);
    m->n_part = count;
    for (uint32_t i = 0; i < count; i++) {
        char *copy = cv_arena_strndup(&m->arena, path, len);
        if (copy == NULL)
            return cv_fail(err, CV_ERR_NOMEM, "%s: out of memory", path);
        if (split) {
            char digits[16];
            snprintf(digits, sizeof(digits), "-%05" PRIu32, i + 1);
            memcpy(copy + len - TAIL, digits, 6);
        }
        m->part[i].path = copy;
    }
    return true;
}

/* What a part says of itself agrees with its name. */
static bool check_part(const struct cv_model *m, size_t i, const struct cv_gguf *g, struct cv_error *err)
{
    uint32_t no = 0, count = 1;
    struct cv_error why = {0};
    const bool has_no = cv_gguf_u32(g, "split.no", &no, &why), has_count = cv_gguf_u32(g, "split.count", &count, &why);
    if (!has_count && m->n_part == 1)
        return true;
    if (!has_count || !has_no)
        return m->n_part == 1 ||
               cv_fail(err, CV_ERR_FORMAT, "%s: named part %zu of %zu, but has no split.no and split.count",
                       m->part[i].path, i + 1, m->n_part);
    if (count == m->n_part && no == i)
        return true;
    if (m->n_part == 1 && count > 1)
        return cv_fail(err, CV_ERR_FORMAT,
                       "%s: says it is part %" PRIu64 " of %" PRIu32 "; parts must be named NAME-00001-of-%05" PRIu32
                       ".gguf",
                       m->part[i].path, (uint64_t)no + 1, count, count);
    return cv_fail(err, CV_ERR_FORMAT, "%s: named part %zu of %zu, but says it is part %" PRIu64 " of %" PRIu32,
                   m->part[i].path, i + 1, m->n_part, (uint64_t)no + 1, count);
}

/* One directory out of all; the metadata is the first part's. */
static bool put_together(struct cv_model *m, struct opened *o, struct cv_error *err)
{
    struct cv_gguf *g = o[0].gguf;
    size_t n = 0, dup_kv, dup_tensor, at = 0;
    uint64_t said;
    for (size_t i = 0; i < m->n_part; i++)
        n += o[i].gguf->n_tensor;
    if (n > CV_MAX_GGUF_TENSORS)
        return cv_fail(err, CV_ERR_LIMIT, "%zu tensors in all parts, at most %u are allowed", n, CV_MAX_GGUF_TENSORS);
    struct cv_gguf_tensor *all = cv_arena_calloc(&m->arena, n + 1, sizeof(*all));
    if (all == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < m->n_part; i++) {
        memcpy(all + at, o[i].gguf->tensor, o[i].gguf->n_tensor * sizeof(*all));
        at += o[i].gguf->n_tensor;
    }
    g->tensor = all;
    g->n_tensor = n;
    if (!cv_gguf_build_index(g, &m->arena, &dup_kv, &dup_tensor))
        return cv_fail(err, CV_ERR_NOMEM, "out of memory");
    if (dup_tensor < n)
        return cv_fail(err, CV_ERR_FORMAT, "%s: tensor '%.72s' is in another part as well",
                       m->part[all[dup_tensor].part].path, all[dup_tensor].name);
    if (cv_gguf_u64(g, "split.tensors.count", &said, NULL) && said != n)
        return cv_fail(err, CV_ERR_FORMAT, "the parts hold %zu tensors, split.tensors.count says %" PRIu64, n, said);
    return true;
}

static bool open_all(struct cv_model *m, const char *path, enum cv_model_mode mode, struct cv_error *err)
{
    if (!list_parts(m, path, err))
        return false;
    struct opened *o = cv_calloc(m->n_part, sizeof(*o));
    if (o == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "%s: out of memory", path);
    bool ok = true;
    for (size_t i = 0; ok && i < m->n_part; i++)
        ok = open_part(m, i, mode, &o[i], err) && check_part(m, i, o[i].gguf, err);
    if (ok && m->n_part > 1)
        ok = put_together(m, o, err) || cv_wrap(err, "%s", path);
    m->gguf = o[0].gguf;
    m->header = o[0].header;
    for (size_t i = 1; i < m->n_part; i++)
        cv_free(o[i].header); /* names live in the arena; the other parts' metadata is not looked at again */
    cv_free(o);
    return ok;
}

bool cv_model_open(struct cv_model **out, const char *path, enum cv_model_mode mode, struct cv_error *err)
{
    struct cv_model *m = cv_zalloc(sizeof(*m));
    if (m == NULL)
        return cv_fail(err, CV_ERR_NOMEM, "%s: out of memory", path);
    m->arena.max_bytes = MAX_ARENA;
    if (!open_all(m, path, mode, err)) {
        cv_model_close(m);
        return false;
    }
    for (size_t i = 0; i < m->gguf->n_tensor; i++) {
        const struct cv_gguf_tensor *t = &m->gguf->tensor[i];
        m->n_params += (uint64_t)t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3];
        m->n_bytes += t->size_bytes;
    }
    *out = m;
    return true;
}

void cv_model_close(struct cv_model *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->n_part; i++)
        cv_map_close(&m->part[i].map);
    cv_free(m->header);
    cv_arena_fini(&m->arena);
    cv_free(m);
}

const void *cv_model_tensor_data(const struct cv_model *m, const struct cv_gguf_tensor *t)
{
    const struct cv_model_part *part = &m->part[t->part];
    return part->map.data == NULL ? NULL : part->map.data + part->data_offset + t->offset;
}
