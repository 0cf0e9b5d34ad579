// Reference: the pvmemcontrol cover letter: "hugepages backed by smaller pages on the host … partial freeing of private
// guest hugepages"; docs/linux-rules.md 9.3, 10.2.
export const partialHugePages = `version: 1
title: Half-used huge pages of the guest, on three kinds of host memory
about: |
  A guest keeps a heap in 32 huge pages of its own: one page table entry and one struct page for 2 MiB. It was cleared
  when it was made, so the host has all 64 MiB, but the program uses only the first 512 KiB of each. The guest gives
  the rest back, 1.5 MiB at a time. With small pages behind it the host saves 48 MiB. With transparent huge pages the
  resident set falls as much, but the memory stays with the huge pages until the host needs it and splits them. With
  hugetlb a part of a page cannot be given back at all.
machine:
  memory: 256M
  pool: 208M
  swap: 0
  vms:
    small: {}
    thp: { backing: { kind: thp } }
    hugetlb: { backing: { kind: hugetlb } }
steps:
  - each:
      vms: [small, thp, hugetlb]
      steps:
        - info: {}
        - touch: { gpa: 128M, len: 64M, write: true, byte: 0x5a }
  - sample: every guest has its heap
  - note: Small pages, page by page
  - each:
      vms: [small]
      steps:
        - repeat:
            times: 32
            advance: 2M
            steps:
              - dontneed: { gpa: 128M+512K, len: 1536K, id: part }
              - expect: { part.errno: 0, host.rss: { change: -1536K }, pool.used: { change: -1536K } }
        - expect: { host.rss: 16M+4K }
  - sample: small has given back 48M
  - note: Transparent huge pages fall out of the resident set, not out of memory
  - walk: { vm: thp, gpa: 128M, id: whole }
  - each:
      vms: [thp]
      steps:
        - repeat:
            times: 32
            advance: 2M
            steps:
              - dontneed: { gpa: 128M+512K, len: 1536K, id: part }
              - expect: { part.errno: 0, host.rss: { change: -1536K }, pool.used: { unchanged: true } }
  - walk: { vm: thp, gpa: 128M, id: parts }
  - expect: { whole.page: H, parts.page: h }
  - sample: thp has given back 48M
  - note: hugetlb takes no part of a page
  - dontneed: { vm: hugetlb, gpa: 128M+512K, len: 1536K, id: part }
  - expect: { part.errno: EINVAL, hugetlb.host.hugetlb: { unchanged: true } }
  - note: When the host runs out of frames it splits the huge pages, and only then has what thp gave back
  - fill: { vm: small, gpa: 192M, len: 60M, byte: 0x11, id: pressure }
  - expect: { pressure.exit: none, thp.host.rss: { unchanged: true } }
  - sample: small needs 60M more
  - each:
      steps:
        - load: { gpa: 128M, size: 1, as: kept }
        - expect: { kept: 0x5a }
`;
