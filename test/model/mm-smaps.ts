// What smaps says of one VMA of the model.
// Reference: linux 6.18 fs/proc/task_mmu.c (smaps_account, smaps_hugetlb_range, show_smap_vma_flags),
// Documentation/filesystems/proc.rst.
import type { MmSizes } from '../../src/conform/mm-door.ts';
import { HUGE } from './mm-folio.ts';
import type { Mapping } from './mm-mapping.ts';
import type { Space } from './mm-space.ts';
import { isDirty, type Mapped } from './mm-table.ts';
import { type ModelVma, PROT_READ, PROT_WRITE } from './mm-vmas.ts';

const KB_PER_PAGE = 4;
/** Pss is summed up in 1/4096 of a byte and shown in kB. */
const PSS_PER_PAGE = 4096 << 12;
const PSS_PER_KB = 1024 << 12;

export const NOTHING: MmSizes = {
  rss: 0,
  pss: 0,
  sharedClean: 0,
  sharedDirty: 0,
  privateClean: 0,
  privateDirty: 0,
  anonymous: 0,
  ksm: 0,
  lazyFree: 0,
  anonHugePages: 0,
  sharedHugetlb: 0,
  privateHugetlb: 0,
  swap: 0,
  swapPss: 0,
  locked: 0,
};

/** In the order of their bits in vm_flags. */
const FLAG_ORDER = 'rd wr sh mr mw me ms lo de ac nr ht dd hg nh mg'.split(' ');

export function vmFlags({ flags }: ModelVma, mapping: Mapping): string[] {
  const set: Readonly<Record<string, boolean>> = {
    rd: (flags.prot & PROT_READ) !== 0,
    wr: (flags.prot & PROT_WRITE) !== 0,
    lo: flags.locked,
    ac: flags.account,
    dd: flags.dontDump,
    mg: flags.mergeable,
  };
  const always = ['mr', 'mw', 'me', ...mapping.flags];
  return FLAG_ORDER.filter((flag) => set[flag] || always.includes(flag));
}

export function vmPerm({ flags: { prot } }: ModelVma, { shared }: Mapping): string {
  return `${prot & PROT_READ ? 'r' : '-'}${prot & PROT_WRITE ? 'w' : '-'}-${shared ? 's' : 'p'}`;
}

/** Only pages of KSM have more than one mapping: the parts of a huge page have one each. */
const sharers = ({ folio }: Mapped): number => (folio.kind === 'ksm' ? folio.mapcount : 1);

/** Zero pages count nowhere. */
export function pageSizes({ mapping, table, file }: Space, vma: ModelVma): MmSizes {
  const numbers = Array.from({ length: vma.end - vma.start }, (_, i) => vma.start + i);
  const pages = numbers.map((page) => table.mapped(page)).filter((mapped) => mapped !== undefined);
  const kb = (test: (mapped: Mapped) => boolean): number => pages.filter(test).length * KB_PER_PAGE;
  const shared = (mapped: Mapped): boolean => sharers(mapped) > 1;

  const pss = Math.floor(
    pages.reduce((sum, mapped) => sum + Math.floor(PSS_PER_PAGE / sharers(mapped)), 0) / PSS_PER_KB,
  );
  // A shared mapping's swap is counted from the file, mapped or not, and has no proportional share.
  const swapped = (page: number): boolean =>
    mapping.shared ? (file?.isSwapped(page) ?? false) : table.entry(page)?.kind === 'swap';
  const swap = numbers.filter(swapped).length * KB_PER_PAGE;
  const regions = table.parts(vma.start, vma.end).map(({ region }) => region);
  return {
    ...NOTHING,
    rss: kb(() => true),
    pss,
    sharedClean: kb((m) => shared(m) && !isDirty(m)),
    sharedDirty: kb((m) => shared(m) && isDirty(m)),
    privateClean: kb((m) => !shared(m) && !isDirty(m)),
    privateDirty: kb((m) => !shared(m) && isDirty(m)),
    anonymous: kb(({ folio }) => folio.kind !== 'file'),
    ksm: kb(({ folio }) => folio.kind === 'ksm'),
    lazyFree: kb((m) => !m.folio.swapBacked && !isDirty(m)),
    anonHugePages: regions.filter(({ huge }) => huge?.kind === 'page').length * HUGE * KB_PER_PAGE,
    swap,
    swapPss: mapping.shared ? 0 : swap,
    locked: vma.flags.locked ? pss : 0,
  };
}
