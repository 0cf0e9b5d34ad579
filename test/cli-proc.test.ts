// `slatbox status`, `smaps-rollup`, `pagemap`, `page-types`: texts, JSON, ranges, wrong arguments.
import { describe, expect, it } from 'vitest';
import { runCli } from './support/cli.ts';

const SCENARIO = `version: 1
title: Pages
machine: { memory: 64M, swap: 1M }
steps:
  - touch: { gpa: 16M, len: 16K, write: true }
  - touch: { gpa: 17M, len: 8K }
  - pageout: { gpa: 16M, len: 8K }
`;

const slatbox = (argv: string) => runCli(argv, SCENARIO);

describe('cli › what /proc says of the VMM', () => {
  it('status, at each step', async () => {
    const { code, out, err } = await slatbox('status x.yaml');
    expect([code, err]).toEqual([0, '']);
    // Two of the four pages are swapped; the driver's buffer is one more.
    expect(out).toMatch(/^VmPeak:\t {3}65536 kB\n/);
    expect(out).toContain('\nVmRSS:\t      12 kB\n');
    expect(out).toContain('\nVmSwap:\t       8 kB\n');
    expect((await slatbox('status x.yaml --at 1')).out).toContain('\nVmRSS:\t      16 kB\n');
    const json = JSON.parse((await slatbox('status x.yaml --format json')).out);
    expect(json).toMatchObject({
      vmPeak: 2 ** 26,
      vmSize: 2 ** 26,
      vmRss: 12288,
      vmSwap: 8192,
      hugetlbPages: 0,
    });
  });

  it('smaps-rollup', async () => {
    const { code, out } = await slatbox('smaps-rollup x.yaml');
    expect(code).toBe(0);
    expect(out).toMatch(
      /^100000000000-100004000000 ---p 00000000 00:00 0 +\[rollup\]\nRss: +12 kB\nPss: +12 kB\n/,
    );
    const json = JSON.parse((await slatbox('smaps-rollup x.yaml --format json')).out);
    expect(json).toMatchObject({ start: '0x100000000000', end: '0x100004000000', rss: 12288, swap: 8192 });
  });

  it('pagemap: a line for each run', async () => {
    const { code, out, err } = await slatbox('pagemap x.yaml --gpa 16M --len 2M');
    expect([code, err]).toEqual([0, '']);
    expect(out.replaceAll(/pfn 0x(?!60\b)[0-9a-f]+…0x[0-9a-f]+/g, 'pfn FRAMES').split('\n')).toEqual([
      'pages of the VMM           count  entry',
      '100001000000-100001002000      2  swapped swap type 0 offset 0x1…0x2',
      '100001002000-100001004000      2  present exclusive pfn FRAMES',
      '100001004000-100001100000    252  nothing',
      '100001100000-100001102000      2  present pfn 0x60',
      '100001102000-100001200000    254  nothing',
      '',
    ]);
  });

  it('pagemap --raw: entries in hex, nothing of what has none', async () => {
    const { out } = await slatbox('pagemap x.yaml --gpa 16M --len 2M --raw');
    expect(out.replaceAll(/ 8100[0-9a-f]{12}$/gm, ' PAGE').split('\n')).toEqual([
      '100001000000 4000000000000020',
      '100001001000 4000000000000040',
      '100001002000 PAGE',
      '100001003000 PAGE',
      '100001100000 8000000000000060',
      '100001101000 8000000000000060',
      '',
    ]);
  });

  it('pagemap: of all RAM without a range, of one page without a length; in JSON', async () => {
    const { runs } = JSON.parse((await slatbox('pagemap x.yaml --format json')).out);
    const pages = runs.reduce((n: number, run: { pages: number }) => n + run.pages, 0);
    expect(pages).toBe(2 ** 14);
    const one = JSON.parse((await slatbox('pagemap x.yaml --gpa 16M --format json')).out);
    expect(one.runs).toMatchObject([
      { start: '0x100001000000', pages: 1, entry: '0x4000000000000020', swapped: true, swapOffset: 1 },
    ]);
  });

  it('page-types, of the VMM and of the host', async () => {
    const { code, out } = await slatbox('page-types x.yaml');
    expect(code).toBe(0);
    expect(out.split('\n').map((line) => line.trim().split(/\s+/).slice(0, 2).join(' '))).toEqual([
      'flags page-count',
      '0x0000000000000000 2',
      '0x0000000001000000 2',
      '0x0000000000005828 3',
      'total 7',
      '',
    ]);
    const host = JSON.parse((await slatbox('page-types x.yaml --host --format json')).out);
    expect(host.pages).toBe(2 ** 14 + 1);
    const raw = JSON.parse((await slatbox('page-types x.yaml --raw --format json')).out);
    expect(raw.types.map((t: { flags: string }) => t.flags)).toContain('0x8000800000005828');
  });

  it.each([
    ['no address', '--gpa 1Q', /"1Q" is not a guest-physical address\n.*help: write/],
    ['no size', '--gpa 16M --len many', /"many" is not a size/],
    ['a length alone', '--len 4K', /--len without --gpa\n.*help: say where/],
    ['no pages', '--gpa 16M --len 0', /is not made of whole pages\n.*help: multiples of 4K/],
    ['part of a page', '--gpa 16M+1', /is not made of whole pages/],
    ['outside RAM', '--gpa 1T', /is not inside one region of RAM\n.*help: RAM is 0x0 \+ 64 MiB/],
    ['past the end of RAM', '--gpa 63M --len 2M', /is not inside one region of RAM/],
  ])('pagemap, wrong range: %s', async (_row, options, message) => {
    const { code, out, err } = await slatbox(`pagemap x.yaml ${options}`);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(/^error\[SLB-047\]: /);
    expect(err).toMatch(message);
  });
});
