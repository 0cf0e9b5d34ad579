// The library's Vm behind the doors of the device kinds: a fresh machine for each case.
// Reference: docs/conform.md.
import { createSandbox } from '../index.ts';
import type { HostOptions } from '../types.ts';
import type { OpenVm } from './transport-door.ts';

/** `host` chooses the build of the core, the kind of wasm memory and the size of the frame pool. */
export const openSandboxVm = (host: HostOptions = {}): OpenVm => {
  const { memory, ...rest } = host;
  const pool = memory === undefined ? {} : { pool: memory };
  return (vm) => createSandbox({ ...rest, ...pool, ...vm });
};
