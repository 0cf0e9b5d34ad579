// What the command line needs of the world around it, so that tests can hand in another one.
import { readFileSync, statSync } from 'node:fs';
import picocolors from 'picocolors';
import { SlatboxError } from '../errors.ts';
import { createFile, type OutputFile } from './output-file.ts';

export type Colors = ReturnType<typeof picocolors.createColors>;

export interface Io {
  /** Data. */
  out(text: string): void;
  /** Messages. */
  err(text: string): void;
  /** A person looks at stderr. */
  readonly errIsTty: boolean;
  readonly outIsTty: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** All bytes of a file; `-` is stdin. */
  read(file: string): Uint8Array;
  /** A new file to write, in place of one that may be there. */
  create(file: string): OutputFile;
}

export const nodeIo: Io = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  errIsTty: process.stderr.isTTY === true,
  outIsTty: process.stdout.isTTY === true,
  env: process.env,
  read: (file) => readFileSync(file === '-' ? 0 : file),
  create: createFile,
};

/** `--color WHEN` first, then NO_COLOR, then whether a person looks. */
export function colorsFor(io: Io, when: string, isTty: boolean): Colors {
  const asked = when === 'always' || (when === 'auto' && isTty && !io.env.NO_COLOR && io.env.TERM !== 'dumb');
  return picocolors.createColors(asked);
}

const UNREADABLE: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'no permission to read it',
  EISDIR: 'it is a directory',
  ENOTDIR: 'part of the path is not a directory',
  ENAMETOOLONG: 'the name is too long',
};
const MAX_FILE = 512 << 20;

/** The text of a file; SLB-001 when it cannot be read, SLB-002 when it is not UTF-8 text. */
export function readText(io: Io, file: string): string {
  let bytes: Uint8Array;
  try {
    if (file !== '-' && io === nodeIo && statSync(file).size > MAX_FILE) {
      throw new SlatboxError('SLB-004', `${file} is larger than ${MAX_FILE >> 20} MiB`);
    }
    bytes = io.read(file);
  } catch (error) {
    if (error instanceof SlatboxError) throw error;
    const { code = '' } = error as { code?: string };
    const why = UNREADABLE[code] ?? (code === '' ? (error as Error).message : code);
    throw new SlatboxError('SLB-001', `cannot read ${file}: ${why}`);
  }
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    if (!text.includes('\0')) return text;
  } catch {
    // not UTF-8: said below
  }
  throw new SlatboxError(
    'SLB-002',
    `${file} is not UTF-8 text`,
    'save it as UTF-8; a binary file is not what this reads',
  );
}
