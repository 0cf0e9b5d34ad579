// The table of `sample` steps: who has the host's memory at these moments, with a bar to see its course.
import type { Sample } from '../scenario/result.ts';
import type { HostMemory } from '../scenario/snapshot.ts';
import { formatSize } from '../size.ts';

const BAR = 24;
/** More columns than this do not fit a terminal: then only the sum of the VMs. */
const MOST_VMS = 4;

/** Host memory: frames in use, swap, what KSM saves, resident memory of the VMs; `#` frames and `~` swap. */
export function sampleTable(samples: readonly Sample[]): string {
  const names = Object.keys(samples[0]?.memory.vms ?? {});
  const each = names.length > 1 && names.length <= MOST_VMS;
  const head = ['step', 'host memory', 'used', 'swap', 'KSM saves', 'rss', ...(each ? names : [])];
  const rss = ({ vms }: HostMemory): number => Object.values(vms).reduce((sum, vm) => sum + vm.rss, 0);
  const rows = samples.map(({ step, name, memory }) => [
    ...[step, name],
    ...[memory.used, memory.swap, memory.saved, rss(memory)].map(formatSize),
    ...(each ? names.map((vm) => formatSize(memory.vms[vm]?.rss ?? 0)) : []),
  ]);
  const width = head.map((_, i) => Math.max(...[head, ...rows].map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row.map((cell, i) => (i === 1 ? cell.padEnd(width[i] ?? 0) : cell.padStart(width[i] ?? 0))).join('  ');
  const most = Math.max(1, ...samples.map(({ memory }) => memory.used + memory.swap));
  const bar = ({ used, swap }: HostMemory): string => {
    const part = (bytes: number): number => Math.round((bytes / most) * BAR);
    return `${'#'.repeat(part(used))}${'~'.repeat(part(used + swap) - part(used))}`;
  };
  const lines = [line(head), ...samples.map(({ memory }, i) => `${line(rows[i] ?? [])}  ${bar(memory)}`)];
  return `${lines.map((text) => text.trimEnd()).join('\n')}\n`;
}
