// Reference: the pvmemcontrol cover letter, "stack guard pages can be handled in the host".
export const guardPages = `version: 1
title: Guard pages below sixteen stacks
about: |
  Sixteen stacks of 64 KiB lie in one range of guest memory. The lowest page of each becomes a guard page by
  MPROTECT_NONE in the host, so the guest keeps its own large mapping. An overflow ends in an exit to the
  VMM (EFAULT) before it reaches the neighbour; with MPROTECT_RW the page is ordinary memory again.
machine:
  memory: 1G
steps:
  - info: { id: probe }
  - touch: { gpa: 512M, len: 1M, write: true, byte: 0x11 }
  - expect: { host.rss: { change: 1M }, vmas.count: 1 }
  - repeat:
      times: 16
      advance: 64K
      steps:
        - mprotect-none: { gpa: 512M, len: 4K, id: guard }
        - expect: { guard.errno: 0, host.rss: { unchanged: true } }
  - note: Each guard page is a VMA of its own, and so is each stack between two of them
  - expect: { vmas.count: 33 }
  - note: The program of stack 3 runs down its stack, one word after the other
  - fill: { gpa: 512M+196K, len: 60K, byte: 0x33, id: inside }
  - expect: { inside.exit: none }
  - store: { gpa: 512M+195K+1016, val: 0xbad, id: overflow }
  - expect:
      overflow.exit: EFAULT
      exits.efault: { change: 1 }
      host.rss: { unchanged: true }
  - load: { gpa: 512M+192K, id: peek }
  - expect: { peek.exit: EFAULT }
  - note: The neighbour below is untouched
  - read: { gpa: 512M+188K, as: neighbour }
  - expect: { neighbour: 0x11 }
  - repeat:
      times: 16
      advance: 64K
      steps:
        - mprotect-rw: { gpa: 512M, len: 4K, id: open }
        - expect: { open.errno: 0 }
  - note: All VMAs have merged again, and what was in the guard pages is still there
  - expect: { vmas.count: 1 }
  - load: { gpa: 512M+192K, size: 1, as: kept }
  - expect: { kept: 0x11 }
  - store: { gpa: 512M+195K+1016, val: 0xbad, id: again }
  - expect: { again.exit: none }
`;
