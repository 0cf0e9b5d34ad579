// An SEV-SNP guest as the discussion of guest_memfd's first posting has it: private memory in guest_memfds with folios of
// 2 MiB, the shared half a private mapping of a memfd, three ROMs likewise, and numactl -i over some nodes. A ledger, since no
// pool of frames has 40 GiB. What the discussion does not say of QEMU and its host is an input with a name.
// Reference: https://lore.kernel.org/all/20230718234512.1690985-1-seanjc@google.com (replies of 24 July to 3 August 2023).
import { Mpol } from '../../assembly/abi/mempolicy.ts';
import { Ledger } from './ledger.ts';
import type { LedgerFile } from './ledger-file.ts';
import type { Policy } from './policy.ts';

const HUGE = 512;

/** A run of pages that is touched through the shared half, one after the other. */
interface Touch {
  readonly first: number;
  readonly pages: number;
  readonly write: boolean;
}

/** Memory of the guest that has a slot: a private half and a shared half. Pages of 4 KiB. */
interface SnpRegion {
  readonly start: bigint;
  readonly name: string;
  readonly inode: number;
  readonly pages: number;
  /** The shared half is mapped MAP_SHARED. */
  readonly shared: boolean;
  readonly touches: readonly Touch[];
  /** numa_maps: pages on an active list, and mappings of the page that has most. Lists are not modelled. */
  readonly active: number;
  readonly mapmax: number;
}

/** What is not modelled and taken as it was. */
export interface SnpInputs {
  readonly policy: Policy;
  readonly ram: SnpRegion;
  readonly roms: readonly SnpRegion[];
  /** Pages that the same task allocates in between, by its turn: before folio number `before` of RAM. */
  readonly turns: readonly { readonly before: number; readonly pages: number }[];
  /** QEMU without the guest: mappings, resident pages when top looked, pages of files that its cgroup pays for. */
  readonly vmm: {
    readonly virtual: number;
    readonly anon: number;
    readonly file: number;
    readonly cacheNodes: readonly number[];
    /** Pages in numa_maps when numastat looked, which was at another moment. */
    readonly mapsNodes: readonly number[];
  };
  readonly host: {
    /** Pages of each node. */
    readonly nodes: readonly number[];
    /** Page cache of everybody else. */
    readonly cacheNodes: readonly number[];
  };
}

const NO_LISTS = { active: 0, mapmax: 1 };

/** The guest of the discussion: 40 GiB on nodes 2 and 3 of 4. */
export const SNP_40G: SnpInputs = {
  policy: { mode: Mpol.Interleave, nodes: [2, 3] },
  ram: {
    start: 0x7f528be00000n,
    name: '/memfd:memory-backend-memfd-shared (deleted)',
    inode: 26629,
    pages: 20480 * HUGE,
    shared: false,
    // 1070 private copies and 917 pages of the file; where they lie in it is chosen so that the nodes come out.
    touches: [
      { first: 0, pages: 1070, write: true },
      { first: 3 * HUGE, pages: 512, write: false },
      { first: 4 * HUGE, pages: 47, write: false },
      { first: 5 * HUGE, pages: 358, write: false },
    ],
    active: 1956,
    mapmax: 256,
  },
  roms: [
    { start: 0x7f5c90200000n, inode: 44033, pages: 32, touches: [] },
    { start: 0x7f5c90400000n, inode: 44032, pages: 32, touches: [{ first: 0, pages: 32, write: true }] },
    { start: 0x7f5c90800000n, inode: 1025, pages: 892, touches: [{ first: 0, pages: 892, write: true }] },
  ].map((rom) => ({ ...rom, ...NO_LISTS, name: '/memfd:rom-backend-memfd-shared (deleted)', shared: true })),
  turns: [
    { before: 0, pages: 1 },
    { before: 10239, pages: 1 },
  ],
  vmm: {
    virtual: 98304,
    anon: 10906,
    file: 11078,
    cacheNodes: [0, 5, 2435, 798],
    mapsNodes: [5412, 412, 8971, 8296],
  },
  host: {
    nodes: [16449536, 16449536, 16449536, 16449536],
    cacheNodes: [633761, 613327, 897432, 737114],
  },
};

export interface SnpGuest {
  readonly inputs: SnpInputs;
  readonly ledger: Ledger;
  /** guest_memfds: of RAM, then of the ROMs. */
  readonly gmem: readonly LedgerFile[];
}

/** The guest after boot: all of it private and touched, and what was touched of the shared half. */
export function bootSnpGuest(inputs: SnpInputs): SnpGuest {
  const { policy, host, ram, roms, turns } = inputs;
  const ledger = new Ledger({ nodes: host.nodes, policy });
  for (const { name, inode, pages, shared, touches } of [ram, ...roms]) {
    const file = ledger.createFile({ name, kind: 'memfd', pages, inode, order: 9 });
    const mapping = ledger.mmap({ name, file, shared, pages, first: 0 });
    for (const { first, pages: count, write } of touches) {
      for (let page = first; page < first + count; page++) ledger.touch(mapping, page, write);
    }
  }
  const romFiles = roms.map(({ pages }) => ledger.createFile({ name: '[kvm-gmem]', kind: 'gmem', pages }));
  for (const file of romFiles) for (let page = 0; page < file.size; page++) file.guestFault(page);
  const main = ledger.createFile({ name: '[kvm-gmem]', kind: 'gmem', pages: ram.pages, huge: true });
  for (let folio = 0; folio < ram.pages / HUGE; folio++) {
    for (const { before, pages } of turns) if (before === folio) ledger.other(pages);
    main.guestFault(folio * HUGE);
  }
  return { inputs, ledger, gmem: [main, ...romFiles] };
}
