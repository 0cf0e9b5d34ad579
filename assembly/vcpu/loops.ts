// Guest code in a loop: small programs that would run without leaving the guest, so they run without
// leaving the engine. Each stops at the first access that fails and says where in the run record.
import { Access, RUN_BUFFER, RUN_EXITS, RUN_STATUS, RUN_VALUE, RUN_VM, Status } from '../abi/status';
import { bytesDiffer, loadHalves } from '../frames/bytes';
import { min } from '../base/math';
import { EPT_HUGE, EPT_R, EPT_WRITE, entryTable } from '../slat/entry';
import { VM_PSC_TABLE, VM_PSC_TAG } from '../base/layout';
import { local, threaded } from '../base/thread';
import { inGuest, inWindow, MODE_BOTH, MODE_GUEST, mode } from '../base/window';
import { exitFailed, ring, translate, vcpuLoad, vcpuStore } from './access';

/** A failed translation inside a loop over RAM; MMIO ends the loop too, nothing was done there. */
function stopped(run: usize, vm: usize, gpa: u64, access: i32): void {
  store<u32>(run, 0, RUN_EXITS);
  exitFailed(run, vm, gpa, access);
}

/** One byte of each page of [gpa, gpa+len): read, or written with `byte`. Returns pages done. */
export function vcpuTouch(run: usize, gpa: u64, len: u64, write: bool, byte: u32): u64 {
  const vm: usize = load<u32>(run, RUN_VM);
  const access = write ? Access.Write : Access.Read;
  let pages: u64 = 0;
  let sum: u64 = 0;
  store<u32>(run, Status.Ok, RUN_STATUS);
  for (let done: u64 = 0; done < len; pages++) {
    const at = gpa + done;
    mode(MODE_GUEST);
    const entry = translate(run, vm, at, access);
    if (entry == 0) {
      stopped(run, vm, at, access);
      break;
    }
    inWindow();
    const p = entryTable(entry) + (<u32>at & 4095);
    if (write) store<u8>(p, <u8>byte);
    else sum += load<u8>(p);
    mode(0);
    done += 4096 - (done == 0 ? at & 4095 : 0);
  }
  store<u64>(run, sum, RUN_VALUE);
  return pages;
}

/** Store `byte` to every byte of [gpa, gpa+len). Returns bytes done. */
export function vcpuFill(run: usize, gpa: u64, len: u64, byte: u32): u64 {
  const vm: usize = load<u32>(run, RUN_VM);
  store<u32>(run, Status.Ok, RUN_STATUS);
  for (let done: u64 = 0; done < len; ) {
    const at = gpa + done;
    mode(MODE_GUEST);
    const entry = translate(run, vm, at, Access.Write);
    if (entry == 0) {
      stopped(run, vm, at, Access.Write);
      return done;
    }
    inWindow();
    const n = min(4096 - (at & 4095), len - done);
    memory.fill(entryTable(entry) + (<u32>at & 4095), <u8>byte, <usize>n);
    mode(0);
    done += n;
  }
  return len;
}

/** Load every byte of [gpa, gpa+len) until one is not `byte`. Returns bytes that are. */
export function vcpuVerify(run: usize, gpa: u64, len: u64, byte: u32): u64 {
  const vm: usize = load<u32>(run, RUN_VM);
  store<u32>(run, Status.Ok, RUN_STATUS);
  for (let done: u64 = 0; done < len; ) {
    const at = gpa + done;
    mode(MODE_GUEST);
    const entry = translate(run, vm, at, Access.Read);
    if (entry == 0) {
      stopped(run, vm, at, Access.Read);
      return done;
    }
    inWindow();
    const n = min(4096 - (at & 4095), len - done);
    const p = entryTable(entry) + (<u32>at & 4095);
    const differs = bytesDiffer(p, p + <usize>n, byte);
    mode(0);
    if (differs != p + <usize>n) return done + (differs - p);
    done += n;
  }
  return len;
}

/** Accesses of vcpuStride in one guest window: a zap elsewhere waits for no more than these. */
const WINDOW: u32 = 256;

/**
 * Loads or stores of 8 bytes at `count` addresses, gpa + (i × stride mod span): what a guest program over a
 * working set does. Returns accesses done; the sum of what was loaded is in RUN_VALUE.
 */
