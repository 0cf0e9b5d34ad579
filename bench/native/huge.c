// Memory of 2 MiB pages: Linux's own call on transparent huge pages, and the C library's memset of as much.
// Reference: Documentation/admin-guide/mm/transhuge.rst, madvise(2).
#include "control.h"
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE (2 * MIB)

// KiB of AnonHugePages in the mapping that begins at `at`, as smaps has it; 0 when it does not say.
static uint64_t anon_huge_kib(const uint8_t *at) {
  FILE *file = fopen("/proc/self/smaps", "r");
  if (!file) return 0;
  char line[512];
  unsigned long start, end, kib = 0;
  for (int here = 0; fgets(line, sizeof line, file);) {
    if (sscanf(line, "%lx-%lx ", &start, &end) == 2) here = start <= (uintptr_t)at && (uintptr_t)at < end;
    else if (here && sscanf(line, "AnonHugePages: %lu kB", &kib) == 1) break;
  }
  fclose(file);
  return kib;
}

// MADV_DONTNEED of memory of which each huge page has been brought by one store. Check: KiB that were in huge pages and
// are so no longer, which is all of it where the kernel gave them; less means that something else was measured.
struct result dontneed_huge(uint64_t mib) {
  OWN uint8_t *mapped;
  size_t bytes = mib * MIB;
  // A mapping of its own for each round: what one round splits must not be small pages in the next.
  if (mapped) munmap(mapped, bytes + HUGE);
  mapped = map_ram(bytes + HUGE);
  uint8_t *ram = (uint8_t *)(((uintptr_t)mapped + HUGE - 1) & ~(uintptr_t)(HUGE - 1));
#ifdef MADV_HUGEPAGE
  madvise(ram, bytes, MADV_HUGEPAGE);
#endif
  for (size_t i = 0; i < bytes; i += HUGE) *(volatile uint8_t *)(ram + i) = 1;
  uint64_t before = anon_huge_kib(ram);
  double start = begin(WALL);
  int failed = madvise(ram, bytes, MADV_DONTNEED);
  double ns = since(WALL, start);
  return (struct result){ns, failed ? 0 : before - anon_huge_kib(ram)};
}

// Zeroing 2 MiB at a time, one after the other, over a set of that many MiB, all of it touched before and in pages of
// 4 KiB, as the engine's linear memory is.
struct result zero_huge(uint64_t mib) {
  static void *(*volatile zero)(void *, int, size_t) = memset; // a call each, as a fault handler makes
  uint8_t *ram = touched_ram(mib * MIB);
  double start = begin(CPU);
  for (size_t at = 0; at < mib * MIB; at += HUGE) zero(ram + at, 0, HUGE);
  return (struct result){since(CPU, start) / (double)(mib * MIB / HUGE), 0};
}
