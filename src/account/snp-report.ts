// What the tools say of an SNP guest (snp-guest.ts), and what they would say under each rule that the discussion weighs.
import type { Hva } from '../address.ts';
import type { Vma } from '../types.ts';
import type { LedgerFile } from './ledger-file.ts';
import { exitReport, pageTableBytes, RSS_RULES, type RssRule, unmappedResident } from './rss-rules.ts';
import { bootSnpGuest, type SnpGuest, type SnpInputs } from './snp-guest.ts';
import {
  type FileAnswer,
  type MemcgStat,
  type NumaMapsLine,
  numastatText,
  type ProcessSizes,
} from './views.ts';

const PAGE = 4096;
const bytes = (pages: number): number => pages * PAGE;
const all = (pages: readonly number[]): number[] => pages.map(bytes);
const sum = (of: readonly number[]): number => of.reduce((a, b) => a + b, 0);
const plus = (a: readonly number[], b: readonly number[]): number[] => a.map((n, i) => n + (b[i] ?? 0));

export const memTotal = ({ host }: SnpInputs): number => bytes(sum(host.nodes));

/** VIRT, RES and SHR of QEMU under a rule. */
export function processSizes({ inputs, ledger, gmem }: SnpGuest, rule: RssRule): ProcessSizes {
  const c = ledger.counters();
  const file = inputs.vmm.file + c.rssFile + c.rssShmem + unmappedResident(gmem, rule);
  const virtual = inputs.vmm.virtual + c.vmSize + (RSS_RULES[rule].maps ? sum(gmem.map((f) => f.size)) : 0);
  return { virt: bytes(virtual), res: bytes(inputs.vmm.anon + c.rssAnon + file), shr: bytes(file) };
}

/** memory.stat and memory.numa_stat of QEMU's cgroup. Accounting is the same under all rules. */
export function memcgStat({ inputs, ledger }: SnpGuest): MemcgStat {
  const c = ledger.counters();
  const of = (pages: readonly number[]) => ({ bytes: bytes(sum(pages)), nodes: all(pages) });
  return {
    anon: { bytes: bytes(inputs.vmm.anon + c.rssAnon) },
    file: of(plus(c.fileNodes, inputs.vmm.cacheNodes)),
    shmem: { bytes: bytes(c.shmem) },
    file_thp: of(c.fileThpNodes),
    unevictable: of(c.unevictableNodes),
  };
}

/** numa_maps of the guest's mappings. */
export function numaMaps({ inputs, ledger }: SnpGuest): NumaMapsLine[] {
  return [inputs.ram, ...inputs.roms].map(({ start, name, active, mapmax }, i) => {
    const entries = [...(ledger.mappings[i]?.entries.values() ?? [])];
    const nodes = inputs.host.nodes.map((_, n) => entries.filter(({ node }) => node === n).length);
    const anon = entries.filter((entry) => entry.anon).length;
    const dirty = entries.filter((entry) => entry.dirty).length;
    const { policy } = inputs;
    return { start, policy, file: name, anon, dirty, mapmax, active, nodes, kernelPageSize: PAGE };
  });
}

/** smaps of the same mappings: QEMU alone maps them. */
export function smapsVmas({ inputs, ledger }: SnpGuest): Vma[] {
  return [inputs.ram, ...inputs.roms].map(({ start, name, inode, pages, shared }, i) => {
    const entries = [...(ledger.mappings[i]?.entries.values() ?? [])];
    const rss = bytes(entries.length);
    const dirty = bytes(entries.filter((entry) => entry.dirty).length);
    return {
      ...NOTHING,
      start: start as Hva,
      end: (start + BigInt(bytes(pages))) as Hva,
      perm: shared ? 'rw-s' : 'rw-p',
      flags: shared ? ['rd', 'wr', 'sh', 'mr', 'mw', 'me', 'ms'] : ['rd', 'wr', 'mr', 'mw', 'me', 'ac'],
      name: undefined,
      file: { name, offset: 0, links: 0, executable: true, inode },
      anonVma: 1,
      size: bytes(pages),
      rss,
      pss: rss,
      pssDirty: dirty,
      privateDirty: dirty,
      privateClean: rss - dirty,
      anonymous: bytes(entries.filter(({ anon }) => anon).length),
    };
  });
}

