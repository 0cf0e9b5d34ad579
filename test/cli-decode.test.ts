// `slatbox decode`: the fields of entries and faults, verdicts, JSON, wrong arguments. Values are spelled out.
import { describe, expect, it } from 'vitest';
import { runCli } from './support/cli.ts';

const slatbox = (argv: string) => runCli(argv, '');
/** The lines behind the first as [bits, name, value]. */
const rows = (out: string): string[] =>
  out
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/ +/).slice(0, 3).join(' '));

describe('cli › decode', () => {
  it('a leaf as KVM makes it, all its fields', async () => {
    const { code, out, err } = await slatbox('decode ept 0x0600000012345b77');
    expect([code, err]).toEqual([0, '']);
    expect(out.split('\n')[0]).toBe('0x0600000012345b77  EPT leaf entry, 4 KiB: present');
    expect(rows(out)).toEqual([
      '63 SVE 0x0',
      '61 SPP 0x0',
      '60 SSS 0x0',
      '58 MMU-W 0x1',
      '57 host-W 0x1',
      '51:12 pfn 0x12345',
      '11 KVM 0x1',
      '10 XU 0x0',
      '9 D 0x1',
      '8 A 0x1',
      '6 IPAT 0x1',
      '5:3 MT 0x6',
      '2 X 0x1',
      '1 W 0x1',
      '0 R 0x1',
    ]);
    expect(out).toContain('memory type WB');
  });

  it.each([
    ['ept 0x5032', 'EPT leaf entry, 4 KiB: misconfiguration: writable but not readable'],
    ['ept 0xfff8', 'EPT entry, not present: not present'],
    ['ept 0x100807 --level 2', 'EPT table entry: present'],
    ['ept 0x2008b7 --level 2', 'EPT leaf entry, 2 MiB: present'],
    ['ept 0x400008b7 --level 3', 'EPT leaf entry, 1 GiB: present'],
    ['ept 0x400008b7 --level 4', 'EPT table entry: misconfiguration: reserved bits set: 0xb0'],
    ['eptp 0x5000005e', 'EPT pointer: VM entry takes it'],
    ['eptp 0x5000005c', 'EPT pointer: VM entry refuses it: memory type 4 of the tables'],
    ['ept-violation 0x182', 'exit qualification of an EPT violation'],
    ['npt 0x8000000000005067', 'x86-64 leaf entry, 4 KiB: present'],
    ['guest 0x602083 --level 2', 'x86-64 leaf entry, 2 MiB: page fault: reserved bits 0x2000'],
    ['guest 0x5007 --level 5', 'x86-64 table entry: present'],
    ['guest 0x5006', 'x86-64 entry, not present: not present'],
    ['npf 0x100000006', 'EXITINFO1 of a nested page fault'],
    ['page-fault 7', 'error code of a page fault'],
    ['stage2 0x9783', 'stage-2 page descriptor, 4 KiB: page'],
    ['stage2 0x200741 --level 2', 'stage-2 block descriptor, 2 MiB: block'],
    ['stage2 0x2000741 --level 2 --granule 16K', 'stage-2 block descriptor, 32 MiB: block'],
    ['stage2 0x20000741 --level 2 --granule 64K', 'stage-2 block descriptor, 512 MiB: block'],
    ['stage2 0x5003 --level 0', 'stage-2 table descriptor: table'],
    ['stage2 0x741', 'stage-2 descriptor, invalid: invalid'],
    ['stage2-fault 0x93830047', 'ESR_EL2 of a stage-2 abort'],
  ])('%s', async (argv, title) => {
    const { code, out } = await slatbox(`decode ${argv}`);
    expect(code).toBe(0);
    expect(out.split('\n')[0]).toMatch(/^0x[0-9a-f]{16} {2}/);
    expect(out.split('\n')[0]?.slice(20)).toBe(title);
  });

  it.each([
    ['ept-violation 0x182', ['1 write 0x1', '7 GLA 0x1', '8 final 0x1']],
    ['npf 0x100000006', ['1 W/R 0x1', '2 U/S 0x1', '32 final 0x1']],
    ['page-fault 0x15', ['0 P 0x1', '2 U/S 0x1', '4 I/D 0x1']],
    [
      'stage2-fault 0x93830047',
      [
        '1:0 level 0x3',
        '5:2 status 0x1',
        '6 WnR 0x1',
        '20:16 SRT 0x3',
        '23:22 SAS 0x2',
        '24 ISV 0x1',
        '25 IL 0x1',
        '31:26 EC 0x24',
      ],
    ],
  ])('the fields of %s that are set', async (argv, set) => {
    const { out } = await slatbox(`decode ${argv}`);
    expect(rows(out).filter((row) => !row.endsWith(' 0x0'))).toEqual([...set].reverse());
  });

  it('a write-only stage-2 page', async () => {
    const { out } = await slatbox('decode stage2 0x9783');
    expect(out).toMatch(/7:6 {2}S2AP {7}0x2 +write-only\n/);
  });

  it('JSON: numbers as hex text', async () => {
    const result = JSON.parse((await slatbox('decode ept 0x5032 --format json')).out);
    expect(result).toMatchObject({
      format: 'ept',
      value: '0x5032',
      level: 1,
      layout: 'EPT leaf entry, 4 KiB',
      verdict: 'misconfiguration: writable but not readable',
    });
    expect(result.fields).toContainEqual({
      high: 51,
      low: 12,
      name: 'pfn',
      value: '0x5',
      meaning: 'host frame 0x5',
    });
    const fault = JSON.parse((await slatbox('decode page-fault 2 --format json')).out);
    expect([fault.verdict, 'level' in fault]).toEqual([null, false]);
  });

  it.each([
    ['ept zero', 'SLB-049', '"zero" is not a number'],
    ['ept 0x10000000000000000', 'SLB-049', 'more than 64 bits'],
    ['ept 0 --level 6', 'SLB-049', 'one of 1, 2, 3, 4, 5'],
    ['stage2 0 --level 4', 'SLB-049', 'one of 3, 2, 1, 0'],
    ['eptp 0 --level 1', 'SLB-049', 'leave it out'],
    ['pte 0', 'SLB-044', 'Allowed choices are ept,'],
    ['stage2 0 --granule 8K', 'SLB-044', 'Allowed choices are 4K'],
  ])('%s: %s', async (argv, errorCode, text) => {
    const { code, out, err } = await slatbox(`decode ${argv}`);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(`error[${errorCode}]`);
    expect(err).toContain(text);
  });

  it('--help names the formats', async () => {
    const { out } = await slatbox('decode --help');
    expect(out).toContain('ept-violation  exit qualification of an EPT violation\n');
  });
});
