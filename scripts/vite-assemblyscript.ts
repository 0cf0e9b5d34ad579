// Vite plugin: compiles the core in process, at start what is missing and in the dev server what changed.
// Reference: assemblyscript/asc (programmatic usage), asconfig.json for the targets.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { main } from 'assemblyscript/asc';
import type { Plugin } from 'vite';

interface AsConfig {
  readonly targets: Readonly<Record<string, { readonly outFile: string }>>;
}

async function compile(project: string, target: string): Promise<void> {
  const { error, stderr } = await main([
    '--baseDir',
    project,
    '--config',
    join(project, 'asconfig.json'),
    '--target',
    target,
  ]);
  // asc's own message has file, line and caret; the Error only says that there was one.
  if (error) throw new Error(`asc ${target}:\n${stderr.toString() || error.message}`);
}

/** Editors save several files at once; one compilation follows the last of them. */
const DEBOUNCE_MS = 50;

export function assemblyscript(project: string): Plugin {
  const config = JSON.parse(readFileSync(join(project, 'asconfig.json'), 'utf8')) as AsConfig;
  const targets = Object.entries(config.targets);
  const sources = join(project, 'assembly');

  return {
    name: 'slatbox:assemblyscript',
    async buildStart() {
      for (const [target, { outFile }] of targets) {
        if (!existsSync(join(project, outFile))) await compile(project, target);
      }
    },
    configureServer(server) {
      if (process.env.VITEST) return;
      let timer: NodeJS.Timeout | undefined;
      const onChange = (file: string) => {
        if (!file.startsWith(sources) || !file.endsWith('.ts')) return;
        clearTimeout(timer);
        timer = setTimeout(async () => {
          try {
            // The page uses these two; the wasm is in Vite's graph, so the page reloads by itself.
            for (const target of ['release', 'debug']) await compile(project, target);
            server.config.logger.info('core compiled', { timestamp: true });
          } catch (error) {
            server.config.logger.error(error instanceof Error ? error.message : String(error));
          }
        }, DEBOUNCE_MS);
      };
      server.watcher.add(sources);
      for (const event of ['add', 'change', 'unlink'] as const) server.watcher.on(event, onChange);
    },
  };
}
