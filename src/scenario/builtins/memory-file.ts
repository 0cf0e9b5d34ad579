// Reference: vhost-user back ends, which write to guest RAM through the memory file; docs/linux-rules.md 2 and 7.
export const memoryFile = `version: 1
title: Guest memory that other processes write to
about: |
  RAM of the first guest is a memory file that the VMM maps shared, as it must be when a device runs in another process
  (vhost-user). What that process writes to the file the guest reads, and the page counts for the guest only once the
  guest has touched it. RAM of the second is the same kind of file mapped private: where the guest has written it has
  a copy of its own, and does not see the file any more. REMOVE, which punches a hole, is for the shared one.
machine:
  memory: 64M
  pool: 32M
  swap: 0
  vms:
    shared: { backing: { kind: memfd } }
    private: { backing: { kind: memfd_priv } }
steps:
  - each:
      steps:
        - info: {}
        - store: { gpa: 32M, size: 1, val: 0x11 }
        - note: The device's process writes 8 pages, the first of which the guest has written to
        - file.write: { gpa: 32M, len: 32K, byte: 0x77, id: io }
        - expect: { io.errno: 0, io.bytes: 32K, host.rss: { unchanged: true } }
        - load: { gpa: 32M, size: 1, as: first }
        - load: { gpa: 32M+4K, size: 1, as: second }
        - expect: { second: 0x77 }
        - sample: eight pages written by another process
  - load: { vm: shared, gpa: 32M, size: 1, as: of-shared }
  - load: { vm: private, gpa: 32M, size: 1, as: of-private }
  - note: The private copy hides the file
  - expect: { of-shared: 0x77, of-private: 0x11 }
  - note: A hole in the file gives the memory back, for whoever maps it
  - remove: { vm: shared, gpa: 32M, len: 32K, id: hole }
  - expect: { hole.errno: 0, shared.host.rss: { change: -32K }, pool.used: { change: -32K } }
  - sample: a hole in shared's file
  - remove: { vm: private, gpa: 32M, len: 32K, id: refused }
  - expect: { refused.errno: EACCES }
  - note: DONTNEED drops the private copy, and the file is seen again
  - dontneed: { vm: private, gpa: 32M, len: 32K, id: drop }
  - load: { vm: private, gpa: 32M, size: 1, as: again }
  - load: { vm: shared, gpa: 32M, size: 1, as: empty }
  - expect: { drop.errno: 0, again: 0x77, empty: 0 }
`;
