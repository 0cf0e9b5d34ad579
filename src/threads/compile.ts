// Programs as callers write them to ops. Everything that can be wrong is found here, before a vCPU has moved.
import { Func } from '../../assembly/abi/pvmemcontrol.ts';
import { gpa as gpaOf, hex } from '../address.ts';
import type { Ptr } from '../core/exports.ts';
import { SlatboxError } from '../errors.ts';
import { requestCode } from '../guest/requests.ts';
import { checkedSize } from '../guest/vcpu.ts';
import { parseInteger, parseSize } from '../size.ts';
import type { AbiName, MemoryKind } from '../types.ts';
import type { Files } from '../vmm/files.ts';
import type { CallKind, Op, ProgramOp, RepeatOp } from './ops.ts';
import type { Program, ProgramStep, RepeatStep } from './program.ts';

type Args = Readonly<Record<string, unknown>>;
type Number64 = bigint | number | string;

const U64_MAX = (1n << 64n) - 1n;
const MAX_TIMES = 2 ** 32 - 1;
/** Results of a run are kept until its end, and then copied. */
const READ_MAX = 1n << 20n;

/** `dontneed` … by name, as vm.guest.pvmemcontrol has them. */
const FUNCS = new Map(
  Object.entries(Func).flatMap(([name, code]) =>
    typeof code === 'number' ? [[name.charAt(0).toLowerCase() + name.slice(1), code as Func]] : [],
  ),
);

/** Arguments that a step needs, and those that it may have. */
const ARGUMENTS: Readonly<Record<string, readonly [needed: readonly string[], more?: readonly string[]]>> = {
  load: [['gpa'], ['size', 'as']],
  store: [
    ['gpa', 'val'],
    ['size', 'as'],
  ],
  fetch: [['gpa']],
  fetchAdd: [['gpa', 'val'], ['size']],
  touch: [
    ['gpa', 'len'],
    ['write', 'byte'],
  ],
  fill: [['gpa', 'len', 'byte']],
  verify: [['gpa', 'len', 'byte']],
  read: [['gpa'], ['len']],
  write: [['gpa', 'bytes']],
  request: [['func', 'gpa', 'len'], ['arg']],
  vmm: [['call', 'gpa', 'len'], ['arg']],
  setUserMemoryRegion2: [
    ['slot', 'flags', 'guestPhysAddr', 'memorySize', 'userspaceAddr'],
    ['guestMemfd', 'guestMemfdOffset'],
  ],
  setMemoryAttributes: [['address', 'size', 'attributes'], ['flags']],
  getDirtyLog: [['slot']],
  clearDirtyLog: [['slot', 'firstPage', 'numPages']],
  fallocate: [['fd', 'mode', 'offset', 'length']],
  repeat: [
    ['times', 'steps'],
    ['advance', 'span'],
  ],
  info: [[], ['gpa', 'len', 'arg']],
};
const REQUEST: (typeof ARGUMENTS)[string] = [['gpa', 'len'], ['arg']];

/** SlatboxError SLB-010, SLB-022, SLB-023, SLB-054. */
export function compile(
  programs: readonly Program[],
  cpus: number,
  abi: AbiName,
  files: Files,
): ProgramOp[][] {
  if (programs.length > cpus) {
    throw new SlatboxError('SLB-023', `${programs.length} programs`, `this VM has ${cpus} vCPUs: one each`);
  }
  return programs.map((program) => program.map((step) => compileStep(step, abi, files)));
}

function compileStep(step: ProgramStep, abi: AbiName, files: Files): ProgramOp {
  const { kind, args } = parts(step);
  if (kind !== 'repeat') return compilePlain(kind, args, abi, files);
  const { times, advance, span, steps } = (step as RepeatStep).repeat;
  if (!Number.isInteger(times) || times < 0 || times > MAX_TIMES) {
    throw wrong(`repeat: times is ${times}`, 'a whole number below 2^32');
  }
  const repeat: RepeatOp = {
    kind,
    times,
    advance: number64(advance ?? 0, 'advance'),
    span: number64(span ?? 0, 'span'),
    ops: steps.map((inside) => {
      const { kind: plain, args: its } = parts(inside);
      if (plain === 'repeat') throw wrong('a repeat in a repeat', 'one level: more rounds, or more steps');
      return compilePlain(plain, its, abi, files);
    }),
  };
  const moves = repeat.advance | repeat.span;
  if (repeat.ops.some(({ kind: k, size }) => k === 'fetchAdd' && moves % BigInt(size) !== 0n)) {
    throw new SlatboxError('SLB-022', 'a fetchAdd that advances', 'by multiples of its size');
  }
  return repeat;
}

