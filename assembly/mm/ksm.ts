// KSM's scanner: it goes through all pages of mergeable VMAs, VM by VM in address order, and maps those with equal
// contents to one frame. Pages it shares stand in the stable tree; pages seen unchanged twice wait in the unstable tree,
// which is new with each scan. Both are hash tables here. One thread of control scans, and no vCPU thread runs meanwhile.
// Reference: linux mm/ksm.c (cmp_and_merge_page, stable_tree_search, scan_get_next_rmap_item); rule 8 of the recordings.
//
// ╒═ item (ksm_rmap_item) ═ 8 bytes in the page at CHUNK_KSM, one for each page of the chunk ═╕
// │ 0 seen u32: sum of the contents when last looked at, 0 never │ 4 stable node u32          │
// ╞═ entry of the unstable tree, 24 bytes ════════════════════════════════════════════════════╡
// │ 0 next in its bucket u32 │ 4 VM u32 │ 8 vpn u64 │ 16 sum u64                               │
// ╘═══════════════════════════════════════════════════════════════════════════════════════════╛
import { Counter, EventKind } from '../abi/events';
import { VM_MERGEABLE } from '../abi/vm-flags';
import {
  HOST_KSM_FREE, HOST_KSM_NODES, HOST_KSM_PAGES, HOST_KSM_SCANS, HOST_KSM_STABLE, HOST_KSM_UNSTABLE, HOST_VM_COUNT, VM_BASE,
  VM_DIR_LEN, VM_LAZY, VM_SIZE, VPN_BASE,
} from '../base/layout';
import { bitClear, bitGet, bitSet } from '../base/bits';
import { add } from '../base/thread';
import { arenaPut } from '../frames/arena';
import { frameEqual, frameSum } from '../frames/bytes';
import { frameMapped, frameMappings, frameNode } from '../frames/shared';
import { notify } from '../memslot/notify';
import { count, event } from '../trace/events';
import { folioSplit } from './huge';
import { ksmStart, ksmUnmapped, NODE_FRAME, NODE_ITEMS, NODE_NEXT, NODE_SIZE, NODE_SUM } from './ksm-page';
import { vmaFrom } from './look-up';
import {
  BACKED, CHUNK_KSM, CHUNK_NODE, chunkAt, chunkIndex, chunkOf, chunkSettle, DIRTY, FILE, hint, HINT_SPECIAL, KSM, LAZY, nextChunk, nodeOf,
  pageSlot, PART, WRITABLE,
} from './page-state';
import { framePut } from './frame';
import { metadataGet } from './room';
import { ksmUnshare } from './unshare';
import { VMA_ANON, VMA_END, VMA_FLAGS, VMA_START } from './vma';

/** ksm/max_page_sharing */
const MAX_SHARING: u32 = 256;

const ITEM_NODE: usize = 4;
const ENTRY_VM: usize = 4;
const ENTRY_VPN: usize = 8;
const ENTRY_SUM: usize = 16;
const ENTRY_SIZE: usize = 24;

/** A table of buckets: a page of 1024 pages of 1024 buckets, u32 each, made as they are needed. */
function bucketOf(root: usize, sum: u64): usize {
  let table: usize = load<u32>(root);
  if (table == 0) {
    table = metadataGet();
    if (table == 0) return 0;
    store<u32>(root, <u32>table);
  }
  const p = table + ((<usize>sum & 1023) << 2);
  if (load<u32>(p) == 0) {
    const page = metadataGet();
    if (page == 0) return 0;
    store<u32>(p, <u32>page);
  }
  return <usize>load<u32>(p) + ((<usize>(sum >> 10) & 1023) << 2);
}

function tableFree(root: usize): void {
  const table: usize = load<u32>(root);
  if (table == 0) return;
  for (let p = table; p < table + 4096; p += 4) if (load<u32>(p) != 0) arenaPut(load<u32>(p));
  arenaPut(table);
  store<u32>(root, 0);
}

/** One full scan. */
export function ksmScan(): void {
  for (let v: u32 = 0, vms = load<u32>(HOST_VM_COUNT); v < vms; v++) scanVm(VM_BASE + <usize>v * VM_SIZE);
  unstableFree();
  stablePrune();
  store<u32>(HOST_KSM_SCANS, load<u32>(HOST_KSM_SCANS) + 1);
}

function scanVm(vm: usize): void {
  const end = VPN_BASE + ((<u64>load<u32>(vm, VM_DIR_LEN)) << 18);
  for (let vpn = nextChunk(vm, VPN_BASE, end); vpn < end; vpn = nextChunk(vm, vpn, end)) {
    vpn &= ~(<u64>511);
    scanChunk(vm, vpn);
    vpn += 512;
  }
}

