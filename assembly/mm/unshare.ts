// A page that KSM shares becomes its owner's again. Reference: linux mm/ksm.c (break_ksm), mm/memory.c (do_wp_page).
import { Counter, EventKind } from '../abi/events';
import { HOST_FRAMES } from '../base/layout';
import { bitClear, bitGet } from '../base/bits';
import { frameCopy } from '../frames/bytes';
import { pageTakeFresh } from '../frames/cache';
import { notify } from '../memslot/notify';
import { count, event } from '../trace/events';
import { framePut } from './frame';
import { ksmUnmapped } from './ksm-page';
import { BACKED, chunkOf, DIRTY, KSM, pageSlot, WRITABLE } from './page-state';
import { frameGet } from './reclaim';

/**
 * FAULT_FLAG_UNSHARE: page vpn, if KSM shares it, gets a copy of its own, clean and not writable yet whatever the VMA
 * permits. False without a frame, nothing changed.
 */
export function ksmUnshare(vm: usize, vpn: u64): bool {
  const i = <u32>vpn & 511;
  const chunk = chunkOf(vm, vpn);
  if (chunk == 0 || !bitGet(chunk + KSM, i)) return true;
  const frame = frameGet(vm, vm, vpn);
  if (frame == 0) return false;
  pageTakeFresh(HOST_FRAMES, frame);
  // Making room may have taken the page itself.
  if (!bitGet(chunk + BACKED, i)) {
    framePut(vm, frame);
    return true;
  }
  notify(vm, vpn, vpn + 1);
  const from = load<u32>(pageSlot(chunk, i));
  frameCopy(frame, from);
  ksmUnmapped(vm, from);
  store<u32>(pageSlot(chunk, i), frame);
  bitClear(chunk + KSM, i);
  bitClear(chunk + DIRTY, i);
  bitClear(chunk + WRITABLE, i);
  count(vm, Counter.FaultsMinor);
  event(EventKind.Fault, vm, 0, vpn, 0x61, 0);
  return true;
}
