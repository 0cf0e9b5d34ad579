// Reference: the pvmemcontrol cover letters: "They also allow kernel memory, such as kernel stacks and task_structs to be
// paravirtualized". THREAD_SIZE of x86-64 is 16 KiB.
export const kernelStacks = `version: 1
title: Kernel stacks given back when threads die
about: |
  A thread pool of 1024 threads shrinks to 512 and grows again, three times. A kernel stack is 16 KiB; those of dead
  threads go back to the guest's allocator, and the host, which sees nothing of that, keeps them. One guest says
  nothing. One drops each stack as its thread dies (DONTNEED), and pays four page faults for each new thread. One marks
  it as free to take (FREE), and pays none as long as the host is not short; when it is, it takes what it needs.
  Assumed: the pages of a stack lie together (no VMAP_STACK: then it is four requests of a page each).
machine:
  memory: 256M
  pool: 80M
  swap: 64M
  vms: { keep: {}, drop: {}, lazy: {} }
params: { threads: 512, stacks: 16M }
steps:
  - each:
      steps:
        - info: {}
        - touch: { gpa: 64M, len: "\${stacks}", write: true }
  - sample: 1024 threads each
  - note: Every second thread dies, and is there again in the next round
  - repeat:
      times: 3
      steps:
        - each:
            vms: [drop]
            steps:
              - repeat:
                  times: "\${threads}"
                  advance: 32K
                  steps:
                    - dontneed: { gpa: 64M, len: 16K, id: dead }
              - expect: { dead.errno: 0 }
        - each:
            vms: [lazy]
            steps:
              - repeat:
                  times: "\${threads}"
                  advance: 32K
                  steps:
                    - free: { gpa: 64M, len: 16K, id: dead }
              - expect: { dead.errno: 0 }
        - sample: half of the threads are dead
        - each:
            steps:
              - touch: { gpa: 64M, len: "\${stacks}", write: true, id: born }
              - expect: { born.exit: none }
  - sample: all threads are back
  - expect:
      keep.faults.minor: 4097
      drop.faults.minor: 10241
      lazy.faults.minor: 4097
      keep.hostcalls.total: 0
      drop.hostcalls.dontneed: 1536
      lazy.hostcalls.free: 1536
  - note: They die once more, and the host runs short
  - each:
      vms: [drop]
      steps:
        - repeat: { times: "\${threads}", advance: 32K, steps: [{ dontneed: { gpa: 64M, len: 16K } }] }
  - each:
      vms: [lazy]
      steps:
        - repeat: { times: "\${threads}", advance: 32K, steps: [{ free: { gpa: 64M, len: 16K } }] }
  - sample: half of the threads are dead
  - touch: { vm: keep, gpa: 128M, len: 46M, write: true, id: pressure }
  - sample: keep needs 46M more
  - expect:
      pressure.exit: none
      drop.host.rss: 8M+4K
      lazy.host.rss: { max: 10M+4K }
      lazy.reclaim.lazyfree: { min: 1536 }
      swap.used: 0
`;
