// `slatbox smaps`, `memslots`, `walk`, `events`: look at a machine after a run, as an operator or a debugger would.
import { formatAddress, gpa, hex } from '../address.ts';
import { SlatboxError } from '../errors.ts';
import { memoryTypeName } from '../paging/index.ts';
import { formatSize } from '../size.ts';
import type { EventRecord, MemslotUse, Walk, WalkEntry } from '../types.ts';
import { ExitCode } from './diagnostics.ts';
import type { Io } from './io.ts';
import { toJson, toJsonLine } from './json.ts';
import { type BuildOptions, runTo } from './scenarios.ts';

export interface InspectOptions extends BuildOptions {
  readonly at?: string;
  /** Which VM, where there are several; left out: the first. */
  readonly vm?: string;
  readonly format: 'text' | 'json' | 'ndjson';
}

export async function smapsCommand(io: Io, file: string, o: InspectOptions): Promise<ExitCode> {
  const { vm } = await runTo(io, file, o);
  io.out(o.format === 'text' ? vm.observe.smapsText() : toJson({ vmas: vm.observe.vmas() }));
  return ExitCode.Ok;
}

export async function memslotsCommand(io: Io, file: string, o: InspectOptions): Promise<ExitCode> {
  const { vm } = await runTo(io, file, o);
  const memslots = vm.observe.memslots();
  io.out(o.format === 'text' ? formatMemslots(memslots) : toJson({ memslots }));
  return ExitCode.Ok;
}

/** A line for each slot. */
function formatMemslots(slots: readonly MemslotUse[]): string {
  const head = ['id', 'guest-physical', 'size', 'hva', 'flags', 'guest_memfd', 'dirty', '4K', '2M', '1G'];
  const rows = slots.map(({ id, gpa, size, hva, leaves, dirtyPages, ...slot }) => [
    String(id),
    `${hex(gpa)}-${hex(gpa + BigInt(size))}`,
    formatSize(size),
    hex(hva),
    [slot.dirtyLog ? 'log-dirty-pages' : '', slot.readonly ? 'readonly' : ''].filter(Boolean).join(' ') ||
      '-',
    fileText(slot),
    dirtyPages === undefined ? '-' : String(dirtyPages),
    ...[leaves['4k'], leaves['2m'], leaves['1g']].map(String),
  ]);
  const width = head.map((_, i) => Math.max(...[head, ...rows].map((row) => row[i]?.length ?? 0)));
  const isNumber = [true, false, true, false, false, false, true, true, true, true];
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => (isNumber[i] ? cell.padStart(width[i] ?? 0) : cell.padEnd(width[i] ?? 0)))
      .join('  ')
      .trimEnd();
  return `${[head, ...rows].map(line).join('\n')}\n`;
}

/** The guest_memfd of a slot: its descriptor, and where in it the slot begins. */
function fileText({ guestMemfd, guestMemfdOffset, fd }: Partial<MemslotUse>): string {
  if (guestMemfd === undefined) return '-';
  if (guestMemfd === 'closed') return 'closed';
  return `${fd === undefined ? 'no fd' : `fd ${fd}`} +${hex(guestMemfdOffset ?? 0)}`;
}

export async function walkCommand(
  io: Io,
  file: string,
  o: InspectOptions & { readonly gpa: string; readonly bits?: boolean },
): Promise<ExitCode> {
  let at: ReturnType<typeof gpa>;
  try {
    at = gpa(o.gpa);
  } catch (error) {
    if (error instanceof SlatboxError) {
      throw new SlatboxError(
        'SLB-042',
        `--gpa: "${o.gpa}" is not a guest-physical address`,
        'write 0x140203000, 5G+2M …',
      );
    }
    throw error;
  }
  const { vm } = await runTo(io, file, o);
  const walk = vm.observe.walk(at);
  io.out(o.format === 'text' ? formatWalk(walk, o.bits === true) : toJson(walk));
  return ExitCode.Ok;
}

