// Replays recordings of the guest driver (`slatbox conform driver`): our driver on our machine must make the
// same register accesses. Reference: test/golden/pvmemcontrol/README.md, "Driver".
import { hex } from '../address.ts';
import { type OpenFile, UserBytes } from '../guest/chardev.ts';
import { Driver } from '../guest/driver.ts';
import { decodeResponse, encodeRequest, IOCTL_VMM } from '../guest/uapi.ts';
import { RecordingPort } from './driver-port.ts';
import type { DriverAccess, DriverMember, DriverTrace, DriverVariant, IoctlResult } from './driver-trace.ts';
import { parseDriver } from './driver-trace.ts';
import { type CaseOutcome, type Comparison, type ReplayCase, runCase } from './report.ts';
import { type OpenVm, openRecordedVm } from './transport-door.ts';
import { toHex } from './transport-trace.ts';

const ROOT = { capSysAdmin: true };
const O_RDWR = 2;

const describeAccess = ({ op, offset, size }: DriverAccess): string => `${op} of ${size} at offset ${offset}`;

function compareAccesses(
  wanted: readonly DriverAccess[],
  found: readonly DriverAccess[],
  c: Comparison,
): void {
  for (const [i, access] of wanted.entries()) {
    c.begin(i, describeAccess(access));
    const other = found[i];
    if (!other) c.differ(`${describeAccess(access)}: ${hex(access.value)}`, 'no further access');
    c.equal('access', describeAccess(access), describeAccess(other));
    c.equal('value', hex(access.value), hex(other.value));
    if (access.cpu !== undefined) c.equal('cpu', access.cpu, other.cpu);
    if (access.request) c.equal('request', toHex(access.request), other.request && toHex(other.request));
    if (access.response) c.equal('response', toHex(access.response), other.response && toHex(other.response));
  }
  c.equal('number of accesses', wanted.length, found.length);
}

/** One machine with our driver, on which the members of a variant run in order. */
class DriverMachine {
  readonly #port: RecordingPort;
  readonly #driver: Driver;
  #file: OpenFile | undefined;

  constructor(port: RecordingPort, write64: boolean) {
    this.#port = port;
    this.#driver = new Driver(port, { write64 });
  }

  run({ call, accesses }: DriverMember, c: Comparison): void {
    this.#port.take(); // what a member that broke off left behind
    this.#port.cpu = accesses.find(({ cpu }) => cpu !== undefined)?.cpu ?? 0;
    if (call.kind === 'probe') this.#port.buffers = call.buffers;
    const compareResult = this.#call(call, c);
    compareAccesses(accesses, this.#port.take(), c);
    compareResult();
  }

  /** Makes the call and returns the comparison of its result: accesses differ first when both do. */
  #call(call: DriverMember['call'], c: Comparison): () => void {
    switch (call.kind) {
      case 'probe': {
        const result = this.#driver.probe();
        const opened = call.openAfter === undefined ? undefined : this.#driver.open(O_RDWR, ROOT);
        return () => {
          c.equal('result', call.result, result);
          if (call.openAfter !== undefined) c.equal('open_after', call.openAfter, errnoOf(opened));
        };
      }
      case 'open': {
        const file = this.#driver.open(O_RDWR, ROOT);
        if (typeof file !== 'number') this.#file = file;
        return () => c.equal('result', call.result, errnoOf(file));
      }
      case 'ioctl': {
        const found = this.#ioctl(call.request);
        return () => {
          for (const [key, value] of call.result) c.equal(key, value, found[key]);
        };
      }
      case 'release': {
        const result = this.#file?.release();
        return () => c.equal('result', call.result, result);
      }
      case 'remove': {
        const result = this.#driver.remove();
        return () => c.equal('result', call.result, result);
      }
    }
  }

  #ioctl([func = 0n, addr = 0n, length = 0n, arg = 0n]: readonly bigint[]): IoctlResult {
    if (!this.#file) throw new Error('ioctl without an open file: no open went before');
    const bytes = encodeRequest(func, addr, length, arg);
    const result = this.#file.ioctl(IOCTL_VMM, new UserBytes(bytes));
    const { errno, code, value, arg0, arg1 } = decodeResponse(bytes);
    return {
      ioctl_result: BigInt(result),
      ret_errno: BigInt(errno),
      ret_code: BigInt(code),
      ret_value: value,
      arg0,
      arg1,
    };
  }
}

const errnoOf = (opened: OpenFile | number | undefined): number => (typeof opened === 'number' ? opened : 0);

/** Runs members of one variant; those in front of the wanted one run first, whether they were selected or not. */
class VariantReplay {
  readonly #trace: DriverTrace;
  readonly #variant: DriverVariant;
  readonly #open: OpenVm;
  #machine: DriverMachine | undefined;
  #next = 0;

  constructor(trace: DriverTrace, variant: DriverVariant, open: OpenVm) {
    this.#trace = trace;
    this.#variant = variant;
    this.#open = open;
  }

  async run(index: number): Promise<CaseOutcome> {
    if (index < this.#next) {
      this.#machine = undefined;
      this.#next = 0;
    }
    while (this.#next < index) await this.#runNext();
    return this.#runNext();
  }

  #runNext(): Promise<CaseOutcome> {
    const member = this.#variant.members[this.#next++] as DriverMember;
    return runCase(member.accesses.length, async (c) => {
      this.#machine ??= await this.#start();
      this.#machine.run(member, c);
    });
  }

  async #start(): Promise<DriverMachine> {
    const { ram, cpus } = this.#trace;
    const vm = await openRecordedVm(this.#open, { backing: 'private', ram }, { cpus });
    return new DriverMachine(new RecordingPort(vm, cpus), this.#variant.write64);
  }
}

/** The cases of a `driver` file: each member of a variant, `VARIANT/MEMBER`, and the probe that fails. */
export function driverCases(text: string, file: string, open: OpenVm): ReplayCase[] {
  const trace = parseDriver(text, file);
  return trace.variants.flatMap((variant) => {
    const replay = new VariantReplay(trace, variant, open);
    return variant.members.map((member, index) => ({
      file,
      name: variant.name === '' ? member.name : `${variant.name}/${member.name}`,
      tags: [],
      properties: { variant: variant.name, member: member.name },
      run: () => replay.run(index),
    }));
  });
}
