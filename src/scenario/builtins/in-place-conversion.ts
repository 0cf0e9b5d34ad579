// Reference: the series "guest_memfd: in-place conversion support" (KVM_SET_MEMORY_ATTRIBUTES2), docs/kvm.md.
export const inPlaceConversion = `version: 1
title: Conversion in place
about: |
  Here the guest_memfd itself says which of its pages are private, and the VMM maps the shared ones. A conversion changes what a
  page is, not where it is: nothing is allocated, nothing is copied, and memory is never there twice. For that KVM must be sure that
  nobody else has the page: a reference that somebody took (a device doing I/O, vmsplice, a long-term pin) makes the
  call fail with EAGAIN and the place, and the VMM has to find out who it was. Compare with private-shared.
machine: { memory: 16M, pool: 32M, swap: 0, vmType: 1, gmemProfile: D }
params: { at: 32M, hva: 16T+512G }
steps:
  - guest-memfd.create: { len: 4M, flags: [mmap, init-shared], id: file }
  - vmm.mmap: { hva: "\${hva}", len: 4M, shared: true, file: file, id: map }
  - memslot.create: { slot: 8, gpa: "\${at}", len: 4M, hva: "\${hva}", file: file, id: slot }
  - expect: { file.errno: 0, map.errno: 0, slot.errno: 0 }
  - note: The VMM loads an image into shared memory, and the guest runs in it
  - vmm.madvise: { hva: "\${hva}", len: 4M, advice: populate_write }
  - fill: { gpa: "\${at}", len: 4M, byte: 0x42 }
  - expect: { pool.used: 4M, host.rss: 4M }
  - sample: 4 MiB shared
  - note: A device still has a page. The call takes the VMM's mappings away, finds that page in use, fails, and says where
  - vmm.pin: { hva: "\${hva}+1M", len: 4K, id: pin }
  - guest-memfd.convert: { file: file, len: 4M, to: private, contents: preserve, id: held }
  - expect: { pin.errno: 0, held.errno: EAGAIN, held.offset: 1M, host.rss: 0, pool.used: 4M }
  - vmm.read: { hva: "\${hva}", as: still }
  - expect: { still: 0x42 }
  - vmm.unpin: { hva: "\${hva}+1M", len: 4K }
  - note: Now all of it is private, with its contents, in the same frames
  - guest-memfd.convert: { file: file, len: 4M, to: private, contents: preserve, id: convert }
  - expect: { convert.errno: 0, pool.used: { unchanged: true }, host.rss: 0 }
  - verify: { gpa: "\${at}", len: 4M, byte: 0x42 }
  - expect: { pool.used: 4M }
  - sample: private, the same frames
  - note: The VMM's mapping is still there, and dies of a touch
  - vmm.read: { hva: "\${hva}", id: dead }
  - expect: { dead.signal: SIGBUS }
  - note: Back to shared, without what was private in it
  - guest-memfd.convert: { file: file, len: 2M, to: shared, contents: zero, id: back }
  - vmm.read: { hva: "\${hva}", as: zeros }
  - expect: { back.errno: 0, zeros: 0, pool.used: 4M }
  - sample: half shared again
`;