export function vcpuStride(run: usize, gpa: u64, span: u64, stride: u64, accesses: u32, write: bool): u32 {
  const vm: usize = load<u32>(run, RUN_VM);
  const access = write ? Access.Write : Access.Read;
  let sum: u64 = 0;
  let at = gpa;
  let i: u32 = 0;
  store<u32>(run, Status.Ok, RUN_STATUS);
  while (i < accesses) {
    mode(MODE_GUEST);
    const entry = translate(run, vm, at, access);
    if (entry == 0) {
      stopped(run, vm, at, access);
      break;
    }
    inWindow();
    // The paging-structure cache, held in two locals, for as many accesses as it is good for. Meanwhile only another vCPU
    // thread could zap; it waits for the guest window, which is opened anew every WINDOW accesses.
    // A loop for each kind and no call in them, so that all they need fits in registers: what is spilled to the stack
    // takes the places in the processor's store buffer that stores to the guest wait in.
    const tag = load<u64>(local(vm), VM_PSC_TAG);
    const table: usize = load<u32>(local(vm), VM_PSC_TABLE);
    const stop = threaded() && accesses - i > WINDOW ? i + WINDOW : accesses;
    let e = entry;
    if ((entry & EPT_HUGE) != 0) {
      // One entry for all of 2 MiB: what a TLB would hold.
      const page = at >> 21;
      const base = (entryTable(entry) & 0xffe00000) as usize;
      if (write) {
        do {
          store<u64>(base + (<u32>at & 0x1ffff8), i++);
          at += stride;
          if (at - gpa >= span) at -= span;
        } while (i < stop && at >> 21 == page);
      } else {
        do {
          sum += load<u64>(base + (<u32>at & 0x1ffff8));
          i++;
          at += stride;
          if (at - gpa >= span) at -= span;
        } while (i < stop && at >> 21 == page);
      }
    } else if (write) {
      do {
        store<u64>(entryTable(e) + (<u32>at & 4088), i++);
        at += stride;
        if (at - gpa >= span) at -= span;
        if (at >> 21 != tag) break;
        e = load<u64>(table + (<usize>((at >> 12) & 511) << 3));
      } while (i < stop && (e & EPT_WRITE) == EPT_WRITE);
    } else {
      do {
        sum += load<u64>(entryTable(e) + (<u32>at & 4088));
        i++;
        at += stride;
        if (at - gpa >= span) at -= span;
        if (at >> 21 != tag) break;
        e = load<u64>(table + (<usize>((at >> 12) & 511) << 3));
      } while (i < stop && (e & EPT_R) != 0);
    }
  }
  mode(0);
  store<u64>(run, sum, RUN_VALUE);
  return i;
}

/**
 * The guest driver's send, in one crossing: the 32 bytes of RUN_BUFFER into the per-CPU buffer at gpa, the
 * doorbell to the command register at `register`, the buffer back into RUN_BUFFER.
 * The same accesses one by one give the same result.
 */
export function vcpuRequest(run: usize, gpa: u64, register: u64, doorbell: u32): Status {
  const vm: usize = load<u32>(run, RUN_VM);
  if ((<u32>gpa & 4095) > 4064) return requestSlow(run, gpa, register, doorbell);
  mode(MODE_BOTH);
  let entry = translate(run, vm, gpa, Access.Write);
  if (entry == 0) {
    return load<u32>(run, RUN_STATUS) == Status.Mmio ? requestSlow(run, gpa, register, doorbell) : exitFailed(run, vm, gpa, Access.Write);
  }
  inWindow();
  let p = entryTable(entry) + (<u32>gpa & 4095);
  for (let o: usize = 0; o < 32; o += 8) store<u64>(p + o, loadHalves(run + RUN_BUFFER + o));
  if (!ring(run, vm, register, doorbell)) {
    mode(0);
    const status = vcpuStore(run, register, 4, doorbell);
    if (status != Status.Ok) return status;
  }
  if (!inGuest()) mode(MODE_GUEST);
  entry = translate(run, vm, gpa, Access.Read);
  if (entry == 0) return exitFailed(run, vm, gpa, Access.Read);
  inWindow();
  p = entryTable(entry) + (<u32>gpa & 4095);
  for (let o: usize = 0; o < 32; o += 8) store<u64>(run + o, load<u64>(p + o), RUN_BUFFER);
  mode(0);
  return Status.Ok;
}

/** A buffer over a page boundary, or one that is no RAM: in words of 8 bytes. */
function requestSlow(run: usize, gpa: u64, register: u64, doorbell: u32): Status {
  for (let i: usize = 0; i < 32; i += 8) {
    const status = vcpuStore(run, gpa + i, 8, load<u64>(run + RUN_BUFFER + i));
    if (status != Status.Ok) return status;
  }
  const rung = vcpuStore(run, register, 4, doorbell);
  if (rung != Status.Ok) return rung;
  for (let i: usize = 0; i < 32; i += 8) {
    const status = vcpuLoad(run, gpa + i, 8, Access.Read);
    if (status != Status.Ok) return status;
    store<u64>(run + RUN_BUFFER + i, load<u64>(run, RUN_VALUE));
  }
  return Status.Ok;
}

// The same with addresses as f64, exact below 2^53: a JavaScript number costs less than a BigInt that has
// to be made first. (Through i64: the unsigned conversion takes several instructions more.) Guest-physical memory ends at 2^48; what lies above goes through the u64 forms.

export function vcpuLoadAt(run: usize, gpa: f64, size: u32, access: i32): Status {
  return vcpuLoad(run, <i64>gpa, size, access);
}

export function vcpuStoreAt(run: usize, gpa: f64, size: u32, low: u32, high: u32): Status {
  return vcpuStore(run, <i64>gpa, size, <u64>low | ((<u64>high) << 32));
}

export function vcpuRequestAt(run: usize, gpa: f64, register: f64, doorbell: u32): Status {
  return vcpuRequest(run, <i64>gpa, <i64>register, doorbell);
}
