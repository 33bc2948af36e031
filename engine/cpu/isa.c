/* isa.c - which instruction sets this processor, and the system under it, offer. */
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "engine/cpu/matrix.h"

#if defined(__x86_64__)
#include <cpuid.h>

/* Which register states the system saves: XCR0. */
static uint64_t saved_states(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

static bool bit(unsigned reg, unsigned n)
{
    return (reg >> n & 1) != 0;
}

static unsigned detect(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !bit(c, 27) || !bit(c, 28))
        return 0; /* no OSXSAVE or no AVX */
    bool fma = bit(c, 12), f16c = bit(c, 29);
    uint64_t saved = saved_states();
    if ((saved & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0;
    unsigned sub_leaves = a, isa = 0;
    if (!bit(b, 5) || !fma || !f16c)
        return 0;
    isa |= CV_ISA_AVX2;
    if ((saved & 0xe6) == 0xe6 && bit(b, 16) && bit(b, 17) && bit(b, 30) && bit(b, 31)) {
        isa |= CV_ISA_AVX512;
        if (bit(c, 11))
            isa |= CV_ISA_AVX512_VNNI;
    }
    if (sub_leaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && bit(a, 4))
        isa |= CV_ISA_AVX_VNNI;
    return isa;
}
#else
static unsigned detect(void)
{
    return 0;
}
#endif

static const struct {
    const char *name;
    unsigned has;  /* the bit that gives a set of instructions its name */
    unsigned keep; /* what remains when it is the largest allowed */
} levels[] = {
    {"avx512", CV_ISA_AVX512_VNNI, ~0u},
    {"avxvnni", CV_ISA_AVX_VNNI, CV_ISA_AVX2 | CV_ISA_AVX_VNNI},
    {"avx2", CV_ISA_AVX2, CV_ISA_AVX2},
    {"ref", 0, 0},
};

unsigned cv_isa_detect(void)
{
    unsigned isa = detect();
    const char *most = getenv("CARAVAN_ISA");
    for (size_t i = 0; most != NULL && i < CV_COUNT(levels); i++) {
        if (strcmp(most, levels[i].name) == 0)
            isa &= levels[i].keep;
    }
    return isa;
}

const char *cv_isa_name(unsigned isa)
{
    size_t i = 0;
    while (levels[i].has != 0 && (isa & levels[i].has) == 0)
        i++;
    return levels[i].name;
}
