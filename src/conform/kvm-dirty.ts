// Which bits of a dirty log a replay may differ in. A guest read sets a bit when KVM maps the page writable for it, and
// whether it does depends on state that no recording shows: rules R10.3 and R10.3a of test/golden/kvm/README.md.
import type { SlotCall } from './kvm-door.ts';

const LOG = 1;
const READONLY = 2;
const PAGE = 4096n;

interface Slot {
  readonly gpa: bigint;
  readonly pages: number;
  readonly flags: number;
  /** Pages that the guest read or executed since their bit was cleared. */
  readonly reads: Set<number>;
}

/** Follows the slots of a recording, their logs, and what the guest read in them. */
export class DirtyReads {
  readonly #slots = new Map<number, Slot>();
  #manual = false;

  /** KVM took this call. A log that goes on is not touched by a move; one that is turned on starts empty. */
  setSlot({ id, gpa, size, flags }: SlotCall): void {
    if (size === 0n) {
      this.deleteSlot(id);
      return;
    }
    const old = this.#slots.get(id);
    const reads = old && old.flags & flags & LOG ? old.reads : new Set<number>();
    this.#slots.set(id, { gpa, pages: Number(size / PAGE), flags, reads });
  }

  deleteSlot(id: number): void {
    this.#slots.delete(id);
  }

  /** KVM took this value of KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2. */
  setManual(value: bigint): void {
    this.#manual = value !== 0n;
  }

  /** The guest read, or tried to read, `len` bytes. */
  read(gpa: bigint, len: number): void {
    for (let at = gpa - (gpa % PAGE); at < gpa + BigInt(len); at += PAGE) {
      for (const slot of this.#slots.values()) {
        const page = Number((at - slot.gpa) / PAGE);
        // The log of a read-only slot stays empty (R10.6).
        if (at >= slot.gpa && page < slot.pages && !(slot.flags & READONLY)) slot.reads.add(page);
      }
    }
  }

  /** Pages whose bit may be set without being recorded. Ends when their bits are cleared. */
  readsOf(id: number): ReadonlySet<number> {
    return this.#slots.get(id)?.reads ?? new Set();
  }

  /** KVM_GET_DIRTY_LOG succeeded; with manual protection it clears nothing. */
  got(id: number): void {
    if (!this.#manual) this.#slots.get(id)?.reads.clear();
  }

  /** KVM_CLEAR_DIRTY_LOG succeeded for these bits, which count from page `first`. */
  cleared(id: number, first: number, bits: readonly number[]): void {
    for (const bit of bits) this.#slots.get(id)?.reads.delete(first + bit);
  }
}
