// The format of `driver` recordings: the register accesses of the Linux guest driver, call by call.
// Reference: test/golden/pvmemcontrol/README.md, "Driver".
import type { JsonObject, Where } from './recording.ts';
import { asArray, asInteger, asObject, asU64, at, malformed, parseJson } from './recording.ts';
import { asBytes, asRam, type TransportRam } from './transport-trace.ts';

/** One register access. Doorbells also have the calling cpu and its buffer before and after the write. */
export interface DriverAccess {
  readonly op: 'read' | 'write';
  readonly offset: number;
  readonly size: number;
  readonly value: bigint;
  readonly cpu: number | undefined;
  readonly request: Uint8Array | undefined;
  readonly response: Uint8Array | undefined;
}

/** Fields of the 32 bytes that an ioctl brought back, and its return value. */
export interface IoctlResult {
  readonly ioctl_result: bigint;
  readonly ret_errno: bigint;
  readonly ret_code: bigint;
  readonly ret_value: bigint;
  readonly arg0: bigint;
  readonly arg1: bigint;
}

export type DriverCall =
  | {
      readonly kind: 'probe';
      readonly result: number;
      readonly buffers: readonly bigint[];
      readonly openAfter: number | undefined;
    }
  | { readonly kind: 'open' | 'release' | 'remove'; readonly result: number }
  | {
      readonly kind: 'ioctl';
      readonly request: readonly bigint[];
      /** The recorded ones of the fields. */
      readonly result: ReadonlyMap<keyof IoctlResult, bigint>;
    };

/** A member of a variant: one call of the driver and what it did. */
export interface DriverMember {
  readonly name: string;
  readonly call: DriverCall;
  readonly accesses: readonly DriverAccess[];
}

/** Calls in order on one machine. */
export interface DriverVariant {
  readonly name: string;
  /** The platform writes a 64-bit register in one access: an input, told from the recorded accesses. */
  readonly write64: boolean;
  readonly members: readonly DriverMember[];
}

export interface DriverTrace {
  readonly cpus: number;
  readonly ram: readonly TransportRam[];
  readonly variants: readonly DriverVariant[];
}

const OUTSIDE_RAM = 'probe_with_second_buffer_outside_ram';
const PAYLOAD = 0;
const ERRNO_MAX = 4095;

function parseAccess(value: unknown, where: Where): DriverAccess {
  const access = asObject(value, where);
  if (access.op !== 'read' && access.op !== 'write')
    throw malformed(at(where, 'op'), 'read or write', access.op);
  const size = asInteger(access.size, at(where, 'size'), 1, 8);
  const buffer = (key: string): Uint8Array | undefined =>
    access[key] === undefined ? undefined : asBytes(access[key], at(where, key), 32);
  return {
    op: access.op,
    offset: asInteger(access.offset, at(where, 'offset'), 0, 15),
    size,
    value: asU64(access.value, at(where, 'value')),
    cpu: access.cpu === undefined ? undefined : asInteger(access.cpu, at(where, 'cpu'), 0, 63),
    request: buffer('request'),
    response: buffer('response'),
  };
}

/** The per-CPU buffers as the recorded payload writes give them, whole or in two halves. */
function buffersOf(accesses: readonly DriverAccess[]): bigint[] {
  const payload = accesses.filter(({ op, offset, size }) => op === 'write' && offset + size <= 8);
  const buffers: bigint[] = [];
  for (const { offset, value } of payload) {
    if (offset === PAYLOAD) buffers.push(value);
    else buffers.push((buffers.pop() ?? 0n) | (value << BigInt(8 * offset)));
  }
  return buffers;
}

const asGpas = (value: unknown, where: Where): bigint[] =>
  asArray(value, where).map((gpa, i) => asU64(gpa, at(where, i)));

const asErrno = (value: unknown, where: Where): number => asInteger(value, where, -ERRNO_MAX, 2 ** 32 - 1);

const RESULT_FIELDS = ['ret_errno', 'ret_code', 'ret_value', 'arg0', 'arg1'] as const;

