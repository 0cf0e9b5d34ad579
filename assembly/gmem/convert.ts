// KVM_SET_MEMORY_ATTRIBUTES2 on a guest_memfd: its pages change hands where they are. What is not shared any more, the VMM
// must not reach: its mappings go, and who holds a page otherwise stops the conversion.
// Reference: the series "guest_memfd: in-place conversion support" (kvm_gmem_set_attributes, kvm_gmem_convert_is_safe).
import { Errno } from '../abi/errno';
import { FileKind } from '../abi/file';
import { VMA_FILE } from '../abi/vm-flags';
import { vmaOf } from '../mm/look-up';
import { VMA_FLAGS } from '../mm/vma';
import { OTHER_FILE } from './bind';
import { EventKind, KvmCounter } from '../abi/events';
import { GmemContent, KVM_MEMORY_ATTRIBUTE_PRIVATE } from '../abi/kvm';
import { rangeLock, rangeUnlock } from '../base/chunk-lock';
import { SCRATCH, VPN_BASE, VPN_LIMIT } from '../base/layout';
import { frameZero } from '../frames/bytes';
import { setChange, setReserve } from '../memslot/gfn-set';
import { notifyFile } from '../memslot/notify';
import { FILE_PRIVATE, fileAt, fileKind, fileOwner, fileSize } from '../mm/file';
import { fileOf, filePage } from '../mm/file-place';
import { FILE_SET_DEPTH, fileHasAttributes, fileNextKind, fileNextPinned, pageOf } from '../mm/file-attributes';
import { fileUnmapAll } from '../mm/file-size';
import { BACKED, chunkOf, nextChunk, pageSlot } from '../mm/page-state';
import { bitGet } from '../base/bits';
import { countKvm, event } from '../trace/events';

/**
 * Bytes [offset, offset + size) of `file` get these attributes; `flags`: GmemContent. With EAGAIN a page that is private to
 * be is pinned: its offset, the first of them, is at SCRATCH (u64), and nothing has changed but that the VMM has to fault
 * its pages in again.
 */
export function gmemSetAttributes(file: usize, offset: u64, size: u64, attributes: u64, flags: u64): Errno {
  if (!fileHasAttributes(file)) return Errno.ENOTTY;
  if ((attributes & ~(<u64>KVM_MEMORY_ATTRIBUTE_PRIVATE)) != 0 || flags > <u64>GmemContent.Preserve) return Errno.EINVAL;
  if (size == 0 || offset + size < offset || ((offset | size) & 4095) != 0 || offset + size > fileSize(file)) return Errno.EINVAL;
  const vm = fileOwner(file);
  rangeLock(vm, VPN_BASE, VPN_LIMIT);
  const errno = convert(vm, file, fileAt(file, offset), fileAt(file, offset + size), attributes != 0, <u32>flags);
  rangeUnlock(vm, VPN_BASE, VPN_LIMIT);
  return errno;
}

function convert(vm: usize, file: usize, from: u64, to: u64, toPrivate: bool, content: u32): Errno {
  if (fileNextKind(file, from, to, !toPrivate) == to) return Errno.OK;
  if (!setReserve(file + FILE_PRIVATE, FILE_SET_DEPTH, pageOf(file, from), pageOf(file, to))) return Errno.ENOMEM;
  if (toPrivate) {
    fileUnmapAll(file, from, to, false);
    const pinned = fileNextPinned(file, from, to);
    if (pinned != to) {
      store<u64>(SCRATCH, pageOf(file, pinned) << 12);
      return Errno.EAGAIN;
    }
  }
  // The guest's translations are of the old kind: gone before anyone sees the new one.
  notifyFile(vm, file, from, to);
  setChange(file + FILE_PRIVATE, FILE_SET_DEPTH, pageOf(file, from), pageOf(file, to), toPrivate);
  if (content == GmemContent.Zero) zero(file, from, to);
  countKvm(vm, KvmCounter.Attributes);
  event(EventKind.Attributes, vm, toPrivate ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0, pageOf(file, from), pageOf(file, to), 1);
  return Errno.OK;
}

/** The file's pages of [from, to) that are there. */
function zero(file: usize, from: u64, to: u64): void {
  for (let at = nextChunk(file, from, to); at < to; at = nextChunk(file, (at | 511) + 1, to)) {
    const chunk = chunkOf(file, at);
    const end = min<u64>((at | 511) + 1, to);
    for (let page = at; page < end; page++) {
      const i = <u32>page & 511;
      if (bitGet(chunk + BACKED, i)) frameZero(load<u32>(pageSlot(chunk, i)));
    }
  }
}

/**
 * The guest_memfd that is mapped at vpn, and at SCRATCH the number of its page there, u64. 0: nothing is mapped; 1: something
 * else.
 */
export function gmemMapped(vm: usize, vpn: u64): usize {
  const vma = vmaOf(vm, vpn);
  if (vma == 0) return 0;
  if ((load<u32>(vma, VMA_FLAGS) & VMA_FILE) == 0 || fileKind(fileOf(vma)) != FileKind.GuestMemfd) return OTHER_FILE;
  store<u64>(SCRATCH, pageOf(fileOf(vma), filePage(vma, vpn)));
  return fileOf(vma);
}
