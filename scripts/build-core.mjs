// Compiles the AssemblyScript core: release and debug, for plain and for shared memory, and the one whose threads can be
// stopped (test/explore). Two at a time.
import { spawn } from 'node:child_process';

const TARGETS = ['release', 'debug', 'release-threads', 'debug-threads', 'explore'];

const compile = (target) =>
  new Promise((resolve, reject) => {
    const asc = [
      'node_modules/assemblyscript/bin/asc.js',
      'assembly/index.ts',
      '--config',
      'asconfig.json',
      '--target',
      target,
    ];
    spawn(process.execPath, asc, { stdio: 'inherit' }).on('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`asc --target ${target} exited with ${code}`)),
    );
  });

try {
  await Promise.all(
    [TARGETS.slice(0, 2), TARGETS.slice(2)].map(async (pair) => {
      for (const target of pair) await compile(target);
    }),
  );
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
