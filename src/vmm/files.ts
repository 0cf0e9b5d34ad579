// The VMM's descriptors, and what can be done with the files behind them, by kind: memfds and guest_memfds.
// Reference: linux fs/open.c (vfs_fallocate, do_sys_ftruncate), fs/read_write.c (ksys_pread64, generic_file_llseek),
// mm/shmem.c, virt/kvm/guest_memfd.c; docs/linux-rules.md F.
import { Errno } from '../../assembly/abi/errno.ts';
import { FileKind } from '../../assembly/abi/file.ts';
import type { Core } from '../core/core.ts';
import type { Ptr } from '../core/exports.ts';

export type OpenKind = 'memfd' | 'gmem';

export interface OpenFile {
  readonly kind: OpenKind;
  /** The file's record in linear memory (assembly/mm/file.ts). */
  readonly ptr: Ptr;
}

/** Where lseek begins: the start, the end, or the first data or hole from the offset on. */
export type Whence = 'set' | 'end' | 'data' | 'hole';

interface FileStat {
  readonly size: number;
  /** Of 512 bytes. */
  readonly blocks: number;
  readonly mode: number;
}

/** RLIMIT_NOFILE, and the first that is free: 0, 1 and 2 are the VMM's own. */
const LIMIT = 1024;
const FIRST = 3;
/** MAX_LFS_FILESIZE. */
const SIZE_MAX = (1n << 63n) - 1n;

const PAGE = 4096n;

/** What a kind of file does; offsets and lengths are those of the call, checked as far as the kernel does for all kinds. */
interface Operations {
  /** st_mode */
  readonly mode: number;
  ftruncate(core: Core, file: Ptr, size: bigint): Errno;
  /** Blocks of 512 bytes. */
  blocks(core: Core, file: Ptr): number;
  /** Whether it has a position: pread, pwrite and lseek. */
  readonly seekable: boolean;
}

const MEMFD: Operations = {
  mode: 0o100777,
  seekable: true,
  ftruncate(core, file, size) {
    core.x.fileResize(file, size);
    return Errno.OK;
  },
  blocks: (core, file) => core.x.fileStored(file) * 8,
};

const GMEM: Operations = {
  mode: 0o100600,
  seekable: false,
  ftruncate: () => Errno.EINVAL,
  blocks: () => 0,
};

const OPERATIONS: Readonly<Record<OpenKind, Operations>> = { memfd: MEMFD, gmem: GMEM };

export class Files {
  readonly #core: Core;
  readonly #vm: Ptr;
  #open: (OpenFile | undefined)[] = [];

  constructor(core: Core, vm: Ptr) {
    this.#core = core;
    this.#vm = vm;
  }

  /** A new file with one descriptor: the lowest that is free, or minus an errno, EMFILE or ENOMEM. */
  create(kind: OpenKind, size: bigint, flags: number): number {
    const free = this.#open.indexOf(undefined);
    const at = free < 0 ? this.#open.length : free;
    if (at + FIRST >= LIMIT) return -Errno.EMFILE;
    const engineKind = kind === 'memfd' ? FileKind.Memfd : FileKind.GuestMemfd;
    const ptr = this.#core.x.fileCreate(this.#vm, engineKind, flags, size, 0n) >>> 0;
    if (ptr === 0) return -Errno.ENOMEM;
    this.#open[at] = { kind, ptr };
    return at + FIRST;
  }

  /** The file that is open as `fd`; undefined: EBADF. */
  get(fd: number): OpenFile | undefined {
    return this.#open[fd - FIRST];
  }

  /** A descriptor of the file with this record. */
  find(ptr: Ptr): number | undefined {
    const at = this.#open.findIndex((file) => file?.ptr === ptr);
    return at < 0 ? undefined : at + FIRST;
  }

  close(fd: number): Errno {
    const file = this.get(fd);
    if (!file) return Errno.EBADF;
    this.#open[fd - FIRST] = undefined;
    this.#core.x.filePut(file.ptr);
    return Errno.OK;
  }

  fallocate(fd: number, mode: number, offset: bigint, length: bigint): Errno {
    const file = this.get(fd);
    if (!file) return Errno.EBADF;
    const [from, bytes] = [BigInt.asUintN(64, offset), BigInt.asUintN(64, length)];
    return this.#core.x.fallocate(file.ptr, mode >>> 0, from, bytes);
  }

