// The question itself: ten guests of 10 GiB each on one host, and who says so. Each is the guest of snp-guest.ts with less RAM.

import { bootSnpGuest, type SnpInputs } from './snp-guest.ts';
import { answers, memcgStat, processSizes } from './snp-report.ts';
import { scaled } from './views.ts';

/** What is said of one QEMU, in bytes. */
export interface FleetRow {
  readonly virt: number;
  readonly res: number;
  /** memory.stat of its cgroup. */
  readonly file: number;
  readonly unevictable: number;
  /** What a call that asks for its guest_memfds would answer. */
  readonly asked: number;
}

/** `count` guests with `pages` pages of RAM each. */
export function fleet(inputs: SnpInputs, count: number, pages: number): FleetRow[] {
  const guest = bootSnpGuest({ ...inputs, ram: { ...inputs.ram, pages } });
  const { virt, res } = processSizes(guest, 'as-is');
  const stat = memcgStat(guest);
  const row = {
    virt,
    res,
    file: stat.file?.bytes ?? 0,
    unevictable: stat.unevictable?.bytes ?? 0,
    asked: answers(guest).reduce((sum, { allocated }) => sum + allocated, 0),
  };
  // They are all alike, and no guest's counters know of another.
  return Array.from({ length: count }, () => row);
}

/** A line for each guest, and their sum: Cached of the host has the sum of `file`, and more. */
export function fleetText(rows: readonly FleetRow[]): string {
  const line = (name: string, cells: readonly string[]): string =>
    `${name.padEnd(6)} ${cells.map((cell, i) => cell.padStart([7, 7, 7, 11, 7][i] ?? 0)).join(' ')}\n`;
  const sum = (key: keyof FleetRow): number => rows.reduce((n, row) => n + row[key], 0);
  const cells = (of: (key: keyof FleetRow) => number): string[] =>
    (['virt', 'res', 'file', 'unevictable', 'asked'] as const).map((key) => scaled(of(key), 6));
  return (
    line('', ['VIRT', 'RES', 'file', 'unevictable', 'asked']) +
    rows
      .map((row, i) =>
        line(
          `qemu ${i}`,
          cells((key) => row[key]),
        ),
      )
      .join('') +
    line('sum', cells(sum))
  );
}
