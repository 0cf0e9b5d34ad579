// What KSM's two trees are made of: tables of buckets, stable nodes, and entries of the unstable tree. Both are hash tables.
//
// ╒═ entry of the unstable tree, 24 bytes ════════════════════════════════════════════════════╕
// │ 0 next in its bucket u32 │ 4 VM u32 │ 8 vpn u64 │ 16 sum u64                               │
// ╞═ page of entries ═════════════════════════════════════════════════════════════════════════╡
// │ 0 the page before u32 │ 4 bytes in use u32 │ 8 – │ 24 entries                              │
// ╘═══════════════════════════════════════════════════════════════════════════════════════════╛
// Entries are made one behind the other and go all at once, unread, when the scan is over: so many lie in no cache.
import {
  HOST_FRAMES, HOST_KSM_ENTRIES, HOST_KSM_FREE, HOST_KSM_NODES, HOST_KSM_PAGES, HOST_KSM_STABLE, HOST_KSM_UNSTABLE,
} from '../base/layout';
import { arenaPut } from '../frames/arena';
import { poolTotal } from '../frames/pool';
import { frameMappings } from '../frames/shared';
import { NODE_FRAME, NODE_ITEMS, NODE_NEXT, NODE_SIZE } from './ksm-page';
import { metadataGet } from './room';

export const ENTRY_VM: usize = 4;
export const ENTRY_VPN: usize = 8;
export const ENTRY_SUM: usize = 16;
const ENTRY_SIZE: u32 = 24;
const PAGE_USED: usize = 4;

/**
 * A table of buckets: a page of up to 1024 pages of 1024 buckets, u32 each, made as they are needed; as many buckets as
 * the host has frames.
 */
export function bucketOf(root: usize, sum: u64): usize {
  const pages: u32 = min<u32>(1 << (32 - clz<u32>((poolTotal(HOST_FRAMES) - 1) >> 10)), 1024);
  let table: usize = load<u32>(root);
  if (table == 0) {
    table = metadataGet();
    if (table == 0) return 0;
    store<u32>(root, <u32>table);
  }
  const p = table + ((<usize>sum & (pages - 1)) << 2);
  if (load<u32>(p) == 0) {
    const page = metadataGet();
    if (page == 0) return 0;
    store<u32>(p, <u32>page);
  }
  return <usize>load<u32>(p) + ((<usize>(sum >> 10) & 1023) << 2);
}

/** The first bucket of [bucket, end) with something in it, 0 when there is none. */
function used(bucket: usize, end: usize): usize {
  while (bucket < end) {
    if ((bucket & 15) == 0 && !v128.any_true(v128.load(bucket))) bucket += 16;
    else if (load<u32>(bucket) != 0) return bucket;
    else bucket += 4;
  }
  return 0;
}

function tableFree(root: usize): void {
  const table: usize = load<u32>(root);
  if (table == 0) return;
  for (let p = table; p < table + 4096; p += 4) if (load<u32>(p) != 0) arenaPut(load<u32>(p));
  arenaPut(table);
  store<u32>(root, 0);
}

export function link(bucket: usize, node: usize): void {
  store<u32>(node, load<u32>(bucket), NODE_NEXT);
  store<u32>(bucket, <u32>node);
}

export function unlink(bucket: usize, node: usize): void {
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

export function stablePrune(): void {
  const table: usize = load<u32>(HOST_KSM_STABLE);
  if (table == 0) return;
  for (let p = table; p < table + 4096; p += 4) {
    const page: usize = load<u32>(p);
    if (page == 0) continue;
    for (let bucket = used(page, page + 4096); bucket != 0; bucket = used(bucket + 4, page + 4096)) prune(bucket);
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
    for (let bucket = used(page, page + 4096); bucket != 0; bucket = used(bucket + 4, page + 4096)) {
      for (let node: usize = load<u32>(bucket); node != 0; node = load<u32>(node, NODE_NEXT)) {
        const frame = load<u32>(node, NODE_FRAME);
        if (frame != 0) saved += frameMappings(frame) - 1;
      }
    }
  }
  return saved;
}

/** A stable node, of which there are some more from a metadata page when all are in use; 0 without one. */
export function nodeGet(): usize {
  if (load<u32>(HOST_KSM_FREE) == 0) {
    const page = metadataGet();
    if (page == 0) return 0;
    // The first node of a page links the pages, so that check() finds them.
    store<u32>(page, load<u32>(HOST_KSM_PAGES));
    store<u32>(HOST_KSM_PAGES, <u32>page);
    for (let p = page + NODE_SIZE; p + NODE_SIZE <= page + 4096; p += NODE_SIZE) free(p);
  }
  const node: usize = load<u32>(HOST_KSM_FREE);
  store<u32>(HOST_KSM_FREE, load<u32>(node, NODE_NEXT));
  store<u32>(HOST_KSM_NODES, load<u32>(HOST_KSM_NODES) + 1);
  return node;
}

export function nodeFree(node: usize): void {
  free(node);
  store<u32>(HOST_KSM_NODES, load<u32>(HOST_KSM_NODES) - 1);
}

function free(node: usize): void {
  store<u32>(node, load<u32>(HOST_KSM_FREE), NODE_NEXT);
  store<u32>(HOST_KSM_FREE, <u32>node);
}

/** Without a metadata page the page of vpn does not wait. */
export function unstableAdd(bucket: usize, vm: usize, vpn: u64, sum: u64): void {
  let page: usize = load<u32>(HOST_KSM_ENTRIES);
  if (page == 0 || load<u32>(page, PAGE_USED) + ENTRY_SIZE > 4096) {
    const fresh = metadataGet();
    if (fresh == 0) return;
    store<u32>(fresh, <u32>page);
    store<u32>(fresh, ENTRY_SIZE, PAGE_USED);
    store<u32>(HOST_KSM_ENTRIES, <u32>fresh);
    page = fresh;
  }
  const at = load<u32>(page, PAGE_USED);
  store<u32>(page, at + ENTRY_SIZE, PAGE_USED);
  const entry = page + at;
  store<u32>(entry, load<u32>(bucket));
  store<u32>(entry, <u32>vm, ENTRY_VM);
  store<u64>(entry, vpn, ENTRY_VPN);
  store<u64>(entry, sum, ENTRY_SUM);
  store<u32>(bucket, <u32>entry);
}

/** It waits no longer. */
export function unstableRemove(bucket: usize, entry: usize): void {
  let p = bucket;
  while (load<u32>(p) != <u32>entry) p = load<u32>(p);
  store<u32>(p, load<u32>(entry));
}

/** The scan is over: what waited goes. */
export function unstableFree(): void {
  for (let page: usize = load<u32>(HOST_KSM_ENTRIES); page != 0; ) {
    const before: usize = load<u32>(page);
    arenaPut(page);
    page = before;
  }
  store<u32>(HOST_KSM_ENTRIES, 0);
  tableFree(HOST_KSM_UNSTABLE);
}
