// Bit layouts for the inspector: the registers of pvmemcontrol; those of page tables are the library's.
// Reference: linux uapi pvmemcontrol.h
import { hex } from '../../src/address.ts';
import { type BitLayout, field, oneBit } from '../../src/paging/index.ts';

/** A value somebody asked to see in bits. */
export interface Inspected {
  readonly title: string;
  readonly value: bigint;
  readonly layout: BitLayout;
}

const COMMANDS: Readonly<Record<string, string>> = {
  [String(0x060fe6d2)]: 'RESET',
  [String(0x0e359539)]: 'REGISTER',
  [String(0x0ca8d227)]: 'READY',
  [String(0x030f5da0)]: 'DISCONNECT',
  [String(0x03cf5196)]: 'ACK',
  [String(0x01fba249)]: 'ERROR',
};
export const commandName = (value: number): string => COMMANDS[String(value)] ?? 'no command';

export const COMMAND: BitLayout = {
  name: 'command register',
  bits: 32,
  fields: [
    oneBit(31, 'doorbell', 'a connection id: its request is executed', 'a transport command or its answer'),
    field(30, 0, 'command', (v) => commandName(Number(v))),
  ],
};

export const PAYLOAD: BitLayout = {
  name: 'payload register',
  bits: 64,
  fields: [
    field(63, 32, 'high', (v) => `bytes 4…7: ${hex(v)}`),
    field(31, 0, 'low', (v) => `bytes 0…3: ${hex(v)}, a connection id after REGISTER`),
  ],
};

/** A plain 64-bit number: no fields but its halves. */
export const PLAIN: BitLayout = {
  name: '64-bit value',
  bits: 64,
  fields: [field(63, 32, 'high', (v) => `${hex(v)} = ${v}`), field(31, 0, 'low', (v) => `${hex(v)} = ${v}`)],
};
