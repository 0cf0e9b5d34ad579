// Where everything lies in linear memory. docs/memory-map.md is the same for people.
//
//   0x0000_0000    1 KiB  nothing (address 0 stays invalid)
//   0x0000_0400           the module's static data
//   0x0001_0000   64 KiB  host header: pools, hands, host-wide counts
//   0x0002_0000  128 KiB  chunk locks (64 B × 2048)
//   0x0004_0000  128 KiB  VM records (4 KiB × 32)
//   0x0006_0000    4 KiB  the shared zero page
//   0x0006_1000           scratch of the observers (1 MiB)
//   0x0016_1000  2.5 MiB  event ring
//   0x0040_0000    2 MiB  vCPU run records (2 KiB × 1024)
//   0x0060_0000    2 MiB  the huge zero page
//   0x0080_0000           free stacks, table counts and users, then the metadata arena, the frame pool, the swap area,
//                         hugetlb pages of 1 GiB
//
// State that threads share is here, at fixed addresses, never in AssemblyScript globals: every
// thread has its own instance of the module, and so its own globals (base/thread.ts uses just that).
import { EVENT_CAPACITY, EVENT_SIZE } from '../abi/events';
import { RUN_SIZE } from '../abi/status';

export const PAGE_SHIFT: u32 = 12;
export const PAGE_SIZE: u32 = 4096;

export const HOST: usize = 0x10000;
export const LOCKS: usize = 0x20000;
export const LOCK_SIZE: usize = 64; // a cache line: neighbours must not share one
export const LOCK_COUNT: u32 = 2048; // as many chunks as 4 GiB have
export const VM_BASE: usize = 0x40000;
export const VM_SIZE: usize = 4096;
export const VM_MAX: u32 = 32;
export const VCPU_MAX: u32 = 32; // per VM
export const ZERO_PAGE: usize = 0x60000;
export const SCRATCH: usize = 0x61000;
export const SCRATCH_SIZE: usize = 0x100000;
export const EVENTS: usize = 0x161000;
export const RUN_BASE: usize = 0x400000;
export const HUGE_ZERO_PAGE: usize = 0x600000; // never written, so it takes no memory of the system
export const DYNAMIC: usize = 0x800000;

