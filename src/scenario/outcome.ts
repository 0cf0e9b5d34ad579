// What came of an action, in words and as fields. A result is the same whether the main thread called the guest or the
// vCPU's own thread did, so it is described here once.
import { Errno } from '../../assembly/abi/errno.ts';
import { hex } from '../address.ts';
import type { MigrationRound } from '../machine.ts';
import { REQUESTS, type RequestName } from '../requests.ts';
import type { ProgramResult } from '../threads/program.ts';
import type { Access, Exit, LoopEnd, Response, Verified, Walk } from '../types.ts';
import type { Action, Args } from './scenario.ts';

export type FieldValue = number | bigint | string | boolean | null;
export type Fields = Readonly<Record<string, FieldValue>>;

export interface Outcome {
  /** The action and its arguments: `dontneed 1G +512M`. */
  readonly title: string;
  /** What came of it, where that is not in the counters: `EINVAL (22)`. */
  readonly text: string;
  /** What `id.field` means in a later expect; `value` is also the value that `as` names. */
  readonly fields: Fields;
  readonly exit?: Exit;
  readonly response?: Response;
  /** Of migrate. */
  readonly rounds?: readonly MigrationRound[];
  /** Of verify: whether it held. */
  readonly holds?: boolean;
}

export const isRequest = (kind: string): kind is RequestName =>
  (REQUESTS as readonly string[]).includes(kind);

export const errnoText = (errno: number): string =>
  errno === 0 ? 'ok' : `${Errno[errno] ?? 'errno'} (${errno})`;
/** Of MEMORY_FAULT with the kind that the guest wanted. */
const exitText = (exit: Exit | undefined): string =>
  exit
    ? `exit ${exit.reason} at ${hex(exit.gpa)}${exit.reason === 'MEMORY_FAULT' ? kindText(exit.flags) : ''}`
    : '';
const kindText = (flags: bigint): string => (flags === 0n ? ', as shared' : ', as private');

/** `1G`, `4K`, `0x1234`: a number as a scenario would write it. */
export function sizeText(n: bigint): string {
  for (const [unit, shift] of [
    ['T', 40n],
    ['G', 30n],
    ['M', 20n],
    ['K', 10n],
  ] as const) {
    if (n > 0n && n % (1n << shift) === 0n && n >> shift < 4096n) return `${n >> shift}${unit}`;
  }
  return n < 4096n ? String(n) : hex(n);
}

export const place = (a: Args): string =>
  `${sizeText(a.gpa)}${a.len > 0n ? ` +${sizeText(a.len)}` : ''}${a.cpu > 0 ? ` cpu${a.cpu}` : ''}`;
const withSize = (a: Args, size: number): string =>
  `${size} ${size === 1 ? 'byte' : 'bytes'} at ${hex(a.gpa)}${a.kvm.kind ? ` as ${a.kvm.kind}` : ''}`;

function ofExit(exit: Exit | undefined, more: Fields = {}): Pick<Outcome, 'fields' | 'text' | 'exit'> {
  return {
    text: exitText(exit),
    fields: {
      exit: exit?.reason ?? 'none',
      ok: exit === undefined,
      ...(exit && { gpa: exit.gpa }),
      ...(exit?.reason === 'MEMORY_FAULT' && { flags: exit.flags }),
      ...more,
    },
    ...(exit && { exit }),
  };
}

/** An access that finished may still have left the guest: MMIO that no device claimed. */
function ofAccess(access: Access, shown: boolean): Pick<Outcome, 'fields' | 'text' | 'exit'> {
  if (!access.ok) return ofExit(access.exit);
  const unclaimed = access.exits[0];
  return {
    text: [shown ? hex(access.value) : '', exitText(unclaimed)].filter(Boolean).join(', '),
    fields: { exit: unclaimed?.reason ?? 'none', ok: true, value: access.value },
  };
}

