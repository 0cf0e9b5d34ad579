// Reference: linux Documentation/virt/kvm/api.rst (KVM_GET_DIRTY_LOG, KVM_CLEAR_DIRTY_LOG); docs/linux-rules.md R10.
export const dirtyLog = `version: 1
title: A dirty log over huge pages
about: |
  A VMM that migrates a guest must know what the guest has written. With KVM_MEM_LOG_DIRTY_PAGES a slot keeps a bit for
  each page of 4 KiB, also where the host has huge pages: their SLAT entries are split for as long as the log is on, and
  come back afterwards. The log tells pages that may have been written by the guest, not by the VMM. With manual protection
  reading it does not clear it; the VMM clears what it is about to copy, so that little is protected at a time.
machine: { memory: 64M, pool: 64M, swap: 0, backing: { kind: thp } }
steps:
  - touch: { gpa: 32M, len: 4M, write: true }
  - expect: { slat.mapped2m: { change: 2 }, host.rss: { change: 4M } }
  - note: The log goes on, and KVM splits its huge entries. The host's pages stay huge
  - memslot.flags: { slot: 0, flags: [log-dirty-pages], id: on }
  - expect: { on.errno: 0, slat.mapped2m: 0, slat.mapped: 1024 }
  - touch: { gpa: 32M, len: 20K, write: true }
  - dirty-log.get: { slot: 0, id: first }
  - expect: { first.pages: 5, first.list: 8192-8196 }
  - note: Reading has emptied it. Then one of the five is written, another one only read
  - dirty-log.get: { slot: 0, id: empty }
  - store: { gpa: 32M+12K, val: 1 }
  - load: { gpa: 32M+16K }
  - dirty-log.get: { slot: 0, id: one }
  - expect: { empty.pages: 0, one.list: 8195 }
  - note: A write of the VMM is no write of the guest. The VMM has to remember those itself
  - vmm.write: { gpa: 32M, byte: 9 }
  - dirty-log.get: { slot: 0, id: own }
  - expect: { own.pages: 0 }
  - note: With manual protection a read tells, and clearing is a call of its own, in pieces of 64 pages
  - enable-cap: { cap: manual-dirty-log-protect2, arg: 1 }
  - touch: { gpa: 32M, len: 1M, write: true }
  - dirty-log.get: { slot: 0, id: told }
  - dirty-log.get: { slot: 0, id: still }
  - expect: { told.pages: 256, still.pages: 256 }
  - dirty-log.clear: { slot: 0, first: 8192, count: 64, id: cleared }
  - dirty-log.get: { slot: 0, id: rest }
  - expect: { cleared.errno: 0, rest.list: 8256-8447 }
  - dirty-log.clear: { slot: 0, first: 8193, count: 64, id: odd }
  - expect: { odd.errno: EINVAL }
  - note: The log goes off, and the next accesses are mapped by huge entries again
  - memslot.flags: { slot: 0, id: off }
  - touch: { gpa: 32M, len: 4M, write: true }
  - dirty-log.get: { slot: 0, id: none }
  - expect: { off.errno: 0, slat.mapped2m: 2, none.errno: ENOENT }
`;
