// Numbers that the core and TypeScript share: each is the same on both sides, and where there is a name for a number
// there is one for all. Reference: style.md "Numbers are shared, then checked", docs/memory-map.md.
import { beforeAll, describe, expect, it } from 'vitest';
import { EVENT_CAPACITY, EVENT_SIZE, EventKind } from '../assembly/abi/events.ts';
import { DeviceState, Func, TransportCommand } from '../assembly/abi/pvmemcontrol.ts';
import { RUN_EXIT, RUN_EXIT_MAX, RUN_EXIT_SIZE, RUN_FAULT_GPA, RUN_SIZE } from '../assembly/abi/status.ts';
import { Core } from '../src/core/core.ts';
import * as layout from '../src/core/layout.ts';
import { sentence } from '../src/host/invariants.ts';
import type { Vm } from '../src/index.ts';
import { REQUESTS } from '../src/requests.ts';
import { COUNTERS } from '../src/scenario/counters.ts';
import { constants, enumMembers, text } from './support/assembly.ts';
import { BUILDS, machine } from './support/machines.ts';

const base = constants('assembly/base/layout.ts');
const pool = constants('assembly/frames/pool.ts');
const core: Readonly<Record<string, bigint>> = {
  ...base,
  ...constants('assembly/mm/file.ts'),
  ...constants('assembly/mm/vma.ts'),
  ...constants('assembly/memslot/ram.ts'),
  ...constants('assembly/memslot/table.ts'),
  ...constants('assembly/observe/stats.ts'),
  ...constants('assembly/observe/page.ts'),
  ...constants('assembly/observe/usage.ts'),
  POOL_BASE: pool.BASE as bigint,
  POOL_BUMP: pool.BUMP as bigint,
  POOL_STACK: pool.STACK as bigint,
  POOL_STACKED: pool.STACKED as bigint,
  POOL_HIGH: pool.HIGH as bigint,
  POOL_GROUPS: pool.GROUPS as bigint,
};

