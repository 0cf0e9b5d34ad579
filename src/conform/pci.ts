// Replays recordings of configuration space (`slatbox conform pci`) on a machine's PCI bus.
// Reference: test/golden/pvmemcontrol/README.md, "PCI".
import { type Gpa, hex } from '../address.ts';
import { PVMEMCONTROL_BDF } from '../vmm/pci-bus.ts';
import type { BarMove } from '../vmm/pci-config.ts';
import { type PciCase, type PciReset, type PciStep, type PciTrace, parsePci } from './pci-trace.ts';
import { type Comparison, type ReplayCase, runCase } from './report.ts';
import type { OpenVm, ReplayVm } from './transport-door.ts';
import { openRecordedVm } from './transport-door.ts';
import { toHex } from './transport-trace.ts';

/** The recording has no RAM of its own; nothing in configuration space depends on it. */
const SETUP = { backing: 'private', ram: [{ gpa: 0n, size: 1 << 20 }] } as const;

const HEADER_SIZE = 256;
const COMMAND_REGISTER = 8;

const formatMoves = (moves: readonly BarMove[]): string =>
  moves.map(({ from, to, len }) => `${hex(from)} to ${hex(to)}, ${len} bytes`).join('; ') || 'no move';

/** The device answers on the MMIO bus at `window`. */
const answersAt = (vm: ReplayVm, window: number): boolean =>
  vm.bus.read(BigInt(window + COMMAND_REGISTER) as Gpa, new Uint8Array(4));

function doStep(step: PciStep, vm: ReplayVm, c: Comparison): void {
  if (step.op === 'config_read') {
    c.equal('value', hex(step.expect), hex(vm.pci.configRead(PVMEMCONTROL_BDF, step.offset, step.size)));
    return;
  }
  const moves = vm.pci.configWrite(PVMEMCONTROL_BDF, step.offset, step.size, step.value);
  c.equal('moves', formatMoves(step.moves), formatMoves(moves));
  const first = step.moves[0];
  const last = step.moves.at(-1);
  if (!first || !last) return;
  // A move that is only reported would be none: the bus must have followed.
  c.equal(`device answers at ${hex(last.to)}`, true, answersAt(vm, last.to));
  if (first.from !== last.to)
    c.equal(`device answers at ${hex(first.from)}`, false, answersAt(vm, first.from));
}

const describeStep = (step: PciStep): string =>
  `${step.op} of ${step.size} at offset ${hex(step.offset)}${step.op === 'config_write' ? `: ${hex(step.value)}` : ''}`;

export function replayPci({ steps }: PciCase, open: OpenVm) {
  return runCase(steps.length, async (c) => {
    const vm = await openRecordedVm(open, SETUP);
    for (const [i, step] of steps.entries()) {
      c.begin(i, describeStep(step));
      doStep(step, vm, c);
    }
  });
}

/** The content after reset, then which bits can be written: each register is given the opposite of what it reads. */
export function replayReset(reset: PciReset, open: OpenVm) {
  return runCase(1, async (c) => {
    const vm = await openRecordedVm(open, SETUP);
    const read = (offset: number, size: number): number => vm.pci.configRead(PVMEMCONTROL_BDF, offset, size);
    c.begin(0, 'config_read of every byte');
    const bytes = Uint8Array.from({ length: 4096 }, (_, offset) => read(offset, 1));
    c.equal('bytes 0 to 255', toHex(reset.bytes), toHex(bytes.subarray(0, HEADER_SIZE)));
    const stray = bytes.findIndex((byte, offset) => offset >= HEADER_SIZE && byte !== 0);
    c.equal('first byte of 256 to 4095 that is not zero', -1, stray);
    c.begin(0, 'config_write of every register');
    for (let offset = 0; offset < HEADER_SIZE; offset += 4) {
      const before = read(offset, 4);
      vm.pci.configWrite(PVMEMCONTROL_BDF, offset, 4, ~before >>> 0);
      const changed = (before ^ read(offset, 4)) >>> 0;
      c.equal(`writable bits at ${hex(offset)}`, hex(reset.writable.get(offset) ?? 0), hex(changed));
    }
  });
}

/** The cases of a `pci` file: `reset-content`, then the recorded sequences. */
export function pciCases(text: string, file: string, open: OpenVm): ReplayCase[] {
  const trace: PciTrace = parsePci(text, file);
  const about = { file, tags: [], properties: {} };
  return [
    { ...about, name: 'reset-content', run: () => replayReset(trace.reset, open) },
    ...trace.cases.map((recorded) => ({
      ...about,
      name: recorded.name,
      run: () => replayPci(recorded, open),
    })),
  ];
}