// Host header fields.
export const HOST_FRAMES: usize = HOST + 0; // pool record, frames/pool.ts
export const HOST_ARENA: usize = HOST + 64;
export const HOST_SWAP: usize = HOST + 128;
export const HOST_VM_COUNT: usize = HOST + 192; // u32
export const HOST_EVENTS_ON: usize = HOST + 196; // u32
export const HOST_TABLES: usize = HOST + 200; // u32, address of a record per arena page, of TABLE_SIZE bytes, for what is a SLAT table (slat/entry.ts)
export const TABLE_SIZE: usize = 64; // a cache line: threads that map pages of their own must not write the same one
export const HOST_SHARED: usize = HOST + 204; // u32, address of a record per frame, for what is mapped several times (frames/shared.ts)
export const HOST_FILES: usize = HOST + 208; // u32, address of the file made last (mm/file.ts)
export const HOST_KSM_STABLE: usize = HOST + 212; // u32, address of the stable tree (mm/ksm-tree.ts)
export const HOST_KSM_UNSTABLE: usize = HOST + 216; // u32, address of the unstable tree
export const HOST_KSM_FREE: usize = HOST + 220; // u32, address of the first free node
export const HOST_KSM_NODES: usize = HOST + 224; // u32, stable nodes
export const HOST_KSM_PAGES: usize = HOST + 228; // u32, address of the last page of nodes
export const HOST_KSM_SCANS: usize = HOST + 232; // u32, full scans
export const HOST_KSM_ENTRIES: usize = HOST + 236; // u32, address of the page of entries that is being filled
export const HOST_HAND_VM: usize = HOST + 256; // u32, reclaim hand
export const HOST_HAND_VPN: usize = HOST + 264; // u64
export const HOST_RECLAIM_LOCK: usize = HOST + 272; // lock: one thread reclaims
// Allocations that are made to fail, in debug builds (frames/fail.ts).
export const HOST_FAIL_KINDS: usize = HOST + 288; // u32, bits of the kinds that are counted, 0 none
export const HOST_FAIL_COUNT: usize = HOST + 292; // u32, how many there were
export const HOST_FAIL_FIRST: usize = HOST + 296; // u32, the first that fails, from 1 on
export const HOST_FAIL_TIMES: usize = HOST + 300; // u32, how many fail
export const HOST_NEXT_ANON_VMA: usize = HOST + 320; // u32
// hugetlb pages of 1 GiB (frames/gigantic.ts).
export const HOST_GIGANTIC_BASE: usize = HOST + 324; // u32, number of the first frame, ~0 = none
export const HOST_GIGANTIC_TOTAL: usize = HOST + 328; // u32
export const HOST_GIGANTIC_FREE: usize = HOST + 332; // u32, a bit for each
export const HOST_GIGANTIC_USED: usize = HOST + 336; // u32, a bit for each that may hold old bytes
// What one thread of control is doing: of the main thread here, of a vCPU thread in its run record (base/thread.ts, here).
export const HOST_HERE: usize = HOST + 384;
export const HERE_EVENT_SEQ: usize = 0; // u32, of the last event
export const HERE_CAUSE: usize = 4; // u32, seq of the event that everything now happens because of
export const HERE_CPU: usize = 8; // u32, vCPU now acting
export const HERE_RING: usize = 12; // u32, address of the event ring
export const HERE_PIN_VM: usize = 16; // u32, id + 1 of the page that reclaim must leave (a straddling access holds it), 0 none
export const HERE_PIN_VPN: usize = 24; // u64
export const HOST_EVENT_SEQ: usize = HOST_HERE + 0;
// Memory nodes of the host (frames/node.ts).
export const HOST_NODE_LABELS: usize = HOST + 448; // u32, address of a byte per frame: its node + 1; 0 = the host has one node
export const HOST_NODE_COUNT: usize = HOST + 452; // u32
export const HOST_NODE_LOCK: usize = HOST + 456; // lock: labels and counts
export const HOST_NODE_TAKEN: usize = HOST + 464; // u32, frames given a node so far
export const HOST_NODE_SETTLED: usize = HOST + 468; // u32, free frames + taken, when free frames were last looked through
export const HOST_NODE_ROOM: usize = HOST + 480; // 32 bytes: frames of each node, u32 × 8
export const HOST_NODE_USED: usize = HOST + 512; // 32 bytes: of those, handed out
export const HOST_END: usize = HOST + 544;

