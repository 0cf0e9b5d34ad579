// A slow and obvious model of the pvmemcontrol device: registers, connections, requests.
// Reference: cloud-hypervisor devices/src/pvmemcontrol.rs; written from its recorded behaviour, and with numbers
// of its own, so that it cannot agree with a wrong constant of the engine.
//
//   command           │ broken       │ init                            │ ready
//   ──────────────────┼──────────────┼─────────────────────────────────┼────────────────────────────
//   RESET             │ init, ACK    │ init, buffers forgotten, ACK    │ init, buffers forgotten, ACK
//   REGISTER, in RAM  │ ERROR        │ ACK, payload = new id           │ broken, ERROR
//   REGISTER, not     │ ERROR        │ broken, ERROR                   │ broken, ERROR
//   READY             │ ERROR        │ ready, ACK                      │ broken, ERROR
//   DISCONNECT        │ ERROR        │ broken, ERROR                   │ broken, ERROR
//   ACK, ERROR        │ ERROR        │ broken, ERROR                   │ broken, ERROR
//   other, bit 31 = 0 │ ignored      │ ignored                         │ ignored
//   bit 31 = 1        │ ignored      │ ignored                         │ known id: request executed
//
// Broken at the start. Going to broken forgets all buffers.

export type ModelState = 'broken' | 'init' | 'ready';

export interface ModelRegion {
  readonly gpa: bigint;
  readonly size: number;
}

/** What the host does for a request whose range is inside one region: an errno, 0 for success. */
export type HostCall = (func: bigint, addr: bigint, length: bigint, arg: bigint, ram: ModelRam) => number;

const RESET = 0x060fe6d2;
const REGISTER = 0x0e359539;
const READY = 0x0ca8d227;
const DISCONNECT = 0x030f5da0;
const ACK = 0x03cf5196;
const ERROR = 0x01fba249;
const FIRST_ID = 0x80000000;

const EINVAL = 22;
const EOPNOTSUPP = 95;

/** Guest RAM as bytes that are there or not: a map from page number to page, absent pages are zero. */
export class ModelRam {
  readonly regions: readonly ModelRegion[];
  readonly #pages = new Map<bigint, Uint8Array>();

  constructor(regions: readonly ModelRegion[]) {
    this.regions = regions;
  }

  has(gpa: bigint): boolean {
    return this.regions.some((r) => gpa >= r.gpa && gpa < r.gpa + BigInt(r.size));
  }

  /** Every byte is RAM, possibly in regions that touch. */
  hasAll(gpa: bigint, length: number): boolean {
    for (let i = 0n; i < BigInt(length); i++) if (!this.has(gpa + i)) return false;
    return true;
  }

  /** The range lies in one region; an empty one still needs its address inside. */
  inOneRegion(gpa: bigint, length: bigint): boolean {
    return this.regions.some((r) => {
      const end = r.gpa + BigInt(r.size);
      return gpa >= r.gpa && gpa < end && gpa + length <= end;
    });
  }

  read(gpa: bigint, length: number): Uint8Array {
    return Uint8Array.from({ length }, (_, i) => {
      const at = gpa + BigInt(i);
      if (!this.has(at)) throw new RangeError(`no RAM at 0x${at.toString(16)}`);
      return this.#pages.get(at >> 12n)?.[Number(at & 0xfffn)] ?? 0;
    });
  }

  write(gpa: bigint, bytes: Uint8Array): void {
    for (const [i, byte] of bytes.entries()) {
      const at = gpa + BigInt(i);
      if (!this.has(at)) throw new RangeError(`no RAM at 0x${at.toString(16)}`);
      const page = this.#pages.get(at >> 12n) ?? new Uint8Array(4096);
      page[Number(at & 0xfffn)] = byte;
      this.#pages.set(at >> 12n, page);
    }
  }

  /** One whole page, aligned, reads as zero. */
  dropPage(gpa: bigint): void {
    this.#pages.delete(gpa >> 12n);
  }
}

export interface ModelOptions {
  readonly ram: readonly ModelRegion[];
  readonly hostCall?: HostCall;
  readonly pageSize?: number;
  /** Highest function code that the generation has. */
  readonly lastFunc?: number;
}

export class DeviceModel {
  state: ModelState = 'broken';
  command = ERROR;
  readonly ram: ModelRam;
  /** Connection id to buffer address. */
  readonly connections = new Map<number, bigint>();
  readonly #payload = new Uint8Array(8);
  /** Payload bytes that have a defined value: those written or answered since the last transport command. */
  readonly #defined = new Array<boolean>(8).fill(false);
  readonly #hostCall: HostCall;
  readonly #pageSize: number;
  readonly #lastFunc: number;