/** Pages that are not there, or not in a mergeable VMA, are forgotten as the scanner passes them. */
function scanChunk(vm: usize, base: u64): void {
  for (let vpn = base; vpn < base + 512; ) {
    const vma = vmaFrom(vm, vpn);
    const end = base + 512;
    const start = vma == 0 ? end : min<u64>(load<u64>(vma, VMA_START), end);
    if (vpn < start) {
      forget(vm, vpn, start);
      vpn = start;
      continue;
    }
    const stop = min<u64>(load<u64>(vma, VMA_END), end);
    const mergeable = (load<u32>(vma, VMA_FLAGS) & <u32>VM_MERGEABLE) != 0 && load<u32>(vma, VMA_ANON) != 0;
    if (!mergeable) {
      forget(vm, vpn, stop);
      vpn = stop;
      continue;
    }
    for (; vpn < stop; vpn++) {
      // Looked at anew for each page: merging the one before may have split a huge page.
      const chunk = chunkOf(vm, vpn);
      const i = <u32>vpn & 511;
      if (chunk != 0 && bitGet(chunk + BACKED, i) && !bitGet(chunk + FILE, i)) look(vm, vpn, chunk);
      else forget(vm, vpn, vpn + 1);
    }
  }
  const chunk = chunkOf(vm, base);
  if (chunk == 0 || load<u32>(chunk, CHUNK_KSM) == 0) return;
  if (!itemsEmpty(load<u32>(chunk, CHUNK_KSM))) return;
  arenaPut(load<u32>(chunk, CHUNK_KSM));
  store<u32>(chunk, 0, CHUNK_KSM);
  const node = nodeOf(vm, base);
  chunkSettle(vm, base, node, chunkIndex(base), chunkAt(node, chunkIndex(base)));
}

function itemsEmpty(items: usize): bool {
  for (let p = items; p < items + 4096; p += 16) if (v128.any_true(v128.load(p))) return false;
  return true;
}

/** Item of page vpn, made when absent; 0 without metadata. */
function itemOf(vm: usize, vpn: u64, chunk: usize): usize {
  let items: usize = load<u32>(chunk, CHUNK_KSM);
  if (items == 0) {
    items = metadataGet();
    if (items == 0) return 0;
    store<u32>(chunk, <u32>items, CHUNK_KSM);
    hint(load<u32>(chunk, CHUNK_NODE), chunkIndex(vpn), HINT_SPECIAL);
  }
  return items + (<usize>(<u32>vpn & 511) << 3);
}

function forget(vm: usize, vpn: u64, end: u64): void {
  const chunk = chunkOf(vm, vpn);
  if (chunk == 0 || load<u32>(chunk, CHUNK_KSM) == 0) return;
  for (; vpn < end; vpn++) {
    const item = itemOf(vm, vpn, chunk);
    detach(item);
    store<u32>(item, 0);
  }
}

/** remove_rmap_item_from_tree */
function detach(item: usize): void {
  const node: usize = load<u32>(item, ITEM_NODE);
  if (node == 0) return;
  store<u32>(item, 0, ITEM_NODE);
  store<u32>(node, load<u32>(node, NODE_ITEMS) - 1, NODE_ITEMS);
}

function attach(item: usize, node: usize): void {
  store<u32>(item, <u32>node, ITEM_NODE);
  store<u32>(node, load<u32>(node, NODE_ITEMS) + 1, NODE_ITEMS);
}

/** cmp_and_merge_page */
function look(vm: usize, vpn: u64, chunk: usize): void {
  const item = itemOf(vm, vpn, chunk);
  if (item == 0) return;
  const i = <u32>vpn & 511;
  const frame = load<u32>(pageSlot(chunk, i));
  const sum = frameSum(frame);
  if (bitGet(chunk + KSM, i)) {
    if (load<u32>(item, ITEM_NODE) == <u32>frameNode(frame)) return;
  } else {
    detach(item);
    const seen = <u32>sum | 1; // 0 is: never
    if (load<u32>(item) != seen) {
      store<u32>(item, seen);
      return;
    }
  }
  const node = stableSearch(frame, sum);
  detach(item);
  if (node != 0) {
    if (merge(vm, vpn, node, 0)) attach(item, node);
    return;
  }
  const bucket = bucketOf(HOST_KSM_UNSTABLE, sum);
  if (bucket == 0) return;
  let other: usize = load<u32>(bucket);
  while (other != 0 && load<u64>(other, ENTRY_SUM) != sum) other = load<u32>(other);
  if (other == 0) unstableAdd(bucket, vm, vpn, sum);
  else if (holds(other, frame)) mergeTwo(vm, vpn, item, other, bucket, sum);
}

