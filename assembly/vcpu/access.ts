// One load, store or fetch of a vCPU: SLAT walk → hit, or violation → resolve → retry, or an exit.
// An access over a page boundary is split there. Recorded rules R1.3, R9.4–R9.8.
import { Counter, EventKind, KvmCounter } from '../abi/events';
import {
  Access, RUN_CPU, RUN_EXIT, RUN_EXIT_SIZE, RUN_EXITS, RUN_FAULT_GPA, RUN_FAULT_WRITE, RUN_STATUS, RUN_VALUE, RUN_VM,
  Status,
} from '../abi/status';
import { HERE_CPU, HERE_PIN_VM, HERE_PIN_VPN, VM_ID, VM_MMIO_GFN } from '../base/layout';
import { hasOneLock, oneLock, oneUnlock } from '../base/chunk-lock';
import { here, local } from '../base/thread';
import { isDoorbell, mmioRead, mmioWrite } from '../bus/mmio';
import { doorbell } from '../device/pvmemcontrol/registers';
import { bytesCopy } from '../frames/bytes';
import { emulate } from '../fault/emulate';
import { kindOf, resolve } from '../fault/resolve';
import { slotOf, slotVpn } from '../memslot/table';
import { EPT_R, EPT_WRITE, EPT_X, entryTable, GFN_LIMIT, leafEntry } from '../slat/entry';
import { inWindow, MODE_GUEST, mode, modeOnce } from '../base/window';
import { close, count, countKvm, event, open } from '../trace/events';

// @ts-ignore: decorator
@inline
function allows(entry: u64, access: i32): bool {
  const need = access == Access.Write ? EPT_WRITE : access == Access.Fetch ? EPT_X : EPT_R;
  return (entry & need) == need;
}

/**
 * Leaf entry that allows `access` at gpa, 0 with the status in the run record. In a guest window, which is left for a
 * violation and opened again; it is closed when the answer is 0.
 */
// @ts-ignore: decorator
@inline
export function translate(run: usize, vm: usize, gpa: u64, access: i32): u64 {
  const gfn = gpa >> 12;
  if (gfn < GFN_LIMIT) {
    const entry = leafEntry(vm, gfn);
    if (allows(entry, access)) return entry;
  }
  return violation(run, vm, gpa, access);
}

function violation(run: usize, vm: usize, gpa: u64, access: i32): u64 {
  store<u32>(here(), load<u32>(run, RUN_CPU), HERE_CPU);
  let entry: u64;
  do {
    mode(0);
    const status = resolve(vm, gpa >> 12, access);
    store<u32>(run, status, RUN_STATUS);
    if (status != Status.Ok) return 0;
    mode(MODE_GUEST);
    // Another vCPU may have taken it away again before this one came back to its guest.
    entry = leafEntry(vm, gpa >> 12);
  } while (!allows(entry, access));
  return entry;
}

/** KVM_RUN returns without having done the access; why is in the run record. */
export function exitFailed(run: usize, vm: usize, gpa: u64, access: i32): Status {
  const status = load<u32>(run, RUN_STATUS);
  store<u64>(run, status == Status.MemoryFault ? gpa & ~(<u64>4095) : gpa, RUN_FAULT_GPA);
  store<u32>(run, access == Access.Write ? 1 : 0, RUN_FAULT_WRITE);
  if (status == Status.MemoryFault) countKvm(vm, KvmCounter.MemoryFault);
  else if (status == Status.OutOfMemory) count(vm, Counter.ExitsOom);
  else if (status == Status.Efault) count(vm, Counter.ExitsEfault);
  else if (status == Status.Mmio) count(vm, Counter.ExitsMmio);
  // A loop that ends at MMIO has moved no bytes there: length 0.
  if (status == Status.Mmio) event(EventKind.Exit, vm, status, gpa, 0, access == Access.Write ? 1 : 0);
  else event(EventKind.Exit, vm, status, gpa, access, 0);
  return status;
}

/** An MMIO exit of len bytes at gpa, whose data lie at `data` (filled for a read), then the bus. */
export function exitMmio(run: usize, vm: usize, gpa: u64, len: u32, write: bool, data: usize): void {
  store<u32>(here(), load<u32>(run, RUN_CPU), HERE_CPU);
  count(vm, Counter.ExitsMmio);
  const cause = open(EventKind.Exit, vm, Status.Mmio, gpa, len, write ? 1 : 0);
  let claimed: bool;
  if (write) claimed = mmioWrite(vm, gpa, len, data);
  else {
    // What nobody answers reads as ones, like an absent PCI device.
    for (let i: u32 = 0; i < len; i++) store<u8>(data + i, 0xff);
    claimed = mmioRead(vm, gpa, len, data);
  }
  close(cause);
  if (claimed) return;
  const n = load<u32>(run, RUN_EXITS);
  const p = run + RUN_EXIT + <usize>n * RUN_EXIT_SIZE;
  store<u64>(p, gpa, 0);
  store<u64>(p, 0, 8);
  bytesCopy(p + 8, data, len);
  store<u32>(p, len, 16);
  store<u32>(p, write ? 1 : 0, 20);
  store<u32>(run, n + 1, RUN_EXITS);
}

