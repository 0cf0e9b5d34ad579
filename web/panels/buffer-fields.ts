// The 32 bytes of a per-CPU buffer, read both ways. Little-endian. Which of the two it is at the moment the bytes
// do not say: after an ignored doorbell a driver reads its own request as the answer.
// Reference: linux uapi pvmemcontrol.h, struct pvmemcontrol_buf.
import type { AbiName } from '../../src/types.ts';
import { errnoName, functionName } from '../model/names.ts';

export interface BufferField {
  readonly name: string;
  readonly value: bigint;
  readonly meaning: string;
}

const u64 = (bytes: Uint8Array, offset: number): bigint => view(bytes).getBigUint64(offset, true);
const u32 = (bytes: Uint8Array, offset: number): bigint => BigInt(view(bytes).getUint32(offset, true));
const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export function requestFields(bytes: Uint8Array, abi: AbiName): BufferField[] {
  const func = u64(bytes, 0);
  return [
    { name: 'func_code', value: func, meaning: functionName(func, abi) },
    { name: 'addr', value: u64(bytes, 8), meaning: 'guest-physical' },
    { name: 'length', value: u64(bytes, 16), meaning: 'bytes' },
    { name: 'arg', value: u64(bytes, 24), meaning: '' },
  ];
}

export function responseFields(bytes: Uint8Array): BufferField[] {
  const errno = u32(bytes, 0);
  return [
    { name: 'ret_errno', value: errno, meaning: errnoName(errno) },
    { name: 'ret_code', value: u32(bytes, 4), meaning: '' },
    { name: 'ret_value', value: u64(bytes, 8), meaning: '' },
    { name: 'arg0', value: u64(bytes, 16), meaning: '' },
    { name: 'arg1', value: u64(bytes, 24), meaning: '' },
  ];
}
