// Vite plugin: makes the script of the vCPUs' threads when it is missing or older than what it is made of. Tests and
// the page then run the threads of these sources, not of the last `npm run build`.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Plugin } from 'vite';
import { buildWorker } from './build-worker.mjs';

const modified = (path: string): number => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;

export function vcpuWorker(project: string): Plugin {
  const script = join(project, 'build/vcpu-worker.js');
  const folders = ['src', 'assembly/abi'].map((folder) => join(project, folder));
  const sources = () =>
    folders.flatMap((folder) =>
      readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)),
    );
  const refresh = async () => {
    const made = modified(script);
    if (made === 0 || sources().some((file) => modified(file) > made)) await buildWorker();
  };

  return {
    name: 'slatbox:vcpu-worker',
    buildStart: refresh,
    configureServer(server) {
      if (process.env.VITEST) return;
      server.watcher.on('change', async (file) => {
        if (!folders.some((folder) => file.startsWith(folder))) return;
        await refresh().catch((error: unknown) => server.config.logger.error(String(error)));
      });
    },
  };
}
