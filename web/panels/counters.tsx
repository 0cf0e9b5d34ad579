// All counters at the time cursor, each with whose view it is and what the last step changed.
import { changeIn, type StepResult } from '../../src/scenario/index.ts';
import type { Counters } from '../../src/types.ts';
import { counterText, signed } from '../format.ts';

export interface CountersPanelProps {
  readonly results: readonly StepResult[];
  readonly counters: Counters;
  readonly step: number;
  /** Whose they are. */
  readonly vm: string;
}

export function CountersPanel({ results, counters, step, vm }: CountersPanelProps) {
  const last = step > 0 ? results[step - 1] : undefined;
  return (
    <div className="counters">
      <div className="scroll">
        <table>
          <caption>All counters at step {step}; Δ is what the last step changed</caption>
          <thead>
            <tr>
              <th scope="col">counter</th>
              <th scope="col">whose</th>
              <th scope="col">value</th>
              <th scope="col">Δ</th>
            </tr>
          </thead>
          <tbody>
            {Object.entries(counters).map(([name, value]) => {
              const change = last ? changeIn(last, vm, name) : 0;
              return (
                <tr key={name} className={change !== 0 ? 'changed' : value === 0 ? 'zero' : ''}>
                  <th scope="row">
                    <code>{name}</code>
                  </th>
                  <td>{whose(name)}</td>
                  <td className="number">{counterText(name, value)}</td>
                  <td className="number">{signed(change, (n) => counterText(name, n))}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </div>
  );
}

/** Every number says whose view it is. */
const OWNERS: readonly (readonly [RegExp, string])[] = [
  [/^host\.|^vmas\.|^faults\.|^hostcalls\./, 'VMM process'],
  [/^memory\./, 'cgroup'],
  [/^frames\.|^reclaim\.|^pool\.|^swap\.|^ksm\./, 'host kernel'],
  [/^slat\.|^exits\.|^notifier\.|^dirty\.|^attributes\./, 'KVM'],
  [/^requests\./, 'device'],
];
const whose = (name: string): string => OWNERS.find(([pattern]) => pattern.test(name))?.[1] ?? 'slatbox';