const LEVEL = ['', 'PTE', 'PDE', 'PDPTE', 'PML4E'];
const LEAF_SIZE = ['', '4 KiB', '2 MiB', '1 GiB'];
const PAGE_LETTER: Readonly<Record<string, string>> = {
  '.': 'nothing behind it',
  z: 'the zero page',
  a: 'an anonymous page',
  l: 'an anonymous page, lazily freed',
  d: 'an anonymous page, lazily freed and written again',
  s: 'swapped out',
  x: 'no VMA',
  '-': 'no memslot',
};

/** One line an entry: `PTE[3]  0x…  RWX  → page 0x…`. */
export function formatWalk(walk: Walk, bits: boolean): string {
  const lines = walk.entries.flatMap((e) => [formatEntry(e), ...(bits && e.present ? entryBits(e) : [])]);
  const hva = walk.hva === undefined ? '' : `, hva ${hex(walk.hva)}`;
  lines.push(
    walk.hpa === undefined ? 'not mapped: the next access is a violation' : `HPA ${formatAddress(walk.hpa)}`,
    `behind it: ${PAGE_LETTER[walk.page] ?? walk.page}${walk.slot ? `, memslot ${walk.slot.id}` : ''}${hva}`,
  );
  return `${lines.join('\n')}\n`;
}

function formatEntry(e: WalkEntry): string {
  const name = `${LEVEL[e.level]}[${e.index}]`.padEnd(11);
  const value = `0x${e.value.toString(16).padStart(16, '0')}`;
  if (!e.present) return `${name}${value}  ---  not present`;
  const rights = `${e.read ? 'R' : '-'}${e.write ? 'W' : '-'}${e.execute ? 'X' : '-'}`;
  const to = `${e.leaf ? 'page ' : 'table'} ${hex(e.address)}`;
  const leaf = e.leaf
    ? `  ${LEAF_SIZE[e.level]} ${memoryTypeName(e.memoryType) ?? e.memoryType}${e.ignorePat ? ' ipat' : ''}${e.accessed ? ' A' : ''}${e.dirty ? ' D' : ''}`
    : '';
  return `${name}${value}  ${rights}  → ${to}${leaf}`;
}

/** Bits of an EPT entry. Reference: Intel SDM vol. 3, EPT paging structures. */
function entryBits(e: WalkEntry): string[] {
  const bit = (n: number): number => Number((e.value >> BigInt(n)) & 1n);
  const indent = ' '.repeat(11);
  const low = `bit 0 R=${bit(0)} · 1 W=${bit(1)} · 2 X=${bit(2)}`;
  const type = `5:3 MT=${e.memoryType} (${memoryTypeName(e.memoryType) ?? 'reserved'}) · 6 IPAT=${bit(6)}`;
  const high = `51:12 ${e.leaf ? 'frame' : 'table'} ${hex(e.address >> 12n)} · 63 suppress-#VE=${bit(63)}`;
  return e.leaf
    ? [`${indent}${low} · ${type} · 7 leaf=${bit(7)} · 8 A=${bit(8)} · 9 D=${bit(9)}`, `${indent}${high}`]
    : [`${indent}${low} · 7 leaf=${bit(7)} · 8 A=${bit(8)}`, `${indent}${high}`];
}

export async function eventsCommand(
  io: Io,
  file: string,
  o: InspectOptions & { readonly kind?: readonly string[] },
): Promise<ExitCode> {
  const { vm, vms } = await runTo(io, file, o);
  const names = vms.size > 1 ? [...vms.keys()] : undefined;
  const wanted = (e: EventRecord): boolean =>
    (!o.kind?.length || o.kind.includes(e.kind)) && (o.vm === undefined || e.vm === vm.id);
  const events = vm.host.events.records().filter(wanted);
  if (o.format === 'json') io.out(toJson({ events }));
  else for (const e of events) io.out(o.format === 'ndjson' ? toJsonLine(e) : formatEvent(e, names));
  return ExitCode.Ok;
}

/** `names`: of the VMs, where there are several. */
function formatEvent(e: EventRecord, names: readonly string[] | undefined): string {
  const cause = e.cause > 0 ? `← ${e.cause}` : '';
  const on = `${names ? `${names[e.vm] ?? e.vm} ` : ''}cpu${e.cpu}`;
  return `${String(e.seq).padStart(7)} ${cause.padEnd(9)} ${on} ${e.kind.padEnd(10)} ${e.text}\n`;
}
