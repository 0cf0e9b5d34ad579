// Page tables that nobody made with care: random entries in a few pages that lead to each other, to RAM, to MMIO and to nowhere.
// Each access is compared with a translation that is written down here on its own. A failure names its seed (fast-check).
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { VirtualCpu, Vm } from '../src/index.ts';
import { BUILDS, MIB, machine, PAGE } from './support/machines.ts';

const RAM = 16 * MIB;
const TABLES = 0x40_0000n;
const TABLE_COUNT = 6;

/** An entry: mostly of one of the tables or a page of RAM, with few bits missing; now and then anything. */
const entry = fc
  .tuple(
    fc.oneof(
      {
        weight: 6,
        arbitrary: fc.integer({ min: 0, max: TABLE_COUNT - 1 }).map((i) => TABLES + BigInt(i * PAGE)),
      },
      { weight: 3, arbitrary: fc.integer({ min: 0, max: 7 }).map((i) => BigInt(i) * 0x20_0000n) },
      { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: (1n << 52n) - 1n }).map((a) => a & ~0xfffn) },
    ),
    fc.integer({ min: 0, max: 99 }),
    fc.integer({ min: 0, max: 0xff }),
  )
  .map(([address, luck, bits]) => {
    if (luck < 4) return address | BigInt(bits & 0xfe);
    if (luck < 8) return address | 7n | (1n << 63n);
    if (luck < 30) return address | BigInt(bits) | 1n;
    return luck < 50 ? address | 0x87n : address | 7n;
  });
/** The entries that the accesses below use: of each table the first four. */
const entries = fc.array(entry, { minLength: 4 * TABLE_COUNT, maxLength: 4 * TABLE_COUNT });

interface Access {
  readonly kind: 'read' | 'write' | 'fetch';
  readonly user: boolean;
  readonly gva: bigint;
}
const access: fc.Arbitrary<Access> = fc.record({
  kind: fc.constantFrom('read', 'write', 'fetch'),
  user: fc.boolean(),
  gva: fc
    .tuple(...[0, 0, 0, 0].map(() => fc.bigInt({ min: 0n, max: 3n })), fc.bigInt({ min: 0n, max: 511n }))
    .map(
      ([a = 0n, b = 0n, c = 0n, d = 0n, offset = 0n]) =>
        (a << 39n) | (b << 30n) | (c << 21n) | (d << 12n) | (offset << 3n),
    ),
});

/** What the guest's tables say, from the manual, level by level; `error` is the code of the page fault. */
function translation(
  vm: Vm,
  { kind, user, gva }: Access,
): { gpa: bigint } | { error: number } | { noSlot: bigint } {
  const word = (gpa: bigint): bigint => new DataView(vm.ramAccess.read(gpa, 8).buffer).getBigUint64(0, true);
  const why = (present: boolean, reserved: boolean): { error: number } => ({
    error:
      Number(present) |
      (kind === 'write' ? 2 : 0) |
      (user ? 4 : 0) |
      (reserved ? 8 : 0) |
      (kind === 'fetch' ? 16 : 0),
  });
  let [write, us, nx] = [true, true, false];
  let table = TABLES;
  for (const [shift, canBeLeaf] of [
    [39n, false],
    [30n, true],
    [21n, true],
    [12n, true],
  ] as const) {
    const at = table + ((gva >> shift) & 511n) * 8n;
    if (at >= BigInt(RAM)) return { noSlot: at };
    const e = word(at);
    if ((e & 1n) === 0n) return why(false, false);
    write &&= (e & 2n) !== 0n;
    us &&= (e & 4n) !== 0n;
    nx ||= e >> 63n !== 0n;
    const leaf = shift === 12n || (e & 0x80n) !== 0n;
    if (leaf && !canBeLeaf) return why(true, true);
    // Below the frame of a large page only bit 12, PAT, may be set.
    const low = (1n << shift) - 1n;
    if (leaf && shift > 12n && (e & low & 0xf_ffff_ffff_e000n) !== 0n) return why(true, true);
    const address = e & 0x000f_ffff_ffff_f000n;
    if (!leaf) {
      table = address;
      continue;
    }
    const refused = (user && !us) || (kind === 'write' && !write) || (kind === 'fetch' && nx);
    return refused ? why(true, false) : { gpa: (address & ~low) | (gva & low) };
  }
  throw new Error('the last level has leaves alone');
}

function act(cpu: VirtualCpu, { kind, user, gva }: Access) {
  if (kind === 'write') return cpu.store(gva, 8, 0x5a5an, { user });
  return kind === 'read' ? cpu.load(gva, 8, { user }) : cpu.fetch(gva, { user });
}

describe.each(BUILDS)('virtual › random page tables › %s', (_name, build) => {
  it('each access ends as the tables say, and the machine stays whole', async () => {
    const ends = { done: 0, fault: 0, exit: 0 };
    const property = fc.asyncProperty(
      entries,
      fc.array(access, { minLength: 10, maxLength: 30 }),
      async (words, accesses) => {
        const vm = await machine(build, { memory: RAM, pool: 24 * MIB });
        words.forEach((word, i) => {
          vm.guest.store(TABLES + BigInt(Math.floor(i / 4) * PAGE + (i % 4) * 8), 8, word);
        });
        const cpu = vm.guest.virtual({ cr3: TABLES });
        for (const a of accesses) {
          const want = translation(vm, a);
          const got = act(cpu, a);
          if ('error' in want) {
            ends.fault++;
            expect(got).toEqual({ ok: false, fault: { vector: 14, errorCode: want.error, address: a.gva } });
          } else if ('noSlot' in want) {
            ends.exit++;
            expect(got).toEqual({ ok: false, exit: { reason: 'INTERNAL_ERROR', gpa: want.noSlot } });
          } else if (got.ok) {
            ends.done++;
            expect(got.gpa).toBe(want.gpa);
            if (a.kind === 'write' && want.gpa < BigInt(RAM)) {
              expect(vm.guest.load(want.gpa, 8)).toMatchObject({ value: 0x5a5an });
            }
          } else {
            // Only a fetch from where no RAM is ends in an exit.
            expect([a.kind, got.exit]).toEqual(['fetch', { reason: 'INTERNAL_ERROR', gpa: want.gpa }]);
            expect(want.gpa).toBeGreaterThanOrEqual(BigInt(RAM));
          }
        }
        expect(vm.host.check()).toEqual([]);
      },
    );
    await fc.assert(property, { numRuns: 60 });
    // All kinds of ends were seen.
    expect(Math.min(ends.done, ends.fault, ends.exit)).toBeGreaterThan(5);
  }, 60_000);
});
