/* compiler.h - the few compiler attributes we need, spelled once. */
#ifndef CV_BASE_COMPILER_H
#define CV_BASE_COMPILER_H

#if defined(__GNUC__)
#define CV_PRINTF(fmt_index, first_arg) __attribute__((format(printf, fmt_index, first_arg)))
#define CV_ALIGNED(bytes)               __attribute__((aligned(bytes)))
#define CV_NOINLINE                     __attribute__((noinline))
#define CV_INLINE                       static inline __attribute__((always_inline))
#else
#error "Caravan is built with gcc or clang"
#endif

#if defined(__SANITIZE_ADDRESS__)
#define CV_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CV_ASAN 1
#endif
#endif

#define CV_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
