// KSM's scanner: it goes through all pages of mergeable VMAs, VM by VM in address order, and maps those with equal
// contents to one frame. Pages it shares stand in the stable tree; pages seen unchanged twice wait in the unstable tree,
// which is new with each scan. Both are hash tables here. One thread of control scans, and no vCPU thread runs meanwhile.
// Reference: linux mm/ksm.c (cmp_and_merge_page, stable_tree_search, scan_get_next_rmap_item); rule 8 of the recordings.
//
// ╒═ item (ksm_rmap_item) ═ 8 bytes in the page at CHUNK_KSM, one for each page of the chunk ═╕
// │ 0 seen u32: sum of the contents when last looked at, 0 never │ 4 stable node u32          │
// ╘═══════════════════════════════════════════════════════════════════════════════════════════╛
import { Counter, EventKind } from '../abi/events';
import { VM_MERGEABLE } from '../abi/vm-flags';
import {
  HOST_KSM_SCANS, HOST_KSM_STABLE, HOST_KSM_UNSTABLE, HOST_VM_COUNT, VM_BASE, VM_DIR_LEN, VM_LAZY, VM_SIZE, VPN_BASE,
} from '../base/layout';
import { bitClear, bitGet, bitSet } from '../base/bits';
import { add } from '../base/thread';
import { arenaPut } from '../frames/arena';
import { frameEqual, frameSum } from '../frames/bytes';
import { frameMapped, frameMappings, frameNode } from '../frames/shared';
import { notify } from '../memslot/notify';
import { count, event } from '../trace/events';
import { folioSplit } from './huge';
import { ksmStart, ksmUnmapped, NODE_FRAME, NODE_ITEMS, NODE_NEXT, NODE_SUM } from './ksm-page';
import {
  bucketOf, ENTRY_SUM, ENTRY_VM, ENTRY_VPN, link, nodeFree, nodeGet, stablePrune, unlink, unstableAdd, unstableFree,
  unstableRemove,
} from './ksm-tree';
import { vmaFrom } from './look-up';
import {
  BACKED, CHUNK_KSM, CHUNK_NODE, chunkAt, chunkIndex, chunkOf, chunkSettle, DIRTY, FILE, hint, HINT_SPECIAL, KSM,
  LAZY, nextChunk, nodeOf, pageSlot, PART, setHugeTag, WRITABLE,
} from './page-state';
import { framePut } from './frame';
import { metadataGet } from './room';
import { ksmUnshare } from './unshare';
import { VMA_ANON, VMA_END, VMA_FLAGS, VMA_START } from './vma';

/** ksm/max_page_sharing */
const MAX_SHARING: u32 = 256;
/**
 * A page is not merged where it would meet as many others in its bucket. There are as many buckets as frames, so that only
 * happens to who has worked for it: a guest that knows the sum can make any number of pages for one bucket.
 */
const CROWD: u32 = 64;

/** No address of a node. */
const CROWDED: usize = 1;

const ITEM_NODE: usize = 4;

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
    setHugeTag(chunk, vpn, 0);
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
  const shared = bitGet(chunk + KSM, i);
  let sum: u64;
  if (shared) {
    const own = frameNode(frame);
    if (load<u32>(item, ITEM_NODE) == <u32>own) return;
    sum = load<u64>(own, NODE_SUM); // nobody can have written it since
  } else {
    sum = frameSum(frame);
    detach(item);
    const seen = <u32>sum | 1; // 0 is: never
    if (load<u32>(item) != seen) {
      store<u32>(item, seen);
      return;
    }
  }
  const node = stableSearch(frame, sum, shared);
  detach(item);
  if (node == CROWDED) return;
  if (node != 0) {
    if (merge(vm, vpn, node, 0)) attach(item, node);
    return;
  }
  const bucket = bucketOf(HOST_KSM_UNSTABLE, sum);
  if (bucket == 0) return;
  let other: usize = load<u32>(bucket);
  for (let others: u32 = 0; other != 0 && load<u64>(other, ENTRY_SUM) != sum; other = load<u32>(other)) {
    if (++others == CROWD) return;
  }
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
 * stable_tree_search: the node of the frame itself, if it is a shared one, or the first copy of the same contents that has
 * room. Copies that are no longer mapped are passed over. One that is found and still has room with one more moves to the
 * front: pages of zeros may have thousands of copies, and the first that has room is mostly the first of all. CROWDED: the
 * page had better not be merged.
 */
function stableSearch(frame: u32, sum: u64, shared: bool): usize {
  const bucket = bucketOf(HOST_KSM_STABLE, sum);
  if (bucket == 0) return 0;
  let found: usize = 0;
  let others: u32 = 0;
  for (let node: usize = load<u32>(bucket); node != 0 && (shared || found == 0); node = load<u32>(node, NODE_NEXT)) {
    if (load<u64>(node, NODE_SUM) != sum) {
      if (++others == CROWD) return CROWDED;
      continue;
    }
    const copy = load<u32>(node, NODE_FRAME);
    if (copy == 0) continue;
    if (copy == frame) return node;
    const items = load<u32>(node, NODE_ITEMS);
    if (found != 0 || items == 0 || items >= MAX_SHARING) continue;
    if (frameEqual(copy, frame)) found = node;
    else if (++others == CROWD) return CROWDED;
  }
  if (found != 0 && load<u32>(found, NODE_ITEMS) + 1 < MAX_SHARING && load<u32>(bucket) != <u32>found) {
    unlink(bucket, found);
    link(bucket, found);
  }
  return found;
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
  unstableRemove(bucket, entry);
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
