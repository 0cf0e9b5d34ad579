// What a scan for equal pages does at the least, in C: sums of contents, a hash table, comparisons. No VMs, no page
// tables, no frames that come free. Reference: linux mm/ksm.c (cmp_and_merge_page), lib/xxhash.c.
#include "control.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_SHARING = 256, BUCKETS = 1 << 20 };

struct entry {
  uint64_t sum;
  uint32_t page, users, next; // next + 1 in its bucket, 0 at the end
};
struct page {
  uint32_t seen, shared; // shared: its stable entry + 1, 0 none
};

OWN struct {
  uint8_t *ram;
  uint64_t pages;
  struct page *page;
  struct entry *stable, *unstable;
  uint32_t *stable_at, *unstable_at, n_stable, n_unstable;
} ksm;

static inline uint64_t rotl(uint64_t x, int by) { return x << by | x >> (64 - by); }

#define P1 0x9e3779b185ebca87ul
#define P2 0xc2b2ae3d27d4eb4ful
#define P3 0x165667b19e3779f9ul
#define P4 0x85ebca77c2b2ae63ul

static inline uint64_t xxh64_round(uint64_t lane, uint64_t input) { return rotl(lane + input * P2, 31) * P1; }
static inline uint64_t xxh64_merge(uint64_t h, uint64_t lane) { return (h ^ xxh64_round(0, lane)) * P1 + P4; }

// XXH64 of a page, seed 0: what Linux's KSM calls on 64-bit machines.
static NOINLINE uint64_t xxh64(const uint8_t *page) {
  uint64_t a = P1 + P2, b = P2, c = 0, d = 0 - P1, h;
  for (const uint64_t *p = (const uint64_t *)page, *end = p + PAGE / 8; p < end; p += 4) {
    a = xxh64_round(a, p[0]);
    b = xxh64_round(b, p[1]);
    c = xxh64_round(c, p[2]);
    d = xxh64_round(d, p[3]);
  }
  h = rotl(a, 1) + rotl(b, 7) + rotl(c, 12) + rotl(d, 18);
  h = xxh64_merge(xxh64_merge(xxh64_merge(xxh64_merge(h, a), b), c), d) + PAGE;
  h = (h ^ h >> 33) * P2;
  h = (h ^ h >> 29) * P3;
  return h ^ h >> 32;
}

// bench/measure/ksm.mjs writes the same into guest RAM: of four pages one that both halves have, one of zeros, and two
// that nobody else has.
static void fill(uint64_t page) {
  uint32_t *words = (uint32_t *)(ksm.ram + page * PAGE);
  uint64_t in_half = page % (ksm.pages / 2);
  uint32_t x = (uint32_t)((page & 3) == 0 ? in_half : page) * 2654435761u | 1;
  for (uint64_t i = 0; i < PAGE / 4; i++) {
    x ^= x << 13, x ^= x >> 17, x ^= x << 5;
    words[i] = (page & 3) == 1 ? 0 : x;
  }
}

static void prepare(uint64_t pages) {
  if (ksm.pages != pages) {
    ksm.ram = map_ram(pages * PAGE); // for the life of the process, as all of it
    ksm.pages = pages;
    for (uint64_t i = 0; i < pages; i++) fill(i);
    ksm.page = malloc(pages * sizeof *ksm.page);
    ksm.stable = malloc(pages * sizeof *ksm.stable);
    ksm.unstable = malloc(pages * sizeof *ksm.unstable);
    ksm.stable_at = malloc(BUCKETS * sizeof *ksm.stable_at);
    ksm.unstable_at = malloc(BUCKETS * sizeof *ksm.unstable_at);
  }
  memset(ksm.page, 0, pages * sizeof *ksm.page);
  memset(ksm.stable_at, 0, BUCKETS * sizeof *ksm.stable_at);
  memset(ksm.unstable_at, 0, BUCKETS * sizeof *ksm.unstable_at);
  ksm.n_stable = ksm.n_unstable = 0;
}

static void add(struct entry *list, uint32_t *n, uint32_t *at, uint64_t sum, uint32_t page, uint32_t users) {
  list[*n] = (struct entry){sum, page, users, at[sum % BUCKETS]};
  at[sum % BUCKETS] = ++*n;
}

// An entry of the list with the same contents and room for one more: its number + 1, or 0.
static uint32_t find(struct entry *list, uint32_t *at, uint64_t sum, uint64_t page) {
  for (uint32_t e = at[sum % BUCKETS]; e; e = list[e - 1].next)
    if (list[e - 1].sum == sum && list[e - 1].users < MAX_SHARING &&
        !memcmp(ksm.ram + list[e - 1].page * PAGE, ksm.ram + page * PAGE, PAGE))
      return e;
  return 0;
}

// One page: whether it joined another one.
static int look(uint64_t page) {
  struct page *p = ksm.page + page;
  if (p->shared) return 0;
  uint64_t sum = xxh64(ksm.ram + page * PAGE);
  if (p->seen != ((uint32_t)sum | 1)) {
    p->seen = (uint32_t)sum | 1;
    return 0;
  }
  uint32_t found = find(ksm.stable, ksm.stable_at, sum, page);
  if (found) {
    ksm.stable[found - 1].users++;
    p->shared = found;
    return 1;
  }
  uint32_t waits = find(ksm.unstable, ksm.unstable_at, sum, page);
  if (!waits) {
    add(ksm.unstable, &ksm.n_unstable, ksm.unstable_at, sum, (uint32_t)page, 1);
    return 0;
  }
  struct entry *other = ksm.unstable + waits - 1;
  add(ksm.stable, &ksm.n_stable, ksm.stable_at, sum, (uint32_t)page, 2);
  ksm.page[other->page].shared = p->shared = ksm.n_stable;
  other->users = MAX_SHARING; // waits no longer
  return 1;
}

static uint64_t scan(void) {
  uint64_t merged = 0;
  for (uint64_t page = 0; page < ksm.pages; page++) merged += (uint64_t)look(page);
  memset(ksm.unstable_at, 0, BUCKETS * sizeof *ksm.unstable_at);
  ksm.n_unstable = 0;
  return merged;
}

// Scan `nth` (1, 2, …) over so many pages that nobody writes: the first only notes sums, the second merges, from the
// third on nothing changes. Nanoseconds of a page. Check: pages that this scan has joined to another.
struct result ksm_scan(uint64_t nth, uint64_t pages) {
  prepare(pages);
  for (uint64_t i = 1; i < nth; i++) scan();
  double start = begin(CPU);
  uint64_t merged = scan();
  return (struct result){since(CPU, start) / (double)pages, merged};
}
