/* layers_test.c - a model's bytes from its file over HTTP into a worker's cache: exact, counted, checked, kept. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gguf/model.h"
#include "net/http_client.h"
#include "registry-mirror/blob_server.h"
#include "registry-mirror/digest.h"
#include "registry-mirror/layer_cache.h"
#include "tests/check/check.h"

enum { N_TENSORS = 24 };

/* A model file of small tensors and one that is larger than a chunk. */
static char dir[4096], path[4200], cache[4200], url[400], second_url[400];
static struct cv_model *model;
static struct cv_model_digest *digest;
static struct cv_blob_server *blobs;
static struct cv_http_server *server, *second;
static struct cv_layer_tensor tensor[N_TENSORS];
static unsigned n_served;
static bool lie; /* the second server gives other bytes */

static void write_model(void)
{
    struct cv_gguf_writer *w = cv_gguf_writer_new(0);
    struct cv_buf b;
    struct cv_error err;
    char name[32];
    cv_buf_init(&b, 64 << 20);
    CHECK(w != NULL && cv_gguf_put_str(w, "general.architecture", "llama", 5, &err));
    for (unsigned i = 0; i < N_TENSORS; i++) {
        size_t dim[1] = {i == 7 ? (10u << 20) / 4 + 3 : 1000 + i * 37};
        snprintf(name, sizeof(name), "blk.%u.weight", i);
        CHECK_OK(cv_gguf_put_tensor(w, name, CV_DTYPE_F32, dim, 1, &err), err);
    }
    CHECK_OK(cv_gguf_writer_finish(w, &b, &err), err);
    cv_gguf_writer_free(w);
    for (unsigned i = 0; i < N_TENSORS; i++) {
        size_t n = 4 * (i == 7 ? (10u << 20) / 4 + 3 : 1000 + i * 37);
        CHECK(cv_buf_reserve(&b, n + 32));
        for (size_t k = 0; k < n; k += 4) {
            uint32_t v = (uint32_t)check_rand() & 0x7f7fffff;
            memcpy(b.data + b.len + k, &v, 4);
        }
        b.len += n;
        while (b.len % 32 != 0)
            b.data[b.len++] = '\0';
    }
    FILE *f = fopen(path, "wb");
    CHECK(f != NULL && fwrite(b.data, 1, b.len, f) == b.len);
    CHECK_EQ(fclose(f), 0);
    cv_buf_fini(&b);
}

static void handle(void *ctx, struct cv_http_request *r)
{
    (void)ctx;
    n_served++;
    if (!cv_blob_server_handle(blobs, r))
        cv_http_reply(r, 404, "text/plain", "", 0);
}

static void handle_and_lie(void *ctx, struct cv_http_request *r)
{
    (void)ctx;
    if (!lie) {
        handle(NULL, r);
        return;
    }
    int fd = open("/dev/zero", O_RDONLY);
    char zero[4200];
    snprintf(zero, sizeof(zero), "%s/zeros", dir);
    close(fd);
    fd = open(zero, O_RDWR | O_CREAT, 0600);
    if (ftruncate(fd, (off_t)model->part[0].len) == 0)
        cv_http_reply_file(r, fd, model->part[0].len, "application/octet-stream", NULL);
    close(fd);
}

static void serve(struct cv_http_server **s, void (*fn)(void *, struct cv_http_request *), char *out)
{
    struct cv_error err;
    struct cv_http_server_options o = {.address = "127.0.0.1:0", .handler = fn};
    CHECK_OK(cv_http_server_open(s, &o, &err), err);
    snprintf(out, 400, "http://%s", cv_http_server_address(*s));
}

