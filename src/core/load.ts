// Loading the core: which of the four compilations, fetched once a process, instantiated once a host.
import { SlatboxError } from '../errors.ts';
import type { CoreBuild, WasmMemory } from '../types.ts';
import { Core } from './core.ts';
import { instantiateCore } from './instantiate.ts';

export { napOn } from './instantiate.ts';

// Each written out, so that bundlers see them.
const FILES: Readonly<Record<`${CoreBuild}-${WasmMemory}`, () => URL>> = {
  'release-plain': () => new URL('../../build/release.wasm', import.meta.url),
  'debug-plain': () => new URL('../../build/debug.wasm', import.meta.url),
  'release-threads': () => new URL('../../build/release-threads.wasm', import.meta.url),
  'debug-threads': () => new URL('../../build/debug-threads.wasm', import.meta.url),
};

const WASM_PAGE = 65536;
const modules = new Map<string, Promise<WebAssembly.Module>>();

async function bytesOf(url: URL): Promise<BufferSource> {
  if (url.protocol === 'file:') {
    // Hidden from bundlers: a page never gets here.
    const fs = (await import(
      /* @vite-ignore */ 'node:fs/promises'.slice(0)
    )) as typeof import('node:fs/promises');
    return new Uint8Array(await fs.readFile(url));
  }
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  return response.arrayBuffer();
}

function moduleOf(build: CoreBuild, memory: WasmMemory): Promise<WebAssembly.Module> {
  const key = `${build}-${memory}` as const;
  let module = modules.get(key);
  if (!module) {
    const url = FILES[key]();
    module = bytesOf(url)
      .then((bytes) => WebAssembly.compile(bytes))
      .catch((cause: unknown) => {
        modules.delete(key);
        throw new SlatboxError(
          'SLB-026',
          `the core "${key}" could not be loaded: ${cause}`,
          'run `npm run build` first',
        );
      });
    modules.set(key, module);
  }
  return module;
}

/** A core over a fresh memory for a host of these numbers of 4 KiB pages. SlatboxError SLB-020, SLB-026. */
export async function loadCore(
  build: CoreBuild,
  kind: WasmMemory,
  pages: {
    readonly frames: number;
    readonly arena: number;
    readonly swap: number;
    readonly gigantic: number;
    readonly nodes: number;
  },
  events: boolean,
): Promise<Core> {
  const module = await moduleOf(build, kind);
  // hostBytes needs no state, but a first memory to ask it with would cost more than knowing its rule.
  const bytes = Core.bytes(pages.frames, pages.arena, pages.swap, pages.gigantic, pages.nodes);
  const wasmPages = Math.ceil(bytes / WASM_PAGE);
  if (wasmPages > WASM_PAGE) {
    throw new SlatboxError(
      'SLB-020',
      `a host with ${pages.frames} frames, ${pages.swap} swap slots and ${pages.gigantic} pages of 1 GiB needs ${bytes} bytes; linear memory ends at 4 GiB`,
      'give the host less memory, less swap or fewer pages of 1 GiB',
    );
  }
  let memory: WebAssembly.Memory;
  try {
    memory = new WebAssembly.Memory({ initial: wasmPages, maximum: wasmPages, shared: kind === 'threads' });
  } catch (cause) {
    throw new SlatboxError(
      'SLB-020',
      `no linear memory of ${bytes} bytes: ${cause}`,
      'give the host less memory',
    );
  }
  const core = await instantiateCore(module, memory);
  core.x.hostInit(pages.frames, pages.arena, pages.swap, pages.gigantic, pages.nodes, events ? 1 : 0);
  return core;
}
