// Reference: linux Documentation/virt/kvm/api.rst (KVM_CREATE_GUEST_MEMFD, KVM_SET_MEMORY_ATTRIBUTES), guest_memfd RFC v11.
export const privateShared = `version: 1
title: Private and shared, and the moment when both are there
about: |
  A slot with a guest_memfd has two memories behind each page: the VMM's mapping, which is shared, and the file, which
  is private and which the VMM cannot map. KVM_SET_MEMORY_ATTRIBUTES says which of them the guest sees. It moves nothing and
  frees nothing: after a conversion the old page is still there, and the first access allocates the new one. Until the
  VMM drops the old one, the host has both. Look at "used" beside "rss" in the table, and at the lens Attributes.
machine: { memory: 16M, pool: 64M, swap: 0, vmType: 1 }
params: { at: 32M, hva: 16T+512G }
steps:
  - note: A file, a mapping of the same size, and a slot that has both
  - guest-memfd.create: { len: 8M, id: file }
  - vmm.mmap: { hva: "\${hva}", len: 8M, id: map }
  - memslot.create: { slot: 8, gpa: "\${at}", len: 8M, hva: "\${hva}", file: file, id: slot }
  - expect: { file.errno: 0, map.errno: 0, slot.errno: 0, pool.used: 0 }
  - note: Pages are shared until somebody says otherwise, and they are the VMM's
  - fill: { gpa: "\${at}", len: 4M, byte: 0x5a }
  - expect: { host.rss: { change: 4M }, pool.used: { change: 4M } }
  - sample: 4 MiB shared
  - note: Conversion to private takes the guest's translations away, and nothing else
  - memory-attributes: { gpa: "\${at}", len: 4M, to: private, id: convert }
  - expect: { convert.errno: 0, slat.zapped: { change: 1024 }, pool.used: { unchanged: true } }
  - note: The guest's next access allocates in the file. Its memory is zeros, whatever the shared page has
  - verify: { gpa: "\${at}", len: 4M, byte: 0 }
  - expect: { pool.used: { change: 4M }, host.rss: { unchanged: true }, memory.current: { change: 4M } }
  - sample: private, shared pages still there
  - note: The VMM still reads the old shared page. What is private it cannot reach
  - fill: { gpa: "\${at}", len: 4M, byte: 0x77 }
  - vmm.read: { gpa: "\${at}", as: seen }
  - expect: { seen: 0x5a }
  - note: Only when the VMM drops the shared pages is the memory single again
  - vmm.madvise: { gpa: "\${at}", len: 4M, advice: dontneed }
  - expect: { pool.used: { change: -4M }, host.rss: { change: -4M }, slat.zapped: { unchanged: true } }
  - sample: shared pages dropped
  - note: Back to shared, the first half. A hole in the file destroys what was private there
  - memory-attributes: { gpa: "\${at}", len: 2M, to: shared }
  - touch: { gpa: "\${at}", len: 2M, write: true }
  - expect: { pool.used: { change: 2M } }
  - sample: half shared, both there
  - guest-memfd.punch: { file: file, len: 2M, id: punch }
  - expect: { punch.errno: 0, pool.used: { change: -2M } }
  - sample: hole punched
  - note: The second half there and back without a hole. Nothing is lost, and it costs both memories
  - memory-attributes: { gpa: "\${at}+2M", len: 2M, to: shared }
  - fill: { gpa: "\${at}+2M", len: 2M, byte: 0x33 }
  - memory-attributes: { gpa: "\${at}+2M", len: 2M, to: private }
  - verify: { gpa: "\${at}+2M", len: 2M, byte: 0x77 }
  - vmm.read: { gpa: "\${at}+2M", as: other }
  - expect: { other: 0x33 }
  - sample: there and back, both kept
  - note: Guests of TDX and SEV-SNP say with each access which memory they mean. The other kind is an exit
  - load: { gpa: "\${at}+2M", size: 1, kind: private, as: meant }
  - load: { gpa: "\${at}+2M", size: 1, kind: shared, id: wrong }
  - expect: { meant: 0x77, wrong.exit: MEMORY_FAULT, wrong.flags: 0 }
  - note: Usually the guest asks, by a hypercall. This VMM converts and drops the other memory at once
  - enable-cap: { cap: exit-hypercall, arg: 4096 }
  - hypercall: { gpa: "\${at}+2M", len: 2M, to: shared, id: ask }
  - vmm.read: { gpa: "\${at}+2M", as: kept }
  - expect: { ask.exit: HYPERCALL, ask.value: 0, kept: 0x33, pool.used: 4M, host.rss: 4M }
  - sample: converted by the VMM
  - note: Private without a file behind it is an exit, and the vCPU goes on once the VMM has changed that
  - memory-attributes: { gpa: 1M, len: 4K, to: private }
  - load: { gpa: 1M, id: lost }
  - expect: { lost.exit: MEMORY_FAULT, lost.flags: 8, lost.gpa: 1M, exits.memory-fault: { change: 1 } }
  - memory-attributes: { gpa: 1M, len: 4K, to: shared }
  - load: { gpa: 1M, id: again }
  - expect: { again.exit: none }
`;