static void up(void)
{
    struct cv_error err;
    snprintf(dir, sizeof(dir), "%s", check_tmpdir());
    snprintf(path, sizeof(path), "%s/m.gguf", dir);
    snprintf(cache, sizeof(cache), "%s/cache", dir);
    write_model();
    CHECK_OK(cv_model_open(&model, path, CV_MODEL_HEADER, &err), err);
    CHECK_OK(cv_model_digest_get(&digest, model, cache, NULL, NULL, &err), err);
    CHECK_OK(cv_blob_server_new(&blobs, model, digest, &err), err);
    serve(&server, handle, url);
    serve(&second, handle_and_lie, second_url);
    n_served = 0;
    for (unsigned i = 0; i < N_TENSORS; i++) {
        const struct cv_gguf_tensor *t = &model->gguf->tensor[i];
        tensor[i] = (struct cv_layer_tensor){.name = t->name,
                                             .part = t->part,
                                             .offset = model->part[0].data_offset + t->offset,
                                             .size_bytes = t->size_bytes};
        memcpy(tensor[i].sha256, digest->tensor[i], CV_SHA256_BYTES);
    }
}

static void down(void)
{
    cv_http_server_close(server, 1000);
    cv_http_server_close(second, 1000);
    cv_blob_server_free(blobs);
    cv_model_digest_free(digest);
    cv_model_close(model);
}

static uint64_t bytes_of(size_t first, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = first; i < first + n; i++)
        sum += tensor[i].size_bytes;
    return sum;
}

static struct cv_layer_cache *opened(void)
{
    struct cv_layer_cache *c;
    struct cv_error err;
    CHECK_OK(cv_layer_cache_open(&c, cache, digest->id, &err), err);
    return c;
}

static uint64_t ensured(struct cv_layer_cache *c, size_t first, size_t n, const char *source)
{
    struct cv_error err;
    uint64_t fetched = 0;
    struct cv_layer_ensure what = {
        .tensor = tensor + first, .n_tensor = n, .source = &source, .n_source = source != NULL};
    CHECK_OK(cv_layer_cache_ensure(c, &what, &fetched, &err), err);
    return fetched;
}

static void is_right(struct cv_layer_cache *c, size_t first, size_t n)
{
    int fd = open(path, O_RDONLY);
    for (size_t i = first; i < first + n; i++) {
        const struct cv_layer_tensor *t = &tensor[i];
        const unsigned char *data = cv_layer_cache_data(c, t);
        unsigned char *want = cv_alloc(t->size_bytes);
        CHECK(data != NULL);
        CHECK_EQ(pread(fd, want, t->size_bytes, (off_t)t->offset), t->size_bytes);
        CHECK(memcmp(data, want, t->size_bytes) == 0);
        cv_free(want);
        cv_layer_cache_drop_pages(c, t);
    }
    close(fd);
}

/* ---- digests ---- */

static bool stop_soon(void *ctx, uint64_t done, uint64_t all)
{
    (void)ctx;
    return done < all / 2;
}

static void test_digests_are_made_once(void)
{
    up();
    struct cv_model_digest *again;
    struct cv_error err;
    unsigned char *all = cv_alloc(model->part[0].len), sum[CV_SHA256_BYTES];
    int fd = open(path, O_RDONLY);
    CHECK_EQ(read(fd, all, model->part[0].len), model->part[0].len);
    close(fd);
    CHECK(!digest->from_cache);
    for (unsigned i = 0; i < N_TENSORS; i++) {
        CHECK(cv_sha256_once(all + tensor[i].offset, tensor[i].size_bytes, sum));
        CHECK(memcmp(sum, digest->tensor[i], sizeof(sum)) == 0);
    }
    cv_free(all);
    CHECK_OK(cv_model_digest_get(&again, model, cache, NULL, NULL, &err), err);
    CHECK(again->from_cache && memcmp(again->id, digest->id, sizeof(sum)) == 0);
    CHECK(memcmp(again->tensor, digest->tensor, N_TENSORS * sizeof(*again->tensor)) == 0);
    CHECK_STR(again->id_hex, digest->id_hex);
    cv_model_digest_free(again);
    CHECK(!cv_model_digest_get(&again, model, NULL, stop_soon, NULL, &err));
    CHECK_EQ(err.code, CV_ERR_CANCEL);
    fd = open(path, O_RDWR); /* another file at the same place */
    CHECK_EQ(pwrite(fd, "x", 1, (off_t)tensor[3].offset), 1);
    close(fd);
    CHECK_OK(cv_model_digest_get(&again, model, cache, NULL, NULL, &err), err);
    CHECK(!again->from_cache && memcmp(again->id, digest->id, sizeof(sum)) != 0);
    CHECK(memcmp(again->tensor[3], digest->tensor[3], sizeof(sum)) != 0);
    CHECK(memcmp(again->tensor[4], digest->tensor[4], sizeof(sum)) == 0);
    cv_model_digest_free(again);
    CHECK_EQ(truncate(path, (off_t)tensor[20].offset), 0);
    CHECK(!cv_model_digest_get(&again, model, NULL, NULL, NULL, &err));
    CHECK_EQ(err.code, CV_ERR_FORMAT);
    CHECK_CONTAINS(err.msg, "tensor 'blk.20.weight'");
    down();
}

