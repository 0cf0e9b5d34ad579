// KVM's slots: gfn range → host-virtual pages, or pages of a guest_memfd. No overlaps in gfns; any number of slots may
// have the same host-virtual pages. Reference: linux virt/kvm/kvm_main.c, include/linux/kvm_host.h (kvm_memory_slot).
//
// ╒═ slot, 64 bytes, found by its id ═════════════════════════════════════════════════════╕
// │ 0 base gfn u64 │ 8 end gfn u64, 0 = no such slot │ 16 first vpn u64                   │
// │ 24 id u32 │ 28 flags u32 │ 32 guest_memfd u32, 0 = none or closed │ 36 dirty u32      │
// │ 40 first page of the file u64 │ 48 end vpn, the largest of all up to here by vpn u64   │
// ╞═ VM_SLOT_IDS, a page ═════════════════════════════════════════════════════════════════╡
// │ addresses of pages of 64 slots u32 × 512                                              │
// ╞═ VM_SLOT_ORDER and VM_SLOT_BY_VPN, room for VM_SLOT_ROOM each ════════════════════════╡
// │ addresses of slots u32, by gfn; the same by first vpn                                 │
// ╘═══════════════════════════════════════════════════════════════════════════════════════╛
// The file's pages are numbered as in mm/file.ts. `dirty` is the root of the set of dirty pages (gfn-set.ts).
import { VM_SEQUENCE, VM_SLOT_BY_VPN, VM_SLOT_COUNT, VM_SLOT_IDS, VM_SLOT_ORDER, VM_SLOT_ROOM } from '../base/layout';
import { max } from '../base/math';
import { arenaGet, arenaGetContiguous, arenaPutContiguous } from '../frames/arena';

export const SLOT_BASE: usize = 0;
export const SLOT_END: usize = 8;
export const SLOT_VPN: usize = 16;
export const SLOT_ID: usize = 24;
export const SLOT_FLAGS: usize = 28;
export const SLOT_FILE: usize = 32;
export const SLOT_DIRTY: usize = 36;
export const SLOT_FILE_PAGE: usize = 40;
export const SLOT_REACH: usize = 48;
const SLOT_SIZE: usize = 64;
/** KVM_USER_MEM_SLOTS of x86. */
export const SLOT_MAX: u32 = 32764;
/** Slots for which a new VM's orders have room. */
const FIRST_ROOM: u32 = 512;

/** No slots. False when the arena is empty. */
export function slotsInit(vm: usize): bool {
  const order = arenaGet();
  if (order == 0) return false;
  setRoom(vm, order, FIRST_ROOM);
  const ids = arenaGet();
  store<u32>(vm, <u32>ids, VM_SLOT_IDS);
  return ids != 0;
}

/** The slots' pages are given back, as far as there are any. */
export function slotsExit(vm: usize): void {
  const ids: usize = load<u32>(vm, VM_SLOT_IDS);
  if (ids != 0) for (let o: usize = 0; o < 4096; o += 4) arenaPutContiguous(load<u32>(ids + o), 1);
  arenaPutContiguous(ids, 1);
  arenaPutContiguous(load<u32>(vm, VM_SLOT_ORDER), orderPages(load<u32>(vm, VM_SLOT_ROOM)));
}

/** Pages of the orders: addresses of 4 bytes, twice. */
export function orderPages(room: u32): u32 {
  return room >> 9;
}

function setRoom(vm: usize, order: usize, room: u32): void {
  store<u32>(vm, <u32>order, VM_SLOT_ORDER);
  store<u32>(vm, <u32>order + (room << 2), VM_SLOT_BY_VPN);
  store<u32>(vm, room, VM_SLOT_ROOM);
}

/** The n-th slot by gfn. */
// @ts-ignore: decorator
@inline
export function slotAt(vm: usize, n: u32): usize {
  return load<u32>(<usize>load<u32>(vm, VM_SLOT_ORDER) + (<usize>n << 2));
}

/** The n-th slot by first vpn. */
// @ts-ignore: decorator
@inline
export function slotByVpn(vm: usize, n: u32): usize {
  return load<u32>(<usize>load<u32>(vm, VM_SLOT_BY_VPN) + (<usize>n << 2));
}

