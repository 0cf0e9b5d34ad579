// "If 10 SNP guests are running each using 10GB, how would we know who is using 100GB of memory?" The answers that the
// discussion weighs, as rules for what pages of a guest_memfd that nobody maps are to a process.
// Reference: replies to RFC v11 of guest_memfd, 24 July to 3 August 2023; linux kernel/fork.c (check_mm), fs/exec.c, kernel/exit.c.
import type { LedgerFile } from './ledger-file.ts';

export type RssRule = 'as-is' | 'first-allocation' | 'first-allocation-undone' | 'prot-none' | 'query';

interface Rule {
  readonly about: string;
  /** The VMM has page tables for the file, and so a mapping of it. */
  readonly maps: boolean;
}

export const RSS_RULES: Readonly<Record<RssRule, Rule>> = {
  'as-is': { about: 'RSS counts page tables; a guest_memfd has none', maps: false },
  'first-allocation': { about: 'MM_FILEPAGES + folio when it is allocated', maps: false },
  'first-allocation-undone': { about: 'the same, and minus the folio when it is freed', maps: false },
  'prot-none': { about: 'page tables with PROT_NONE entries, made at allocation', maps: true },
  query: { about: 'RSS as it is, and a call that says what a VM’s files have', maps: false },
};

/** Pages that a process has in RSS though it has no entry that may be used. */
export function unmappedResident(gmem: readonly LedgerFile[], rule: RssRule): number {
  const sum = (of: (file: LedgerFile) => number): number => gmem.reduce((n, file) => n + of(file), 0);
  switch (rule) {
    case 'first-allocation':
      return sum((file) => file.allocated);
    case 'first-allocation-undone':
    case 'prot-none':
      return sum(pagesOf);
    default:
      return 0;
  }
}

const pagesOf = (file: LedgerFile): number => {
  let pages = 0;
  for (const folio of file.folios()) pages += folio.pages;
  return pages;
};

/**
 * What the kernel reports when the process is gone: its files are closed and its page tables torn down, and what its counters
 * still have nobody takes away (check_mm). Undefined: they are 0.
 */
export function exitReport(gmem: readonly LedgerFile[], rule: RssRule): string | undefined {
  // Page tables take their entries along; a free undoes what an allocation did, as long as KVM holds the mm until its files go.
  const left = rule === 'first-allocation' ? unmappedResident(gmem, rule) : 0;
  return left === 0 ? undefined : `BUG: Bad rss-counter state mm:(ptrval) type:MM_FILEPAGES val:${left}`;
}

/** Bytes of page tables that the rule costs: one of 4 KiB for 512 entries, of the size that a folio has. */
export function pageTableBytes(gmem: readonly LedgerFile[], rule: RssRule): number {
  if (!RSS_RULES[rule].maps) return 0;
  let tables = 0;
  for (const file of gmem) {
    const [small, huge] = [new Set<number>(), new Set<number>()];
    for (const [first, { pages }] of file.entries()) {
      if (pages === 1) small.add(Math.floor(first / 512));
      huge.add(Math.floor(first / 512 ** 2));
    }
    tables += small.size + huge.size;
  }
  return tables * 4096;
}
