// The VMM's descriptors of files in memory: memfds and guest_memfds. Reference: linux fs/file.c.
import type { Ptr } from '../core/exports.ts';

export interface OpenFile {
  readonly kind: 'memfd' | 'gmem';
  /** Its record in linear memory, assembly/mm/file.ts. */
  readonly ptr: Ptr;
}

/** Standard input, output and error are open. */
const FIRST = 3;

export class FileTable {
  readonly #files = new Map<number, OpenFile>();

  /** The lowest number that is free. */
  add(file: OpenFile): number {
    let fd = FIRST;
    while (this.#files.has(fd)) fd++;
    this.#files.set(fd, file);
    return fd;
  }

  /** How many are open, the three of every process among them. */
  get size(): number {
    return this.#files.size + FIRST;
  }

  get(fd: number): OpenFile | undefined {
    return this.#files.get(fd);
  }

  /** The file that was open there. */
  remove(fd: number): OpenFile | undefined {
    const file = this.#files.get(fd);
    this.#files.delete(fd);
    return file;
  }

  save(): readonly (readonly [number, OpenFile])[] {
    return [...this.#files];
  }

  load(files: readonly (readonly [number, OpenFile])[]): void {
    this.#files.clear();
    for (const [fd, file] of files) this.#files.set(fd, file);
  }
}
