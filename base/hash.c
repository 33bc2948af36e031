#include "base/hash.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

struct cv_sha256 {
    EVP_MD_CTX *ctx;
};

struct cv_sha256 *cv_sha256_new(void)
{
    /* EVP_MD_CTX is OpenSSL's own allocation; a thin box keeps its type out of our headers. */
    struct cv_sha256 *h = OPENSSL_zalloc(sizeof(*h));
    if (h == NULL)
        return NULL;
    h->ctx = EVP_MD_CTX_new();
    if (h->ctx == NULL || EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) != 1) {
        cv_sha256_free(h);
        return NULL;
    }
    return h;
}

void cv_sha256_update(struct cv_sha256 *h, const void *data, size_t n)
{
    (void)EVP_DigestUpdate(h->ctx, data, n);
}

void cv_sha256_final(struct cv_sha256 *h, unsigned char out[CV_SHA256_BYTES])
{
    (void)EVP_DigestFinal_ex(h->ctx, out, NULL);
    (void)EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL);
}

void cv_sha256_free(struct cv_sha256 *h)
{
    if (h == NULL)
        return;
    EVP_MD_CTX_free(h->ctx);
    OPENSSL_free(h);
}

bool cv_sha256_once(const void *data, size_t n, unsigned char out[CV_SHA256_BYTES])
{
    return EVP_Digest(data, n, out, NULL, EVP_sha256(), NULL) == 1;
}

bool cv_hmac_sha256(const void *key, size_t key_len, const void *data, size_t n, unsigned char out[CV_SHA256_BYTES])
{
    unsigned len = 0;
    return key_len <= INT32_MAX && HMAC(EVP_sha256(), key, (int)key_len, data, n, out, &len) != NULL && len == CV_SHA256_BYTES;
}

bool cv_equal_ct(const void *a, const void *b, size_t n)
{
    return CRYPTO_memcmp(a, b, n) == 0;
}

void cv_hex_encode(const void *data, size_t n, char *out)
{
    static const char digit[] = "0123456789abcdef";
    const unsigned char *p = data;
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digit[p[i] >> 4];
        out[2 * i + 1] = digit[p[i] & 15];
    }
    out[2 * n] = '\0';
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool cv_hex_decode(const char *hex, size_t hex_len, unsigned char *out, size_t n)
{
    if (hex_len != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++) {
        int hi = hex_value(hex[2 * i]), lo = hex_value(hex[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return false;
        out[i] = (unsigned char)(hi << 4 | lo);
    }
    return true;
}

bool cv_random_bytes(void *out, size_t n)
{
    return n <= INT32_MAX && RAND_bytes(out, (int)n) == 1;
}

uint64_t cv_hash64(const void *data, size_t n)
{
    const unsigned char *p = data;
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}
