// `slatbox core`: the listing, the file it writes, progress, wrong arguments.
import { existsSync, mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { main } from '../src/cli/main.ts';
import { createFile, type OutputFile } from '../src/cli/output-file.ts';
import { hasReadelf, readelf, segmentsOf } from './support/core-file.ts';

const MIB = 2 ** 20;
const SCENARIO = `version: 1
title: Secrets
machine: { memory: 64M }
steps:
  - store: { gpa: 16M, val: 0x5a5a5a5a5a5a5a5a }
  - store: { gpa: 32M, val: 0x2a2a2a2a2a2a2a2a }
  - dontdump: { gpa: 32M, len: 4K }
`;

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}
async function slatbox(
  argv: readonly string[],
  world: { readonly tty?: boolean; readonly create?: (file: string) => OutputFile } = {},
): Promise<Ran> {
  let [out, err] = ['', ''];
  const { tty = false, create = createFile } = world;
  const code = await main(argv, {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    errIsTty: tty,
    outIsTty: tty,
    env: { NO_COLOR: '1' },
    read: () => new TextEncoder().encode(SCENARIO),
    create,
  });
  return { code, out, err };
}
const fresh = (name: string): string => join(mkdtempSync(join(tmpdir(), 'slatbox-core-')), name);

describe('cli › core', () => {
  afterEach(() => void vi.useRealTimers());

  it('lists the mappings, and says why one is left out', async () => {
    const { code, out, err } = await slatbox(['core', 'x.yaml']);
    expect([code, err]).toEqual([0, '']);
    const lines = out.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^mapping +perm +size +dumped +resident +swapped +flags +left out because$/);
    expect(lines[1]).toMatch(/^100000000000-100002000000 {2}rw-p +32 MiB +32 MiB +2 +0 {2}rd wr/);
    expect(lines[2]).toMatch(/^100002000000-100002001000 {2}rw-p +4 KiB +0 B +1 +0 {2}.* dd nh +dontdump$/);
    expect(lines.slice(4)).toEqual([
      'dumped    64.00 MiB, 2 resident and 0 swapped pages',
      'left out  4 KiB, 1 resident and 0 swapped pages',
      expect.stringMatching(
        /^core file 64 MiB with coredump_filter 0x33, 8.\d\d KiB of it stored, the rest holes$/,
      ),
    ]);
  });

  it('says the same in JSON', async () => {
    const dump = JSON.parse((await slatbox(['core', 'x.yaml', '--format', 'json'])).out);
    expect(dump).toMatchObject({ size: 64 * MIB, filter: '0x33' });
    expect(dump.vmas[1]).toMatchObject({
      start: '0x100002000000',
      dumped: 0,
      reason: 'dontdump',
      resident: 1,
    });
    expect(dump.segments.map((s: { type: string }) => s.type)).toEqual(['NOTE', 'LOAD', 'LOAD', 'LOAD']);
    expect(dump.leftOut).toEqual({ bytes: 4096, resident: 1, swapped: 0 });
  });

  it('--at looks earlier, --filter takes hex with and without 0x', async () => {
    expect((await slatbox(['core', 'x.yaml', '--at', '2'])).out).not.toContain('dontdump');
    expect((await slatbox(['core', 'x.yaml', '--at', '0'])).out).toContain('no anonymous page');
    for (const filter of ['7E', '0x7e']) {
      const { out } = await slatbox(['core', 'x.yaml', '--filter', filter]);
      expect(out).toContain('coredump_filter 0x7e');
      expect(out.match(/ filter$/gm)).toHaveLength(2);
    }
  });

  it('--output writes it: sparse, for its owner alone, in place of what was there', async () => {
    const path = fresh('vmm.core');
    writeFileSync(path, Buffer.alloc(80 * MIB, 0xff), { mode: 0o600 });
    const { code, out, err } = await slatbox(['core', 'x.yaml', '--output', path]);
    expect([code, err]).toEqual([0, '']);
    expect(out.endsWith(`\nwritten to ${path}\n`)).toBe(true);
    const { size, blocks, mode } = statSync(path);
    expect([size, mode & 0o777]).toEqual([64 * MIB, 0o600]);
    if (process.platform === 'linux') expect(blocks * 512).toBeLessThan(MIB);
    const file = readFileSync(path);
    const [, low] = segmentsOf(file);
    expect(file.readBigUInt64LE((low?.offset ?? 0) + 16 * MIB)).toBe(0x5a5a5a5a5a5a5a5an);
    expect(file.includes(Buffer.alloc(8, 0x2a))).toBe(false);
    if (hasReadelf) expect(readelf(path).segments).toEqual(segmentsOf(file));
  });

  it('shows progress on a terminal when it takes long', async () => {
    const run = (perWrite: number) => {
      vi.useFakeTimers({ toFake: ['Date'] });
      const write = (): void => void vi.advanceTimersByTime(perWrite);
      const create = (): OutputFile => ({ write, finish: () => {}, discard: () => {} });
      return slatbox(['core', 'x.yaml', '--output', 'vmm.core'], { tty: true, create });
    };
    const slow = await run(300);
    expect(slow.err).toMatch(/^(\r\[#+ *\] [\d.]+ KiB\/8\.\d\d KiB *)+\r +\r$/);
    expect((await run(1)).err).toBe('');
  });

  it('removes what it could not complete', async () => {
    const path = fresh('vmm.core');
    const create = (file: string): OutputFile => {
      const real = createFile(file);
      const write = (bytes: Uint8Array, offset: number): void => {
        if (offset > 0) throw Object.assign(new Error('full'), { code: 'ENOSPC' });
        real.write(bytes, offset);
      };
      return { ...real, write };
    };
    const { code, err, out } = await slatbox(['core', 'x.yaml', '--output', path], { create });
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(`error[SLB-046]: cannot write ${path}: no space left on the device`);
    expect(existsSync(path)).toBe(false);
  });

  it.each([
    [
      'no filter',
      ['--filter', 'zz'],
      /^error\[SLB-045\]: --filter: "zz" is no coredump_filter\n {2}= help: write hex/,
    ],
    ['more than 32 bits', ['--filter', '0x100000000'], /^error\[SLB-045\]/],
    [
      'no such directory',
      ['--output', '/nosuch/core'],
      /^error\[SLB-046\]: .*there is no such directory\n {2}= help: /,
    ],
    ['a directory', ['--output', tmpdir()], /^error\[SLB-046\]: .*it is a directory\n/],
    ['a device', ['--output', '/dev/null'], /^error\[SLB-046\]: .*it is not a regular file\n/],
    [
      'stdout',
      ['--output', '-'],
      /^error\[SLB-046\]: a core file does not go to stdout\n {2}= help: name a file/,
    ],
    ['the scenario', ['--output', './x.yaml'], /^error\[SLB-046\]: .* is the scenario itself\n {2}= help: /],
    ['no such format', ['--format', 'ndjson'], /^error\[SLB-044\]/],
    ['no such step', ['--at', '9'], /^error\[SLB-041\]/],
  ])('wrong arguments: %s', async (_name, options, message) => {
    const { code, err, out } = await slatbox(['core', 'x.yaml', ...options]);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(message);
  });
});
