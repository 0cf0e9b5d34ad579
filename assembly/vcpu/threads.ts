// A run of vCPU threads begins and ends. In between each thread keeps what is its own in its run record
// (base/thread.ts); here, on the main thread and with no other at work, it is made and added up.
import { EVENT_CAPACITY, EVENT_SIZE, THREAD_EVENTS } from '../abi/events';
import { RUN_PROGRAM } from '../abi/status';
import {
  EVENTS, HERE_CAUSE, HERE_CPU, HERE_EVENT_SEQ, HERE_PIN_VM, HERE_RING, HOST_ARENA, HOST_EVENT_SEQ, HOST_EVENTS_ON,
  HOST_TABLES, RUN_EVENTS, RUN_HERE, RUN_LOCAL, RUN_MODE, TABLE_SIZE, VM_BUF_CONN, VM_BUF_VPN, VM_COUNTERS, VM_CPUS, VM_HUGE_TAG, VM_HUGETLB, VM_LAZY, VM_LOCAL_END,
  VM_LOCK_BITS, VM_LOCK_MASK, VM_LOCKED_VM, VM_MAPPED, VM_MAPPED_HUGE, VM_MEMORY, VM_MMIO_GFN, VM_PSC_TAG, VM_RSS, VM_MEMORY_SWAP, VM_SWAP, VM_VMA_HIT_PAGES,
} from '../base/layout';
import { Counter } from '../abi/events';
import { runOf } from '../base/thread';
import { arenaGet, arenaGetContiguous } from '../frames/arena';
import { cacheEmpty } from '../frames/cache';
import { poolBumped } from '../frames/pool';
import { mapsFold, mapsShare } from '../mm/map-count';
import { vmaCarve, vmaGather } from '../mm/regions';

const RING_PAGES: u32 = (THREAD_EVENTS * EVENT_SIZE) >> 12;

/**
 * The vCPU threads of `vm` may start. `kvm`: they will change slots, attributes, dirty logs or files of guest_memfd, for
 * which they have one lock in this run. False, nothing changed that counts, when there is no metadata page for them.
 */
export function threadsStart(vm: usize, kvm: bool): bool {
  store<u32>(vm, kvm ? 0 : load<u32>(vm, VM_LOCK_BITS), VM_LOCK_MASK);
  for (let cpu: u32 = 0, cpus = load<u32>(vm, VM_CPUS); cpu < cpus; cpu++) if (!threadStart(runOf(vm, cpu), cpu)) return false;
  // What one thread of control remembers is not for several.
  store<u64>(vm, u64.MAX_VALUE, VM_PSC_TAG);
  store<u64>(vm, u64.MAX_VALUE, VM_HUGE_TAG);
  store<u32>(vm, u32.MAX_VALUE, VM_BUF_CONN);
  store<u64>(vm, 0, VM_VMA_HIT_PAGES);
  vmaCarve(vm);
  mapsShare(vm);
  forgetUsers();
  return true;
}

/** No thread uses a table yet: what threads of an earlier run did does not count. */
function forgetUsers(): void {
  let p: usize = load<u32>(HOST_TABLES);
  for (const end = p + <usize>poolBumped(HOST_ARENA) * TABLE_SIZE; p < end; p += TABLE_SIZE) store<u32>(p, 0);
}

/** The page for a vCPU's program, made when first asked for; 0 without metadata. */
export function programPage(run: usize): usize {
  if (load<u32>(run, RUN_PROGRAM) == 0) store<u32>(run, <u32>arenaGet(), RUN_PROGRAM);
  return load<u32>(run, RUN_PROGRAM);
}

function threadStart(run: usize, cpu: u32): bool {
  if (programPage(run) == 0) return false;
  if (load<u32>(HOST_EVENTS_ON) != 0 && load<u32>(run, RUN_EVENTS) == 0) {
    const ring = arenaGetContiguous(RING_PAGES);
    if (ring == 0) return false;
    store<u32>(run, <u32>ring, RUN_EVENTS);
  }
  const h = run + RUN_HERE;
  store<u32>(h, 0, HERE_EVENT_SEQ);
  store<u32>(h, 0, HERE_CAUSE);
  store<u32>(h, cpu, HERE_CPU);
  store<u32>(h, load<u32>(run, RUN_EVENTS), HERE_RING);
  store<u32>(h, 0, HERE_PIN_VM);
  store<u32>(run, 0, RUN_MODE);
  const l = run + RUN_LOCAL;
  memory.fill(l, 0, VM_LOCAL_END);
  store<u64>(l, u64.MAX_VALUE, VM_PSC_TAG);
  store<u64>(l, u64.MAX_VALUE, VM_HUGE_TAG);
  store<u64>(l, u64.MAX_VALUE, VM_MMIO_GFN);
  store<u32>(l, u32.MAX_VALUE, VM_BUF_CONN);
  store<u64>(l, u64.MAX_VALUE, VM_BUF_VPN);
  return true;
}

/** The vCPU threads of `vm` have ended: what they counted and kept goes to the VM and the host. */
export function threadsFold(vm: usize): void {
  store<u32>(vm, load<u32>(vm, VM_LOCK_BITS), VM_LOCK_MASK);
  vmaGather(vm);
  mapsFold(vm);
  for (let cpu: u32 = 0, cpus = load<u32>(vm, VM_CPUS); cpu < cpus; cpu++) {
    const run = runOf(vm, cpu);
    const l = run + RUN_LOCAL;
    fold(vm, l, VM_LOCKED_VM);
    fold(vm, l, VM_LAZY);
    fold(vm, l, VM_RSS);
    fold(vm, l, VM_SWAP);
    fold(vm, l, VM_MAPPED);
    fold(vm, l, VM_MAPPED_HUGE);
    fold(vm, l, VM_HUGETLB);
    fold(vm, l, VM_MEMORY);
    fold(vm, l, VM_MEMORY_SWAP);
    for (let i: usize = 0; i < <usize>Counter.Count; i++) fold(vm, l, VM_COUNTERS + (i << 3));
    cacheEmpty(run);
    foldEvents(run);
  }
}

function fold(vm: usize, l: usize, field: usize): void {
  store<u64>(vm + field, load<u64>(vm + field) + load<u64>(l + field));
  store<u64>(l + field, 0);
}

/**
 * A thread's events go behind those of the host: its own order and causes stay, threads follow one another (they had no
 * common clock). What its ring has lost leaves a gap in the numbers.
 */
function foldEvents(run: usize): void {
  const h = run + RUN_HERE;
  const last = load<u32>(h, HERE_EVENT_SEQ);
  const base = load<u32>(HOST_EVENT_SEQ);
  for (let seq: u32 = last > <u32>THREAD_EVENTS ? last - THREAD_EVENTS + 1 : 1; seq <= last; seq++) {
    const from = <usize>load<u32>(h, HERE_RING) + <usize>(seq & (THREAD_EVENTS - 1)) * EVENT_SIZE;
    const to = EVENTS + <usize>((base + seq) & (EVENT_CAPACITY - 1)) * EVENT_SIZE;
    memory.copy(to, from, EVENT_SIZE);
    store<u32>(to, base + seq);
    const cause = load<u32>(from, 8);
    store<u32>(to, cause == 0 ? 0 : base + cause, 8);
  }
  store<u32>(HOST_EVENT_SEQ, base + last);
  store<u32>(h, 0, HERE_EVENT_SEQ);
}
