// What the native controls share: the answer of a round, the clock, guest RAM.
#pragma once
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define PAGE 4096ul
#define MIB (1ul << 20)
#define GIB (1ul << 30)
#define NOINLINE __attribute__((noinline))

// The time of one operation, and a sum over the results of all of them.
struct result {
  double ns;
  uint64_t check;
};

static inline double clock_ns(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}
// Processor time, as bench/harness.mjs counts it; and the clock on the wall.
static inline double now(void) { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }
static inline double wall(void) { return clock_ns(CLOCK_MONOTONIC); }

// Guest RAM as a VMM maps it: private, anonymous, not reserved, 4 KiB pages only.
uint8_t *map_ram(size_t bytes);

struct result info(uint64_t n);
struct result dontneed_one(uint64_t n);
struct result dontneed_touched(uint64_t mib);
struct result mprotect_touched(uint64_t mib, uint64_t n);
struct result zero_pages(uint64_t mib);
struct result walk(const char *kind, uint64_t pages, uint64_t stride, uint64_t n);
struct result plane(const char *op, uint64_t span, uint64_t pages, uint64_t n);
