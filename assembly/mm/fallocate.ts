// fallocate(2): pages of a file are allocated, or become holes. All of it is one operation to the VM that has made the file.
// Reference: linux fs/open.c (vfs_fallocate), mm/shmem.c (shmem_fallocate), virt/kvm/guest_memfd.c (kvm_gmem_fallocate).
import { Errno } from '../abi/errno';
import { FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FileKind } from '../abi/file';
import { rangeLock, rangeUnlock } from '../base/chunk-lock';
import { VPN_BASE, VPN_LIMIT } from '../base/layout';
import { fileKind, fileOwner, fileSetSize, fileSize } from './file';
import { fileAllocate, filePunchBytes } from './file-size';

/** Of a memfd or a guest_memfd; all straight from the caller. Offset and length are bytes. */
export function fallocate(file: usize, mode: u32, offset: u64, length: u64): Errno {
  if (<i64>offset < 0 || <i64>length <= 0) return Errno.EINVAL;
  const punch = mode == (FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE);
  const gmem = fileKind(file) == FileKind.GuestMemfd;
  if (!punch && mode != FALLOC_KEEP_SIZE && (gmem || mode != 0)) return Errno.EOPNOTSUPP;
  const end = offset + length;
  if (<i64>end < 0) return Errno.EFBIG;
  if (gmem && ((offset | length) & 4095) != 0) return Errno.EINVAL;
  if (gmem && !punch && end > fileSize(file)) return Errno.EINVAL;
  const vm = fileOwner(file);
  rangeLock(vm, VPN_BASE, VPN_LIMIT);
  let errno = Errno.OK;
  if (punch) filePunchBytes(file, offset, end);
  else if (!fileAllocate(file, offset >> 12, (end + 4095) >> 12)) errno = Errno.ENOMEM;
  else if (mode == 0 && end > fileSize(file)) fileSetSize(file, end);
  rangeUnlock(vm, VPN_BASE, VPN_LIMIT);
  return errno;
}
