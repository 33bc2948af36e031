/*
 * reader.h - bytes we did not write, read with their remaining length.
 *
 * Little-endian. Every getter returns false when too little is left, and then moves nothing. Never aligned-assumes.
 */
#ifndef CV_BASE_READER_H
#define CV_BASE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cv_reader {
    const unsigned char *at;
    size_t left;
    size_t offset; /* bytes read so far, for error messages */
};

void cv_reader_init(struct cv_reader *r, const void *data, size_t len);
bool cv_read_u8(struct cv_reader *r, uint8_t *out);
bool cv_read_u16(struct cv_reader *r, uint16_t *out);
bool cv_read_u32(struct cv_reader *r, uint32_t *out);
bool cv_read_u64(struct cv_reader *r, uint64_t *out);
bool cv_read_f32(struct cv_reader *r, float *out);
bool cv_read_bytes(struct cv_reader *r, const void **out, size_t n); /* borrows */
bool cv_read_skip(struct cv_reader *r, size_t n);

/* Unaligned little-endian loads and stores for callers that have checked the length. */
uint16_t cv_load_u16(const void *p);
uint32_t cv_load_u32(const void *p);
uint64_t cv_load_u64(const void *p);
void cv_store_u16(void *p, uint16_t v);
void cv_store_u32(void *p, uint32_t v);
void cv_store_u64(void *p, uint64_t v);

#endif
