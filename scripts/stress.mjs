// The long run of the stress test: as many engine steps as two cores do in an hour, or as --steps says. The seed is in
// the output; FUZZ_SEED repeats one. --only takes some of them: threads, hugetlb, kvm (hugetlb does a fortieth of the steps, kvm a twentieth).
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: { steps: { type: 'string', default: '4000000000' }, only: { type: 'string' } },
});
const tests = ['threads', 'hugetlb', 'kvm'].filter((name) => values.only?.split(',').includes(name) ?? true);
const vitest = [
  'node_modules/vitest/vitest.mjs',
  'run',
  ...tests.map((name) => `test/stress-${name}.test.ts`),
];
spawn(process.execPath, vitest, {
  stdio: 'inherit',
  env: { ...process.env, STRESS_STEPS: values.steps },
}).on('exit', (code) => process.exit(code ?? 1));
