// `slatbox core`: the core file that Linux would write of the VMM after a run.
import { resolve } from 'node:path';
import { hex } from '../address.ts';
import { SlatboxError } from '../errors.ts';
import type { CoreDump, CoreDumpTotals, CoreDumpVma } from '../observe/core-types.ts';
import { formatSize } from '../size.ts';
import { ExitCode } from './diagnostics.ts';
import type { InspectOptions } from './inspect-commands.ts';
import type { Io } from './io.ts';
import { toJson } from './json.ts';
import { orUnwritable } from './output-file.ts';
import { Progress } from './progress.ts';
import { runTo } from './scenarios.ts';

export interface CoreOptions extends InspectOptions {
  readonly output?: string;
  readonly filter?: string;
}

export async function coreCommand(io: Io, file: string, o: CoreOptions): Promise<ExitCode> {
  // Before the run, which may take long.
  const filter = o.filter === undefined ? undefined : parseFilter(o.filter);
  if (o.output !== undefined) assertOutput(o.output, file);
  const { vm } = await runTo(io, file, o);
  const dump = vm.observe.coreDump(filter === undefined ? {} : { filter });
  if (o.output !== undefined) writeFile(io, dump, o.output);
  const { size, segments, listing } = dump;
  io.out(
    o.format === 'text'
      ? formatDump(dump, o.output)
      : toJson({ size, ...listing, filter: hex(listing.filter), segments }),
  );
  return ExitCode.Ok;
}

/** As /proc/PID/coredump_filter prints it: hex, with 0x or without. */
function parseFilter(text: string): number {
  if (/^(0x)?[0-9a-f]{1,8}$/i.test(text)) return Number.parseInt(text, 16);
  throw new SlatboxError(
    'SLB-045',
    `--filter: "${text}" is no coredump_filter`,
    'write hex: 33 is what Linux has by default; bits 0 private, 1 shared memory, 5 and 6 the same of hugetlb',
  );
}

function assertOutput(output: string, file: string): void {
  if (output === '-') {
    throw new SlatboxError('SLB-046', 'a core file does not go to stdout', 'name a file: --output vmm.core');
  }
  if (resolve(output) === resolve(file)) {
    throw new SlatboxError('SLB-046', `${output} is the scenario itself`, 'name another file');
  }
}

function writeFile(io: Io, dump: CoreDump, output: string): void {
  orUnwritable(output, () => {
    const to = io.create(output);
    const progress = new Progress(io, dump.listing.stored, true, formatSize);
    let done = 0;
    try {
      for (const { offset, bytes } of dump.chunks()) {
        to.write(bytes, offset);
        done += bytes.length;
        progress.at(done);
      }
      to.finish(dump.size);
    } catch (error) {
      to.discard();
      throw error;
    } finally {
      progress.clear();
    }
  });
}

const HEAD = ['mapping', 'perm', 'size', 'dumped', 'resident', 'swapped', 'flags', 'left out because'];
/** Columns of numbers, which stand right. */
const RIGHT = [2, 3, 4, 5];

/** A line for each VMA, then sums, then the file. */
function formatDump({ size, listing }: CoreDump, output: string | undefined): string {
  const rows = [HEAD, ...listing.vmas.map(cells)];
  const width = HEAD.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, i) => (RIGHT.includes(i) ? cell.padStart(width[i] ?? 0) : cell.padEnd(width[i] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
  const holes = `${formatSize(listing.stored)} of it stored, the rest holes`;
  lines.push(
    `dumped    ${total(listing.dumped)}`,
    `left out  ${total(listing.leftOut)}`,
    `core file ${formatSize(size)} with coredump_filter ${hex(listing.filter)}, ${holes}`,
  );
  if (output !== undefined) lines.push(`written to ${output}`);
  return `${lines.join('\n')}\n`;
}

function cells(vma: CoreDumpVma): string[] {
  const range = `${vma.start.toString(16)}-${vma.end.toString(16)}`;
  const counts = [formatSize(vma.size), formatSize(vma.dumped), String(vma.resident), String(vma.swapped)];
  return [range, vma.perm, ...counts, vma.flags.join(' '), vma.reason ?? ''];
}

const total = ({ bytes, resident, swapped }: CoreDumpTotals): string =>
  `${formatSize(bytes)}, ${resident} resident and ${swapped} swapped pages`;
