// Makes build/vcpu-worker.js: the script of a vCPU's thread with all that it imports in one file, which Node and
// browsers load as it is. It lies beside the cores, so src/ and dist/src/ find it at the same relative place.
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const project = fileURLToPath(new URL('..', import.meta.url));

export async function buildWorker() {
  await build({
    configFile: false,
    root: project,
    logLevel: 'error',
    build: {
      outDir: `${project}build`,
      emptyOutDir: false,
      target: 'es2022',
      minify: false,
      lib: { entry: `${project}src/threads/worker.ts`, formats: ['es'], fileName: () => 'vcpu-worker.js' },
    },
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildWorker();
