// Reference: src/vmm/migration.ts; qemu docs/devel/migration (pre-copy).
export const preCopy = `version: 1
title: Pre-copy live migration
about: |
  A guest moves to another VM while it runs. The first round copies all of its memory; meanwhile the guest writes, and the
  dirty log knows where. Each next round copies what was written during the one before. A round is short when little was
  written, and little is written when it is short: as long as the guest writes more slowly than the VMM copies, rounds
  shrink. When few enough pages are left the guest is stopped, they are copied, and it goes on in the other VM: that time is
  the downtime. A guest that writes as fast as is copied never gets there, and is stopped after so many rounds with all
  of its working set left. Here one page written for every four copied, then one for one.
machine:
  memory: 64M
  pool: 160M
  swap: 0
  vms: { source: {}, calm: {}, busy: {} }
steps:
  - fill: { gpa: 16M, len: 24M, byte: 0x42 }
  - sample: before
  - note: 16 pages written for every 64 copied. Each round has a quarter of the one before
  - migrate: { to: calm, gpa: 16M, len: 16M, writes: 16, every: 64, stop: 32, id: move }
  - expect:
      move.errno: 0
      move.converged: true
      move.rounds: 6
      move.downtime: 16
      move.identical: true
      calm.host.rss: 24M
  - verify: { vm: calm, gpa: 34M, len: 6M, byte: 0x42 }
  - sample: moved to calm
  - note: As many as are copied. Rounds do not get shorter than the working set
  - migrate: { to: busy, gpa: 16M, len: 16M, writes: 64, every: 64, stop: 32, rounds: 8, id: stuck }
  - expect:
      stuck.converged: false
      stuck.downtime: 4096
      stuck.identical: true
  - sample: moved to busy
`;
