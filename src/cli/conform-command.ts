// `slatbox conform`: replays recordings of real software on the engine. Reference: docs/conform.md.
import { driverCases } from '../conform/driver.ts';
import { hostcallsCases } from '../conform/hostcalls.ts';
import { kvmCases } from '../conform/kvm.ts';
import { openVmKvmDoor } from '../conform/kvm-vm.ts';
import { mmCases } from '../conform/mm.ts';
import { openVmMmDoor } from '../conform/mm-vm.ts';
import { pciCases } from '../conform/pci.ts';
import {
  exitCode,
  formatJson,
  formatResult,
  formatTotal,
  type ReplayCase,
  runCases,
  type Selection,
  selectCases,
} from '../conform/report.ts';
import { transportCases } from '../conform/transport.ts';
import { openTransportDoor } from '../conform/transport-door.ts';
import { openSandboxVm } from '../conform/transport-vm.ts';
import { SlatboxError } from '../errors.ts';
import { suggestion } from '../scenario/suggest.ts';
import type { HostOptions } from '../types.ts';
import type { ExitCode } from './diagnostics.ts';
import { type Io, readText } from './io.ts';
import type { BuildOptions } from './scenarios.ts';

type CasesOf = (text: string, file: string, host: HostOptions) => ReplayCase[];

const KINDS: Readonly<Record<string, CasesOf>> = {
  transport: (text, file, host) => transportCases(text, file, openTransportDoor(openSandboxVm(host))),
  hostcalls: (text, file, host) => hostcallsCases(text, file, openSandboxVm(host)),
  pci: (text, file, host) => pciCases(text, file, openSandboxVm(host)),
  driver: (text, file, host) => driverCases(text, file, openSandboxVm(host)),
  mm: (text, file, host) => mmCases(text, file, openVmMmDoor(host)),
  kvm: (text, file, host) => kvmCases(text, file, openVmKvmDoor(host)),
};
export const conformKinds: readonly string[] = Object.keys(KINDS);

export interface ConformOptions extends BuildOptions, Selection {
  readonly format: 'text' | 'json';
}

export async function conformCommand(
  io: Io,
  kind: string,
  files: readonly string[],
  o: ConformOptions,
): Promise<ExitCode> {
  const casesOf = Object.hasOwn(KINDS, kind) ? KINDS[kind] : undefined;
  if (!casesOf) {
    throw new SlatboxError(
      'SLB-043',
      `there is no kind of recording "${kind}"`,
      suggestion(kind, conformKinds),
    );
  }
  const host: HostOptions = {
    ...(o.core && { core: o.core }),
    ...(o.memory && { wasmMemory: o.memory }),
  };
  // All files are read and understood before the first case runs: a late surprise would cost the most time.
  const cases = files.flatMap((file) => casesOf(readRecording(io, file), file, host));
  const chosen = selectCases(cases, o);
  const text = o.format === 'text';
  const results = await runCases(chosen, text ? (result) => io.out(`${formatResult(result)}\n`) : undefined);
  io.out(text ? `${formatTotal(results)}\n` : formatJson(results));
  return exitCode(results);
}

/** For recordings every unreadable file is the same mistake, whatever is wrong with it. */
function readRecording(io: Io, file: string): string {
  try {
    return readText(io, file);
  } catch (error) {
    if (error instanceof SlatboxError) throw new SlatboxError('SLB-030', error.message);
    throw error;
  }
}
