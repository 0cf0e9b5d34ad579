// The console's grammar, the bounded checkpoints, the event filter, the key list.
import { describe, expect, it } from 'vitest';
import type { EventRecord } from '../../src/types.ts';
import { Checkpoints } from '../../web/engine/checkpoints.ts';
import { helpText, parseCommand, usage, withVm } from '../../web/engine/command.ts';
import { actionOf, KEYS } from '../../web/keys.ts';
import { depths, matches } from '../../web/model/events.ts';
import { heldOf } from '../../web/model/held.ts';
import { memoryLanes, series } from '../../web/model/series.ts';
import { requestFields, responseFields } from '../../web/panels/buffer-fields.ts';

describe('console grammar', () => {
  it.each([
    ['dontneed 1G 4K --cpu 1', { dontneed: { gpa: '1G', len: '4K', cpu: 1 } }],
    ['info', { info: {} }],
    ['touch 1G 4K --vm b', { touch: { gpa: '1G', len: '4K', vm: 'b' } }],
    ['ksm.scan 3', { 'ksm.scan': { passes: 3 } }],
    ['free-report 1G 4M', { 'free-report': { gpa: '1G', len: '4M' } }],
    ['memslot.create 5 2G 1M 4M', { 'memslot.create': { slot: 5, gpa: '2G', len: '1M', alias: '4M' } }],
    ['dirty-log.get 0 --vm b', { 'dirty-log.get': { slot: 0, vm: 'b' } }],
    ['memory-attributes 1G 4K private', { 'memory-attributes': { gpa: '1G', len: '4K', to: 'private' } }],
    ['hypercall 1G 4K shared --cpu 1', { hypercall: { gpa: '1G', len: '4K', to: 'shared', cpu: 1 } }],
    ['vmm.write 1G 0x5a', { 'vmm.write': { gpa: '1G', byte: 90 } }],
    ['fetch-add 1G 5 4', { 'fetch-add': { gpa: '1G', val: '5', size: 4 } }],
    ['file.write 0 4K 7', { 'file.write': { gpa: '0', len: '4K', byte: 7 } }],
    ['set-vma-anon-name 1G 4K 7', { 'set-vma-anon-name': { gpa: '1G', len: '4K', arg: '7' } }],
    ['touch 1G 2M --write', { touch: { gpa: '1G', len: '2M', write: true } }],
    ['  READ   0x1000 ', { read: { gpa: '0x1000' } }],
    ['write 0x1000 1 0xff', { write: { gpa: '0x1000', bytes: [1, 255] } }],
    ['fill 1G 4K 0x5a', { fill: { gpa: '1G', len: '4K', byte: 90 } }],
    ['load 5G+2M 8', { load: { gpa: '5G+2M', size: 8 } }],
    ['mmio.write 8 0x060fe6d2', { 'mmio.write': { off: '8', val: '0x060fe6d2' } }],
    ['request 99 1G 4K', { request: { func: '99', gpa: '1G', len: '4K' } }],
  ])('%s', (line, step) => {
    expect(parseCommand(line)).toEqual({ step });
  });

  it.each([
    ['frobnicate', /no command "frobnicate"/],
    ['constructor', /no command/],
    ['dontneed 1G', /len is missing; usage: dontneed GPA LEN \[ARG\] \[--cpu N\]/],
    ['fetch 1G 2G', /"2G" is too much/],
    ['read 1G --write', /"--write" is not understood/],
    ['ksm.scan --vm b', /"--vm" is not understood; usage: ksm.scan \[PASSES\]/],
    ['memslot.delete 5 --cpu 1', /"--cpu" is not understood; usage: memslot.delete SLOT \[--vm NAME\]/],
    ['dontneed 1G 4K --cpu', /"--cpu" is not understood/],
  ])('%s is refused', (line, problem) => {
    expect(parseCommand(line)).toEqual({ problem: expect.stringMatching(problem) });
  });

  it.each([
    ['touch 1G 4K', 'touch 1G 4K --vm b'],
    ['touch 1G 4K --vm c', 'touch 1G 4K --vm c'],
    ['ksm.scan', 'ksm.scan'],
    ['smaps', 'smaps'],
    ['frobnicate', 'frobnicate'],
  ])('%s, said while VM b is shown: %s', (line, whole) => {
    expect(withVm(line, 'b')).toBe(whole);
  });

  it('an empty line is nothing', () => {
    expect(parseCommand('   ')).toBeUndefined();
  });

  it('help names every command once', () => {
    const text = helpText(undefined);
    for (const name of ['dontneed', 'mprotect-rw', 'seek', 'select']) expect(text).toContain(usage(name));
    expect(helpText('free')).toMatch(/^free GPA LEN/);
    expect(helpText('nope')).toBe('no command "nope"');
  });
});

