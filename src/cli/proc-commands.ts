// `slatbox status`, `smaps-rollup`, `pagemap`, `page-types`: what an operator reads of the VMM in /proc.
import { formatAddress, gpa, hex } from '../address.ts';
import { SlatboxError } from '../errors.ts';
import type { Vm } from '../machine.ts';
import type { PagemapRun } from '../observe/proc-types.ts';
import { formatSize, parseSize } from '../size.ts';
import { ExitCode } from './diagnostics.ts';
import type { InspectOptions } from './inspect-commands.ts';
import type { Io } from './io.ts';
import { toJson } from './json.ts';
import { runTo } from './scenarios.ts';

export async function statusCommand(io: Io, file: string, o: InspectOptions): Promise<ExitCode> {
  const { vm } = await runTo(io, file, o);
  io.out(o.format === 'text' ? vm.observe.statusText() : toJson(vm.observe.status()));
  return ExitCode.Ok;
}

export async function rollupCommand(io: Io, file: string, o: InspectOptions): Promise<ExitCode> {
  const { vm } = await runTo(io, file, o);
  io.out(o.format === 'text' ? vm.observe.smapsRollupText() : toJson(vm.observe.smapsRollup()));
  return ExitCode.Ok;
}

export interface PageTypesCommandOptions extends InspectOptions {
  readonly host?: boolean;
  readonly raw?: boolean;
}

export async function pageTypesCommand(io: Io, file: string, o: PageTypesCommandOptions): Promise<ExitCode> {
  const { vm } = await runTo(io, file, o);
  const of = o.host ? vm.host : vm.observe;
  const options = { raw: o.raw === true };
  io.out(o.format === 'text' ? of.pageTypesText(options) : toJson(of.pageTypes(options)));
  return ExitCode.Ok;
}

export interface PagemapOptions extends InspectOptions {
  readonly gpa?: string;
  readonly len?: string;
  readonly raw?: boolean;
}

export async function pagemapCommand(io: Io, file: string, o: PagemapOptions): Promise<ExitCode> {
  // Before the run, which may take long.
  const wanted = parseRange(o);
  const { vm } = await runTo(io, file, o);
  const runs = hvaRanges(vm, wanted).flatMap(([from, to]) => [...vm.observe.pagemapRuns(from, to)]);
  if (o.format === 'json') io.out(toJson({ runs }));
  else if (o.raw) for (const run of runs) io.out(rawLines(run));
  else io.out(formatRuns(runs));
  return ExitCode.Ok;
}

interface Range {
  readonly gpa: bigint;
  readonly size: number;
}

/** A range of guest-physical memory; undefined: all of it. */
function parseRange({ gpa: at, len }: PagemapOptions): Range | undefined {
  if (at === undefined) {
    if (len === undefined) return undefined;
    throw new SlatboxError('SLB-047', '--len without --gpa', 'say where: --gpa 1G --len 2M');
  }
  const start = orNoRange(`--gpa: "${at}" is not a guest-physical address`, () => gpa(at));
  const size = orNoRange(`--len: "${len}" is not a size`, () => parseSize(len ?? 4096, 'len'));
  if (start % 4096n === 0n && size > 0 && size % 4096 === 0) return { gpa: start, size };
  throw new SlatboxError(
    'SLB-047',
    `--gpa ${at} --len ${len ?? '4K'} is not made of whole pages`,
    'multiples of 4K',
  );
}

function orNoRange<T>(message: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof SlatboxError)
      throw new SlatboxError('SLB-047', message, 'write 0x40000000, 1G+2M …');
    throw error;
  }
}

/** Where the VMM has it mapped. */
function hvaRanges(vm: Vm, wanted: Range | undefined): (readonly [bigint, bigint])[] {
  if (wanted === undefined) return vm.ram.map(({ hva, size }) => [hva, hva + BigInt(size)]);
  const { gpa: start, size } = wanted;
  const region = vm.ram.find((r) => r.gpa <= start && start < r.gpa + BigInt(r.size));
  if (region && start + BigInt(size) <= region.gpa + BigInt(region.size)) {
    const hva = region.hva + (start - region.gpa);
    return [[hva, hva + BigInt(size)]];
  }
  const ram = vm.ram.map((r) => `${formatAddress(r.gpa)} + ${formatSize(r.size)}`).join(', ');
  throw new SlatboxError(
    'SLB-047',
    `${formatAddress(start)} + ${formatSize(size)} is not inside one region of RAM`,
    `RAM is ${ram}`,
  );
}

/** A line a page with its entry in hex, as a dump of the file would have it; pages with nothing are left out. */
function rawLines({ start, pages, entry, swapped, step }: PagemapRun): string {
  if (entry === 0n) return '';
  const by = BigInt(step) << (swapped ? 5n : 0n);
  let lines = '';
  for (let i = 0n; i < BigInt(pages); i++) {
    lines += `${(start + (i << 12n)).toString(16)} ${(entry + i * by).toString(16).padStart(16, '0')}\n`;
  }
  return lines;
}

/** A line for each run. */
function formatRuns(runs: readonly PagemapRun[]): string {
  const width = Math.max(...runs.map(({ pages }) => String(pages).length), 5);
  const head = `${'pages of the VMM'.padEnd(25)}  ${'count'.padStart(width)}  entry\n`;
  return head + runs.map((run) => formatRun(run, width)).join('');
}

function formatRun(run: PagemapRun, width: number): string {
  const { start, pages, present, swapped, file, exclusive, pfn, swapOffset } = run;
  const range = `${start.toString(16)}-${(start + BigInt(pages) * 4096n).toString(16)}`;
  const last = (first: number): string =>
    pages > 1 && run.step === 1 ? `${hex(first)}…${hex(first + pages - 1)}` : hex(first);
  const words = [
    ...(present ? ['present'] : swapped ? ['swapped'] : ['nothing']),
    ...(file ? ['file'] : []),
    ...(exclusive ? ['exclusive'] : []),
    ...(pfn === undefined ? [] : [`pfn ${last(pfn)}`]),
    ...(swapOffset === undefined ? [] : [`swap type 0 offset ${last(swapOffset)}`]),
  ];
  return `${range.padEnd(25)}  ${String(pages).padStart(width)}  ${words.join(' ')}\n`;
}
