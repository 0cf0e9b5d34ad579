// Which frames and swap slots a checkpoint has to keep: those in use, in the order of the page state, first of the VMs and
// then of the files. A page that several map comes several times. The metadata in front of the pool is copied as it is by
// the host language.
import { HOST_FILES, HOST_VM_COUNT, SCRATCH, SCRATCH_SIZE, VM_BASE, VM_DIR_LEN, VM_SIZE, VPN_BASE } from '../base/layout';
import { bitGet } from '../base/bits';
import { frameAddress } from '../frames/bytes';
import { FILE_NEXT } from '../mm/file';
import { BACKED, chunkOf, FILE, nextChunk, pageSlot, SWAPPED } from '../mm/page-state';

/** The VM or file being gone through u32, 0 at the end; its next page u64. */
const CURSOR: usize = SCRATCH + SCRATCH_SIZE - 32;

/** Start over. */
export function checkpointFrames(): void {
  store<u32>(CURSOR, load<u32>(HOST_VM_COUNT) != 0 ? <u32>VM_BASE : 0);
  store<u64>(CURSOR, VPN_BASE, 8);
}

function behind(space: usize): usize {
  const end = VM_BASE + <usize>load<u32>(HOST_VM_COUNT) * VM_SIZE;
  if (space >= end) return load<u32>(space, FILE_NEXT);
  return space + VM_SIZE < end ? space + VM_SIZE : load<u32>(HOST_FILES);
}

/**
 * The pages of the next chunk that has any: SCRATCH ← (page u32, same u32, pattern u64) each; `same` is 1 when
 * the page is one 64-bit word over and over, which is then `pattern`. Returns how many, 0 at the end.
 */
export function checkpointNext(): u32 {
  let space: usize = load<u32>(CURSOR);
  let vpn = load<u64>(CURSOR, 8);
  while (space != 0) {
    const end = VPN_BASE + ((<u64>load<u32>(space, VM_DIR_LEN)) << 18);
    vpn = nextChunk(space, vpn, end);
    if (vpn >= end) {
      space = behind(space);
      vpn = VPN_BASE;
      continue;
    }
    const n = pagesOf(chunkOf(space, vpn));
    vpn += 512;
    if (n == 0) continue;
    store<u32>(CURSOR, <u32>space);
    store<u64>(CURSOR, vpn, 8);
    return n;
  }
  store<u32>(CURSOR, 0);
  return 0;
}

function pagesOf(chunk: usize): u32 {
  let n: u32 = 0;
  for (let i: u32 = 0; i < 512; i++) {
    if ((!bitGet(chunk + BACKED, i) || bitGet(chunk + FILE, i)) && !bitGet(chunk + SWAPPED, i)) continue;
    const page = load<u32>(pageSlot(chunk, i));
    const p = SCRATCH + (<usize>n << 4);
    store<u32>(p, page, 0);
    const first = frameAddress(page);
    const word = load<u64>(first);
    const pattern = i64x2.splat(word);
    let same: u32 = 1;
    for (let q = first; q < first + 4096; q += 16) {
      if (v128.any_true(v128.xor(v128.load(q), pattern))) {
        same = 0;
        break;
      }
    }
    store<u32>(p, same, 4);
    store<u64>(p, word, 8);
    n++;
  }
  return n;
}
