/* internal.h - what the files of gguf/ share with one another and with nobody else. */
#ifndef CV_GGUF_INTERNAL_H
#define CV_GGUF_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "gguf/dtype.h"
#include "gguf/gguf.h"

/* n_block packed blocks at src become values at dst. */
typedef void cv_dequantize_fn(const unsigned char *src, float *dst, size_t n_block);
/* By type; NULL where the file has none. */
extern cv_dequantize_fn *const cv_dequantize_simple[CV_DTYPE_COUNT]; /* floats, and blocks with one scale */
extern cv_dequantize_fn *const cv_dequantize_super[CV_DTYPE_COUNT];  /* blocks with scales within */

/* The other way. importance: NULL or a weight per value. */
typedef void cv_quantize_fn(const float *src, const float *importance, unsigned char *dst, size_t n_block);
cv_quantize_fn cv_to_q4_k, cv_to_q5_k, cv_to_q6_k;
extern const float cv_quantize_ones[32]; /* the importance of those who were given none */

/* The 16 levels of IQ4_NL and IQ4_XS. */
extern const int8_t cv_iq4_levels[16];

/* The six-bit scale and minimum j (0..7) of a Q4_K or Q5_K block; s: its 12 bytes. */
void cv_k_scale_min(const unsigned char *s, unsigned j, unsigned *scale, unsigned *min);

/* Sorts item[0..n) by less(ctx, a, b); in place and never worse than n log n, whatever a hostile file holds. */
typedef bool cv_order_less(const void *ctx, uint32_t a, uint32_t b);
void cv_order_sort(uint32_t *item, size_t n, cv_order_less *less, const void *ctx);

/* Keys and tensor names in order: what cv_gguf.index points at. */
struct cv_gguf_index {
    uint32_t *kv, *tensor;
};

/* Fills g->index. *dup_kv and *dup_tensor: index of the later one of two with the same name, else SIZE_MAX. */
bool cv_gguf_build_index(struct cv_gguf *g, struct cv_arena *arena, size_t *dup_kv, size_t *dup_tensor);

/* As cv_gguf_parse; *truncated tells a header that goes on past data from one that is wrong. */
bool cv_gguf_parse_prefix(struct cv_gguf **out, const void *data, size_t len, size_t file_len, struct cv_arena *arena,
                          bool *truncated, struct cv_error *err);

/* Bytes of one element; 0 for STRING, ARRAY and what is no type. */
size_t cv_gguf_item_bytes(uint32_t type);

#endif
