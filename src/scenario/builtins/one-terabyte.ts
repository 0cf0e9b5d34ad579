// A guest far larger than its host: the map, and what untouched memory costs.
export const oneTerabyte = `version: 1
title: One terabyte of guest, 256 MiB of host
about: |
  The guest has 1 TiB of RAM, the host 256 MiB for all of it. Only touched pages have frames, so this works as
  long as the guest touches little. Zoom in on what is coloured: + and the wheel, or ] for one table level.
machine:
  memory: 1T
  pool: 256M
  cpus: 4
steps:
  - info: { id: probe }
  - expect: { probe.errno: 0, device.state: ready }
  - note: One page every 16 GiB, each in tables of its own
  - repeat:
      times: 60
      advance: 16G
      steps:
        - touch: { gpa: 8G, len: 4K, write: true }
  - touch: { gpa: 512G, len: 64M, write: true }
  - touch: { gpa: 768G, len: 64M, cpu: 1 }
  - mprotect-none: { gpa: 512G, len: 8M, cpu: 2 }
  - free: { gpa: 513G, len: 1G, cpu: 3 }
  - free: { gpa: 512G+32M, len: 16M, cpu: 3 }
  - expect: { host.rss: { min: 64M, max: 66M } }
  - note: All of it at once, and only the touched pages cost anything
  - dontneed: { gpa: 4G, len: 1021G, id: all }
  - expect: { all.errno: 0, host.rss: { max: 64K } }
`;
