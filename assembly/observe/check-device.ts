// check() of the device, its connections and buffers, and of what vCPU threads keep.
import { RUN_EVENTS, VM_BUF_AT, VM_BUF_CONN, VM_BUF_VPN, VM_CPUS, VM_DEV_CONN_DIR, VM_DEV_CONNS } from '../base/layout';
import { EVENT_SIZE, THREAD_EVENTS } from '../abi/events';
import { RUN_PROGRAM } from '../abi/status';
import { runOf } from '../base/thread';
import { bitGet } from '../base/bits';
import { connectionGpa } from '../device/pvmemcontrol/connection';
import { ramOf, ramVpn } from '../memslot/ram';
import { BACKED, chunkOf, pageSlot, WRITABLE } from '../mm/page-state';
import { at, Broken, ownRun } from './check-owner';

/** The buffer that the device remembers is its connection's, backed and writable. */
function checkBuffer(vm: usize): Broken {
  const n = load<u32>(vm, VM_BUF_CONN);
  if (n == u32.MAX_VALUE) return Broken.Nothing;
  if (n >= load<u32>(vm, VM_DEV_CONNS)) return at(n, Broken.StateContradicts);
  const gpa = connectionGpa(vm, n);
  const vpn = ramVpn(ramOf(vm, gpa >> 12), gpa >> 12);
  const chunk = chunkOf(vm, vpn);
  const i = <u32>vpn & 511;
  if (vpn != load<u64>(vm, VM_BUF_VPN) || chunk == 0) return at(gpa, Broken.StateContradicts);
  const good = bitGet(chunk + BACKED, i) && bitGet(chunk + WRITABLE, i);
  const address = (load<u32>(pageSlot(chunk, i)) << 12) + (<u32>gpa & 4095);
  return good && address == load<u32>(vm, VM_BUF_AT) ? Broken.Nothing : at(gpa, Broken.StateContradicts);
}

/** Pages of vCPU threads: a program each, and an event ring. */
export function checkThreads(vm: usize, arena: usize): Broken {
  let e: Broken = Broken.Nothing;
  for (let cpu: u32 = 0, cpus = load<u32>(vm, VM_CPUS); cpu < cpus && e == Broken.Nothing; cpu++) {
    const run = runOf(vm, cpu);
    if (load<u32>(run, RUN_PROGRAM) != 0) e = ownRun(arena, load<u32>(run, RUN_PROGRAM), 1);
    if (e == Broken.Nothing && load<u32>(run, RUN_EVENTS) != 0) {
      e = ownRun(arena, load<u32>(run, RUN_EVENTS), (THREAD_EVENTS * EVENT_SIZE) >> 12);
    }
  }
  return e;
}

export function checkDevice(vm: usize, arena: usize): Broken {
  const buffer = checkBuffer(vm);
  if (buffer != Broken.Nothing) return buffer;
  const dir: usize = load<u32>(vm, VM_DEV_CONN_DIR);
  if (dir == 0) return load<u32>(vm, VM_DEV_CONNS) == 0 ? Broken.Nothing : at(0, Broken.CountDiffers);
  let e = ownRun(arena, dir, 1);
  for (let i: usize = 0; i < 4096 && e == Broken.Nothing; i += 4) {
    const page: usize = load<u32>(dir + i);
    if (page == 0) break;
    e = ownRun(arena, page, 1);
  }
  return e;
}