describe('checkpoints', () => {
  it('stay bounded, keep step 0, and are never further away than the stride', () => {
    const kept = new Checkpoints<string>(8, 1000);
    for (let step = 0; step <= 1000; step++) {
      if (kept.wants(step)) kept.add(step, `at ${step}`, 10);
      expect(kept.size).toBeLessThanOrEqual(8);
    }
    expect(kept.bytes).toBe(kept.size * 10);
    for (const step of [0, 1, 500, 999, 1000]) {
      const found = kept.nearest(step);
      expect(found?.value).toBe(`at ${found?.step}`);
      expect(step - (found?.step ?? Number.NaN)).toBeLessThan(kept.stride);
    }
  });

  it('are fewer when they are large, but the first stays', () => {
    const kept = new Checkpoints<number>(8, 100);
    for (let step = 0; step <= 64; step++) if (kept.wants(step)) kept.add(step, step, 40);
    expect(kept.size).toBe(2);
    expect(kept.bytes).toBe(80);
    kept.add(kept.stride * 4, 1, 500);
    expect(kept.nearest(1e6)).toEqual({ step: 0, value: 0 });
  });

  it('forgets what lies behind a change', () => {
    const kept = new Checkpoints<number>(8, 1000);
    for (const step of [0, 1, 2, 3]) kept.add(step, step, 10);
    kept.dropAfter(1);
    expect(kept.nearest(3)).toEqual({ step: 1, value: 1 });
    expect(kept.bytes).toBe(20);
  });
});

describe('events', () => {
  const event = (
    seq: number,
    cause: number,
    kind: string,
    cpu: number,
    text: string,
    vm = 0,
  ): EventRecord => ({
    seq,
    cause,
    kind,
    vm,
    cpu,
    detail: {},
    text,
  });
  const events = [
    event(1, 0, 'exit', 0, 'exit MMIO write'),
    event(2, 1, 'request', 0, 'dontneed 0x4000'),
    event(3, 2, 'zap', 1, '8 entries'),
    event(4, 99, 'vma-split', 1, 'VMA split', 1),
  ];

  it.each([
    ['', [1, 2, 3, 4]],
    ['kind:zap', [3]],
    ['kind:zap,exit', [1, 3]],
    ['cpu:1', [3, 4]],
    ['cpu:1 kind:vma', [4]],
    ['vm:b', [4]],
    ['vm:0 kind:zap', []],
    ['vm:a cpu:1', [3]],
    ['seq:2', [2, 3]],
    ['0x4000', [2]],
    ['MMIO', [1]],
    ['nothing like it', []],
  ])('filter "%s"', (filter, seqs) => {
    expect(events.filter(matches(filter, ['a', 'b'])).map((e) => e.seq)).toEqual(seqs);
  });

  it('depth follows the cause, and an unknown cause is the top', () => {
    expect([...depths(events)]).toEqual([
      [1, 0],
      [2, 1],
      [3, 2],
      [4, 0],
    ]);
  });
});

