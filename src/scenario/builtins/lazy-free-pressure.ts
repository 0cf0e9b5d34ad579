// Reference: madvise(2), MADV_FREE; reclaim takes clean lazily freed pages before it swaps anything out.
export const lazyFreePressure = `version: 1
title: Memory pressure takes lazily freed pages first
about: |
  The guest frees 32 MiB lazily: the pages stay until the host needs memory. Then it touches more than the
  pool has left. The lazily freed pages go first, without any swap; only when they are gone are live pages
  swapped out, and nothing live is lost.
machine:
  memory: 1G
  pool: 64M
  swap: 64M
steps:
  - info: { id: probe }
  - fill: { gpa: 256M, len: 16M, byte: 0xaa, id: live }
  - fill: { gpa: 512M, len: 32M, byte: 0xbb, id: cache }
  - expect: { live.exit: none, cache.exit: none, host.rss: { min: 48M }, host.swap: 0 }
  - free: { gpa: 512M, len: 32M, id: lazy }
  - expect:
      lazy.errno: 0
      host.rss: { unchanged: true }
      reclaim.lazyfree: 0
  - note: Until pressure comes, lazily freed pages can still be read
  - read: { gpa: 512M, as: old }
  - expect: { old: 0xbb }
  - note: Writing to one takes it back
  - store: { gpa: 512M, size: 1, val: 0xcc }
  - note: 24 MiB more fit only if lazily freed pages go
  - fill: { gpa: 768M, len: 24M, byte: 0xdd, id: more }
  - expect:
      more.exit: none
      reclaim.lazyfree: { min: 1 }
      reclaim.swapout: 0
      host.swap: 0
  - note: 32 MiB more need swap as well
  - fill: { gpa: 800M, len: 32M, byte: 0xee, id: most }
  - expect: { most.exit: none, host.swap: { min: 1M }, reclaim.swapout: { min: 1 } }
  - note: Nothing live is lost
  - read: { gpa: 512M, as: back }
  - expect: { back: 0xcc }
  - verify: { gpa: 256M, len: 16M, byte: 0xaa }
  - verify: { gpa: 768M, len: 24M, byte: 0xdd }
  - verify: { gpa: 800M, len: 32M, byte: 0xee }
  - expect: { faults.major: { min: 1 } }
`;
