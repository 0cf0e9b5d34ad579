// The contract with the core: what assembly/index.ts exports, as it comes over the boundary. u64 arguments
// are bigint; u32 results are signed (`>>> 0`), u64 results are signed bigints (BigInt.asUintN).

/** Linear-memory address of a VM record or a vCPU run record. */
export type Ptr = number;

export interface CoreExports {
  hostBytes(frames: number, arena: number, swap: number, gigantic: number, nodes: number): number;
  hostInit(
    frames: number,
    arena: number,
    swap: number,
    gigantic: number,
    nodes: number,
    events: number,
  ): void;
  /** Frames of a memory node, and those that may still be handed out; the node of a frame in use. */
  nodeRoom(node: number): number;
  nodeFree(node: number): number;
  nodeOfFrame(frame: number): number;
  vmCreate(
    pages: bigint,
    cpus: number,
    names: number,
    maxMaps: number,
    otherMaps: number,
    memlock: bigint,
    abi: number,
    bar0: bigint,
  ): Ptr;
  vmAddRam(vm: Ptr, gfn: bigint, pages: bigint, offset: bigint, flags: number): number;
  /** Takes back the VM made last, which nobody has used yet. */
  vmUndo(vm: Ptr): void;
  vmSetBar0(vm: Ptr, gpa: bigint): void;
  /** Before the first slot. */
  vmSetKvm(vm: Ptr, gfns: bigint, type: number, profile: number, pml: number): void;
  /** Limits of the VM's memory and swap in pages, 2^64 - 1 for none. */
  setMemoryMax(vm: Ptr, pages: bigint): void;
  setSwapMax(vm: Ptr, pages: bigint): void;

  runOf(vm: Ptr, cpu: number): Ptr;
  /** This instance acts for the vCPU of `run` from now on; 0 for nobody (the main thread). */
  threadAttach(run: Ptr): void;
  /** Before vCPU threads of the VM run; 0: no metadata room. */
  /** `kvm`: they will make KVM's calls about memory. */
  threadsStart(vm: Ptr, kvm: number): number;
  /** After all of them have ended. */
  threadsFold(vm: Ptr): void;
  /** The page for a vCPU's program; 0: no metadata room. */
  programPage(run: Ptr): Ptr;
  vcpuProgram(run: Ptr, at: Ptr, steps: number, rounds: number): number;
  vcpuLoad(run: Ptr, gpa: bigint, size: number, access: number): number;
  vcpuStore(run: Ptr, gpa: bigint, size: number, value: bigint): number;
  vcpuHypercall(run: Ptr, gpa: bigint, pages: bigint, attributes: bigint): void;
  /** Whether an access would be of the kind of its pages. */
  vcpuKind(run: Ptr, gpa: bigint, size: number, toPrivate: number, access: number): number;
  /** A locked add; RUN_VALUE is what was there. */
  vcpuAdd(run: Ptr, gpa: bigint, size: number, value: bigint): number;
  /** Addresses as numbers, exact below 2^53. */
  vcpuLoadAt(run: Ptr, gpa: number, size: number, access: number): number;
  vcpuStoreAt(run: Ptr, gpa: number, size: number, low: number, high: number): number;
  vcpuTouch(run: Ptr, gpa: bigint, len: bigint, write: number, byte: number): bigint;
  vcpuFill(run: Ptr, gpa: bigint, len: bigint, byte: number): bigint;
  vcpuVerify(run: Ptr, gpa: bigint, len: bigint, byte: number): bigint;
  vcpuStride(run: Ptr, gpa: bigint, span: bigint, stride: bigint, accesses: number, write: number): number;
  vcpuRequest(run: Ptr, gpa: bigint, register: bigint, doorbell: number): number;
  vcpuRequestAt(run: Ptr, gpa: number, register: number, doorbell: number): number;

  mmioRead(vm: Ptr, gpa: bigint, len: number, to: Ptr): number;
  mmioWrite(vm: Ptr, gpa: bigint, len: number, from: Ptr): number;
  mmioWrite32(vm: Ptr, low: number, high: number, value: number): number;
  connectionGpa(vm: Ptr, n: number): bigint;

