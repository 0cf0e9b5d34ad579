// VMA flags with Linux's own values (include/linux/mm.h), as far as they occur here.
// Values from 2^31 on are negative when read as i32: use `>>> 0`.

export const VM_READ = 0x1;
export const VM_WRITE = 0x2;
export const VM_EXEC = 0x4;
export const VM_SHARED = 0x8;
export const VM_MAYEXEC = 0x40;
/** VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC; of a guest_memfd without the last. */
export const VM_MAY = 0x70;
export const VM_MAYSHARE = 0x80;
export const VM_LOCKED = 0x2000;
export const VM_SEQ_READ = 0x8000;
export const VM_RAND_READ = 0x10000;
export const VM_DONTCOPY = 0x20000;
export const VM_DONTEXPAND = 0x40000;
/** Pages are brought in when they are touched, and stay. */
export const VM_LOCKONFAULT = 0x80000;
export const VM_ACCOUNT = 0x100000;
export const VM_NORESERVE = 0x200000;
export const VM_HUGETLB = 0x400000;
export const VM_WIPEONFORK = 0x2000000;
export const VM_DONTDUMP = 0x4000000;
export const VM_HUGEPAGE = 0x20000000;
export const VM_NOHUGEPAGE = 0x40000000;
export const VM_MERGEABLE = 0x80000000;

// Ours, on bits that guest RAM never uses (VM_GROWSDOWN, VM_UFFD_MISSING, VM_PFNMAP, none, VM_UFFD_WP, VM_SYNC and VM_ARCH_1,
// VM_SOFTDIRTY and VM_MIXEDMAP):
/** The VMA has a name; it takes part in merging like any flag. */
export const VMA_NAMED = 0x100;
/** The name is an index into the host language's list of texts, not the N of `pvmemcontrol-N`. */
export const VMA_NAME_TEXT = 0x200;
/** It maps a file (vm_file): its name is the file and where in it the VMA is (mm/file.ts). */
export const VMA_FILE = 0x400;
/** Its hugetlb pages have 1 GiB (hstate_vma). */
export const VMA_GIGANTIC = 0x800;
/** Anonymous, and moved by mremap since its first page came: its vm_pgoff is not that of its address, so it joins no neighbour. */
export const VMA_MOVED = 0x1000;
/** Which NUMA policy of the VM's it has, 0 none: the lower and the upper two bits of the number (mm/policy.ts). */
export const VMA_POLICY_LOW = 0x1800000;
export const VMA_POLICY_HIGH = 0x18000000;
