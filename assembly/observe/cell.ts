// Cells of a raster: bytes in the scratch area. Reference: raster.ts.
import { SCRATCH } from '../base/layout';

// @ts-ignore: decorator
@inline
export function mark(cell: usize, bits: u32): void {
  store<u8>(SCRATCH + cell, load<u8>(SCRATCH + cell) | <u8>bits);
}
