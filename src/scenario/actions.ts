// Carries out one action of a scenario on a VM. What the guest meets (errno, exit) is data in the outcome.
import { Errno } from '../../assembly/abi/errno.ts';
import { hex } from '../address.ts';
import { SlatboxError } from '../errors.ts';
import { formatSize } from '../size.ts';
import type { Access, Exit, Response, Walk } from '../types.ts';
import type { ScenarioVm } from './port.ts';
import type { Action, Args } from './scenario.ts';
import { REQUESTS, type RequestMethod, type RequestName } from './schema.ts';

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
  /** Of verify: whether it held. */
  readonly holds?: boolean;
}

type Size = 1 | 2 | 4 | 8;
/** pvmemcontrol's place on the bus, the default of `bdf`. */
const PVMEMCONTROL = '00:01.0';

export const isRequest = (kind: string): kind is RequestName =>
  (REQUESTS as readonly string[]).includes(kind);

const errnoText = (errno: number): string => (errno === 0 ? 'ok' : `${Errno[errno] ?? 'errno'} (${errno})`);
const exitText = (exit: Exit | undefined): string => (exit ? `exit ${exit.reason} at ${hex(exit.gpa)}` : '');

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

const place = (a: Args): string =>
  `${sizeText(a.gpa)}${a.len > 0n ? ` +${sizeText(a.len)}` : ''}${a.cpu > 0 ? ` cpu${a.cpu}` : ''}`;
const withSize = (a: Args, size: number): string =>
  `${size} ${size === 1 ? 'byte' : 'bytes'} at ${hex(a.gpa)}`;

