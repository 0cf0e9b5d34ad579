// PCI bus 0 as the guest sees it through configuration space: one function, nothing else. There is no
// host bridge, so every other function reads all ones and drops writes.
// Reference: PCI Local Bus 3.0 section 3.2.2.3; cloud-hypervisor pci/src/bus.rs.
import type { BarMove, PciConfigState } from './pci-config.ts';
import { allOnes, BAR0_RESET, PciConfig } from './pci-config.ts';

/** Bus, device and function as one number: bus in 15…8, device in 7…3, function in 2…0. */
export const bdfOf = (bus: number, device: number, fn: number): number => (bus << 8) | (device << 3) | fn;

/** `00:01.0` */
export function formatBdf(value: number): string {
  const two = (n: number): string => n.toString(16).padStart(2, '0');
  return `${two((value >> 8) & 0xff)}:${two((value >> 3) & 0x1f)}.${value & 7}`;
}

export const PVMEMCONTROL_BDF = bdfOf(0, 1, 0);

export interface PciBusOptions {
  /** First address of the register window. */
  readonly bar0?: number;
  /** The window has moved: whoever routes MMIO moves it there too. Called once a move, in order. */
  readonly onBarMove?: (move: BarMove) => void;
}

export class PciBus {
  readonly #pvmemcontrol: PciConfig;
  readonly #onBarMove: ((move: BarMove) => void) | undefined;

  constructor(options: PciBusOptions = {}) {
    this.#pvmemcontrol = new PciConfig(options.bar0 ?? BAR0_RESET);
    this.#onBarMove = options.onBarMove;
  }

  /** Where pvmemcontrol's register window is. */
  get window(): number {
    return this.#pvmemcontrol.window;
  }

  configRead(bdf: number, offset: number, size: number): number {
    return bdf === PVMEMCONTROL_BDF ? this.#pvmemcontrol.read(offset, size) : allOnes(size);
  }

  /** Returns the moves of the window that the write caused, after `onBarMove` has seen them. */
  configWrite(bdf: number, offset: number, size: number, value: number): readonly BarMove[] {
    if (bdf !== PVMEMCONTROL_BDF) return [];
    const moves = this.#pvmemcontrol.write(offset, size, value);
    if (this.#onBarMove) for (const move of moves) this.#onBarMove(move);
    return moves;
  }

  save(): PciConfigState {
    return this.#pvmemcontrol.save();
  }

  /** `onBarMove` is not called: whoever routes MMIO restores its own state, or looks at `window`. */
  load(state: PciConfigState): void {
    this.#pvmemcontrol.load(state);
  }
}
