// Configuration space of the pvmemcontrol function: a type 0 header without capabilities, 256 bytes
// of registers and zero from there to 4095.
// Reference: PCI Local Bus 3.0 section 6.1, cloud-hypervisor pci/src/configuration.rs;
// recorded in test/golden/pvmemcontrol/pci-config.json.
import { BAR0_SIZE } from '../../assembly/abi/pvmemcontrol.ts';

/** One move of the register window, caused by a write to BAR0 or to the command register. */
export interface BarMove {
  readonly from: number;
  readonly to: number;
  readonly len: number;
}

/** What a checkpoint keeps of a configuration space: a plain value. */
export interface PciConfigState {
  readonly registers: readonly number[];
  readonly programmed: number;
  readonly pending: readonly BarMove[];
}

/** Where BAR0 starts out: the top of a 32-bit window that ends at 0xdfffffff. */
export const BAR0_RESET = 0xdffffff0;

export const PCI_CONFIG_SIZE = 4096;
const HEADER_SIZE = 256;

const COMMAND = 0x04;
const BAR0 = 0x10;
const COMMAND_MEMORY_SPACE = 1 << 1;
const BAR0_ADDRESS = 0xfffffff0;

//   ╒═ 31 … 16 ═══════════════╤═ 15 … 0 ════════════════╕
//   │ device id               │ vendor id               │ 0x00
//   │ status                  │ command                 │ 0x04
//   │ class, subclass         │ prog if, revision       │ 0x08
//   │ BIST, header type       │ latency, cache line     │ 0x0c
//   │ BAR0: address in 31…4, 32-bit memory              │ 0x10
//   │ subsystem id            │ subsystem vendor id     │ 0x2c
//   ╘═════════════════════════╧═════════════════════════╛
const RESET: readonly (readonly [register: number, value: number])[] = [
  [0x00, 0x0087_1ae0],
  [COMMAND, 0x0000_0103],
  [0x08, 0x0880_0001],
  [0x2c, 0x011f_1ae0],
];

/** The bits a write can change, by register; all others are read only. */
const WRITABLE: Readonly<Record<number, number>> = {
  [COMMAND]: 0x0000_ffff,
  12: 0x0000_00ff,
  [BAR0]: BAR0_ADDRESS,
  60: 0x0000_00ff,
};

/**
 * A guest can write BAR0 for ever with memory space off. Past this many pending moves the newest two
 * become one: the window ends up in the same place.
 */
const PENDING_MAX = 64;

/** All ones in `size` bytes: what an access that nothing answers reads. */
export const allOnes = (size: number): number => (size >= 1 && size < 4 ? 2 ** (8 * size) - 1 : 0xffff_ffff);

/** The bytes lie in one 32-bit register: the only accesses that configuration space has. */
const inOneRegister = (offset: number, size: number): boolean =>
  Number.isInteger(offset) &&
  Number.isInteger(size) &&
  offset >= 0 &&
  offset < PCI_CONFIG_SIZE &&
  size >= 1 &&
  (offset & 3) + size <= 4;

export class PciConfig {
  readonly #registers = new Uint32Array(HEADER_SIZE / 4);
  /** The address BAR0 was last given by a 4-byte write: where the window is, or will be. */
  #programmed: number;
  /** Moves that wait for memory space to be turned on, in order. */
  #pending: BarMove[] = [];

  constructor(bar0 = BAR0_RESET) {
    for (const [register, value] of RESET) this.#registers[register / 4] = value;
    this.#registers[BAR0 / 4] = bar0 & BAR0_ADDRESS;
    this.#programmed = this.bar0;
  }

  /** BAR0 as it reads; after a size probe or a partial write this is not where the window is. */
  get bar0(): number {
    return this.#register(BAR0);
  }

  /** Where the register window is. */
  get window(): number {
    return this.#pending[0]?.from ?? this.#programmed;
  }

  /** `size` bytes at `offset`, little-endian; all ones for an access that is not within one register. */
  read(offset: number, size: number): number {
    if (!inOneRegister(offset, size)) return allOnes(size);
    return ((this.#register(offset & ~3) >>> (8 * (offset & 3))) & allOnes(size)) >>> 0;
  }

  /** Writes `size` bytes and returns the moves of the register window that this caused, in order. */
  write(offset: number, size: number, value: number): BarMove[] {
    if (!inOneRegister(offset, size) || size === 3 || offset % size !== 0) return [];
    const register = offset & ~3;
    const shift = 8 * (offset & 3);
    const mask = (WRITABLE[register] ?? 0) & (allOnes(size) << shift);
    if (mask !== 0) {
      this.#registers[register / 4] = (this.#register(register) & ~mask) | ((value << shift) & mask);
    }
    if (register === BAR0 && size === 4) this.#program(value);
    return this.#register(COMMAND) & COMMAND_MEMORY_SPACE ? this.#pending.splice(0) : [];
  }

  save(): PciConfigState {
    return {
      registers: [...this.#registers],
      programmed: this.#programmed,
      pending: this.#pending.map((move) => ({ ...move })),
    };
  }

  load(state: PciConfigState): void {
    this.#registers.set(state.registers);
    this.#programmed = state.programmed;
    this.#pending = state.pending.map((move) => ({ ...move }));
  }

  #register(register: number): number {
    return this.#registers[register / 4] ?? 0;
  }

  /** A 4-byte write to BAR0. All address bits set is a size probe, whose answer is the address mask. */
  #program(value: number): void {
    const to = (value & BAR0_ADDRESS) >>> 0;
    if (to === BAR0_ADDRESS || to === this.#programmed) return;
    let from = this.#programmed;
    if (this.#pending.length === PENDING_MAX) from = this.#pending.pop()?.from ?? from;
    this.#pending.push({ from, to, len: BAR0_SIZE });
    this.#programmed = to;
  }
}