function ofExit(exit: Exit | undefined, more: Fields = {}): Pick<Outcome, 'fields' | 'text' | 'exit'> {
  return {
    text: exitText(exit),
    fields: { exit: exit?.reason ?? 'none', ok: exit === undefined, ...(exit && { gpa: exit.gpa }), ...more },
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

/** SLB-029, a driver that cannot send, is the guest's own doing here: it may have locked its buffer away. */
function sent(send: () => Response): Pick<Outcome, 'fields' | 'text' | 'response'> {
  try {
    return ofResponse(send());
  } catch (error) {
    if (!(error instanceof SlatboxError) || error.code !== 'SLB-029') throw error;
    return { text: error.message, fields: { ok: false } };
  }
}

function ofWalk(walk: Walk): Pick<Outcome, 'fields' | 'text'> {
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

function bdfNumber(text: string): number {
  const [bus = 0, device = 0, fn = 0] = text.split(/[:.]/).map((part) => Number.parseInt(part, 16));
  return (bus << 8) | (device << 3) | fn;
}

const method = (name: RequestName): RequestMethod =>
  name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase()) as RequestMethod;

/** Does the action, all but `note` and `expect`. */
export function perform(action: Action, vm: ScenarioVm): Outcome {
  const { kind, args: a } = action;
  const { guest } = vm;
  const cpu = { cpu: a.cpu };
  const range = { gpa: a.gpa, len: a.len, ...cpu };
  const title = `${kind} ${place(a)}`;

  if (isRequest(kind)) {
    const named = kind === 'info' && a.len === 0n ? 'info' : title;
    return { title: named, ...sent(() => guest.pvmemcontrol[method(kind)]({ ...range, arg: a.arg })) };
  }
  switch (kind) {
    case 'touch': {
      const done = guest.touch({ ...range, write: a.write, ...(a.byte !== undefined && { byte: a.byte }) });
      return { title: `${title}${a.write ? ' write' : ''}`, ...ofExit(done.exit, { pages: done.pages }) };
    }
    case 'fill': {
      const done = guest.fill({ ...range, byte: a.byte ?? 0 });
      return { title: `${title} with ${hex(a.byte ?? 0)}`, ...ofExit(done.exit, { pages: done.pages }) };
    }
    case 'verify': {
      const { differs, exit } = guest.verify({ ...range, byte: a.byte ?? 0 });
      const outcome = ofExit(exit, differs === undefined ? {} : { gpa: differs });
      const text = differs === undefined ? outcome.text : `differs at ${hex(differs)}`;
      const holds = differs === undefined && exit === undefined;
      return { title: `${title} is ${hex(a.byte ?? 0)}`, ...outcome, text, holds };
    }
    case 'read': {
      const got = guest.read(a.gpa, a.len, cpu);
      if (!(got instanceof Uint8Array)) return { title, ...ofExit(got) };
      const shown = [...got.subarray(0, 8)].map((b) => b.toString(16).padStart(2, '0')).join(' ');
      return {
        title,
        text: got.length > 8 ? `${shown} …` : shown,
        fields: { exit: 'none', ok: true, value: BigInt(got[0] ?? 0) },
      };
    }
    case 'write':
      return { title: `write ${withSize(a, a.bytes.length)}`, ...ofExit(guest.write(a.gpa, a.bytes, cpu)) };
    case 'load': {
      const size = (a.size || 8) as Size;
      return { title: `load ${withSize(a, size)}`, ...ofAccess(guest.load(a.gpa, size, cpu), true) };
    }
    case 'store': {
      const size = (a.size || 8) as Size;
      const access = guest.store(a.gpa, size, BigInt.asUintN(size * 8, a.val), cpu);
      return { title: `store ${withSize(a, size)}: ${hex(a.val)}`, ...ofAccess(access, false) };
    }
    case 'fetch':
      return { title: `fetch at ${hex(a.gpa)}`, ...ofAccess(guest.fetch(a.gpa, cpu), false) };
    case 'request':
      return { title: `request ${hex(a.func)} ${place(a)}`, ...ofResponse(rawRequest(vm, a)) };
    case 'mmio.write': {
      const size = (a.size || 4) as Size;
      const at = vm.device.snapshot().barBase + BigInt(a.off);
      const access = guest.store(at, size, BigInt.asUintN(size * 8, a.val), cpu);
      return { title: `mmio.write BAR0+${a.off}: ${hex(a.val)}`, ...ofAccess(access, false) };
    }
    case 'mmio.read': {
      const size = (a.size || 4) as Size;
      const at = vm.device.snapshot().barBase + BigInt(a.off);
      return { title: `mmio.read BAR0+${a.off}`, ...ofAccess(guest.load(at, size, cpu), true) };
    }
    case 'pci.write': {
      vm.pci.configWrite(bdfNumber(a.bdf ?? PVMEMCONTROL), a.off, a.size || 4, Number(a.val));
      return { title: `pci.write ${hex(a.off)}: ${hex(a.val)}`, text: '', fields: { ok: true } };
    }
    case 'pci.read': {
      const value = vm.pci.configRead(bdfNumber(a.bdf ?? PVMEMCONTROL), a.off, a.size || 4);
      return {
        title: `pci.read ${hex(a.off)}`,
        text: hex(value),
        fields: { ok: true, value: BigInt(value) },
      };
    }
    case 'walk':
      return { title: `walk ${hex(a.gpa)}`, ...ofWalk(vm.observe.walk(a.gpa)) };
    case 'note':
    case 'expect':
      return { title: kind, text: '', fields: {} };
  }
}

/** Any function code, known or not, through the driver that the named requests use too. */
function rawRequest(vm: ScenarioVm, a: Args): Response | number {
  const { driver } = vm.guest;
  if (!driver.bound) {
    const err = driver.probe();
    if (err !== 0) return err;
  }
  return driver.vmmCall(a.func, a.gpa, a.len, a.arg, a.cpu);
}

/** `rss 1 GiB → 512 MiB` and the other counters that an action moved. */
export function changesText(
  before: Readonly<Record<string, number>>,
  after: Readonly<Record<string, number>>,
): string {
  const parts: string[] = [];
  const change = (name: string): number => (after[name] ?? 0) - (before[name] ?? 0);
  const counted = (name: string, one: string, many = `${one}s`): void => {
    const n = change(name);
    if (n > 0) parts.push(`${n} ${n === 1 ? one : many}`);
  };
  counted('faults.minor', 'fault');
  counted('faults.major', 'swap-in');
  counted('hostcalls.total', 'host call');
  counted('slat.zapped', 'zapped entry', 'zapped entries');
  counted('reclaim.lazyfree', 'lazily freed page dropped', 'lazily freed pages dropped');
  counted('reclaim.swapout', 'page swapped out', 'pages swapped out');
  for (const [name, label] of [
    ['host.rss', 'rss'],
    ['host.swap', 'swap'],
  ] as const) {
    if (change(name) !== 0)
      parts.push(`${label} ${formatSize(before[name] ?? 0)} → ${formatSize(after[name] ?? 0)}`);
  }
  return parts.join('  ');
}
