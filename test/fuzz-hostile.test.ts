// "What if the guest sends anything at all?" Register writes, configuration space, request bytes and accesses by the
// million. Nothing may throw, and all invariants stay true. FUZZ_SEED replays a run, FUZZ_STEPS makes it longer.
import { describe, expect, it } from 'vitest';
import type { Gpa } from '../src/address.ts';
import { createHost, type Host, type Vm } from '../src/machine.ts';
import { PVMEMCONTROL_BDF } from '../src/vmm/pci-bus.ts';
import { Random } from './support/random.ts';

const STEPS = Number(process.env.FUZZ_STEPS ?? 1_000_000);
const CHECK_EVERY = 20_000;

const COMMANDS = [0x060fe6d2, 0x0e359539, 0x0ca8d227, 0x030f5da0, 0x03cf5196, 0x01fba249];
const RAM = 4 * 2 ** 20;
const HIGH = 0x1_0000_0000;

async function hostile(
  core: 'release' | 'debug',
  memory: 'plain' | 'threads',
): Promise<{ host: Host; vms: Vm[] }> {
  // Fewer frames than RAM, and a little swap: running out is part of it.
  const host = await createHost({ memory: '3M', swap: '1M', core, wasmMemory: memory });
  const ram = [
    { gpa: 0, size: RAM },
    { gpa: RAM, size: 64 * 4096 },
    { gpa: HIGH, size: 2 ** 20 },
  ];
  return {
    host,
    vms: [host.createVm({ ram, cpus: 2, maxMapCount: 80 }), host.createVm({ ram, cpus: 2, abi: 'memctl' })],
  };
}

/** A guest that holds, locks or closes all memory stops all others: now and then the VMM opens and empties one. */
function reopen(vm: Vm): void {
  for (const { hva, size } of vm.ram) {
    vm.vmm.munlock(hva, BigInt(size));
    vm.vmm.mprotect(hva, BigInt(size), 3);
    vm.vmm.madvise(hva, BigInt(size), 'dontneed');
  }
}

class Attack {
  readonly #r: Random;
  readonly #vm: Vm;
  readonly #bytes = new Uint8Array(32);
  readonly #view = new DataView(this.#bytes.buffer);

  constructor(r: Random, vm: Vm) {
    this.#r = r;
    this.#vm = vm;
  }

