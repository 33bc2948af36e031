/*
 * gguf.h - checked, read-only view of one GGUF file (versions 2 and 3). Input is hostile.
 *
 * Parses header, metadata and tensor directory; never touches tensor data. An error names the byte offset it was found
 * at. No count in the file makes us allocate more than the bytes that are really there can justify.
 * Invariants: every tensor's type is known, offset + size_bytes <= data_len, offset is a multiple of the alignment, no
 * two tensors overlap, names and keys are unique, strings are valid UTF-8 (except tokens, which may be any bytes).
 */
#ifndef CV_GGUF_GGUF_H
#define CV_GGUF_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "gguf/dtype.h"

enum cv_gguf_type { /* the numbers are those of the file format */
    CV_GGUF_U8 = 0,
    CV_GGUF_I8 = 1,
    CV_GGUF_U16 = 2,
    CV_GGUF_I16 = 3,
    CV_GGUF_U32 = 4,
    CV_GGUF_I32 = 5,
    CV_GGUF_F32 = 6,
    CV_GGUF_BOOL = 7,
    CV_GGUF_STRING = 8,
    CV_GGUF_ARRAY = 9,
    CV_GGUF_U64 = 10,
    CV_GGUF_I64 = 11,
    CV_GGUF_F64 = 12
};

struct cv_str { /* borrowed bytes; not NUL-terminated */
    const char *p;
    size_t n;
};

struct cv_gguf_kv {
    struct cv_str key;
    enum cv_gguf_type type;
    enum cv_gguf_type item; /* ARRAY: type of its elements; item ARRAY is opaque: n = 0, data begins at its count */
    size_t n;               /* ARRAY: number of elements; 1 otherwise */
    const void *data;       /* the value's bytes in the file, little-endian, unaligned; ARRAY: its first element */
    size_t size_bytes;      /* of data: lets a writer copy it without understanding it */
    struct cv_str *strings; /* ARRAY of STRING: n of them, in the arena; STRING: one */
};

struct cv_gguf_tensor {
    const char *name; /* NUL-terminated, in the arena */
    enum cv_dtype dtype;
    uint32_t n_dim;    /* 1..4 */
    size_t dim[4];     /* elements; dim[0] is contiguous; unused ones are 1 */
    size_t offset;     /* bytes from the start of the data section of its part */
    size_t size_bytes;
    uint32_t part;     /* which file of a split model; 0 in a single file */
};

struct cv_gguf {
    uint32_t version;
    uint32_t alignment;
    struct cv_gguf_kv *kv;
    size_t n_kv;
    struct cv_gguf_tensor *tensor;
    size_t n_tensor;
    size_t data_offset; /* where the data section begins in the file */
    size_t data_len;
    void *index; /* names and keys in order; private */
};

/*
 * Parse data[0..len). *out lives in arena and borrows data, which must outlive it. file_len is the length of the whole
 * file when data holds only its beginning (a header fetched alone), else equal to len.
 * Errors: CV_ERR_FORMAT, CV_ERR_LIMIT, CV_ERR_NOMEM, CV_ERR_UNSUPPORTED (big-endian, version 1, an unknown tensor
 * type); "byte N: ..." in the message.
 */
bool cv_gguf_parse(struct cv_gguf **out, const void *data, size_t len, size_t file_len, struct cv_arena *arena,
                   struct cv_error *err);

/* Do the invariants hold? (For tests and fuzzing; a parsed file's always do.) */
bool cv_gguf_check(const struct cv_gguf *g, struct cv_error *err);

/* NULL when absent. */
const struct cv_gguf_kv *cv_gguf_find(const struct cv_gguf *g, const char *key);
const struct cv_gguf_tensor *cv_gguf_tensor(const struct cv_gguf *g, const char *name);

/*
 * Values by key, converted between the number types where nothing is lost (F64 is rounded to F32). true: *out was set.
 * false with err->code CV_ERR_NOT_FOUND: no such key; CV_ERR_FORMAT: another type, or out of range.
 */
bool cv_gguf_u32(const struct cv_gguf *g, const char *key, uint32_t *out, struct cv_error *err);
bool cv_gguf_u64(const struct cv_gguf *g, const char *key, uint64_t *out, struct cv_error *err);
bool cv_gguf_f32(const struct cv_gguf *g, const char *key, float *out, struct cv_error *err);
bool cv_gguf_bool(const struct cv_gguf *g, const char *key, bool *out, struct cv_error *err);
bool cv_gguf_str(const struct cv_gguf *g, const char *key, struct cv_str *out, struct cv_error *err);

/* Element i (i < kv->n) of an array of numbers, or a scalar with i == 0. */
bool cv_gguf_kv_i64(const struct cv_gguf_kv *kv, size_t i, int64_t *out); /* integers and bools */
bool cv_gguf_kv_f64(const struct cv_gguf_kv *kv, size_t i, double *out);  /* any number */

/*
 * Writer. Builds a header in a buffer: begin, any number of keys, any number of tensors, end. Tensor data follows the
 * header in the order of the tensors, each padded to the alignment (cv_gguf_write_pad tells how much).
 */
struct cv_gguf_writer; /* opaque */
struct cv_gguf_writer *cv_gguf_writer_new(uint32_t alignment); /* NULL: no memory; alignment 0 = 32 */
void cv_gguf_writer_free(struct cv_gguf_writer *w); /* NULL is fine */
bool cv_gguf_put_u32(struct cv_gguf_writer *w, const char *key, uint32_t v, struct cv_error *err);
bool cv_gguf_put_u64(struct cv_gguf_writer *w, const char *key, uint64_t v, struct cv_error *err);
bool cv_gguf_put_f32(struct cv_gguf_writer *w, const char *key, float v, struct cv_error *err);
bool cv_gguf_put_bool(struct cv_gguf_writer *w, const char *key, bool v, struct cv_error *err);
bool cv_gguf_put_str(struct cv_gguf_writer *w, const char *key, const char *s, size_t n, struct cv_error *err);
bool cv_gguf_put_strings(struct cv_gguf_writer *w, const char *key, const struct cv_str *s, size_t n,
                         struct cv_error *err);
/* data: n packed little-endian elements of a fixed-size type */
bool cv_gguf_put_array(struct cv_gguf_writer *w, const char *key, enum cv_gguf_type item, const void *data, size_t n,
                       struct cv_error *err);
/* A copy of a pair that was read. general.alignment is left out: the writer puts its own. */
bool cv_gguf_put_kv(struct cv_gguf_writer *w, const struct cv_gguf_kv *kv, struct cv_error *err);
/* Declares a tensor; its data section offset is where the declared ones before it end, aligned. */
bool cv_gguf_put_tensor(struct cv_gguf_writer *w, const char *name, enum cv_dtype dtype, const size_t *dim,
                        uint32_t n_dim, struct cv_error *err);
/* How many zero bytes follow n bytes of tensor data. */
size_t cv_gguf_write_pad(const struct cv_gguf_writer *w, size_t n);
/* The finished header, padded to the start of the data section. out is appended to. */
bool cv_gguf_writer_finish(struct cv_gguf_writer *w, struct cv_buf *out, struct cv_error *err);

#endif