/* ---- the server of blobs ---- */

static void status_of(const char *tail, const char *method, int status)
{
    char at[800];
    struct cv_http_answer a;
    struct cv_error err;
    snprintf(at, sizeof(at), "%s%s", url, tail);
    struct cv_http_ask ask = {.url = at, .method = method};
    CHECK_OK(cv_http_do(&ask, &a, &err), err);
    CHECK_EQ(a.status, status);
    cv_http_answer_fini(&a);
}

static void test_blobs_are_found_by_digest_only(void)
{
    up();
    char tail[300];
    snprintf(tail, sizeof(tail), "/blobs/sha256-%s/part/0", digest->id_hex);
    status_of(tail, "GET", 200);
    status_of(tail, "HEAD", 200);
    status_of(tail, "POST", 405);
    tail[14] ^= 1;
    status_of(tail, "GET", 404);
    snprintf(tail, sizeof(tail), "/blobs/sha256-%s/part/1", digest->id_hex);
    status_of(tail, "GET", 404);
    snprintf(tail, sizeof(tail), "/blobs/sha256-%s/part/", digest->id_hex);
    status_of(tail, "GET", 404);
    snprintf(tail, sizeof(tail), "/blobs/sha256-%s/part/0/../../../etc/passwd", digest->id_hex);
    status_of(tail, "GET", 404);
    status_of("/blobs/", "GET", 404);
    down();
}

/* ---- the cache of layers ---- */

static void test_only_what_is_needed_is_fetched_and_only_once(void)
{
    up();
    struct cv_layer_cache *c = opened();
    uint64_t fetched = ensured(c, 5, 6, url), need = bytes_of(5, 6);
    printf("  %llu bytes of tensors, %llu fetched (%+.4f %%), %u requests\n", (unsigned long long)need,
           (unsigned long long)fetched, 100.0 * ((double)fetched / (double)need - 1), n_served);
    CHECK(fetched >= need && fetched <= need + need / 100);
    is_right(c, 5, 6);
    CHECK(cv_layer_cache_data(c, &tensor[0]) == NULL);
    CHECK_EQ(ensured(c, 5, 6, url), 0);
    cv_layer_cache_close(c);
    n_served = 0;
    c = opened(); /* a later process */
    CHECK_EQ(ensured(c, 5, 6, NULL), 0);
    is_right(c, 5, 6);
    fetched = ensured(c, 3, 10, url); /* a plan that has moved: only the difference */
    need = bytes_of(3, 10) - bytes_of(5, 6);
    CHECK(fetched >= need && fetched <= need + need / 100 + 200);
    is_right(c, 3, 10);
    cv_layer_cache_close(c);
    down();
}