function parseIoctl(member: JsonObject, where: Where): DriverCall {
  const place = at(where, 'result');
  const recorded = asObject(member.result, place);
  const result = new Map<keyof IoctlResult, bigint>();
  result.set('ioctl_result', BigInt(asErrno(recorded.ioctl_result, at(place, 'ioctl_result'))));
  // An ioctl that fails brings nothing back.
  const fields = RESULT_FIELDS.filter((key) => recorded.ioctl_result === 0 || recorded[key] !== undefined);
  for (const key of fields) result.set(key, asU64(recorded[key], at(place, key)));

  // INFO is the one ioctl whose arguments the recording leaves out: it has none.
  if (member.request === undefined) return { kind: 'ioctl', request: [], result };
  const here = at(where, 'request');
  const given = asObject(member.request, here);
  const request = ['func_code', 'addr', 'length', 'arg'].map((key) => asU64(given[key], at(here, key)));
  return { kind: 'ioctl', request, result };
}

function parseMember(name: string, value: unknown, where: Where, config: readonly bigint[]): DriverMember {
  const member = asObject(value, where);
  const here = at(where, 'accesses');
  const accesses = asArray(member.accesses, here).map((access, i) => parseAccess(access, at(here, i)));
  const kind = /^(probe|open|ioctl|release|remove)(?:_|$)/.exec(name)?.[1];
  switch (kind) {
    case 'probe': {
      const recorded = buffersOf(accesses);
      const given = member.percpu_buffer_gpas;
      const all = given === undefined ? config : asGpas(given, at(where, 'percpu_buffer_gpas'));
      const call: DriverCall = {
        kind,
        result: asErrno(member.result, at(where, 'result')),
        // A probe that failed half way has not told the device all of its buffers.
        buffers: all.map((gpa, cpu) => recorded[cpu] ?? gpa),
        openAfter:
          member.open_after === undefined ? undefined : asErrno(member.open_after, at(where, 'open_after')),
      };
      return { name, call, accesses };
    }
    case 'ioctl':
      return { name, call: parseIoctl(member, where), accesses };
    case 'open':
    case 'release':
    case 'remove':
      return {
        name,
        call: { kind, result: member.result === undefined ? 0 : asErrno(member.result, at(where, 'result')) },
        accesses,
      };
    default:
      throw malformed(where, 'a member named probe…, open…, ioctl…, release… or remove…', name);
  }
}

const writes64 = (members: readonly DriverMember[]): boolean =>
  members.some(({ accesses }) =>
    accesses.some(({ op, offset, size }) => op === 'write' && offset === PAYLOAD && size === 8),
  );

/** `driver_message`, `note` and the top-level `ioctl` are informative. */
export function parseDriver(text: string, file: string): DriverTrace {
  const root: Where = { file, path: '' };
  const value = asObject(parseJson(text, file), root);
  const where = at(root, 'config');
  const config = asObject(value.config, where);
  const cpus = asInteger(config.cpus, at(where, 'cpus'), 1, 64);
  const gpas = asGpas(config.percpu_buffer_gpas, at(where, 'percpu_buffer_gpas'));
  if (gpas.length !== cpus)
    throw malformed(at(where, 'percpu_buffer_gpas'), `${cpus} addresses`, gpas.length);

  const place = at(root, 'variants');
  const variants = Object.entries(asObject(value.variants, place)).map(([name, item]): DriverVariant => {
    const here = at(place, name);
    const members = Object.entries(asObject(item, here)).map(([key, member]) =>
      parseMember(key, member, at(here, key), gpas),
    );
    return { name, write64: writes64(members), members };
  });
  if (value[OUTSIDE_RAM] !== undefined) {
    const member = parseMember(OUTSIDE_RAM, value[OUTSIDE_RAM], at(root, OUTSIDE_RAM), gpas);
    variants.push({ name: '', write64: writes64([member]), members: [member] });
  }
  return { cpus, ram: asRam(config.ram, at(where, 'ram')), variants };
}
