// What smaps says of one VMA of the model.
// Reference: linux 6.18 fs/proc/task_mmu.c (smaps_account, show_smap_vma_flags), Documentation/filesystems/proc.rst.
import type { MmVma } from '../../src/conform/mm-door.ts';
import { isAnonymous, type ModelPage } from './mm-pages.ts';
import { type ModelVma, PROT_READ, PROT_WRITE } from './mm-vmas.ts';

const KB_PER_PAGE = 4;

function vmFlags({ flags }: ModelVma, mode: 'anon' | 'anon_acct'): string[] {
  const told: readonly (readonly [string, boolean])[] = [
    ['rd', (flags.prot & PROT_READ) !== 0],
    ['wr', (flags.prot & PROT_WRITE) !== 0],
    ['mr', true],
    ['mw', true],
    ['me', true],
    ['lo', flags.locked],
    ['ac', flags.account],
    ['nr', mode === 'anon'],
    ['dd', flags.dontDump],
    ['nh', true],
    ['mg', flags.mergeable],
  ];
  return told.filter(([, set]) => set).map(([flag]) => flag);
}

/** `pages` are the pages of the VMA. Zero pages count nowhere, and without KSM no page is shared. */
export function describeVma(vma: ModelVma, pages: readonly ModelPage[], mode: 'anon' | 'anon_acct') {
  const kb = (test: (page: ModelPage) => boolean): number => pages.filter(test).length * KB_PER_PAGE;
  const rss = kb(isAnonymous);
  const swap = kb((p) => p.letter === 's');
  const sizes: MmVma['sizes'] = {
    rss,
    pss: rss,
    sharedClean: 0,
    sharedDirty: 0,
    privateClean: kb((p) => isAnonymous(p) && !p.dirty),
    privateDirty: kb((p) => isAnonymous(p) && p.dirty),
    anonymous: rss,
    ksm: 0,
    lazyFree: kb((p) => p.letter === 'l'),
    anonHugePages: 0,
    sharedHugetlb: 0,
    privateHugetlb: 0,
    swap,
    swapPss: swap,
    locked: vma.flags.locked ? rss : 0,
  };
  const { start, end, anonVma } = vma;
  const { prot, name } = vma.flags;
  const perm = `${prot & PROT_READ ? 'r' : '-'}${prot & PROT_WRITE ? 'w' : '-'}-p`;
  return { start, end, perm, flags: vmFlags(vma, mode), sizes, name, anonVma };
}
