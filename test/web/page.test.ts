// The built page in a real Chromium: no console errors, playback with the engine's numbers, keys, console, names.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BrowserContext, chromium, type Locator, type Page } from 'playwright';
import { build, type PreviewServer, preview } from 'vite';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CHROMIUM_FLAGS, findChromium } from '../../scripts/find-chromium.mjs';
import { builtin, createMachine, loadScenario, ScenarioRun } from '../../src/scenario/index.ts';

const project = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'slatbox-page-'));
let server: PreviewServer;
let context: BrowserContext;
let page: Page;
let problems: string[];
let base: string;

// The first build and the first start of a browser on a machine can take a minute.
beforeAll(async () => {
  const options = {
    root: join(project, 'web'),
    configFile: join(project, 'vite.config.ts'),
    logLevel: 'error' as const,
    build: { outDir: join(folder, 'page'), emptyOutDir: true },
  };
  await build(options);
  server = await preview({ ...options, preview: { port: 0, host: '127.0.0.1' } });
  base = server.resolvedUrls?.local[0] ?? '';
  // A profile of its own: nothing of an earlier run, nothing of the user's.
  context = await chromium.launchPersistentContext(join(folder, 'profile'), {
    executablePath: findChromium(),
    args: [...CHROMIUM_FLAGS],
    viewport: { width: 1400, height: 1000 },
    colorScheme: 'light',
  });
}, 180_000);
afterAll(async () => {
  await context?.close();
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
}, 30_000);

beforeEach(async () => {
  problems = [];
  page = await context.newPage();
  page.setDefaultTimeout(30_000);
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) problems.push(message.text());
  });
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('requestfailed', (request) => problems.push(`failed: ${request.url()}`));
});
afterEach(async () => {
  await page.close();
  expect(problems).toEqual([]);
});

const open = async (hash = '') => {
  await page.goto(`${base}${hash}`);
  await page.waitForSelector('main.ready');
};
const rss = () => page.locator('[data-counter="host.rss"] dd').first();
const press = (name: string) => page.getByRole('button', { name, exact: true }).click();
const textOf = async (locator: Locator): Promise<string> => (await locator.textContent()) ?? '';
/** Polls until it fits: everything on the page happens after an answer of the worker. */
const eventually = <T>(look: () => Promise<T>) => expect.poll(look, { timeout: 20_000 });
const stepNow = async () => Number((await textOf(page.locator('.seek-output'))).split('/')[0]);
const atStep = (step: number) => eventually(stepNow).toBe(step);
const rssIs = (text: string) => eventually(() => textOf(rss())).toBe(text);
const tab = (name: string) => page.getByRole('tab', { name }).click();
const hash = () => page.evaluate(() => window.location.hash);

const TABS = ['Walk', 'Device', 'VMAs', 'Slots', 'Exits', 'Who', 'Counters', 'Events', 'Console'];