  /** Address of the VMM's page, as it is; 0 where nothing is mapped. */
  pagePeek(vm: Ptr, vpn: bigint): Ptr;
  ramPeek(vm: Ptr, gpa: bigint): Ptr;
  ramPoke(vm: Ptr, gpa: bigint): Ptr;
  hostAccess(vm: Ptr, vpn: bigint, write: number): number;
  frameOf(vm: Ptr, vpn: bigint): number;
  hostCall(vm: Ptr, func: number, hva: bigint, length: bigint, arg: bigint): number;
  madvise(vm: Ptr, start: bigint, length: bigint, advice: number): number;
  mprotect(vm: Ptr, start: bigint, length: bigint, prot: number): number;
  mlock(vm: Ptr, start: bigint, length: bigint, onFault: number): number;
  munlock(vm: Ptr, start: bigint, length: bigint): number;
  /** MAP_FIXED; `flags` of the VMA, `offset` into the file in bytes. */
  mmap(vm: Ptr, start: bigint, length: bigint, flags: number, file: Ptr, offset: bigint): number;
  mremap(vm: Ptr, start: bigint, length: bigint, to: bigint): number;
  munmap(vm: Ptr, start: bigint, length: bigint): number;
  setAnonName(vm: Ptr, start: bigint, length: bigint, kind: number, name: bigint): number;

  /** `nodes`: a bit for each. */
  mbind(vm: Ptr, start: bigint, length: bigint, mode: number, nodes: number, flags: number): number;
  setMempolicy(vm: Ptr, mode: number, nodes: number): number;
  /** Mode, and nodes from bit 8 on; -1 where nothing is mapped. */
  mempolicyAt(vm: Ptr, vpn: bigint): number;

