// What read(2), write(2), lseek(2) and fstat(2) need of a memfd. Reference: linux mm/shmem.c (shmem_file_read_iter,
// shmem_write_begin, shmem_file_llseek), mm/filemap.c (mapping_seek_hole_data).
import { VM_RSS, VM_SWAP, ZERO_PAGE } from '../base/layout';
import { bitGet } from '../base/bits';
import { min } from '../base/math';
import { frameAddress } from '../frames/bytes';
import { fileAt, fileCached, fileDirty, fileOwner, fileReach } from './file';
import { fileObtain } from './file-fault';
import { chunkOf, nextChunk, SWAPPED } from './page-state';

/** Of the page with byte `offset` a letter: `c` in memory, `w` swapped, `.` a hole, or allocated and not used yet (ASCII). */
export function fileLetter(file: usize, offset: u64): u32 {
  const at = fileAt(file, offset);
  const chunk = chunkOf(file, at);
  if (chunk != 0 && bitGet(chunk + SWAPPED, <u32>at & 511)) return 0x77;
  return fileCached(file, at) != 0 ? 0x63 : 0x2e;
}

/**
 * Linear-memory address of the page with byte `offset`: for reading, which of a hole is the zero page, or for writing, which
 * makes the page and makes it dirty. 0: no frame.
 */
export function fileBytes(file: usize, offset: u64, write: bool): usize {
  if (!write && fileLetter(file, offset) == 0x2e) return ZERO_PAGE;
  const at = fileAt(file, offset);
  const frame = fileObtain(fileOwner(file), file, at);
  if (frame == 0) return 0;
  if (write) fileDirty(file, at);
  return frameAddress(frame);
}

/** Byte at which the first page of data, or the first hole, begins that is at or behind `offset`, but not behind `end`. */
export function fileSeek(file: usize, offset: u64, end: u64, data: bool): u64 {
  const reach = fileReach(file);
  while (offset < end) {
    const at = fileAt(file, offset);
    if (data) {
      // Chunks that are absent are skipped.
      const next = at < reach ? nextChunk(file, at, reach) : reach;
      if (next >= reach) return end;
      if (next != at) {
        offset = (offset & ~(<u64>4095)) + ((next - at) << 12);
        continue;
      }
    }
    if ((fileLetter(file, offset) != 0x2e) == data) return offset;
    offset = (offset & ~(<u64>4095)) + 4096;
  }
  return min(offset, end);
}

/** Pages that the file has in memory and in swap. */
export function fileStored(file: usize): f64 {
  return <f64>(load<u64>(file, VM_RSS) + load<u64>(file, VM_SWAP));
}