static void test_the_file_is_sparse_and_its_sum_is_told(void)
{
    up();
    struct cv_layer_cache *c = opened();
    ensured(c, 23, 1, url);
    cv_layer_cache_close(c);
    char part[4600];
    struct stat st;
    snprintf(part, sizeof(part), "%s/%s/part-0.bin", cache, digest->id_hex);
    CHECK_EQ(stat(part, &st), 0);
    CHECK(st.st_size > 10 << 20);
    CHECK((uint64_t)st.st_blocks * 512 < 100000);
    struct cv_layer_held *held;
    struct cv_error err;
    size_t n;
    CHECK_OK(cv_layer_cache_list(cache, &held, &n, &err), err);
    CHECK_EQ(n, 1);
    CHECK(memcmp(held[0].model, digest->id, CV_SHA256_BYTES) == 0);
    CHECK_EQ(held[0].bytes, tensor[23].size_bytes);
    cv_free(held);
    CHECK_OK(cv_layer_cache_list("/nowhere/at/all", &held, &n, &err), err);
    CHECK_EQ(n, 0);
    cv_free(held);
    down();
}

static bool stop_after(void *ctx, uint64_t done, uint64_t all, uint64_t fetched)
{
    (void)done;
    (void)all;
    return fetched < *(uint64_t *)ctx;
}

static void test_an_interrupted_fetch_goes_on(void)
{
    up();
    struct cv_layer_cache *c = opened();
    const char *source = url;
    struct cv_error err;
    uint64_t fetched = 0, most = 6 << 20;
    struct cv_layer_ensure what = {.tensor = tensor,
                                   .n_tensor = N_TENSORS,
                                   .source = &source,
                                   .n_source = 1,
                                   .n_connections = 1,
                                   .progress = stop_after,
                                   .ctx = &most};
    CHECK(!cv_layer_cache_ensure(c, &what, &fetched, &err));
    CHECK_EQ(err.code, CV_ERR_CANCEL);
    cv_layer_cache_close(c);
    c = opened();
    uint64_t rest = ensured(c, 0, N_TENSORS, url), all = bytes_of(0, N_TENSORS);
    CHECK(rest < all - (3 << 20)); /* the whole chunks that had come were kept */
    is_right(c, 0, N_TENSORS);
    cv_layer_cache_close(c);
    down();
}

static void test_a_lying_source_is_found_out(void)
{
    up();
    struct cv_layer_cache *c = opened();
    struct cv_error err;
    uint64_t fetched;
    const char *bad[] = {second_url}, *both[] = {second_url, url};
    lie = true;
    struct cv_layer_ensure what = {.tensor = tensor + 1, .n_tensor = 3, .source = bad, .n_source = 1};
    CHECK(!cv_layer_cache_ensure(c, &what, &fetched, &err));
    CHECK_EQ(err.code, CV_ERR_FORMAT);
    CHECK_CONTAINS(err.msg, "tensor 'blk.3.weight' from http://127.0.0.1:");
    CHECK_CONTAINS(err.msg, "wrong SHA-256");
    CHECK(cv_layer_cache_data(c, &tensor[2]) == NULL);
    what.source = both;
    what.n_source = 2;
    CHECK_OK(cv_layer_cache_ensure(c, &what, &fetched, &err), err);
    is_right(c, 1, 3);
    lie = false;
    cv_layer_cache_close(c);
    down();
}

static void test_a_source_that_is_away_is_passed_over(void)
{
    up();
    struct cv_layer_cache *c = opened();
    struct cv_error err;
    uint64_t fetched;
    const char *away[] = {"http://127.0.0.1:1"}, *both[] = {"http://127.0.0.1:1", url};
    struct cv_layer_ensure what = {.tensor = tensor, .n_tensor = 2, .source = both, .n_source = 2};
    CHECK_OK(cv_layer_cache_ensure(c, &what, &fetched, &err), err);
    is_right(c, 0, 2);
    what.tensor = tensor + 2;
    what.source = away;
    what.n_source = 1;
    CHECK(!cv_layer_cache_ensure(c, &what, &fetched, &err));
    CHECK_CONTAINS(err.msg, "http://127.0.0.1:1");
    what.n_source = 0;
    CHECK(!cv_layer_cache_ensure(c, &what, &fetched, &err));
    CHECK_EQ(err.code, CV_ERR_NOT_FOUND);
    CHECK_CONTAINS(err.msg, "tensor 'blk.2.weight' is not in the cache");
    cv_layer_cache_close(c);
    down();
}

