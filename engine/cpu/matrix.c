/*
 * matrix.c - sizes, the table of kernels, and how a product is cut into chunks for the pool.
 *
 * A chunk is a range of 16-row groups of one matrix for a block of activation rows. With few rows the weights are what
 * costs, so chunks are cut by bytes of weights; with many rows the activations of a block stay in a core's second-level
 * cache while the weights pass by.
 */
#include <assert.h>

#include "base/mem.h"
#include "engine/cpu/internal.h"

enum {
    CHUNK_WEIGHT_BYTES = 32 * 1024, /* of one chunk, at least: below it the start of a stream costs too much */
    CHUNKS_PER_THREAD = 12,         /* so that a thread that was held up doesn't hold up the rest */
    BLOCK_ACT_BYTES = 768 * 1024,   /* of the activations of one block of rows */
    BLOCK_GROUPS = 4                /* of a chunk with many rows; kernels take two or four at a time */
};

static struct cv_kernels kernels;

void cv_matrix_init(unsigned isa)
{
    cv_kernels_init_ref(&kernels);
#if defined(CV_HAVE_X86_KERNELS)
    if ((isa & CV_ISA_AVX2) != 0)
        cv_kernels_init_avx2(&kernels);
    if ((isa & CV_ISA_AVX_VNNI) != 0)
        cv_kernels_init_avxvnni(&kernels);
    if ((isa & CV_ISA_AVX512) != 0)
        cv_kernels_init_float_avx512(&kernels);
    if ((isa & CV_ISA_AVX512) != 0 && (isa & CV_ISA_AVX512_VNNI) != 0)
        cv_kernels_init_avx512(&kernels);
#else
    (void)isa;
#endif
}

const struct cv_kernels *cv_kernels_now(void)
{
    if (kernels.quantize == NULL)
        cv_kernels_init_ref(&kernels);
    return &kernels;
}

bool cv_matrix_supported(enum cv_dtype dtype)
{
    return cv_mm_type_of(dtype) != CV_MM_N;
}

bool cv_matrix_bytes(enum cv_dtype dtype, size_t n_out, size_t k, size_t *bytes, struct cv_error *err)
{
    const struct cv_dtype_info *info = cv_dtype_get((uint32_t)dtype);
    const char *name = info != NULL ? info->name : "unknown type";
    enum cv_mm_type type = cv_mm_type_of(dtype);
    if (type == CV_MM_N)
        return cv_fail(err, CV_ERR_UNSUPPORTED, "no matrix product for weights of type %s", name);
    if (n_out == 0 || k == 0 || k % cv_packing[type].block_len != 0)
        return cv_fail(err, CV_ERR_FORMAT,
                       "%s matrix of %zu x %zu: rows must be a multiple of %u values, and not empty", name, n_out, k,
                       (unsigned)cv_packing[type].block_len);
    size_t rows, size;
    /* The largest group is 64 bytes per value of k. */
    if (!cv_add_size(n_out, CV_MATRIX_GROUP - 1, &rows) || !cv_mul_size(k, 64, &size) ||
        !cv_mul_size(cv_group_bytes(type, k), rows / CV_MATRIX_GROUP, &size))
        return cv_fail(err, CV_ERR_LIMIT, "%s matrix of %zu x %zu: size overflows", name, n_out, k);
    *bytes = size;
    return true;
}

struct part {
    const struct cv_matrix *w;
    enum cv_mm_type type;
    float *y;
    size_t ldy;
    size_t group_bytes;
    size_t n_group;
    size_t chunk_groups;
    size_t n_chunk; /* per block of rows */
};

enum { PARTS_MAX = 8 };

struct product {
    const struct cv_acts *x;
    struct part part[PARTS_MAX];
    size_t n_part;
    size_t n_chunk; /* of all parts, per block of rows */
    size_t row_block;
};

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void run_chunk(void *ctx, size_t chunk, unsigned thread)
{
    (void)thread;
    const struct product *p = ctx;
    size_t block = chunk / p->n_chunk, i = 0;
    for (chunk %= p->n_chunk; chunk >= p->part[i].n_chunk; i++)
        chunk -= p->part[i].n_chunk;
    const struct part *part = &p->part[i];
    size_t first = chunk * part->chunk_groups, row_first = block * p->row_block;
    kernels.matmul[part->type](&(struct cv_mm){
        .w = (const uint8_t *)part->w->data + first * part->group_bytes,
        .group_bytes = part->group_bytes,
        .n_group = smaller(part->chunk_groups, part->n_group - first),
        .n_out = part->w->n_out - first * CV_MATRIX_GROUP,
        .k = part->w->k,
        .x = p->x,
        .row_first = row_first,
        .row_last = smaller(row_first + p->row_block, p->x->n_row),
        .y = part->y + first * CV_MATRIX_GROUP,
        .ldy = part->ldy,
    });
}