function parts(step: ProgramStep): { kind: string; args: Args } {
  const [[kind, args] = ['nothing', undefined], ...more] = Object.entries(step ?? {}) as [string, unknown][];
  const known = ARGUMENTS[kind] ?? (FUNCS.has(kind) ? REQUEST : undefined);
  if (!known || more.length > 0 || typeof args !== 'object' || args === null) {
    const keys = Object.keys(step ?? {}).join(', ');
    const hint = `one of ${[...new Set([...Object.keys(ARGUMENTS), ...FUNCS.keys()])].join(', ')}`;
    throw wrong(`a step is one action, this has: ${keys || 'nothing'}`, hint);
  }
  const [needed, may = []] = known;
  for (const key of needed) if (!(key in args)) throw wrong(`${kind} needs ${key}`);
  const extra = Object.keys(args).find((key) => !needed.includes(key) && !may.includes(key));
  if (extra) throw wrong(`${kind} has no ${extra}`, `it takes ${[...needed, ...may].join(', ')}`);
  return { kind, args: args as Args };
}

function compilePlain(kind: string, args: Args, abi: AbiName, files: Files): Op {
  const call = compileCall(kind, args, files);
  if (call) return call;
  const func = FUNCS.get(kind);
  const common = {
    gpa: gpaOf((args.gpa ?? 0) as Number64),
    len: number64(args.len ?? (kind === 'read' ? 1 : 0), 'len'),
    size: checkedSize((args.size as number | undefined) ?? 8),
    value: BigInt.asUintN(64, parseInteger((args.val ?? args.arg ?? 0) as Number64, 'value')),
    byte: ((args.byte as number | undefined) ?? (kind === 'touch' ? 1 : 0)) & 255,
    isWrite: args.write === true,
    bytes: Uint8Array.from((args.bytes as Iterable<number> | undefined) ?? []),
    func: 0n,
    ...(args.as !== undefined && { as: memoryKind(args.as) }),
  };
  if (func !== undefined) return { ...common, kind: 'named', func: BigInt(requestCode(abi, func)) };
  if (kind === 'request') return { ...common, kind: 'raw', func: number64(args.func, 'func') };
  if (kind === 'vmm') {
    const request = FUNCS.get(args.call as string);
    if (!request) throw wrong(`vmm: there is no call ${args.call}`, [...FUNCS.keys()].slice(1).join(', '));
    return { ...common, kind, func: BigInt(request) };
  }
  if (kind === 'fetchAdd' && common.gpa % BigInt(common.size) !== 0n) {
    throw new SlatboxError('SLB-022', `a fetchAdd at ${hex(common.gpa)}`, 'a multiple of its size');
  }
  // Loops count pages and bytes as numbers.
  parseSize(common.len, 'len');
  if (kind === 'read' && common.len > READ_MAX) {
    throw new SlatboxError(
      'SLB-022',
      `a read of ${common.len} bytes`,
      'a program reads at most 1 MiB in a step',
    );
  }
  return { ...common, kind: kind as Op['kind'] };
}

function memoryKind(value: unknown): MemoryKind {
  if (value === 'private' || value === 'shared') return value;
  throw wrong(`as: ${value}`, 'private or shared');
}

/** What the VMM's own thread asks of the kernel: what is wrong with it is an errno, when it runs. */
function compileCall(kind: string, args: Args, files: Files): Op | undefined {
  const op = (kind: CallKind, gpa: unknown, len: unknown, value: bigint, func: unknown): Op => ({
    kind,
    gpa: BigInt.asUintN(64, parseInteger((gpa ?? 0) as Number64, kind)),
    len: BigInt.asUintN(64, parseInteger((len ?? 0) as Number64, kind)),
    size: 8,
    value,
    byte: 0,
    isWrite: false,
    bytes: new Uint8Array(),
    func: BigInt.asUintN(32, parseInteger((func ?? 0) as Number64, kind)),
  });
  const value = (key: string): bigint => BigInt.asUintN(64, parseInteger(args[key] as Number64, key));
  const file = (fd: unknown): Ptr => (fd === undefined ? 0 : (files.get(fd as number)?.ptr ?? 0));
  switch (kind) {
    case 'setUserMemoryRegion2':
      return {
        ...op('region', args.guestPhysAddr, args.memorySize, value('userspaceAddr'), args.slot),
        more: {
          flags: Number(args.flags) >>> 0,
          file: file(args.guestMemfd),
          offset: BigInt.asUintN(64, parseInteger((args.guestMemfdOffset ?? 0) as Number64, kind)),
        },
      };
    case 'setMemoryAttributes':
      return op('attributes', args.address, args.size, value('attributes'), args.flags);
    case 'getDirtyLog':
      return op('dirtyLog', 0, 0, 0n, args.slot);
    case 'clearDirtyLog':
      return op('clearLog', 0, args.numPages, value('firstPage'), args.slot);
    case 'fallocate':
      return op('fallocate', args.offset, args.length, BigInt(file(args.fd)), args.mode);
    default:
      return undefined;
  }
}

function number64(value: unknown, what: string): bigint {
  const n = parseInteger(value as Number64, what);
  if (n >= 0n && n <= U64_MAX) return n;
  throw new SlatboxError('SLB-010', `${what}: ${n} is not an unsigned 64-bit number`, 'from 0 to 2^64 - 1');
}

const wrong = (message: string, hint?: string): SlatboxError => new SlatboxError('SLB-054', message, hint);
