// What a schema cannot say of the steps in schema-kvm.ts: places that go together, files and VMs that are there.
import type { SlatboxError } from '../errors.ts';
import { rangesOf } from './kvm-args.ts';
import type { Path } from './source.ts';
import { suggestion } from './suggest.ts';

type Raw = Readonly<Record<string, unknown>>;

/** Where problems go; what is known so far. */
export interface KvmContext {
  readonly wrong: (path: Path, text: string, hint?: string, code?: SlatboxError['code']) => void;
  /** VMs whose the file is, by the id of the step that made it. */
  readonly files: Map<string, string>;
  readonly vms: readonly string[];
}

/** Pages that the list of one step may have. */
const MOST_PAGES = 2 ** 20;

/** `on`: the VMs that the step is about. */
export function kvmStep(kind: string, args: Raw, at: Path, on: readonly string[], c: KvmContext): void {
  if (kind === 'guest-memfd.create') c.files.set(args.id as string, on.join());
  if (typeof args.file === 'string') file(args.file, [...at, 'file'], on, c);
  if (kind.startsWith('vmm.') && kind !== 'vmm.mmap') one(args, ['hva', 'gpa'], at, c);
  if (kind === 'memslot.create') one(args, ['hva', 'alias'], at, c);
  if (args.list !== undefined) pages(String(args.list), [...at, 'list'], c);
  if (kind === 'migrate') migration(args, at, on, c);
}

function one(args: Raw, keys: readonly string[], at: Path, { wrong }: KvmContext): void {
  const given = keys.filter((key) => args[key] !== undefined);
  if (given.length === 1) return;
  const either = keys.join(' or ');
  if (given.length === 0) wrong(at, `needs ${either}`, `give ${either}`);
  else wrong([...at, given[1] as string], `${given.join(' and ')} are two places`, `give ${either}`);
}

function file(name: string, path: Path, on: readonly string[], { files, wrong }: KvmContext): void {
  const owner = files.get(name);
  if (owner === on.join()) return;
  const known = [...files].filter(([, vms]) => vms === on.join()).map(([id]) => id);
  const hint = suggestion(name, known) ?? 'make it with guest-memfd.create, and name its id';
  const text =
    owner === undefined ? `no earlier step has made a file "${name}"` : `"${name}" is a file of ${owner}`;
  wrong(path, text, hint, 'SLB-014');
}

function pages(list: string, path: Path, { wrong }: KvmContext): void {
  const ranges = rangesOf(list);
  if (ranges.some(([from, to]) => from > to)) wrong(path, `${list} has a range that ends before it begins`);
  else if (ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0) > MOST_PAGES)
    wrong(path, 'more than 1048576 pages', 'leave list out for all of the slot');
}

function migration(args: Raw, at: Path, on: readonly string[], { vms, wrong }: KvmContext): void {
  const to = args.to as string;
  if (!vms.includes(to)) {
    const hint = vms.length > 1 ? suggestion(to, vms) : 'name several VMs under machine.vms';
    wrong([...at, 'to'], `there is no VM "${to}"`, hint);
  } else if (on.includes(to)) wrong([...at, 'to'], `"${to}" is the VM that moves`, 'name another VM');
  if (args.writes !== undefined && (args.gpa === undefined || args.len === undefined))
    wrong([...at, 'writes'], 'to which pages?', 'give the working set: gpa and len');
}