describe('abi › linear memory', () => {
  it.each(Object.entries(layout))('%s is %i in the core too', (name, value) => {
    expect(core[name]).toBe(BigInt(value));
  });

  it.each([
    ['src/vmm/process.ts', 'ZERO_PAGE', base.ZERO_PAGE],
    ['src/vm.ts', 'REGIONS', constants('assembly/memslot/ram.ts').RAM_MAX],
    ['src/observe/walk.ts', 'EPTP_BITS', constants('assembly/slat/entry.ts').EPTP_BITS],
  ])('%s: %s', (path, name, value) => {
    expect(value).toBeDefined();
    const found = new RegExp(`^const ${name} = (\\w+?)n?;`, 'm').exec(text(path))?.[1];
    expect(BigInt(found ?? -1)).toBe(value);
  });

  it('regions follow each other without overlap', () => {
    const at = (name: string): number => Number(core[name]);
    const run = at('RUN_BASE') + at('VM_MAX') * at('VCPU_MAX') * RUN_SIZE;
    const regions = [
      [at('HOST'), at('HOST_END')],
      [at('LOCKS'), at('LOCKS') + at('LOCK_COUNT') * at('LOCK_SIZE')],
      [at('VM_BASE'), at('VM_BASE') + at('VM_MAX') * at('VM_SIZE')],
      [at('ZERO_PAGE'), at('ZERO_PAGE') + 4096],
      [at('SCRATCH'), at('SCRATCH') + at('SCRATCH_SIZE')],
      [at('EVENTS'), at('EVENTS') + EVENT_CAPACITY * EVENT_SIZE],
      [at('RUN_BASE'), run],
      [at('HUGE_ZERO_PAGE'), at('HUGE_ZERO_PAGE') + 2 ** 21],
      [at('DYNAMIC'), Number.POSITIVE_INFINITY],
    ] as const;
    for (const [i, [start]] of regions.entries())
      if (i > 0) expect(start).toBeGreaterThanOrEqual(regions[i - 1]?.[1] ?? 0);
    expect(RUN_EXIT + RUN_EXIT_MAX * RUN_EXIT_SIZE).toBeLessThanOrEqual(RUN_FAULT_GPA);
  });

  it('docs/memory-map.md draws the same map', () => {
    const row = /^\| `(0x[0-9a-f]+)`\s*\| (?:`(0x[0-9a-f]+)`|…)\s*\| [^|]*\| (?:`(\w+)`)?\s*\|/gm;
    const rows = Array.from(text('docs/memory-map.md').matchAll(row), ([, start, end, name]) => ({
      start,
      end,
      name,
    }));
    const named = rows.filter(({ name }) => name !== undefined);
    expect(named.map(({ name }) => name)).toEqual([
      'HOST',
      'LOCKS',
      'VM_BASE',
      'ZERO_PAGE',
      'SCRATCH',
      'EVENTS',
      'RUN_BASE',
      'HUGE_ZERO_PAGE',
      'DYNAMIC',
    ]);
    for (const { name, start } of named) expect(Number(start), name).toBe(Number(core[name as string]));
    for (const [i, { start }] of rows.entries()) if (i > 0) expect(rows[i - 1]?.end).toBe(start);
  });

  it.each([['HOST_'], ['VM_']])('fields of the %s record are aligned and do not overlap', (prefix) => {
    const line =
      /^export const (\w+): usize = (?:HOST \+ )?(\d+); \/\/ (?:thread, )?(pool record|lock|u32|u64 × 8|u64 ×|u64|32 bytes)/gm;
    const size = {
      'pool record': 32,
      lock: 8,
      u32: 4,
      u64: 8,
      'u64 × 8': 64,
      'u64 ×': 256,
      '32 bytes': 32,
    } as const;
    let end = 0;
    let fields = 0;
    for (const [, name, at, kind] of text('assembly/base/layout.ts').matchAll(line)) {
      if (!name?.startsWith(prefix)) continue;
      const bytes = size[kind as keyof typeof size];
      expect(Number(at), name).toBeGreaterThanOrEqual(end);
      expect(Number(at) % Math.min(bytes, 8), name).toBe(0);
      end = Number(at) + bytes;
      fields++;
    }
    expect(fields).toBeGreaterThan(prefix === 'VM_' ? 30 : 7);
    expect(end).toBeLessThanOrEqual(
      Number(prefix === 'VM_' ? core.VM_RECORD_END : (base.HOST_END ?? 0n) - (base.HOST ?? 0n)),
    );
  });
});

