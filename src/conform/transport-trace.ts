// The format of `transport` recordings: scripted register and memory accesses with the device's answers.
// Reference: test/golden/pvmemcontrol/README.md, "Format of pvmemcontrol-transport.json".
import type { Where } from './recording.ts';
import { asArray, asInteger, asObject, asString, asU64, at, malformed, parseJson } from './recording.ts';

export interface TransportRam {
  readonly gpa: bigint;
  readonly size: number;
}

export type TransportStep =
  | { readonly op: 'mmio_write'; readonly offset: number; readonly value: Uint8Array }
  | {
      readonly op: 'mmio_read';
      readonly offset: number;
      readonly size: number;
      /** What the reader's buffer holds everywhere before the read. */
      readonly fill: number;
      readonly expect: Uint8Array;
      /** Bits that are compared; ones everywhere when the recording has no mask. */
      readonly mask: Uint8Array;
    }
  | { readonly op: 'mem_write'; readonly gpa: bigint; readonly bytes: Uint8Array }
  | { readonly op: 'mem_fill'; readonly gpa: bigint; readonly len: number; readonly byte: number }
  | { readonly op: 'mem_read'; readonly gpa: bigint; readonly len: number; readonly expect: Uint8Array };

export type Backing = 'private' | 'shared';

export interface TransportCase {
  readonly name: string;
  readonly tags: readonly string[];
  readonly backing: Backing;
  readonly ram: readonly TransportRam[];
  readonly steps: readonly TransportStep[];
}

/** Longer accesses and ranges than this are taken for a damaged file. */
const LEN_MAX = 2 ** 32;
const ACCESS_MAX = 4096;
const FILL_DEFAULT = 0xa5;

export const toHex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

/** Hex text to bytes in memory order; `length` is how many the format wants here. */
export function asBytes(value: unknown, where: Where, length?: number): Uint8Array {
  const text = asString(value, where);
  if (!/^(?:[0-9a-f]{2})*$/i.test(text)) throw malformed(where, 'bytes in hex', value);
  if (length !== undefined && text.length !== 2 * length)
    throw malformed(where, `${length} bytes in hex`, value);
  return Uint8Array.from(text.match(/../g) ?? [], (two) => Number.parseInt(two, 16));
}

export function asBacking(value: unknown, where: Where): Backing {
  if (value !== 'private' && value !== 'shared') throw malformed(where, '"private" or "shared"', value);
  return value;
}

/** RAM regions, as `transport` and the other device formats give them. */
export function asRam(value: unknown, where: Where): TransportRam[] {
  return asArray(value, where).map((item, i) => {
    const here = at(where, i);
    const region = asObject(item, here);
    return {
      gpa: asU64(region.gpa, at(here, 'gpa')),
      size: asInteger(region.size, at(here, 'size'), 1),
    };
  });
}

function parseStep(value: unknown, where: Where): TransportStep {
  const step = asObject(value, where);
  const integer = (key: string, max: number): number => asInteger(step[key], at(where, key), 0, max);
  const bytes = (key: string, length?: number): Uint8Array => asBytes(step[key], at(where, key), length);
  const gpa = (): bigint => asU64(step.gpa, at(where, 'gpa'));
  switch (step.op) {
    case 'mmio_write':
      return {
        op: step.op,
        offset: integer('offset', LEN_MAX),
        value: bytes('value', integer('size', ACCESS_MAX)),
      };
    case 'mmio_read': {
      const size = integer('size', ACCESS_MAX);
      return {
        op: step.op,
        offset: integer('offset', LEN_MAX),
        size,
        fill: step.fill === undefined ? FILL_DEFAULT : (bytes('fill', 1)[0] ?? FILL_DEFAULT),
        expect: bytes('expect', size),
        mask: step.mask === undefined ? new Uint8Array(size).fill(0xff) : bytes('mask', size),
      };
    }
    case 'mem_write':
      return { op: step.op, gpa: gpa(), bytes: bytes('bytes') };
    case 'mem_fill':
      // `byte` is hex text as everywhere else in this format, or a number.
      return {
        op: step.op,
        gpa: gpa(),
        len: integer('len', LEN_MAX),
        byte: typeof step.byte === 'number' ? integer('byte', 0xff) : (bytes('byte', 1)[0] ?? 0),
      };
    case 'mem_read': {
      const len = integer('len', LEN_MAX);
      return { op: step.op, gpa: gpa(), len, expect: bytes('expect', len) };
    }
    default:
      throw malformed(at(where, 'op'), 'a step of the transport format', step.op);
  }
}

export function parseTransport(text: string, file: string): TransportCase[] {
  const root: Where = { file, path: '' };
  return asArray(parseJson(text, file), root).map((item, i) => {
    const where = at(root, i);
    const value = asObject(item, where);
    const list = (key: string): readonly unknown[] => asArray(value[key], at(where, key));
    return {
      name: asString(value.name, at(where, 'name')),
      tags: value.tags === undefined ? [] : list('tags').map((t, j) => asString(t, at(at(where, 'tags'), j))),
      backing: asBacking(value.backing, at(where, 'backing')),
      ram: asRam(value.ram, at(where, 'ram')),
      steps: list('steps').map((step, j) => parseStep(step, at(at(where, 'steps'), j))),
    };
  });
}
