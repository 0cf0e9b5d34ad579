// Reference: docs/concurrency.md (what two vCPUs may do at the same time).
export const twoCpus = `version: 1
title: Two vCPUs at once, each in its own half
about: |
  Each vCPU fills memory of its own, drops part of it, protects a page and reads everything back, all at the
  same time as the other and on a thread of its own. Per-CPU buffers let both send requests without waiting
  for each other. Which of them is first is different each time; the sums, and the machine afterwards, are not.
machine:
  memory: 256M
  pool: 64M
  swap: 0
  cpus: 2
  threads: true
steps:
  - info: { id: probe }
  - expect: { probe.errno: 0, device.connections: 2 }
  - parallel:
      - - fill: { gpa: 32M, len: 8M, byte: 0x11 }
        - verify: { gpa: 32M, len: 8M, byte: 0x11 }
      - - fill: { gpa: 160M, len: 8M, byte: 0x22 }
        - verify: { gpa: 160M, len: 8M, byte: 0x22 }
  - note: Both halves are there, page by page, and no page was faulted in twice
  - expect: { host.rss: { change: 16M }, faults.minor: { change: 4096 }, slat.mapped: { change: 4096 } }
  - parallel:
      - - repeat:
            times: 64
            advance: 64K
            steps:
              - dontneed: { gpa: 32M, len: 32K }
              - verify: { gpa: 32M, len: 32K, byte: 0 }
        - verify: { gpa: 36M, len: 4M, byte: 0x11 }
        - mprotect-r: { gpa: 36M, len: 4K }
        - store: { gpa: 36M, val: 1, id: first }
      - - repeat:
            times: 64
            advance: 64K
            steps:
              - dontneed: { gpa: 160M, len: 32K }
              - verify: { gpa: 160M, len: 32K, byte: 0 }
        - verify: { gpa: 164M, len: 4M, byte: 0x22 }
        - mprotect-r: { gpa: 164M, len: 4K }
        - store: { gpa: 164M, val: 1, id: second }
  - note: Two megabytes were dropped on each side, and what is read there costs nothing; the new page is vCPU 1's buffer
  - expect:
      host.rss: { change: -4092K }
      hostcalls.dontneed: { change: 128 }
      requests.failed: 0
      first.exit: EFAULT
      second.exit: EFAULT
      vmas.count: 5
  - verify: { gpa: 36M, len: 4M, byte: 0x11, cpu: 1 }
  - verify: { gpa: 164M, len: 4M, byte: 0x22, cpu: 0 }
`;
