// The schedule explorer, further than the tests go: all pairs of operations on all kinds of memory, with as many
// interruptions in a schedule as --interruptions says. --memory takes some kinds only, --one-in a part of the pairs, from
// FUZZ_SEED. docs/concurrency-testing.md has the times.
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    interruptions: { type: 'string', default: '1' },
    'one-in': { type: 'string', default: '1' },
    memory: { type: 'string' },
  },
});
const small = ['pairs', 'buffers', 'programs', 'regions', 'room', 'kvm'].map(
  (name) => `test/explore-${name}.test.ts`,
);
const others = ['memories', 'memory-programs'].map((name) => `test/explore-${name}.test.ts`);
const tests = values.memory === undefined ? [...others, ...small] : others.slice(0, 1);
spawn(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', ...tests], {
  stdio: 'inherit',
  env: {
    ...process.env,
    EXPLORE_INTERRUPTIONS: values.interruptions,
    EXPLORE_ONE_IN: values['one-in'],
    ...(values.memory !== undefined && { EXPLORE_MEMORY: values.memory }),
  },
}).on('exit', (code) => process.exit(code ?? 1));
