// A reader of ELF core files that shares nothing with their writer, and readelf where the machine has it.
// Reference: elf(5), core(5).
import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CoreDump } from '../../src/index.ts';

export const hasReadelf = spawnSync('readelf', ['--version']).status === 0;

export interface Segment {
  readonly type: string;
  readonly offset: number;
  readonly vaddr: number;
  readonly filesz: number;
  readonly memsz: number;
  readonly flags: string;
  readonly align: number;
}
export interface Note {
  readonly owner: string;
  readonly type: number;
  readonly desc: Buffer;
}

/** The whole file in memory; chunks must be ascending and inside it. */
export function assemble(dump: CoreDump): Buffer {
  const file = Buffer.alloc(dump.size);
  let end = 0;
  for (const { offset, bytes } of dump.chunks()) {
    if (offset < end || bytes.length === 0) throw new Error(`a chunk at ${offset} behind ${end}`);
    file.set(bytes, offset);
    end = offset + bytes.length;
  }
  return file;
}

/** Writes it, with holes; its path. */
export function save(dump: CoreDump): string {
  const path = join(mkdtempSync(join(tmpdir(), 'slatbox-core-')), 'core');
  const fd = openSync(path, 'w');
  for (const { offset, bytes } of dump.chunks()) writeSync(fd, bytes, 0, bytes.length, offset);
  ftruncateSync(fd, dump.size);
  closeSync(fd);
  return path;
}

export function segmentsOf(file: Buffer): Segment[] {
  const magic = file.subarray(0, 7).toString('latin1');
  if (magic !== '\x7fELF\x02\x01\x01' || file.readUInt16LE(16) !== 4 || file.readUInt16LE(18) !== 62)
    throw new Error('not a core file of x86-64');
  const number = (at: number): number => Number(file.readBigUInt64LE(at));
  const [first, size] = [number(32), file.readUInt16LE(54)];
  let n = file.readUInt16LE(56);
  if (n === 0xffff) n = file.readUInt32LE(number(40) + 44);
  return Array.from({ length: n }, (_, i) => {
    const at = first + i * size;
    const flags = file.readUInt32LE(at + 4);
    return {
      type: { 1: 'LOAD', 4: 'NOTE' }[file.readUInt32LE(at)] ?? '?',
      offset: number(at + 8),
      vaddr: number(at + 16),
      filesz: number(at + 32),
      memsz: number(at + 40),
      flags: `${flags & 4 ? 'R' : ''}${flags & 2 ? 'W' : ''}${flags & 1 ? 'E' : ''}`,
      align: number(at + 48),
    };
  });
}

/** Notes of a PT_NOTE segment's bytes. */
export function notesOf(bytes: Buffer): Note[] {
  const out: Note[] = [];
  const up = (n: number): number => (n + 3) & ~3;
  for (let at = 0; at < bytes.length; ) {
    const [name, desc, type] = [0, 4, 8].map((o) => bytes.readUInt32LE(at + o)) as [number, number, number];
    const from = at + 12 + up(name);
    out.push({
      owner: bytes.toString('latin1', at + 12, at + 11 + name),
      type,
      desc: bytes.subarray(from, from + desc),
    });
    at = from + up(desc);
  }
  return out;
}

/** The program headers and notes as `readelf -l -n -W` prints them; throws when it complains. */
export function readelf(path: string): {
  readonly header: string;
  readonly segments: Segment[];
  readonly notes: string[];
} {
  const run = spawnSync('readelf', ['-h', '-l', '-n', '-W', path], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    env: { ...process.env, LC_ALL: 'C' },
  });
  if (run.status !== 0 || run.stderr !== '') throw new Error(`readelf: ${run.stderr}`);
  const row = /^ {2}(LOAD|NOTE) +0x(\w+) 0x(\w+) 0x0{16} 0x(\w+) 0x(\w+) ([R ][W ][E ]) 0x(\w+)$/gm;
  const segments = [...run.stdout.matchAll(row)].map(([, type = '', ...rest]) => {
    const [offset, vaddr, filesz, memsz, , align] = rest.map((text) => Number.parseInt(text, 16));
    const flags = (rest[4] as string).replaceAll(' ', '');
    return { type, offset, vaddr, filesz, memsz, flags, align } as Segment;
  });
  const notes = [...run.stdout.matchAll(/^ {2}CORE +0x(\w+)\t(\w+) /gm)].map(
    (m) => `${m[2]} ${Number(`0x${m[1]}`)}`,
  );
  return { header: run.stdout.slice(0, run.stdout.indexOf('Program Headers:')), segments, notes };
}
