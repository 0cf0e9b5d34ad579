// Reference: the sample program of the pvmemcontrol series (pvmemcontrol-user).
export const sampleDontneed = `version: 1
title: The sample program, 100 rounds of DONTNEED
about: |
  A program in the guest touches 1 GiB. Then, a hundred times, it fills all of it, tells the host that it does
  not need it, and reads it back as zeros. Watch the host's RSS: it rises to 1 GiB with every fill and falls
  back with every request. The zeros cost no memory, since reading maps the host's zero page.
machine:
  memory: 2G
  pool: 1280M
  swap: 0
steps:
  - info: { id: probe }
  - expect: { probe.errno: 0, device.state: ready }
  - touch: { gpa: 1G, len: 1G, write: true, byte: 1 }
  - expect: { host.rss: { min: 1G, max: 1G+1M, change: 1G } }
  - repeat:
      times: 100
      steps:
        - fill: { gpa: 1G, len: 1G, byte: 0x5a, id: filled }
        - expect: { filled.exit: none, host.rss: { min: 1G, max: 1G+1M } }
        - dontneed: { gpa: 1G, len: 1G, id: drop }
        - expect:
            drop.errno: 0
            host.rss: { change: -1G }
            hostcalls.dontneed: { change: 1 }
        - verify: { gpa: 1G, len: 1G, byte: 0 }
        - expect: { host.rss: { max: 1M, unchanged: drop }, host.swap: 0 }
`;