  vmaFind(vm: Ptr, vpn: bigint): Ptr;
  vmaNext(vm: Ptr, vma: Ptr): Ptr;
  /** The VMM's region of RAM with gfn, 0 for none. */
  ramOf(vm: Ptr, gfn: bigint): Ptr;
  slotOf(vm: Ptr, gfn: bigint): Ptr;
  /** The n-th slot by gfn. */
  slotAt(vm: Ptr, n: number): Ptr;
  slotById(vm: Ptr, id: number): Ptr;
  /** `file`: a record, 0 where the fd is not open, 1 where it is no file of memory. */
  setMemoryRegion(
    vm: Ptr,
    legacy: number,
    slot: number,
    flags: number,
    gpa: bigint,
    size: bigint,
    hva: bigint,
    file: number,
    offset: bigint,
  ): number;
  setMemoryAttributes(vm: Ptr, address: bigint, size: bigint, attributes: bigint, flags: bigint): number;
  /** With EAGAIN the offset of the first page that is pinned at SCRATCH, u64. */
  gmemSetAttributes(file: Ptr, offset: bigint, size: bigint, attributes: bigint, flags: bigint): number;
  /** The guest_memfd mapped at vpn, its page at SCRATCH; 0 nothing, 1 something else. */
  gmemMapped(vm: Ptr, vpn: bigint): Ptr;
  fileAllPrivate(file: Ptr): void;
  /** Number of the file's page at a byte offset. */
  fileAt(file: Ptr, offset: bigint): bigint;
  /** A page of the file is pinned, or no more; 0: no metadata. */
  filePin(vm: Ptr, file: Ptr, page: bigint, pinned: number): number;
  /** `slot`: the one that has gfn, 0 for none. */
  gmemIsPrivate(vm: Ptr, slot: Ptr, gfn: bigint): number;
  gmemIsMixed(vm: Ptr, slot: Ptr, gfn: bigint, shift: bigint): number;
  isPrivate(vm: Ptr, gfn: bigint): number;
  isMixed(vm: Ptr, gfn: bigint, shift: bigint): number;
  nextPrivate(vm: Ptr, gfn: bigint, end: bigint): bigint;
  nextShared(vm: Ptr, gfn: bigint, end: bigint): bigint;
  dirtyGet(vm: Ptr, slot: number): number;
  /** Page numbers u32 at SCRATCH; how many. */
  dirtyPages(vm: Ptr, slot: number, from: number): number;
  dirtyTaken(vm: Ptr, slot: number): bigint;
  dirtyClearable(vm: Ptr, slot: number, first: bigint, pages: number): number;
  /** A bit for each of 64 × `words` pages at SCRATCH. */
  dirtyClear(vm: Ptr, slot: number, first: bigint, words: number): number;
  invalidateBegin(vm: Ptr, from: bigint, to: bigint): void;
  invalidateEnd(vm: Ptr): void;
  giganticLeaves(vm: Ptr): number;
  walkEntry(vm: Ptr, gfn: bigint, level: number): Ptr;
  pageLetter(vm: Ptr, vpn: bigint): number;
  /** Blocks of the file behind page vpn, in memory and swapped, 4 KiB each; -1 when there is no file. */
  fileBlocks(vm: Ptr, vpn: bigint): number;
  ksmScan(): void;
  /** The VM whose memory cgroup pays for a frame that KSM shares. */
  ksmChargedTo(frame: number): Ptr;
  /** Frames that sharing saves. */
  ksmSaved(): number;
  /** Linear-memory address of the file's page behind vpn for write(2), 0 when there is none. */
  fileWrite(vm: Ptr, vpn: bigint): number;
  /** A file of the VMM (FileKind, GmemFlag, bytes) with one descriptor; `first` 0. 0: no metadata. */
  fileCreate(vm: Ptr, kind: number, flags: number, size: bigint, first: bigint): Ptr;
  /** A descriptor of a file is closed. */
  filePut(file: Ptr): void;
  fileSize(file: Ptr): bigint;
  fileSetSize(file: Ptr, size: bigint): void;
  /** The same with what ftruncate does to pages. */
  fileResize(file: Ptr, size: bigint): void;
  fallocate(file: Ptr, mode: number, offset: bigint, length: bigint): number;
  /** Linear-memory address of the page with byte `offset`, 0 without memory. */
  fileBytes(file: Ptr, offset: bigint, write: number): Ptr;
  fileSeek(file: Ptr, offset: bigint, end: bigint, data: number): bigint;
  /** Pages in memory and swapped. */
  fileStored(file: Ptr): number;
  /** `c`, `w` or `.` of the page with byte `offset`. */
  fileLetter(file: Ptr, offset: bigint): number;
  rangeStats(vm: Ptr, vpn: bigint, end: bigint): void;
  /** PAGE_* at SCRATCH. */
  pageBacking(vm: Ptr, vpn: bigint): void;
  /** (VM u32, –, vpn u64) at SCRATCH, at most `limit`; how many there are. */
  ksmSharers(frame: number, limit: number): number;
  pagemap(vm: Ptr, vpn: bigint, pages: number): void;
  pagemapNext(vm: Ptr, vpn: bigint, end: bigint): bigint;
  pageFlags(first: number, count: number): void;
  pageCounts(first: number, count: number): void;
  /** USE_* at SCRATCH: of the VMM's page table, of a file's pages, of the SLAT. */
  pagesUsage(vm: Ptr, vpn: bigint, end: bigint): void;
  fileUsage(vm: Ptr, file: Ptr, first: bigint, end: bigint): void;
  leavesUsage(vm: Ptr, gfn: bigint, end: bigint): void;
  /** At SCRATCH, u64: leaves of 4 KiB, 2 MiB, 1 GiB, dirty pages of a slot. */
  slotStats(vm: Ptr, slot: Ptr): void;
  raster(vm: Ptr, lens: number, gfn: bigint, shift: number, cells: number): number;
  vmDigest(vm: Ptr): bigint;
  check(): number;
  checkpointFrames(): void;
  checkpointNext(): number;

  poolFree(pool: Ptr): number;
  poolTotal(pool: Ptr): number;
  poolBumped(pool: Ptr): number;
  poolStacked(pool: Ptr): number;
}
