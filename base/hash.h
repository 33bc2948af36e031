/* hash.h - SHA-256 (OpenSSL), hexadecimal, random bytes, and a quick hash for tables of our own. */
#ifndef CV_BASE_HASH_H
#define CV_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { CV_SHA256_BYTES = 32, CV_SHA256_HEX = 65 /* with the NUL */ };

struct cv_sha256; /* streaming */

struct cv_sha256 *cv_sha256_new(void); /* NULL: no memory */
void cv_sha256_update(struct cv_sha256 *h, const void *data, size_t n);
void cv_sha256_final(struct cv_sha256 *h, unsigned char out[CV_SHA256_BYTES]); /* afterwards ready for the next */
void cv_sha256_free(struct cv_sha256 *h);

bool cv_sha256_once(const void *data, size_t n, unsigned char out[CV_SHA256_BYTES]);
bool cv_hmac_sha256(const void *key, size_t key_len, const void *data, size_t n, unsigned char out[CV_SHA256_BYTES]);
bool cv_equal_ct(const void *a, const void *b, size_t n); /* in a time that does not depend on the contents */

void cv_hex_encode(const void *data, size_t n, char *out); /* 2n + 1 bytes, lower case */
bool cv_hex_decode(const char *hex, size_t hex_len, unsigned char *out, size_t n); /* exactly n bytes */

bool cv_random_bytes(void *out, size_t n); /* from the system's generator */

uint64_t cv_hash64(const void *data, size_t n); /* FNV-1a; for tables whose keys are not an attacker's choice */

#endif