static void test_a_damaged_map_is_an_empty_one(void)
{
    static const char *const damage[] = {"",
                                         "nonsense\n",
                                         "caravan layer map 1\nhave 0 5 3\n",
                                         "caravan layer map 1\ntensor 0 1 2 zz\n",
                                         "caravan layer map 1\nhave 0 1 99",
                                         "caravan layer map 1\nhave 5000 1 99\n"};
    up();
    struct cv_layer_cache *c = opened();
    ensured(c, 0, 2, url);
    cv_layer_cache_close(c);
    for (size_t i = 0; i < CV_COUNT(damage); i++) {
        char map[4600];
        snprintf(map, sizeof(map), "%s/%s/map", cache, digest->id_hex);
        FILE *f = fopen(map, "wb");
        CHECK(f != NULL && fputs(damage[i], f) >= 0 && fclose(f) == 0);
        c = opened();
        CHECK(cv_layer_cache_data(c, &tensor[0]) == NULL);
        CHECK(ensured(c, 0, 2, url) >= bytes_of(0, 2));
        is_right(c, 0, 2);
        cv_layer_cache_close(c);
    }
    down();
}

static void test_two_processes_share_a_folder(void)
{
    up();
    struct cv_layer_cache *a = opened(), *b = opened();
    ensured(a, 0, 5, url);
    ensured(b, 10, 5, url);
    CHECK_EQ(ensured(a, 10, 5, NULL), 0); /* what the other has fetched */
    is_right(a, 10, 5);
    cv_layer_cache_close(a);
    cv_layer_cache_close(b);
    a = opened();
    CHECK_EQ(ensured(a, 0, 5, NULL), 0);
    CHECK_EQ(ensured(a, 10, 5, NULL), 0);
    cv_layer_cache_close(a);
    down();
}

static void test_the_cache_folder_follows_the_environment(void)
{
    char out[100];
    CHECK(setenv("CARAVAN_CACHE", "/a/b", 1) == 0 && cv_cache_dir(out, sizeof(out)));
    CHECK_STR(out, "/a/b");
    CHECK(unsetenv("CARAVAN_CACHE") == 0 && setenv("XDG_CACHE_HOME", "/x", 1) == 0 && cv_cache_dir(out, sizeof(out)));
    CHECK_STR(out, "/x/caravan");
    CHECK(unsetenv("XDG_CACHE_HOME") == 0 && setenv("HOME", "/h", 1) == 0 && cv_cache_dir(out, sizeof(out)));
    CHECK_STR(out, "/h/.cache/caravan");
    CHECK(!cv_cache_dir(out, 5));
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(test_digests_are_made_once),
        CASE(test_blobs_are_found_by_digest_only),
        CASE(test_only_what_is_needed_is_fetched_and_only_once),
        CASE(test_the_file_is_sparse_and_its_sum_is_told),
        CASE(test_an_interrupted_fetch_goes_on),
        CASE(test_a_lying_source_is_found_out),
        CASE(test_a_source_that_is_away_is_passed_over),
        CASE(test_a_damaged_map_is_an_empty_one),
        CASE(test_two_processes_share_a_folder),
        CASE(test_the_cache_folder_follows_the_environment),
    };
    struct cv_error err;
    if (!cv_http_client_init(&err))
        return 1;
    return check_main(argc, argv, cases, CV_COUNT(cases));
}
