// Which frames and swap slots a checkpoint has to keep: those in use, in the order of the page state.
// The metadata in front of the pool is copied as it is by the host language.
import { HOST_VM_COUNT, SCRATCH, SCRATCH_SIZE, VM_BASE, VM_DIR_LEN, VM_SIZE, VPN_BASE } from '../base/layout';
import { bitGet } from '../base/bits';
import { frameAddress } from '../frames/bytes';
import { BACKED, chunkAt, chunkIndex, nextChunk, nodeOf, pageSlot, SWAPPED } from '../mm/page-state';

const CURSOR: usize = SCRATCH + SCRATCH_SIZE - 32;

/** Start over. */
export function checkpointFrames(): void {
  store<u32>(CURSOR, 0);
  store<u64>(CURSOR, VPN_BASE, 8);
}

/**
 * The pages of the next chunk that has any: SCRATCH ← (page u32, same u32, pattern u64) each; `same` is 1 when
 * the page is one 64-bit word over and over, which is then `pattern`. Returns how many, 0 at the end.
 */
export function checkpointNext(): u32 {
  let v = load<u32>(CURSOR);
  let vpn = load<u64>(CURSOR, 8);
  while (v < load<u32>(HOST_VM_COUNT)) {
    const vm = VM_BASE + <usize>v * VM_SIZE;
    const end = VPN_BASE + ((<u64>load<u32>(vm, VM_DIR_LEN)) << 18);
    vpn = nextChunk(vm, vpn, end);
    if (vpn >= end) {
      v++;
      vpn = VPN_BASE;
      continue;
    }
    const n = pagesOf(chunkAt(nodeOf(vm, vpn), chunkIndex(vpn)));
    vpn += 512;
    if (n == 0) continue;
    store<u32>(CURSOR, v);
    store<u64>(CURSOR, vpn, 8);
    return n;
  }
  store<u32>(CURSOR, v);
  return 0;
}

function pagesOf(chunk: usize): u32 {
  let n: u32 = 0;
  for (let i: u32 = 0; i < 512; i++) {
    if (!bitGet(chunk + BACKED, i) && !bitGet(chunk + SWAPPED, i)) continue;
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
