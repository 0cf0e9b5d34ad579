// The engine against Linux: the recordings of plain anonymous memory, on both builds of the core.
// Reference: test/golden/mm/README.md
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { mmCases } from '../src/conform/mm.ts';
import { openVmMmDoor } from '../src/conform/mm-vm.ts';
import { formatResult, runCases } from '../src/conform/report.ts';

const golden = new URL('./golden/mm/', import.meta.url);
const files = readdirSync(golden).filter((file) => file.endsWith('.json') && engineHas(file));

/** The engine has plain anonymous memory only, and no scanner of KSM; the model replays the rest. */
function engineHas(file: string): boolean {
  const { mode, tags } = JSON.parse(readFileSync(new URL(file, golden), 'utf8'));
  return (mode === 'anon' || mode === 'anon_acct') && !tags.includes('ksm');
}

describe.each(['release', 'debug'] as const)('conform mm › %s core', (core) => {
  it.each(files)('%s', async (file) => {
    const text = readFileSync(new URL(file, golden), 'utf8');
    const [result] = await runCases(mmCases(text, file, openVmMmDoor({ core })));
    expect(result?.status, result && formatResult(result)).toBe('ok');
  });

  it('a mode the engine does not have fails, and says so', async () => {
    const text = readFileSync(new URL(files[0] as string, golden), 'utf8');
    const memfd = JSON.stringify({ ...JSON.parse(text), mode: 'memfd' });
    const [result] = await runCases(mmCases(memfd, 'x.json', openVmMmDoor({ core })));
    expect(result?.status).toBe('FAIL');
    expect(result?.failure?.actual).toContain('memfd');
  });
});
