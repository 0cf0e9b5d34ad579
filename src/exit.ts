// Names of the ways in which an access ends outside of the guest.
import { Status } from '../assembly/abi/status.ts';
import type { Exit } from './types.ts';

/** Why an access that did not end well has left the guest. */
export function exitReason(status: Status): Exit['reason'] {
  switch (status) {
    case Status.InternalError:
      return 'INTERNAL_ERROR';
    case Status.OutOfMemory:
      return 'OUT_OF_MEMORY';
    case Status.Mmio:
      return 'MMIO';
    case Status.MemoryFault:
      return 'MEMORY_FAULT';
    case Status.Retry:
      return 'RETRY';
    default:
      return 'EFAULT';
  }
}