/* Rows whose activations fit the cache; a multiple of two panels. */
static size_t row_block(size_t k, bool quantized)
{
    size_t rows = BLOCK_ACT_BYTES / (quantized ? k : 4 * k) / (2 * CV_ACT_PANEL) * (2 * CV_ACT_PANEL);
    return rows < 2 * CV_ACT_PANEL ? 2 * CV_ACT_PANEL : smaller(rows, CV_ROW_BLOCK_MAX);
}

/* Few rows: the weights of all parts are shared out by bytes. Where there is enough for every thread, in whole sets of
 * groups that a kernel reads side by side. */
static size_t groups_of_bytes(const struct part *part, size_t chunk_bytes, size_t n_thread)
{
    size_t groups = (chunk_bytes + part->group_bytes - 1) / part->group_bytes;
    size_t whole = (groups + BLOCK_GROUPS - 1) / BLOCK_GROUPS * BLOCK_GROUPS;
    return part->n_group >= 2 * n_thread * whole ? whole : groups;
}

static void set_parts(struct product *p, float *const *y, const size_t *ldy, const struct cv_matrix *const *w,
                      struct cv_pool *pool)
{
    size_t n_thread = pool != NULL ? cv_pool_threads(pool) : 1, all_bytes = 0;
    for (size_t i = 0; i < p->n_part; i++)
        all_bytes += w[i]->size_bytes;
    size_t chunk_bytes = all_bytes / (n_thread * CHUNKS_PER_THREAD);
    chunk_bytes = chunk_bytes < CHUNK_WEIGHT_BYTES ? CHUNK_WEIGHT_BYTES : chunk_bytes;
    p->n_chunk = 0;
    for (size_t i = 0; i < p->n_part; i++) {
        struct part *part = &p->part[i];
        *part = (struct part){.w = w[i], .type = cv_mm_type_of(w[i]->dtype), .y = y[i], .ldy = ldy[i]};
        assert(w[i]->k == p->x->k && cv_dtype_wants_quantized_acts(w[i]->dtype) == p->x->quantized);
        part->group_bytes = cv_group_bytes(part->type, w[i]->k);
        part->n_group = (w[i]->n_out + CV_MATRIX_GROUP - 1) / CV_MATRIX_GROUP;
        part->chunk_groups = p->x->n_row > CV_ACT_PANEL ? BLOCK_GROUPS : groups_of_bytes(part, chunk_bytes, n_thread);
        part->n_chunk = (part->n_group + part->chunk_groups - 1) / part->chunk_groups;
        p->n_chunk += part->n_chunk;
    }
}

void cv_matmul_many(float *const *y, const size_t *ldy, const struct cv_matrix *const *w, size_t n_w,
                    const struct cv_acts *x, struct cv_pool *pool)
{
    (void)cv_kernels_now();
    for (; n_w > PARTS_MAX; n_w -= PARTS_MAX, y += PARTS_MAX, ldy += PARTS_MAX, w += PARTS_MAX)
        cv_matmul_many(y, ldy, w, PARTS_MAX, x, pool);
    if (x->n_row == 0 || n_w == 0)
        return;
    struct product p = {.x = x, .n_part = n_w, .row_block = row_block(x->k, x->quantized)};
    set_parts(&p, y, ldy, w, pool);
    size_t n_chunk = p.n_chunk * ((x->n_row + p.row_block - 1) / p.row_block);
    if (pool != NULL) {
        cv_pool_run(pool, run_chunk, &p, n_chunk);
        return;
    }
    for (size_t i = 0; i < n_chunk; i++)
        run_chunk(&p, i, 0);
}

void cv_matmul(float *y, size_t ldy, const struct cv_matrix *w, const struct cv_acts *x, struct cv_pool *pool)
{
    cv_matmul_many(&y, &ldy, &w, 1, x, pool);
}
