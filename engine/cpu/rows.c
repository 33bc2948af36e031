#include "engine/cpu/rows.h"

#include "engine/cpu/matrix.h"

struct cv_row_kernels cv_rows;

void cv_row_kernels_init(unsigned isa)
{
    cv_norm_init_ref(&cv_rows);
    cv_rope_init_ref(&cv_rows);
    cv_attend_init_ref(&cv_rows);
#if defined(CV_HAVE_X86_ROW_KERNELS)
    if ((isa & CV_ISA_AVX2) != 0) {
        cv_norm_init_avx2(&cv_rows);
        cv_rope_init_avx2(&cv_rows);
        cv_attend_init_avx2(&cv_rows);
    }
    if ((isa & CV_ISA_AVX512) != 0)
        cv_attend_init_avx512(&cv_rows);
#else
    (void)isa;
#endif
}
