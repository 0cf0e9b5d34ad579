// Events as they are read back: names by the VM's own generation, causes that lead to the beginning.
import { describe, expect, it } from 'vitest';
import { createHost } from '../src/machine.ts';
import type { AbiName } from '../src/types.ts';

const requestsOf = async (abi: AbiName) => {
  const host = await createHost({ memory: '8M' });
  host.createVm({ memory: '4M' });
  const vm = host.createVm({ memory: '4M', abi });
  const range = { gpa: 0x10_0000, len: 4096 };
  const { pvmemcontrol } = vm.guest;
  for (const name of ['unmergeable', 'dontdump', 'setVmaAnonName', 'mergeable', 'dontneed'] as const)
    pvmemcontrol[name](range);
  const records = host.events.records();
  return records.filter((e) => e.kind === 'request' && e.vm === vm.id).map((e) => e.detail.func);
};

describe('events', () => {
  it.each([
    ['pvmemcontrol', 'mergeable'],
    ['memctl', 'function 14'],
  ] as const)('a request of a %s guest is named by its own numbers', async (abi, mergeable) => {
    const named = ['info', 'unmergeable', 'dontdump', 'set-vma-anon-name', mergeable, 'dontneed'];
    expect(await requestsOf(abi)).toEqual(named);
  });

  it('a zap leads back over host call and request to the exit of the doorbell', async () => {
    const host = await createHost({ memory: '8M' });
    const vm = host.createVm({ memory: '4M' });
    vm.guest.touch({ gpa: 0x10_0000, len: 4096, write: true });
    vm.guest.pvmemcontrol.dontneed({ gpa: 0x10_0000, len: 4096 });
    const bySeq = new Map(host.events.records().map((e) => [e.seq, e]));
    const chain: string[] = [];
    for (let e = [...bySeq.values()].findLast(({ kind }) => kind === 'zap'); e; e = bySeq.get(e.cause))
      chain.push(e.kind);
    expect(chain).toEqual(['zap', 'hostcall', 'request', 'exit']);
  });
});
