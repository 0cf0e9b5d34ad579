// The native side of the benchmark: what the rows of docs/performance.md are compared with.
//
// Compiled by bench/native.mjs on the machine that runs the benchmark. A server on stdin: one line
// `CONTROL ARGUMENT…` runs one round of that control and prints `NANOSECONDS CHECK WAITED PROBE`: the time of one
// operation, a sum over its results, and two zeros. `crew MEMBERS CONTROL ARGUMENT…` runs it in one or two threads
// (crew.c) on the CPUs of the command line; the last two then say whether these were free (struct cpus). The benchmark
// alternates these rounds with rounds of the engine, so that both see the same load of the machine, and compares the
// sums where both sides compute the same thing.
#include "control.h"
#include <stdio.h>
#include <string.h>

char **crew_cpus;

int control(const char *line, struct result *r) {
  char name[32], op[32];
  uint64_t a = 0, b = 0, c = 0;
  if (sscanf(line, "walk %31s %lu %lu %lu", op, &a, &b, &c) == 4) *r = walk(op, a, b, c);
  else if (sscanf(line, "plane %31s %lu %lu %lu", op, &a, &b, &c) == 4) *r = plane(op, a, b, c);
  else if (sscanf(line, "copy %31s %lu", op, &a) == 2) *r = copy(op, a);
  else if (sscanf(line, "%31s %lu %lu", name, &a, &b) < 2) return -1;
  else if (!strcmp(name, "info")) *r = info(a);
  else if (!strcmp(name, "dontneed-one")) *r = dontneed_one(a);
  else if (!strcmp(name, "dontneed-one-touched")) *r = dontneed_one_touched(a);
  else if (!strcmp(name, "dontneed-touched")) *r = dontneed_touched(a);
  else if (!strcmp(name, "mprotect-one")) *r = mprotect_one(a);
  else if (!strcmp(name, "mprotect-touched")) *r = mprotect_touched(a, b);
  else if (!strcmp(name, "first-touch")) *r = first_touch(a);
  else if (!strcmp(name, "zero-pages")) *r = zero_pages(a, b);
  else if (!strcmp(name, "dontneed-huge")) *r = dontneed_huge(a);
  else if (!strcmp(name, "punch")) *r = punch(a, b);
  else if (!strcmp(name, "zero-huge")) *r = zero_huge(a);
  else if (!strcmp(name, "ksm-scan")) *r = ksm_scan(a, b);
  else if (!strcmp(name, "mixed")) *r = mixed(a);
  else return -1;
  return 0;
}

int main(int argc, char **argv) {
  (void)argc;
  crew_cpus = argv + 1;
  char line[256];
  while (fgets(line, sizeof line, stdin)) {
    unsigned members = 0;
    int rest = 0;
    struct result r;
    struct cpus cpus = {0};
    int in_crew = sscanf(line, "crew %u %n", &members, &rest) == 1;
    if (in_crew ? crew(members, line + rest, &r, &cpus) : control(line, &r)) return 2;
    printf("%.4f %lu %.4f %.0f %.4f %.4f\n", r.ns, r.check, cpus.waited, cpus.probe, cpus.ns[0], cpus.ns[1]);
    fflush(stdout);
  }
  return 0;
}