// VM record fields. Those marked "thread" are kept per thread while vCPU threads run: a thread of this VM has its own
// copy at the same offset of its run record (base/thread.ts, local), which the end of the run adds up here.
export const VM_ID: usize = 0; // u32
export const VM_NAMES: usize = 4; // u32, CONFIG_ANON_VMA_NAME
export const VM_ROOT: usize = 8; // u32, address of the level-4 SLAT table
export const VM_CPUS: usize = 12; // u32
export const VM_DIR: usize = 16; // u32, address of the 1 GiB directory
export const VM_DIR_LEN: usize = 20; // u32, entries
export const VM_VMA_HOME: usize = 24; // u32, address of the VM's VMA list (mm/vma.ts)
export const VM_MAX_MAPS: usize = 28; // u32, vm.max_map_count
export const VM_OTHER_MAPS: usize = 32; // u32, the VMM's own mappings, which count
export const VM_RAM: usize = 36; // u32, address of the VMM's map of RAM (memslot/ram.ts)
export const VM_RAM_COUNT: usize = 40; // u32
export const VM_LOCK_FIRST: usize = 44; // u32, lock of chunk 0 (base/chunk-lock.ts)
export const VM_LOCK_MASK: usize = 48; // u32, which bits of a chunk's number choose its lock, in this run of vCPU threads
export const VM_PSC_TABLE: usize = 52; // thread, u32, paging-structure cache: leaf table of VM_PSC_TAG
export const VM_PSC_TAG: usize = 56; // thread, u64, gfn >> 9, ~0 = none
export const VM_MEMLOCK: usize = 64; // u64 bytes, ~0 = privileged
export const VM_LAZY: usize = 72; // thread, u64, lazily freed pages, written again or not
export const VM_RSS: usize = 80; // thread, u64 pages
export const VM_SWAP: usize = 88; // thread, u64 pages
export const VM_MAPPED: usize = 96; // thread, u64 SLAT leaf entries, of any size
export const VM_BAR0: usize = 104; // u64 gpa of the register window
export const VM_DEV_STATE: usize = 112; // u32
export const VM_DEV_ABI: usize = 116; // u32
export const VM_DEV_PAYLOAD: usize = 120; // u64
export const VM_DEV_COMMAND: usize = 128; // u32
export const VM_DEV_CONNS: usize = 132; // u32, connections
export const VM_DEV_CONN_DIR: usize = 136; // u32, address of the page of connection pages
export const VM_HUGE_AT: usize = 140; // thread, u32, the same for a leaf of 2 MiB or 1 GiB: address of its entry
export const VM_DEV_REQUEST: usize = 144; // thread, 32 bytes: the request being run, later its response
export const VM_HUGE_TAG: usize = 176; // thread, u64, gfn >> 9 of the entry at VM_HUGE_AT, ~0 = none
export const VM_MMIO_GFN: usize = 184; // thread, u64, gfn last found to have no slot, ~0 = none
export const VM_BUF_CONN: usize = 192; // thread, u32, connection whose buffer's address is known, ~0 = none (device/pvmemcontrol/ram.ts)
export const VM_BUF_AT: usize = 196; // thread, u32, its address
export const VM_BUF_VPN: usize = 200; // thread, u64
export const VM_LOCKED_VM: usize = 208; // thread, u64 pages
export const VM_HUGETLB: usize = 216; // thread, u64 hugetlb pages mapped, in units of 2 MiB
export const VM_MAPPED_HUGE: usize = 224; // thread, u64 SLAT leaf entries of 2 MiB
export const VM_COUNTERS: usize = 256; // thread, u64 × Counter.Count
// What the VM's memory cgroup is charged for, and may be (mm/charge.ts); each maximum follows its usage.
// Not beside VM_BUF_VPN: threads look at each other's with each zap, and these change with each page.
export const VM_MEMORY: usize = 544; // thread, u64 pages
export const VM_MEMORY_MAX: usize = 552; // u64 pages, ~0 = no limit
export const VM_MEMORY_SWAP: usize = 560; // thread, u64 swap slots
export const VM_MEMORY_SWAP_MAX: usize = 568; // u64, ~0 = no limit
export const VM_LOCAL_END: usize = 576; // where what is "thread" ends
// Read by all vCPU threads, written by none.
export const VM_VMA_LISTS: usize = 576; // u32, address of the VMA lists in use: the VM's own, or one a region
export const VM_VMA_LIST_COUNT: usize = 580; // u32
export const VM_VMA_LIST_SHIFT: usize = 584; // u32, a region has 2^this pages
export const VM_VMA_REGIONS: usize = 588; // u32, address of the lists of regions, 0 before the first run of vCPU threads
export const VM_VMA_REGION_MAX: usize = 592; // u32, how many there are
export const VM_VMA_COUNT: usize = 596; // u32, while no vCPU threads run
export const VM_VMA_HIT: usize = 600; // u32, record of the VMA last found, for VM_VMA_HIT_PAGES pages from VM_VMA_HIT_START on
export const VM_VMA_HIT_START: usize = 608; // u64
export const VM_VMA_HIT_PAGES: usize = 616; // u64, 0 = none
export const VM_TABLES_STAY: usize = 624; // u32, empty chunks are kept: they are page tables, and huge pages may come
export const VM_HUGETLB_PAGES: usize = 628; // u32, 4 KiB pages of one hugetlb page of this VM, 0 = RAM is not hugetlb
export const VM_PEAK: usize = 632; // u64 pages, most that was ever mapped (hiwater_vm)
// Written by all vCPU threads: a cache line each.
export const VM_TREE_LOCK: usize = 640; // lock: tables above the leaves, nodes of the page state
export const VM_DEV_LOCK: usize = 704; // lock: the device's registers and transport state
export const VM_DEV_EPOCH: usize = 712; // u32, RESETs and breakdowns so far
export const VM_HAND: usize = 768; // u64, where reclaim of this VM alone goes on; under the reclaim lock
// KVM's own, behind the slots of memslot/table.ts: written with the locks of all chunks, or while no vCPU threads run.
export const VM_SLOT_IDS: usize = 832; // u32, address of the page of pages of slots
export const VM_SLOT_ORDER: usize = 836; // u32, address of the addresses of slots by gfn
export const VM_SLOT_BY_VPN: usize = 840; // u32, the same by vpn
export const VM_SLOT_COUNT: usize = 844; // u32
export const VM_SLOT_ROOM: usize = 848; // u32, slots for which the orders have room
export const VM_SEQUENCE: usize = 852; // u32, changes of the slots and ends of invalidations so far: a fault that began before them is refused
export const VM_TYPE: usize = 856; // u32, 0 default, 1 software-protected: with memory attributes
export const VM_GMEM_PROFILE: usize = 860; // u32, abi/kvm.ts GmemProfile
export const VM_GFN_MAX: usize = 864; // u64, where guest-physical addresses end (MAXPHYADDR)
export const VM_ATTRIBUTES: usize = 872; // u32, root of the set of private gfns (memslot/attributes.ts)
export const VM_DIRTY_SLOTS: usize = 876; // u32, slots with a dirty log
export const VM_MANUAL_PROTECT: usize = 880; // u32, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2
export const VM_PML: usize = 884; // u32, not 0: dirty logs by page-modification logging; 2: there has been one
export const VM_INVALIDATING: usize = 888; // u32, mmu_invalidate_in_progress
export const VM_LOCK_BITS: usize = 892; // u32, which bits may choose a lock, as the VM's slots and files lie
export const VM_INVALID_FROM: usize = 896; // u64, the gfns that are being invalidated
export const VM_INVALID_END: usize = 904; // u64
export const VM_KVM_COUNTERS: usize = 912; // u64 × 8, KvmCounter; rare enough for all threads to share
export const VM_TASK_POLICY: usize = 976; // u32, NUMA policy of the VMM (mm/policy.ts), 0 default
export const VM_INTERLEAVED: usize = 980; // u32, pages that went round its nodes
export const VM_POLICIES: usize = 984; // u32 × 15, policies of mappings
export const VM_RECORD_END: usize = 1048;

