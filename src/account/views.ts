// The texts in which Linux and its tools say who uses memory: top, memory.stat, memory.numa_stat, numa_maps, numastat.
// Reference: procps top (scale_mem), linux mm/memcontrol.c (memory_stat_format, memory_numa_stat_show),
// fs/proc/task_mmu.c (show_numa_map), mm/mempolicy.c (mpol_to_str), numactl numastat.c.
import { Mpol } from '../../assembly/abi/mempolicy.ts';
import type { Policy } from './policy.ts';

const KIB = 1024;
const MIB = 2 ** 20;

/** Of a process, in bytes. */
export interface ProcessSizes {
  readonly virt: number;
  readonly res: number;
  readonly shr: number;
}

/** A line of numa_maps; numbers of pages. */
export interface NumaMapsLine {
  readonly start: bigint;
  readonly policy: Policy;
  /** As in /proc/PID/maps. */
  readonly file?: string;
  readonly anon: number;
  readonly dirty: number;
  /** Mappings of the page that has most. */
  readonly mapmax: number;
  readonly active: number;
  /** Mapped pages by node. */
  readonly nodes: readonly number[];
  readonly kernelPageSize: number;
  /** hugetlb memory, counted in its own pages. */
  readonly huge?: boolean;
}

/** The counters of a memory cgroup, in bytes, by memory.stat's names; those with `nodes` are in memory.numa_stat too. */
export type MemcgStat = Readonly<
  Record<string, { readonly bytes: number; readonly nodes?: readonly number[] }>
>;

/** What top prints in a column of `width`: KiB as long as they fit, then m, g, t. */
export function scaled(bytes: number, width: number): string {
  let size = bytes / KIB;
  if (String(Math.round(size)).length <= width) return String(Math.round(size));
  for (const unit of 'mgt') {
    size /= KIB;
    const text = `${size.toFixed(1)}${unit}`;
    if (text.length <= width) return text;
  }
  return '?'.repeat(width);
}

/** `VIRT RES SHR %MEM` of top. */
export function topText({ virt, res, shr }: ProcessSizes, memTotal: number): string {
  const row = (cells: readonly string[]): string =>
    `${[7, 6, 6, 5].map((width, i) => (cells[i] as string).padStart(width)).join(' ')}\n`;
  const percent = ((100 * res) / memTotal).toFixed(1);
  return (
    row(['VIRT', 'RES', 'SHR', '%MEM']) + row([scaled(virt, 7), scaled(res, 6), scaled(shr, 6), percent])
  );
}

export const memoryStatText = (stat: MemcgStat): string =>
  Object.entries(stat)
    .map(([name, { bytes }]) => `${name} ${bytes}\n`)
    .join('');

export const numaStatText = (stat: MemcgStat): string =>
  Object.entries(stat)
    .filter(([, { nodes }]) => nodes !== undefined)
    .map(([name, { nodes }]) => `${name} ${byNode(nodes as readonly number[]).join(' ')}\n`)
    .join('');

export const byNode = (nodes: readonly number[]): string[] => nodes.map((n, i) => `N${i}=${n}`);

const MODES: Readonly<Record<Mpol, string>> = {
  [Mpol.Default]: 'default',
  [Mpol.Preferred]: 'prefer',
  [Mpol.Bind]: 'bind',
  [Mpol.Interleave]: 'interleave',
  [Mpol.Local]: 'local',
};

/** mpol_to_str: `interleave:2-3`. */
function policyText({ mode, nodes }: Policy): string {
  const ranges: [number, number][] = [];
  for (const n of nodes) {
    const last = ranges.at(-1);
    if (last && last[1] === n - 1) last[1] = n;
    else ranges.push([n, n]);
  }
  const list = ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(',');
  return nodes.length === 0 ? MODES[mode] : `${MODES[mode]}:${list}`;
}

export const numaMapsText = (lines: readonly NumaMapsLine[]): string =>
  lines.map((line) => `${numaMapsLine(line)}\n`).join('');

function numaMapsLine(line: NumaMapsLine): string {
  const { start, policy, file, anon, dirty, mapmax, active, nodes, kernelPageSize, huge } = line;
  const pages = nodes.reduce((a, b) => a + b, 0);
  const head = `${start.toString(16).padStart(8, '0')} ${policyText(policy)}`;
  const name = [
    ...(file === undefined ? [] : [`file=${file.replaceAll(' ', '\\040')}`]),
    ...(huge ? ['huge'] : []),
  ];
  if (pages === 0) return [head, ...name].join(' ');
  return [
    head,
    ...name,
    ...(anon > 0 ? [`anon=${anon}`] : []),
    ...(dirty > 0 ? [`dirty=${dirty}`] : []),
    ...(pages !== anon && pages !== dirty ? [`mapped=${pages}`] : []),
    ...(mapmax > 1 ? [`mapmax=${mapmax}`] : []),
    ...(active < pages && !huge ? [`active=${active}`] : []),
    ...nodes.flatMap((n, i) => (n > 0 ? [`N${i}=${n}`] : [])),
    `kernelpagesize_kB=${kernelPageSize / KIB}`,
  ].join(' ');
}

/** One guest_memfd as a call that asks for it would answer: in bytes. */
export interface FileAnswer {
  readonly size: number;
  readonly allocated: number;
  readonly nodes: readonly number[];
}

/** A line for each guest_memfd. No kernel has this call; the discussion asks for one. */
export const answersText = (answers: readonly FileAnswer[]): string =>
  answers
    .map(
      ({ size, allocated, nodes }, i) =>
        `guest_memfd ${i}: size ${size} allocated ${allocated} ${byNode(nodes).join(' ')}\n`,
    )
    .join('');

/** A table of numastat, in MB with two digits: a line for each row, the sum behind the nodes. */
export function numastatText(title: string, rows: readonly (readonly [string, readonly number[]])[]): string {
  const cell = (text: string): string => text.padStart(15);
  const nodes = rows[0]?.[1].length ?? 0;
  const head = Array.from({ length: nodes }, (_, n) => cell(`Node ${n}`)).join(' ');
  const line = ([name, bytes]: readonly [string, readonly number[]]): string => {
    const sum = bytes.reduce((a, b) => a + b, 0);
    return `${name.padEnd(25)}${[...bytes, sum].map((b) => cell((b / MIB).toFixed(2))).join(' ')}\n`;
  };
  return `${title} (in MBs):\n${' '.repeat(25)}${head} ${cell('Total')}\n${rows.map(line).join('')}`;
}