/**
 * The guest rings a doorbell: a 4-byte store of `value` at gpa, known to have no slot. False when it is none, nothing
 * happened then. A vCPU thread may come from a guest window, and comes back in any mode.
 */
// @ts-ignore: decorator
@inline
export function ring(run: usize, vm: usize, gpa: u64, value: u32): bool {
  if (gpa >> 12 != load<u64>(local(vm), VM_MMIO_GFN) || !isDoorbell(vm, gpa, value)) return false;
  store<u32>(here(), load<u32>(run, RUN_CPU), HERE_CPU);
  count(vm, Counter.ExitsMmio);
  const cause = open(EventKind.Exit, vm, Status.Mmio, gpa, 4, 1);
  doorbell(vm, value & 0x7fffffff);
  close(cause);
  store<u32>(run, 0, RUN_EXITS);
  return true;
}

// @ts-ignore: decorator
@inline
export function oneByOne(p: usize, size: u32): u64 {
  return size == 8 ? load<u64>(p) : size == 4 ? <u64>load<u32>(p) : size == 2 ? <u64>load<u16>(p) : <u64>load<u8>(p);
}

/** Load (or fetch) `size` bytes (1, 2, 4, 8) at gpa into RUN_VALUE. */
export function vcpuLoad(run: usize, gpa: u64, size: u32, access: i32): Status {
  store<u32>(run, 0, RUN_EXITS);
  if ((<u32>gpa & 4095) + size <= 4096) {
    const vm: usize = load<u32>(run, RUN_VM);
    mode(MODE_GUEST);
    const entry = translate(run, vm, gpa, access);
    if (entry != 0) {
      inWindow();
      store<u64>(run, oneByOne(entryTable(entry) + (<u32>gpa & 4095), size), RUN_VALUE);
      mode(0);
      return Status.Ok;
    }
    store<u64>(run, 0, RUN_VALUE);
    return notRam(run, vm, gpa, size, access);
  }
  store<u64>(run, 0, RUN_VALUE);
  return straddle(run, gpa, size, access);
}

/** Store the low `size` bytes of `value` at gpa. */
export function vcpuStore(run: usize, gpa: u64, size: u32, value: u64): Status {
  store<u32>(run, 0, RUN_EXITS);
  if ((<u32>gpa & 4095) + size <= 4096) {
    const vm: usize = load<u32>(run, RUN_VM);
    // A doorbell: known to have no slot, so no walk (linux: vcpu_match_mmio_gpa).
    if (gpa >> 12 == load<u64>(local(vm), VM_MMIO_GFN)) {
      store<u64>(run, value, RUN_VALUE);
      exitMmio(run, vm, gpa, size, true, run + RUN_VALUE);
      return Status.Ok;
    }
    mode(MODE_GUEST);
    const entry = translate(run, vm, gpa, Access.Write);
    if (entry != 0) {
      inWindow();
      const p = entryTable(entry) + (<u32>gpa & 4095);
      if (size == 8) store<u64>(p, value);
      else if (size == 4) store<u32>(p, <u32>value);
      else if (size == 2) store<u16>(p, <u16>value);
      else store<u8>(p, <u8>value);
      mode(0);
      return Status.Ok;
    }
    store<u64>(run, value, RUN_VALUE);
    return notRam(run, vm, gpa, size, Access.Write);
  }
  store<u64>(run, value, RUN_VALUE);
  return straddle(run, gpa, size, Access.Write);
}

/**
 * Whether an access of `size` bytes at gpa would be of the kind that its pages have. It ends in MemoryFault, as vcpuLoad and
 * vcpuStore do, at the first page that is of the other kind.
 */
export function vcpuKind(run: usize, gpa: u64, size: u32, toPrivate: bool, access: i32): Status {
  const vm: usize = load<u32>(run, RUN_VM);
  store<u32>(here(), load<u32>(run, RUN_CPU), HERE_CPU);
  for (let gfn = gpa >> 12, last = (gpa + size - 1) >> 12; gfn <= last; gfn++) {
    const status = kindOf(vm, gfn, toPrivate);
    store<u32>(run, status, RUN_STATUS);
    if (status != Status.Ok) return exitFailed(run, vm, gfn << 12, access);
  }
  return Status.Ok;
}