/** How many slots end at gfn or before. */
function slotsBefore(vm: usize, gfn: u64): u32 {
  let lo: u32 = 0;
  let hi = load<u32>(vm, VM_SLOT_COUNT);
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    if (load<u64>(slotAt(vm, mid), SLOT_END) > gfn) hi = mid;
    else lo = mid + 1;
  }
  return lo;
}

/** Up to so many slots are looked through one by one. */
const FEW: u32 = 4;

/** The slot that covers gfn, 0 for none. */
export function slotOf(vm: usize, gfn: u64): usize {
  const n = load<u32>(vm, VM_SLOT_COUNT);
  if (n > FEW) {
    const slot = slotFrom(vm, gfn);
    return slot != 0 && load<u64>(slot, SLOT_BASE) <= gfn ? slot : 0;
  }
  let p: usize = load<u32>(vm, VM_SLOT_ORDER);
  for (const end = p + (<usize>n << 2); p < end; p += 4) {
    const slot: usize = load<u32>(p);
    if (gfn < load<u64>(slot, SLOT_END)) return gfn >= load<u64>(slot, SLOT_BASE) ? slot : 0;
  }
  return 0;
}

/** The first slot that ends behind gfn, 0 for none. */
export function slotFrom(vm: usize, gfn: u64): usize {
  const n = slotsBefore(vm, gfn);
  return n < load<u32>(vm, VM_SLOT_COUNT) ? slotAt(vm, n) : 0;
}

// @ts-ignore: decorator
@inline
export function slotVpn(slot: usize, gfn: u64): u64 {
  return gfn - load<u64>(slot, SLOT_BASE) + load<u64>(slot, SLOT_VPN);
}

// @ts-ignore: decorator
@inline
export function slotPages(slot: usize): u64 {
  return load<u64>(slot, SLOT_END) - load<u64>(slot, SLOT_BASE);
}

/** The end of the host-virtual pages of a slot. */
// @ts-ignore: decorator
@inline
export function slotVpnEnd(slot: usize): u64 {
  return load<u64>(slot, SLOT_VPN) + slotPages(slot);
}

/** The page of its guest_memfd that a slot has at gfn. */
// @ts-ignore: decorator
@inline
export function slotFilePage(slot: usize, gfn: u64): u64 {
  return gfn - load<u64>(slot, SLOT_BASE) + load<u64>(slot, SLOT_FILE_PAGE);
}

/** How many slots begin in host-virtual memory before vpn. */
function slotsBelow(vm: usize, vpn: u64): u32 {
  let lo: u32 = 0;
  let hi = load<u32>(vm, VM_SLOT_COUNT);
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    if (load<u64>(slotByVpn(vm, mid), SLOT_VPN) >= vpn) hi = mid;
    else lo = mid + 1;
  }
  return lo;
}

/**
 * Of the slots by vpn, those from the answer on and before `slotsBelow(vm, end)` may have pages of [vpn, end); the others
 * have none. Few slots are looked at one by one anyway.
 */
export function slotsReaching(vm: usize, vpn: u64, below: u32): u32 {
  while (below != 0 && load<u64>(slotByVpn(vm, below - 1), SLOT_REACH) > vpn) below--;
  return below;
}

// @ts-ignore: decorator
@inline
export function slotsBelowEnd(vm: usize, end: u64): u32 {
  const n = load<u32>(vm, VM_SLOT_COUNT);
  return n <= FEW ? n : slotsBelow(vm, end);
}

/** The slot with this id, 0 for none. id < SLOT_MAX. */
export function slotById(vm: usize, id: u32): usize {
  const page: usize = load<u32>(<usize>load<u32>(vm, VM_SLOT_IDS) + (<usize>(id >> 6) << 2));
  if (page == 0) return 0;
  const slot = page + <usize>(id & 63) * SLOT_SIZE;
  return load<u64>(slot, SLOT_END) != 0 ? slot : 0;
}

