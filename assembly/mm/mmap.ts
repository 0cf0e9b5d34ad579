// mmap with MAP_FIXED. Reference: linux 6.18 mm/mmap.c (do_mmap, __get_unmapped_area), mm/vma.c (__mmap_region),
// virt/kvm/guest_memfd.c (kvm_gmem_mmap). Not on vCPU threads.
import { Errno } from '../abi/errno';
import { FileKind, GmemFlag, ShmemFlag } from '../abi/file';
import { VM_EXEC, VM_MAYEXEC, VM_SHARED, VMA_FILE } from '../abi/vm-flags';
import { VM_PEAK, VM_TABLES_STAY } from '../base/layout';
import { min, pageAlign, TASK_SIZE } from '../base/math';
import { fileAt, fileCreate, fileEnd, fileFlags, fileKind, fileRoom } from './file';
import { fileMap, fileName } from './file-place';
import { filePut, fileUnmapped } from './file-size';
import { vmaAdd } from './insert';
import { mapsAdd, mapsAllow } from './map-count';
import { dirRoom } from './space';
import { unmapLocked } from './unmap';
import { VMA_END, VMA_START, vmaFind, vmaInsert, vmaNext } from './vma';

/** The pages from VPN_BASE + `offset` on are RAM of a VM that is being made, of a file if there is one. ENOMEM without metadata. */
export function map(vm: usize, vpn: u64, pages: u64, flags: u32, file: usize): Errno {
  const name = file != 0 ? fileName(file, vpn, fileAt(file, 0)) : 0;
  if (!vmaInsert(vm, vpn, vpn + pages, flags, 0, name)) return Errno.ENOMEM;
  if (file != 0) fileMap(name, pages);
  mapsAdd(vm, 1);
  peak(vm);
  return Errno.OK;
}

/** file_mmap_ok: no file is larger (MAX_LFS_FILESIZE). */
const SIZE_MAX: u64 = (1 << 63) - 1;
/** Nor has the name of a VMA room for pages behind this byte. */
const OFFSET_MAX: u64 = 1 << 55;

/**
 * mmap(start, length, …, MAP_FIXED) of `file` from byte `offset` on, which is a multiple of 4096, or of anonymous memory; what
 * was mapped there is gone. `flags`: those that protection and flags stand for. Shared anonymous memory gets a file here.
 */
export function mmap(vm: usize, start: u64, length: u64, flags: u32, file: usize, offset: u64): Errno {
  if (length == 0) return Errno.EINVAL;
  const len = pageAlign(length);
  if (len == 0 || !mapsAllow(vm, 0) || len > TASK_SIZE || start > TASK_SIZE - len) return Errno.ENOMEM;
  if ((start & 4095) != 0) return Errno.EINVAL;
  const vpn = start >> 12;
  const pages = len >> 12;
  if (!dirRoom(vm, vpn, vpn + pages)) return Errno.ENOMEM;
  if (file != 0) {
    const error = fileRefuses(file, flags, len, offset);
    if (error != Errno.OK) return error;
    if (fileKind(file) == FileKind.GuestMemfd) flags &= ~(<u32>VM_MAYEXEC);
    flags |= VMA_FILE;
  }
  const error = unmapLocked(vm, vpn, vpn + pages);
  if (error != Errno.OK) return error;
  // kvm_gmem_mmap is asked only now: what was mapped there is gone.
  if (file != 0 && fileKind(file) == FileKind.GuestMemfd) {
    if ((fileFlags(file) & GmemFlag.Mmap) == 0) return Errno.ENODEV;
    if ((flags & VM_SHARED) == 0) return Errno.EINVAL;
  }
  const anonymous = file == 0 && (flags & VM_SHARED) != 0;
  if (anonymous) {
    file = fileCreate(vm, FileKind.Memfd, ShmemFlag.Zero, len, vpn);
    if (file == 0) return Errno.ENOMEM;
    flags |= VMA_FILE;
  }
  // Huge pages may be asked for one day: from now on it counts which page tables there are.
  store<u32>(vm, 1, VM_TABLES_STAY);
  const errno = add(vm, vpn, pages, flags, file, offset);
  if (anonymous) filePut(file);
  peak(vm);
  return errno;
}

/** update_hiwater_vm */
function peak(vm: usize): void {
  let pages: u64 = 0;
  for (let v = vmaFind(vm, 0); v != 0; v = vmaNext(vm, v)) pages += load<u64>(v, VMA_END) - load<u64>(v, VMA_START);
  if (pages > load<u64>(vm, VM_PEAK)) store<u64>(vm, pages, VM_PEAK);
}

function add(vm: usize, vpn: u64, pages: u64, flags: u32, file: usize, offset: u64): Errno {
  if (file == 0) return vmaAdd(vm, vpn, vpn + pages, flags, 0, 0) ? Errno.OK : Errno.ENOMEM;
  const at = fileAt(file, offset);
  const name = fileName(file, vpn, at);
  if (!fileRoom(file, min(at + pages, fileEnd(file))) || !fileMap(name, pages)) return Errno.ENOMEM;
  if (vmaAdd(vm, vpn, vpn + pages, flags, 0, name)) return Errno.OK;
  fileUnmapped(name, pages);
  return Errno.ENOMEM;
}

/** What do_mmap has against the file before anything is unmapped. */
function fileRefuses(file: usize, flags: u32, len: u64, offset: u64): Errno {
  if (len > SIZE_MAX || offset > SIZE_MAX - len || offset + len > OFFSET_MAX) return Errno.EOVERFLOW;
  // The mount of guest_memfds is MNT_NOEXEC.
  return fileKind(file) == FileKind.GuestMemfd && (flags & VM_EXEC) != 0 ? Errno.EPERM : Errno.OK;
}
