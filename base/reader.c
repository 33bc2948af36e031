#include "base/reader.h"

#include <string.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Caravan runs on little-endian machines: weights, messages and files are read in place"
#endif

void cv_reader_init(struct cv_reader *r, const void *data, size_t len)
{
    r->at = data;
    r->left = len;
    r->offset = 0;
}

bool cv_read_bytes(struct cv_reader *r, const void **out, size_t n)
{
    if (n > r->left)
        return false;
    *out = r->at;
    r->at += n;
    r->left -= n;
    r->offset += n;
    return true;
}

bool cv_read_skip(struct cv_reader *r, size_t n)
{
    const void *unused;
    return cv_read_bytes(r, &unused, n);
}

static bool get(struct cv_reader *r, void *out, size_t n)
{
    const void *p;
    if (!cv_read_bytes(r, &p, n))
        return false;
    memcpy(out, p, n);
    return true;
}

bool cv_read_u8(struct cv_reader *r, uint8_t *out)
{
    return get(r, out, sizeof(*out));
}

bool cv_read_u16(struct cv_reader *r, uint16_t *out)
{
    return get(r, out, sizeof(*out));
}

bool cv_read_u32(struct cv_reader *r, uint32_t *out)
{
    return get(r, out, sizeof(*out));
}

bool cv_read_u64(struct cv_reader *r, uint64_t *out)
{
    return get(r, out, sizeof(*out));
}

bool cv_read_f32(struct cv_reader *r, float *out)
{
    return get(r, out, sizeof(*out));
}

uint16_t cv_load_u16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

uint32_t cv_load_u32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

uint64_t cv_load_u64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

void cv_store_u16(void *p, uint16_t v)
{
    memcpy(p, &v, sizeof(v));
}

void cv_store_u32(void *p, uint32_t v)
{
    memcpy(p, &v, sizeof(v));
}

void cv_store_u64(void *p, uint64_t v)
{
    memcpy(p, &v, sizeof(v));
}