  step(): void {
    const r = this.#r;
    switch (r.below(10)) {
      case 0:
        this.#register();
        return;
      case 1:
        this.#garbage();
        return;
      case 2:
        this.#access();
        return;
      case 3:
        if (r.chance(50))
          this.#vm.pci.configWrite(
            r.chance(8) ? r.bits() : PVMEMCONTROL_BDF,
            r.below(300) - 4,
            r.below(6),
            r.bits(),
          );
        return;
      default:
        this.#request();
    }
  }

  #at(): bigint {
    return this.#vm.device.snapshot().barBase;
  }

  /** A plausible command, or a payload. */
  #register(): void {
    const r = this.#r;
    if (r.chance(3)) {
      this.#view.setBigUint64(0, this.#address(), true);
      this.#vm.bus.write(this.#at() as Gpa, this.#bytes.subarray(0, 8));
    } else {
      // READY and REGISTER more often: a device that is always broken runs nothing.
      this.#view.setUint32(0, r.chance(2) ? 0x0e359539 : r.pick(COMMANDS), true);
      this.#vm.bus.write((this.#at() + 8n) as Gpa, this.#bytes.subarray(0, 4));
    }
  }

  /** Any bytes at any offset in any size. */
  #garbage(): void {
    const r = this.#r;
    const size = r.below(33);
    for (let i = 0; i < size; i += 4) this.#view.setUint32(i & 28, r.bits(), true);
    const at = (this.#at() + BigInt(r.below(40)) - 8n) as Gpa;
    if (r.chance(2)) this.#vm.bus.write(at, this.#bytes.subarray(0, size));
    else this.#vm.bus.read(at, this.#bytes.subarray(0, size));
  }

  #access(): void {
    const r = this.#r;
    const size = r.pick([1, 2, 4, 8] as const);
    const gpa = this.#address();
    const on = { cpu: r.below(2) };
    if (r.chance(2)) this.#vm.guest.load(gpa, size, on);
    else if (r.chance(4)) this.#vm.guest.fetch(gpa, on);
    else this.#vm.guest.store(gpa, size, r.bits(), on);
  }

  /** RESET … READY when needed, a request in a buffer, its doorbell. */
  #request(): void {
    const r = this.#r;
    const buffer = BigInt(0x1000 + r.below(4) * 0x1000 - r.below(2) * 16);
    const { state, connectionCount } = this.#vm.device.snapshot();
    if (state !== 'ready') {
      for (const command of [0x060fe6d2, 0x0e359539, 0x0e359539, 0x0ca8d227]) {
        // Buffers in one page and over a page border, of one connection after another.
        this.#view.setBigUint64(0, buffer - BigInt(r.below(2) * 16), true);
        this.#vm.bus.write(this.#at() as Gpa, this.#bytes.subarray(0, 8));
        this.#view.setUint32(0, command, true);
        this.#vm.bus.write((this.#at() + 8n) as Gpa, this.#bytes.subarray(0, 4));
      }
    }
    this.#view.setBigUint64(0, BigInt(r.chance(40) ? r.bits() : r.below(17)), true);
    this.#view.setBigUint64(8, this.#address(), true);
    this.#view.setBigUint64(16, r.chance(10) ? this.#address() : BigInt(r.below(12)) * 2048n, true);
    this.#view.setBigUint64(24, BigInt(r.below(4)), true);
    this.#vm.guest.write(buffer as Gpa, this.#bytes);
    this.#view.setUint32(0, 0x80000000 + r.below(connectionCount + 2), true);
    this.#vm.bus.write((this.#at() + 8n) as Gpa, this.#bytes.subarray(0, 4));
  }

  /** Mostly in RAM and aligned; borders, holes, the device window, and the end of the world. */
  #address(): bigint {
    const r = this.#r;
    switch (r.below(12)) {
      case 0:
        return BigInt(r.pick([RAM, RAM + 64 * 4096, HIGH, HIGH + 2 ** 20])) + BigInt(r.below(16)) - 8n;
      case 1:
        return BigInt(r.bits()) * 0x1_0000_0001n;
      case 2:
        return BigInt.asUintN(64, -BigInt(r.below(5000)));
      case 3:
        return this.#at() + BigInt(r.below(24)) - 4n;
      default:
        return (
          BigInt(r.chance(4) ? HIGH + r.below(256) * 4096 : r.below(1024) * 4096) +
          (r.chance(5) ? BigInt(r.below(4096)) : 0n)
        );
    }
  }
}

describe.each([
  ['release', 'plain'],
  ['debug', 'plain'],
  ['release', 'threads'],
  ['debug', 'threads'],
] as const)('fuzz › hostile guest › %s %s', (core, memory) => {
  // The shared-memory builds run the same code: a tenth is enough to see that they do.
  const steps = memory === 'plain' ? STEPS : STEPS / 10;

  it(`${steps} hostile steps leave all invariants true`, { timeout: 300_000 }, async () => {
    const r = Random.fresh();
    const { host, vms } = await hostile(core, memory);
    const attacks = vms.map((vm) => new Attack(r, vm));
    for (let i = 0; i < steps; i++) {
      try {
        r.pick(attacks).step();
      } catch (error) {
        throw new Error(`seed ${r.seed}, step ${i}`, { cause: error });
      }
      if (i % 2000 === 0) reopen(r.pick(vms));
      if (i % CHECK_EVERY === 0) expect(host.check(), `seed ${r.seed}, step ${i}`).toEqual([]);
    }
    expect(host.check(), `seed ${r.seed}, at the end`).toEqual([]);
    // It must have been an attack, not a row of refusals at the door.
    for (const vm of vms) {
      const counters = vm.observe.counters();
      expect(counters['hostcalls.total'], `seed ${r.seed}`).toBeGreaterThan(steps / 100);
      expect(counters['requests.failed'], `seed ${r.seed}`).toBeGreaterThan(steps / 1000);
    }
  });
});
