// What the guest driver sees of the machine: configuration space, MMIO registers and its own RAM.
// Nothing of the host is in here. Every access is one of vCPU `cpu`.

export interface DriverPort {
  /** Number of possible cpus. */
  readonly cpus: number;
  /** The cpu that the caller runs on. */
  currentCpu(): number;

  configRead(bdf: number, offset: number, size: number): number;
  configWrite(bdf: number, offset: number, size: number, value: number): void;

  read32(gpa: bigint, cpu: number): number;
  write32(gpa: bigint, value: number, cpu: number): void;
  write64(gpa: bigint, value: bigint, cpu: number): void;

  /**
   * Guest-physical address of `size` bytes for `cpu`, undefined when there is no memory. A port may hand
   * out the same buffer at a later probe: by then the driver has forgotten it.
   */
  allocPercpu(cpu: number, size: number): bigint | undefined;
  /** Stores the request (32 bytes). False: the access left the guest and did not finish. */
  copyToBuffer(gpa: bigint, request: Uint8Array, cpu: number): boolean;
  /** Loads the response (32 bytes) into `out`. False: as `copyToBuffer`. */
  copyFromBuffer(gpa: bigint, out: Uint8Array, cpu: number): boolean;

  /**
   * The three steps of a request at once, where the port can: `buf` into the buffer at gpa, `command` to the
   * command register, the buffer back into `buf`. The same accesses, in the same order. False: one did not finish.
   */
  request?(gpa: bigint, register: bigint, command: number, buf: Uint8Array, cpu: number): boolean;
}
