// The command line on a scenario with several VMs: which one is looked at, what `run` says of all.
import { describe, expect, it } from 'vitest';
import { runCli } from './support/cli.ts';

const SCENARIO = `version: 1
title: Two
machine: { memory: 64M, pool: 16M, swap: 16M, vms: { web: {}, db: { memory: 32M } } }
steps:
  - sample: nothing
  - fill: { vm: web, gpa: 1M, len: 12M, byte: 1 }
  - sample: web
  - fill: { vm: db, gpa: 1M, len: 8M, byte: 2 }
  - sample: both
  - expect: { db.host.rss: { min: 1M } }
`;

const slatbox = (argv: string) => runCli(argv, SCENARIO);

describe('cli › several VMs', () => {
  it('run says which VM a step is about, what it did to the others, and who has the memory', async () => {
    const { code, out } = await slatbox('run two.yaml');
    expect(code).toBe(0);
    expect(out).toMatch(/ 2 {3}web: fill 1M \+12M with 0x1 .*rss 0 B → 12 MiB\n/);
    expect(out).toMatch(/ 4 {3}db: fill .*rss 0 B → .* {2}others: rss 12 MiB → .*, swap 0 B → /);
    const table = out.slice(out.indexOf('step  host memory')).split('\n');
    expect(table[0]).toMatch(/^step {2}host memory +used +swap +KSM saves +rss +web +db$/);
    expect(table[2]).toMatch(/^ +3 {2}web +12 MiB +0 B +0 B +12 MiB +12 MiB +0 B {2}#+$/);
    expect(table[3]).toMatch(/^ +5 {2}both +\S+ MiB +\S+ MiB .* {2}#+~+$/);
  });

  it('--format table is the table alone', async () => {
    const all = await slatbox('run two.yaml');
    const { code, out } = await slatbox('run two.yaml --format table');
    expect(code).toBe(0);
    expect(out.split('\n').length).toBe(5);
    expect(all.out).toContain(`\n${out}\n`);
  });

  it('--format json has the counters and the digest of each, the samples, and what each step changed', async () => {
    const json = JSON.parse((await slatbox('run two.yaml --format json')).out);
    const { web, db } = json.vms;
    expect(json.counters).toEqual(web.counters);
    expect(web.digest).not.toBe(db.digest);
    expect(json.digest).toMatch(/^[0-9a-f]{16}$/);
    expect(json.samples.map((s: { name: string }) => s.name)).toEqual(['nothing', 'web', 'both']);
    const fill = json.steps[3];
    expect(fill.vm).toBe('db');
    expect(fill.changed['host.rss'] + (fill.changed['host.swap'] ?? 0)).toBe(8 << 20);
    expect(fill.others.web['host.rss']).toBe(-fill.others.web['host.swap']);
    expect(fill.memory.vms.web.rss).toBe((12 << 20) + fill.others.web['host.rss']);
    expect(fill.memory.used + fill.memory.swap).toBe(20 << 20);
  });

  it('--vm: smaps, walk, core and events of that VM; without, of the first', async () => {
    const size = async (argv: string) => /^Size: +(\d+) kB/m.exec((await slatbox(argv)).out)?.[1];
    expect(await size('smaps two.yaml')).toBe('65536');
    expect(await size('smaps two.yaml --vm web')).toBe('65536');
    expect(await size('smaps two.yaml --vm db')).toBe('32768');
    const walk = await slatbox('walk two.yaml --vm db --gpa 1M');
    expect(walk.out).toContain('behind it');
    const core = JSON.parse((await slatbox('core two.yaml --vm db --format json')).out);
    expect(core.dumped.bytes).toBe(32 << 20);
    const events = async (argv: string): Promise<{ vm: number }[]> =>
      JSON.parse((await slatbox(`events ${argv} --format json`)).out).events;
    const all = await events('two.yaml');
    const own = await events('two.yaml --vm db');
    expect(new Set(all.map((e) => e.vm))).toEqual(new Set([0, 1]));
    expect(own).toEqual(all.filter((e) => e.vm === 1));
    expect((await slatbox('events two.yaml --vm db --kind violation')).out).toMatch(
      /^ +\d+ +.*db cpu0 violation/,
    );
  });

  it.each([
    'smaps',
    'core',
    'events',
    'walk --gpa 0',
  ])('%s --vm with a name that there is not', async (command) => {
    const { code, out, err } = await slatbox(`${command} two.yaml --vm wbe`);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain('error[SLB-048]');
    expect(err).toContain('did you mean "web"?');
  });

  it('check says that it is valid', async () => {
    expect((await slatbox('check two.yaml')).out).toBe('1 of 1 scenario valid\n');
  });
});
