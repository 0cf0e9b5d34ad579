// Guest memory as the stress divides it. Each page has an owner, the only vCPU that stores there; anybody may load, and
// do to its mapping what the region allows. So at every quiet point it is known what a page may hold.

export const PAGE = 4096n;

export interface Pages {
  readonly first: bigint;
  readonly pages: bigint;
}

export interface Region extends Pages {
  readonly name: 'keep' | 'guard' | 'drop' | 'same';
}

/** What nobody drops: every store of the owner stays. Over a border of two 2 MiB chunks. */
export const KEEP: Region = { name: 'keep', first: 700n, pages: 600n };
/** The same, but anybody protects it: stores may fail, and then change nothing. */
export const GUARD: Region = { name: 'guard', first: 1400n, pages: 300n };
/** What anybody drops: a page holds what its owner stored, or nothing. */
export const DROP: Region = { name: 'drop', first: 1800n, pages: 700n };

/** Dropped as well; all owners store the same word, so that KSM finds equal pages, in two chunks. */
export const SAME: Region = { name: 'same', first: 2900n, pages: 400n };

/** Where transport commands at random may put request buffers: the device writes there what it likes. */
export const BUFFERS: Pages = { first: 100n, pages: 40n };

export const REGIONS: readonly Region[] = [KEEP, GUARD, DROP, SAME];

/** Words of a page that are used, in bytes from its start. */
export const WORDS = [0n, 4088n] as const;

/** What the owner of a page stores there in a slice: it says where it belongs and how old it is. */
export const tagOf = (slice: number, gfn: bigint, owner: number): bigint =>
  (BigInt(slice) << 32n) | (gfn << 8n) | BigInt(owner + 1);

/** What every owner stores into pages of `SAME` in a slice. */
export const sameOf = (slice: number): bigint => (BigInt(slice) << 32n) | 0x5a_5a5an;

export const ownerOf = (gfn: bigint, cpus: number): number => Number(gfn % BigInt(cpus));

/** The slice in which `word` was stored at a page; undefined when it was not stored there by its owner. */
export function sliceOf(word: bigint, gfn: bigint, cpus: number): number | undefined {
  const slice = Number(word >> 32n);
  const isSame = gfn >= SAME.first && gfn < SAME.first + SAME.pages;
  return word === (isSame ? sameOf(slice) : tagOf(slice, gfn, ownerOf(gfn, cpus))) ? slice : undefined;
}
