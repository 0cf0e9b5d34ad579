// The page-modification log: gpas of pages whose dirty bit a walk has set, for whoever copies what changed.
// Reference: Intel SDM vol. 3C, 29.3.6 (page-modification logging).

/** Entries of the log, a page of 8 bytes each. */
const ENTRIES = 512;

/** The PML index and what the log page holds. A processor fills it from the last entry down to the first. */
export class PageModificationLog {
  readonly page: BigUint64Array = new BigUint64Array(ENTRIES);
  /** PML index: the entry that is next, 511 … 0; 0xffff behind the last one, when the log is full. */
  index = ENTRIES - 1;

  /** The index is not one of an entry: a walk that has to set a flag ends in an exit instead. */
  get full(): boolean {
    return this.index >= ENTRIES;
  }

  /** Notes the page of gpa. */
  append(gpa: bigint): void {
    this.page[this.index] = gpa & ~4095n;
    this.index = (this.index - 1) & 0xffff;
  }

  /** What was logged, oldest first; the log is empty then (what a hypervisor does at exit 62, and before it looks). */
  drain(): bigint[] {
    const first = this.full ? 0 : this.index + 1;
    const logged = [...this.page.subarray(first)].reverse();
    this.index = ENTRIES - 1;
    return logged;
  }
}
