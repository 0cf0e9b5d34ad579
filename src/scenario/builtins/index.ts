// The scenarios that come with slatbox: `slatbox run builtin:NAME`.
import { dirtyLog } from './dirty-log.ts';
import { guardPages } from './guard-pages.ts';
import { hostileGuest } from './hostile-guest.ts';
import { inPlaceConversion } from './in-place-conversion.ts';
import { kernelStacks } from './kernel-stacks.ts';
import { lazyFreePressure } from './lazy-free-pressure.ts';
import { mappedGuestMemfd } from './mapped-guest-memfd.ts';
import { memoryFile } from './memory-file.ts';
import { memslots } from './memslots.ts';
import { oneTerabyte } from './one-terabyte.ts';
import { overcommitNothing, overcommitPvmemcontrol, overcommitReporting } from './overcommit.ts';
import { partialHugePages } from './partial-huge-pages.ts';
import { preCopy } from './pre-copy.ts';
import { privateShared } from './private-shared.ts';
import { samePages } from './same-pages.ts';
import { sampleDontneed } from './sample-dontneed.ts';
import { secrets } from './secrets.ts';
import { stacksInHugePages } from './stacks-in-huge-pages.ts';
import { twoCpus } from './two-cpus.ts';

export interface Builtin {
  readonly name: string;
  /** One line. */
  readonly about: string;
  /** The scenario as YAML. */
  readonly text: string;
}

export const builtins: readonly Builtin[] = [
  {
    name: 'sample-dontneed',
    about: 'the public sample program: 1 GiB touched, then 100 rounds of fill, DONTNEED, check zero',
    text: sampleDontneed,
  },
  {
    name: 'guard-pages',
    about: 'stacks in one big range with MPROTECT_NONE guard pages; an overflow ends in EFAULT',
    text: guardPages,
  },
  {
    name: 'lazy-free-pressure',
    about: 'FREE, then more touching than the pool holds: lazily freed pages go first',
    text: lazyFreePressure,
  },
  {
    name: 'hostile-guest',
    about: 'bad ranges, unknown functions, abused registers, an inaccessible buffer: nothing else changes',
    text: hostileGuest,
  },
  {
    name: 'one-terabyte',
    about: 'a guest of 1 TiB on a host with 256 MiB: what is not touched costs nothing',
    text: oneTerabyte,
  },
  {
    name: 'two-cpus',
    about: 'two vCPUs on threads of their own fault, drop and protect memory at the same time',
    text: twoCpus,
  },
  {
    name: 'overcommit-nothing',
    about: 'eight guests of 1 GiB on 2 GiB, nobody tells the host what is free: swap, then out of memory',
    text: overcommitNothing,
  },
  {
    name: 'overcommit-reporting',
    about: 'the same with free page reporting: whole free blocks of 2 MiB come back, half of what is free',
    text: overcommitReporting,
  },
  {
    name: 'overcommit-pvmemcontrol',
    about: 'the same with pvmemcontrol: every free page comes back, and nothing is swapped',
    text: overcommitPvmemcontrol,
  },
  {
    name: 'partial-huge-pages',
    about: 'huge pages of the guest, their unused parts given back: on small pages, THP and hugetlb',
    text: partialHugePages,
  },
  {
    name: 'stacks-in-huge-pages',
    about: 'sixteen stacks in one huge page, guard pages in the host: on small pages and on THP',
    text: stacksInHugePages,
  },
  {
    name: 'kernel-stacks',
    about: 'a thread pool grows and shrinks: kernel stacks of dead threads kept, dropped, or freed lazily',
    text: kernelStacks,
  },
  {
    name: 'secrets',
    about: 'a key with MLOCK, DONTDUMP and UNMERGEABLE, tried against swap, a core dump and KSM',
    text: secrets,
  },
  {
    name: 'same-pages',
    about: 'four guests of one image: KSM shares what is equal, a write takes a page apart again',
    text: samePages,
  },
  {
    name: 'memory-file',
    about: 'another process writes to the file behind guest memory: mapped shared and private',
    text: memoryFile,
  },
  {
    name: 'memslots',
    about: 'slots made, moved, deleted under a guest; an alias, a read-only slot, one with nothing behind it',
    text: memslots,
  },
  {
    name: 'dirty-log',
    about: 'which pages the guest has written, at 4 KiB over huge pages; manual protection',
    text: dirtyLog,
  },
  {
    name: 'pre-copy',
    about: 'live migration in rounds over the dirty log: one guest that gets there, one that writes too fast',
    text: preCopy,
  },
  {
    name: 'private-shared',
    about: 'guest_memfd and memory attributes: conversions, and the moment when both memories are there',
    text: privateShared,
  },
  {
    name: 'in-place-conversion',
    about:
      'a guest_memfd that converts its own pages: never twice in memory, and refused while somebody has a page',
    text: inPlaceConversion,
  },
  {
    name: 'mapped-guest-memfd',
    about: 'a guest_memfd that the VMM maps: munmap and mprotect change nothing for the guest, RSS does',
    text: mappedGuestMemfd,
  },
];

export const builtin = (name: string): Builtin | undefined => builtins.find((b) => b.name === name);
