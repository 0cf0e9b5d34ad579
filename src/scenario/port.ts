// What a scenario needs of a VM: the guest's doors and the observers. `Vm` of machine.ts fits.
import type { Gpa } from '../address.ts';
import type { Access, AddressLike, Counters, DeviceSnapshot, Exit, Response, Size, Walk } from '../types.ts';
import type { RequestMethod } from './schema.ts';

type Cpu = { readonly cpu?: number };
type Range = { readonly gpa: AddressLike; readonly len: Size };
export type RequestArgs = Range & Cpu & { readonly arg?: bigint };

export interface ScenarioVm {
  readonly guest: {
    load(gpa: AddressLike, size: 1 | 2 | 4 | 8, o?: Cpu): Access;
    store(gpa: AddressLike, size: 1 | 2 | 4 | 8, value: bigint, o?: Cpu): Access;
    fetch(gpa: AddressLike, o?: Cpu): Access;
    read(gpa: AddressLike, len: Size, o?: Cpu): Uint8Array | Exit;
    write(gpa: AddressLike, bytes: Uint8Array, o?: Cpu): Exit | undefined;
    touch(o: Range & Cpu & { write?: boolean; byte?: number }): { pages: number; exit?: Exit | undefined };
    fill(o: Range & Cpu & { byte: number }): { pages: number; exit?: Exit | undefined };
    verify(o: Range & Cpu & { byte: number }): { differs: Gpa | undefined; exit?: Exit | undefined };
    readonly driver: {
      readonly bound: boolean;
      probe(): number;
      vmmCall(func: bigint, addr: bigint, length: bigint, arg?: bigint, cpu?: number): Response | number;
    };
    readonly pvmemcontrol: Readonly<Record<RequestMethod, (o: RequestArgs) => Response>>;
  };
  readonly pci: {
    configRead(bdf: number, offset: number, size: number): number;
    configWrite(bdf: number, offset: number, size: number, value: number): unknown;
  };
  readonly device: { snapshot(): DeviceSnapshot };
  readonly observe: { counters(): Counters; walk(gpa: AddressLike): Walk };
}
