// Reference: the pvmemcontrol cover letter: "For guest stacks backed by hugepages, stack guard pages can be handled in
// the host and memory can be saved in the hugepage"; docs/linux-rules.md 9.2, 9.3.
export const stacksInHugePages = `version: 1
title: Sixteen stacks in one huge page, guard pages in the host
about: |
  A guest maps sixteen stacks of 128 KiB by one huge page of its own. A guard page in the guest would break that page
  up; here the host has the guards: MPROTECT_NONE on the lowest 4 KiB of each. An overflow leaves the guest (EFAULT)
  before it reaches the neighbour. What a guard covers is never used, so it is given back first, and so is the part
  of each stack that was never reached: 96 KiB of 128. The same twice: with small pages in the host, and with a
  transparent huge page, whose mapping the first guard splits.
machine:
  memory: 256M
  pool: 64M
  swap: 0
  vms:
    small: {}
    thp: { backing: { kind: thp } }
steps:
  - each:
      steps:
        - info: {}
        - touch: { gpa: 128M, len: 2M, write: true, byte: 0x11 }
        - expect: { host.rss: { change: 2M } }
  - walk: { vm: small, gpa: 128M, id: small-before }
  - walk: { vm: thp, gpa: 128M, id: thp-before }
  - expect: { small-before.page: a, thp-before.page: H }
  - sample: sixteen stacks
  - each:
      steps:
        - repeat:
            times: 16
            advance: 128K
            steps:
              - dontneed: { gpa: 128M, len: 96K, id: unused }
              - mprotect-none: { gpa: 128M, len: 4K, id: guard }
              - expect: { unused.errno: 0, guard.errno: 0 }
        - note: A guard page and the stack above it are a VMA each
        - expect: { vmas.count: 33 }
  - sample: guards in place, unused parts given back
  - note: A quarter is left resident; the huge page is mapped by parts now and still one piece of memory
  - walk: { vm: thp, gpa: 128M+96K, id: thp-after }
  - expect:
      thp-after.page: h
      small.host.rss: 516K
      thp.host.rss: 2560K
      pool.used: 4612K
  - each:
      steps:
        - note: Stack 3 is used down to its guard, and then one word more
        - fill: { gpa: 128M+388K, len: 124K, byte: 0x33, id: inside }
        - store: { gpa: 128M+387K+1016, val: 0xbad, id: overflow }
        - expect: { inside.exit: none, overflow.exit: EFAULT, exits.efault: { change: 1 }, host.rss: { unchanged: true } }
        - note: The neighbour below is untouched
        - load: { gpa: 128M+380K, size: 1, as: neighbour }
        - expect: { neighbour: 0x11 }
`;
