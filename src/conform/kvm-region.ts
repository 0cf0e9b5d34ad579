// What the host tells of a region in a `kvm` replay: numbers from smaps, blocks of its memfd, a letter for each page.
// Reference: test/golden/kvm/README.md, table of letters.
import { Errno } from '../../assembly/abi/errno.ts';
import { type Hva, hva } from '../address.ts';
import type { Vm } from '../machine.ts';
import type { RegionKind, RegionSetup, RegionState } from './kvm-door.ts';

const PAGE = 4096;
const BLOCKS_OF_PAGE = 8;
/** pagemap: the page is in swap. */
const PAGEMAP_SWAPPED = 1n << 62n;

/** Page letters of the engine (docs/linux-rules.md) that recordings do not tell apart. */
const LETTERS: Readonly<Record<string, string>> = {
  ...{ l: 'a', d: 'a', H: 'a', h: 'a', L: 'a', D: 'a' },
  ...{ Z: 'z', K: 'k' },
};

export interface MappedRegion {
  readonly setup: RegionSetup;
  readonly start: Hva;
  /** Its file; no descriptor where it has none. */
  readonly fd: number;
}

export const isMemfd = (kind: RegionKind): boolean => kind === 'memfd' || kind === 'memfdpriv';

export function readRegionState(vm: Vm, region: MappedRegion): RegionState {
  const { setup, start, fd } = region;
  const end = start + BigInt(setup.pages * PAGE);
  const vmas = vm.observe.vmas().filter((vma) => vma.end > start && vma.start < end);
  const pages = (key: 'rss' | 'swap' | 'locked'): number =>
    Math.floor(vmas.reduce((sum, vma) => sum + vma[key], 0) / PAGE);
  const stat = isMemfd(setup.kind) ? vm.vmm.fstat(fd) : undefined;
  return {
    rss: pages('rss'),
    swap: pages('swap'),
    lck: pages('locked'),
    blk: stat?.errno === Errno.OK ? stat.blocks / BLOCKS_OF_PAGE : undefined,
    pg: lettersOf(vm, region),
  };
}

function lettersOf(vm: Vm, { setup, start, fd }: MappedRegion): string {
  const letters = [...vm.observe.pageLetters(start, setup.pages)];
  const hasData = (page: number): boolean => {
    const at = BigInt(page * PAGE);
    const { errno, offset } = vm.vmm.lseek(fd, at, 'data');
    return errno === Errno.OK && offset === at;
  };
  return letters
    .map((letter, page) => {
      if (letter === 's') return isAnonSwap(vm, hva(start + BigInt(page * PAGE))) ? 's' : 'w';
      if (letter === 'x') return isMemfd(setup.kind) && hasData(page) ? '_' : '-';
      return LETTERS[letter] ?? letter;
    })
    .join('');
}

/** Of a page of a file that is in swap, pagemap says nothing. */
function isAnonSwap(vm: Vm, at: Hva): boolean {
  const [entry = 0n] = vm.observe.pagemap(at, at + BigInt(PAGE));
  return (entry & PAGEMAP_SWAPPED) !== 0n;
}
