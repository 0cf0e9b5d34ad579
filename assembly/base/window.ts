// Guest windows: the time between a vCPU's walk and the end of its access. A processor drops its translations when it
// is told to and answers when it has; here a zap waits until every other vCPU that could still hold one has left the
// window in which it found it. So what a zap took is reachable by nobody when it returns, on no vCPU.
// Reference: linux virt/kvm/kvm_main.c kvm_flush_remote_tlbs, vcpu->mode, IN_GUEST_MODE.
//
// Mode word of a run record, written by its vCPU's thread alone: bit 0 in a window, bit 1 in a request (the device's
// tables are being read), above them a number that grows with each change, so that "left and came back" is seen.
// Inside a window no lock is taken and nothing is waited for.
import { SyncPoint } from '../abi/sync';
import { RUN_FENCE, RUN_MODE, VM_CPUS } from './layout';
import { pause, wake } from './lock';
import { runOf, self, sync, THREADS } from './thread';

export const MODE_GUEST: u32 = 1;
export const MODE_REQUEST: u32 = 2;
export const MODE_BOTH: u32 = MODE_GUEST | MODE_REQUEST;

/** The mode of this thread's vCPU. Stores before it are seen before it, loads behind it look behind it. */
// @ts-ignore: decorator
@inline
export function mode(bits: u32): void {
  if (THREADS) {
    if (self != 0) change(bits);
  }
}

/** The same if the vCPU is not in that mode already: each change costs as much as a short request. */
// @ts-ignore: decorator
@inline
export function modeOnce(bits: u32): void {
  if (THREADS) {
    if (self != 0 && (load<u32>(self, RUN_MODE) & 3) != bits) change(bits);
  }
}

function change(bits: u32): void {
  if (THREADS) {
    sync((bits & MODE_GUEST) != 0 ? SyncPoint.WindowEnter : SyncPoint.WindowLeave, self);
    atomic.store<u32>(self + RUN_MODE, ((load<u32>(self, RUN_MODE) | 3) + 1) | bits);
    wake(self + RUN_MODE);
  }
}

/** Whether a guest window of this thread's vCPU is open; always true where there is none. */
// @ts-ignore: decorator
@inline
export function inGuest(): bool {
  if (THREADS) return self == 0 || (load<u32>(self, RUN_MODE) & MODE_GUEST) != 0;
  return true;
}

/** Between walk and access: a place for the schedule explorer. */
// @ts-ignore: decorator
@inline
export function inWindow(): void {
  sync(SyncPoint.WindowAccess, self);
}

/** Stores of this thread come before its loads from here on. */
// @ts-ignore: decorator
@inline
export function fence(): void {
  if (THREADS) {
    if (self != 0) atomic.store<u32>(self + RUN_FENCE, 0);
  }
}

/** Until vCPU `run` has left the guest window in which it is now, if it is in one. Whether it was. */
export function waitWindow(run: usize): bool {
  if (THREADS) {
    if (run == self) return false;
    const was = atomic.load<u32>(run + RUN_MODE);
    if ((was & MODE_GUEST) == 0) return false;
    while (atomic.load<u32>(run + RUN_MODE) == was) pause(run + RUN_MODE, was, SyncPoint.ZapWait);
    return true;
  }
  return false;
}

/** Until vCPU `run` is in no request. The device's state is such that it cannot begin a new one. */
function waitRequest(run: usize): void {
  if (THREADS) {
    if (run == self) return;
    for (;;) {
      const now = atomic.load<u32>(run + RUN_MODE);
      if ((now & MODE_REQUEST) == 0) return;
      pause(run + RUN_MODE, now, SyncPoint.ModeWait);
    }
  }
}

/** Until no other vCPU of `vm` is in a request. */
export function waitRequests(vm: usize): void {
  for (let cpu: u32 = 0, cpus = load<u32>(vm, VM_CPUS); cpu < cpus; cpu++) waitRequest(runOf(vm, cpu));
}

/** waitWindow for the vCPUs of `vm` whose bit is in `mask`. Whether there was one to wait for. */
export function waitWindows(vm: usize, mask: u32): bool {
  let waited = false;
  if (THREADS) {
    for (; mask != 0; mask &= mask - 1) {
      if (waitWindow(runOf(vm, <u32>ctz(mask)))) waited = true;
    }
  }
  return waited;
}
