// Carries out the actions of a scenario on a VM. What the guest meets (errno, exit) is data in the outcome. What a vCPU
// does is a program of one step, or in `parallel` of several.
import { hex } from '../address.ts';
import { SlatboxError } from '../errors.ts';
import type { RequestMethod, RequestName } from '../requests.ts';
import type { PlainStep, Program } from '../threads/program.ts';
import { core, fileWrite, freeReport, ksmScan } from './host-actions.ts';
import { performKvm } from './kvm-actions.ts';
import { isKvmStep } from './kvm-titles.ts';
import { performMigrate } from './migrate-action.ts';
import { isRequest, type Outcome, ofWalk, outcomeOf, titleOf } from './outcome.ts';
import type { ScenarioVm, ScenarioVms } from './port.ts';
import type { Action } from './scenario.ts';

type Size = 1 | 2 | 4 | 8;
/** pvmemcontrol's place on the bus, the default of `bdf`. */
const PVMEMCONTROL = '00:01.0';

function bdfNumber(text: string): number {
  const [bus = 0, device = 0, fn = 0] = text.split(/[:.]/).map((part) => Number.parseInt(part, 16));
  return (bus << 8) | (device << 3) | fn;
}

const method = (name: RequestName): RequestMethod =>
  name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase()) as RequestMethod;

/** What an action may need besides its own VM. */
export interface Around {
  readonly vms: ScenarioVms;
  /** The descriptor that an earlier step has made, by that step's id; undefined where it has not. */
  readonly fdOf: (name: string) => number | undefined;
}

/** Does the action, all but `note`, `sample`, `expect` and `parallel`. */
export function perform(action: Action, vm: ScenarioVm, around: Around): Outcome {
  const { kind, args: a } = action;
  if (kind === 'migrate') return performMigrate(a, vm, around.vms);
  if (isKvmStep(kind)) return performKvm(kind, a, vm, around.fdOf);
  switch (kind) {
    case 'pci.write': {
      vm.pci.configWrite(bdfNumber(a.bdf ?? PVMEMCONTROL), a.off, a.size || 4, Number(a.val));
      return { title: `pci.write ${hex(a.off)}: ${hex(a.val)}`, text: '', fields: { ok: true } };
    }
    case 'pci.read': {
      const value = vm.pci.configRead(bdfNumber(a.bdf ?? PVMEMCONTROL), a.off, a.size || 4);
      const fields = { ok: true, value: BigInt(value) };
      return { title: `pci.read ${hex(a.off)}`, text: hex(value), fields };
    }
    case 'walk':
      return { title: `walk ${hex(a.gpa)}`, ...ofWalk(vm.observe.walk(a.gpa)) };
    case 'file.write':
      return fileWrite(a, vm);
    case 'free-report':
      return freeReport(a, vm);
    case 'ksm.scan':
      return ksmScan(a, vm.host);
    case 'core':
      return core(a, vm);
  }
  const programs: Program[] = Array.from({ length: a.cpu + 1 }, () => []);
  programs[a.cpu] = [stepOf(action, vm)];
  try {
    return outcomeOf(action, vm.runInTurns(programs)[a.cpu]?.[0]);
  } catch (error) {
    return unsent(titleOf(action), error);
  }
}

/** The guest's own doing: a driver that cannot send, since its buffer is locked away (SLB-029); a split lock (SLB-022). */
export function unsent(title: string, error: unknown): Outcome {
  if (!(error instanceof SlatboxError) || !['SLB-022', 'SLB-029'].includes(error.code)) throw error;
  return { title, text: error.message, fields: { ok: false } };
}

/** A guest's action as a step of a program. */
export function stepOf({ kind, args: a }: Action, vm: ScenarioVm): PlainStep {
  const { gpa, len, arg } = a;
  const meant = a.kvm.kind && { as: a.kvm.kind };
  if (isRequest(kind)) return { [method(kind)]: { gpa, len, arg } } as unknown as PlainStep;
  switch (kind) {
    case 'touch':
      return { touch: { gpa, len, write: a.write, ...(a.byte !== undefined && { byte: a.byte }) } };
    case 'fill':
      return { fill: { gpa, len, byte: a.byte ?? 0 } };
    case 'verify':
      return { verify: { gpa, len, byte: a.byte ?? 0 } };
    case 'read':
      return { read: { gpa, len } };
    case 'write':
      return { write: { gpa, bytes: a.bytes } };
    case 'load':
      return { load: { gpa, size: (a.size || 8) as Size, ...meant } };
    case 'store':
      return { store: { gpa, size: (a.size || 8) as Size, val: a.val, ...meant } };
    case 'fetch':
      return { fetch: { gpa } };
    case 'fetch-add':
      return { fetchAdd: { gpa, size: (a.size || 8) as Size, val: a.val } };
    case 'request':
      return { request: { func: a.func, gpa, len, arg } };
    case 'mmio.read':
      return { load: { gpa: bar0(vm, a.off), size: (a.size || 4) as Size } };
    case 'mmio.write':
      return { store: { gpa: bar0(vm, a.off), size: (a.size || 4) as Size, val: a.val } };
    default:
      throw new SlatboxError('SLB-054', `${kind} is nothing that a vCPU does`);
  }
}

const bar0 = (vm: ScenarioVm, off: number): bigint => vm.device.snapshot().barBase + BigInt(off);
