/* Whether this build takes several times as long as a plain one: under sanitizers, and without optimization. */
#ifndef PITH_TESTS_SLOW_BUILD_H
#define PITH_TESTS_SLOW_BUILD_H

/* gcc names sanitizers by macros, clang by features. */
#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer) || \
    __has_feature(thread_sanitizer) || !defined(NDEBUG)
enum { SLOW_BUILD = 1 };
#else
enum { SLOW_BUILD = 0 };
#endif

#endif
