// The export list, grouped by room. src/core/exports.ts is the same contract for TypeScript.
export { hostBytes, hostInit, vmAddRam, vmCreate, vmSetBar0, vmUndo } from './vm';
export { runOf, threadAttach } from './base/thread';
export { threadsFold, threadsStart } from './vcpu/threads';
export { vcpuProgram } from './vcpu/program';
export { vcpuLoad, vcpuStore } from './vcpu/access';
export {
  vcpuFill, vcpuLoadAt, vcpuRequest, vcpuRequestAt, vcpuStoreAt, vcpuStride, vcpuTouch, vcpuVerify,
} from './vcpu/loops';
export { mmioRead, mmioWrite, mmioWrite32 } from './bus/mmio';
export { hostCall } from './device/pvmemcontrol/request';
export { connectionGpa } from './device/pvmemcontrol/connection';
export { ramPeek, ramPoke } from './observe/ram';
export { hostAccess } from './mm/fault';
export { frameOf } from './mm/fault';
export { fileCreate } from './mm/file';
export { fileWrite } from './mm/file-fault';
export { filePut } from './mm/file-size';
export { ksmScan } from './mm/ksm';
export { ksmSaved } from './mm/ksm-tree';
export { mlock, munlock } from './mm/mlock';
export { setMemoryMax, setSwapMax } from './mm/reclaim';
export { madvise, mprotect, munmap, setAnonName } from './mm/syscalls';
export { vmaFind, vmaNext } from './mm/vma';
export { poolBumped, poolFree, poolStacked, poolTotal } from './frames/pool';
export { slotOf } from './memslot/table';
export { pageCounts, pageFlags } from './observe/page-flags';
export { pagemap, pagemapNext } from './observe/pagemap';
export { giganticLeaves, walkEntry } from './observe/walk';
export { fileBlocks, pageLetter, rangeStats } from './observe/stats';
export { ksmSharers, pageBacking } from './observe/page';
export { raster } from './observe/raster';
export { vmDigest } from './observe/digest';
export { check } from './observe/check';
export { checkpointFrames, checkpointNext } from './observe/checkpoint';
export { bitsAll, bitsClear, bitsCount, bitsSet } from './base/bits';
