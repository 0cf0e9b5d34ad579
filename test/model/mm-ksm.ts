// KSM's scanner: it goes through all pages of mergeable VMAs in address order and maps those with equal contents to
// one page. Pages it shares stand in the stable tree; pages seen unchanged twice wait in the unstable tree, which is
// new with each scan. Pages are equal when their bytes are, so both trees are maps from bytes. Every page is looked at in
// every scan: that smart_scan passes over pages which found no partner for long is not seen in any recording.
// Reference: linux 6.18 mm/ksm.c (cmp_and_merge_page, stable_tree_search, scan_get_next_rmap_item).
import { unshare } from './mm-fault.ts';
import { type Folio, isLarge } from './mm-folio.ts';
import { splitFolio } from './mm-huge.ts';
import type { Space } from './mm-space.ts';

/** ksm/max_page_sharing */
const MAX_SHARING = 256;

/** What the scanner remembers of an address (ksm_rmap_item). */
interface Item {
  readonly page: number;
  /** Contents when last looked at, for which the kernel keeps a checksum. */
  seen: number | undefined;
  /** The shared page it was merged into. It stays noted there until the scanner comes by again. */
  node: StableNode | undefined;
}

interface StableNode {
  readonly folio: Folio;
  readonly items: Set<Item>;
}

export class KsmScanner {
  readonly #space: Space;
  /** By page, for those that were there when the scanner last came by. */
  readonly #items = new Map<number, Item>();
  /** Copies of the same contents, the newest first: one copy serves 256 mappings. */
  readonly #stable = new Map<number, StableNode[]>();
  #unstable = new Map<number, Item>();

  constructor(space: Space) {
    this.#space = space;
  }

  scan(): void {
    const { vmas, table } = this.#space;
    this.#unstable = new Map();
    const visited = new Set<number>();
    for (const vma of vmas.list) {
      if (!vma.flags.mergeable || vma.anonVma === 0) continue;
      for (let page = vma.start; page < vma.end; page++) {
        const folio = table.mapped(page)?.folio;
        if (!folio || folio.kind === 'file') continue;
        this.#forget((item) => item.page < page && !visited.has(item.page));
        visited.add(page);
        const item = this.#items.get(page) ?? { page, seen: undefined, node: undefined };
        this.#items.set(page, item);
        this.#look(item);
      }
    }
    this.#forget((item) => !visited.has(item.page));
  }

  #forget(test: (item: Item) => boolean): void {
    for (const item of [...this.#items.values()].filter(test)) {
      detach(item);
      this.#items.delete(item.page);
    }
  }

  /** cmp_and_merge_page() */
  #look(item: Item): void {
    const { page } = item;
    const { folio, index } = this.#mapped(page);
    if (folio.kind === 'ksm') {
      if (item.node?.folio === folio) return;
    } else {
      detach(item);
      const byte = folio.bytes[index] as number;
      if (item.seen !== byte) {
        item.seen = byte;
        return;
      }
    }
    const byte = folio.bytes[index] as number;
    const node = this.#search(byte, folio);
    detach(item);
    if (node) {
      if (this.#merge(page, node.folio)) attach(item, node);
      return;
    }
    const other = this.#unstable.get(byte);
    if (!other) {
      this.#unstable.set(byte, item);
    } else if (this.#holds(other, byte)) {
      this.#mergeTwo(item, other, byte);
    }
  }

  /** get_mergeable_page(): the waiting page may have turned into the zero page since, when its huge page was split. */
  #holds({ page }: Item, byte: number): boolean {
    const mapped = this.#space.table.mapped(page);
    return mapped?.folio.kind === 'anon' && mapped.folio.bytes[mapped.index] === byte;
  }

  /**
   * stable_tree_search(): the first copy that has room. Copies that are no longer mapped are gone. One that is found
   * behind others and still has room afterwards moves to the front (stable_node_dup).
   */
  #search(byte: number, folio: Folio): StableNode | undefined {
    const chain = (this.#stable.get(byte) ?? []).filter((node) => node.folio.mapcount > 0);
    this.#stable.set(byte, chain);
    const own = chain.find((node) => node.folio === folio);
    if (own) return own;
    const found = chain.find(({ items }) => items.size > 0 && items.size < MAX_SHARING);
    if (found && found.items.size + 1 < MAX_SHARING) {
      this.#stable.set(byte, [found, ...chain.filter((node) => node !== found)]);
    }
    return found;
  }

  /** try_to_merge_two_pages(): the one looked at becomes the shared page, the one that waited joins it. */
  #mergeTwo(item: Item, other: Item, byte: number): void {
    const { folio } = this.#mapped(item.page);
    if (folio === this.#mapped(other.page).folio) {
      // Two pages of one huge page: it cannot be split while both are held. It is split now, and they merge next time.
      this.#split(item.page);
      return;
    }
    if (!this.#merge(item.page, undefined)) return;
    const shared = this.#mapped(item.page).folio;
    if (!this.#merge(other.page, shared)) {
      unshare(this.#space, item.page);
      return;
    }
    this.#unstable.delete(byte);
    const node = { folio: shared, items: new Set<Item>() };
    this.#stable.set(byte, [node, ...(this.#stable.get(byte) ?? [])]);
    attach(other, node);
    attach(item, node);
  }

  /**
   * try_to_merge_one_page(): maps the page to `shared`, or makes its own page the shared one. A huge page is split
   * first, and a page of zeros is lost to the zero page thereby. A page that becomes shared keeps whether it was
   * lazily freed, but is dirty: reclaim will not drop it.
   */
  #merge(page: number, shared: Folio | undefined): boolean {
    const { table } = this.#space;
    this.#split(page);
    const entry = table.pageEntry(page);
    if (!entry) return false;
    const { folio } = entry;
    if (folio === shared) return true;
    if (entry.dirty) folio.dirty = true;
    entry.dirty = false;
    entry.writable = false;
    if (shared) {
      table.set(page, { kind: 'page', folio: shared, index: 0, dirty: false, writable: false });
    } else {
      folio.kind = 'ksm';
      folio.dirty = true;
    }
    return true;
  }

  #split(page: number): void {
    const { table } = this.#space;
    if (isLarge(this.#mapped(page).folio)) splitFolio(this.#space, table.region(page));
  }

  #mapped(page: number) {
    const mapped = this.#space.table.mapped(page);
    if (!mapped) throw new Error(`KSM looks at page ${page}, which is not mapped`);
    return mapped;
  }
}

function attach(item: Item, node: StableNode): void {
  item.node = node;
  node.items.add(item);
}

/** remove_rmap_item_from_tree() */
function detach(item: Item): void {
  item.node?.items.delete(item);
  item.node = undefined;
}
