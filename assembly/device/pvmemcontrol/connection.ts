// Connections: per-CPU buffers by id. Ids start at 0x80000000 after each RESET and count up.
// A page of 1024 page addresses, each of 512 buffer gpas; made as they are needed.
import { VM_BUF_CONN, VM_DEV_CONN_DIR, VM_DEV_CONNS } from '../../base/layout';
import { threaded } from '../../base/thread';
import { arenaPut } from '../../frames/arena';
import { forgetAll } from '../../memslot/notify';
import { waitRequests } from '../../base/window';
import { metadataGet } from '../../mm/room';

/** The real device has no limit but memory; a guest that registers without end gets ERROR from here on. */
export const CONNECTION_MAX: u32 = 1024 * 512;

/** Number of the new connection, -1 when there is no room. */
export function connectionAdd(vm: usize, gpa: u64): i32 {
  const n = load<u32>(vm, VM_DEV_CONNS);
  if (n == CONNECTION_MAX) return -1;
  let dir: usize = load<u32>(vm, VM_DEV_CONN_DIR);
  if (dir == 0) {
    dir = metadataGet();
    if (dir == 0) return -1;
    store<u32>(vm, <u32>dir, VM_DEV_CONN_DIR);
  }
  const at = dir + (<usize>(n >> 9) << 2);
  if (load<u32>(at) == 0) {
    const page = metadataGet();
    if (page == 0) return -1;
    store<u32>(at, <u32>page);
  }
  store<u64>(<usize>load<u32>(at) + (<usize>(n & 511) << 3), gpa);
  store<u32>(vm, n + 1, VM_DEV_CONNS);
  return n;
}

/** gpa of connection n; the caller has checked n against the count. */
// @ts-ignore: decorator
@inline
export function connectionGpa(vm: usize, n: u32): u64 {
  const page: usize = load<u32>(<usize>load<u32>(vm, VM_DEV_CONN_DIR) + (<usize>(n >> 9) << 2));
  return load<u64>(page + (<usize>(n & 511) << 3));
}

/** All connections end. The device's state is one in which no request can begin; those that run are waited for. */
export function connectionsForget(vm: usize): void {
  store<u32>(vm, 0, VM_DEV_CONNS);
  if (threaded()) {
    forgetAll(vm, 0, u64.MAX_VALUE);
    waitRequests(vm);
  } else store<u32>(vm, u32.MAX_VALUE, VM_BUF_CONN);
  const dir: usize = load<u32>(vm, VM_DEV_CONN_DIR);
  if (dir == 0) return;
  for (let i: usize = 0; i < 4096; i += 4) {
    const page: usize = load<u32>(dir + i);
    if (page == 0) break;
    arenaPut(page);
  }
  arenaPut(dir);
  store<u32>(vm, 0, VM_DEV_CONN_DIR);
}