  constructor(options: ModelOptions) {
    this.ram = new ModelRam(options.ram);
    this.#hostCall = options.hostCall ?? (() => 0);
    this.#pageSize = options.pageSize ?? 4096;
    this.#lastFunc = options.lastFunc ?? 14;
  }

  /** All eight bytes of the payload have a defined value: only then does a REGISTER mean one thing. */
  get payloadDefined(): boolean {
    return this.#defined.every(Boolean);
  }

  /** A read of the window; bytes at 16 and above stay as the reader had them. Undefined bytes are zero here. */
  read(offset: number, buffer: Uint8Array): void {
    for (const i of buffer.keys()) {
      const at = offset + i;
      if (at < 8) buffer[i] = this.#defined[at] ? (this.#payload[at] as number) : 0;
      else if (at < 12) buffer[i] = (this.command >>> (8 * (at - 8))) & 0xff;
      else if (at < 16) buffer[i] = 0;
    }
  }

  /** Which of the bytes that `read` gives have a defined value. */
  defined(offset: number, size: number): boolean[] {
    return Array.from({ length: size }, (_, i) => {
      const at = offset + i;
      if (at < 8) return this.#defined[at] as boolean;
      return at < 12 || at >= 16;
    });
  }

  write(offset: number, bytes: Uint8Array): void {
    if (offset === 8) {
      if (bytes.length === 4) this.#writeCommand(new DataView(bytes.slice().buffer).getUint32(0, true));
      return;
    }
    if (bytes.length !== 4 && bytes.length !== 8) return;
    for (const [i, byte] of bytes.entries()) {
      if (offset + i > 7) continue;
      this.#payload[offset + i] = byte;
      this.#defined[offset + i] = true;
    }
  }

  #writeCommand(value: number): void {
    if (value >= 0x80000000) {
      const buffer = this.connections.get(value);
      if (this.state === 'ready' && buffer !== undefined) this.#execute(buffer);
      return;
    }
    if (![RESET, REGISTER, READY, DISCONNECT, ACK, ERROR].includes(value)) return;

    const buffer = new DataView(this.#payload.buffer).getBigUint64(0, true);
    const next = this.#next(value, buffer);
    this.#defined.fill(false);
    if (next === 'init' && value === REGISTER) {
      const id = FIRST_ID + this.connections.size;
      this.connections.set(id, buffer);
      new DataView(this.#payload.buffer).setBigUint64(0, BigInt(id), true);
      this.#defined.fill(true);
    } else if (next !== 'ready') {
      this.connections.clear();
    }
    this.state = next;
    this.command = next === 'broken' ? ERROR : ACK;
  }

  /** The table at the top, for transport commands. */
  #next(command: number, buffer: bigint): ModelState {
    if (command === RESET) return 'init';
    if (this.state !== 'init') return 'broken';
    if (command === REGISTER) return this.ram.hasAll(buffer, 32) ? 'init' : 'broken';
    return command === READY ? 'ready' : 'broken';
  }

  /** The order of the checks: function code, range, host call. */
  #execute(buffer: bigint): void {
    const request = new DataView(this.ram.read(buffer, 32).buffer);
    const func = request.getBigUint64(0, true);
    const addr = request.getBigUint64(8, true);
    const length = request.getBigUint64(16, true);
    const arg = request.getBigUint64(24, true);
    if (func === 0n) {
      this.#respond(buffer, 0, 0, BigInt(this.#pageSize), 1n);
    } else if (func > BigInt(this.#lastFunc)) {
      this.#respond(buffer, EOPNOTSUPP, Number(func & 0xffff_ffffn));
    } else if (!this.ram.inOneRegion(addr, length)) {
      this.#respond(buffer, EINVAL, Number(func));
    } else {
      this.#respond(buffer, this.#hostCall(func, addr, length, arg, this.ram), 0);
    }
  }

  #respond(buffer: bigint, errno: number, code: number, value = 0n, arg0 = 0n): void {
    const response = new DataView(new ArrayBuffer(32));
    response.setUint32(0, errno, true);
    response.setUint32(4, code, true);
    response.setBigUint64(8, value, true);
    response.setBigUint64(16, arg0, true);
    this.ram.write(buffer, new Uint8Array(response.buffer));
  }
}

const NO_ALIGNMENT_NEEDED = [7n, 8n];
const DONTNEED = 1n;
const REMOVE = 2n;

/** Host calls on private anonymous memory, as far as the guest can tell them apart by contents and errno. */
export const privateMemory: HostCall = (func, addr, length, _arg, ram) => {
  if (addr % 4096n !== 0n && !NO_ALIGNMENT_NEEDED.includes(func)) return EINVAL;
  if (length === 0n) return 0;
  if (func === REMOVE) return EINVAL;
  if (func === DONTNEED) {
    const pages = (length + 4095n) / 4096n;
    for (let i = 0n; i < pages; i++) ram.dropPage(addr + i * 4096n);
  }
  return 0;
};