/** get_mergeable_page: the waiting page may have turned into the zero page since, when its huge page was split. */
function holds(entry: usize, frame: u32): bool {
  const vpn = load<u64>(entry, ENTRY_VPN);
  const chunk = chunkOf(load<u32>(entry, ENTRY_VM), vpn);
  const i = <u32>vpn & 511;
  if (chunk == 0 || !bitGet(chunk + BACKED, i) || bitGet(chunk + KSM, i)) return false;
  return frameEqual(load<u32>(pageSlot(chunk, i)), frame);
}

/**
 * stable_tree_search: the node of the frame itself, or the first copy of the same contents that has room. Copies that are
 * no longer mapped are gone. One that is found and still has room with one more moves to the front.
 */
function stableSearch(frame: u32, sum: u64): usize {
  const bucket = bucketOf(HOST_KSM_STABLE, sum);
  if (bucket == 0) return 0;
  prune(bucket);
  let found: usize = 0;
  for (let node: usize = load<u32>(bucket); node != 0; node = load<u32>(node, NODE_NEXT)) {
    if (load<u64>(node, NODE_SUM) != sum) continue;
    const copy = load<u32>(node, NODE_FRAME);
    if (copy == 0) continue; // nobody maps it any more
    if (copy == frame) return node;
    const items = load<u32>(node, NODE_ITEMS);
    if (found == 0 && items != 0 && items < MAX_SHARING && frameEqual(copy, frame)) found = node;
  }
  if (found != 0 && load<u32>(found, NODE_ITEMS) + 1 < MAX_SHARING) {
    unlink(bucket, found);
    link(bucket, found);
  }
  return found;
}

function link(bucket: usize, node: usize): void {
  store<u32>(node, load<u32>(bucket), NODE_NEXT);
  store<u32>(bucket, <u32>node);
}

function unlink(bucket: usize, node: usize): void {
  if (load<u32>(bucket) == <u32>node) {
    store<u32>(bucket, load<u32>(node, NODE_NEXT));
    return;
  }
  let p: usize = load<u32>(bucket);
  while (load<u32>(p, NODE_NEXT) != <u32>node) p = load<u32>(p, NODE_NEXT);
  store<u32>(p, load<u32>(node, NODE_NEXT), NODE_NEXT);
}

/** Nodes that nobody maps leave their bucket; they come free when no item is noted there. */
function prune(bucket: usize): void {
  for (let node: usize = load<u32>(bucket); node != 0; ) {
    const next: usize = load<u32>(node, NODE_NEXT);
    if (load<u32>(node, NODE_FRAME) == 0 && load<u32>(node, NODE_ITEMS) == 0) {
      unlink(bucket, node);
      nodeFree(node);
    }
    node = next;
  }
}

function stablePrune(): void {
  const table: usize = load<u32>(HOST_KSM_STABLE);
  if (table == 0) return;
  for (let p = table; p < table + 4096; p += 4) {
    const page: usize = load<u32>(p);
    if (page == 0) continue;
    for (let bucket = page; bucket < page + 4096; bucket += 4) prune(bucket);
  }
  if (load<u32>(HOST_KSM_NODES) == 0) tableFree(HOST_KSM_STABLE);
}

/** Mappings of shared pages beyond the first of each: the frames that sharing saves. */
export function ksmSaved(): u32 {
  const table: usize = load<u32>(HOST_KSM_STABLE);
  if (table == 0) return 0;
  let saved: u32 = 0;
  for (let p = table; p < table + 4096; p += 4) {
    const page: usize = load<u32>(p);
    if (page == 0) continue;
    for (let bucket = page; bucket < page + 4096; bucket += 4) {
      for (let node: usize = load<u32>(bucket); node != 0; node = load<u32>(node, NODE_NEXT)) {
        const frame = load<u32>(node, NODE_FRAME);
        if (frame != 0) saved += frameMappings(frame) - 1;
      }
    }
  }
  return saved;
}

/** try_to_merge_two_pages: the one looked at becomes the shared page, the one that waited joins it. */
function mergeTwo(vm: usize, vpn: u64, item: usize, entry: usize, bucket: usize, sum: u64): void {
  const otherVm: usize = load<u32>(entry, ENTRY_VM);
  const otherVpn = load<u64>(entry, ENTRY_VPN);
  const chunk = chunkOf(vm, vpn);
  if (vm == otherVm && vpn >> 9 == otherVpn >> 9 && bitGet(chunk + PART, <u32>vpn & 511) && bitGet(chunk + PART, <u32>otherVpn & 511)) {
    // Two pages of one huge page: it cannot be split while both are held. It is split now, and they merge next time.
    folioSplit(vm, vpn, chunk);
    return;
  }
  const stable = bucketOf(HOST_KSM_STABLE, sum);
  const node = stable == 0 ? <usize>0 : nodeGet();
  if (node == 0) return;
  if (!merge(vm, vpn, node, sum)) {
    nodeFree(node);
    return;
  }
  if (!merge(otherVm, otherVpn, node, 0)) {
    // Without a frame for a copy it stays what it is, a shared page with one mapping.
    ksmUnshare(vm, vpn);
    link(stable, node);
    return;
  }
  unlinkEntry(bucket, entry);
  link(stable, node);
  attach(itemOf(otherVm, otherVpn, chunkOf(otherVm, otherVpn)), node);
  attach(item, node);
  event(EventKind.KsmMerge, vm, 0, vpn, otherVpn, 0);
}

