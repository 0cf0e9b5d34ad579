// All ways to the bytes of a guest's memory: its own loads and fetches, the VMM's accesses, a debugger's, a core file.
import { createHash } from 'node:crypto';
import type { Vm } from '../../src/index.ts';
import { assemble } from './core-file.ts';
import { hvaAt, PAGE } from './machines.ts';

/** Places of a page that are looked at one by one: both ends, and a few between. */
const SPOTS = [0, 1, 7, 64, 511, 2048, 4087, 4095];

/**
 * `pages` pages from gpa on as a debugger sees them. Throws where guest or VMM see something else: at a few places of each
 * page, and over each border between two.
 */
export function throughDoors(vm: Vm, gpa: number, pages: number): Uint8Array {
  const bytes = vm.ramAccess.read(gpa, pages * PAGE);
  const view = new DataView(bytes.buffer);
  const first = hvaAt(vm, gpa) as bigint;
  const same = (door: string, at: number, value: unknown, is: number | bigint | undefined): void => {
    if (value !== is) throw new Error(`${door} at ${gpa + at}: ${value}, a debugger sees ${is}`);
  };
  const load = (at: number, size: 1 | 8): bigint | string => {
    const access = vm.guest.load(gpa + at, size);
    return access.ok ? access.value : access.exit.reason;
  };
  for (let page = 0; page < bytes.length; page += PAGE) {
    const fetched = vm.guest.fetch(gpa + page);
    same('fetch', page, fetched.ok ? fetched.value : fetched.exit.reason, BigInt(bytes[page] as number));
    for (let i = 0; i < SPOTS.length; i++) {
      const at = page + (SPOTS[i] as number);
      const byte = vm.vmm.load(first + BigInt(at));
      same('VMM', at, byte.ok ? byte.value : byte.signal, bytes[at]);
      same('guest', at, load(at, 1), BigInt(bytes[at] as number));
    }
    if (page + PAGE === bytes.length) break;
    const border = page + PAGE - 3;
    same('guest, over a border', border, load(border, 8), view.getBigUint64(border, true));
  }
  return bytes;
}

/**
 * A digest over what somebody who has all of `vm` can see of it: its core file, smaps, counters, device, and contents and
 * states of all pages.
 */
export function everythingOf(vm: Vm): string {
  const numbers = [vm.observe.counters(), vm.device.snapshot(), vm.observe.digest()];
  return createHash('sha256')
    .update(assemble(vm.observe.coreDump({ filter: 0xff })))
    .update(vm.observe.smapsText())
    .update(JSON.stringify(numbers, (_, value) => (typeof value === 'bigint' ? `${value}` : value)))
    .digest('hex');
}
