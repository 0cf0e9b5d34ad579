// vCPUs on threads in a real Chromium: in the page, whose engine is a worker itself; in the library on a page's main
// thread; and what becomes of both where a plain static host does not isolate the page.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttpServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BrowserContext, chromium, type Page } from 'playwright';
import { build, createServer, type PreviewServer, preview, type ViteDevServer } from 'vite';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CHROMIUM_FLAGS, findChromium } from '../../scripts/find-chromium.mjs';

const project = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'slatbox-threads-'));
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
};

/** Files and nothing else: no header that isolates a page. */
const staticHost = (root: string): Server =>
  createHttpServer((request, response) => {
    const path = (request.url ?? '/').replace(/[?#].*$/, '').replace(/\/$/, '/index.html');
    response.setHeader('Content-Type', TYPES[extname(path)] ?? 'application/octet-stream');
    response.end(readFileSync(join(root, path)));
  });

let isolated: PreviewServer;
let plain: Server;
let dev: ViteDevServer;
let context: BrowserContext;
let page: Page;
let problems: string[];

// The first build and the first start of a browser on a machine can take a minute.
beforeAll(async () => {
  const outDir = join(folder, 'page');
  const configFile = join(project, 'vite.config.ts');
  const options = { root: join(project, 'web'), configFile, logLevel: 'error' as const };
  await build({ ...options, build: { outDir, emptyOutDir: true } });
  const anywhere = { port: 0, host: '127.0.0.1' };
  isolated = await preview({ ...options, build: { outDir }, preview: anywhere });
  plain = staticHost(outDir).listen(0, '127.0.0.1');
  dev = await (await createServer({ ...options, server: anywhere })).listen();
  context = await chromium.launchPersistentContext(join(folder, 'profile'), {
    executablePath: findChromium(),
    args: [...CHROMIUM_FLAGS],
  });
}, 180_000);
afterAll(async () => {
  await context?.close();
  await isolated?.close();
  plain?.close();
  await dev?.close();
  rmSync(folder, { recursive: true, force: true });
}, 30_000);

beforeEach(async () => {
  problems = [];
  page = await context.newPage();
  page.setDefaultTimeout(30_000);
  page.on('pageerror', (error) => problems.push(error.message));
});
afterEach(async () => {
  await page.close();
  expect(problems).toEqual([]);
});

const plainUrl = (): string => `http://127.0.0.1:${(plain.address() as AddressInfo).port}/`;
const isolatedUrl = (): string => isolated.resolvedUrls?.local[0] ?? '';

describe('threads in a page', { timeout: 60_000 }, () => {
  it.each([
    ['isolated: the vCPUs run at once', isolatedUrl, true, 'at once'],
    ['not isolated: they take turns', plainUrl, false, 'in turns'],
  ])('%s', async (_name, url, isIsolated, how) => {
    await page.goto(`${url()}#s=two-cpus&t=8`);
    await page.waitForSelector('main.ready');
    expect(await page.evaluate(() => window.crossOriginIsolated)).toBe(isIsolated);
    const steps = page.getByRole('list', { name: 'Steps' });
    const text = async () => (await steps.textContent()) ?? '';
    await expect.poll(text, { timeout: 20_000 }).toContain(`131 + 131 steps ${how}`);
    const rss = page.locator('[data-counter="host.rss"] dd').first();
    await expect.poll(() => rss.textContent()).toBe('12.01 MiB');
    await page.getByRole('button', { name: 'Step back', exact: true }).click();
    await page.getByRole('button', { name: 'To the start', exact: true }).click();
    await expect.poll(() => rss.textContent()).toBe('0 B');
    expect(await page.getByRole('alert').textContent()).toBe('');
  });
});

/** Runs in the page: results, whether digests on threads and in turns are equal, what is refused. */
const inPage = async (library: string) => {
  // An import written here would become one of the test runner.
  const { createSandbox }: typeof import('../../src/index.ts') = await new Function(
    `return import('${library}')`,
  )();
  const program = (gpa: number) =>
    [
      { fill: { gpa, len: '1M', byte: 7 } },
      { dontneed: { gpa, len: '64K' } },
      { repeat: { times: 1000, advance: 4096, span: 65536, steps: [{ store: { gpa, val: 1 } }] } },
      { load: { gpa } },
    ] as const;
  const programs = [program(2 ** 24), program(2 ** 25)];
  const code = (error: unknown) => (error as { code?: string }).code ?? String(error);
  const turns = await createSandbox({ memory: '64M', pool: '8M', swap: 0, cpus: 2 });
  await turns.run(programs);
  const vm = await createSandbox({ memory: '64M', pool: '8M', swap: 0, cpus: 2, threads: true });
  const running = vm.run(programs);
  let busy = '';
  try {
    vm.observe.counters();
  } catch (error) {
    busy = code(error);
  }
  const results = await running;
  const loaded = results.map((steps) => (steps[3]?.ok ? Number(steps[3].value) : -1));
  const same = vm.host.digest() === turns.host.digest();
  const broken = vm.host.check();
  await vm.close();
  return { loaded, same, busy, broken, closed: await vm.run(programs).then(() => '', code) };
};

describe('threads from the main thread of a page', { timeout: 60_000 }, () => {
  it('run, are waited for without blocking, refuse other use meanwhile, and end', async () => {
    await page.goto(dev.resolvedUrls?.local[0] ?? '');
    await page.waitForSelector('main.ready');
    expect(await page.evaluate(inPage, `/@fs${project}src/index.ts`)).toEqual({
      loaded: [1, 1],
      same: true,
      busy: 'SLB-051',
      broken: [],
      closed: 'SLB-053',
    });
  });
});
