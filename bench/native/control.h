// What the native controls share: the answer of a round, its clock, guest RAM.
#pragma once
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define PAGE 4096ul
#define KIB (1ul << 10)
#define MIB (1ul << 20)
#define GIB (1ul << 30)
#define NOINLINE __attribute__((noinline))
// What a control keeps between rounds. Each thread of a crew (crew.c) has its own.
#define OWN static _Thread_local

// The time of one operation, and a sum over the results of all of them.
struct result {
  double ns;
  uint64_t check;
};

// One round of a control, by its line of input: 0, or -1 for a line nobody understands.
int control(const char *line, struct result *result);
// The same by up to two threads at once, on the CPUs given at the start: `members` is a bit a thread.
struct cpus {
  double waited; // the largest part of its time that a thread waited for its CPU
  double probe;  // nanoseconds of a fixed piece of arithmetic before and after, the slowest
  double ns[2];  // of each member
};
int crew(unsigned members, const char *line, struct result *result, struct cpus *cpus);

// The clock of a round. Alone it is processor time, as bench/harness.mjs counts it (CPU), or the clock on the wall
// for what is over in less (WALL). In a crew begin() first waits for the others, and the clock is always the wall's.
enum clock { CPU, WALL };
double begin(enum clock clock);
double since(enum clock clock, double start);

// Guest RAM as a VMM maps it: private, anonymous, not reserved, 4 KiB pages only.
uint8_t *map_ram(size_t bytes);
void touch(uint8_t *ram, size_t bytes);
// The same with every page touched, and in the next round again if that wants as much.
uint8_t *touched_ram(size_t bytes);

struct result info(uint64_t n);
struct result dontneed_one(uint64_t n);
struct result dontneed_one_touched(uint64_t n);
struct result dontneed_touched(uint64_t mib);
struct result mprotect_one(uint64_t n);
struct result mprotect_touched(uint64_t mib, uint64_t n);
struct result first_touch(uint64_t mib);
struct result zero_pages(uint64_t kib, uint64_t passes);
struct result dontneed_huge(uint64_t mib);
struct result zero_huge(uint64_t mib);
struct result punch(uint64_t kib, uint64_t n);
struct result copy(const char *what, uint64_t kib);
struct result ksm_scan(uint64_t nth, uint64_t pages);
struct result walk(const char *kind, uint64_t pages, uint64_t stride, uint64_t n);
struct result plane(const char *op, uint64_t span, uint64_t pages, uint64_t n);
struct result mixed(uint64_t turns);

// Parts of controls that mixed() puts together: n operations each, answering a sum over their results.
uint64_t info_loop(uint64_t n);
uint64_t walk_loads(uint64_t pages, uint64_t stride, uint64_t n);
void zero_page(uint8_t *page);
