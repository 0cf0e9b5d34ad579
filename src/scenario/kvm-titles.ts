// The steps of schema-kvm.ts in words: what a step is called before and after it is done.
import { hex } from '../address.ts';
import { listOf } from './kvm-args.ts';
import { place, sizeText } from './outcome.ts';
import type { ActionKind, Args } from './scenario.ts';
import { kvmSteps } from './schema-kvm.ts';

export type KvmStep = keyof typeof kvmSteps;

export const isKvmStep = (kind: ActionKind): kind is KvmStep => kind in kvmSteps;

/** `memslot.move 5 to 2112M`. */
export function kvmTitle(kind: KvmStep, a: Args): string {
  const { slot, flags, hva, file, offset, cap, prot, advice, to, contents } = a.kvm;
  const named = flags.length > 0 ? ` ${flags.join(' ')}` : '';
  const at = hva === undefined ? `gpa ${sizeText(a.gpa)}` : `hva ${hex(hva)}`;
  const range = `${at} +${sizeText(a.len)}`;
  switch (kind) {
    case 'memslot.create':
      return `${kind} ${slot}: ${place(a)}${named}${file === undefined ? '' : ` with ${file}`}`;
    case 'memslot.delete':
    case 'dirty-log.get':
      return `${kind} ${slot}`;
    case 'memslot.move':
      return `${kind} ${slot} to ${sizeText(a.gpa)}`;
    case 'memslot.flags':
      return `${kind} ${slot}:${named || ' none'}`;
    case 'enable-cap':
      return `${kind} ${cap}: ${a.arg}`;
    case 'dirty-log.clear':
      return `${kind} ${slot}${clearText(a)}`;
    case 'guest-memfd.create':
      return `${kind} ${a.id} +${sizeText(a.len)}${named}`;
    case 'guest-memfd.allocate':
    case 'guest-memfd.punch':
      return `${kind} ${file} ${sizeText(offset)} +${sizeText(a.len)}`;
    case 'guest-memfd.close':
      return `${kind} ${file}`;
    case 'guest-memfd.convert':
      return `${kind} ${file} ${sizeText(offset)} +${sizeText(a.len)}: ${to}${contents && `, ${contents}`}`;
    case 'hypercall':
      return `${kind} MAP_GPA_RANGE ${place(a)}: ${to}`;
    case 'memory-attributes':
      return `${kind} ${place(a)}: ${to}`;
    case 'vmm.mmap':
    case 'vmm.mprotect':
      return `${kind} ${range} ${prot}`;
    case 'vmm.munmap':
    case 'vmm.pin':
    case 'vmm.unpin':
      return `${kind} ${range}`;
    case 'vmm.madvise':
      return `${kind} ${range} ${advice}`;
    case 'vmm.read':
      return `${kind} ${at}`;
    case 'vmm.write':
      return `${kind} ${at}: ${hex(a.byte ?? 0)}`;
    case 'migrate':
      return `${kind} to ${to}${a.kvm.writes > 0 ? `, the guest writes to ${place(a)}` : ''}`;
  }
}

function clearText({ kvm: { first, count, list } }: Args): string {
  if (list !== undefined) return `: pages ${listOf(list)}`;
  if (count === undefined && first === 0n) return '';
  return `: pages ${first}-${count === undefined ? '' : first + count - 1n}`;
}