/** Whether a slot other than `own` has one of the gfns [base, end). */
export function slotsOverlap(vm: usize, own: usize, base: u64, end: u64): bool {
  for (let n = slotsBefore(vm, base), all = load<u32>(vm, VM_SLOT_COUNT); n < all; n++) {
    const slot = slotAt(vm, n);
    if (load<u64>(slot, SLOT_BASE) >= end) break;
    if (slot != own) return true;
  }
  return false;
}

/** Room for one more slot, and a record for id, all zero. 0 without metadata. */
export function slotRecord(vm: usize, id: u32): usize {
  if (!makeRoom(vm)) return 0;
  const at = <usize>load<u32>(vm, VM_SLOT_IDS) + (<usize>(id >> 6) << 2);
  if (load<u32>(at) == 0) store<u32>(at, <u32>arenaGet());
  const page: usize = load<u32>(at);
  return page == 0 ? 0 : page + <usize>(id & 63) * SLOT_SIZE;
}

function makeRoom(vm: usize): bool {
  const n = load<u32>(vm, VM_SLOT_COUNT);
  const room = load<u32>(vm, VM_SLOT_ROOM);
  if (n < room) return true;
  const order = arenaGetContiguous(orderPages(2 * room));
  if (order == 0) return false;
  const old: usize = load<u32>(vm, VM_SLOT_ORDER);
  memory.copy(order, old, <usize>n << 2);
  memory.copy(order + (<usize>room << 3), load<u32>(vm, VM_SLOT_BY_VPN), <usize>n << 2);
  setRoom(vm, order, 2 * room);
  arenaPutContiguous(old, orderPages(room));
  return true;
}

/** A complete record becomes a slot; there is room for it, and no other has its gfns. */
export function slotInsert(vm: usize, slot: usize): void {
  const n = load<u32>(vm, VM_SLOT_COUNT);
  put(load<u32>(vm, VM_SLOT_ORDER), n, slotsBefore(vm, load<u64>(slot, SLOT_BASE)), slot);
  const place = slotsBelow(vm, load<u64>(slot, SLOT_VPN));
  put(load<u32>(vm, VM_SLOT_BY_VPN), n, place, slot);
  store<u32>(vm, n + 1, VM_SLOT_COUNT);
  setReach(vm, place);
  slotsChanged(vm);
}

/** The slot is no more: neither gfns nor host-virtual pages lead to it. Its record keeps what it says until SLOT_END is 0. */
export function slotRemove(vm: usize, slot: usize): void {
  const n = load<u32>(vm, VM_SLOT_COUNT);
  take(load<u32>(vm, VM_SLOT_ORDER), n, slotsBefore(vm, load<u64>(slot, SLOT_BASE)));
  let place = slotsBelow(vm, load<u64>(slot, SLOT_VPN));
  while (slotByVpn(vm, place) != slot) place++;
  take(load<u32>(vm, VM_SLOT_BY_VPN), n, place);
  store<u32>(vm, n - 1, VM_SLOT_COUNT);
  setReach(vm, place);
  slotsChanged(vm);
}

/** Whoever has looked up a slot, or that there is none, looks again (linux: memslots generation, mmu_invalidate_seq). */
function slotsChanged(vm: usize): void {
  store<u32>(vm, load<u32>(vm, VM_SEQUENCE) + 1, VM_SEQUENCE);
}

function put(order: usize, n: u32, place: u32, slot: usize): void {
  const p = order + (<usize>place << 2);
  memory.copy(p + 4, p, <usize>(n - place) << 2);
  store<u32>(p, <u32>slot);
}

function take(order: usize, n: u32, place: u32): void {
  const p = order + (<usize>place << 2);
  memory.copy(p, p + 4, <usize>(n - place - 1) << 2);
}

/** How far slots reach, by vpn, from place on; it ends where nothing changes any more. */
function setReach(vm: usize, place: u32): void {
  let reach: u64 = place == 0 ? 0 : load<u64>(slotByVpn(vm, place - 1), SLOT_REACH);
  for (let i = place, n = load<u32>(vm, VM_SLOT_COUNT); i < n; i++) {
    const slot = slotByVpn(vm, i);
    reach = max(reach, slotVpnEnd(slot));
    if (i != place && load<u64>(slot, SLOT_REACH) == reach) return;
    store<u64>(slot, reach, SLOT_REACH);
  }
}