/** KVM_EXIT_HYPERCALL: the vCPU leaves its guest, which asks for a conversion. */
export function vcpuHypercall(run: usize, gpa: u64, pages: u64, attributes: u64): void {
  const vm: usize = load<u32>(run, RUN_VM);
  store<u32>(here(), load<u32>(run, RUN_CPU), HERE_CPU);
  countKvm(vm, KvmCounter.Hypercall);
  event(EventKind.Hypercall, vm, 0, gpa, pages, attributes);
}

/** `translate` found no entry: MMIO with RUN_VALUE as its data, or the access failed. */
function notRam(run: usize, vm: usize, gpa: u64, size: u32, access: i32): Status {
  if (load<u32>(run, RUN_STATUS) != Status.Mmio) return exitFailed(run, vm, gpa, access);
  exitMmio(run, vm, gpa, size, access == Access.Write, run + RUN_VALUE);
  return Status.Ok;
}

/** RUN_VALUE from or to gpa over a page boundary. */
function straddle(run: usize, gpa: u64, size: u32, access: i32): Status {
  const vm: usize = load<u32>(run, RUN_VM);
  const value = run + RUN_VALUE;
  const n: u32 = 4096 - (<u32>gpa & 4095);
  // Both pages before any byte moves (R1.3). The lower page decides (R9.8): broken RAM there ends it, and
  // behind MMIO even broken RAM comes out as MMIO, because the access is being emulated by then, and is so from its start.
  const next = gpa + n;
  if (next < gpa) {
    // Behind 2^64 there is nothing, and gpa 0 least of all: one exit for the whole access.
    exitMmio(run, vm, gpa, size, access == Access.Write, value);
    return Status.Ok;
  }
  for (;;) {
    mode(MODE_GUEST);
    let low = translate(run, vm, gpa, access);
    if (low == 0) {
      if (load<u32>(run, RUN_STATUS) != Status.Mmio) return exitFailed(run, vm, gpa, access);
      return emulateBoth(run, vm, gpa, n, next, size - n, access);
    }
    pin(vm, gpa);
    const high = translate(run, vm, next, access);
    store<u32>(here(), 0, HERE_PIN_VM);
    if (high == 0) {
      if (load<u32>(run, RUN_STATUS) != Status.Mmio) return exitFailed(run, vm, next, access);
      return emulateBoth(run, vm, gpa, n, next, size - n, access);
    }
    // Making room for the second page may have dropped the first one's entry (its page was pinned), and so may
    // another vCPU: then both again.
    low = leafEntry(vm, gpa >> 12);
    if (!allows(low, access)) {
      mode(0);
      continue;
    }
    inWindow();
    transfer(low, gpa, value, n, access);
    transfer(high, next, value + n, size - n, access);
    mode(0);
    return Status.Ok;
  }
}

/** Of RUN_VALUE, n bytes at gpa and m at the border behind them, by the emulator: what it cannot reach comes out as MMIO. */
function emulateBoth(run: usize, vm: usize, gpa: u64, n: u32, next: u64, m: u32, access: i32): Status {
  const value = run + RUN_VALUE;
  const low = emulate(vm, gpa, value, n, access);
  const high = low == Status.OutOfMemory ? low : emulate(vm, next, value + n, m, access);
  if (high == Status.OutOfMemory) {
    store<u32>(run, high, RUN_STATUS);
    return exitFailed(run, vm, low == Status.OutOfMemory ? gpa : next, access);
  }
  if (low != Status.Ok) exitMmio(run, vm, gpa, n, access == Access.Write, value);
  if (high != Status.Ok) exitMmio(run, vm, next, m, access == Access.Write, value + n);
  return Status.Ok;
}

/** Reclaim leaves the page at gpa alone: its translation is held while that of the next page is made. */
function pin(vm: usize, gpa: u64): void {
  // In a guest window nothing is locked. Whether the translation has stayed is looked at later anyway.
  if (hasOneLock(vm)) mode(0);
  oneLock(vm);
  const slot = slotOf(vm, gpa >> 12);
  const vpn = slot == 0 ? 0 : slotVpn(slot, gpa >> 12);
  oneUnlock(vm);
  modeOnce(MODE_GUEST);
  store<u64>(here(), vpn, HERE_PIN_VPN);
  store<u32>(here(), load<u32>(vm, VM_ID) + 1, HERE_PIN_VM);
}

function transfer(entry: u64, gpa: u64, value: usize, len: u32, access: i32): void {
  const p = entryTable(entry) + (<u32>gpa & 4095);
  if (access == Access.Write) bytesCopy(p, value, len);
  else bytesCopy(value, p, len);
}
