// The requests of the device by name, as steps of scenarios, counters and events name them.

/** The fifteen requests of the device, in the order of their function codes. */
export const REQUESTS = [
  'info',
  'dontneed',
  'remove',
  'free',
  'pageout',
  'dontdump',
  'set-vma-anon-name',
  'mlock',
  'munlock',
  'mprotect-none',
  'mprotect-r',
  'mprotect-w',
  'mprotect-rw',
  'mergeable',
  'unmergeable',
] as const;
export type RequestName = (typeof REQUESTS)[number];
type Camel<S extends string> = S extends `${infer A}-${infer B}` ? `${A}${Capitalize<Camel<B>>}` : S;
/** The request's name as a method: `mprotect-none` is `mprotectNone`. */
export type RequestMethod = Camel<RequestName>;
