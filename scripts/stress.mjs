// The long run of the stress test: as many engine steps as two cores do in an hour, or as --steps says. The seed is in
// the output; FUZZ_SEED repeats one.
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { steps: { type: 'string', default: '4000000000' } } });
const vitest = [
  'node_modules/vitest/vitest.mjs',
  'run',
  'test/stress-threads.test.ts',
  'test/stress-hugetlb.test.ts',
];
spawn(process.execPath, vitest, {
  stdio: 'inherit',
  env: { ...process.env, STRESS_STEPS: values.steps },
}).on('exit', (code) => process.exit(code ?? 1));
