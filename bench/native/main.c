// The native side of the benchmark: what the rows of docs/performance.md are compared with.
//
// Compiled by bench/native.mjs on the machine that runs the benchmark. A server on stdin: one line
// `CONTROL ARGUMENT…` runs one round of that control and prints `NANOSECONDS CHECK`, the time of one operation
// and a sum over its results. bench/run.mjs alternates these rounds with rounds of the engine, so that both see the
// same load of the machine, and compares the sums where both sides compute the same thing.
#include "control.h"
#include <stdio.h>
#include <string.h>

int main(void) {
  char line[256], name[32], op[32];
  while (fgets(line, sizeof line, stdin)) {
    uint64_t a = 0, b = 0, c = 0;
    struct result r;
    if (sscanf(line, "walk %31s %lu %lu %lu", op, &a, &b, &c) == 4) r = walk(op, a, b, c);
    else if (sscanf(line, "plane %31s %lu %lu %lu", op, &a, &b, &c) == 4) r = plane(op, a, b, c);
    else {
      if (sscanf(line, "%31s %lu %lu", name, &a, &b) < 2) return 2;
      if (!strcmp(name, "info")) r = info(a);
      else if (!strcmp(name, "dontneed-one")) r = dontneed_one(a);
      else if (!strcmp(name, "dontneed-touched")) r = dontneed_touched(a);
      else if (!strcmp(name, "mprotect-touched")) r = mprotect_touched(a, b);
      else if (!strcmp(name, "zero-pages")) r = zero_pages(a);
      else return 2;
    }
    printf("%.4f %lu\n", r.ns, r.check);
    fflush(stdout);
  }
  return 0;
}
