// The few numbers that tell most of the story, each with whose view it is and what the last step changed. What the VMM maps
// (RSS) and what the host has given away (frames in use) stand side by side: they are not the same.
import { changeIn, type StepResult } from '../../src/scenario/index.ts';
import type { Frame, Machine } from '../engine/port.ts';
import { bytesText, counterText, signed } from '../format.ts';

export interface SummaryProps {
  readonly frame: Frame;
  readonly machine: Machine;
  /** Index of the machine. */
  readonly vm: number;
  readonly last: StepResult | undefined;
  /** Memory before the last step. */
  readonly before: StepResult | undefined;
}

interface Shown {
  readonly key: string;
  readonly name: string;
  readonly whose: string;
}
const RSS: Shown = { key: 'host.rss', name: 'RSS', whose: 'VMM, mapped' };
const HUGETLB: Shown = { key: 'host.hugetlb', name: 'hugetlb', whose: 'VMM, mapped' };
const SWAP: Shown = { key: 'host.swap', name: 'Swap', whose: 'VMM process' };
const REST: readonly Shown[] = [
  { key: 'slat.mapped', name: 'SLAT entries', whose: 'KVM' },
  { key: 'vmas.count', name: 'VMAs', whose: 'VMM process' },
];

export function Summary({ frame, machine, vm, last, before }: SummaryProps) {
  const ram = machine.ram.reduce((sum, r) => sum + r.size, 0);
  const counters = frame.vms[vm]?.counters ?? {};
  // hugetlb pages are never swapped.
  const isHugetlb = machine.backing.startsWith('hugetlb');
  const tile = ({ key, name, whose }: Shown) => (
    <Tile
      key={key}
      id={key}
      name={name}
      whose={whose}
      value={counterText(key, counters[key] ?? 0)}
      delta={signed(last ? changeIn(last, machine.name, key) : 0, (n) => counterText(key, n))}
    />
  );
  return (
    <dl className="summary" aria-label="At a glance">
      <Tile
        id="ram"
        name="RAM"
        whose={`guest, ${machine.backing}`}
        value={bytesText(ram)}
        delta={`${machine.cpus} ${machine.cpus === 1 ? 'vCPU' : 'vCPUs'}`}
      />
      {tile(RSS)}
      {isHugetlb ? tile(HUGETLB) : null}
      <Tile
        id="used"
        name="Frames in use"
        whose="host, held"
        value={bytesText(frame.host.used)}
        delta={signed(last ? last.memory.used - (before?.memory.used ?? 0) : 0, bytesText)}
      />
      {isHugetlb ? null : tile(SWAP)}
      {REST.map(tile)}
    </dl>
  );
}

interface TileProps {
  readonly id: string;
  readonly name: string;
  readonly whose: string;
  readonly value: string;
  readonly delta: string;
}

function Tile({ id, name, whose, value, delta }: TileProps) {
  return (
    <div data-counter={id}>
      <dt>
        {name} <small>{whose}</small>
      </dt>
      <dd>{value}</dd>
      <dd className="delta">{delta}</dd>
    </div>
  );
}
