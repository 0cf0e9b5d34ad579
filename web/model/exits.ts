// What left the guest, and what the VMM then asked of KVM, each in plain words. Reference: docs/events.md (kinds).
import type { EventRecord } from '../../src/types.ts';
import { bytesText } from '../format.ts';

/** The kinds of the log. Filter words of the event log: see events.ts. */
export const EXIT_FILTER = 'kind:exit,hypercall,memslot,attributes,dirty-log,pml-full,punch';

/** What it is called in the log: an exit by its reason. */
export const exitName = ({ kind, detail }: EventRecord): string =>
  kind === 'exit' ? String(detail.reason) : (NAMES[kind] ?? kind);

const NAMES: Readonly<Record<string, string>> = {
  hypercall: 'HYPERCALL',
  'pml-full': 'PML full',
  memslot: 'memslot',
  attributes: 'attributes',
  'dirty-log': 'dirty log',
  punch: 'hole',
};

/** Whether a vCPU did it; else the VMM. */
export const isGuests = ({ kind }: EventRecord): boolean => kind === 'exit' || kind === 'hypercall';

/** Guest-physical address that it is about, if it is about one. */
export function exitGpa({ kind, detail }: EventRecord): bigint | undefined {
  const isPlace = kind === 'memslot' || (kind === 'attributes' && detail.of === 'vm');
  const at = detail.gpa ?? (isPlace ? detail.from : undefined);
  return typeof at === 'string' ? BigInt(at) : undefined;
}

const EXITS: Readonly<Record<string, string>> = {
  EFAULT: 'KVM_RUN failed: the mapping behind the slot forbids the access, or there is none. Exit reason 0.',
  MEMORY_FAULT:
    'The guest wants the page in another kind, private or shared, or there is no memory of that kind. The VMM converts and runs it again.',
  OUT_OF_MEMORY: 'The host had no frame for the page. The vCPU stands before the access.',
  INTERNAL_ERROR: 'The guest fetched an instruction where no slot is: KVM cannot emulate that.',
  RETRY: 'The page was just being invalidated: KVM takes the fault again.',
};

/** One sentence for somebody who does not know the word. */
export function exitText(event: EventRecord): string {
  const { kind, detail } = event;
  switch (kind) {
    case 'exit':
      return detail.reason === 'MMIO' ? mmioText(event) : (EXITS[String(detail.reason)] ?? event.text);
    case 'hypercall':
      return `${event.text}. KVM leaves that to the VMM.`;
    case 'memslot':
      return `Slot ${detail.id} ${SLOT_CHANGES[String(detail.change)] ?? detail.change}`;
    case 'attributes':
      if (detail.of !== 'vm')
        return `${rangeText(event)} of a guest_memfd are ${Number(detail.attributes) === 0 ? 'shared' : 'private'} now, in the same frames.`;
      return `${rangeText(event)} ${Number(detail.attributes) === 0 ? SHARED : PRIVATE}`;
    case 'dirty-log':
      return `The VMM ${Number(detail.cleared) ? 'took pages out of' : 'read'} the dirty log of slot ${detail.id}: ${detail.pages} pages.`;
    case 'pml-full':
      return `vCPU ${detail.cpu} had noted 512 written pages: KVM moved them to the dirty logs.`;
    case 'punch':
      return `${detail.pages} pages of the guest_memfd are gone, with what was in them.`;
    default:
      return event.text;
  }
}

const mmioText = ({ detail }: EventRecord): string =>
  detail.access === 'write'
    ? `A store of ${detail.len} bytes where no writable slot is: device space, or a read-only slot.`
    : `A load of ${detail.len} bytes where no slot is: device space. The VMM answers.`;

const SHARED = 'are shared now. Private memory of theirs stays until a hole is punched.';
const PRIVATE = 'are private now. Shared memory of theirs stays until the VMM drops it.';
const rangeText = ({ detail }: EventRecord): string =>
  bytesText(BigInt(detail.to ?? 0) - BigInt(detail.from ?? 0));

const SLOT_CHANGES: Readonly<Record<string, string>> = {
  created: 'is there: these addresses have memory of the VMM behind them.',
  deleted: 'is gone: these addresses have nothing behind them. The memory stays with the VMM.',
  moved: 'has its memory here now, and nothing where it was.',
  'flags changed': 'got a dirty log, or lost it.',
};
