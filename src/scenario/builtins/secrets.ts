// Reference: the pvmemcontrol cover letter: UNMERGEABLE "when the VM does not want to share its backing pages", DONTDUMP
// "so sensitive pages are not included in a dump", MLOCK "not swapped out on the host"; docs/linux-rules.md C2, 8.6.
export const secrets = `version: 1
title: A secret that is not swapped, not dumped and not merged
about: |
  A guest has a key of 64 KiB at 128M. Another range at 144M is like it but not protected. KSM may merge
  the memory of both guests on this host, and spy, the guest of somebody else, has guessed both contents. A page that is
  shared is slower to write, which tells spy that its guess is right. The guest asks for UNMERGEABLE, DONTDUMP and MLOCK.
  Then each way out is tried: KSM, a core dump of the VMM, and more memory wanted than the host has.
machine:
  memory: 256M
  pool: 64M
  swap: 64M
  vms: { bank: {}, spy: {} }
steps:
  - note: Both guests have the same bytes, and KSM may look at all of them
  - each:
      steps:
        - info: {}
        - fill: { gpa: 128M, len: 64K, byte: 0xa7 }
        - fill: { gpa: 144M, len: 64K, byte: 0xb8 }
        - mergeable: { gpa: 64M, len: 128M, id: merge }
        - expect: { merge.errno: 0 }
  - ksm.scan: { passes: 3, id: first }
  - expect: { first.shared: 2, all.ksm.merged: { change: 62 } }
  - walk: { vm: bank, gpa: 128M, id: leaked }
  - note: The key is shared with spy, and a core dump of the VMM has it
  - core: { vm: bank, gpa: 128M, len: 64K, id: dumped }
  - expect: { leaked.page: k, dumped.dumped: 64K }
  - sample: the key is shared

  - note: The guest protects the key, and only the key
  - unmergeable: { vm: bank, gpa: 128M, len: 64K, id: apart }
  - dontdump: { vm: bank, gpa: 128M, len: 64K, id: hidden }
  - mlock: { vm: bank, gpa: 128M, len: 64K, id: kept }
  - expect: { apart.errno: 0, hidden.errno: 0, kept.errno: 0 }
  - sample: the key is the guest's own

  - note: KSM comes by again
  - ksm.scan: { passes: 3 }
  - walk: { vm: bank, gpa: 128M, id: key }
  - walk: { vm: bank, gpa: 144M, id: other }
  - expect: { key.page: a, other.page: k }

  - note: The VMM dies and leaves a core file
  - core: { vm: bank, gpa: 128M, len: 64K, id: key-core }
  - core: { vm: bank, gpa: 144M, len: 64K, id: other-core }
  - expect: { key-core.dumped: 0, other-core.dumped: 64K }

  - note: spy wants more memory than there is
  - store: { vm: bank, gpa: 144M, val: 1 }
  - fill: { vm: spy, gpa: 192M, len: 60M, byte: 0x11, id: pressure }
  - fill: { vm: spy, gpa: 64M, len: 32M, byte: 0x22, id: more }
  - expect: { pressure.exit: none, more.exit: none, swap.used: { min: 16M } }
  - sample: spy needs 92M
  - repeat:
      times: 16
      advance: 4K
      steps:
        - walk: { vm: bank, gpa: 128M, id: key }
        - expect: { key.page: a }
  - walk: { vm: bank, gpa: 144M, id: other }
  - expect: { other.page: s }
  - verify: { vm: bank, gpa: 128M, len: 64K, byte: 0xa7 }
`;
