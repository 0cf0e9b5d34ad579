// The device's state as a value.
import { DOORBELL_BIT } from '../../assembly/abi/pvmemcontrol.ts';
import type { Gpa } from '../address.ts';
import type { Core } from '../core/core.ts';
import type { Ptr } from '../core/exports.ts';
import { VM_BAR0, VM_DEV_COMMAND, VM_DEV_CONNS, VM_DEV_PAYLOAD, VM_DEV_STATE } from '../core/layout.ts';
import type { AbiName, DeviceSnapshot } from '../types.ts';

const STATES = ['broken', 'init', 'ready'] as const;
/** A snapshot lists at most so many connections; a guest may register half a million. */
const LISTED = 256;

export class DeviceView {
  readonly #core: Core;
  readonly #vm: Ptr;
  readonly #abi: AbiName;

  constructor(core: Core, vm: Ptr, abi: AbiName) {
    this.#core = core;
    this.#vm = vm;
    this.#abi = abi;
  }

  snapshot(): DeviceSnapshot {
    const core = this.#core;
    core.assertAllowed();
    const count = core.readU32(this.#vm + VM_DEV_CONNS);
    const connections = Array.from({ length: Math.min(count, LISTED) }, (_, n) => ({
      id: (DOORBELL_BIT >>> 0) + n,
      gpa: BigInt.asUintN(64, core.x.connectionGpa(this.#vm, n)) as Gpa,
    }));
    return {
      state: STATES[core.readU32(this.#vm + VM_DEV_STATE)] ?? 'broken',
      abi: this.#abi,
      barBase: core.readU64(this.#vm + VM_BAR0) as Gpa,
      payload: core.readU64(this.#vm + VM_DEV_PAYLOAD),
      command: core.readU32(this.#vm + VM_DEV_COMMAND),
      connections,
      connectionCount: count,
    };
  }
}
