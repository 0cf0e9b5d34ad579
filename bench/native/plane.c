// Ranges of page state, in C.
//
// One flat bit plane, 64 pages a word. Same ranges at the same places as the other sides.
#include "control.h"
#include <stdlib.h>
#include <string.h>

// Macros: a function of one target is not inlined into one of another.
#define mask_from(bit) (~0ul << ((bit) & 63))
#define mask_below(bit) ((bit) & 63 ? ~(~0ul << ((bit) & 63)) : ~0ul)
#define ones(word) ((uint64_t)__builtin_popcountl(word))

static void plane_set(uint64_t *plane, uint64_t first, uint64_t n) {
  uint64_t end = first + n, w = first >> 6, last = (end - 1) >> 6;
  if (w == last) {
    plane[w] |= mask_from(first) & mask_below(end);
    return;
  }
  plane[w++] |= mask_from(first);
  memset(plane + w, 0xff, (last - w) * 8);
  plane[last] |= mask_below(end);
}

static void plane_clear(uint64_t *plane, uint64_t first, uint64_t n) {
  uint64_t end = first + n, w = first >> 6, last = (end - 1) >> 6;
  if (w == last) {
    plane[w] &= ~(mask_from(first) & mask_below(end));
    return;
  }
  plane[w++] &= ~mask_from(first);
  memset(plane + w, 0, (last - w) * 8);
  plane[last] &= ~mask_below(end);
}

// Where operation `i` happens: anywhere in the lower half of the plane.
#define place(i, span) ((uint64_t)(uint32_t)((i) * 2654435761u) & ((span) / 2 - 1))

#define COUNT(NAME, TARGET)                                                                        \
  TARGET static inline uint64_t NAME##_range(const uint64_t *plane, uint64_t first, uint64_t n) {  \
    uint64_t end = first + n, w = first >> 6, last = (end - 1) >> 6;                               \
    if (w == last) return ones(plane[w] & mask_from(first) & mask_below(end));                     \
    uint64_t sum = ones(plane[w] & mask_from(first));                                              \
    for (w++; w < last; w++) sum += ones(plane[w]);                                                \
    return sum + ones(plane[last] & mask_below(end));                                              \
  }                                                                                                \
  TARGET static NOINLINE uint64_t NAME(const uint64_t *words, uint64_t span, uint64_t pages, uint64_t n) { \
    uint64_t sum = 0;                                                                              \
    for (uint64_t i = 0; i < n; i++) sum += NAME##_range(words, place(i, span), pages);            \
    return sum;                                                                                    \
  }

COUNT(count_native, )
// AVX-512 counts the bits of eight words at once, for which WebAssembly has no instruction.
#if defined __AVX512VPOPCNTDQ__ && !defined __clang__
COUNT(count, __attribute__((target("no-avx512f"))))
#else
#define count count_native
#endif

static NOINLINE void mix(uint64_t *words, uint64_t span, uint64_t pages, uint64_t n) {
  for (uint64_t i = 0; i < n; i++) {
    if (i & 1) plane_clear(words, place(i, span), pages);
    else plane_set(words, place(i, span), pages);
  }
}

// `n` operations on ranges of `pages` pages in a plane of `span` pages (a power of two). `mix`: set and clear in
// turn; `count`: of a plane with 3 pages of every 5, `count-native` with every instruction there is. Check: low 32 bits of the sum of the counts, or nothing.
struct result plane(const char *op, uint64_t span, uint64_t pages, uint64_t n) {
  OWN uint64_t *kept;
  OWN uint64_t kept_span;
  if (kept_span != span) {
    free(kept);
    kept = aligned_alloc(PAGE, (span / 8 + PAGE - 1) & ~(PAGE - 1));
    kept_span = span;
  }
  uint64_t *words = kept;
  int counting = strcmp(op, "mix") != 0;
  memset(words, 0, span / 8);
  for (uint64_t page = 0; counting && page + 3 <= span; page += 5) plane_set(words, page, 3);
  double start = begin(CPU);
  uint64_t sum = 0;
  if (!strcmp(op, "count")) sum = count(words, span, pages, n);
  else if (counting) sum = count_native(words, span, pages, n);
  else mix(words, span, pages, n);
  return (struct result){since(CPU, start) / (double)n, sum & 0xffffffff};
}
