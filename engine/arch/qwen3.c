/* qwen3.c - Qwen 3: every head of q and k is normalized before rope; rope over halves. */
#include "engine/arch/arch.h"

void cv_arch_qwen3(struct cv_builder *b)
{
    cv_arch_dense(b, &(struct cv_dense){.rope = CV_ROPE_HALVES, .qk_norm = true});
}
