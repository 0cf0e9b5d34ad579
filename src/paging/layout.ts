// How the bits of a value read, for people: fields from the highest bit down, each with what its value means.

export interface BitField {
  readonly high: number;
  readonly low: number;
  readonly name: string;
  readonly meaning: (value: bigint) => string;
}

export interface BitLayout {
  readonly name: string;
  readonly bits: 32 | 64;
  /** From the highest bit down; bits that no field covers are ignored or zero. */
  readonly fields: readonly BitField[];
}

export const fieldValue = (value: bigint, { high, low }: BitField): bigint =>
  (value >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n);

export const oneBit = (at: number, name: string, set: string, clear: string): BitField => ({
  high: at,
  low: at,
  name,
  meaning: (v) => (v ? set : clear),
});

export const field = (high: number, low: number, name: string, meaning: BitField['meaning']): BitField => ({
  high,
  low,
  name,
  meaning,
});
