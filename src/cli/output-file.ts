// A file that a command writes at any place: what is skipped becomes a hole.
import { closeSync, ftruncateSync, openSync, statSync, unlinkSync, writeSync } from 'node:fs';
import { SlatboxError } from '../errors.ts';

export interface OutputFile {
  write(bytes: Uint8Array, offset: number): void;
  /** The file is complete; it has `size` bytes. */
  finish(size: number): void;
  /** It cannot be completed: half a file is worse than none. */
  discard(): void;
}

const UNWRITABLE: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such directory',
  EACCES: 'no permission to write it',
  EROFS: 'the file system is read-only',
  EISDIR: 'it is a directory',
  ENOTDIR: 'part of the path is not a directory',
  ENAMETOOLONG: 'the name is too long',
  ENOSPC: 'no space left on the device',
  EDQUOT: 'no quota left',
  EFBIG: 'it is too large for the file system',
};

/** What a file system answers, as SLB-046. */
export function orUnwritable<T>(file: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof SlatboxError) throw error;
    const { code = '' } = error as { code?: string };
    const why = UNWRITABLE[code] ?? (code === '' ? (error as Error).message : code);
    throw new SlatboxError('SLB-046', `cannot write ${file}: ${why}`, 'name a file that can be written');
  }
}

/** Makes the file, or empties it. Only its owner can read it, as of any core file: it has what memory had. */
export function createFile(file: string): OutputFile {
  const there = statSync(file, { throwIfNoEntry: false });
  if (there && !there.isFile() && !there.isDirectory()) {
    throw new SlatboxError(
      'SLB-046',
      `cannot write ${file}: it is not a regular file`,
      'holes need a regular file',
    );
  }
  const fd = openSync(file, 'w', 0o600);
  return {
    write(bytes, offset) {
      for (let from = 0; from < bytes.length; ) {
        from += writeSync(fd, bytes, from, bytes.length - from, offset + from);
      }
    },
    finish(size) {
      ftruncateSync(fd, size);
      closeSync(fd);
    },
    discard() {
      closeSync(fd);
      unlinkSync(file);
    },
  };
}