  ftruncate(fd: number, size: bigint): Errno {
    if (size < 0n) return Errno.EINVAL;
    const file = this.get(fd);
    return file ? OPERATIONS[file.kind].ftruncate(this.#core, file.ptr, size) : Errno.EBADF;
  }

  pread(fd: number, offset: bigint, length: number): { readonly errno: Errno; readonly bytes: Uint8Array } {
    const refused = (errno: Errno) => ({ errno, bytes: new Uint8Array() });
    const file = this.#seekable(fd, offset);
    if (typeof file === 'number') return refused(file);
    const { x, u8 } = this.#core;
    const left = x.fileSize(file.ptr) - offset;
    const bytes = new Uint8Array(Math.max(0, left < BigInt(length) ? Number(left) : length));
    let done = 0;
    for (const [at, inPage, n] of pieces(offset, bytes.length)) {
      const page = x.fileBytes(file.ptr, at, 0) >>> 0;
      if (page === 0)
        return done === 0 ? refused(Errno.ENOMEM) : { errno: Errno.OK, bytes: bytes.subarray(0, done) };
      bytes.set(u8.subarray(page + inPage, page + inPage + n), done);
      done += n;
    }
    return { errno: Errno.OK, bytes };
  }

  /** `bytes` were written: fewer where memory ran out. */
  pwrite(fd: number, offset: bigint, bytes: Uint8Array): { readonly errno: Errno; readonly bytes: number } {
    const file = this.#seekable(fd, offset);
    if (typeof file === 'number') return { errno: file, bytes: 0 };
    const { x, u8 } = this.#core;
    if (offset + BigInt(bytes.length) > SIZE_MAX) return { errno: Errno.EFBIG, bytes: 0 };
    let done = 0;
    for (const [at, inPage, n] of pieces(offset, bytes.length)) {
      const page = x.fileBytes(file.ptr, at, 1) >>> 0;
      if (page === 0) break;
      u8.set(bytes.subarray(done, done + n), page + inPage);
      done += n;
      if (at + BigInt(n) > x.fileSize(file.ptr)) x.fileSetSize(file.ptr, at + BigInt(n));
    }
    return { errno: done === 0 && bytes.length > 0 ? Errno.ENOMEM : Errno.OK, bytes: done };
  }

  /** `offset` is where the position is now. */
  lseek(fd: number, offset: bigint, whence: Whence): { readonly errno: Errno; readonly offset: bigint } {
    const file = this.get(fd);
    if (!file) return { errno: Errno.EBADF, offset: 0n };
    if (!OPERATIONS[file.kind].seekable) return { errno: Errno.ESPIPE, offset: 0n };
    const size = this.#core.x.fileSize(file.ptr);
    if (whence === 'set' || whence === 'end') {
      const at = whence === 'end' ? size + offset : offset;
      return at < 0n || at > SIZE_MAX ? { errno: Errno.EINVAL, offset: 0n } : { errno: Errno.OK, offset: at };
    }
    const found =
      offset < 0n || offset >= size
        ? undefined
        : BigInt.asUintN(64, this.#core.x.fileSeek(file.ptr, offset, size, whence === 'data' ? 1 : 0));
    if (found === undefined || (whence === 'data' && found === size))
      return { errno: Errno.ENXIO, offset: 0n };
    return { errno: Errno.OK, offset: found };
  }

  fstat(fd: number): { readonly errno: Errno } & FileStat {
    const file = this.get(fd);
    if (!file) return { errno: Errno.EBADF, size: 0, blocks: 0, mode: 0 };
    const { mode, blocks } = OPERATIONS[file.kind];
    return {
      errno: Errno.OK,
      size: Number(this.#core.x.fileSize(file.ptr)),
      blocks: blocks(this.#core, file.ptr),
      mode,
    };
  }

  /** A letter for each page: `.` a hole, or allocated and not used yet · `c` in memory · `w` swapped. */
  letters(fd: number, first: number, count: number): string {
    const file = this.get(fd);
    let out = '';
    for (let i = 0; file && i < count; i++) {
      out += String.fromCharCode(this.#core.x.fileLetter(file.ptr, BigInt(first + i) * PAGE));
    }
    return out;
  }

  save(): readonly (OpenFile | undefined)[] {
    return [...this.#open];
  }

  load(open: readonly (OpenFile | undefined)[]): void {
    this.#open = [...open];
  }

  /** The file of a call that needs a position, or why there is none. */
  #seekable(fd: number, offset: bigint): OpenFile | Errno {
    if (offset < 0n) return Errno.EINVAL;
    const file = this.get(fd);
    if (!file) return Errno.EBADF;
    return OPERATIONS[file.kind].seekable ? file : Errno.ESPIPE;
  }
}

/** [offset, offset + length) page by page: file offset, offset in the page, length. */
function* pieces(offset: bigint, length: number): Generator<readonly [bigint, number, number]> {
  for (let done = 0; done < length; ) {
    const at = offset + BigInt(done);
    const inPage = Number(at % PAGE);
    const n = Math.min(Number(PAGE) - inPage, length - done);
    yield [at, inPage, n];
    done += n;
  }
}
