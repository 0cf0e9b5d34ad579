// The scenarios that come with slatbox: `slatbox run builtin:NAME`.
import { guardPages } from './guard-pages.ts';
import { hostileGuest } from './hostile-guest.ts';
import { lazyFreePressure } from './lazy-free-pressure.ts';
import { oneTerabyte } from './one-terabyte.ts';
import { sampleDontneed } from './sample-dontneed.ts';
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
];

export const builtin = (name: string): Builtin | undefined => builtins.find((b) => b.name === name);