const NOTHING = {
  sharedClean: 0,
  sharedDirty: 0,
  ksm: 0,
  lazyFree: 0,
  anonHugePages: 0,
  sharedHugetlb: 0,
  privateHugetlb: 0,
  swap: 0,
  swapPss: 0,
  locked: 0,
};

/** What each guest_memfd has, if there were a call to ask: RAM's, then those of the ROMs. */
export const answers = ({ inputs, gmem }: SnpGuest): FileAnswer[] =>
  gmem.map((file) => {
    const folios = [...file.folios()];
    const on = (n: number): number => sum(folios.filter(({ node }) => node === n).map(({ pages }) => pages));
    return {
      size: bytes(file.size),
      allocated: bytes(sum(folios.map(({ pages }) => pages))),
      nodes: inputs.host.nodes.map((_, n) => bytes(on(n))),
    };
  });

/** `numastat -p` and the line FilePages of `numastat -m`. */
export function numastat({ inputs, ledger }: SnpGuest): { process: number[]; filePages: number[] } {
  const c = ledger.counters();
  const { vmm, host } = inputs;
  return {
    process: all(plus(vmm.mapsNodes, c.mappedNodes)),
    filePages: all(plus(plus(host.cacheNodes, vmm.cacheNodes), c.fileNodes)),
  };
}

export function numastatTexts(guest: SnpGuest): string {
  const { process, filePages } = numastat(guest);
  const own = numastatText('Per-node process memory usage', [['(qemu-system-x86)', process]]);
  return `${own}\n${numastatText('Per-node system memory usage', [['FilePages', filePages]])}`;
}

/** One way to answer, in bytes: what it says at three moments and what it costs. */
export interface RuleResult {
  readonly rule: RssRule;
  readonly about: string;
  readonly boot: ProcessSizes;
  /** RES after a part of the private memory was punched away, and after the guest touched that again. */
  readonly punched: number;
  readonly touched: number;
  /** Of QEMU by node, as numa_maps would have it; undefined: says nothing of the guest's private memory. */
  readonly byNode?: readonly number[];
  readonly pageTables: number;
  readonly exit?: string;
}

/** All rules on the same guest, of whose private memory `pages` from the start are punched away and touched again. */
export function compareRules(inputs: SnpInputs, pages: number): RuleResult[] {
  return (Object.keys(RSS_RULES) as RssRule[]).map((rule) => {
    const guest = bootSnpGuest(inputs);
    const [ram] = guest.gmem;
    const boot = processSizes(guest, rule);
    const pageTables = pageTableBytes(guest.gmem, rule);
    const byNode = attributed(guest, rule);
    if (ram) guest.ledger.punch(ram, 0, pages);
    const punched = processSizes(guest, rule).res;
    if (ram) touchAll(ram, pages);
    const touched = processSizes(guest, rule).res;
    const exit = exitReport(guest.gmem, rule);
    return {
      rule,
      about: RSS_RULES[rule].about,
      boot,
      punched,
      touched,
      pageTables,
      ...(byNode && { byNode }),
      ...(exit && { exit }),
    };
  });
}

/** The guest touches `pages` pages from the start, folio by folio. */
function touchAll(file: LedgerFile, pages: number): void {
  for (let page = 0; page < pages; ) {
    const got = file.guestFault(page);
    if (got === 0) return;
    page += got;
  }
}

/** Private memory by node, for whoever asks about QEMU: entries have places, counters have none, a query has them. */
function attributed({ ledger }: SnpGuest, rule: RssRule): number[] | undefined {
  return RSS_RULES[rule].maps || rule === 'query' ? all(ledger.counters().unevictableNodes) : undefined;
}
