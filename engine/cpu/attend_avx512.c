/* attend_avx512.c - one page of attention with AVX-512: tiles of eight queries by thirty-two positions. */
#include <immintrin.h>

#include "base/compiler.h"

#define WIDTH           16
#define TILE            8
#define vec             __m512
#define vec_zero        _mm512_setzero_ps
#define vec_set1        _mm512_set1_ps
#define vec_load        _mm512_loadu_ps
#define vec_store       _mm512_storeu_ps
#define vec_mul         _mm512_mul_ps
#define vec_fma         _mm512_fmadd_ps
#define vec_load_f16(p) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(p)))

#include "engine/cpu/attend_tiles.h"

void cv_attend_init_avx512(struct cv_row_kernels *k)
{
    k->attend_page = attend_page;
    k->attend_merge = attend_merge;
}