/**
 * try_to_merge_one_page: maps page vpn to the node's frame, or makes its own frame that of the node, which has none yet. A
 * huge page is split first, and a page of zeros is lost to the zero page thereby: then false.
 */
function merge(vm: usize, vpn: u64, node: usize, sum: u64): bool {
  const chunk = chunkOf(vm, vpn);
  const i = <u32>vpn & 511;
  if (bitGet(chunk + PART, i)) folioSplit(vm, vpn, chunk);
  if (!bitGet(chunk + BACKED, i)) return false;
  const frame = load<u32>(pageSlot(chunk, i));
  const shared = sum == 0 ? load<u32>(node, NODE_FRAME) : 0;
  if (frame == shared) return true;
  notify(vm, vpn, vpn + 1);
  const wasKsm = bitGet(chunk + KSM, i);
  const lazy = bitGet(chunk + LAZY, i);
  if (lazy) add(vm, VM_LAZY, -1);
  bitClear(chunk + LAZY, i);
  bitClear(chunk + DIRTY, i);
  bitClear(chunk + WRITABLE, i);
  bitSet(chunk + KSM, i);
  hint(load<u32>(chunk, CHUNK_NODE), chunkIndex(vpn), HINT_SPECIAL);
  if (shared == 0) {
    ksmStart(node, vm, frame, lazy, sum);
    return true;
  }
  store<u32>(pageSlot(chunk, i), shared);
  frameMapped(shared, 1);
  if (wasKsm) ksmUnmapped(vm, frame);
  else framePut(vm, frame);
  count(vm, Counter.KsmMerged);
  return true;
}

// ── what both trees are made of ──

/** A node or an entry from the list of free ones at `list`, of which there are some more from a metadata page. */
function recordGet(list: usize, size: usize): usize {
  if (load<u32>(list) == 0) {
    const page = metadataGet();
    if (page == 0) return 0;
    // The first record of a page links the pages, so that check() finds them.
    store<u32>(page, load<u32>(HOST_KSM_PAGES));
    store<u32>(HOST_KSM_PAGES, <u32>page);
    for (let p = page + size; p + size <= page + 4096; p += size) recordPut(list, p);
  }
  const record: usize = load<u32>(list);
  store<u32>(list, load<u32>(record, NODE_NEXT));
  return record;
}

function recordPut(list: usize, record: usize): void {
  store<u32>(record, load<u32>(list), NODE_NEXT);
  store<u32>(list, <u32>record);
}

function nodeGet(): usize {
  const node = recordGet(HOST_KSM_FREE, NODE_SIZE);
  if (node != 0) store<u32>(HOST_KSM_NODES, load<u32>(HOST_KSM_NODES) + 1);
  return node;
}

function nodeFree(node: usize): void {
  recordPut(HOST_KSM_FREE, node);
  store<u32>(HOST_KSM_NODES, load<u32>(HOST_KSM_NODES) - 1);
}

function unstableAdd(bucket: usize, vm: usize, vpn: u64, sum: u64): void {
  const entry = recordGet(HOST_KSM_FREE, NODE_SIZE);
  if (entry == 0) return;
  store<u32>(entry, load<u32>(bucket));
  store<u32>(entry, <u32>vm, ENTRY_VM);
  store<u64>(entry, vpn, ENTRY_VPN);
  store<u64>(entry, sum, ENTRY_SUM);
  store<u32>(bucket, <u32>entry);
}

function unlinkEntry(bucket: usize, entry: usize): void {
  let p = bucket;
  while (load<u32>(p) != <u32>entry) p = load<u32>(p);
  store<u32>(p, load<u32>(entry));
  recordPut(HOST_KSM_FREE, entry);
}

/** The scan is over: what waited goes. */
function unstableFree(): void {
  const table: usize = load<u32>(HOST_KSM_UNSTABLE);
  if (table == 0) return;
  for (let p = table; p < table + 4096; p += 4) {
    const page: usize = load<u32>(p);
    if (page == 0) continue;
    for (let bucket = page; bucket < page + 4096; bucket += 4) {
      for (let entry: usize = load<u32>(bucket); entry != 0; ) {
        const next: usize = load<u32>(entry);
        recordPut(HOST_KSM_FREE, entry);
        entry = next;
      }
    }
  }
  tableFree(HOST_KSM_UNSTABLE);
}
