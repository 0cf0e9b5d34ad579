// The format of `pci` recordings: content after reset, writable bits, and read/write sequences.
// Reference: test/golden/pvmemcontrol/README.md, "PCI".
import type { BarMove } from '../vmm/pci-config.ts';
import type { Where } from './recording.ts';
import { asArray, asInteger, asObject, asString, at, malformed, parseJson } from './recording.ts';
import { asBytes } from './transport-trace.ts';

export type PciStep =
  | { readonly op: 'config_read'; readonly offset: number; readonly size: number; readonly expect: number }
  | {
      readonly op: 'config_write';
      readonly offset: number;
      readonly size: number;
      readonly value: number;
      readonly moves: readonly BarMove[];
    };

export interface PciCase {
  readonly name: string;
  readonly steps: readonly PciStep[];
}

/** What the function reads as before anything was written, and what can be written. */
export interface PciReset {
  readonly bytes: Uint8Array;
  /** By register offset; a register that is not here is read only. */
  readonly writable: ReadonlyMap<number, number>;
}

export interface PciTrace {
  readonly reset: PciReset;
  readonly cases: readonly PciCase[];
}

/** Numbers of this format are text, `0x…` or decimal, of at most 32 bits. */
function asNumber(value: unknown, where: Where): number {
  const text = asString(value, where);
  const number = /^(?:0x[0-9a-f]{1,8}|[0-9]{1,10})$/i.test(text) ? Number(text) : Number.NaN;
  if (!(number < 2 ** 32)) throw malformed(where, 'a number as text, 0x… or decimal, of 32 bits', value);
  return number;
}

function parseMove(value: unknown, where: Where): BarMove {
  const move = asObject(value, where);
  return {
    from: asNumber(move.from, at(where, 'from')),
    to: asNumber(move.to, at(where, 'to')),
    len: asInteger(move.len, at(where, 'len'), 1),
  };
}

function parseStep(value: unknown, where: Where): PciStep {
  const step = asObject(value, where);
  const integer = (key: string, max: number): number => asInteger(step[key], at(where, key), 0, max);
  const access = { offset: integer('offset', 2 ** 32), size: integer('size', 4096) };
  switch (step.op) {
    case 'config_read':
      return { op: step.op, ...access, expect: asNumber(step.expect, at(where, 'expect')) };
    case 'config_write': {
      const here = at(where, 'moves');
      const moves = step.moves === undefined ? [] : asArray(step.moves, here);
      return {
        op: step.op,
        ...access,
        value: asNumber(step.value, at(where, 'value')),
        moves: moves.map((move, i) => parseMove(move, at(here, i))),
      };
    }
    default:
      throw malformed(at(where, 'op'), 'config_read or config_write', step.op);
  }
}

function parseWritable(value: unknown, where: Where): ReadonlyMap<number, number> {
  return new Map(
    Object.entries(asObject(value, where)).map(([register, bits]) => [
      asNumber(register, where),
      asNumber(bits, at(where, register)),
    ]),
  );
}

/** `fields` names parts of the 256 bytes once more, for readers; `about` is prose. */
export function parsePci(text: string, file: string): PciTrace {
  const root: Where = { file, path: '' };
  const value = asObject(parseJson(text, file), root);
  const rest = at(root, 'bytes_256_to_4095');
  if (value.bytes_256_to_4095 !== 'all zero') throw malformed(rest, '"all zero"', value.bytes_256_to_4095);
  const cases = at(root, 'cases');
  return {
    reset: {
      bytes: asBytes(value.config_space_256_bytes, at(root, 'config_space_256_bytes'), 256),
      writable: parseWritable(value.writable_bits, at(root, 'writable_bits')),
    },
    cases: asArray(value.cases, cases).map((item, i) => {
      const where = at(cases, i);
      const recorded = asObject(item, where);
      const steps = at(where, 'steps');
      return {
        name: asString(recorded.name, at(where, 'name')),
        steps: asArray(recorded.steps, steps).map((step, j) => parseStep(step, at(steps, j))),
      };
    }),
  };
}