function ofResponse(answer: Response | number): Pick<Outcome, 'fields' | 'text' | 'response'> {
  if (typeof answer === 'number') {
    // The driver refused before the device was asked: its errors are negative errno numbers.
    return { text: `driver: ${errnoText(-answer)}`, fields: { errno: -answer, code: 0, ok: false } };
  }
  const { errno, code, value, arg0, arg1 } = answer;
  return {
    text: `${errnoText(errno)}${errno !== 0 && code !== 0 ? ` code ${code}` : ''}`,
    fields: { errno, code, value, arg0, arg1, ok: errno === 0 && code === 0 },
    response: answer,
  };
}

export function ofWalk(walk: Walk): Pick<Outcome, 'fields' | 'text'> {
  const leaf = walk.entries.find((e) => e.leaf && e.present);
  const mapped = walk.hpa !== undefined;
  return {
    text: `${mapped ? `maps ${hex(walk.hpa ?? 0n)}` : 'not mapped'}, page ${walk.page}`,
    fields: {
      mapped,
      page: walk.page,
      level: leaf?.level ?? null,
      read: leaf?.read ?? false,
      write: leaf?.write ?? false,
      execute: leaf?.execute ?? false,
      hpa: walk.hpa ?? null,
    },
  };
}

type Said = Pick<Outcome, 'fields' | 'text' | 'exit' | 'response' | 'holds'>;

function ofVerify({ differs, exit }: Verified): Said {
  const said = ofExit(exit, differs === undefined ? {} : { gpa: differs });
  const text = differs === undefined ? said.text : `differs at ${hex(differs)}`;
  return { ...said, text, holds: differs === undefined && exit === undefined };
}

function ofBytes(got: Uint8Array | Exit): Said {
  if (!(got instanceof Uint8Array)) return ofExit(got);
  const shown = [...got.subarray(0, 8)].map((b) => b.toString(16).padStart(2, '0')).join(' ');
  return {
    text: got.length > 8 ? `${shown} …` : shown,
    fields: { exit: 'none', ok: true, value: BigInt(got[0] ?? 0) },
  };
}

function ofLoop({ pages, exit }: LoopEnd): Said {
  return ofExit(exit, { pages });
}

/** `dontneed 1G +512M`: a guest's action and its arguments. */
export function titleOf({ kind, args: a }: Action): string {
  const title = `${kind} ${place(a)}`;
  const on = a.cpu > 0 ? ` cpu${a.cpu}` : '';
  switch (kind) {
    case 'info':
      return a.len === 0n ? `info${on}` : title;
    case 'touch':
      return `${title}${a.write ? ' write' : ''}`;
    case 'fill':
      return `${title} with ${hex(a.byte ?? 0)}`;
    case 'verify':
      return `${title} is ${hex(a.byte ?? 0)}`;
    case 'write':
      return `write ${withSize(a, a.bytes.length)}`;
    case 'load':
      return `load ${withSize(a, a.size || 8)}`;
    case 'store':
      return `store ${withSize(a, a.size || 8)}: ${hex(a.val)}`;
    case 'fetch-add':
      return `fetch-add ${withSize(a, a.size || 8)}: ${hex(a.val)}`;
    case 'fetch':
      return `fetch at ${hex(a.gpa)}`;
    case 'request':
      return `request ${hex(a.func)} ${place(a)}`;
    case 'mmio.write':
      return `mmio.write BAR0+${a.off}: ${hex(a.val)}`;
    case 'mmio.read':
      return `mmio.read BAR0+${a.off}`;
    default:
      return title;
  }
}

/** The outcome of a guest's action that came back as `result`. */
export function outcomeOf(action: Action, result: ProgramResult): Outcome {
  return { title: titleOf(action), ...said(action, result) };
}

function said({ kind }: Action, result: ProgramResult): Said {
  switch (kind) {
    case 'touch':
    case 'fill':
      return ofLoop(result as LoopEnd);
    case 'verify':
      return ofVerify(result as Verified);
    case 'read':
      return ofBytes(result as Uint8Array | Exit);
    case 'write':
      return ofExit(result as Exit | undefined);
    case 'load':
    case 'fetch-add':
    case 'mmio.read':
      return ofAccess(result as Access, true);
    case 'store':
    case 'fetch':
    case 'mmio.write':
      return ofAccess(result as Access, false);
    default:
      return ofResponse(result as Response | number);
  }
}
