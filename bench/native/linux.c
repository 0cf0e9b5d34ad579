// Linux's own calls on guest RAM, and the C library's memset. Reference: madvise(2), mprotect(2).
#include "control.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void die(const char *what) {
  perror(what);
  exit(1);
}

uint8_t *map_ram(size_t bytes) {
  uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) die("mmap");
#ifdef MADV_NOHUGEPAGE
  madvise(p, bytes, MADV_NOHUGEPAGE);
#endif
  return p;
}

static void touch(uint8_t *p, size_t bytes) {
  for (size_t i = 0; i < bytes; i += PAGE) *(volatile uint8_t *)(p + i) = 1;
}

struct result dontneed_one(uint64_t n) {
  static uint8_t *ram;
  if (!ram) ram = map_ram(GIB);
  uint64_t failed = 0;
  double start = now();
  for (uint64_t i = 0; i < n; i++) failed += madvise(ram + 5 * PAGE, PAGE, MADV_DONTNEED) != 0;
  return (struct result){(now() - start) / (double)n, failed};
}

struct result dontneed_touched(uint64_t mib) {
  uint8_t *ram = map_ram(mib * MIB);
  touch(ram, mib * MIB);
  double start = wall();
  uint64_t failed = madvise(ram, mib * MIB, MADV_DONTNEED) != 0;
  double ns = wall() - start;
  munmap(ram, mib * MIB);
  return (struct result){ns, failed};
}

struct result mprotect_touched(uint64_t mib, uint64_t n) {
  uint8_t *ram = map_ram(mib * MIB);
  touch(ram, mib * MIB);
  uint64_t failed = 0;
  double start = wall();
  for (uint64_t i = 0; i < n; i++)
    failed += mprotect(ram, mib * MIB, i & 1 ? PROT_READ | PROT_WRITE : PROT_READ) != 0;
  double ns = (wall() - start) / (double)n;
  munmap(ram, mib * MIB);
  return (struct result){ns, failed};
}

// What zeroing costs: 4 KiB at a time over a set of that many MiB, one after the other, all of it touched before.
struct result zero_pages(uint64_t mib) {
  static uint8_t *ram;
  static uint64_t mapped;
  static void *(*volatile zero)(void *, int, size_t) = memset; // a call each, as a fault handler makes
  if (mapped != mib) {
    if (ram) munmap(ram, mapped * MIB);
    ram = map_ram(mib * MIB);
    touch(ram, mib * MIB);
    mapped = mib;
  }
  uint64_t pages = mib * MIB / PAGE;
  double start = now();
  for (uint64_t i = 0; i < pages; i++) zero(ram + i * PAGE, 0, PAGE);
  return (struct result){(now() - start) / (double)pages, 0};
}
