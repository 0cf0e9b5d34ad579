// What the counters say of all that a VM has: its VMM's mappings, and its files, mapped or not.
import { files, mappings } from '../observe/usage.ts';
import type { Vm } from '../vm.ts';
import { type Totals, totals } from './totals.ts';

export function machineTotals(vm: Vm): Totals {
  vm.host.core.assertAllowed();
  const all = files(vm).map(({ ptr, size }) => [ptr, [{ from: 0n, to: BigInt(size) }]] as const);
  return totals(vm, { hvas: mappings(vm), files: new Map(all) });
}
