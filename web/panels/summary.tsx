// The few numbers that tell most of the story, each with whose view it is and what the last step changed.
import type { StepResult } from '../../src/scenario/index.ts';
import type { Frame, Machine } from '../engine/port.ts';
import { bytesText, counterText, signed } from '../format.ts';

export interface SummaryProps {
  readonly frame: Frame;
  readonly machine: Machine;
  readonly last: StepResult | undefined;
}

const SHOWN: readonly { readonly key: string; readonly name: string; readonly whose: string }[] = [
  { key: 'host.rss', name: 'RSS', whose: 'VMM process' },
  { key: 'host.swap', name: 'Swap', whose: 'VMM process' },
  { key: 'slat.mapped', name: 'SLAT entries', whose: 'KVM' },
  { key: 'requests.total', name: 'Requests', whose: 'device' },
  { key: 'vmas.count', name: 'VMAs', whose: 'VMM process' },
];

export function Summary({ frame, machine, last }: SummaryProps) {
  const ram = machine.ram.reduce((sum, r) => sum + r.size, 0);
  return (
    <dl className="summary" aria-label="At a glance">
      <div>
        <dt>
          RAM <small>guest</small>
        </dt>
        <dd>{bytesText(ram)}</dd>
        <dd className="delta">
          {machine.cpus} {machine.cpus === 1 ? 'vCPU' : 'vCPUs'}
        </dd>
      </div>
      {SHOWN.map(({ key, name, whose }) => (
        <div key={key} data-counter={key}>
          <dt>
            {name} <small>{whose}</small>
          </dt>
          <dd>{counterText(key, frame.counters[key] ?? 0)}</dd>
          <dd className="delta">{signed(last?.changed[key] ?? 0, (n) => counterText(key, n))}</dd>
        </div>
      ))}
    </dl>
  );
}
