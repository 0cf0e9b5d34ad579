// Where everything lies in linear memory. docs/memory-map.md is the same for people.
//
//   0x0000_0000    1 KiB  nothing (address 0 stays invalid)
//   0x0000_0400           the module's static data
//   0x0001_0000   64 KiB  host header: pools, hands, host-wide counts
//   0x0002_0000  128 KiB  vCPU run records (128 B × 1024)
//   0x0004_0000  128 KiB  VM records (4 KiB × 32)
//   0x0006_0000    4 KiB  the shared zero page
//   0x0006_1000           scratch of the observers (1 MiB)
//   0x0016_1000  2.5 MiB  event ring
//   0x0040_1000           free stacks and table counts, then the metadata arena, the frame pool, the swap area
//
// State that threads share is here, at fixed addresses, never in AssemblyScript globals: every
// thread has its own instance of the module, and so its own globals.
import { EVENT_CAPACITY, EVENT_SIZE } from '../abi/events';

export const PAGE_SHIFT: u32 = 12;
export const PAGE_SIZE: u32 = 4096;

export const HOST: usize = 0x10000;
export const RUN_BASE: usize = 0x20000;
export const VM_BASE: usize = 0x40000;
export const VM_SIZE: usize = 4096;
export const VM_MAX: u32 = 32;
export const VCPU_MAX: u32 = 32; // per VM
export const ZERO_PAGE: usize = 0x60000;
export const SCRATCH: usize = 0x61000;
export const SCRATCH_SIZE: usize = 0x100000;
export const EVENTS: usize = 0x161000;
export const DYNAMIC: usize = 0x401000;

// Host header fields.
export const HOST_FRAMES: usize = HOST + 0; // pool record, frames/pool.ts
export const HOST_ARENA: usize = HOST + 64;
export const HOST_SWAP: usize = HOST + 128;
export const HOST_VM_COUNT: usize = HOST + 192; // u32
export const HOST_NEXT_ANON_VMA: usize = HOST + 196; // u32
export const HOST_EVENTS_ON: usize = HOST + 200; // u32
export const HOST_EVENT_SEQ: usize = HOST + 204; // u32, of the last event
export const HOST_CAUSE: usize = HOST + 208; // u32, seq of the event that everything now happens because of
export const HOST_CPU: usize = HOST + 212; // u32, vCPU now acting
export const HOST_HAND_VM: usize = HOST + 216; // u32, reclaim hand
export const HOST_LAZY: usize = HOST + 220; // u32, lazily freed pages on the host, written again or not
export const HOST_HAND_VPN: usize = HOST + 224; // u64
export const HOST_PIN_VM: usize = HOST + 232; // u32, page that reclaim must leave (a straddling access holds it)
export const HOST_TABLE_COUNTS: usize = HOST + 236; // u32, address of u16 per arena page: present entries
export const HOST_PIN_VPN: usize = HOST + 240; // u64
export const HOST_END: usize = HOST + 248;

// VM record fields.
export const VM_ID: usize = 0; // u32
export const VM_NAMES: usize = 4; // u32, CONFIG_ANON_VMA_NAME
export const VM_ROOT: usize = 8; // u32, address of the level-4 SLAT table
export const VM_CPUS: usize = 12; // u32
export const VM_DIR: usize = 16; // u32, address of the 1 GiB directory
export const VM_DIR_LEN: usize = 20; // u32, entries
export const VM_VMA_INDEX: usize = 24; // u32, address of the VMA block index
export const VM_VMA_BLOCKS: usize = 28; // u32
export const VM_VMA_COUNT: usize = 32; // u32
export const VM_MAX_MAPS: usize = 36; // u32, vm.max_map_count
export const VM_OTHER_MAPS: usize = 40; // u32, the VMM's own mappings, which count
export const VM_SLOTS: usize = 44; // u32, address of the slot table
export const VM_SLOT_COUNT: usize = 48; // u32
export const VM_PSC_TABLE: usize = 52; // u32, paging-structure cache: leaf table of VM_PSC_TAG
export const VM_PSC_TAG: usize = 56; // u64, gfn >> 9, ~0 = none
export const VM_LOCKED_VM: usize = 64; // u64 pages
export const VM_MEMLOCK: usize = 72; // u64 bytes, ~0 = privileged
export const VM_RSS: usize = 80; // u64 pages
export const VM_SWAP: usize = 88; // u64 pages
export const VM_MAPPED: usize = 96; // u64 SLAT leaf entries
export const VM_BAR0: usize = 104; // u64 gpa of the register window
export const VM_DEV_STATE: usize = 112; // u32
export const VM_DEV_ABI: usize = 116; // u32
export const VM_DEV_PAYLOAD: usize = 120; // u64
export const VM_DEV_COMMAND: usize = 128; // u32
export const VM_DEV_CONNS: usize = 132; // u32, connections
export const VM_DEV_CONN_DIR: usize = 136; // u32, address of the page of connection pages
export const VM_DEV_REQUEST: usize = 144; // 32 bytes: the request being run, later its response
export const VM_MMIO_GFN: usize = 184; // u64, gfn last found to have no slot, ~0 = none
export const VM_BUF_CONN: usize = 192; // u32, connection whose buffer's address is known, ~0 = none (device/pvmemcontrol/ram.ts)
export const VM_BUF_VPN: usize = 200; // u64
export const VM_BUF_AT: usize = 208; // u32, its address
export const VM_COUNTERS: usize = 256; // u64 × Counter.Count
export const VM_RECORD_END: usize = 512;

/** Host-virtual page number of the first mapping: 2^44 / 4096. Page state is indexed from here. */
export const VPN_BASE: u64 = 1 << 32;
/** User addresses end at 2^47. */
export const VPN_LIMIT: u64 = 1 << 35;

// The ring must fit in front of the dynamic part.
assert(EVENTS + <usize>EVENT_CAPACITY * EVENT_SIZE <= DYNAMIC);
