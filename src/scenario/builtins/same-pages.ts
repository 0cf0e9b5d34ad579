// Reference: linux Documentation/admin-guide/mm/ksm.rst; docs/linux-rules.md 8.
export const samePages = `version: 1
title: Four guests of the same image share its pages
about: |
  Four guests have booted the same image: 500 pages that are equal from guest to guest, each another. (Here they are
  zeros but for one word, 8 bytes further on in each.) They let KSM merge what is equal, and after two scans the host
  has each page once: 1500 pages less. A guest that writes gets a copy of that one page, and nobody else sees it.
machine:
  memory: 128M
  pool: 64M
  swap: 0
  vms: { a: {}, b: {}, c: {}, d: {} }
steps:
  - each:
      steps:
        - info: {}
        - repeat:
            times: 500
            advance: 4104
            steps:
              - store: { gpa: 32M, val: 0x1a6e }
        - expect: { host.rss: 2004K }
        - mergeable: { gpa: 32M, len: 4M, id: merge }
        - expect: { merge.errno: 0 }
  - sample: booted
  - note: The first scan learns which pages do not change
  - ksm.scan: { passes: 1, id: first }
  - expect: { first.shared: 0, pool.used: { unchanged: true } }
  - ksm.scan: { passes: 1, id: second }
  - expect: { second.shared: 500, all.ksm.merged: 1500, pool.used: { change: -6000K } }
  - sample: merged
  - note: Resident sets are as large as ever, what they weigh (PSS) is not
  - expect: { a.host.rss: 2004K, a.host.pss: 504K }
  - note: A write ends the sharing of one page, for one guest
  - store: { vm: b, gpa: 32M, val: 0xbad, id: own }
  - expect: { own.exit: none, pool.used: { change: 4K } }
  - load: { vm: a, gpa: 32M, as: of-a }
  - load: { vm: b, gpa: 32M, as: of-b }
  - expect: { of-a: 0x1a6e, of-b: 0xbad }
  - note: A guest that does not want it any more has all its pages back at once
  - unmergeable: { vm: c, gpa: 32M, len: 4M, id: apart }
  - expect: { apart.errno: 0, pool.used: { change: 2000K }, c.host.pss: 2004K }
  - sample: c shares nothing
`;
