// `slatbox who` and `slatbox account`: texts, JSON, and what they refuse. Their numbers are held by account-*.test.ts.
import { describe, expect, it } from 'vitest';
import { main } from '../src/cli/main.ts';
import { createFile } from '../src/cli/output-file.ts';

const SCENARIO = `version: 1
title: touch
machine: { memory: 64M, pool: 16M }
steps:
  - touch: { gpa: 1M, len: 64K, write: true }
`;

async function slatbox(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ['', ''];
  const code = await main(args, {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    errIsTty: false,
    outIsTty: false,
    env: {},
    read: (file) =>
      Buffer.from(
        file === 'nodes.yaml' ? SCENARIO.replace('pool: 16M', 'pool: 16M, numaNodes: 2') : SCENARIO,
      ),
    create: createFile,
  });
  return { code, out, err };
}

const cells = (out: string, counter: string): string | undefined =>
  new RegExp(`^(?:\\w+)? +${counter} +(-?[\\d.]+ \\w+)  `, 'm').exec(out)?.[1];

describe('cli › who', () => {
  it('a page that was touched', async () => {
    const { code, out } = await slatbox('who', 'x.yaml', '--gpa', '1M');
    expect(code).toBe(0);
    expect(out.split('\n')[0]).toBe('0x10_0000 + 4 KiB');
    for (const counter of ['RAM', 'VmRSS', 'RssAnon', 'memory.current', 'AnonPages']) {
      expect(cells(out, counter), counter).toBe('4 KiB');
    }
    expect(cells(out, 'RssShmem')).toBe('0 B');
    expect(cells(out, 'MemFree')).toBe('-4 KiB');
  });

  it('a range, as JSON', async () => {
    const { out } = await slatbox('who', 'x.yaml', '--gpa', '0', '--len', '2M', '--format', 'json');
    const { gpa, length, rows } = JSON.parse(out);
    expect([gpa, length]).toEqual(['0x0', 2 ** 21]);
    expect(rows.find((r: { counter: string }) => r.counter === 'RssAnon')).toMatchObject({
      view: 'process',
      bytes: 65536,
    });
  });

  it('outside RAM nobody counts anything', async () => {
    const { out } = await slatbox('who', 'x.yaml', '--gpa', '3G');
    expect(out).toContain('no memslot: MMIO for the guest');
    expect(out.match(/ [1-9][\d.]* (?:B|KiB|MiB|GiB) {2}/g)).toBeNull();
  });

  it.each([
    [['--gpa', '1Q'], 'SLB-042', '--gpa: "1Q" is not a guest-physical address'],
    [['--gpa', '0', '--len', 'much'], 'SLB-042', '--len: "much" is not a size'],
    [['--gpa', '0', '--len', '0'], 'SLB-042', '--len 0'],
    [[], 'SLB-044', '--gpa'],
  ])('%j is %s', async (args, code, message) => {
    const { code: exit, err } = await slatbox('who', 'x.yaml', ...args);
    expect(exit).toBe(2);
    expect(err).toContain(`error[${code}]`);
    expect(err).toContain(message);
  });
});

describe('cli › account', () => {
  it('a machine of a scenario', async () => {
    const { code, out } = await slatbox('account', 'x.yaml');
    expect(code).toBe(0);
    expect(out).toContain('== top\n   VIRT    RES    SHR  %MEM\n  65536     64      0   0.4\n');
    expect(out).toContain('100000000000 default anon=16 dirty=16 active=0 N0=16 kernelpagesize_kB=4\n');
    expect(out).toContain('== memory.numa_stat\nanon N0=65536\n');
  });

  it('the guest of 40 GiB, by each rule', async () => {
    const res = async (rule: string): Promise<string | undefined> =>
      /VIRT .*\n(.*)\n/.exec((await slatbox('account', 'builtin:snp-40g', '--rss', rule)).out)?.[1];
    expect(await res('as-is')).toBe('  40.4g  99580  51676   0.0');
    expect(await res('first-allocation')).toBe('  40.4g  40.1g  40.1g  16.0');
    expect(await res('prot-none')).toBe('  80.4g  40.1g  40.1g  16.0');
    expect((await slatbox('account', 'builtin:snp-40g', '--rss', 'query')).out).toContain(
      'guest_memfd 0: size 42949672960 allocated 42949672960 N0=0 N1=0 N2=21472739328 N3=21476933632\n',
    );
  }, 60_000);

  it('a host with nodes', async () => {
    const { out } = await slatbox('account', 'nodes.yaml');
    expect(out).toContain('anon=16 dirty=16 active=0 N0=16 ');
    expect(out).toContain('anon N0=65536 N1=0\n');
    const who = await slatbox('who', 'nodes.yaml', '--gpa', '1M', '--len', '64K');
    expect(who.out).toMatch(/ anon +64 KiB {2}mapped anonymous pages \(N0=65536 N1=0\)\n/);
  });

  it('ten guests, and their sum', async () => {
    const { out } = await slatbox('account', 'builtin:snp-10x10g');
    expect(out.trimEnd().split('\n')).toHaveLength(12);
    expect(out).toMatch(/^qemu 9 +10\.4g +99580 +10\.0g +10\.0g +10\.0g\n/m);
  });

  it('as JSON, with its inputs', async () => {
    const { out } = await slatbox('account', 'builtin:snp-40g', '--format', 'json');
    const { inputs, memoryStat } = JSON.parse(out);
    expect(inputs.policy).toEqual({ mode: 3, nodes: [2, 3] });
    expect(memoryStat.file_thp.bytes).toBe(42949672960);
  });

  it.each([
    [['builtin:snp-40g', '--at', '3'], 'SLB-041'],
    [['builtin:snp-40g', '--vm', 'a'], 'SLB-048'],
    [['builtin:snp-10x10g', '--at', '1'], 'SLB-041'],
    [['builtin:snp-40g', '--rss', 'all'], 'SLB-044'],
    [['x.yaml', '--compare'], 'SLB-044'],
  ])('%j is %s', async (args, code) => {
    const { code: exit, err } = await slatbox('account', ...args);
    expect(exit).toBe(2);
    expect(err).toContain(`error[${code}]`);
  });
});
