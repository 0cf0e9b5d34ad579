// Eight guests of 1 GiB on a host of 2 GiB, three times the same but for how a guest gives memory back.
// Reference: linux 6.18 mm/page_reporting.c (what free page reporting reports), the pvmemcontrol cover letter.
const overcommit = (title: string, about: string, ended: string, after: string): string => `version: 1
title: ${title}
about: |
  Eight guests of 1 GiB share a host with 2 GiB of memory and 1 GiB of swap. Each in turn runs a job that needs
  512 MiB and then frees all of it but 64 KiB in every second block of 2 MiB: a page cache page here, a slab there.
  That pattern is assumed, and it is a mild one: half of all blocks come free whole.
${about}
params: { guest: 1G, pool: 2G, swap: 1G, job: 512M, pairs: 128, left: 64M }
machine:
  memory: "\${guest}"
  pool: "\${pool}"
  swap: "\${swap}"
  vms: { g1: {}, g2: {}, g3: {}, g4: {}, g5: {}, g6: {}, g7: {}, g8: {} }
steps:
  - each:
      steps:
        - touch: { gpa: 64M, len: "\${job}", write: true, id: job }
        - sample: job runs
${ended}        - sample: job is over
${after}`;

const pairs = (step: string): string => `        - repeat:
            times: "\${pairs}"
            advance: 4M
            steps:
              - ${step}: { gpa: 64M+64K, len: 4032K, id: back }
              - expect: { back.errno: 0 }
`;

export const overcommitNothing = overcommit(
  'Overcommit, the host hears nothing of free memory',
  `  Here nobody tells the host. What a guest has freed stays in the host's memory, goes to swap when the next guest
  needs room, and would be read back from there only to be overwritten. When swap is full too, the last guests
  get no memory at all: their vCPUs leave with OUT_OF_MEMORY, where Linux would kill a VMM. Running this needs 3 GiB.`,
  '',
  `  - note: The jobs of two guests had no memory to run with, while the host keeps 3 GiB of what others have freed
  - expect:
      job.exit: OUT_OF_MEMORY
      all.exits.oom: 2
      swap.used: "\${swap}"
      pool.used: "\${pool}"
      all.host.rss: "\${pool}"
`,
);

export const overcommitReporting = overcommit(
  'Overcommit, free page reporting gives back whole blocks',
  `  Here the guest reports free pages through virtio-balloon, and the VMM drops them. Linux reports blocks of 2 MiB
  (pageblock_order) and larger, and each only when it is free as a whole: half of the memory. The rest piles up
  as before, only half as fast: all jobs run, and the host swaps.`,
  pairs('free-report'),
  `  - note: All jobs have run, but the host swaps what nobody uses
  - expect:
      job.exit: none
      all.exits.oom: 0
      swap.used: { min: 32M, max: "\${swap}" }
      all.reclaim.swapout: { min: 8192 }
      pool.used: { min: "\${job}" }
`,
);

export const overcommitPvmemcontrol = overcommit(
  'Overcommit, pvmemcontrol gives back every page',
  `  Here the guest's driver says of each free range that it is not needed, to the page. What stays is what is in use:
  8 MiB a guest, and a page for the driver's buffer. The host never has more than one job in memory, and never swaps.`,
  pairs('dontneed'),
  `  - note: What is left is what the guests use, to the page
  - expect:
      job.exit: none
      all.exits.oom: 0
      swap.used: 0
      all.reclaim.swapout: 0
      all.host.rss: "\${left}+32K"
      pool.used: "\${left}+32K"
`,
);
