// One request: 32 bytes from the per-CPU buffer → checks → host call → 32 bytes back.
// Order of the checks: function code, range, host call. Reference: cloud-hypervisor
// devices/src/pvmemcontrol.rs handle_request; memctl numbers from its LKML posting.
import { Errno } from '../../abi/errno';
import { Counter, EventKind } from '../../abi/events';
import { Abi, BUF_SIZE, Func, FUNC_LAST, MEMCTL_FUNC_LAST, MemctlFunc } from '../../abi/pvmemcontrol';
import { Madv, Prot } from '../../abi/status';
import { VMA_NAMED } from '../../abi/vm-flags';
import { HOST_EVENTS_ON, VM_DEV_ABI, VM_DEV_REQUEST } from '../../base/layout';
import { pageAlign } from '../../base/math';
import { local, threaded } from '../../base/thread';
import { loadHalves } from '../../frames/bytes';
import { RAM_BASE, RAM_END, RAM_VPN, ramOf, ramVpn } from '../../memslot/ram';
import { MODE_BOTH, MODE_REQUEST, mode } from '../../base/window';
import { mlock, munlock } from '../../mm/mlock';
import { dropsNothing, madvise, mprotect, setAnonName } from '../../mm/syscalls';
import { close, closeWith, count, event, open } from '../../trace/events';
import { connectionGpa } from './connection';
import { bufferStore, knownBuffer, ramLoad } from './ram';
import { brokenSince, deviceEpoch } from './state';

/** Run the request in connection n's buffer, which is at `at` for as long as this guest window lasts. */
export function requestKnown(vm: usize, n: u32, at: usize): void {
  const code = loadHalves(at);
  const addr = loadHalves(at + 8);
  const length = loadHalves(at + 16);
  const arg = loadHalves(at + 24);
  if ((code == Func.Dontneed || code == Func.Free) && dropped(vm, code, addr, length)) {
    answerInto(at, vm, 0, code);
    return;
  }
  mode(MODE_REQUEST);
  run(vm, n, code, addr, length, arg);
}

/**
 * DONTNEED or FREE of what is not there, the commonest request of all, without the way to the system call and back: it
 * cannot touch the buffer. False: it is another one, nothing was done. Both generations number these two alike.
 */
// @ts-ignore: decorator
@inline
function dropped(vm: usize, code: u64, addr: u64, length: u64): bool {
  if (threaded() || load<u32>(HOST_EVENTS_ON) != 0 || length == 0 || (addr & 4095) != 0) return false;
  const region = ramOf(vm, addr >> 12);
  if (region == 0 || length > (load<u64>(region, RAM_END) << 12) - addr) return false;
  const vpn = ramVpn(region, addr >> 12);
  if (!dropsNothing(vm, vpn, vpn + (pageAlign(length) >> 12))) return false;
  count(vm, Counter.RequestsTotal);
  count(vm, Counter.HostCallBase + <i32>code);
  return true;
}

/** The same for a buffer that has to be found. The device becomes broken when it cannot be reached. */
export function requestRun(vm: usize, n: u32): void {
  const buffer = local(vm) + VM_DEV_REQUEST;
  if (ramLoad(vm, connectionGpa(vm, n), buffer, BUF_SIZE)) {
    run(vm, n, load<u64>(buffer, 0), load<u64>(buffer, 8), load<u64>(buffer, 16), load<u64>(buffer, 24));
  } else bufferFault(vm, connectionGpa(vm, n), 0);
}

/** INFO asks nothing of the host: when its buffer is known, the answer goes where the request was read. */
// @ts-ignore: decorator
@inline
export function infoRun(vm: usize, n: u32, at: usize): void {
  count(vm, Counter.RequestsTotal);
  event(EventKind.Request, vm, n, 0, load<u64>(at, 8), load<u64>(at, 16));
  info(vm, at);
}

/** The 32 bytes of a response: ret_errno and ret_code, and what INFO tells. */
// @ts-ignore: decorator
@inline
function answerInto(at: usize, vm: usize, answer: u64, code: u64): void {
  if (code == 0) {
    info(vm, at);
    return;
  }
  store<u64>(at, answer, 0);
  store<u64>(at, 0, 8);
  store<u64>(at, 0, 16);
  store<u64>(at, 0, 24);
}

function run(vm: usize, n: u32, code: u64, addr: u64, length: u64, arg: u64): void {
  count(vm, Counter.RequestsTotal);
  const cause = open(EventKind.Request, vm, n, code, addr, length);
  const answer = execute(vm, code, addr, length, arg);
  if (answer != 0) {
    count(vm, Counter.RequestsFailed);
    event(EventKind.Response, vm, <u32>answer, answer >> 32, 0, 0);
  }
  // Asked again: the call may have taken the buffer's page away.
  mode(MODE_BOTH);
  const at = knownBuffer(vm, n);
  if (at != 0) answerInto(at, vm, answer, code);
  else answerThrough(vm, n, answer, code);
  close(cause);
}

