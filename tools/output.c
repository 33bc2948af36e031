#include "tools/output.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

static bool put(struct cv_output *o, const void *data, size_t n, struct cv_error *err)
{
    if (fwrite(data, 1, n, o->f) != n)
        return cv_fail_errno(err, errno, "%s: cannot write", o->part_path);
    o->written += n;
    return true;
}

bool cv_output_open(struct cv_output *o, const char *path, struct cv_gguf_writer *w, struct cv_error *err)
{
    struct cv_buf header, name;
    *o = (struct cv_output){.writer = w, .path = cv_strdup(path)};
    cv_buf_init(&header, (size_t)1 << 30);
    cv_buf_init(&name, 1 << 16);
    bool ok =
        (o->path != NULL && cv_buf_printf(&name, "%s.part", path) && (o->part_path = cv_buf_take(&name)) != NULL) ||
        cv_fail(err, CV_ERR_NOMEM, "out of memory");
    ok = ok && cv_gguf_writer_finish(w, &header, err);
    ok = ok && ((o->f = fopen(o->part_path, "wb")) != NULL || cv_fail_errno(err, errno, "%s", o->part_path));
    ok = ok && put(o, header.data, header.len, err);
    cv_buf_fini(&header);
    cv_buf_fini(&name);
    if (!ok)
        cv_output_close(o);
    return ok;
}

bool cv_output_tensor(struct cv_output *o, const void *data, size_t n, struct cv_error *err)
{
    static const char zeros[256];
    if (!put(o, data, n, err))
        return false;
    for (size_t pad = cv_gguf_write_pad(o->writer, n); pad > 0;) {
        const size_t some = pad < sizeof(zeros) ? pad : sizeof(zeros);
        if (!put(o, zeros, some, err))
            return false;
        pad -= some;
    }
    return true;
}

bool cv_output_finish(struct cv_output *o, struct cv_error *err)
{
    const bool closed = fclose(o->f) == 0;
    o->f = NULL;
    if (!closed)
        return cv_fail_errno(err, errno, "%s: cannot write", o->part_path);
    if (rename(o->part_path, o->path) != 0)
        return cv_fail_errno(err, errno, "%s: cannot be renamed to %s", o->part_path, o->path);
    cv_free(o->part_path);
    o->part_path = NULL;
    return true;
}

void cv_output_close(struct cv_output *o)
{
    if (o->f != NULL)
        (void)fclose(o->f);
    if (o->part_path != NULL)
        (void)unlink(o->part_path);
    cv_free(o->part_path);
    cv_free(o->path);
    *o = (struct cv_output){0};
}
