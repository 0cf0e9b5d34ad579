// Builds the library and the command line into dist/: TypeScript to ESM, and beside it, where dist/src/core/load.js and
// dist/src/threads/spawn.js look for them, the cores (but the one for tests) and the script of the vCPUs' threads. `npm run build:core` and
// `npm run build:worker` have made those.
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, rmSync } from 'node:fs';

rmSync('dist', { recursive: true, force: true });
const tsc = spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], {
  stdio: 'inherit',
});
if (tsc.status !== 0) process.exit(tsc.status ?? 1);
cpSync('build', 'dist/build', {
  recursive: true,
  filter: (path) =>
    path === 'build' ||
    (path.endsWith('.wasm') && !path.endsWith('explore.wasm')) ||
    path.endsWith('vcpu-worker.js'),
});
const bin = 'dist/src/cli/main.js';
if (existsSync(bin)) chmodSync(bin, 0o755);
