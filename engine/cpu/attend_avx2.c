/* attend_avx2.c - one page of attention with AVX2: tiles of four queries by sixteen positions. */
#include <immintrin.h>

#include "base/compiler.h"

#define WIDTH           8
#define TILE            4
#define vec             __m256
#define vec_zero        _mm256_setzero_ps
#define vec_set1        _mm256_set1_ps
#define vec_load        _mm256_loadu_ps
#define vec_store       _mm256_storeu_ps
#define vec_mul         _mm256_mul_ps
#define vec_fma         _mm256_fmadd_ps
#define vec_load_f16(p) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(p)))

#include "engine/cpu/attend_tiles.h"

void cv_attend_init_avx2(struct cv_row_kernels *k)
{
    k->attend_page = attend_page;
    k->attend_merge = attend_merge;
}
