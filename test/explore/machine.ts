// A small machine whose vCPUs are fibers over one memory: the real engine of the `explore` build, with the real VM,
// driver and observers of the library around it. Setting it up goes through the library; between `start` and `end`
// only the fibers run.
import { readFileSync } from 'node:fs';
import { TransportReg } from '../../assembly/abi/pvmemcontrol.ts';
import { Core } from '../../src/core/core.ts';
import type { CoreExports, Ptr } from '../../src/core/exports.ts';
import type { Checkpoint } from '../../src/machine.ts';
import { Host, type Vm } from '../../src/machine.ts';
import type { VmOptions } from '../../src/types.ts';
import { PROJECT } from '../support/assembly.ts';
import { abortIn, FIBER_STACK, Fiber } from './fiber.ts';
import { Snapshot } from './snapshot.ts';

export interface MachineSize {
  readonly cpus: number;
  /** 4 KiB frames of the host's pool. Default 64. */
  readonly frames?: number;
  /** 4 KiB slots of swap. Default 32. */
  readonly swap?: number;
  /** Metadata pages: by default room for all chunks and tables of the guest, and what the engine keeps back. */
  readonly arena?: number;
  /** RAM of the guest in bytes. Default 16 MiB. */
  readonly ram?: number;
  /** Whether a driver registers its buffers, whose pages are then the first of the guest that are there. Default true. */
  readonly driver?: boolean;
  /** What else its VMM has: limits, the kind of its memory, what it asks of KVM. */
  readonly vmm?: Pick<
    VmOptions,
    'backing' | 'maxMapCount' | 'memlock' | 'memoryLimit' | 'vmType' | 'gmemProfile' | 'pml'
  >;
  /** Its vCPU threads make KVM's calls about memory. Default false. */
  readonly kvm?: boolean;
  /** What is done with the guest once, after its driver has come up. */
  readonly prepare?: (vm: Vm) => void;
}

const WASM_PAGE = 65536;

export class ExploreMachine {
  readonly vm: Vm;
  readonly fibers: readonly Fiber[];
  readonly snapshot: Snapshot;
  readonly #x: CoreExports;
  /** A fresh guest whose driver, if it has one, has registered its buffers. */
  readonly #fresh: Checkpoint;
  readonly #kvm: boolean;

  /** `module`: build/explore.wasm. */
  constructor(module: WebAssembly.Module, size: MachineSize) {
    const {
      cpus,
      frames = 64,
      swap = 32,
      arena = 512,
      ram = 16 * 2 ** 20,
      driver = true,
      kvm = false,
      vmm,
      prepare,
    } = size;
    const used = Math.ceil(Core.bytes(frames, arena, swap) / WASM_PAGE);
    const pages = used + Math.ceil((cpus * FIBER_STACK) / WASM_PAGE);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const env = { memory, abort: abortIn(memory), sync: () => {}, wait: () => {} };
    this.#x = new WebAssembly.Instance(module, { env }).exports as unknown as CoreExports;
    const core = new Core(this.#x, memory, module);
    core.x.hostInit(frames, arena, swap, 0, 1, 0);
    this.vm = new Host(core).createVm({ memory: ram, cpus, ...vmm });
    this.fibers = Array.from(
      { length: cpus },
      (_, cpu) => new Fiber(module, memory, used * WASM_PAGE + cpu * FIBER_STACK),
    );
    if (driver && this.vm.guest.driver.probe() !== 0) throw new Error('the driver does not bind');
    prepare?.(this.vm);
    this.#kvm = kvm;
    this.#fresh = this.vm.host.checkpoint();
    this.snapshot = new Snapshot(this.vm);
  }

  get core(): Core {
    return this.vm.host.core;
  }

  runOf(cpu: number): Ptr {
    return this.vm.guest.run(cpu);
  }

  /** gpa of a vCPU's own request buffer. */
  bufferOf(cpu: number): bigint {
    return 0x8000n + BigInt(cpu) * 4096n;
  }

  /** The doorbell that says: a request is in this vCPU's buffer. */
  doorbellOf(cpu: number): number {
    return 0x80000000 + cpu;
  }

  get commandRegister(): bigint {
    return BigInt(this.vm.pci.window + TransportReg.Command);
  }

  /** A fresh machine, brought to a state by `setUp`, from which the vCPU threads start as often as `reset` is called. */
  start(setUp: (vm: Vm) => void): void {
    this.vm.host.restore(this.#fresh);
    setUp(this.vm);
    if (this.#x.threadsStart(this.vm.ptr, this.#kvm ? 1 : 0) === 0)
      throw new Error('no room to start threads');
    this.fibers.forEach((fiber, cpu) => {
      fiber.x.threadAttach(this.runOf(cpu));
    });
    this.snapshot.take();
  }

  /** As it was when `start` ended. */
  reset(): void {
    this.snapshot.restore();
  }

  /** All threads have ended: their counts go into the VM's. Then everything can be looked at. */
  fold(): void {
    this.#x.threadsFold(this.vm.ptr);
  }
}

let compiled: WebAssembly.Module | undefined;

/** Synchronous on purpose: a table of tests can be made of machines. */
export function exploreMachine(size: MachineSize): ExploreMachine {
  compiled ??= new WebAssembly.Module(readFileSync(`${PROJECT}build/explore.wasm`));
  return new ExploreMachine(compiled, size);
}