/** The response on the long way, through the VMM's page table. */
function answerThrough(vm: usize, n: u32, answer: u64, code: u64): void {
  mode(MODE_REQUEST);
  const buffer = local(vm) + VM_DEV_REQUEST;
  const gpa = connectionGpa(vm, n);
  answerInto(buffer, vm, answer, code);
  // A guest that took its own buffer's write permission away kills the real VMM here. Ours lives on; the
  // device is broken as if it had died.
  if (!bufferStore(vm, n, gpa, buffer)) bufferFault(vm, gpa, 1);
}

function bufferFault(vm: usize, gpa: u64, write: u32): void {
  event(EventKind.BufferFault, vm, write, gpa, 0, 0);
  // Two requests may break at once: each must be out of the way before it waits for the other.
  const epoch = deviceEpoch(vm);
  mode(0);
  brokenSince(vm, epoch);
}

/** pvmemcontrol: ret_value = page size, arg0 = major, arg1 = minor. memctl: big_endian, major, minor, page_size. */
// @ts-ignore: decorator
@inline
function info(vm: usize, at: usize): void {
  const memctl = load<u32>(vm, VM_DEV_ABI) == Abi.Memctl;
  store<u64>(at, 0, 0);
  store<u64>(at, memctl ? 0 : 4096, 8);
  store<u64>(at, 1, 16);
  store<u64>(at, memctl ? 4096 : 0, 24);
}

/** ret_errno in the low half, ret_code in the high half. */
// @ts-ignore: decorator
@inline
function failed(errno: i32, code: u64): u64 {
  return <u64>errno | (code << 32);
}

function execute(vm: usize, code: u64, addr: u64, length: u64, arg: u64): u64 {
  if (code == 0) return 0;
  let func = <i32>code;
  if (load<u32>(vm, VM_DEV_ABI) == Abi.Memctl) {
    if (code > <u64>MEMCTL_FUNC_LAST) return failed(Errno.EOPNOTSUPP, code);
    if (func == MemctlFunc.Unmergeable) func = Func.Unmergeable;
    else if (func == MemctlFunc.Dontdump) func = Func.Dontdump;
    else if (func == MemctlFunc.SetVmaAnonName) func = Func.SetVmaAnonName;
  } else if (code > <u64>FUNC_LAST) return failed(Errno.EOPNOTSUPP, code);
  // In one region; a zero-length range needs its address inside.
  const region = ramOf(vm, addr >> 12);
  if (region == 0 || length > (load<u64>(region, RAM_END) << 12) - addr) return failed(Errno.EINVAL, code);
  const hva = ((load<u64>(region, RAM_VPN) - load<u64>(region, RAM_BASE)) << 12) + addr;
  return failed(hostCall(vm, func, hva, length, arg), 0);
}

/** The system call that a function stands for, counted and traced. */
export function hostCall(vm: usize, func: i32, hva: u64, length: u64, arg: u64): Errno {
  count(vm, Counter.HostCallBase + func);
  const cause = open(EventKind.HostCall, vm, func, hva, length, 0);
  const errno = call(vm, func, hva, length, arg);
  closeWith(cause, errno);
  return errno;
}

function call(vm: usize, func: i32, hva: u64, length: u64, arg: u64): Errno {
  switch (func) {
    case Func.Dontneed:
      return madvise(vm, hva, length, Madv.Dontneed);
    case Func.Remove:
      return madvise(vm, hva, length, Madv.Remove);
    case Func.Free:
      return madvise(vm, hva, length, Madv.Free);
    case Func.Pageout:
      return madvise(vm, hva, length, Madv.Pageout);
    case Func.Dontdump:
      return madvise(vm, hva, length, Madv.Dontdump);
    case Func.SetVmaAnonName:
      return setAnonName(vm, hva, length, arg == 0 ? 0 : VMA_NAMED, arg);
    case Func.Mlock:
      return mlock(vm, hva, length, false);
    case Func.Munlock:
      return munlock(vm, hva, length);
    case Func.MprotectNone:
      return mprotect(vm, hva, length, Prot.None);
    case Func.MprotectR:
      return mprotect(vm, hva, length, Prot.Read);
    case Func.MprotectW:
      return mprotect(vm, hva, length, Prot.Write);
    case Func.MprotectRw:
      return mprotect(vm, hva, length, Prot.Read | Prot.Write);
    case Func.Mergeable:
      return madvise(vm, hva, length, Madv.Mergeable);
    case Func.Unmergeable:
      return madvise(vm, hva, length, Madv.Unmergeable);
    default:
      return Errno.EOPNOTSUPP;
  }
}
