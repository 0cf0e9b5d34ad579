// The second-level walk, four levels, in C. Reference: Intel SDM vol. 3, EPT paging structures.
//
// ╒═ entry, at every level ═══════════════════════════════════════════════════╕
// │ 51…12 next table or frame │ 7 leaf │ 5…3 memory type │ 2 X │ 1 W │ 0 R     │
// ╘════════════════════════════════════════════════════════════════════════════╛
// A level-1 entry is a leaf without bit 7. Host-physical addresses are offsets into one arena, as the engine's are
// into linear memory; tables and pages come from it upwards, one page touched after the other.
#include "control.h"
#include <string.h>
#include <sys/mman.h>

enum { EPT_READ = 1, EPT_WRITE = 2, EPT_EXEC = 4, EPT_LEAF = 1 << 7, EPT_WB = 6 << 3 };
#define EPT_ADDRESS 0x000ffffffffff000ul

OWN struct {
  uint8_t *arena;
  uint64_t next, root, pages;
} ept;

static uint64_t ept_frame(void) {
  uint64_t at = ept.next;
  ept.next += PAGE;
  return at;
}

static void ept_map(uint64_t gpa) {
  uint64_t table = ept.root;
  for (int level = 4; level > 1; level--) {
    uint64_t *entry = (uint64_t *)(ept.arena + table) + (gpa >> (12 + 9 * (level - 1)) & 511);
    if (!*entry) *entry = ept_frame() | EPT_READ | EPT_WRITE | EPT_EXEC;
    table = *entry & EPT_ADDRESS;
  }
  ((uint64_t *)(ept.arena + table))[gpa >> 12 & 511] = ept_frame() | EPT_READ | EPT_WRITE | EPT_EXEC | EPT_WB;
}

static void ept_build(uint64_t pages) {
  if (ept.pages == pages) return;
  if (ept.arena) munmap(ept.arena, ept.pages * PAGE + ept.pages * 16 + MIB);
  ept.arena = map_ram(pages * PAGE + pages * 16 + MIB);
  ept.next = PAGE; // address 0 is no frame
  ept.root = ept_frame();
  ept.pages = pages;
  for (uint64_t i = 0; i < pages; i++) {
    ept_map(i * PAGE);
    ept.arena[ept.next - PAGE] = 0; // touched: the walk is measured, not the fault
  }
}

// The host-physical address behind `gpa` for an access needing the bits of `need`, or 0.
static inline uint64_t ept_walk(uint64_t gpa, uint64_t need) {
  uint64_t table = ept.root;
  for (int level = 4;; level--) {
    int shift = 12 + 9 * (level - 1);
    uint64_t entry = ((uint64_t *)(ept.arena + table))[gpa >> shift & 511];
    if ((entry & need) != need) return 0;
    uint64_t address = entry & EPT_ADDRESS;
    if (level == 1 || entry & EPT_LEAF) return address + (gpa & ((1ul << shift) - 1));
    table = address;
  }
}

uint64_t walk_loads(uint64_t pages, uint64_t stride, uint64_t n) {
  ept_build(pages);
  uint64_t sum = 0, gpa = 0;
  for (uint64_t i = 0; i < n; i++) {
    uint64_t hpa = ept_walk(gpa, EPT_READ);
    if (hpa) sum += *(uint64_t *)(ept.arena + (hpa & ~7ul));
    if ((gpa += stride) >= pages * PAGE) gpa -= pages * PAGE;
  }
  return sum;
}

static uint64_t walk_stores(uint64_t pages, uint64_t stride, uint64_t n) {
  uint64_t found = 0, gpa = 0;
  for (uint64_t i = 0; i < n; i++) {
    uint64_t hpa = ept_walk(gpa, EPT_WRITE);
    if (hpa) *(uint64_t *)(ept.arena + (hpa & ~7ul)) = i, found++;
    if ((gpa += stride) >= pages * PAGE) gpa -= pages * PAGE;
  }
  return found;
}

// `n` loads or stores of 8 bytes, `stride` bytes apart and round and round in the pages, as vcpuStride of the core.
// Check: pages a store found, or the sum of what was loaded.
struct result walk(const char *kind, uint64_t pages, uint64_t stride, uint64_t n) {
  ept_build(pages);
  double start = begin(CPU);
  uint64_t check = !strcmp(kind, "store") ? walk_stores(pages, stride, n) : walk_loads(pages, stride, n);
  return (struct result){since(CPU, start) / (double)n, check};
}
