/* exp_avx2.h - cv_exp of exp.h, eight at a time: the same steps, the same bits. */
#ifndef CV_ENGINE_CPU_EXP_AVX2_H
#define CV_ENGINE_CPU_EXP_AVX2_H

#include <immintrin.h>

#include "base/compiler.h"
#include "engine/cpu/exp.h"

CV_INLINE __m256 cv_exp8(__m256 x)
{
    const __m256 magic = _mm256_set1_ps(CV_EXP_MAGIC), one = _mm256_set1_ps(1.0f);
    __m256 t = _mm256_fmadd_ps(x, _mm256_set1_ps(CV_EXP_LOG2E), magic);
    __m256 n = _mm256_sub_ps(t, magic);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(CV_EXP_LN2_HI), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(CV_EXP_LN2_LO), r);
    __m256 p = _mm256_set1_ps(CV_EXP_C6);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(CV_EXP_C5));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(CV_EXP_C4));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(CV_EXP_C3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(CV_EXP_C2));
    p = _mm256_fmadd_ps(p, r, one);
    p = _mm256_fmadd_ps(p, r, one);
    __m256i bits = _mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(t), 23), _mm256_set1_epi32(0x3f800000));
    __m256 y = _mm256_mul_ps(p, _mm256_castsi256_ps(bits));
    y = _mm256_andnot_ps(_mm256_cmp_ps(x, _mm256_set1_ps(CV_EXP_LOW), _CMP_LT_OQ), y);
    return _mm256_blendv_ps(y, _mm256_set1_ps(INFINITY), _mm256_cmp_ps(x, _mm256_set1_ps(CV_EXP_HIGH), _CMP_GT_OQ));
}

#endif
