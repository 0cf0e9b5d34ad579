// Replays recordings of Linux memory management (`slatbox conform mm`) on whatever stands behind an MmDoor.
// Reference: test/golden/mm/README.md, section "Replaying one".
import { Errno } from '../../assembly/abi/errno.ts';
import type { HostAccess } from '../types.ts';
import type { MadviseAdvice, MmDoor, MmSizes, MmVma } from './mm-door.ts';
import { type MmState, type MmStep, type MmTrace, parseMmTrace } from './mm-trace.ts';
import { type Comparison, type ReplayCase, runCase } from './report.ts';

/** Makes a fresh mapping for a trace; throws where this mode of mapping cannot be had. */
export type OpenMmDoor = (trace: MmTrace) => MmDoor | Promise<MmDoor>;

/** `3a12.z`: runs of the same letter with their count. */
export const runLengths = (letters: string): string =>
  letters.replace(/(.)\1*/g, (run, letter: string) => (run.length > 1 ? `${run.length}${letter}` : letter));

function formatVma({ start, end, perm, flags, sizes }: MmVma): string {
  const told = Object.entries(sizes).filter(([, kb]) => kb !== 0);
  return `[${start},${end}) ${perm} (${[...flags].sort().join(' ')})${told.map(([k, kb]) => ` ${k}=${kb}`).join('')}`;
}

const formatState = ({ vmas, letters }: Pick<MmState, 'vmas' | 'letters'>): string =>
  `${vmas.map(formatVma).join(', ')}; ${runLengths(letters)}`;

/** VMAs as a list first, then their sizes, then the letters: the order in which a difference explains most. */
function compareState(wanted: MmState, door: MmDoor, c: Comparison): void {
  const found = { vmas: door.vmas(), letters: door.letters() };
  const states = () => [formatState(wanted), formatState(found)] as const;
  c.equal('number of VMAs', wanted.vmas.length, found.vmas.length, states);
  for (const [i, vma] of wanted.vmas.entries()) {
    const other = found.vmas[i] as MmVma;
    c.equal(`vmas[${i}].start`, vma.start, other.start, states);
    c.equal(`vmas[${i}].end`, vma.end, other.end, states);
    c.equal(`vmas[${i}].perm`, vma.perm, other.perm, states);
    c.equal(`vmas[${i}].flags`, [...vma.flags].sort().join(' '), [...other.flags].sort().join(' '), states);
  }
  for (const [i, vma] of wanted.vmas.entries()) {
    for (const key of Object.keys(vma.sizes) as (keyof MmSizes)[]) {
      c.equal(`vmas[${i}].${key} (kB)`, vma.sizes[key], (found.vmas[i] as MmVma).sizes[key], states);
    }
  }
  c.equal('pages', runLengths(wanted.letters), runLengths(found.letters), states);
  // Anonymous memory has no file, so it holds no blocks.
  if (wanted.blocks !== undefined) c.equal('blocks', wanted.blocks, door.blocks?.() ?? 0, states);
}

const PROT: Readonly<Record<string, number>> = { mprot_none: 0, mprot_r: 1, mprot_w: 2, mprot_rw: 3 };

function callRange(op: string, start: bigint, len: bigint, door: MmDoor): number {
  const prot = PROT[op];
  if (prot !== undefined) return door.mprotect(start, len, prot);
  if (op === 'mlock' || op === 'munlock' || op === 'munmap') return door[op](start, len);
  return door.madvise(start, len, op as MadviseAdvice);
}

/** `EINVAL`; undefined for success. */
export const errnoName = (errno: number): string | undefined =>
  errno === Errno.OK ? undefined : (Errno[errno] ?? `errno ${errno}`);
const faultName = (access: HostAccess): string | undefined =>
  access.ok ? undefined : `${access.signal} ${access.code}`;

/** Does one step and compares what the call or access itself gave. */
function doStep(step: MmStep, pages: number, door: MmDoor, c: Comparison): void {
  const { op, action } = step;
  switch (action.kind) {
    case 'range': {
      const errno = callRange(op, action.start, action.len, door);
      c.equal('ret', step.ret, errno === Errno.OK ? 0 : -1);
      c.equal('errno', step.errno, errnoName(errno));
      return;
    }
    case 'read':
    case 'write': {
      const read = action.kind === 'read';
      const access = read ? door.hostRead(action.page) : door.hostWrite(action.page, action.byte);
      c.equal('ret', step.ret, access.ok ? 0 : -1);
      c.equal('fault', step.fault, faultName(access));
      if (read) c.equal('val', step.val, access.ok ? access.value : undefined);
      return;
    }
    case 'dump':
      for (let page = 0; page < pages; page++) {
        const access = door.hostRead(page);
        c.equal(`data of page ${page}`, step.data?.[page], access.ok ? access.value : -1);
      }
      return;
    case 'ksm_settle':
      if (!door.ksmSettle) c.differ('four scans of KSM', 'no KSM scanner');
      door.ksmSettle();
  }
}

/** Text of a step for messages, with its arguments as the recording has them. */
function describeStep({ op, action }: MmStep): string {
  switch (action.kind) {
    case 'range': {
      const { start, len } = action;
      const whole = start % 4096n === 0n && len % 4096n === 0n;
      return whole ? `${op} ${start / 4096n} ${len / 4096n}` : `${op} at byte ${start}, ${len} bytes`;
    }
    case 'read':
      return `${op} ${action.page}`;
    case 'write':
      return `${op} ${action.page} ${action.byte}`;
    default:
      return op;
  }
}

/** Replays one trace; the first difference ends it. */
export function replayMm(trace: MmTrace, open: OpenMmDoor) {
  return runCase(trace.steps.length, async (c) => {
    const door = await open(trace);
    let state = trace.init;
    compareState(state, door, c);
    for (const [i, step] of trace.steps.entries()) {
      c.begin(i, describeStep(step));
      doStep(step, trace.pages, door, c);
      state = { ...state, ...step.state };
      compareState(state, door, c);
    }
  });
}

/** The case of one `mm` file: the file is the case. */
export function mmCases(text: string, file: string, open: OpenMmDoor): ReplayCase[] {
  const trace = parseMmTrace(text, file);
  const { name, mode, pages, tags } = trace;
  const properties = { mode, pages: String(pages) };
  return [{ file, name, tags, properties, run: () => replayMm(trace, open) }];
}
