// Who counts this memory? Each counter that an operator, the guest or KVM has, with what it counts of a range of
// guest-physical memory, and why. docs/accounting.md explains the rows.
// Reference: linux Documentation/filesystems/proc.rst, Documentation/admin-guide/cgroup-v2.rst, virt/kvm/guest_memfd.c.
import type { Gpa } from '../address.ts';
import { gpa as gpaOf } from '../address.ts';
import type { Ptr } from '../core/exports.ts';
import { SlatboxError } from '../errors.ts';
import type { SlotPiece, Span } from '../observe/usage.ts';
import { leafUsage, mappings, privateUsage, slotPieces } from '../observe/usage.ts';
import { parseSize } from '../size.ts';
import type { AddressLike, Size } from '../types.ts';
import type { Vm } from '../vm.ts';
import { type Counted, type CounterName, ROWS } from './rows.ts';
import { union } from './spans.ts';
import { filesAt, totals } from './totals.ts';

/** Whose counter it is. */
export type WhoView = 'guest' | 'kvm' | 'process' | 'file' | 'memcg' | 'host';

export interface WhoRow {
  readonly view: WhoView;
  /** As its owner calls it: `RssAnon`, `file_mapped`, `pages_2m`. */
  readonly counter: CounterName;
  /** What it has of the range; below 0 for what there is less of. */
  readonly bytes: number;
  /** One sentence: why it counts that, or why it does not. */
  readonly why: string;
  /** By memory node: of the cgroup's counters that memory.numa_stat has, on a host with more than one. */
  readonly nodes?: readonly number[];
}

export interface WhoCounts {
  readonly gpa: Gpa;
  readonly length: number;
  readonly rows: readonly WhoRow[];
}

/**
 * Every counter, those that count nothing too, always in the same order. A page that several slots or mappings show counts
 * once, but in counters of page table entries (RSS). gpa and length are rounded to whole pages. SlatboxError SLB-010, SLB-022.
 */
export function whoCounts(vm: Vm, gpa: AddressLike, length: Size = 4096): WhoCounts {
  vm.host.core.assertAllowed();
  const at = gpaOf(gpa);
  const size = parseSize(length, 'length');
  const from = at - (at % 4096n);
  const to = ((at + BigInt(size) + 4095n) / 4096n) * 4096n;
  if (size === 0 || to > 1n << 52n) {
    throw new SlatboxError(
      'SLB-022',
      `${size} bytes from 0x${at.toString(16)} on`,
      'a range below 2^52 that is not empty',
    );
  }
  const counted = count(vm, { from, to });
  const several = vm.host.nodes().length > 1;
  const rows = ROWS.map((row) => ({
    view: row.view,
    counter: row.counter,
    bytes: row.bytes(counted),
    why: row.why(counted),
    ...(several && 'nodes' in row && { nodes: row.nodes(counted) }),
  }));
  return { gpa: from as Gpa, length: Number(to - from), rows };
}

function count(vm: Vm, span: Span): Counted {
  const pieces = slotPieces(vm, span);
  const hvas = union(pieces.map(({ hva, length }) => ({ from: hva, to: hva + BigInt(length) })));
  const files = filesAt(mappings(vm), hvas);
  for (const { file, length } of pieces) {
    if (file) addTo(files, file.ptr, { from: BigInt(file.offset), to: BigInt(file.offset + length) });
  }
  const [pages4k, pages2m, pages1g] = leafUsage(vm, span);
  return {
    ...totals(vm, { hvas, files }),
    ram: pieces.reduce((sum, { length }) => sum + length, 0),
    private: pieces.reduce((sum, piece) => sum + privateUsage(vm, spanOf(piece)), 0),
    pages4k,
    pages2m,
    pages1g,
    hasGmem: pieces.some(({ file }) => file !== undefined),
  };
}

function addTo(files: Map<Ptr, Span[]>, file: Ptr, span: Span): void {
  files.set(file, [...(files.get(file) ?? []), span]);
}

const spanOf = ({ gpa, length }: SlotPiece): Span => ({ from: gpa, to: gpa + BigInt(length) });
