/* carry_dispatch.c - does this processor convert halves by itself? Apart from the code that needs the instructions. */
#include <string.h>

#include "proto/carry.h"
#include "proto/carry_f16.h"

bool cv_carry_has_fast(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") != 0; /* every processor with AVX2 has F16C */
#elif defined(__aarch64__)
    return true;
#else
    return false;
#endif
}

#if !defined(__x86_64__) && !defined(__aarch64__)
void cv_carry_pack_f16_fast(const float *row, uint32_t width, void *dst)
{
    cv_carry_pack_f16_ref(row, width, dst);
}

void cv_carry_unpack_f16_fast(const void *src, uint32_t width, float *row)
{
    cv_carry_unpack_f16_ref(src, width, row);
}
#endif
