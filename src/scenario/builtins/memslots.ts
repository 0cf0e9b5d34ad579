// Reference: linux Documentation/virt/kvm/api.rst (KVM_SET_USER_MEMORY_REGION); docs/linux-rules.md R8, R9.
export const memslots = `version: 1
title: Memslots under a running guest
about: |
  A memslot says which of the VMM's addresses is behind a range of guest-physical ones. Slots come, move and go while the
  guest runs; the memory itself belongs to the VMM and outlives them all. Two slots may have the same memory (an alias), one
  may be read-only (a ROM: writes are exits, so the VMM can act on them), one may have nothing behind it. The guest never
  sees a stale page: after each change its next access is translated anew, or leaves to the VMM.
machine: { memory: 16M, pool: 32M, swap: 0 }
steps:
  - fill: { gpa: 4M, len: 64K, byte: 0x11 }
  - note: A second slot over the same memory costs no memory
  - memslot.create: { slot: 5, gpa: 32M, len: 1M, alias: 4M, id: made }
  - load: { gpa: 32M, size: 1, as: other }
  - expect: { made.errno: 0, other: 0x11, host.rss: { unchanged: true } }
  - store: { gpa: 32M, size: 1, val: 0x22 }
  - load: { gpa: 4M, size: 1, as: same }
  - expect: { same: 0x22 }
  - note: What the VMM takes away is gone in both, at once
  - vmm.madvise: { gpa: 4M, len: 64K, advice: dontneed }
  - expect: { slat.zapped: { change: 17 }, host.rss: { change: -64K } }
  - load: { gpa: 32M, size: 1, as: gone }
  - expect: { gone: 0 }
  - note: A third, read-only. Reads are reads, a write is an exit, and the memory has not changed
  - memslot.create: { slot: 6, gpa: 48M, len: 1M, alias: 4M, flags: [readonly] }
  - store: { gpa: 4M, size: 1, val: 0x33 }
  - store: { gpa: 48M, size: 1, val: 1, id: burn }
  - load: { gpa: 48M, size: 1, as: rom }
  - expect: { burn.exit: MMIO, rom: 0x33 }
  - note: A slot moves with its memory, and the old place is device space
  - memslot.move: { slot: 5, gpa: 40M, id: moved }
  - load: { gpa: 32M, size: 1, id: old }
  - load: { gpa: 40M, size: 1, as: new }
  - expect: { moved.errno: 0, old.exit: MMIO, new: 0x33 }
  - note: What KVM refuses changes nothing. Slots do not overlap, and a slot does not become read-only later
  - memslot.create: { slot: 7, gpa: 48M, len: 4K, alias: 4M, id: over }
  - memslot.flags: { slot: 5, flags: [readonly], id: late }
  - expect: { over.errno: EEXIST, late.errno: EINVAL }
  - note: RAM itself is taken from under the guest. A load is device space, a fetch is the end of the guest
  - memslot.delete: { slot: 0, id: pulled }
  - load: { gpa: 4M, size: 1, id: nothing }
  - fetch: { gpa: 4M, id: crash }
  - expect: { pulled.errno: 0, nothing.exit: MMIO, crash.exit: INTERNAL_ERROR, host.rss: { unchanged: true } }
  - memslot.create: { slot: 0, gpa: 0, len: 16M, hva: 16T }
  - load: { gpa: 4M, size: 1, as: back }
  - expect: { back: 0x33 }
  - note: A slot over addresses where the VMM has nothing is allowed. The access fails until there is a mapping
  - memslot.create: { slot: 9, gpa: 64M, len: 1M, hva: 16T+800G, id: bare }
  - load: { gpa: 64M, size: 1, id: fault }
  - expect: { bare.errno: 0, fault.exit: EFAULT }
  - vmm.mmap: { hva: 16T+800G, len: 1M }
  - load: { gpa: 64M, size: 1, id: resumed }
  - expect: { resumed.exit: none }
`;
