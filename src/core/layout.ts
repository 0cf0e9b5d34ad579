// The places in linear memory that TypeScript looks at. Same names and numbers as assembly/base/layout.ts,
// assembly/mm/vma.ts and assembly/frames/pool.ts, which a test compares one by one.

export const HOST = 0x10000;
export const SCRATCH = 0x61000;
export const SCRATCH_SIZE = 0x100000;
export const EVENTS = 0x161000;
export const RUN_BASE = 0x400000;
export const HUGE_ZERO_PAGE = 0x600000;
export const DYNAMIC = 0x800000;

export const HOST_FRAMES = HOST + 0;
export const HOST_ARENA = HOST + 64;
export const HOST_SWAP = HOST + 128;
export const HOST_EVENTS_ON = HOST + 196;
export const HOST_TABLES = HOST + 200;
export const HOST_FILES = HOST + 208;
export const HOST_KSM_NODES = HOST + 224;
export const HOST_KSM_SCANS = HOST + 232;
export const TABLE_SIZE = 64;
export const HOST_GIGANTIC_BASE = HOST + 324;
export const HOST_GIGANTIC_TOTAL = HOST + 328;
export const HOST_GIGANTIC_FREE = HOST + 332;
export const HOST_GIGANTIC_USED = HOST + 336;
export const HOST_NODE_LABELS = HOST + 448;
export const HOST_NODE_COUNT = HOST + 452;
export const HOST_EVENT_SEQ = HOST + 384;

export const VM_ROOT = 8;
export const VM_RSS = 80;
export const VM_SWAP = 88;
export const VM_MAPPED = 96;
export const VM_BAR0 = 104;
export const VM_DEV_STATE = 112;
export const VM_DEV_PAYLOAD = 120;
export const VM_DEV_COMMAND = 128;
export const VM_DEV_CONNS = 132;
export const VM_LOCKED_VM = 208;
export const VM_HUGETLB = 216;
export const VM_MAPPED_HUGE = 224;
export const VM_COUNTERS = 256;
export const VM_MEMORY = 544;
export const VM_MEMORY_MAX = 552;
export const VM_MEMORY_SWAP = 560;
export const VM_MEMORY_SWAP_MAX = 568;
export const VM_VMA_COUNT = 596;
export const VM_PEAK = 632;
export const VM_SLOT_COUNT = 844;
export const VM_TYPE = 856;
export const VM_GMEM_PROFILE = 860;
export const VM_MANUAL_PROTECT = 880;
export const VM_INVALIDATING = 888;
export const VM_KVM_COUNTERS = 912;
export const VM_TASK_POLICY = 976;
export const VM_INTERLEAVED = 980;

// What rangeStats leaves at SCRATCH, assembly/observe/stats.ts.
export const STAT_RSS = 0;
export const STAT_PRIVATE_DIRTY = 8;
export const STAT_LAZY = 16;
export const STAT_SWAP = 24;
export const STAT_SHARED_CLEAN = 40;
export const STAT_SHARED_DIRTY = 48;
export const STAT_KSM = 56;
export const STAT_ANON = 64;
export const STAT_ANON_HUGE = 72;
export const STAT_HUGETLB = 80;
export const STAT_PSS = 88;
export const STAT_PSS_DIRTY = 96;
export const STAT_PSS_ANON = 104;
export const STAT_FILE_SWAP = 112;

// What pagesUsage, fileUsage and leavesUsage leave at SCRATCH, assembly/observe/usage.ts.
export const USE_ANON = 0;
export const USE_KSM = 8;
export const USE_ANON_HUGE = 16;
export const USE_HELD = 24;
export const USE_HUGETLB = 32;
export const USE_SWAPPED = 40;
export const USE_LOCKED = 48;
export const USE_CACHED = 56;
export const USE_MAPPED = 64;
export const USE_ENTRIES = 72;
export const USE_UNEVICTABLE = 80;
export const USE_KSM_SHARE = 88;
export const USE_LEAVES = 96;
export const USE_NODES = 128;
export const USE_NODES_UNEVICTABLE = 192;
export const USE_NODES_MAPPED = 256;
export const USE_NODES_HUGE = 320;

// What pageBacking leaves at SCRATCH, assembly/observe/page.ts.
export const PAGE_FRAME = 0;
export const PAGE_SLOT = 4;
export const PAGE_HUGE = 8;
export const PAGE_PARTS = 12;
export const PAGE_AS_ONE = 16;
export const PAGE_MAPPINGS = 20;
export const PAGE_FILE_FRAME = 24;
export const PAGE_FILE_SLOT = 28;

export const HOST_SHARED = HOST + 204;

// The VMM's map of RAM, assembly/memslot/ram.ts.
export const RAM_BASE = 0;
export const RAM_VPN = 16;

// A slot of KVM, assembly/memslot/table.ts.
export const SLOT_BASE = 0;
export const SLOT_END = 8;
export const SLOT_VPN = 16;
export const SLOT_ID = 24;
export const SLOT_FLAGS = 28;
export const SLOT_FILE = 32;
export const SLOT_FILE_PAGE = 40;

export const VMA_START = 0;
export const VMA_END = 8;
export const VMA_FLAGS = 16;
export const VMA_ANON = 20;
export const VMA_NAME = 24;

// Record of a file, assembly/mm/file.ts.
export const FILE_NEXT = 24;
export const FILE_KIND = 32;
export const FILE_FLAGS = 36;
export const FILE_SIZE = 40;
export const FILE_OWNER = 52;
export const FILE_FIRST = 64;

// Pool record, assembly/frames/pool.ts.
export const POOL_BASE = 0;
export const POOL_BUMP = 8;
export const POOL_STACK = 12;
export const POOL_STACKED = 16;
export const POOL_HIGH = 20;
export const POOL_GROUPS = 32;