describe('abi › names', () => {
  const kebab = (name: string): string => name.replace(/(?<=[a-z])(?=[A-Z])/g, '-').toLowerCase();

  it('REQUESTS are the functions in their order', () => {
    const names = Object.entries(enumMembers('assembly/abi/pvmemcontrol.ts', 'Func'));
    expect(names.map(([, code]) => code)).toEqual(REQUESTS.map((_, i) => i));
    expect(names.map(([name]) => kebab(name))).toEqual([...REQUESTS]);
    expect(Object.keys(Func).length).toBe(2 * REQUESTS.length);
  });

  it('each invariant that check() can find broken has a sentence, and no more', async () => {
    const { host } = await machine({ core: 'release', wasmMemory: 'plain' });
    const codes = Object.values(enumMembers('assembly/observe/check-owner.ts', 'Broken'));
    expect(codes.length).toBeGreaterThan(5);
    expect(codes.filter((code) => sentence(code, host.core).startsWith('invariant'))).toEqual([]);
    expect(sentence(codes.length, host.core)).toMatch(/^invariant \d+ /);
  });

  it('lenses have the numbers of the core', () => {
    const names = Object.keys(enumMembers('assembly/observe/raster.ts', 'Lens')).map(kebab);
    const list = /LENSES: readonly Lens\[\] = \[([^\]]*)\]/.exec(text('src/observe/observe.ts'))?.[1];
    expect(list?.split(',').map((name) => name.trim().slice(1, -1))).toEqual(names);
  });

  it.each(['src/observe/events.ts', 'src/vmm/device.ts'])('%s: states of the device', (path) => {
    const states = Object.keys(enumMembers('assembly/abi/pvmemcontrol.ts', 'DeviceState')).map(kebab);
    expect(text(path)).toContain(`const STATES = [${states.map((s) => `'${s}'`).join(', ')}]`);
    expect([DeviceState.Broken, DeviceState.Init, DeviceState.Ready]).toEqual([0, 1, 2]);
  });

  it('the counters that scenarios may name are those that there are', async () => {
    const vm = await machine({ core: 'release', wasmMemory: 'plain' });
    expect([...COUNTERS].sort()).toEqual(Object.keys(vm.observe.counters()).sort());
  });

  it('each kind of event can be read back', async () => {
    const { host } = await machine({ core: 'release', wasmMemory: 'plain' });
    const kinds = Object.values(EventKind).filter(
      (kind): kind is EventKind => typeof kind === 'number' && kind !== EventKind.None,
    );
    for (const kind of kinds) {
      const seq = host.events.next;
      const at = (layout.EVENTS + (seq & (EVENT_CAPACITY - 1)) * EVENT_SIZE) >>> 2;
      host.core.u32.set([seq, kind, 0, 0], at);
      host.core.u32[layout.HOST_EVENT_SEQ >>> 2] = seq;
      expect(host.events.records(seq), EventKind[kind]).toHaveLength(1);
    }
  });

  it.each(
    Object.entries(enumMembers('assembly/abi/pvmemcontrol.ts', 'TransportCommand')),
  )('%s has its name in events', async (name, code) => {
    const vm = await machine({ core: 'release', wasmMemory: 'plain' });
    vm.bus.write(
      vm.device.snapshot().barBase + 8n,
      Uint8Array.of(code & 255, (code >> 8) & 255, (code >> 16) & 255, code >> 24),
    );
    expect(vm.host.events.records().at(-1)?.text).toMatch(new RegExp(`^${name.toUpperCase()} `));
    expect(Object.values(TransportCommand)).toContain(code);
  });
});

describe.each(BUILDS)('abi › %s', (_name, build) => {
  let vm: Vm;
  beforeAll(async () => {
    vm = await machine(build);
  });

  it.each([
    [1, 0, 0, 0],
    [2048, 16640, 256, 0],
    [2048, 16640, 0, 1],
    [1023, 1, 1025, 2],
    [262144, 49152, 65536, 2],
    [1048575, 147455, 1048575, 0],
  ])('memory of a host with %i frames, %i metadata pages, %i slots, %i pages of 1 GiB', (frames, arena, swap, gigantic) => {
    const { x } = vm.host.core;
    for (const nodes of [1, 4]) {
      const bytes = x.hostBytes(frames, arena, swap, gigantic, nodes);
      expect(bytes).toBe(Core.bytes(frames, arena, swap, gigantic, nodes));
    }
  });

  it('what src/core/exports.ts promises is there, with as many parameters', () => {
    const contract =
      /export interface CoreExports \{([\s\S]*?)\n\}/.exec(text('src/core/exports.ts'))?.[1] ?? '';
    const promised = Array.from(
      contract.replace(/\/\*\*.*?\*\//g, '').matchAll(/^ {2}(\w+)\(([^)]*)\)/gm),
      ([, name, list]) => [name as string, (list as string).split(',').filter((p) => p.trim()).length],
    );
    const exports = vm.host.core.x as unknown as Readonly<Record<string, unknown>>;
    const found = promised.map(([name]) => {
      const f = exports[name as string];
      return [name, typeof f === 'function' ? f.length : 'absent'];
    });
    expect(promised.length).toBeGreaterThan(30);
    expect(found).toEqual(promised);
  });
});
