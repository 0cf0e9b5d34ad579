// The engine against Linux: the recordings of every kind of memory, on both builds of the core.
// Reference: test/golden/mm/README.md
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { mmCases } from '../src/conform/mm.ts';
import { parseMmTrace } from '../src/conform/mm-trace.ts';
import { openVmMmDoor } from '../src/conform/mm-vm.ts';
import { formatResult, runCases } from '../src/conform/report.ts';

const golden = new URL('./golden/mm/', import.meta.url);
const files = readdirSync(golden).filter((file) => file.endsWith('.json'));

describe.each(['release', 'debug'] as const)('conform mm › %s core', (core) => {
  it.each(files)('%s', async (file) => {
    const text = readFileSync(new URL(file, golden), 'utf8');
    const [result] = await runCases(mmCases(text, file, openVmMmDoor({ core })));
    expect(result?.status, result && formatResult(result)).toBe('ok');
  });

  it('a mode the engine does not have fails, and says so', async () => {
    const trace = parseMmTrace(readFileSync(new URL(files[0] as string, golden), 'utf8'), 'x.json');
    const open = openVmMmDoor({ core });
    await expect(async () => open({ ...trace, mode: 'hugetlb_16k' })).rejects.toThrow('hugetlb_16k');
  });
});
