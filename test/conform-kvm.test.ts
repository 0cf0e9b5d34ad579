// The engine against KVM: every recorded trace, on both builds of the core.
// Reference: test/golden/kvm/README.md
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { kvmCases } from '../src/conform/kvm.ts';
import { openVmKvmDoor } from '../src/conform/kvm-vm.ts';
import { formatResult, runCases } from '../src/conform/report.ts';

const golden = new URL('./golden/kvm/', import.meta.url);
const files = readdirSync(golden).filter((file) => file.endsWith('.json'));

describe.each(['release', 'debug'] as const)('conform kvm › %s core', (core) => {
  it.each(files)('%s', async (file) => {
    const text = readFileSync(new URL(file, golden), 'utf8');
    const results = await runCases(kvmCases(text, file, openVmKvmDoor({ core })));
    expect(results.length).toBeGreaterThan(0);
    expect(results.filter(({ status }) => status !== 'ok').map(formatResult)).toEqual([]);
  }, 60_000);
});
