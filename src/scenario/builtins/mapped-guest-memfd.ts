// Reference: linux 6.18 virt/kvm/guest_memfd.c (GUEST_MEMFD_FLAG_MMAP, GUEST_MEMFD_FLAG_INIT_SHARED).
export const mappedGuestMemfd = `version: 1
title: A guest_memfd that the VMM maps
about: |
  Since Linux 6.18 a guest_memfd can be mapped by the VMM. All of the guest's accesses to such a slot go to the file, and the
  VMM's mapping is only a window into it: what the VMM does to its window (mprotect, munmap) the guest does not notice. RSS
  counts what the window has mapped, not what the guest uses: it is 0 while the guest fills 2 MiB, and again after munmap.
machine: { memory: 16M, pool: 32M, swap: 0, gmemProfile: C }
params: { at: 32M, hva: 16T+512G }
steps:
  - guest-memfd.create: { len: 4M, flags: [mmap, init-shared], id: file }
  - vmm.mmap: { hva: "\${hva}", len: 4M, shared: true, file: file, id: map }
  - memslot.create: { slot: 8, gpa: "\${at}", len: 4M, hva: "\${hva}", file: file, id: slot }
  - expect: { file.errno: 0, map.errno: 0, slot.errno: 0 }
  - note: The guest fills half of it, and the VMM has mapped nothing of that yet
  - fill: { gpa: "\${at}", len: 2M, byte: 0x5a }
  - expect: { pool.used: { change: 2M }, host.rss: 0 }
  - sample: the guest has 2 MiB
  - note: The VMM looks, and now the pages count for it too. It is the same memory
  - vmm.madvise: { hva: "\${hva}", len: 2M, advice: populate_read }
  - expect: { pool.used: { unchanged: true }, host.rss: 2M }
  - sample: the VMM has mapped them
  - vmm.read: { hva: "\${hva}", as: seen }
  - vmm.write: { hva: "\${hva}+4K", byte: 0x77 }
  - load: { gpa: "\${at}+4K", size: 1, as: written }
  - expect: { seen: 0x5a, written: 0x77 }
  - note: The window is shut. The VMM dies of an access, the guest goes on
  - vmm.mprotect: { hva: "\${hva}", len: 4M, prot: none }
  - load: { gpa: "\${at}", size: 1, id: on }
  - vmm.read: { hva: "\${hva}", id: dead }
  - expect: { on.exit: none, dead.signal: SIGSEGV, slat.zapped: 0 }
  - note: The window is gone, and RSS with it. The guest still has its memory
  - vmm.munmap: { hva: "\${hva}", len: 4M }
  - fill: { gpa: "\${at}+2M", len: 2M, byte: 0x5a, id: still }
  - expect: { still.exit: none, host.rss: 0, pool.used: 4M, slat.zapped: 0 }
  - sample: munmap, the guest has 4 MiB
  - note: Only a hole in the file takes it away
  - guest-memfd.punch: { file: file, len: 4M }
  - load: { gpa: "\${at}", size: 1, as: zero }
  - expect: { zero: 0, slat.zapped: 1024, pool.used: 4K }
  - sample: hole punched
`;
