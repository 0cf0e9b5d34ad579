// Memory nodes of the host: which node each frame is of. Frames are not apart: a frame is given a node when it is handed
// out, of those that have room, and keeps it until it comes free.
// Reference: linux mm/page_alloc.c (get_page_from_freelist, find_next_best_node).
//
// A host with one node has no labels (HOST_NODE_LABELS 0), and nothing here is ever called.
// Labels: u8 a frame, node + 1, 0 for none. A frame that comes free keeps its label, so that freeing costs nothing: the
// labels of free frames are taken away when a node seems full (nodesSettle).
import {
  HOST_FRAMES, HOST_NODE_COUNT, HOST_NODE_LABELS, HOST_NODE_LOCK, HOST_NODE_ROOM, HOST_NODE_SETTLED, HOST_NODE_TAKEN, HOST_NODE_USED,
} from '../base/layout';
import { lock, unlock } from '../base/lock';
import {
  GROUP, poolBase, poolFree, poolGroup, poolGroups, poolLock, poolRunEnd, poolRunNext, poolStacked, poolStackedPage, poolTotal,
} from './pool';

/** Nodes a host can have. */
export const NODE_MAX: u32 = 8;

/** `labels`: a byte for each frame, all 0. Frames are shared out evenly, what is over goes to the first node. */
export function nodesInit(labels: usize, nodes: u32): void {
  const each = poolTotal(HOST_FRAMES) / nodes;
  store<u32>(HOST_NODE_LABELS, <u32>labels);
  store<u32>(HOST_NODE_COUNT, nodes);
  for (let n: u32 = 0; n < nodes; n++) store<u32>(HOST_NODE_ROOM + (<usize>n << 2), each);
  store<u32>(HOST_NODE_ROOM, poolTotal(HOST_FRAMES) - each * (nodes - 1));
}

// @ts-ignore: decorator
@inline
export function hasNodes(): bool {
  return load<u32>(HOST_NODE_LABELS) != 0;
}

// @ts-ignore: decorator
@inline
function labelOf(frame: u32): usize {
  return <usize>load<u32>(HOST_NODE_LABELS) + (frame - poolBase(HOST_FRAMES));
}

/** The node of a frame in use; 0 for what is no frame of the pool. */
export function nodeOfFrame(frame: u32): u32 {
  if (!hasNodes() || frame - poolBase(HOST_FRAMES) >= poolTotal(HOST_FRAMES)) return 0;
  const label: u32 = load<u8>(labelOf(frame));
  return label == 0 ? 0 : label - 1;
}

/** Frames of a node, and how many of them may still be handed out. */
export function nodeRoom(node: u32): u32 {
  return load<u32>(HOST_NODE_ROOM + (<usize>node << 2));
}

export function nodeFree(node: u32): u32 {
  lock(HOST_NODE_LOCK);
  nodesSettle();
  const free = nodeRoom(node) - used(node);
  unlock(HOST_NODE_LOCK);
  return free;
}

// @ts-ignore: decorator
@inline
function used(node: u32): u32 {
  return load<u32>(HOST_NODE_USED + (<usize>node << 2));
}

function addUsed(node: u32, by: i32): void {
  store<u32>(HOST_NODE_USED + (<usize>node << 2), used(node) + by);
}

/**
 * `count` frames from `first` on, which were just handed out, get a node of `mask`: `node`, or those behind it in a ring.
 * False, nothing changed, when none has room.
 */
export function nodeTake(first: u32, count: u32, node: u32, mask: u32): bool {
  lock(HOST_NODE_LOCK);
  for (let i: u32 = 0; i < count; i++) unlabel(first + i);
  let found = pick(count, node, mask);
  // Another one than the policy would have: it may seem full for frames that are free.
  if (found != pick(0, node, mask) && nodesSettle()) found = pick(count, node, mask);
  if (found != NODE_MAX) {
    memory.fill(labelOf(first), <u8>(found + 1), count);
    addUsed(found, count);
    store<u32>(HOST_NODE_TAKEN, load<u32>(HOST_NODE_TAKEN) + count);
  }
  unlock(HOST_NODE_LOCK);
  return found != NODE_MAX;
}

/** The first node from `node` on, round the ring, that is in `mask` and has room; NODE_MAX for none. */
function pick(count: u32, node: u32, mask: u32): u32 {
  const nodes = load<u32>(HOST_NODE_COUNT);
  for (let i: u32 = 0; i < nodes; i++) {
    const n = (node + i) % nodes;
    if ((mask & (1 << n)) != 0 && nodeRoom(n) - used(n) >= count) return n;
  }
  return NODE_MAX;
}

function unlabel(frame: u32): void {
  const p = labelOf(frame);
  const label: u32 = load<u8>(p);
  if (label == 0) return;
  addUsed(label - 1, -1);
  store<u8>(p, 0);
}

/**
 * Free frames lose their labels; whether there was anything to do. Nothing has come free since the last time as long as free
 * frames and those handed out since then come to the same. Frames that vCPU threads keep for themselves stay as they are.
 */
function nodesSettle(): bool {
  lock(poolLock(HOST_FRAMES));
  const now = poolFree(HOST_FRAMES) + load<u32>(HOST_NODE_TAKEN);
  const any = now != load<u32>(HOST_NODE_SETTLED);
  if (any) {
    for (let i: u32 = 0, n = poolStacked(HOST_FRAMES); i < n; i++) unlabel(poolStackedPage(HOST_FRAMES, i));
    for (let i: u32 = 0, n = poolGroups(HOST_FRAMES); i < n; i++) unlabelAll(poolGroup(HOST_FRAMES, i), GROUP);
    unlabelAll(poolRunNext(HOST_FRAMES), poolRunEnd(HOST_FRAMES) - poolRunNext(HOST_FRAMES));
    store<u32>(HOST_NODE_SETTLED, now);
  }
  unlock(poolLock(HOST_FRAMES));
  return any;
}

function unlabelAll(first: u32, count: u32): void {
  for (let i: u32 = 0; i < count; i++) unlabel(first + i);
}
