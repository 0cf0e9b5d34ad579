// What moving pages out of memory and in again costs when nothing but the bytes is moved: the C library's memcpy and
// memset of 4 KiB at a time. (A real swap device is slower or, when it compresses, does other work.)
#include "control.h"
#include <string.h>

// Over so many KiB of frames, one page after the other, and as many of a second set. `out`: each is copied there.
// `out-in`: and the frame gets the contents of another page of that set, as when one guest page makes room for another.
// `out-zero`: and the frame is zeroed. Check: the sum of the first words of all frames afterwards.
struct result copy(const char *what, uint64_t kib) {
  static void *(*volatile move)(void *, const void *, size_t) = memcpy;
  size_t bytes = kib * KIB;
  uint8_t *frames = touched_ram(2 * bytes), *slots = frames + bytes;
  int in = !strcmp(what, "out-in"), zero = !strcmp(what, "out-zero");
  double start = begin(CPU);
  for (size_t at = 0; at < bytes; at += PAGE) {
    move(slots + at, frames + at, PAGE);
    if (zero) zero_page(frames + at);
    // A page ahead: not the one that has just gone out, which would still be in the cache.
    if (in) move(frames + at, slots + (at + bytes / 2) % bytes, PAGE);
  }
  double ns = since(CPU, start) / (double)(bytes / PAGE);
  uint64_t sum = 0;
  for (size_t at = 0; at < bytes; at += PAGE) sum += *(uint64_t *)(frames + at);
  return (struct result){ns, sum};
}
