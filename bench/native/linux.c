// Linux's own calls on guest RAM, and the C library's memset. Reference: madvise(2), mprotect(2), fallocate(2).
#include "control.h"
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

void touch(uint8_t *ram, size_t bytes) {
  for (size_t i = 0; i < bytes; i += PAGE) *(volatile uint8_t *)(ram + i) = 1;
}

// Guest RAM of that size with every page touched; the same as in the last round, if that wanted as much. It is not
// unmapped at the end of a round: another thread of the crew may still be measuring in this address space.
uint8_t *touched_ram(size_t bytes) {
  OWN uint8_t *ram;
  OWN size_t mapped;
  if (mapped != bytes) {
    if (ram) munmap(ram, mapped);
    ram = map_ram(bytes);
    mapped = bytes;
  }
  touch(ram, bytes);
  return ram;
}

// The page that the rows about one page use: alone in a GiB of which nothing else is touched.
static uint8_t *lonely_page(void) {
  OWN uint8_t *ram;
  if (!ram) ram = map_ram(GIB);
  return ram + 5 * PAGE;
}

struct result dontneed_one(uint64_t n) {
  uint8_t *page = lonely_page();
  madvise(page, PAGE, MADV_DONTNEED);
  uint64_t failed = 0;
  double start = begin(CPU);
  for (uint64_t i = 0; i < n; i++) failed += madvise(page, PAGE, MADV_DONTNEED) != 0;
  return (struct result){since(CPU, start) / (double)n, failed};
}

struct result dontneed_one_touched(uint64_t n) {
  uint8_t *page = lonely_page();
  uint64_t failed = 0;
  double start = begin(CPU);
  for (uint64_t i = 0; i < n; i++) {
    *(volatile uint8_t *)page = 1;
    failed += madvise(page, PAGE, MADV_DONTNEED) != 0;
  }
  return (struct result){since(CPU, start) / (double)n, failed};
}

struct result dontneed_touched(uint64_t mib) {
  uint8_t *ram = touched_ram(mib * MIB);
  double start = begin(WALL);
  uint64_t failed = madvise(ram, mib * MIB, MADV_DONTNEED) != 0;
  return (struct result){since(WALL, start), failed};
}

// `n` calls, R and RW in turn.
static uint64_t protect(uint8_t *at, size_t bytes, uint64_t n) {
  uint64_t failed = 0;
  for (uint64_t i = 0; i < n; i++)
    failed += mprotect(at, bytes, i & 1 ? PROT_READ | PROT_WRITE : PROT_READ) != 0;
  return failed;
}

struct result mprotect_one(uint64_t n) {
  uint8_t *page = lonely_page();
  *(volatile uint8_t *)page = 1;
  double start = begin(CPU);
  uint64_t failed = protect(page, PAGE, n & ~1ul);
  return (struct result){since(CPU, start) / (double)n, failed};
}

struct result mprotect_touched(uint64_t mib, uint64_t n) {
  uint8_t *ram = touched_ram(mib * MIB);
  double start = begin(WALL);
  uint64_t failed = protect(ram, mib * MIB, n & ~1ul);
  return (struct result){since(WALL, start) / (double)n, failed};
}

// The page faults of Linux: a byte of every page, none of which is there.
struct result first_touch(uint64_t mib) {
  uint8_t *ram = touched_ram(mib * MIB);
  uint64_t failed = madvise(ram, mib * MIB, MADV_DONTNEED) != 0;
  double start = begin(CPU);
  touch(ram, mib * MIB);
  return (struct result){since(CPU, start) / (double)(mib * MIB / PAGE), failed};
}

// Holes in a memfd that is mapped and of which every page was written: `n` ranges of that many KiB, one by one.
struct result punch(uint64_t kib, uint64_t n) {
  size_t bytes = kib * KIB * n;
  int fd = memfd_create("bench", 0);
  if (fd < 0 || ftruncate(fd, (off_t)bytes) != 0) die("memfd_create");
  uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) die("mmap");
  touch(p, bytes);
  uint64_t failed = 0;
  double start = begin(WALL);
  for (uint64_t i = 0; i < n; i++)
    failed += fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, (off_t)(i * kib * KIB), (off_t)(kib * KIB)) != 0;
  double ns = since(WALL, start) / (double)n;
  munmap(p, bytes);
  close(fd);
  return (struct result){ns, failed};
}

void zero_page(uint8_t *page) {
  static void *(*volatile zero)(void *, int, size_t) = memset; // a call each, as a fault handler makes
  zero(page, 0, PAGE);
}

// What zeroing costs: 4 KiB at a time over a set of that many KiB, one after the other, all of it touched before.
struct result zero_pages(uint64_t kib, uint64_t passes) {
  uint8_t *ram = touched_ram(kib * KIB);
  double start = begin(CPU);
  for (uint64_t pass = 0; pass < passes; pass++)
    for (size_t at = 0; at < kib * KIB; at += PAGE) zero_page(ram + at);
  return (struct result){since(CPU, start) / (double)(passes * kib * KIB / PAGE), 0};
}

// Of a vCPU's mixed load, what a machine without a memory manager would have to do as well: 24 requests to the model of
// the device, 64 walks over 64 MiB, 64 pages zeroed, of as many.
struct result mixed(uint64_t turns) {
  uint8_t *ram = touched_ram(64 * PAGE);
  uint64_t sum = walk_loads(16384, PAGE + 64, 1); // makes the tables
  double start = begin(CPU);
  for (uint64_t i = 0; i < turns; i++) {
    sum += info_loop(24) + walk_loads(16384, PAGE + 64, 64);
    for (int page = 0; page < 64; page++) zero_page(ram + page * PAGE);
  }
  return (struct result){since(CPU, start) / (double)turns, sum};
}
