// KSM as an operator sees it: /sys/kernel/mm/ksm. The scanner runs when it is told to, never by itself.
import type { Core } from '../core/core.ts';
import { HOST_KSM_NODES, HOST_KSM_SCANS } from '../core/layout.ts';

export class Ksm {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  /** `times` full scans of all mergeable memory of all VMs. Two over unchanged pages share what is equal. */
  scan(times = 1): void {
    for (let i = 0; i < times; i++) this.#core.x.ksmScan();
  }

  /** Full scans so far. */
  get fullScans(): number {
    return this.#core.readU32(HOST_KSM_SCANS);
  }

  /** Frames that sharing saves: mappings of shared pages beyond the first of each. */
  get pagesSaved(): number {
    return this.#core.x.ksmSaved() >>> 0;
  }

  /** Shared pages, each of which has one frame. Some may be mapped no more until the next scan. */
  get pagesShared(): number {
    return this.#core.readU32(HOST_KSM_NODES);
  }
}
