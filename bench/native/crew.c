// Two threads that run the same control at the same time, each on a CPU and on memory of its own (OWN). What one of
// them needs alone, and what both need together, says how much a second thread can give on this machine.
#include "control.h"
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

extern char **crew_cpus; // of the command line, NULL at the end

struct member {
  sem_t work, done;
  const char *line;
  int status;
  struct result result;
  double waited_before;
  struct cpus cpus;
  int cpu;
};
static struct member members_of[2];
static atomic_uint arrived, expected;
static _Thread_local struct member *me; // NULL outside a crew

static double read_clock(clockid_t id) {
  struct timespec t;
  clock_gettime(id, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double now(enum clock clock) {
  return read_clock(clock == WALL || me ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID);
}

// Nanoseconds that this thread has waited for its CPU since it began, 0 where the system does not say.
// Reference: Documentation/scheduler/sched-stats.rst.
static double waited(void) {
  unsigned long ran, wait = 0;
  FILE *file = fopen("/proc/thread-self/schedstat", "r");
  if (file && fscanf(file, "%lu %lu", &ran, &wait) != 2) wait = 0;
  if (file) fclose(file);
  return (double)wait;
}

// bench/cpus.mjs has the same: what this CPU gives just now, while others may compute on the other half of its core.
static double probe(void) {
  uint64_t a = 1, b = 2, c = 3, d = 4, e = 5, f = 6;
  double start = read_clock(CLOCK_MONOTONIC);
  for (uint64_t i = 0; i < 160000; i++) {
    a += i, b ^= i, c -= i, d += 3, e ^= 7, f -= 5;
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f)); // one after the other, as it stands
  }
  return read_clock(CLOCK_MONOTONIC) - start;
}

double begin(enum clock clock) {
  if (me) {
    me->waited_before = waited();
    me->cpus.probe = probe();
    atomic_fetch_add(&arrived, 1);
    while (atomic_load(&arrived) < atomic_load(&expected)) // both are on their CPUs already: this is over soon
      ;
  }
  return now(clock);
}

double since(enum clock clock, double start) {
  double ns = now(clock) - start;
  if (me) {
    double after = probe();
    if (after > me->cpus.probe) me->cpus.probe = after;
    me->cpus.waited = (waited() - me->waited_before) / ns;
  }
  return ns;
}

static void *serve(void *argument) { // never returns: the process ends with its input
  struct member *m = argument;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(m->cpu, &set);
  sched_setaffinity(0, sizeof set, &set);
  me = m;
  for (;;) {
    sem_wait(&m->work);
    m->status = control(m->line, &m->result);
    sem_post(&m->done);
  }
  return NULL;
}

static int start(void) {
  for (int i = 0; i < 2; i++) {
    struct member *m = &members_of[i];
    pthread_t thread;
    if (!crew_cpus[0] || !crew_cpus[1]) return -1;
    m->cpu = atoi(crew_cpus[i]);
    sem_init(&m->work, 0, 0);
    sem_init(&m->done, 0, 0);
    if (pthread_create(&thread, NULL, serve, m)) return -1;
  }
  return 0;
}

// The slowest member's time: the work of all is done when the last one ends.
int crew(unsigned members, const char *line, struct result *result, struct cpus *cpus) {
  static int started;
  if (members < 1 || members > 3 || (!started && start())) return -1;
  started = 1;
  *result = (struct result){0, 0};
  *cpus = (struct cpus){0};
  atomic_store(&arrived, 0);
  atomic_store(&expected, (unsigned)__builtin_popcount(members));
  for (int i = 0; i < 2; i++)
    if (members >> i & 1) {
      members_of[i].line = line;
      sem_post(&members_of[i].work);
    }
  int status = 0;
  for (int i = 0; i < 2; i++)
    if (members >> i & 1) {
      struct member *m = &members_of[i];
      sem_wait(&m->done);
      status |= m->status;
      if (m->result.ns > result->ns) result->ns = m->result.ns;
      cpus->ns[i] = m->result.ns;
      if (m->cpus.waited > cpus->waited) cpus->waited = m->cpus.waited;
      if (m->cpus.probe > cpus->probe) cpus->probe = m->cpus.probe;
      result->check += m->result.check;
    }
  return status;
}
