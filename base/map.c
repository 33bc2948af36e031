#include "base/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

bool cv_map_open(struct cv_map *m, const char *path, struct cv_error *err)
{
    *m = (struct cv_map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cv_fail_errno(err, errno, "%s", path);
    struct stat st;
    if (fstat(fd, &st) != 0) {
        int e = errno;
        close(fd);
        return cv_fail_errno(err, e, "%s", path);
    }
    if (!S_ISREG(st.st_mode) || st.st_size <= 0 || (uintmax_t)st.st_size > SIZE_MAX) {
        close(fd);
        return cv_fail(err, CV_ERR_FORMAT, "%s: %s", path, S_ISREG(st.st_mode) ? "the file is empty" : "not a regular file");
    }
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    int e = errno;
    close(fd);
    if (p == MAP_FAILED)
        return cv_fail_errno(err, e, "%s: cannot map %jd bytes", path, (intmax_t)st.st_size);
    m->data = p;
    m->len = (size_t)st.st_size;
    return true;
}

void cv_map_close(struct cv_map *m)
{
    if (m->data != NULL)
        munmap((void *)(uintptr_t)m->data, m->len);
    *m = (struct cv_map){0};
}

static void advise(const struct cv_map *m, size_t offset, size_t n, int advice, int inward)
{
    if (m->data == NULL || offset >= m->len || n == 0)
        return;
    if (n > m->len - offset)
        n = m->len - offset;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t first = offset, last = offset + n;
    if (inward) { /* a page that is shared with a neighbour stays */
        first = (first + page - 1) / page * page;
        last = last == m->len ? last : last / page * page;
    } else {
        first = first / page * page;
    }
    if (first < last)
        (void)madvise((void *)(uintptr_t)(m->data + first), last - first, advice);
}

void cv_map_drop(const struct cv_map *m, size_t offset, size_t n)
{
    advise(m, offset, n, MADV_DONTNEED, 1);
}

void cv_map_will_need(const struct cv_map *m, size_t offset, size_t n)
{
    advise(m, offset, n, MADV_WILLNEED, 0);
}