// Run record fields behind those of abi/status.ts.
export const RUN_MODE: usize = 128; // u32, what a vCPU thread is doing (base/window.ts); a line of its own
export const RUN_HERE: usize = 192; // HERE_* of this thread
export const RUN_EVENTS: usize = 224; // u32, address of its event ring, 0 = none yet
export const RUN_FENCE: usize = 228; // u32, written to order stores before loads
export const RUN_MISSED: usize = 232; // u32, lock of the chunk that reclaim last found busy, 0 = none
export const RUN_MISSED_OWNER: usize = 236; // u32, who held it
export const RUN_VMAS_FIRST: usize = 240; // u32, first of the VMA lists that this thread holds, 0 = none (mm/look-up.ts)
export const RUN_VMAS_LAST: usize = 244; // u32
export const RUN_MAPS_LEFT: usize = 248; // i32, VMAs that this thread may add on its own (mm/map-count.ts)
export const RUN_VMA: usize = 256; // 32 bytes, copy of the VMA last looked up
export const RUN_VMA_ASIDE: usize = 288; // 32 bytes, the same for reclaim, which comes in between
export const RUN_CACHE_ARENA: usize = 448; // page caches, frames/cache.ts: 256 bytes
export const RUN_CACHE_SWAP: usize = 704; // 256 bytes
export const RUN_LOCAL: usize = 960; // 576 bytes: the "thread" fields of the VM record, at the same offsets
export const RUN_CACHE_FRAMES: usize = 1536; // 512 bytes
assert(RUN_CACHE_SWAP + 256 <= RUN_LOCAL && RUN_LOCAL + VM_LOCAL_END <= RUN_CACHE_FRAMES && RUN_CACHE_FRAMES + 512 <= <usize>RUN_SIZE);

/** Host-virtual page number of the first mapping: 2^44 / 4096. Page state is indexed from here. */
export const VPN_BASE: u64 = 1 << 32;
/** User addresses end at 2^47. */
export const VPN_LIMIT: u64 = 1 << 35;

// The ring must fit in front of the run records, and those in front of the dynamic part.
assert(EVENTS + <usize>EVENT_CAPACITY * EVENT_SIZE <= RUN_BASE);
assert(RUN_BASE + <usize>(VM_MAX * VCPU_MAX) * RUN_SIZE <= HUGE_ZERO_PAGE);