describe('buffer', () => {
  it.each([
    ['pvmemcontrol', 1n, 'DONTNEED'],
    ['pvmemcontrol', 5n, 'DONTDUMP'],
    ['memctl', 5n, 'UNMERGEABLE'],
    ['memctl', 6n, 'DONTDUMP'],
    ['memctl', 13n, 'SET_VMA_ANON_NAME'],
    ['pvmemcontrol', 13n, 'MERGEABLE'],
    ['pvmemcontrol', 15n, 'no function'],
    ['memctl', 14n, 'no function'],
    ['pvmemcontrol', (1n << 64n) - 1n, 'no function'],
  ] as const)('%s: func_code %i is %s', (abi, code, name) => {
    const bytes = new Uint8Array(32);
    new DataView(bytes.buffer).setBigUint64(0, code, true);
    expect(requestFields(bytes, abi)[0]).toEqual({ name: 'func_code', value: code, meaning: name });
  });

  it('the same bytes as a response', () => {
    const bytes = new Uint8Array(32);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, 22, true);
    view.setUint32(4, 1, true);
    view.setBigUint64(8, 0x1234_5678_9abc_def0n, true);
    expect(responseFields(bytes).map((f) => [f.name, f.value])).toEqual([
      ['ret_errno', 22n],
      ['ret_code', 1n],
      ['ret_value', 0x1234_5678_9abc_def0n],
      ['arg0', 0n],
      ['arg1', 0n],
    ]);
    expect(responseFields(bytes)[0]?.meaning).toBe('EINVAL');
  });
});

describe('series', () => {
  const result = (rss: number, others = {}, more = {}) =>
    ({ vm: 'a', changed: { rss }, others: { b: others }, ...more }) as never;
  it('is what the counter was after each step, from where the cursor is now', () => {
    const results = [result(10), result(0), result(-4, { rss: 7 })];
    expect(series('a', 'rss', results, 110, 2)).toEqual([100, 110, 110, 106]);
    expect(series('a', 'rss', results, 100, 0)).toEqual([100, 110, 110, 106]);
    expect(series('b', 'rss', results, 50, 0)).toEqual([50, 50, 50, 57]);
  });

  const memory = (used: number, rss: readonly number[], saved = 0) => ({
    memory: {
      used,
      swap: 3,
      saved,
      vms: Object.fromEntries(rss.map((n, i) => [`vm${i}`, { rss: n, swap: 0 }])),
    },
  });
  const names = (n: number) => Array.from({ length: n }, (_, i) => `vm${i}`);
  it('memory: a lane for each VM while they are few, then one for all', () => {
    const two = memoryLanes(names(2), 'vm0', [result(0, {}, memory(9, [4, 5]))]);
    expect(two).toEqual([
      { name: 'Frames in use', values: [0, 9] },
      { name: 'RSS of vm0', values: [0, 4] },
      { name: 'RSS of vm1', values: [0, 5] },
      { name: 'Swap', values: [0, 3] },
    ]);
    const many = memoryLanes(names(5), 'vm3', [result(0, {}, memory(9, [1, 2, 3, 4, 5], 6))]);
    expect(many.map(({ name, values }) => [name, values[1]])).toEqual([
      ['Frames in use', 9],
      ['RSS of all VMs', 15],
      ['RSS of vm3', 4],
      ['Swap', 3],
      ['Saved by KSM', 6],
    ]);
  });

  it('memory of the host: what is mapped, less what is shared, and what is held', () => {
    const vm = (rss: number, hugetlb = 0) =>
      ({ counters: { 'host.rss': rss, 'host.hugetlb': hugetlb } }) as never;
    const host = { used: 20, saved: 4, total: 64, swapTotal: 0, swapUsed: 0 };
    expect(heldOf(host, [vm(10), vm(3, 8)])).toEqual({ used: 20, mapped: 21, saved: 4, held: 3 });
  });
});

describe('keys', () => {
  const press = (key: string, more = {}) => ({
    key,
    shiftKey: false,
    ctrlKey: false,
    altKey: false,
    metaKey: false,
    ...more,
  });

  it('no key means two things in one place', () => {
    const all = KEYS.flatMap((k) => k.keys.map((name) => `${k.place} ${name}`));
    expect(new Set(all).size).toBe(all.length);
  });

  it('Shift counts only where it is part of the key', () => {
    expect(actionOf('map', press('ArrowLeft'))).toBe('left');
    expect(actionOf('map', press('ArrowLeft', { shiftKey: true }))).toBe('extend-left');
    expect(actionOf('page', press('?', { shiftKey: true }))).toBe('help');
  });

  it('leaves the keys of the browser alone', () => {
    expect(actionOf('map', press('w', { ctrlKey: true }))).toBeUndefined();
    expect(actionOf('page', press('p', { metaKey: true }))).toBeUndefined();
  });
});
