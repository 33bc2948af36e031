/* qwen2.c - Qwen 2 and 2.5: biases on q, k and v; rope over halves. */
#include "engine/arch/arch.h"

void cv_arch_qwen2(struct cv_builder *b)
{
    cv_arch_dense(b, &(struct cv_dense){.rope = CV_ROPE_HALVES});
}
