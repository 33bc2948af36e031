/* llama.c - Llama 1 to 3 and what is built like it (Mistral, TinyLlama, ...): rope over adjacent pairs. */
#include "engine/arch/arch.h"

void cv_arch_llama(struct cv_builder *b)
{
    cv_arch_refuse(b, "expert_count", "experts");
    cv_arch_dense(b, &(struct cv_dense){.rope = CV_ROPE_PAIRS, .rope_factors = true});
}
