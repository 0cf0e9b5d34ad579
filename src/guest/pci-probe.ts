// How the guest finds the device: a look at every function of bus 0, then enabling the one that matches.
// Reference: linux drivers/pci/probe.c (pci_scan_slot), drivers/pci/setup-res.c (pci_enable_resources).
import { Errno } from '../../assembly/abi/errno.ts';
import type { DriverPort } from './port.ts';

/** Device id in the high half, vendor id (Google) in the low half. */
const PVMEMCONTROL_ID = 0x0087_1ae0;

const ID = 0x00;
const COMMAND = 0x04;
const HEADER_TYPE = 0x0e;
const BAR0 = 0x10;

const COMMAND_MEMORY_SPACE = 1 << 1;
const HEADER_TYPE_MULTIFUNCTION = 1 << 7;
/** Set in the BAR of an I/O region. */
const BAR_IO = 1 << 0;
const BAR_ADDRESS = 0xfffffff0;

export type FoundDevice =
  | { readonly errno: 0; readonly bdf: number; readonly base: bigint }
  | { readonly errno: Errno.ENODEV | Errno.EINVAL };

/** The function with pvmemcontrol's id, with memory space on, and where its registers are. */
export function findDevice(port: DriverPort): FoundDevice {
  const bdf = scanBus(port);
  if (bdf === undefined) return { errno: Errno.ENODEV };
  const bar = port.configRead(bdf, BAR0, 4);
  // pci_enable_device refuses a region that nobody gave an address; the driver can map memory only.
  if (bar & BAR_IO || (bar & BAR_ADDRESS) === 0) return { errno: Errno.EINVAL };
  const command = port.configRead(bdf, COMMAND, 2);
  if ((command & COMMAND_MEMORY_SPACE) === 0) {
    port.configWrite(bdf, COMMAND, 2, command | COMMAND_MEMORY_SPACE);
  }
  return { errno: 0, bdf, base: BigInt((bar & BAR_ADDRESS) >>> 0) };
}

function scanBus(port: DriverPort): number | undefined {
  for (let device = 0; device < 32; device++) {
    for (let fn = 0; fn < 8; fn++) {
      const bdf = (device << 3) | fn;
      if (port.configRead(bdf, ID, 4) === PVMEMCONTROL_ID) return bdf;
      // Only function 0 is there unless its header says otherwise; an absent one reads all ones.
      if (fn === 0 && !isMultifunction(port, bdf)) break;
    }
  }
  return undefined;
}

function isMultifunction(port: DriverPort, bdf: number): boolean {
  const header = port.configRead(bdf, HEADER_TYPE, 1);
  return header !== 0xff && (header & HEADER_TYPE_MULTIFUNCTION) !== 0;
}
