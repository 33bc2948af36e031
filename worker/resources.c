#include "worker/resources.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/cpu/matrix.h"

/* The number behind "key" in a file of "key: number kB" or "key number" lines. */
static bool file_number(const char *path, const char *key, uint64_t *out)
{
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return false;
    char line[256];
    bool found = false;
    const size_t n = strlen(key);
    while (!found && fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, key, n) != 0)
            continue;
        found = sscanf(line + n, "%*[: ]%" SCNu64, out) == 1 || sscanf(line + n, "%" SCNu64, out) == 1;
        if (found && strstr(line, " kB") != NULL)
            *out *= 1024;
    }
    fclose(f);
    return found;
}

/* This process's folder in the cgroup tree: "0::/path" (version 2) or the line of the memory controller (version 1). */
static bool cgroup_folder(char *out, size_t n, bool *v2)
{
    FILE *f = fopen("/proc/self/cgroup", "r");
    if (f == NULL)
        return false;
    char line[512];
    bool found = false;
    while (!found && fgets(line, sizeof(line), f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
        if (path == NULL)
            continue;
        *path++ = '\0';
        *v2 = controllers[1] == '\0';
        if (!*v2 && strcmp(controllers + 1, "memory") != 0)
            continue;
        snprintf(out, n, "/sys/fs/cgroup%s%s", *v2 ? "" : "/memory", strcmp(path, "/") == 0 ? "" : path);
        found = true;
    }
    fclose(f);
    return found;
}

/* What the cgroup chain still allows: the tightest of this folder and those above it. File pages it holds can go. */
static void apply_cgroup(struct cv_resources *r)
{
    char folder[400], path[480];
    bool v2;
    if (!cgroup_folder(folder, sizeof(folder), &v2))
        return;
    for (;;) {
        uint64_t limit, used, file = 0;
        snprintf(path, sizeof(path), "%s/%s", folder, v2 ? "memory.max" : "memory.limit_in_bytes");
        bool have = file_number(path, "", &limit);
        snprintf(path, sizeof(path), "%s/%s", folder, v2 ? "memory.current" : "memory.usage_in_bytes");
        have = have && file_number(path, "", &used);
        snprintf(path, sizeof(path), "%s/memory.stat", folder);
        (void)file_number(path, v2 ? "inactive_file" : "total_inactive_file", &file);
        if (have && limit < r->memory_total) {
            used = used > file ? used - file : 0;
            r->memory_total = limit;
            uint64_t left = limit > used ? limit - used : 0;
            r->memory_free = left < r->memory_free ? left : r->memory_free;
        }
        char *slash = strrchr(folder, '/');
        if (slash == NULL || strcmp(folder, "/sys/fs/cgroup") == 0 || strcmp(folder, "/sys/fs/cgroup/memory") == 0)
            return;
        *slash = '\0';
    }
}

bool cv_resources_memory(struct cv_resources *out, struct cv_error *err)
{
    if (!file_number("/proc/meminfo", "MemTotal", &out->memory_total) ||
        !file_number("/proc/meminfo", "MemAvailable", &out->memory_free))
        return cv_fail(err, CV_ERR_IO, "/proc/meminfo: no MemTotal or MemAvailable");
    apply_cgroup(out);
    return true;
}

uint64_t cv_resident_bytes(void)
{
    uint64_t n = 0;
    return file_number("/proc/self/status", "VmRSS", &n) ? n : 0;
}

/* The best of several runs: a disturbance makes a run slower, never faster. */
static bool time_product(enum cv_dtype dtype, size_t n_out, size_t k, size_t n_row, struct cv_pool *pool,
                         double *seconds, size_t *weight_bytes, struct cv_error *err)
{
    struct cv_matrix m = {.dtype = dtype, .n_out = n_out, .k = k};
    if (!cv_matrix_bytes(dtype, n_out, k, &m.size_bytes, err))
        return false;
    const size_t acts_bytes = cv_acts_bytes(dtype, n_row, k);
    m.data = cv_alloc_aligned(m.size_bytes);
    void *acts_mem = cv_alloc_aligned(acts_bytes + 64);
    float *x = cv_alloc_aligned(n_row * k * sizeof(*x)), *y = cv_alloc_aligned(n_row * n_out * sizeof(*y));
    bool ok = m.data != NULL && acts_mem != NULL && x != NULL && y != NULL;
    if (ok) {
        memset(m.data, 0x11, m.size_bytes);
        for (size_t i = 0; i < n_row * k; i++)
            x[i] = (float)(i % 17) - 8.0f;
        struct cv_acts acts;
        cv_acts_prepare(&acts, dtype, x, k, n_row, k, acts_mem, pool);
        *seconds = 1e9;
        const uint64_t until = cv_now_ns() + 100000000u;
        for (int run = 0; run < 3 || cv_now_ns() < until; run++) {
            const uint64_t start = cv_now_ns();
            cv_matmul(y, n_out, &m, &acts, pool);
            const double t = (double)(cv_now_ns() - start) * 1e-9;
            *seconds = t < *seconds ? t : *seconds;
        }
        *weight_bytes = m.size_bytes;
    } else {
        cv_fail(err, CV_ERR_NOMEM, "measuring this machine: out of memory");
    }
    cv_free(y);
    cv_free(x);
    cv_free(acts_mem);
    cv_free(m.data);
    return ok;
}

bool cv_resources_measure(struct cv_resources *out, struct cv_pool *pool, struct cv_error *err)
{
    double t = 1;
    size_t bytes = 0;
    /* 75 MiB of Q8_0: larger than most caches, small enough for a Raspberry Pi */
    if (!time_product(CV_DTYPE_Q8_0, 36864, 2048, 1, pool, &t, &bytes, err))
        return false;
    out->bandwidth_bytes_per_s = (double)bytes / t;
    if (!time_product(CV_DTYPE_Q4_K, 2048, 2048, 64, pool, &t, &bytes, err))
        return false;
    out->flops_per_s = 2.0 * 2048 * 2048 * 64 / t;
    return true;
}
