/* poison.h: marks bytes that nobody may touch, for AddressSanitizer builds; nothing otherwise.
 *
 * What it is: two macros, and QV__POISON_GAP, the bytes an arena leaves between blocks so that an
 * overrun lands in poison. What it is not: for use outside alloc.c and arena.c. */
#ifndef QV_BASE_POISON_H
#define QV_BASE_POISON_H

#if defined(__SANITIZE_ADDRESS__)
#define QV__ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define QV__ASAN 1
#endif
#endif

#ifdef QV__ASAN
#include <sanitizer/asan_interface.h>
#define QV__POISON(p, n)   __asan_poison_memory_region((p), (n))
#define QV__UNPOISON(p, n) __asan_unpoison_memory_region((p), (n))
#define QV__POISON_GAP     ((size_t)16)
#else
#define QV__POISON(p, n)   ((void)(p), (void)(n))
#define QV__UNPOISON(p, n) ((void)(p), (void)(n))
#define QV__POISON_GAP     ((size_t)0)
#endif

#endif
