// The seven kinds of mapping the model knows, as the facts in which they differ.
// Reference: test/golden/mm/README.md, section "The mapping".

export type MmMode = 'anon' | 'anon_acct' | 'memfd' | 'memfd_priv' | 'thp' | 'hugetlb' | 'hugetlb_shared';

export interface Mapping {
  /** MAP_SHARED: pages are the file's own, there are no copies and no anon_vma. */
  readonly shared: boolean;
  /** vm_file is set. Private hugetlb memory has a file of its own inside, so REMOVE and names see one. */
  readonly hasFile: boolean;
  /** 2 MiB pages: never, where they fit (MADV_HUGEPAGE), or nothing else (MAP_HUGETLB). */
  readonly huge: 'never' | 'thp' | 'hugetlb';
  /** Commit accounting (VM_ACCOUNT) applies: private, without MAP_NORESERVE, not hugetlb. */
  readonly accounted: boolean;
  /** smaps flags that no call of the model changes. */
  readonly flags: readonly string[];
}

const mapping = (mode: Partial<Mapping> & Pick<Mapping, 'flags'>): Mapping => ({
  shared: false,
  hasFile: false,
  huge: 'never',
  accounted: false,
  ...mode,
});

export const MAPPINGS: Readonly<Record<MmMode, Mapping>> = {
  anon: mapping({ flags: ['nr', 'nh'] }),
  anon_acct: mapping({ accounted: true, flags: ['nh'] }),
  memfd: mapping({ shared: true, hasFile: true, flags: ['sh', 'ms'] }),
  memfd_priv: mapping({ hasFile: true, accounted: true, flags: [] }),
  thp: mapping({ huge: 'thp', flags: ['nr', 'hg'] }),
  hugetlb: mapping({ hasFile: true, huge: 'hugetlb', flags: ['de', 'ht'] }),
  hugetlb_shared: mapping({ shared: true, hasFile: true, huge: 'hugetlb', flags: ['sh', 'ms', 'de', 'ht'] }),
};

/** vma_is_anonymous() */
export const isAnonymousMapping = ({ hasFile }: Mapping): boolean => !hasFile;
/** vma_ksm_compatible(): MERGEABLE and UNMERGEABLE elsewhere are ignored, without an error. */
export const ksmCompatible = ({ shared, huge }: Mapping): boolean => !shared && huge !== 'hugetlb';