describe('page', { timeout: 60_000 }, () => {
  it('opens with a running machine and asks nothing of any other server', async () => {
    const others: string[] = [];
    page.on('request', (request) => {
      if (!request.url().startsWith(base)) others.push(request.url());
    });
    await open();
    expect(await page.title()).toBe('slatbox');
    await atStep(0);
    expect(others).toEqual([]);
  });

  it('is cross-origin isolated, so that shared memory is possible', async () => {
    await open('#s=hostile-guest');
    expect(await page.evaluate(() => window.crossOriginIsolated)).toBe(true);
  });

  it('plays the sample: RSS is a gibibyte after the touch, falls with DONTNEED; back gives the earlier number', async () => {
    await open('#s=sample-dontneed&t=4');
    await atStep(4);
    // The gibibyte and the page of the request buffer.
    await rssIs('1.00 GiB');
    await press('Step forward');
    await press('Step forward');
    await atStep(6);
    await rssIs('1.00 GiB');
    await press('Step forward');
    await atStep(7);
    await rssIs('4 KiB');
    await eventually(() => textOf(page.locator('[data-counter="host.rss"] .delta'))).toBe('−1 GiB');
    await press('Step back');
    await atStep(6);
    await rssIs('1.00 GiB');
    await press('To the start');
    await atStep(0);
    await rssIs('0 B');
  }, 180_000);

  it('thp: what DONTNEED unmaps leaves RSS, not the frames in use; map, walk and sentence say so', async () => {
    await open('#s=partial-huge-pages&t=75&vm=thp&sel=0x8080000+4K');
    await atStep(75);
    const used = () => textOf(page.locator('[data-counter="used"] dd').first());
    await rssIs('66 MiB');
    await eventually(used).toBe('148.00 MiB');
    const behind = page.getByRole('region', { name: 'Behind the page' });
    await eventually(() => textOf(behind)).toContain('part of a huge page that one entry maps');
    await press('Step forward');
    await press('Step forward');
    await atStep(77);
    await rssIs('64.50 MiB');
    expect(await used()).toBe('148.00 MiB');
    await eventually(() => textOf(page.locator('.where'))).toContain('1.50 MiB held, mapped by nobody');
    await eventually(() => textOf(behind)).toContain('not mapped, but its huge page still has the frame');
    expect(await textOf(behind)).toContain('512 KiB mapped, 2 MiB held');
    await page.locator('#memory-map').focus();
    for (const key of ['f', 'v']) await page.keyboard.press(key);
    const twin = page.getByRole('region', { name: 'The map as text' });
    await eventually(() => twin.getByRole('row').allTextContents()).toEqual([
      'fromlengthBacking',
      '0x8000000512 KiBhuge page, split mapping',
      '0x80800001.50 MiBunmapped, still held',
    ]);
    const legend = page.getByRole('list', { name: /^Legend/ });
    expect(await legend.locator('li:not(.absent)').allTextContents()).toEqual([
      'h huge page, split mapping',
      'u unmapped, still held',
    ]);
  });

  it('thp: a walk of three references ends in an entry of 2 MiB, and the SLAT lens says so', async () => {
    await open('#s=partial-huge-pages&t=76&vm=thp&sel=0x9000000+4K&lens=slat');
    await atStep(76);
    const walk = page.locator('.walk');
    await eventually(() => textOf(walk)).toContain('3 table references');
    await page.getByRole('button', { name: /^PDE\[72\].*maps 2 MiB/ }).click();
    const bits = page.getByRole('region', { name: 'Bits of PDE[72]' });
    expect(await textOf(bits)).toContain('EPT leaf entry, 2 MiB');
    expect(await textOf(bits.getByRole('row', { name: /^7 PS/ }))).toContain(
      'leaf: maps all that a table would',
    );
    expect(await textOf(bits.getByRole('row', { name: /^51:21/ }))).toContain('512 host frames');
    await page.locator('#memory-map').focus();
    for (const key of ['f', 'v']) await page.keyboard.press(key);
    const twin = page.getByRole('region', { name: 'The map as text' });
    await eventually(() => textOf(twin)).toContain('0x90000002 MiBmapped writable, huge entry');
  });

  it('private and shared: the map marks memory that is there twice, in the engine’s words', async () => {
    await open('#s=private-shared&t=14&lens=attributes&sel=0x2000000+0x800000');
    await atStep(14);
    await rssIs('4 MiB');
    await eventually(() => textOf(page.locator('[data-counter="used"] dd').first())).toBe('8 MiB');
    await page.locator('#memory-map').focus();
    for (const key of ['f', 'v']) await page.keyboard.press(key);
    const twin = page.getByRole('region', { name: 'The map as text' });
    await eventually(() => twin.getByRole('row').allTextContents()).toEqual([
      'fromlengthAttributes',
      '0x20000004 MiBboth: memory twice',
      '0x24000004 MiBshared, nothing there',
    ]);
    const behind = page.getByRole('region', { name: 'Behind the page' });
    await eventually(() => textOf(behind)).toContain('private: the guest sees the slot’s guest_memfd');
    await press('To the end');
    await page.keyboard.press('4');
    await eventually(() => page.getByRole('radio', { name: 'Attributes' }).getAttribute('aria-checked')).toBe(
      'true',
    );
  });

  it('slots: a row is chosen by keyboard, and map and walk follow; they change with each step', async () => {
    await open('#s=memslots&t=26');
    await atStep(26);
    await tab('Slots');
    const table = page.getByRole('grid', { name: 'Memslots' });
    await eventually(() => table.getByRole('row').count()).toBe(4);
    const row = table.getByRole('row', { name: '6', exact: true });
    expect(await textOf(row)).toMatch(/^60x3000000-0x31000001 MiB.*read-only/);
    await row.focus();
    await page.keyboard.press('Enter');
    await eventually(hash).toContain('sel=0x3000000+0x100000');
    await press('To the start');
    await eventually(() => table.getByRole('row').count()).toBe(2);
  });

  it('a migration: its rounds as a table, for the step that did it alone', async () => {
    await open('#s=pre-copy&t=4');
    await atStep(4);
    const rounds = page.getByRole('table', { name: 'Rounds of the migration, in pages' });
    await eventually(() => rounds.getByRole('row').allTextContents()).toEqual([
      'rounddirtycopied, not zerowritten meanwhile',
      '116,3846,1444,096',
      '24,0964,0961,024',
      '31,0241,024256',
      '425625664',
      '5646416',
      '6, guest stopped16160',
    ]);
    await press('Step forward');
    await atStep(5);
    await eventually(() => rounds.count()).toBe(0);
  });

  it('who counts: both memories of a page, and whose they are', async () => {
    await open('#s=private-shared&t=14&sel=0x2000000+0x400000');
    await atStep(14);
    await tab('Who');
    const row = (counter: string) => page.locator('.who').getByRole('row').filter({ hasText: counter });
    await eventually(() => textOf(row('VmRSS').first())).toContain('4 MiB');
    expect(await textOf(row('guest_memfd pages'))).toContain('4 MiB');
    await press('To the start');
    await eventually(() => textOf(row('VmRSS').first())).toContain('0 B');
  });

  it('exits: each with its address as a link, and a sentence', async () => {
    await open('#s=memslots&t=39');
    await atStep(39);
    await tab('Exits');
    const exits = page.getByRole('list', { name: 'Exits' }).getByRole('listitem');
    await eventually(() => textOf(exits.last())).toContain('EFAULT');
    expect(await textOf(exits.last())).toContain('the mapping behind the slot forbids the access');
    const all = await exits.allInnerTexts();
    expect(all.filter((t) => /INTERNAL_ERROR/.test(t)).length).toBe(1);
    await exits.last().getByRole('button', { name: 'go to 0x4000000' }).click();
    await eventually(hash).toContain('sel=0x4000000+0x1000');
  });

  it('hugetlb: counted apart from RSS, and a part of a page is not given back', async () => {
    await open('#s=partial-huge-pages&t=145&vm=hugetlb&sel=0x8080000+4K');
    await atStep(145);
    await rssIs('0 B');
    await eventually(() => textOf(page.locator('[data-counter="host.hugetlb"] dd').first())).toBe('66 MiB');
    const behind = page.getByRole('region', { name: 'Behind the page' });
    await eventually(() => textOf(behind)).toContain('a hugetlb page of 2 MiB');
  });

  it('several VMs: one is chosen by list and by table, all panels follow, the link has it', async () => {
    await open('#s=memory-file&t=17');
    await atStep(17);
    const title = page.locator('#map-title');
    expect(await textOf(title)).toContain('of shared');
    const table = page.getByRole('grid', { name: /Memory of the VMs/ });
    expect(await textOf(table.getByRole('row', { name: /private/ }))).toContain('memfd_priv');
    await page.getByRole('button', { name: /VM/ }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('option', { name: 'private' }).focus();
    await page.keyboard.press('Enter');
    await eventually(() => textOf(title)).toContain('of private');
    await eventually(hash).toContain('vm=private');
    const behind = page.getByRole('region', { name: 'Behind the page' });
    await eventually(() => textOf(behind)).toContain('a private copy');
    await tab('Events');
    await page.getByRole('searchbox', { name: 'Filter' }).fill('vm:private kind:fault');
    const events = page.getByRole('list', { name: 'Events' }).getByRole('listitem');
    await eventually(async () =>
      (await events.allInnerTexts()).every((t) => /^\d+ private fault/.test(t)),
    ).toBe(true);
    expect(await events.count()).toBeGreaterThan(0);
    await tab('VMAs');
    const mappings = page.getByRole('grid', { name: 'Mappings of guest RAM' });
    await eventually(() => textOf(mappings)).toContain('/memfd:guest-ram (deleted)');
    await tab('Walk');
    await table.getByRole('row', { name: /shared/ }).click();
    await eventually(() => textOf(title)).toContain('of shared');
    await eventually(() => textOf(behind)).toContain('at offset 0x2000000: this is its page');
    await page.goto(`${base}#s=memory-file&vm=nobody`);
    await eventually(() => textOf(page.getByRole('alert'))).toContain('no VM "nobody"');
  });

  it('KSM: who else maps the frame, over VMs, and what it saves', async () => {
    await open('#s=secrets&t=14&vm=spy&sel=0x8000000+4K');
    await atStep(14);
    const behind = page.getByRole('region', { name: 'Behind the page' });
    await eventually(() => textOf(behind)).toContain('32 entries, also bank 0x8000000, bank 0x8001000');
    expect(await textOf(behind)).toContain('and 7 more');
    await eventually(() => textOf(page.locator('.where'))).toContain('248 KiB that KSM saves');
    const host = page.getByRole('figure', { name: 'Host memory by step' });
    expect(await textOf(host)).toContain('Saved by KSM 248 KiB');
    await behind.getByRole('button', { name: 'bank 0x8001000' }).click();
    await eventually(() => textOf(page.locator('#map-title'))).toContain('of bank');
    await eventually(() => textOf(behind)).toContain('also bank 0x8000000, bank 0x8002000');
    await page.locator('#memory-map').focus();
    for (const key of ['f', 'v']) await page.keyboard.press(key);
    const twin = page.getByRole('region', { name: 'The map as text' });
    await eventually(() => textOf(twin)).toContain('0x800000064 KiBshared by KSM');
  });

  it('console: a line is about the VM that is shown', async () => {
    await open('#s=memory-file&t=17&vm=private');
    await atStep(17);
    await tab('Console');
    const input = page.getByRole('textbox', { name: 'Console' });
    await input.fill('touch 1M 64K --write');
    await input.press('Enter');
    await atStep(18);
    await rssIs('100 KiB');
    await eventually(hash).toContain('do=17:touch_1M_64K_--write_--vm_private');
  });

  it.each([
    'memslots',
    'dirty-log',
    'pre-copy',
    'private-shared',
    'in-place-conversion',
    'mapped-guest-memfd',
  ])('%s ends with the digest that it has in Node', async (name) => {
    const scenario = loadScenario(builtin(name)?.text ?? '');
    const vms = await createMachine(scenario.machine);
    const run = new ScenarioRun(scenario, vms);
    while (run.step());
    await open(`#s=${name}&t=${run.steps.length}`);
    await atStep(run.steps.length);
    await tab('Console');
    const input = page.getByRole('textbox', { name: 'Console' });
    await input.fill('digest');
    await input.press('Enter');
    const log = page.getByRole('log', { name: 'Console output' });
    await eventually(() => textOf(log)).toContain([...vms.values()][0]?.host.digest() ?? 'none');
  });

  it('runs every scenario that it offers', async () => {
    await open();
    await page.getByRole('button', { name: /Scenario/ }).press('Enter');
    const names = await page.getByRole('option').locator('[slot="label"]').allTextContents();
    expect(names.length).toBeGreaterThan(12);
    await page.keyboard.press('Escape');
    for (const name of names) {
      await page.goto(`${base}#s=${name}&t=3`);
      await page.waitForSelector('main.ready');
      await atStep(3);
      expect([name, await textOf(page.getByRole('alert'))]).toEqual([name, '']);
      await eventually(() => textOf(page.locator('.where'))).toContain('frames in use');
    }
  }, 180_000);

  it('play runs on by itself and pause stops it', async () => {
    await open('#s=guard-pages');
    await press('Play');
    await eventually(stepNow).toBeGreaterThan(1);
    await press('Pause');
    expect(await page.getByRole('button', { name: 'Play', exact: true }).count()).toBe(1);
  });

  it('the place is in the address and survives a reload', async () => {
    await open('#s=guard-pages&t=20&lens=protection&sel=0x20000000+4K');
    await page.locator('#memory-map').focus();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('.');
    await atStep(21);
    await eventually(hash).toBe('#s=guard-pages&t=21&sel=0x20001000+0x1000&lens=protection');
    await page.reload();
    await page.waitForSelector('main.ready');
    await atStep(21);
    expect(await page.getByRole('radio', { name: 'Protection' }).getAttribute('aria-checked')).toBe('true');
  });

  it('a link with nonsense keeps what parses and says what it dropped', async () => {
    await open('#s=guard-pages&t=3&lens=rainbow');
    await atStep(3);
    expect(await textOf(page.getByRole('alert'))).toContain('lens=rainbow');
    await press('Dismiss');
    await eventually(() => textOf(page.getByRole('alert'))).toBe('');
  });

  it('the map works by keyboard alone, down to one page and back', async () => {
    await open('#s=one-terabyte&t=66&sel=0x8000000000+4K');
    const map = page.getByRole('application', { name: /Guest physical memory/ });
    await map.focus();
    const place = page.locator('.map-place');
    await eventually(() => textOf(place)).toContain('2 TiB from 0x0, a cell is 4 MiB');
    await page.keyboard.press(']');
    await eventually(() => textOf(place)).toContain('512 GiB from 0x80_0000_0000');
    await page.keyboard.press(']');
    await eventually(() => textOf(place)).toContain('1 GiB from 0x80_0000_0000');
    await page.keyboard.press('w');
    await eventually(() => textOf(place)).toContain('512 MiB from 0x80_0000_0000');
    await page.keyboard.press('Shift+ArrowRight');
    await eventually(() => textOf(place)).toContain('+8 KiB');
    await eventually(() => map.getAttribute('aria-label')).toContain('anonymous');
    await page.keyboard.press('v');
    const twin = page.getByRole('region', { name: 'The map as text' });
    await eventually(() => textOf(twin.getByRole('row').nth(1))).toMatch(/^0x800000000064 MiBanonymous$/);
    await page.keyboard.press('2');
    await eventually(() => textOf(twin)).toContain('mapped writable');
    await page.keyboard.press('0');
    await eventually(() => textOf(place)).toContain('2 TiB');
  });

  it('the wheel zooms to what is under the pointer, and back to it', async () => {
    await open('#s=one-terabyte&t=66');
    const box = await page.locator('#memory-map').boundingBox();
    if (!box) throw new Error('no map');
    const place = page.locator('.map-place span').first();
    const wheel = async (times: number, by: number) => {
      for (let i = 0; i < times; i++) await page.mouse.wheel(0, by);
    };
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 4);
    await wheel(8, -100);
    await eventually(() => textOf(place)).toContain('8 GiB from');
    const there = await textOf(place);
    await wheel(5, 100);
    await eventually(() => textOf(place)).toContain('256 GiB from');
    await wheel(5, -100);
    await eventually(() => textOf(place)).toBe(there);
    await wheel(8, 100);
    await eventually(() => textOf(place)).toContain('2 TiB from 0x0');
  });

  it('walk: entries open the bit inspector', async () => {
    await open('#s=guard-pages&t=4&sel=0x20001000+4K');
    await page.getByRole('button', { name: /^PTE\[1\]/ }).click();
    const bits = page.getByRole('region', { name: 'Bits of PTE[1]' });
    expect(await textOf(bits.getByRole('row', { name: /^1 W/ }))).toContain('write allowed');
    expect(await textOf(bits.getByRole('row', { name: /MT/ }))).toContain('WB');
    await page.getByRole('button', { name: 'Close the bit inspector' }).click();
    expect(await bits.count()).toBe(0);
  });

  it('device: state, registers and the buffer both ways', async () => {
    await open('#s=hostile-guest&t=0');
    await tab('Device');
    expect(await page.getByRole('img', { name: 'Device state: broken' }).count()).toBe(1);
    await press('Step forward');
    await eventually(() => page.getByRole('img', { name: 'Device state: ready' }).count()).toBe(1);
    expect(await textOf(page.getByRole('row', { name: /command/ }).first())).toContain('ACK');
    for (const field of ['func_code', 'ret_errno']) {
      expect(await page.getByRole('rowheader', { name: field }).count()).toBe(1);
    }
  });

  it('console: a request becomes a step that back undoes; history; a mistake is explained', async () => {
    await open('#s=guard-pages&t=2');
    await page.keyboard.press('`');
    const input = page.getByRole('textbox', { name: 'Console' });
    await eventually(() => input.evaluate((e) => e === document.activeElement)).toBe(true);
    const log = page.getByRole('log', { name: 'Console output' });
    await input.fill('touch 64M 8M --write');
    await input.press('Enter');
    await eventually(() => textOf(log)).toContain('2048 faults');
    await rssIs('9.00 MiB');
    await input.fill('dontneed 64M 8M');
    await input.press('Enter');
    await rssIs('1.00 MiB');
    await atStep(4);
    await eventually(hash).toContain('do=2:touch_64M_8M_--write,3:dontneed_64M_8M');
    await press('Step back');
    await rssIs('9.00 MiB');
    await input.press('ArrowUp');
    expect(await input.inputValue()).toBe('dontneed 64M 8M');
    await input.fill('dontneed 64M');
    await input.press('Enter');
    await eventually(() => textOf(log)).toContain('len is missing');
    expect(await textOf(page.getByRole('alert'))).toBe('');
  });

  it('VMAs and smaps; events with causes and a filter; counters', async () => {
    await open('#s=guard-pages&t=10');
    await tab('VMAs');
    const rows = page.getByRole('grid', { name: 'Mappings of guest RAM' }).getByRole('row');
    await eventually(() => rows.count()).toBeGreaterThan(3);
    await press('smaps text');
    await eventually(() => textOf(page.getByRole('region', { name: 'smaps of the VMM' }))).toMatch(
      /Rss: +\d+ kB/,
    );
    await page.locator('body').click({ position: { x: 5, y: 5 } });
    await page.keyboard.press('/');
    const filter = page.getByRole('searchbox', { name: 'Filter' });
    await filter.fill('kind:zap');
    const events = page.getByRole('list', { name: 'Events' }).getByRole('listitem');
    await eventually(async () => (await events.allInnerTexts()).every((t) => / zap /.test(t))).toBe(true);
    expect(await page.getByRole('button', { name: /because of event/ }).count()).toBeGreaterThan(0);
    await tab('Counters');
    expect(await page.getByRole('row', { name: /host\.rss VMM process/ }).count()).toBe(1);
  });

  it('the key sheet opens with ?, has every key, and closes with Escape', async () => {
    await open('#s=guard-pages');
    await page.keyboard.press('?');
    const sheet = page.getByRole('dialog', { name: 'Keys' });
    await eventually(() => textOf(sheet)).toContain('down a table level');
    await page.keyboard.press('Escape');
    await eventually(() => sheet.count()).toBe(0);
  });

  it('another scenario can be chosen by keyboard', async () => {
    await open('#s=guard-pages&t=5');
    await page.getByRole('button', { name: /Scenario/ }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('option', { name: /hostile-guest/ }).focus();
    await page.keyboard.press('Enter');
    await atStep(0);
  });

  it.each([
    'guard-pages',
    'memory-file',
    'memslots',
    'private-shared',
  ])('%s: everything that can be operated has a name', async (name) => {
    await open(`#s=${name}&t=10`);
    for (const name of TABS) {
      await tab(name);
      for (const role of ['button', 'textbox', 'slider', 'tab', 'radio', 'searchbox', 'grid'] as const) {
        const all = await page.getByRole(role).count();
        // A name is at least one character that is not a space.
        expect([name, role, await page.getByRole(role, { name: /\S/ }).count()]).toEqual([name, role, all]);
      }
    }
    for (const landmark of ['main', 'banner'] as const)
      expect(await page.getByRole(landmark).count()).toBe(1);
  });

  it('dark theme: by the system, and by the button', async () => {
    await page.emulateMedia({ colorScheme: 'dark' });
    await open('#s=guard-pages');
    const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    expect(await ground()).toBe('rgb(16, 20, 26)');
    await press('Theme: system');
    await eventually(ground).toBe('rgb(244, 245, 247)');
    await press('Theme: light');
    await press('Theme: dark');
  });

  it.each([
    'guard-pages',
    'memory-file',
    'private-shared',
  ])('%s, 360 px wide: nothing sticks out', async (scenario) => {
    await page.setViewportSize({ width: 360, height: 740 });
    await open(`#s=${scenario}&t=10`);
    for (const name of TABS) {
      await tab(name);
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      expect([name, width]).toEqual([name, 360]);
    }
    await press('Step forward');
    await atStep(11);
  });
});
